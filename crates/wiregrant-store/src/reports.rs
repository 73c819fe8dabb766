//! Usage reports as accepted, and other texts under a used sequence as evidence.

use transparency_log::Hash;
use wiregrant_core::{GrantId, NodeId, Timestamp};

use crate::column::{bigint, row};
use crate::many_rows::{ManyRows, Values};
use crate::session::db;
use crate::{Read, StoreError, Write};

/// The most texts kept as evidence against one node: a person decides from the first of them.
pub const MAX_EVIDENCE_PER_NODE: u64 = 16;

row! {
    /// An accepted report.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Report {
        /// Whose.
        pub node: NodeId,
        /// Counted from 1, without gaps.
        pub sequence: u64,
        /// The signed note.
        pub note: String,
        /// Its hash.
        pub note_hash: Hash,
        /// Where its entry lies in the reports log.
        pub log_index: u64,
        /// The size of the reports log whose checkpoint acknowledged it.
        pub acked_size: u64,
        /// The grant it was labelled with.
        pub epoch_grant: Option<GrantId>,
        /// The epoch of that grant.
        pub epoch_number: Option<u64>,
        /// When its stretch began.
        pub start_at: Timestamp,
        /// When its last reading was taken.
        pub end_at: Timestamp,
        /// When it was accepted.
        pub received_at: Timestamp,
    }
}

row! {
    /// Two texts under one sequence number.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Evidence {
        /// The number.
        pub sequence: u64,
        /// The accepted note.
        pub accepted: String,
        /// The other one.
        pub other: String,
        /// When the other one came.
        pub received_at: Timestamp,
    }
}

impl Read {
    /// The last two accepted reports of a node, the last first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn last_reports(&mut self, node: &NodeId) -> Result<Vec<String>, StoreError> {
        Ok(db!(self, connection => sqlx::query_scalar(
            "select note
               from reports
              where node = $1
              order by sequence desc
              limit 2",
        )
        .bind(node.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// The node's report with this number.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn report(&mut self, node: &NodeId, sequence: u64) -> Result<Option<Report>, StoreError> {
        let sequence = bigint("sequence", sequence)?;
        Ok(db!(self, connection => sqlx::query_as(
            "select node, sequence, note, note_hash, log_index, acked_size, epoch_grant, epoch_number,
                    start_at, end_at, received_at
               from reports
              where node = $1
                and sequence = $2",
        )
        .bind(node.as_str())
        .bind(sequence)
        .fetch_optional(connection)
        .await)?)
    }

    /// The node's last accepted report.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn head_report(&mut self, node: &NodeId) -> Result<Option<Report>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select node, sequence, note, note_hash, log_index, acked_size, epoch_grant, epoch_number,
                    start_at, end_at, received_at
               from reports
              where node = $1
              order by sequence desc
              limit 1",
        )
        .bind(node.as_str())
        .fetch_optional(connection)
        .await)?)
    }

    /// The node's closing report of an epoch: its highest sequence labelled with it whose entry lies below `log_size`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn closing_report(
        &mut self,
        node: &NodeId,
        grant: &GrantId,
        epoch: u64,
        log_size: u64,
    ) -> Result<Option<Report>, StoreError> {
        let (epoch, log_size) = (bigint("epoch", epoch)?, bigint("log size", log_size)?);
        Ok(db!(self, connection => sqlx::query_as(
            "select node, sequence, note, note_hash, log_index, acked_size, epoch_grant, epoch_number,
                    start_at, end_at, received_at
               from reports
              where node = $1
                and epoch_grant = $2
                and epoch_number = $3
                and log_index < $4
              order by sequence desc
              limit 1",
        )
        .bind(node.as_str())
        .bind(grant.as_str())
        .bind(epoch)
        .bind(log_size)
        .fetch_optional(connection)
        .await)?)
    }

    /// The node's first sequence labelled with an epoch of the grant from `from_epoch` on. The report before it, if
    /// there is one, is where the node's bytes for the grant begin to count.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn first_sequence_labelled(
        &mut self,
        node: &NodeId,
        grant: &GrantId,
        from_epoch: u64,
    ) -> Result<Option<u64>, StoreError> {
        let from_epoch = bigint("epoch", from_epoch)?;
        let first: Option<i64> = db!(self, connection => sqlx::query_scalar(
            "select min(sequence)
               from reports
              where node = $1
                and epoch_grant = $2
                and epoch_number >= $3",
        )
        .bind(node.as_str())
        .bind(grant.as_str())
        .bind(from_epoch)
        .fetch_one(connection)
        .await)?;
        Ok(first.map(i64::unsigned_abs))
    }

    /// The evidence against a node, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn evidence(&mut self, node: &NodeId) -> Result<Vec<Evidence>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select e.sequence,
                    r.note as accepted,
                    e.note as other,
                    e.received_at
               from evidence e
               join reports r
                 on r.node = e.node
                and r.sequence = e.sequence
              where e.node = $1
              order by e.received_at, e.sequence, e.note_hash",
        )
        .bind(node.as_str())
        .fetch_all(connection)
        .await)?)
    }
}

