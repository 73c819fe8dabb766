//! `Read` and `Write`: one transaction each, on either database.

use std::ops::{Deref, DerefMut};

use sqlx::{Postgres, Sqlite};
use transparency_log::{Edge, Hash};

use crate::column::row;
use crate::store::EdgeCache;
use crate::{Log, StoreError};

/// The transaction of either driver.
pub(crate) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// What is in the database at one moment.
pub struct Read {
    pub(crate) transaction: Transaction,
}

/// One transaction that writes; dropped without [`Write::commit`], nothing has happened. It reads all that [`Read`]
/// reads, its own changes included.
pub struct Write {
    read: Read,
    pub(crate) heads: [LogHead; 2],
    pub(crate) edges: [Option<Edge>; 2],
    pub(crate) cache: EdgeCache,
}

row! {
    /// Size and root of a log.
    #[derive(Debug, Clone)]
    pub(crate) struct LogHead {
        pub(crate) size: u64,
        pub(crate) root: Hash,
    }
}

/// Runs one expression on the connection of whichever database it is; the second form also names the driver's type.
macro_rules! db {
    ($session:expr, $connection:ident => $query:expr) => {
        match &mut $session.transaction {
            $crate::session::Transaction::Sqlite(transaction) => {
                let $connection = &mut **transaction;
                $query
            }
            $crate::session::Transaction::Postgres(transaction) => {
                let $connection = &mut **transaction;
                $query
            }
        }
    };
    ($session:expr, $connection:ident, $driver:ident => $query:expr) => {
        match &mut $session.transaction {
            $crate::session::Transaction::Sqlite(transaction) => {
                type $driver = sqlx::Sqlite;
                let $connection = &mut **transaction;
                $query
            }
            $crate::session::Transaction::Postgres(transaction) => {
                type $driver = sqlx::Postgres;
                let $connection = &mut **transaction;
                $query
            }
        }
    };
}
pub(crate) use db;

impl Write {
    /// Takes the writers' lock. SQLite's is the transaction itself (`begin immediate`); PostgreSQL's are the rows of
    /// `log_heads`, held by whoever writes anything, so that on both a value read before it is written is still true.
    pub(crate) async fn begin(mut read: Read, cache: EdgeCache) -> Result<Self, StoreError> {
        let heads: Vec<LogHead> = match &mut read.transaction {
            Transaction::Sqlite(transaction) => {
                sqlx::query_as("select size, root from log_heads order by log")
                    .fetch_all(&mut **transaction)
                    .await?
            }
            Transaction::Postgres(transaction) => {
                sqlx::query_as("select size, root from log_heads order by log for update")
                    .fetch_all(&mut **transaction)
                    .await?
            }
        };
        let heads: [LogHead; 2] = heads.try_into().map_err(|heads: Vec<_>| {
            StoreError::corrupt("log_heads", format!("{} rows, not 2", heads.len()))
        })?;
        Ok(Self { read, heads, edges: [None, None], cache })
    }

    /// How many entries the log has, with what this transaction has appended. While a turn to write lasts nobody else appends, so
    /// whoever remembers the size of its own last commit learns from it whether somebody else has written since.
    #[must_use]
    pub fn size(&self, log: Log) -> u64 {
        self.heads[log.position()].size
    }

    /// Makes all of it visible, and durable a moment later: for what may be lost in a crash of the machine and then comes again by
    /// itself. PostgreSQL waits for no disk then; SQLite does.
    ///
    /// # Errors
    /// As [`Write::commit`].
    pub async fn commit_at_leisure(mut self) -> Result<(), StoreError> {
        if let Transaction::Postgres(transaction) = &mut self.read.transaction {
            sqlx::query("set local synchronous_commit = off").execute(&mut **transaction).await?;
        }
        self.commit().await
    }

    /// Makes all of it durable and visible. On an error of the connection nobody knows whether it happened: read again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Database`].
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.read.transaction {
            Transaction::Sqlite(transaction) => transaction.commit().await?,
            Transaction::Postgres(transaction) => transaction.commit().await?,
        }
        for (log, edge) in Log::ALL.into_iter().zip(self.edges) {
            if let Some(edge) = edge {
                self.cache.put(log, edge);
            }
        }
        Ok(())
    }
}

impl Deref for Write {
    type Target = Read;
    fn deref(&self) -> &Read {
        &self.read
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut Read {
        &mut self.read
    }
}
