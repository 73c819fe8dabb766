//! Browsers that are signed in. A row lives as long as its session; no address, no agent, no history.

use transparency_log::Hash;
use wiregrant_core::{Timestamp, TokenId};

use crate::column::{bigint, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

row! {
    /// A session of a browser.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct BrowserSession {
        /// The token that it was opened with.
        pub token: TokenId,
        /// Opened when.
        pub created_at: Timestamp,
        /// Used last, to some minutes.
        pub seen_at: Timestamp,
    }
}

impl Read {
    /// The session with this keyed hash.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn browser_session(
        &mut self,
        session_hash: Hash,
    ) -> Result<Option<BrowserSession>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select token, created_at, seen_at
               from sessions
              where session_hash = $1",
        )
        .bind(session_hash.0.as_slice())
        .fetch_optional(connection)
        .await)?)
    }
}

impl Write {
    /// Opens a session, and ends the token's oldest ones above `most`.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::UnknownReference`].
    pub async fn insert_browser_session(
        &mut self,
        session_hash: Hash,
        token: &TokenId,
        most: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into sessions (session_hash, token, created_at, seen_at)
             values ($1, $2, $3, $3)",
        )
        .bind(session_hash.0.as_slice())
        .bind(token.as_str())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        // The one just opened is among those that stay, whatever others say of the same second.
        let most = bigint("sessions", most.saturating_sub(1))?;
        db!(self, connection => sqlx::query(
            "delete from sessions
              where token = $1
                and session_hash <> $2
                and session_hash not in (select session_hash
                                           from sessions
                                          where token = $1
                                            and session_hash <> $2
                                          order by created_at desc, session_hash
                                          limit $3)",
        )
        .bind(token.as_str())
        .bind(session_hash.0.as_slice())
        .bind(most)
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Notes that a session is in use.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn touch_browser_session(
        &mut self,
        session_hash: Hash,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "update sessions
                set seen_at = $2
              where session_hash = $1",
        )
        .bind(session_hash.0.as_slice())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Ends a session; one that is over already is no error.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn delete_browser_session(&mut self, session_hash: Hash) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "delete from sessions
              where session_hash = $1",
        )
        .bind(session_hash.0.as_slice())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Deletes the sessions that were opened, or used last, before these moments. How many.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn delete_browser_sessions(
        &mut self,
        opened_before: Timestamp,
        seen_before: Timestamp,
    ) -> Result<u64, StoreError> {
        Ok(db!(self, connection => sqlx::query(
            "delete from sessions
              where created_at < $1
                 or seen_at < $2",
        )
        .bind(opened_before.unix_seconds())
        .bind(seen_before.unix_seconds())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?)
    }
}
