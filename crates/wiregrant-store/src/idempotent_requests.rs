//! Requests that carry a name of their own, and what was answered.

use transparency_log::Hash;
use wiregrant_core::Timestamp;

use crate::column::{bigint, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

row! {
    /// A request that was begun under a name.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct IdempotentRequest {
        /// Of the request itself.
        pub request_hash: Hash,
        /// The answer's HTTP status; none while there is no answer.
        pub status: Option<u64>,
        /// The answer, sealed by the caller.
        pub answer: Option<Vec<u8>>,
        /// Begun when.
        pub created_at: Timestamp,
    }
}

impl Read {
    /// The request under this name's keyed hash.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn idempotent_request(
        &mut self,
        key_hash: Hash,
    ) -> Result<Option<IdempotentRequest>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select request_hash, status, answer, created_at
               from idempotent_requests
              where key_hash = $1",
        )
        .bind(key_hash.0.as_slice())
        .fetch_optional(connection)
        .await)?)
    }
}

impl Write {
    /// Notes that a request is begun.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    pub async fn insert_idempotent_request(
        &mut self,
        key_hash: Hash,
        request_hash: Hash,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into idempotent_requests (key_hash, request_hash, created_at)
             values ($1, $2, $3)",
        )
        .bind(key_hash.0.as_slice())
        .bind(request_hash.0.as_slice())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Keeps the answer to a request that was begun.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_idempotent_answer(
        &mut self,
        key_hash: Hash,
        status: u64,
        answer: &[u8],
    ) -> Result<(), StoreError> {
        let status = bigint("status", status)?;
        db!(self, connection => sqlx::query(
            "update idempotent_requests
                set status = $2,
                    answer = $3
              where key_hash = $1",
        )
        .bind(key_hash.0.as_slice())
        .bind(status)
        .bind(answer)
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Forgets a request.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn delete_idempotent_request(&mut self, key_hash: Hash) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "delete from idempotent_requests
              where key_hash = $1",
        )
        .bind(key_hash.0.as_slice())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Forgets the requests begun before this moment. How many.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn delete_idempotent_requests(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        Ok(db!(self, connection => sqlx::query(
            "delete from idempotent_requests
              where created_at < $1",
        )
        .bind(before.unix_seconds())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?)
    }
}
