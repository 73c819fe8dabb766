//! Statements that closed epochs, each with its inputs.

use transparency_log::Hash;
use wiregrant_core::{GrantId, Timestamp};

use crate::column::{bigint, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

row! {
    /// A statement.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Statement {
        /// The grant.
        pub grant_id: GrantId,
        /// The epoch it closed.
        pub epoch: u64,
        /// The signed note.
        pub note: String,
        /// Its hash.
        pub note_hash: Hash,
        /// When it was signed and logged.
        pub closed_at: Timestamp,
    }
}

row! {
    /// Which statement closed an epoch, and when.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct StatementHead {
        /// The epoch it closed.
        pub epoch: u64,
        /// The hash of the signed note.
        pub note_hash: Hash,
        /// When it was signed and logged.
        pub closed_at: Timestamp,
    }
}

impl Read {
    /// The heads of all statements of a grant, by epoch.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn statement_heads(&mut self, grant: &GrantId) -> Result<Vec<StatementHead>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select epoch, note_hash, closed_at
               from statements
              where grant_id = $1
              order by epoch",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// The statement of an epoch.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn statement(&mut self, grant: &GrantId, epoch: u64) -> Result<Option<Statement>, StoreError> {
        let epoch = bigint("epoch", epoch)?;
        Ok(db!(self, connection => sqlx::query_as(
            "select grant_id, epoch, note, note_hash, closed_at
               from statements
              where grant_id = $1
                and epoch = $2",
        )
        .bind(grant.as_str())
        .bind(epoch)
        .fetch_optional(connection)
        .await)?)
    }

    /// The grant's newest statement.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn newest_statement(&mut self, grant: &GrantId) -> Result<Option<Statement>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select grant_id, epoch, note, note_hash, closed_at
               from statements
              where grant_id = $1
              order by epoch desc
              limit 1",
        )
        .bind(grant.as_str())
        .fetch_optional(connection)
        .await)?)
    }

    /// All statements of a grant, by epoch.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn statements(&mut self, grant: &GrantId) -> Result<Vec<Statement>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select grant_id, epoch, note, note_hash, closed_at
               from statements
              where grant_id = $1
              order by epoch",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// How many epochs of the grant have a statement; they close in order, so it is also the last one's number.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn epochs_closed(&mut self, grant: &GrantId) -> Result<u64, StoreError> {
        let closed: i64 = db!(self, connection => sqlx::query_scalar(
            "select count(*)
               from statements
              where grant_id = $1",
        )
        .bind(grant.as_str())
        .fetch_one(connection)
        .await)?;
        Ok(closed.unsigned_abs())
    }

    /// The signed inputs of an epoch's statement; `None` also where they were lost with a database and the statement was imported.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn inputs(&mut self, grant: &GrantId, epoch: u64) -> Result<Option<String>, StoreError> {
        let epoch = bigint("epoch", epoch)?;
        Ok(db!(self, connection => sqlx::query_scalar(
            "select inputs_note
               from statements
              where grant_id = $1
                and epoch = $2
                and inputs_note <> ''",
        )
        .bind(grant.as_str())
        .bind(epoch)
        .fetch_optional(connection)
        .await)?)
    }
}

impl Write {
    /// Keeps a statement with its signed inputs.
    ///
    /// # Errors
    /// [`StoreError::Exists`]: no epoch has two; [`StoreError::UnknownReference`] for an unknown grant.
    pub async fn insert_statement(
        &mut self,
        statement: &Statement,
        inputs_note: &str,
    ) -> Result<(), StoreError> {
        let epoch = bigint("epoch", statement.epoch)?;
        db!(self, connection => sqlx::query(
            "insert into statements (grant_id, epoch, note, note_hash, inputs_note, closed_at)
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(statement.grant_id.as_str())
        .bind(epoch)
        .bind(statement.note.as_str())
        .bind(statement.note_hash.0.as_slice())
        .bind(inputs_note)
        .bind(statement.closed_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }
}
