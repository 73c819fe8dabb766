//! Named tokens: who signs in with what, for which organisation. Only the keyed hash of a token is here.

use transparency_log::Hash;
use wiregrant_core::api::{Organisation, Role};
use wiregrant_core::{AuditorId, DistributorId, FunderId, OperatorId, Timestamp, TokenId};

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
    /// A funder.
    Funder(FunderId),
    /// An auditor.
    Auditor(AuditorId),
}

impl Party {
    /// Its role.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Administrator => Role::Administrator,
            Self::Operator(_) => Role::Operator,
            Self::Distributor(_) => Role::Distributor,
            Self::Funder(_) => Role::Funder,
            Self::Auditor(_) => Role::Auditor,
        }
    }

    /// Its id; none for the administrators.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Administrator => None,
            Self::Operator(operator) => Some(operator.as_str()),
            Self::Distributor(distributor) => Some(distributor.as_str()),
            Self::Funder(funder) => Some(funder.as_str()),
            Self::Auditor(auditor) => Some(auditor.as_str()),
        }
    }

    fn subject(&self) -> &str {
        self.id().unwrap_or_default()
    }

    fn from_columns(role: &str, subject: &str) -> Result<Self, StoreError> {
        let damaged = |found: &dyn std::fmt::Display| StoreError::corrupt("tokens", found);
        let role: Role = role.parse().map_err(|error| damaged(&error))?;
        let party = match role {
            Role::Administrator => Ok(Self::Administrator),
            Role::Operator => subject.parse().map(Self::Operator),
            Role::Distributor => subject.parse().map(Self::Distributor),
            Role::Funder => subject.parse().map(Self::Funder),
            Role::Auditor => subject.parse().map(Self::Auditor),
        };
        party.map_err(|error| damaged(&error))
    }
}

impl From<&Party> for Organisation {
    fn from(party: &Party) -> Self {
        Self { role: party.role(), id: party.id().map(str::to_owned) }
    }
}

/// A token to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What it is called.
    pub token: TokenId,
    /// Its keyed hash.
    pub hash: Hash,
    /// For whom.
    pub party: Party,
    /// The person who holds it.
    pub holder: String,
    /// The token that it was asked for with.
    pub made_by: Option<TokenId>,
    /// Whether it signs in once only.
    pub one_time: bool,
    /// Signs in from here on.
    pub valid_from: Timestamp,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is called.
    pub token: TokenId,
    /// Whose it is.
    pub party: Party,
    /// The person who holds it.
    pub holder: String,
    /// The token that it was asked for with.
    pub made_by: Option<TokenId>,
    /// Whether it signs in once only.
    pub one_time: bool,
    /// Made when.
    pub created_at: Timestamp,
    /// Signs in from here on.
    pub valid_from: Timestamp,
    /// When it was used up.
    pub spent_at: Option<Timestamp>,
    /// Since when it does not sign in any more.
    pub revoked_at: Option<Timestamp>,
}

row! {
    struct TokenRow {
        token: TokenId,
        role: String,
        subject: String,
        holder: String,
        made_by: Option<TokenId>,
        one_time: bool,
        created_at: Timestamp,
        valid_from: Timestamp,
        spent_at: Option<Timestamp>,
        revoked_at: Option<Timestamp>,
    }
}

impl TryFrom<TokenRow> for Token {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        Ok(Self {
            party: Party::from_columns(&row.role, &row.subject)?,
            token: row.token,
            holder: row.holder,
            made_by: row.made_by,
            one_time: row.one_time,
            created_at: row.created_at,
            valid_from: row.valid_from,
            spent_at: row.spent_at,
            revoked_at: row.revoked_at,
        })
    }
}

impl Read {
    /// The token with this keyed hash, whether it still signs in or not.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn token_of_hash(&mut self, token_hash: Hash) -> Result<Option<Token>, StoreError> {
        let row: Option<TokenRow> = db!(self, connection => sqlx::query_as(
            "select token, role, subject, holder, made_by, one_time, created_at, valid_from, spent_at, revoked_at
               from tokens
              where token_hash = $1",
        )
        .bind(token_hash.0.as_slice())
        .fetch_optional(connection)
        .await)?;
        row.map(Token::try_from).transpose()
    }

    /// The token of this name.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn token(&mut self, token: &TokenId) -> Result<Option<Token>, StoreError> {
        let row: Option<TokenRow> = db!(self, connection => sqlx::query_as(
            "select token, role, subject, holder, made_by, one_time, created_at, valid_from, spent_at, revoked_at
               from tokens
              where token = $1",
        )
        .bind(token.as_str())
        .fetch_optional(connection)
        .await)?;
        row.map(Token::try_from).transpose()
    }

    /// The tokens of one party, revoked ones too, in the order they were made.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn tokens_of(&mut self, party: &Party) -> Result<Vec<Token>, StoreError> {
        let rows: Vec<TokenRow> = db!(self, connection => sqlx::query_as(
            "select token, role, subject, holder, made_by, one_time, created_at, valid_from, spent_at, revoked_at
               from tokens
              where role = $1
                and subject = $2
              order by created_at, token",
        )
        .bind(party.role().as_str())
        .bind(party.subject())
        .fetch_all(connection)
        .await)?;
        rows.into_iter().map(Token::try_from).collect()
    }
}

impl Write {
    /// Keeps the keyed hash of a new token.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    pub async fn insert_token(&mut self, new: &NewToken, now: Timestamp) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into tokens (token, token_hash, role, subject, holder, made_by, one_time, created_at, valid_from)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(new.token.as_str())
        .bind(new.hash.0.as_slice())
        .bind(new.party.role().as_str())
        .bind(new.party.subject())
        .bind(new.holder.as_str())
        .bind(new.made_by.as_ref().map(TokenId::as_str))
        .bind(new.one_time)
        .bind(now.unix_seconds())
        .bind(new.valid_from.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Uses up a token that signs in once; sessions opened with it stay. Whether it was not used up before.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn spend_token(&mut self, token: &TokenId, now: Timestamp) -> Result<bool, StoreError> {
        let spent: u64 = db!(self, connection => sqlx::query(
            "update tokens
                set spent_at = $2
              where token = $1
                and one_time
                and spent_at is null",
        )
        .bind(token.as_str())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(spent == 1)
    }

    /// Ends a token and every session opened with it; the row stays, so that what its holder did keeps a name.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn revoke_token(&mut self, token: &TokenId, now: Timestamp) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "update tokens
                set revoked_at = $2
              where token = $1
                and revoked_at is null",
        )
        .bind(token.as_str())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        db!(self, connection => sqlx::query(
            "delete from sessions
              where token = $1",
        )
        .bind(token.as_str())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }
}
