//! How facts lie in columns: ids and words as text, times and amounts as integers, hashes and keys as bytes.

use std::str::FromStr;

use sqlx::error::BoxDynError;
use sqlx::{ColumnIndex, Decode, Row, Type};
use transparency_log::Hash;
use wiregrant_core::allotment::{Level, Period};
use wiregrant_core::api::{ApplicationState, LineDecisionKind, NodeState, Pause};
use wiregrant_core::ledger::{Account, TransferKind};
use wiregrant_core::note::Origin;
use wiregrant_core::socks5::Socks5Username;
use wiregrant_core::usage_report::{Backend, Class};
use wiregrant_core::{
    AuditorId, BatchId, Bytes, DistributorId, FunderId, GrantId, LocationId, NodeId, OperatorId, Sats,
    Timestamp, TokenId, WireGuardPublicKey,
};

use crate::StoreError;

/// A fact that one column holds.
pub(crate) trait Column: Sized {
    /// What the driver gives.
    type Stored;
    /// The fact; an error where something else than this store wrote the column.
    fn from_stored(stored: Self::Stored) -> Result<Self, BoxDynError>;
}

/// Reads a column by name.
pub(crate) fn column<'r, R, C>(row: &'r R, name: &'static str) -> Result<C, sqlx::Error>
where
    R: Row,
    C: Column,
    C::Stored: Decode<'r, R::Database> + Type<R::Database>,
    &'static str: ColumnIndex<R>,
{
    C::from_stored(row.try_get(name)?)
        .map_err(|source| sqlx::Error::ColumnDecode { index: name.to_owned(), source })
}

/// Declares what one row holds: fields are columns of the same name, read by [`Column`] from either database.
macro_rules! row {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($(#[$field_doc:meta])* $field_vis:vis $field:ident: $kind:ty,)+ }) => {
        $(#[$doc])*
        $vis struct $name { $($(#[$field_doc])* $field_vis $field: $kind,)+ }
        $crate::column::row!(@from $name, sqlx::sqlite::SqliteRow, $($field)+);
        $crate::column::row!(@from $name, sqlx::postgres::PgRow, $($field)+);
    };
    (@from $name:ident, $row:ty, $($field:ident)+) => {
        impl<'r> sqlx::FromRow<'r, $row> for $name {
            fn from_row(row: &'r $row) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: $crate::column::column(row, stringify!($field))?,)+ })
            }
        }
    };
}
pub(crate) use row;

/// A number as SQL's BIGINT holds it.
///
/// # Errors
/// Above 2^63-1.
pub(crate) fn bigint(what: &'static str, number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::TooLarge {
        what,
        found: number,
        limit: i64::MAX.unsigned_abs(),
    })
}

macro_rules! text_columns {
    ($($fact:ty),+) => {$(
        impl Column for $fact {
            type Stored = String;
            fn from_stored(stored: String) -> Result<Self, BoxDynError> {
                Ok(Self::from_str(&stored)?)
            }
        }
    )+};
}
text_columns!(
    AuditorId,
    Account,
    ApplicationState,
    BatchId,
    DistributorId,
    FunderId,
    GrantId,
    LocationId,
    NodeId,
    OperatorId,
    Origin,
    Class,
    Backend,
    Level,
    LineDecisionKind,
    Pause,
    Period,
    Socks5Username,
    TokenId,
    TransferKind
);

macro_rules! integer_columns {
    ($($fact:ty),+) => {$(
        impl Column for $fact {
            type Stored = i64;
            fn from_stored(stored: i64) -> Result<Self, BoxDynError> {
                Ok(Self::try_from(stored)?)
            }
        }
    )+};
}
integer_columns!(u64, u32, Bytes, Sats);

impl Column for i64 {
    type Stored = Self;
    fn from_stored(stored: Self) -> Result<Self, BoxDynError> {
        Ok(stored)
    }
}

impl Column for Timestamp {
    type Stored = i64;
    fn from_stored(stored: i64) -> Result<Self, BoxDynError> {
        Ok(Self::from_unix_seconds(stored)?)
    }
}

impl Column for String {
    type Stored = Self;
    fn from_stored(stored: Self) -> Result<Self, BoxDynError> {
        Ok(stored)
    }
}

impl Column for Vec<u8> {
    type Stored = Self;
    fn from_stored(stored: Self) -> Result<Self, BoxDynError> {
        Ok(stored)
    }
}

impl Column for bool {
    type Stored = Self;
    fn from_stored(stored: Self) -> Result<Self, BoxDynError> {
        Ok(stored)
    }
}

impl Column for [u8; 32] {
    type Stored = Vec<u8>;
    fn from_stored(stored: Vec<u8>) -> Result<Self, BoxDynError> {
        Self::try_from(stored).map_err(|stored| format!("{} bytes where 32 belong", stored.len()).into())
    }
}

impl Column for Hash {
    type Stored = Vec<u8>;
    fn from_stored(stored: Vec<u8>) -> Result<Self, BoxDynError> {
        Ok(Self(<[u8; 32]>::from_stored(stored)?))
    }
}

impl Column for WireGuardPublicKey {
    type Stored = Vec<u8>;
    fn from_stored(stored: Vec<u8>) -> Result<Self, BoxDynError> {
        Ok(<[u8; 32]>::from_stored(stored)?.into())
    }
}

impl<C: Column> Column for Option<C> {
    type Stored = Option<C::Stored>;
    fn from_stored(stored: Self::Stored) -> Result<Self, BoxDynError> {
        stored.map(C::from_stored).transpose()
    }
}

impl Column for NodeState {
    type Stored = String;
    fn from_stored(stored: String) -> Result<Self, BoxDynError> {
        [Self::Active, Self::Frozen, Self::Retired]
            .into_iter()
            .find(|state| node_state_word(*state) == stored)
            .ok_or_else(|| format!("{stored:?} is no state of a node").into())
    }
}

/// The word under which a node's state is stored.
pub(crate) fn node_state_word(state: NodeState) -> &'static str {
    match state {
        NodeState::Active => "active",
        NodeState::Frozen => "frozen",
        NodeState::Retired => "retired",
    }
}
