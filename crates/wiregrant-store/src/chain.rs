//! What the chain has shown of batches: decisions, declarations, transactions seen, blocks followed.
//!
//! Hashes of Bitcoin are kept as Bitcoin shows them, 64 hexadecimal digits, because that is how people look them up.

use transparency_log::Hash;
use wiregrant_core::{BatchId, Timestamp};

use crate::column::row;
use crate::session::db;
use crate::{Batch, Read, StoreError, Write};

row! {
    /// What was decided about a batch. Nothing decided yet has no row.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct BatchDecisions {
        /// The batch.
        pub batch: BatchId,
        /// A PSBT was declared that pays just this batch.
        pub verified_at: Option<Timestamp>,
        /// It was asked to be cancelled.
        pub cancel_asked_at: Option<Timestamp>,
        /// Why.
        pub cancel_reason: Option<String>,
        /// The record says that it will not be paid.
        pub void_at: Option<Timestamp>,
        /// Why.
        pub void_reason: Option<String>,
        /// The record says that it was paid.
        pub paid_at: Option<Timestamp>,
        /// By which transaction.
        pub paid_txid: Option<String>,
        /// It was paid so deep that it is no longer looked at.
        pub closed_at: Option<Timestamp>,
        /// Its transaction, or a list of what to pay, left the control plane: a signed copy may exist.
        pub exported_at: Option<Timestamp>,
        /// The batch that stands in for it.
        pub replaced_by: Option<BatchId>,
    }
}

row! {
    /// What the funder says pays a batch.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Declaration {
        /// The batch.
        pub batch: BatchId,
        /// `txid`, `transaction` or `psbt`.
        pub kind: String,
        /// It: hexadecimal, or base64 for a PSBT.
        pub content: String,
        /// Since when.
        pub declared_at: Timestamp,
    }
}

row! {
    /// A transaction that has to do with a batch, and where it is: in a block, waiting, or (neither) gone.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Sighting {
        /// Its id.
        pub txid: String,
        /// It, in hexadecimal.
        pub tx: String,
        /// The batch it counts for.
        pub batch: Option<BatchId>,
        /// The height of its block.
        pub height: Option<u32>,
        /// The hash of its block.
        pub block_hash: Option<String>,
        /// Its place in its block.
        pub block_index: Option<u32>,
        /// Whether it waits for a block.
        pub waiting: bool,
        /// When it was seen first.
        pub seen_at: Timestamp,
    }
}

row! {
    /// A block of the chain that was followed.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FollowedBlock {
        /// Blocks before it.
        pub height: u32,
        /// Its hash.
        pub hash: String,
        /// The hash of the block before it.
        pub previous: String,
        /// The time in its header, in Unix seconds.
        pub header_time: u32,
    }
}

impl Read {
    /// All decisions, by batch.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn batch_decisions(&mut self) -> Result<Vec<BatchDecisions>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select batch, verified_at, cancel_asked_at, cancel_reason, void_at, void_reason, paid_at, paid_txid,
                    closed_at, exported_at, replaced_by
               from batch_decisions
              order by batch",
        )
        .fetch_all(connection)
        .await)?)
    }

    /// What was decided about one batch.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn decisions_of_batch(
        &mut self,
        batch: &BatchId,
    ) -> Result<Option<BatchDecisions>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select batch, verified_at, cancel_asked_at, cancel_reason, void_at, void_reason, paid_at, paid_txid,
                    closed_at, exported_at, replaced_by
               from batch_decisions
              where batch = $1",
        )
        .bind(batch.as_str())
        .fetch_optional(connection)
        .await)?)
    }

    /// The batches that are still looked at, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn watched_batches(&mut self) -> Result<Vec<Batch>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select b.batch, b.grant_id, b.note, b.note_hash, b.psbt, b.coins, b.change_address, b.fee_rate, b.fee,
                    b.change_sats, b.left_out, b.created_at
               from batches b
               left join batch_decisions d on d.batch = b.batch
              where d.closed_at is null
              order by b.created_at, b.batch",
        )
        .fetch_all(connection)
        .await)?)
    }

    /// What was declared for batches that are still looked at, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn watched_declarations(&mut self) -> Result<Vec<Declaration>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select l.batch, l.kind, l.content, l.declared_at
               from declarations l
               left join batch_decisions d on d.batch = l.batch
              where d.closed_at is null
              order by l.declared_at, l.batch, l.content_hash",
        )
        .fetch_all(connection)
        .await)?)
    }

    /// Transactions that may still have to do with a batch that is looked at, by id.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn watched_sightings(&mut self) -> Result<Vec<Sighting>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select s.txid, s.tx, s.batch, s.height, s.block_hash, s.block_index, s.waiting, s.seen_at
               from sightings s
               left join batch_decisions d on d.batch = s.batch
              where d.closed_at is null
              order by s.txid",
        )
        .fetch_all(connection)
        .await)?)
    }

    /// The newest blocks that were followed, lowest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn followed_blocks(&mut self) -> Result<Vec<FollowedBlock>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select height, hash, previous, header_time
               from followed_blocks
              order by height",
        )
        .fetch_all(connection)
        .await)?)
    }
}

