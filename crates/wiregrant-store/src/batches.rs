//! Payout batches and their lines.

use transparency_log::Hash;
use wiregrant_core::{BatchId, GrantId, OperatorId, Sats, Timestamp};

use crate::column::{bigint, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

row! {
    /// A batch.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Batch {
        /// The id.
        pub batch: BatchId,
        /// The grant it pays.
        pub grant_id: GrantId,
        /// The signed `wiregrant/batch/v1` note.
        pub note: String,
        /// Its hash.
        pub note_hash: Hash,
        /// The unsigned transaction, base64; empty where the funder's wallet chooses the coins.
        pub psbt: String,
        /// The coins it was asked for with, as JSON; a second request for the batch is compared with them.
        pub coins: String,
        /// Where the change goes; empty as above.
        pub change_address: String,
        /// Sats a virtual byte, as asked for.
        pub fee_rate: u64,
        /// What the transaction costs.
        pub fee: Sats,
        /// What goes back to the funder.
        pub change_sats: Option<Sats>,
        /// Lines left out and why, as JSON.
        pub left_out: String,
        /// Since when.
        pub created_at: Timestamp,
    }
}

row! {
    /// One operator's sats of one statement, paid by a batch.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct BatchLine {
        /// The batch.
        pub batch: BatchId,
        /// Whose sats.
        pub operator: OperatorId,
        /// Of which grant.
        pub grant_id: GrantId,
        /// Of which epoch.
        pub epoch: u64,
        /// How many; at least 1.
        pub sats: Sats,
        /// Where they go.
        pub address: String,
        /// The operator's destination it follows from.
        pub destination_sequence: u64,
    }
}

impl Read {
    /// One batch.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn batch(&mut self, batch: &BatchId) -> Result<Option<Batch>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select batch, grant_id, note, note_hash, psbt, coins, change_address, fee_rate, fee, change_sats,
                    left_out, created_at
               from batches
              where batch = $1",
        )
        .bind(batch.as_str())
        .fetch_optional(connection)
        .await)?)
    }

    /// All batches, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn batches(&mut self) -> Result<Vec<Batch>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select batch, grant_id, note, note_hash, psbt, coins, change_address, fee_rate, fee, change_sats,
                    left_out, created_at
               from batches
              order by created_at, batch",
        )
        .fetch_all(connection)
        .await)?)
    }

    /// The lines of a batch, by operator and epoch.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn lines_of_batch(&mut self, batch: &BatchId) -> Result<Vec<BatchLine>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select batch, operator, grant_id, epoch, sats, address, destination_sequence
               from batch_lines
              where batch = $1
              order by operator, epoch",
        )
        .bind(batch.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// The lines of a grant that a batch holds which is not void, by epoch and operator.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn reserved_lines_of_grant(&mut self, grant: &GrantId) -> Result<Vec<BatchLine>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select l.batch, l.operator, l.grant_id, l.epoch, l.sats, l.address, l.destination_sequence
               from reserved_lines r
               join batch_lines l
                 on l.batch = r.batch and l.operator = r.operator and l.grant_id = r.grant_id and l.epoch = r.epoch
              where r.grant_id = $1
              order by l.epoch, l.operator",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?)
    }
}

impl Write {
    /// Keeps a batch, which holds its lines from now on.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for a used id, or a line that another batch holds (table `reserved_lines`);
    /// [`StoreError::UnknownReference`] for a line without its statement or destination.
    pub async fn insert_batch(&mut self, batch: &Batch, lines: &[BatchLine]) -> Result<(), StoreError> {
        let fee_rate = bigint("fee rate", batch.fee_rate)?;
        db!(self, connection => sqlx::query(
            "insert into batches (batch, grant_id, note, note_hash, psbt, coins, change_address, fee_rate, fee,
                                  change_sats, left_out, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(batch.batch.as_str())
        .bind(batch.grant_id.as_str())
        .bind(batch.note.as_str())
        .bind(batch.note_hash.0.as_slice())
        .bind(batch.psbt.as_str())
        .bind(batch.coins.as_str())
        .bind(batch.change_address.as_str())
        .bind(fee_rate)
        .bind(batch.fee.as_i64())
        .bind(batch.change_sats.map(Sats::as_i64))
        .bind(batch.left_out.as_str())
        .bind(batch.created_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        for line in lines {
            self.insert_batch_line(line).await?;
            self.reserve_line(line).await?;
        }
        Ok(())
    }

    async fn insert_batch_line(&mut self, line: &BatchLine) -> Result<(), StoreError> {
        let epoch = bigint("epoch", line.epoch)?;
        let destination_sequence = bigint("sequence", line.destination_sequence)?;
        db!(self, connection => sqlx::query(
            "insert into batch_lines (batch, operator, grant_id, epoch, sats, address, destination_sequence)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(line.batch.as_str())
        .bind(line.operator.as_str())
        .bind(line.grant_id.as_str())
        .bind(epoch)
        .bind(line.sats.as_i64())
        .bind(line.address.as_str())
        .bind(destination_sequence)
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    async fn reserve_line(&mut self, line: &BatchLine) -> Result<(), StoreError> {
        let epoch = bigint("epoch", line.epoch)?;
        db!(self, connection => sqlx::query(
            "insert into reserved_lines (operator, grant_id, epoch, batch)
             values ($1, $2, $3, $4)",
        )
        .bind(line.operator.as_str())
        .bind(line.grant_id.as_str())
        .bind(epoch)
        .bind(line.batch.as_str())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }
}
