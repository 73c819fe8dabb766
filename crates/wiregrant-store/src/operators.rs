//! Operators and where they are paid.

use transparency_log::Hash;
use wiregrant_core::{OperatorId, Timestamp};

use crate::column::{bigint, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

row! {
    /// An operator.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Operator {
        /// The id.
        pub operator: OperatorId,
        /// The key they sign destinations with; without one the control plane signs.
        pub vkey: Option<String>,
        /// Since when.
        pub created_at: Timestamp,
    }
}

row! {
    /// One destination of an operator's chain.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Destination {
        /// Whose.
        pub operator: OperatorId,
        /// Counted from 1.
        pub sequence: u64,
        /// The signed note.
        pub note: String,
        /// Its hash.
        pub note_hash: Hash,
        /// Where the sats go.
        pub pay: String,
        /// Whether the operator's own key signed the note.
        pub signed_by_operator: bool,
        /// A signature by the address itself (BIP 322).
        pub ownership: Option<String>,
        /// Since when.
        pub created_at: Timestamp,
    }
}

impl Read {
    /// One operator.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn operator(&mut self, operator: &OperatorId) -> Result<Option<Operator>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select operator, vkey, created_at
               from operators
              where operator = $1",
        )
        .bind(operator.as_str())
        .fetch_optional(connection)
        .await)?)
    }

    /// All operators, by id.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn operators(&mut self) -> Result<Vec<Operator>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select operator, vkey, created_at
               from operators
              order by operator",
        )
        .fetch_all(connection)
        .await)?)
    }

    /// The operator's destination with this number.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn destination(
        &mut self,
        operator: &OperatorId,
        sequence: u64,
    ) -> Result<Option<Destination>, StoreError> {
        let sequence = bigint("sequence", sequence)?;
        Ok(db!(self, connection => sqlx::query_as(
            "select operator, sequence, note, note_hash, pay, signed_by_operator, ownership, created_at
               from destinations
              where operator = $1
                and sequence = $2",
        )
        .bind(operator.as_str())
        .bind(sequence)
        .fetch_optional(connection)
        .await)?)
    }

    /// The newest destination: of one operator, or of each that has one, by operator.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn newest_destinations(
        &mut self,
        operator: Option<&OperatorId>,
    ) -> Result<Vec<Destination>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select d.operator, d.sequence, d.note, d.note_hash, d.pay, d.signed_by_operator,
                    d.ownership, d.created_at
               from destinations d
              where ($1 is null or d.operator = $1)
                and d.sequence = (select max(sequence) from destinations where operator = d.operator)
              order by d.operator",
        )
        .bind(operator.map(OperatorId::as_str))
        .fetch_all(connection)
        .await)?)
    }

    /// All destinations of an operator, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn destinations(&mut self, operator: &OperatorId) -> Result<Vec<Destination>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select operator, sequence, note, note_hash, pay, signed_by_operator, ownership, created_at
               from destinations
              where operator = $1
              order by sequence",
        )
        .bind(operator.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// The operator's newest destination.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn newest_destination(
        &mut self,
        operator: &OperatorId,
    ) -> Result<Option<Destination>, StoreError> {
        Ok(self.newest_destinations(Some(operator)).await?.pop())
    }
}

impl Write {
    /// Keeps a new operator.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    pub async fn insert_operator(
        &mut self,
        operator: &OperatorId,
        vkey: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into operators (operator, vkey, created_at)
             values ($1, $2, $3)",
        )
        .bind(operator.as_str())
        .bind(vkey)
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Keeps the next destination of an operator.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for a used sequence or the same note; [`StoreError::UnknownReference`].
    pub async fn insert_destination(&mut self, destination: &Destination) -> Result<(), StoreError> {
        let sequence = bigint("sequence", destination.sequence)?;
        db!(self, connection => sqlx::query(
            "insert into destinations (operator, sequence, note, note_hash, pay, signed_by_operator, ownership, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(destination.operator.as_str())
        .bind(sequence)
        .bind(destination.note.as_str())
        .bind(destination.note_hash.0.as_slice())
        .bind(destination.pay.as_str())
        .bind(destination.signed_by_operator)
        .bind(destination.ownership.as_deref())
        .bind(destination.created_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }
}
