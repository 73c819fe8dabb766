//! Who may sign in: bearer tokens (as keyed hashes) and the distributors among their owners.

use transparency_log::Hash;
use wiregrant_core::{DistributorId, OperatorId, Timestamp};

use crate::column::row;
use crate::session::db;
use crate::{Read, StoreError, Write};

/// Who a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Party {
    /// Whoever runs the control plane.
    Administrator,
    /// An operator.
    Operator(OperatorId),
    /// A distributor.
    Distributor(DistributorId),
}

impl Party {
    fn role(&self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Operator(_) => "operator",
            Self::Distributor(_) => "distributor",
        }
    }

    fn subject(&self) -> &str {
        match self {
            Self::Administrator => "",
            Self::Operator(operator) => operator.as_str(),
            Self::Distributor(distributor) => distributor.as_str(),
        }
    }

    fn from_columns(role: &str, subject: &str) -> Result<Self, StoreError> {
        let damaged = |found: &dyn std::fmt::Display| StoreError::corrupt("tokens", found);
        match role {
            "administrator" => Ok(Self::Administrator),
            "operator" => subject.parse().map(Self::Operator).map_err(|error| damaged(&error)),
            "distributor" => subject.parse().map(Self::Distributor).map_err(|error| damaged(&error)),
            other => Err(damaged(&format!("role {other:?}"))),
        }
    }
}

row! {
    /// A distributor and what they have issued.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct DistributorOverview {
        /// The id.
        pub distributor: DistributorId,
        /// Access codes issued.
        pub codes_issued: u64,
    }
}

impl Read {
    /// Who the token with this keyed hash speaks for.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn party_of_token(&mut self, token_hash: Hash) -> Result<Option<Party>, StoreError> {
        let found: Option<(String, String)> = db!(self, connection => sqlx::query_as(
            "select role, subject
               from tokens
              where token_hash = $1",
        )
        .bind(token_hash.0.as_slice())
        .fetch_optional(connection)
        .await)?;
        found.map(|(role, subject)| Party::from_columns(&role, &subject)).transpose()
    }

    /// All distributors, by id.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn distributors(&mut self) -> Result<Vec<DistributorOverview>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select d.distributor,
                    (select count(*)
                       from access_codes
                      where class = 'assigned'
                        and issuer = d.distributor) as codes_issued
               from distributors d
              order by d.distributor",
        )
        .fetch_all(connection)
        .await)?)
    }
}

impl Write {
    /// Keeps the keyed hash of a new token.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    pub async fn insert_token(
        &mut self,
        token_hash: Hash,
        party: &Party,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into tokens (token_hash, role, subject, created_at)
             values ($1, $2, $3, $4)",
        )
        .bind(token_hash.0.as_slice())
        .bind(party.role())
        .bind(party.subject())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Keeps a new distributor.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    pub async fn insert_distributor(
        &mut self,
        distributor: &DistributorId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into distributors (distributor, created_at)
             values ($1, $2)",
        )
        .bind(distributor.as_str())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }
}
