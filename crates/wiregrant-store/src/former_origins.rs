//! Origins under which this control plane logged before a tail was lost: the history of their logs, and the step from one to the next.

use transparency_log::{EMPTY_ROOT, Edge};
use wiregrant_core::Timestamp;
use wiregrant_core::note::Origin;

use crate::column::{bigint, row};
use crate::session::{LogHead, db};
use crate::{Log, Read, StoreError, Write};

/// The setting with the moment, in Unix seconds, at which the origin before ended: what may have been paid until then under it is
/// held, until a person has looked.
pub const SETTING_ORIGIN_ENDED: &str = "origin_ended";

row! {
    /// An origin that has ended.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FormerOrigin {
        /// Its name.
        pub origin: Origin,
        /// How many entries of its record this database had.
        pub record_size: u64,
        /// And of its reports log.
        pub reports_size: u64,
    }
}

impl Read {
    /// The origins that have ended, the first one first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn former_origins(&mut self) -> Result<Vec<FormerOrigin>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select origin, record_size, reports_size
               from former_origins
              order by number",
        )
        .fetch_all(connection)
        .await)?)
    }

    /// At most `count` entries of the record of an origin that has ended, from index `from` on.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn former_entries(
        &mut self,
        origin: &Origin,
        from: u64,
        count: u64,
    ) -> Result<Vec<String>, StoreError> {
        let from = bigint("log index", from)?;
        let end = from.saturating_add(bigint("entries", count)?);
        Ok(db!(self, connection => sqlx::query_scalar(
            "select entry
               from former_entries
              where origin = $1
                and idx >= $2
                and idx < $3
              order by idx",
        )
        .bind(origin.as_str())
        .bind(from)
        .bind(end)
        .fetch_all(connection)
        .await)?)
    }

    /// The smallest checkpoint of a log that has at least this size: under an origin that came later, not every size has one.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn checkpoint_covering(
        &mut self,
        log: Log,
        size: u64,
    ) -> Result<Option<(u64, String)>, StoreError> {
        let size = bigint("log size", size)?;
        let found: Option<(i64, String)> = db!(self, connection => sqlx::query_as(
            "select size, note
               from checkpoints
              where log = $1
                and size >= $2
              order by size
              limit 1",
        )
        .bind(log.as_str())
        .bind(size)
        .fetch_optional(connection)
        .await)?;
        Ok(found.map(|(size, note)| (size.unsigned_abs(), note)))
    }
}

impl Write {
    /// Ends an origin: its record and all checkpoints become history, the record begins anew without an entry, and the reports
    /// log keeps its entries, without a checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for an origin that has ended before; those of the database.
    pub async fn end_origin(&mut self, origin: &Origin, now: Timestamp) -> Result<(), StoreError> {
        let sizes = [Log::Record, Log::Reports].map(|log| self.size(log));
        let (record, reports) = (bigint("log size", sizes[0])?, bigint("log size", sizes[1])?);
        db!(self, connection => sqlx::query(
            "insert into former_origins (number, origin, record_size, reports_size, ended_at)
             select coalesce(max(number), 0) + 1, $1, $2, $3, $4
               from former_origins",
        )
        .bind(origin.as_str())
        .bind(record)
        .bind(reports)
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        for keep in [
            "insert into former_entries (origin, idx, entry)
             select $1, idx, entry from record_entries",
            "insert into former_checkpoints (origin, log, size, note)
             select $1, log, size, note from checkpoints",
        ] {
            db!(self, connection => sqlx::query(keep)
                .bind(origin.as_str())
                .execute(connection)
                .await
                .map(drop))?;
        }
        for end in [
            "delete from checkpoints",
            "delete from record_entries",
            "delete from log_subtrees where log = 'record'",
        ] {
            db!(self, connection => sqlx::query(end).execute(connection).await.map(drop))?;
        }
        db!(self, connection => sqlx::query("update log_heads set size = 0, root = $1 where log = 'record'")
            .bind(EMPTY_ROOT.0.as_slice())
            .execute(connection)
            .await
            .map(drop))?;
        self.heads[Log::Record.position()] = LogHead { size: 0, root: EMPTY_ROOT };
        self.edges[Log::Record.position()] = Some(Edge::empty());
        Ok(())
    }
}
