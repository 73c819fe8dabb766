//! Moving what SQLite's write-ahead log holds into the database file, beside the writer instead of in one of its commits.
//!
//! SQLite does it by itself in the commit that brings the log over a thousand pages: that commit then waits until some megabytes,
//! scattered over the file, are on the disk, and everybody who waits for their turn to write waits with it
//! (<https://www.sqlite.org/wal.html#automatic_checkpoint>).

use std::time::Duration;

use sqlx::SqlitePool;

use crate::store::Pools;
use crate::{Store, StoreError};

/// Beyond so many pages, 64 MiB, the log begins anew although there is always somebody who writes: they wait for what is left to move.
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
        let Pools::Sqlite { readers, .. } = &self.pools else { return Ok(()) };
        // Nobody waits for this one, and it waits for nobody.
        if pages(readers, "pragma wal_checkpoint(passive)").await? > LONG_PAGES {
            pages(readers, "pragma wal_checkpoint(restart)").await?;
        }
        Ok(())
    }
}

/// The pages that the log held.
async fn pages(readers: &SqlitePool, checkpoint: &'static str) -> Result<i64, StoreError> {
    // Whether it was kept from ending, pages in the log, pages of them that are in the file.
    let (_, pages, _): (i64, i64, i64) = sqlx::query_as(checkpoint).fetch_one(readers).await?;
    Ok(pages)
}