impl Write {
    /// Keeps accepted reports, whose entries were appended in this transaction.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for a used sequence, note or entry; [`StoreError::UnknownReference`] for an unknown node.
    pub async fn insert_reports(&mut self, reports: &[Report]) -> Result<(), StoreError> {
        let numbers = reports.iter().map(Numbers::of).collect::<Result<Vec<_>, _>>()?;
        let number = |of: fn(&Numbers) -> i64| Values::Number(numbers.iter().map(of).collect());
        let text = |of: fn(&Report) -> &str| Values::Text(reports.iter().map(of).collect());
        let time = |of: fn(&Report) -> Timestamp| {
            Values::Number(reports.iter().map(|report| of(report).unix_seconds()).collect())
        };
        let grants = reports.iter().map(|report| report.epoch_grant.as_ref().map(GrantId::as_str));
        let rows = ManyRows {
            insert:
                "insert into reports (node, sequence, note, note_hash, log_index, acked_size, epoch_grant,
                                  epoch_number, start_at, end_at, received_at)",
            columns: vec![
                text(|report| report.node.as_str()),
                number(|numbers| numbers.sequence),
                text(|report| report.note.as_str()),
                Values::Bytes(reports.iter().map(|report| report.note_hash.0.as_slice()).collect()),
                number(|numbers| numbers.log_index),
                number(|numbers| numbers.acked_size),
                Values::OptionalText(grants.collect()),
                Values::OptionalNumber(numbers.iter().map(|numbers| numbers.epoch_number).collect()),
                time(|report| report.start_at),
                time(|report| report.end_at),
                time(|report| report.received_at),
            ],
            on_conflict: "",
        };
        rows.insert(&mut self.transaction).await
    }

    /// Keeps another text under a used sequence; `false` when it is kept already, or the node has
    /// [`MAX_EVIDENCE_PER_NODE`].
    ///
    /// # Errors
    /// [`StoreError::UnknownReference`] for an unknown node.
    pub async fn insert_evidence(
        &mut self,
        node: &NodeId,
        sequence: u64,
        note: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (sequence, limit) = (bigint("sequence", sequence)?, bigint("evidence", MAX_EVIDENCE_PER_NODE)?);
        let note_hash = Hash::of(note.as_bytes());
        let kept = db!(self, connection => sqlx::query(
            "insert into evidence (node, sequence, note, note_hash, received_at)
             select $1, $2, $3, $4, $5
              where (select count(*) from evidence where node = $1) < $6
             on conflict (node, note_hash) do nothing",
        )
        .bind(node.as_str())
        .bind(sequence)
        .bind(note)
        .bind(note_hash.0.as_slice())
        .bind(now.unix_seconds())
        .bind(limit)
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(kept > 0)
    }
}

/// A report's numbers as the databases hold them.
struct Numbers {
    sequence: i64,
    log_index: i64,
    acked_size: i64,
    epoch_number: Option<i64>,
}

impl Numbers {
    fn of(report: &Report) -> Result<Self, StoreError> {
        Ok(Self {
            sequence: bigint("sequence", report.sequence)?,
            log_index: bigint("log index", report.log_index)?,
            acked_size: bigint("log size", report.acked_size)?,
            epoch_number: report.epoch_number.map(|number| bigint("epoch", number)).transpose()?,
        })
    }
}
