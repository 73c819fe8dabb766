//! What follows from destinations when a batch is frozen: indexes of descriptors, each used once, and the proofs of names.
//! Also batches that are asked for and not frozen yet.

use wiregrant_core::{BatchId, GrantId, OperatorId, Timestamp};

use crate::column::{bigint, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

row! {
    /// An index of a descriptor that a batch has used.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct DerivedAddress {
        /// The descriptor's address at index 0, which tells it from all others.
        pub first_address: String,
        /// The index.
        pub derivation_index: u64,
        /// By which batch.
        pub batch: BatchId,
        /// For whom; empty for the funder's change.
        pub operator: String,
        /// How many entries the record had when the batch was frozen.
        pub record_size: u64,
    }
}

row! {
    /// The proof by which a name had the address that a batch pays.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct NameProof {
        /// The batch.
        pub batch: BatchId,
        /// Whose name.
        pub operator: OperatorId,
        /// In which destination.
        pub destination_sequence: u64,
        /// The chain of DNS records, base64.
        pub proof: String,
        /// When it was fetched.
        pub looked_up_at: Timestamp,
    }
}

row! {
    /// A batch that is asked for.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct DraftBatch {
        /// Its id.
        pub batch: BatchId,
        /// The grant it will pay.
        pub grant_id: GrantId,
        /// What was asked for, as JSON.
        pub asked: String,
        /// Since when.
        pub created_at: Timestamp,
    }
}

impl Read {
    /// The highest index that was used of a descriptor.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn newest_derived_address(
        &mut self,
        first_address: &str,
    ) -> Result<Option<DerivedAddress>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select first_address, derivation_index, batch, operator, record_size
               from derived_addresses
              where first_address = $1
              order by derivation_index desc
              limit 1",
        )
        .bind(first_address)
        .fetch_optional(connection)
        .await)?)
    }

    /// The proofs of names that a batch's addresses follow from, by operator.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn name_proofs_of_batch(&mut self, batch: &BatchId) -> Result<Vec<NameProof>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select batch, operator, destination_sequence, proof, looked_up_at
               from name_proofs
              where batch = $1
              order by operator, destination_sequence",
        )
        .bind(batch.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// All drafts, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn draft_batches(&mut self) -> Result<Vec<DraftBatch>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select batch, grant_id, asked, created_at
               from draft_batches
              order by created_at, batch",
        )
        .fetch_all(connection)
        .await)?)
    }

    /// One draft.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn draft_batch(&mut self, batch: &BatchId) -> Result<Option<DraftBatch>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select batch, grant_id, asked, created_at
               from draft_batches
              where batch = $1",
        )
        .bind(batch.as_str())
        .fetch_optional(connection)
        .await)?)
    }
}

impl Write {
    /// Keeps that an index was used, for good.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where it was used before: the batch must not be frozen.
    pub async fn insert_derived_address(&mut self, used: &DerivedAddress) -> Result<(), StoreError> {
        let index = bigint("derivation_index", used.derivation_index)?;
        let record_size = bigint("record_size", used.record_size)?;
        db!(self, connection => sqlx::query(
            "insert into derived_addresses (first_address, derivation_index, batch, operator, record_size)
             values ($1, $2, $3, $4, $5)",
        )
        .bind(used.first_address.as_str())
        .bind(index)
        .bind(used.batch.as_str())
        .bind(used.operator.as_str())
        .bind(record_size)
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Keeps the proof of a name.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::UnknownReference`].
    pub async fn insert_name_proof(&mut self, proof: &NameProof) -> Result<(), StoreError> {
        let sequence = bigint("destination_sequence", proof.destination_sequence)?;
        db!(self, connection => sqlx::query(
            "insert into name_proofs (batch, operator, destination_sequence, proof, looked_up_at)
             values ($1, $2, $3, $4, $5)",
        )
        .bind(proof.batch.as_str())
        .bind(proof.operator.as_str())
        .bind(sequence)
        .bind(proof.proof.as_str())
        .bind(proof.looked_up_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Keeps a draft, in the place of one of the same id.
    ///
    /// # Errors
    /// [`StoreError::UnknownReference`] without the grant.
    pub async fn put_draft_batch(&mut self, draft: &DraftBatch) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into draft_batches (batch, grant_id, asked, created_at)
             values ($1, $2, $3, $4)
             on conflict (batch) do update
                set grant_id = excluded.grant_id,
                    asked    = excluded.asked",
        )
        .bind(draft.batch.as_str())
        .bind(draft.grant_id.as_str())
        .bind(draft.asked.as_str())
        .bind(draft.created_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Forgets a draft, if there is one.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn delete_draft_batch(&mut self, batch: &BatchId) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "delete from draft_batches
              where batch = $1",
        )
        .bind(batch.as_str())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Lets a batch hold its lines again, after [`Write::release_lines`] of the one that held them.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for a line that another batch holds.
    pub async fn hold_lines_again(&mut self, batch: &BatchId) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into reserved_lines (operator, grant_id, epoch, batch)
             select operator, grant_id, epoch, batch
               from batch_lines
              where batch = $1",
        )
        .bind(batch.as_str())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }
}