impl Write {
    /// Keeps what was decided about a batch; what was decided before and is left out here is gone, so read it first.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a batch both paid and void; [`StoreError::UnknownReference`] without the batch.
    pub async fn put_batch_decisions(&mut self, decided: &BatchDecisions) -> Result<(), StoreError> {
        let seconds = |at: Option<Timestamp>| at.map(Timestamp::unix_seconds);
        db!(self, connection => sqlx::query(
            "insert into batch_decisions (batch, verified_at, cancel_asked_at, cancel_reason, void_at, void_reason,
                                          paid_at, paid_txid, closed_at, exported_at, replaced_by)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             on conflict (batch) do update
                set verified_at     = excluded.verified_at,
                    cancel_asked_at = excluded.cancel_asked_at,
                    cancel_reason   = excluded.cancel_reason,
                    void_at         = excluded.void_at,
                    void_reason     = excluded.void_reason,
                    paid_at         = excluded.paid_at,
                    paid_txid       = excluded.paid_txid,
                    closed_at       = excluded.closed_at,
                    exported_at     = excluded.exported_at,
                    replaced_by     = excluded.replaced_by",
        )
        .bind(decided.batch.as_str())
        .bind(seconds(decided.verified_at))
        .bind(seconds(decided.cancel_asked_at))
        .bind(decided.cancel_reason.as_deref())
        .bind(seconds(decided.void_at))
        .bind(decided.void_reason.as_deref())
        .bind(seconds(decided.paid_at))
        .bind(decided.paid_txid.as_deref())
        .bind(seconds(decided.closed_at))
        .bind(seconds(decided.exported_at))
        .bind(decided.replaced_by.as_ref().map(BatchId::as_str))
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Keeps what the funder says pays a batch; said again, nothing changes.
    ///
    /// # Errors
    /// [`StoreError::UnknownReference`] without the batch.
    pub async fn put_declaration(&mut self, declaration: &Declaration) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into declarations (batch, content_hash, kind, content, declared_at)
             values ($1, $2, $3, $4, $5)
             on conflict (batch, content_hash) do nothing",
        )
        .bind(declaration.batch.as_str())
        .bind(Hash::of(declaration.content.as_bytes()).0.as_slice())
        .bind(declaration.kind.as_str())
        .bind(declaration.content.as_str())
        .bind(declaration.declared_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Keeps a transaction, or where it is now and what it counts for.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for one both in a block and waiting.
    pub async fn put_sighting(&mut self, seen: &Sighting) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into sightings (txid, tx, batch, height, block_hash, block_index, waiting, seen_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8)
             on conflict (txid) do update
                set batch       = excluded.batch,
                    height      = excluded.height,
                    block_hash  = excluded.block_hash,
                    block_index = excluded.block_index,
                    waiting     = excluded.waiting",
        )
        .bind(seen.txid.as_str())
        .bind(seen.tx.as_str())
        .bind(seen.batch.as_ref().map(BatchId::as_str))
        .bind(seen.height.map(i64::from))
        .bind(seen.block_hash.as_deref())
        .bind(seen.block_index.map(i64::from))
        .bind(seen.waiting)
        .bind(seen.seen_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Forgets the followed blocks from a height on, and those below another.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn forget_followed_blocks(&mut self, from: u32, below: u32) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "delete from followed_blocks
              where height >= $1
                 or height < $2",
        )
        .bind(i64::from(from))
        .bind(i64::from(below))
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Keeps one more followed block.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where one stands at this height.
    pub async fn insert_followed_block(&mut self, block: &FollowedBlock) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into followed_blocks (height, hash, previous, header_time)
             values ($1, $2, $3, $4)",
        )
        .bind(i64::from(block.height))
        .bind(block.hash.as_str())
        .bind(block.previous.as_str())
        .bind(i64::from(block.header_time))
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Lets go of a batch's lines, so that another may hold them.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn release_lines(&mut self, batch: &BatchId) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "delete from reserved_lines
              where batch = $1",
        )
        .bind(batch.as_str())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }
}
