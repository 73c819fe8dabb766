//! Moving what SQLite's write-ahead log holds into the database file, beside the writer instead of in one of its commits.
//!
//! SQLite does it by itself in the commit that brings the log over a thousand pages: that commit then waits until some megabytes,
//! scattered over the file, are on the disk, and everybody who waits for their turn to write waits with it
//! (<https://www.sqlite.org/wal.html#automatic_checkpoint>).

use std::time::Duration;

use sqlx::SqlitePool;

use crate::store::Pools;
use crate::{Store, StoreError};

/// Beyond so many pages, 64 MiB, the log is to begin anew although there is always somebody who writes: for what is left to move then,
/// they wait.
const LONG_PAGES: i64 = 16 * 1024;
/// As [`LONG_PAGES`], in the writer's own commit, should nobody do it beside it.
pub(crate) const LONGEST_PAGES: &str = "32768";

impl Store {
    /// How often [`Self::write_back`] wants to be called; `None` where the database needs no such help.
    #[must_use]
    pub fn write_back_pause(&self) -> Option<Duration> {
        match self.pools {
            Pools::Sqlite { .. } => Some(Duration::from_millis(500)),
            Pools::Postgres { .. } => None,
        }
    }

    /// Moves what the write-ahead log holds into the database file.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], and those of the disk. Nothing is lost then: the log holds it.
    pub async fn write_back(&self) -> Result<(), StoreError> {
        let Pools::Sqlite { writer, readers } = &self.pools else { return Ok(()) };
        if moved(readers).await? > LONG_PAGES {
            // In the writers' own queue: the next of them finds all of it in the file, and begins the log anew.
            moved(writer).await?;
        }
        Ok(())
    }
}

/// Moves what nobody reads as of before, waiting for nobody, and gives how many pages the log has. SQLite's other ways of doing it would
/// keep writers waiting for readers, of whom a backup is one.
async fn moved(connections: &SqlitePool) -> Result<i64, StoreError> {
    // Whether it was kept from ending, pages in the log, pages of them that are in the file.
    let (_, pages, _): (i64, i64, i64) =
        sqlx::query_as("pragma wal_checkpoint(passive)").fetch_one(connections).await?;
    Ok(pages)
}
