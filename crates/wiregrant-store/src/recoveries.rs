//! Tokens that were recovered by a proof.

use transparency_log::Hash;
use wiregrant_core::{OperatorId, Timestamp, TokenId};

use crate::session::db;
use crate::{StoreError, Write};

impl Write {
    /// Notes that a proof was used for a token.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for a proof that was used before; [`StoreError::UnknownReference`].
    pub async fn insert_recovery(
        &mut self,
        note_hash: Hash,
        operator: &OperatorId,
        token: &TokenId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into recoveries (note_hash, operator, token, asked_at)
             values ($1, $2, $3, $4)",
        )
        .bind(note_hash.0.as_slice())
        .bind(operator.as_str())
        .bind(token.as_str())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }
}
