//! What a database that was restored from a backup lacks: entries of the reports log without their reports, what nodes show of it,
//! and statements whose inputs are gone.

use sqlx::QueryBuilder;
use transparency_log::Hash;
use wiregrant_core::api::NodeState;
use wiregrant_core::{GrantId, NodeId};

use crate::column::{bigint, row};
use crate::session::db;
use crate::store::Pools;
use crate::{Read, Store, StoreError, Write};

/// The setting that says a database is behind what was signed with its keys: nothing is signed while it has a value. Every backup
/// bears it, so that it is there however the backup is put back.
pub const SETTING_BEHIND: &str = "behind";
/// Its value in a backup.
pub const BEHIND_RESTORED: &str = "restored";
/// The setting with the place that the database was made in, where it knows that it was moved by its tables.
const SETTING_PLACE: &str = "place";
/// Rows of one insert: five values each.
const ROWS_PER_INSERT: usize = 500;

row! {
    /// An entry of the reports log without its report.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AwaitedReport {
        /// Where it stands.
        pub log_index: u64,
        /// The hash of the report's note.
        pub note_hash: Hash,
        /// The size whose checkpoint acknowledges it.
        pub acked_size: u64,
        /// Whose it is, where a node has shown it.
        pub node: Option<NodeId>,
        /// Its number there.
        pub sequence: Option<u64>,
    }
}

row! {
    /// An acknowledgement that a node has shown.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Receipt {
        /// Where the report's entry stands.
        pub log_index: u64,
        /// The hash of its note.
        pub note_hash: Hash,
        /// Whose report.
        pub node: NodeId,
        /// Its number.
        pub sequence: u64,
        /// The size of the log that acknowledged it.
        pub checkpoint_size: u64,
        /// That log's signed checkpoint.
        pub checkpoint: String,
    }
}

row! {
    /// A node and where it is in its life.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct NodeInState {
        /// Which.
        pub node: NodeId,
        /// Its life.
        pub state: NodeState,
    }
}

impl Store {
    /// Marks a PostgreSQL database whose tables were made anew since it was marked last, which is what `pg_restore` does: then it
    /// came from a backup. SQLite's backups bear the mark themselves.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn mark_if_restored(&self) -> Result<(), StoreError> {
        let Pools::Postgres { readers, .. } = &self.pools else { return Ok(()) };
        let place: String = sqlx::query_scalar(
            "select s.system_identifier::text || ' ' || 'log_heads'::regclass::oid::text
               from pg_control_system() s",
        )
        .fetch_one(readers)
        .await?;
        let mut write = self.write().await?;
        let before = write.setting(SETTING_PLACE).await?;
        if before.as_ref() == Some(&place) {
            return Ok(());
        }
        if before.is_some() {
            write.put_setting(SETTING_BEHIND, BEHIND_RESTORED).await?;
        }
        write.put_setting(SETTING_PLACE, &place).await?;
        write.commit().await
    }
}

impl Read {
    /// What says that the database is behind; `None` while it is not.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn behind(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self.setting(SETTING_BEHIND).await?.filter(|value| !value.is_empty()))
    }

    /// The entry that waits for a report of this hash.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn awaited_report(&mut self, note_hash: Hash) -> Result<Option<AwaitedReport>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select log_index, note_hash, acked_size, node, sequence
               from awaited_reports
              where note_hash = $1",
        )
        .bind(note_hash.0.as_slice())
        .fetch_optional(connection)
        .await)?)
    }

    /// The entry that waits for the node's report of this number.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn awaited_report_of(
        &mut self,
        node: &NodeId,
        sequence: u64,
    ) -> Result<Option<AwaitedReport>, StoreError> {
        let sequence = bigint("sequence", sequence)?;
        Ok(db!(self, connection => sqlx::query_as(
            "select log_index, note_hash, acked_size, node, sequence
               from awaited_reports
              where node = $1
                and sequence = $2",
        )
        .bind(node.as_str())
        .bind(sequence)
        .fetch_optional(connection)
        .await)?)
    }

    /// The first place whose entry waits for its report.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn first_awaited_report(&mut self) -> Result<Option<u64>, StoreError> {
        let first: Option<i64> = db!(self, connection => sqlx::query_scalar(
            "select min(log_index)
               from awaited_reports",
        )
        .fetch_one(connection)
        .await)?;
        Ok(first.map(i64::unsigned_abs))
    }

    /// Every node and its life.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn node_states(&mut self) -> Result<Vec<NodeInState>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as("select node, state from nodes order by node")
            .fetch_all(connection)
            .await)?)
    }

    /// How many entries below this size wait for their reports.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn awaited_reports_below(&mut self, size: u64) -> Result<u64, StoreError> {
        let size = bigint("log size", size)?;
        let count: i64 = db!(self, connection => sqlx::query_scalar(
            "select count(*)
               from awaited_reports
              where log_index < $1",
        )
        .bind(size)
        .fetch_one(connection)
        .await)?;
        Ok(count.unsigned_abs())
    }

    /// All receipts of entries from `from` on, in their order.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn receipts(&mut self, from: u64) -> Result<Vec<Receipt>, StoreError> {
        let from = bigint("log index", from)?;
        Ok(db!(self, connection => sqlx::query_as(
            "select log_index, note_hash, node, sequence, checkpoint_size, checkpoint
               from receipts
              where log_index >= $1
              order by log_index",
        )
        .bind(from)
        .fetch_all(connection)
        .await)?)
    }

    /// The nodes that are not waited for any more.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn heard_nodes(&mut self) -> Result<Vec<String>, StoreError> {
        Ok(db!(self, connection => sqlx::query_scalar("select node from heard_nodes order by node")
            .fetch_all(connection)
            .await)?)
    }

    /// Epochs of a grant whose statements were imported and whose standings are not computed yet, in their order.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn imported_statements(&mut self, grant: &GrantId) -> Result<Vec<u64>, StoreError> {
        let epochs: Vec<i64> = db!(self, connection => sqlx::query_scalar(
            "select epoch
               from imported_statements
              where grant_id = $1
              order by epoch",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?;
        Ok(epochs.into_iter().map(i64::unsigned_abs).collect())
    }
}

