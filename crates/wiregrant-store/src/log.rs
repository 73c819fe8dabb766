//! The two public logs: entries, the hashes above them, and checkpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use transparency_log::{Edge, Hash, TILE_WIDTH, TileId, leaf_hash};
use wiregrant_core::NodeId;
use wiregrant_core::record::{MAX_ENTRY_BYTES, report_entry};

use crate::column::{bigint, column};
use crate::many_rows::{ManyRows, Values};
use crate::session::{LogHead, Transaction, db};
use crate::{Read, StoreError, Write};

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

/// Where entries came to lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Index of the first of them; the others follow without a gap.
    pub first_index: u64,
    /// The log's right edge with all of them: its size and root belong into the checkpoint.
    pub edge: Edge,
    /// The tiles that prove the appended entries at the edge's size: those they completed, and the edge itself.
    pub tiles: BTreeMap<TileId, Vec<Hash>>,
}

/// A log with entries that are not written yet.
struct Grown {
    appended: Appended,
    /// Of its edge.
    root: Hash,
    /// The roots of the tiles they completed.
    subtrees: Vec<Root>,
}

/// The root of a full tile, where the hashes of the level above it stand.
struct Root {
    level: i64,
    index: i64,
    hash: Hash,
}

impl Write {
    /// The log's right edge, with what this transaction has appended.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the stored hashes do not give the stored root.
    pub async fn edge(&mut self, log: Log) -> Result<Edge, StoreError> {
        if let Some(edge) = &self.edges[log.position()] {
            return Ok(edge.clone());
        }
        let (size, root) = (self.heads[log.position()].size, self.heads[log.position()].root);
        let cached = self.cache.get(log);
        // Another process may have appended, or a commit of ours whose outcome was unknown may have held.
        let edge = if cached.size() == size && cached.root() == root {
            cached
        } else {
            let edge = self.stored_edge(log, size).await?;
            if edge.root() != root {
                let found = format!("root {} at size {size}, but its hashes give {}", root, edge.root());
                return Err(StoreError::corrupt(format!("log {log}"), found));
            }
            edge
        };
        self.edges[log.position()] = Some(edge.clone());
        Ok(edge)
    }

    /// Appends entries of at most [`MAX_ENTRY_BYTES`] bytes each, with the hashes of the tiles they complete. Those of the reports
    /// log are kept by what they name: the same transaction inserts the reports ([`Write::insert_reports`]) or, where they are not
    /// here, waits for them ([`Write::await_reports`]).
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for a longer entry; [`StoreError::Refused`] for an empty one; as [`Write::edge`].
    pub async fn append(&mut self, log: Log, entries: &[String]) -> Result<Appended, StoreError> {
        let grown = self.grown(log, entries).await?;
        if log == Log::Record {
            self.insert_entries(grown.appended.first_index, entries).await?;
        }
        self.insert_subtrees(log, &grown.subtrees).await?;
        self.move_head(log, &grown).await?;
        Ok(self.took(log, grown))
    }

    /// As [`Self::append`], with the checkpoint that `sign` makes of the log's new size and root: in fewer steps than with
    /// [`Self::put_checkpoint`] after it, because whoever reports waits for each.
    ///
    /// # Errors
    /// As [`Self::append`] and [`Self::put_checkpoint`]; what `sign` says.
    pub async fn append_signed<E: From<StoreError>>(
        &mut self,
        log: Log,
        entries: &[String],
        sign: impl FnOnce(u64, Hash) -> Result<String, E>,
    ) -> Result<(Appended, String), E> {
        let grown = self.grown(log, entries).await?;
        let checkpoint = sign(grown.appended.edge.size(), grown.root)?;
        if log == Log::Record {
            self.insert_entries(grown.appended.first_index, entries).await?;
        }
        self.move_head_signed(log, &grown, &checkpoint).await?;
        Ok((self.took(log, grown), checkpoint))
    }

    /// The log as it will be with these entries.
    async fn grown(&mut self, log: Log, entries: &[String]) -> Result<Grown, StoreError> {
        if let Some(entry) = entries.iter().find(|entry| entry.len() > MAX_ENTRY_BYTES) {
            let (found, limit) = (entry.len() as u64, MAX_ENTRY_BYTES as u64);
            return Err(StoreError::TooLarge { what: "bytes of a log entry", found, limit });
        }
        let mut edge = self.edge(log).await?;
        let first_index = edge.size();
        let (mut subtrees, mut tiles) = (Vec::new(), BTreeMap::new());
        for entry in entries {
            let completed = edge.append(leaf_hash(entry.as_bytes()));
            for (position, tile) in completed.iter().enumerate() {
                // A full tile's root is the newest hash one level up: in the tile that it completed, or at the edge.
                let above = completed.get(position + 1).map(|tile| &tile.hashes);
                let above = above.or_else(|| edge.levels().get(usize::from(tile.level) + 1));
                let root = above.and_then(|hashes| hashes.last()).expect("a full tile has a root above it");
                let index = bigint("tile index", tile.index)?;
                subtrees.push(Root { level: i64::from(tile.level) + 1, index, hash: *root });
            }
            tiles.extend(completed.into_iter().map(|tile| (tile.id(), tile.hashes)));
        }
        tiles.extend(edge.partial_tiles().map(|(tile, hashes)| (tile, hashes.to_vec())));
        let root = edge.root();
        Ok(Grown { appended: Appended { first_index, edge, tiles }, root, subtrees })
    }

