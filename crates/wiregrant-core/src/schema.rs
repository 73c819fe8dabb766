//! JSON Schemas of the facts that are written as text, in the form in which they are read.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::note::{Network, Origin};
use crate::socks5::Socks5Username;
use crate::{
    AuditorId, BatchId, Bytes, DistributorId, FunderId, GrantId, LocationId, NodeId, OperatorId, Sats,
    Timestamp, TokenId, Units, WireGuardPublicKey,
};

/// An id.
const ID: &str = "^[a-z0-9][a-z0-9-]{0,39}$";
/// An integer that may pass 2^53.
const NUMBER: &str = "^(0|[1-9][0-9]{0,18})$";
/// A moment, to the second, in UTC.
const MOMENT: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$";
/// 32 bytes in padded base64.
const KEY: &str = "^[A-Za-z0-9+/]{43}=$";

macro_rules! texts {
    ($($fact:ident: $pattern:expr, $says:literal;)+) => {$(
        impl JsonSchema for $fact {
            fn schema_name() -> Cow<'static, str> {
                stringify!($fact).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $says })
            }
        }
    )+};
}

texts! {
    OperatorId: ID, "An operator's id.";
    NodeId: ID, "A node's id.";
    GrantId: ID, "A grant's id.";
    DistributorId: ID, "A distributor's id.";
    LocationId: ID, "A location's id, such as `de-fra`.";
    BatchId: ID, "A batch's id.";
    FunderId: ID, "A funder's id.";
    AuditorId: ID, "An auditor's id.";
    TokenId: ID, "What a token is called; not secret.";
    Bytes: NUMBER, "Bytes, as a decimal string.";
    Sats: NUMBER, "Satoshis, as a decimal string.";
    Units: NUMBER, "Units of credit, as a decimal string.";
    Timestamp: MOMENT, "A moment in UTC, to the second.";
    WireGuardPublicKey: KEY, "A WireGuard public key: 32 bytes in padded base64.";
    Origin: "^[!-~]{1,200}$", "A log's origin.";
    Network: "^(bitcoin|testnet4|signet|regtest)$", "A Bitcoin network.";
    Socks5Username: "^[a-z0-9]{1,32}$", "A SOCKS5 username.";
}