impl Write {
    /// Keeps which entries wait for their reports. What is known of one already is kept.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for a hash that waits at another place.
    pub async fn await_reports(&mut self, awaited: &[AwaitedReport]) -> Result<(), StoreError> {
        for awaited in awaited.chunks(ROWS_PER_INSERT) {
            let mut rows = Vec::with_capacity(awaited.len());
            for row in awaited {
                let sequence = row.sequence.map(|number| bigint("sequence", number)).transpose()?;
                rows.push((
                    row,
                    bigint("log index", row.log_index)?,
                    bigint("log size", row.acked_size)?,
                    sequence,
                ));
            }
            db!(self, connection, Driver => {
                let mut insert = QueryBuilder::<Driver>::new(
                    "insert into awaited_reports (log_index, note_hash, acked_size, node, sequence) ",
                );
                insert.push_values(rows, |mut row, (awaited, index, size, sequence)| {
                    row.push_bind(index)
                        .push_bind(awaited.note_hash.0.as_slice())
                        .push_bind(size)
                        .push_bind(awaited.node.as_ref().map(NodeId::as_str))
                        .push_bind(sequence);
                });
                insert.build().persistent(false).execute(connection).await.map(drop)
            })?;
        }
        Ok(())
    }

    /// A node has shown whose an awaited report is; `false` where none waits at that place under that hash.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn attribute_awaited_report(&mut self, receipt: &Receipt) -> Result<bool, StoreError> {
        let (index, sequence) =
            (bigint("log index", receipt.log_index)?, bigint("sequence", receipt.sequence)?);
        let found = db!(self, connection => sqlx::query(
            "update awaited_reports
                set node = $3, sequence = $4
              where log_index = $1
                and note_hash = $2",
        )
        .bind(index)
        .bind(receipt.note_hash.0.as_slice())
        .bind(receipt.node.as_str())
        .bind(sequence)
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(found > 0)
    }

    /// The report of an entry is here.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn report_came(&mut self, log_index: u64) -> Result<(), StoreError> {
        let index = bigint("log index", log_index)?;
        db!(self, connection => sqlx::query("delete from awaited_reports where log_index = $1")
            .bind(index)
            .execute(connection)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Keeps a receipt; one that is kept for its place stays, and is given back.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_receipt(&mut self, receipt: &Receipt) -> Result<Receipt, StoreError> {
        let (index, sequence) =
            (bigint("log index", receipt.log_index)?, bigint("sequence", receipt.sequence)?);
        let size = bigint("log size", receipt.checkpoint_size)?;
        Ok(db!(self, connection => sqlx::query_as(
            "insert into receipts (log_index, note_hash, node, sequence, checkpoint_size, checkpoint)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (log_index) do update
                set log_index = excluded.log_index
             returning log_index, note_hash, node, sequence, checkpoint_size, checkpoint",
        )
        .bind(index)
        .bind(receipt.note_hash.0.as_slice())
        .bind(receipt.node.as_str())
        .bind(sequence)
        .bind(size)
        .bind(receipt.checkpoint.as_str())
        .fetch_one(connection)
        .await)?)
    }

    /// This node is not waited for any more.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_heard_node(&mut self, node: &NodeId) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into heard_nodes (node)
             values ($1)
             on conflict (node) do nothing",
        )
        .bind(node.as_str())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Forgets receipts and who was heard: the database has caught up, or begins to.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn forget_receipts(&mut self) -> Result<(), StoreError> {
        for forget in ["delete from receipts", "delete from heard_nodes"] {
            db!(self, connection => sqlx::query(forget).execute(connection).await.map(drop))?;
        }
        Ok(())
    }

    /// Keeps that a statement was imported without its inputs.
    ///
    /// # Errors
    /// [`StoreError::UnknownReference`] for an unknown grant.
    pub async fn put_imported_statement(&mut self, grant: &GrantId, epoch: u64) -> Result<(), StoreError> {
        let epoch = bigint("epoch", epoch)?;
        db!(self, connection => sqlx::query(
            "insert into imported_statements (grant_id, epoch)
             values ($1, $2)",
        )
        .bind(grant.as_str())
        .bind(epoch)
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// The standings that an imported statement leaves are computed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn forget_imported_statement(&mut self, grant: &GrantId, epoch: u64) -> Result<(), StoreError> {
        let epoch = bigint("epoch", epoch)?;
        db!(self, connection => sqlx::query(
            "delete from imported_statements
              where grant_id = $1
                and epoch = $2",
        )
        .bind(grant.as_str())
        .bind(epoch)
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }
}
