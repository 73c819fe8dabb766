//! Notes that everyone may read, by their hash.

use transparency_log::Hash;

use crate::column::column;
use crate::session::db;
use crate::{Read, StoreError, Write};

impl Read {
    /// The note with this hash.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn public_note(&mut self, hash: Hash) -> Result<Option<String>, StoreError> {
        Ok(db!(self, connection => sqlx::query_scalar(
            "select note
               from public_notes
              where hash = $1",
        )
        .bind(hash.0.as_slice())
        .fetch_optional(connection)
        .await)?)
    }

    /// The hashes of all notes.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn public_note_hashes(&mut self) -> Result<Vec<Hash>, StoreError> {
        let hashes: Result<Vec<Hash>, sqlx::Error> = db!(self, connection => sqlx::query(
            "select hash
               from public_notes
              order by hash",
        )
        .fetch_all(connection)
        .await
        .and_then(|rows| rows.iter().map(|row| column(row, "hash")).collect()));
        Ok(hashes?)
    }
}

impl Write {
    /// Makes a note public and returns its hash; a note that is public already stays so.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_public_note(&mut self, note: &str) -> Result<Hash, StoreError> {
        let hash = Hash::of(note.as_bytes());
        db!(self, connection => sqlx::query(
            "insert into public_notes (hash, note)
             values ($1, $2)
             on conflict (hash) do nothing",
        )
        .bind(hash.0.as_slice())
        .bind(note)
        .execute(connection)
        .await
        .map(drop))?;
        Ok(hash)
    }
}