    fn took(&mut self, log: Log, grown: Grown) -> Appended {
        let Grown { appended, root, .. } = grown;
        self.heads[log.position()] = LogHead { size: appended.edge.size(), root };
        self.edges[log.position()] = Some(appended.edge.clone());
        appended
    }

    async fn insert_entries(&mut self, first: u64, entries: &[String]) -> Result<(), StoreError> {
        let first = bigint("log index", first)?;
        let rows = ManyRows {
            insert: "insert into record_entries (idx, entry)",
            columns: vec![
                Values::Number((first..).take(entries.len()).collect()),
                Values::Text(entries.iter().map(String::as_str).collect()),
            ],
            on_conflict: "",
        };
        rows.insert(&mut self.transaction).await
    }

    async fn insert_subtrees(&mut self, log: Log, subtrees: &[Root]) -> Result<(), StoreError> {
        let rows = ManyRows {
            insert: "insert into log_subtrees (log, level, idx, hash)",
            columns: vec![
                Values::Text(vec![log.as_str(); subtrees.len()]),
                Values::Number(subtrees.iter().map(|root| root.level).collect()),
                Values::Number(subtrees.iter().map(|root| root.index).collect()),
                Values::Bytes(subtrees.iter().map(|root| root.hash.0.as_slice()).collect()),
            ],
            on_conflict: "",
        };
        rows.insert(&mut self.transaction).await
    }

    async fn move_head(&mut self, log: Log, grown: &Grown) -> Result<(), StoreError> {
        let size = bigint("log size", grown.appended.edge.size())?;
        db!(self, connection => sqlx::query(
            "update log_heads
                set size = $2, root = $3
              where log = $1",
        )
        .bind(log.as_str())
        .bind(size)
        .bind(grown.root.0.as_slice())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// The head, the checkpoint at it and, on PostgreSQL, the subtrees in one message to the database.
    async fn move_head_signed(&mut self, log: Log, grown: &Grown, note: &str) -> Result<(), StoreError> {
        let Grown { appended, root, subtrees } = grown;
        let size = bigint("log size", appended.edge.size())?;
        if matches!(self.transaction, Transaction::Sqlite(_)) {
            self.insert_subtrees(log, subtrees).await?;
        }
        match &mut self.transaction {
            Transaction::Sqlite(transaction) => {
                // SQLite takes statements one after the other, with the values of all of them.
                sqlx::query(
                    "update log_heads
                        set size = $2, root = $3
                      where log = $1;
                     insert into checkpoints (log, size, note)
                     values ($1, $2, $4)",
                )
                .bind(log.as_str())
                .bind(size)
                .bind(root.0.as_slice())
                .bind(note)
                .execute(&mut **transaction)
                .await?;
            }
            Transaction::Postgres(transaction) => {
                sqlx::query(
                    "with head as (
                         update log_heads
                            set size = $2, root = $3
                          where log = $1
                     ), roots as (
                         insert into log_subtrees (log, level, idx, hash)
                         select $1, r.level, r.idx, r.hash
                           from unnest($5::bigint[], $6::bigint[], $7::bytea[]) as r (level, idx, hash)
                     )
                     insert into checkpoints (log, size, note)
                     values ($1, $2, $4)",
                )
                .bind(log.as_str())
                .bind(size)
                .bind(root.0.as_slice())
                .bind(note)
                .bind(subtrees.iter().map(|root| root.level).collect::<Vec<_>>())
                .bind(subtrees.iter().map(|root| root.index).collect::<Vec<_>>())
                .bind(subtrees.iter().map(|root| root.hash.0.as_slice()).collect::<Vec<_>>())
                .execute(&mut **transaction)
                .await?;
            }
        }
        Ok(())
    }

    /// Keeps the signed checkpoint of a size.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when that size has one: two signed texts for one size are one too many.
    pub async fn put_checkpoint(&mut self, log: Log, size: u64, note: &str) -> Result<(), StoreError> {
        let size = bigint("log size", size)?;
        db!(self, connection => sqlx::query(
            "insert into checkpoints (log, size, note)
             values ($1, $2, $3)",
        )
        .bind(log.as_str())
        .bind(size)
        .bind(note)
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
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
    async fn stored_edge(&mut self, log: Log, size: u64) -> Result<Edge, StoreError> {
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
