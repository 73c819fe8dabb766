//! Appending to a log: its entries, the hashes above them, its head and its checkpoints, in the transaction of what they tell of.

use std::collections::BTreeMap;

use transparency_log::{Edge, Hash, TileId, leaf_hash};
use wiregrant_core::record::MAX_ENTRY_BYTES;

use super::Log;
use crate::column::bigint;
use crate::many_rows::{ManyRows, Values};
use crate::session::{LogHead, Transaction, db};
use crate::{StoreError, Write};

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

    /// As [`Self::append`], with the checkpoint that `sign` makes of the log's new size and root, where `setting` has this value or
    /// none: in fewer steps than by themselves, because whoever reports waits for each. `None` where it has another value; nothing
    /// is appended then.
    ///
    /// # Errors
    /// As [`Self::append`] and [`Self::put_checkpoint`]; what `sign` says.
    pub async fn append_signed<E: From<StoreError>>(
        &mut self,
        log: Log,
        entries: &[String],
        setting: (&str, &str),
        sign: impl FnOnce(u64, Hash) -> Result<String, E>,
    ) -> Result<Option<(Appended, String)>, E> {
        let grown = self.grown(log, entries).await?;
        let checkpoint = sign(grown.appended.edge.size(), grown.root)?;
        if !self.move_head_signed(log, &grown, setting, &checkpoint).await? {
            return Ok(None);
        }
        if log == Log::Record {
            self.insert_entries(grown.appended.first_index, entries).await?;
        }
        Ok(Some((self.took(log, grown), checkpoint)))
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

    /// The head, the checkpoint at it and, on PostgreSQL, the subtrees in one message to the database; `false`, and nothing of it, where
    /// the setting has another value. The statement reads the setting itself: this transaction holds the heads by then, and whoever
    /// changes the setting held them before.
    async fn move_head_signed(
        &mut self,
        log: Log,
        grown: &Grown,
        (setting, value): (&str, &str),
        note: &str,
    ) -> Result<bool, StoreError> {
        let Grown { appended, root, subtrees } = grown;
        let size = bigint("log size", appended.edge.size())?;
        match &mut self.transaction {
            Transaction::Sqlite(transaction) => {
                // SQLite takes statements one after the other, with the values of all of them.
                let done = sqlx::query(
                    "update log_heads
                        set size = $2, root = $3
                      where log = $1
                        and not exists (select 1 from settings where name = $5 and value <> $6);
                     insert into checkpoints (log, size, note)
                     select $1, $2, $4
                      where changes() > 0",
                )
                .bind(log.as_str())
                .bind(size)
                .bind(root.0.as_slice())
                .bind(note)
                .bind(setting)
                .bind(value)
                .execute(&mut **transaction)
                .await?;
                if done.rows_affected() == 0 {
                    return Ok(false);
                }
                self.insert_subtrees(log, subtrees).await?;
                Ok(true)
            }
            Transaction::Postgres(transaction) => {
                let done = sqlx::query(
                    "with head as (
                         update log_heads
                            set size = $2, root = $3
                          where log = $1
                            and not exists (select 1 from settings where name = $8 and value <> $9)
                         returning log
                     ), roots as (
                         insert into log_subtrees (log, level, idx, hash)
                         select head.log, r.level, r.idx, r.hash
                           from head, unnest($5::bigint[], $6::bigint[], $7::bytea[]) as r (level, idx, hash)
                     )
                     insert into checkpoints (log, size, note)
                     select head.log, $2, $4
                       from head",
                )
                .bind(log.as_str())
                .bind(size)
                .bind(root.0.as_slice())
                .bind(note)
                .bind(subtrees.iter().map(|root| root.level).collect::<Vec<_>>())
                .bind(subtrees.iter().map(|root| root.index).collect::<Vec<_>>())
                .bind(subtrees.iter().map(|root| root.hash.0.as_slice()).collect::<Vec<_>>())
                .bind(setting)
                .bind(value)
                .execute(&mut **transaction)
                .await?;
                Ok(done.rows_affected() > 0)
            }
        }
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
