//! The two public logs as they are read: entries, the hashes above them, and checkpoints. `appending.rs` writes them.

mod appending;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use transparency_log::{Edge, Hash, TILE_WIDTH, TileId, leaf_hash};
use wiregrant_core::NodeId;
use wiregrant_core::record::report_entry;

use crate::column::{bigint, column};
use crate::session::db;
use crate::{Read, StoreError};

pub use appending::Appended;

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Log {
    /// What was decided: operators, nodes, terms, statements, payments.
    Record,
    /// Commitments to usage reports.
    Reports,
}

impl Log {
    /// Both, in the order of their names.
    pub const ALL: [Self; 2] = [Self::Record, Self::Reports];

    /// The name under which it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Reports => "reports",
        }
    }

    /// Where it stands in [`Log::ALL`].
    pub(crate) fn position(self) -> usize {
        match self {
            Self::Record => 0,
            Self::Reports => 1,
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Read {
    /// How many entries the log has.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn log_size(&mut self, log: Log) -> Result<u64, StoreError> {
        let size: i64 = db!(self, connection => sqlx::query_scalar(
            "select size
               from log_heads
              where log = $1",
        )
        .bind(log.as_str())
        .fetch_one(connection)
        .await)?;
        u64::try_from(size).map_err(|_| StoreError::corrupt(format!("log {log}"), format!("size {size}")))
    }

    /// At most `count` entries from index `from` on.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn entries(&mut self, log: Log, from: u64, count: u64) -> Result<Vec<String>, StoreError> {
        let from = bigint("log index", from)?;
        let end = from.saturating_add(bigint("entries", count)?);
        match log {
            Log::Record => Ok(db!(self, connection => sqlx::query_scalar(
                "select entry
                   from record_entries
                  where idx >= $1
                    and idx < $2
                  order by idx",
            )
            .bind(from)
            .bind(end)
            .fetch_all(connection)
            .await)?),
            Log::Reports => {
                let reports = self.report_hashes(from, end).await?;
                Ok(reports.into_iter().map(report_entry).collect())
            }
        }
    }

    /// The hashes of the reports whose entries lie from index `from` on and before `end`: of those that are here, and of those that
    /// are waited for.
    async fn report_hashes(&mut self, from: i64, end: i64) -> Result<Vec<Hash>, StoreError> {
        let hashes: Result<Vec<Hash>, sqlx::Error> = db!(self, connection => sqlx::query(
            "select log_index, note_hash
               from reports
              where log_index >= $1
                and log_index < $2
              union all
             select log_index, note_hash
               from awaited_reports
              where log_index >= $1
                and log_index < $2
              order by log_index",
        )
        .bind(from)
        .bind(end)
        .fetch_all(connection)
        .await
        .and_then(|rows| rows.iter().map(|row| column(row, "note_hash")).collect()));
        Ok(hashes?)
    }

    /// All entries of the record that begin with `words`, which have no character that `like` takes for another, with their indices,
    /// in their order.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn entries_beginning(&mut self, words: &'static str) -> Result<Vec<(u64, String)>, StoreError> {
        let rows: Vec<(i64, String)> = db!(self, connection => sqlx::query_as(
            "select idx, entry
               from record_entries
              where entry like $1
              order by idx",
        )
        .bind(format!("{words}%"))
        .fetch_all(connection)
        .await)?;
        Ok(rows.into_iter().map(|(index, entry)| (index.unsigned_abs(), entry)).collect())
    }

    /// The record's entries that name a key of this node, `enrol` and `rekey`, with their indices, in their order. All
    /// entries are looked at: this is for the rare day on which a node has forked.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn entries_naming_key(&mut self, node: &NodeId) -> Result<Vec<(u64, String)>, StoreError> {
        // An id has no character that `like` takes for another.
        let rows: Vec<(i64, String)> = db!(self, connection => sqlx::query_as(
            "select idx, entry
               from record_entries
              where entry like $1
                 or entry like $2
              order by idx",
        )
        .bind(format!("enrol {node} %"))
        .bind(format!("rekey {node} %"))
        .fetch_all(connection)
        .await)?;
        Ok(rows.into_iter().map(|(index, entry)| (index.unsigned_abs(), entry)).collect())
    }

    /// The entries of a bundle of exactly this width (1 to 256).
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the log is shorter.
    pub async fn bundle(&mut self, log: Log, index: u64, width: u16) -> Result<Vec<Vec<u8>>, StoreError> {
        let from = index.saturating_mul(u64::from(TILE_WIDTH));
        let entries = self.entries(log, from, u64::from(width)).await?;
        if entries.len() != usize::from(width) {
            return Err(StoreError::NotFound {
                what: "entry bundle",
                id: format!("{log} {index}, {width} wide"),
            });
        }
        Ok(entries.into_iter().map(String::into_bytes).collect())
    }

    /// The hashes of a tile of exactly this width, which may be less than the log has by now.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the log is shorter.
    pub async fn tile(&mut self, log: Log, tile: TileId) -> Result<Vec<Hash>, StoreError> {
        let from = tile.index.saturating_mul(u64::from(TILE_WIDTH));
        let hashes = self.level_hashes(log, tile.level, from, u64::from(tile.width)).await?;
        if hashes.len() != usize::from(tile.width) {
            return Err(StoreError::NotFound { what: "tile", id: format!("{log} {tile}") });
        }
        Ok(hashes)
    }

    /// Several tiles, as `transparency_log`'s proofs take them.
    ///
    /// # Errors
    /// As [`Read::tile`].
    pub async fn tiles(
        &mut self,
        log: Log,
        tiles: &BTreeSet<TileId>,
    ) -> Result<BTreeMap<TileId, Vec<Hash>>, StoreError> {
        let mut found = BTreeMap::new();
        for tile in tiles {
            found.insert(*tile, self.tile(log, *tile).await?);
        }
        Ok(found)
    }

    /// At most `count` hashes of a tile level from position `from` on: of entries at level 0, of subtrees above.
    async fn level_hashes(
        &mut self,
        log: Log,
        level: u8,
        from: u64,
        count: u64,
    ) -> Result<Vec<Hash>, StoreError> {
        if level == 0 {
            let entries = self.entries(log, from, count).await?;
            return Ok(entries.iter().map(|entry| leaf_hash(entry.as_bytes())).collect());
        }
        let from = bigint("tile index", from)?;
        let end = from.saturating_add(bigint("hashes", count)?);
        let hashes: Result<Vec<Hash>, sqlx::Error> = db!(self, connection => sqlx::query(
            "select hash
               from log_subtrees
              where log = $1
                and level = $2
                and idx >= $3
                and idx < $4
              order by idx",
        )
        .bind(log.as_str())
        .bind(i64::from(level))
        .bind(from)
        .bind(end)
        .fetch_all(connection)
        .await
        .and_then(|rows| rows.iter().map(|row| column(row, "hash")).collect()));
        Ok(hashes?)
    }

    /// The right edge of the log's first `size` entries, from the tables.
    pub(super) async fn stored_edge(&mut self, log: Log, size: u64) -> Result<Edge, StoreError> {
        let mut levels = Vec::new();
        let mut level_size = size;
        for level in 0.. {
            if level_size == 0 {
                break;
            }
            let width = level_size % u64::from(TILE_WIDTH);
            levels.push(self.level_hashes(log, level, level_size - width, width).await?);
            level_size /= u64::from(TILE_WIDTH);
        }
        Edge::load(size, levels).map_err(StoreError::damaged_log(log))
    }

    /// The newest checkpoint with its size.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn newest_checkpoint(&mut self, log: Log) -> Result<Option<(u64, String)>, StoreError> {
        let newest: Option<(i64, String)> = db!(self, connection => sqlx::query_as(
            "select size, note
               from checkpoints
              where log = $1
              order by size desc
              limit 1",
        )
        .bind(log.as_str())
        .fetch_optional(connection)
        .await)?;
        newest
            .map(|(size, note)| match u64::try_from(size) {
                Ok(size) => Ok((size, note)),
                Err(_) => {
                    Err(StoreError::corrupt(format!("log {log}"), format!("a checkpoint of size {size}")))
                }
            })
            .transpose()
    }

    /// The checkpoint of exactly this size.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn checkpoint_at(&mut self, log: Log, size: u64) -> Result<Option<String>, StoreError> {
        let size = bigint("log size", size)?;
        Ok(db!(self, connection => sqlx::query_scalar(
            "select note
               from checkpoints
              where log = $1
                and size = $2",
        )
        .bind(log.as_str())
        .bind(size)
        .fetch_optional(connection)
        .await)?)
    }
}
