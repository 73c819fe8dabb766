//! Values that stand in notes' fields and belong to no other noun: salts, origins, networks, hashes, times.

use std::fmt::{self, Display};
use std::str::FromStr;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use transparency_log::Hash;

use crate::{FactError, Timestamp};

/// Parses SHA-256 in padded base64.
///
/// # Errors
/// Names `field` and the value.
pub fn parse_hash(field: &'static str, text: &str) -> Result<Hash, FactError> {
    text.parse().map_err(|_| FactError::value(field, text, "a SHA-256 in padded base64 (44 characters)"))
}

/// Parses a signed time field.
///
/// # Errors
/// As [`Timestamp`]'s own, under the name `field`.
pub fn parse_time(field: &'static str, text: &str) -> Result<Timestamp, FactError> {
    text.parse().map_err(|_| FactError::value(field, text, "a moment in UTC like 2026-07-06T12:00:00Z"))
}

/// Length of a salt as text.
const SALT_CHARS: usize = 24;

/// 16 random bytes that keep a note's hash from being guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Salt(pub [u8; 16]);

impl Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; SALT_CHARS];
        BASE64.encode_mut(&self.0, &mut text);
        f.write_str(std::str::from_utf8(&text).expect("base64 is ASCII"))
    }
}

impl FromStr for Salt {
    type Err = FactError;
    fn from_str(text: &str) -> Result<Self, FactError> {
        BASE64
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| FactError::value("salt", text, "16 bytes in padded base64 (24 characters)"))
    }
}

impl TryFrom<String> for Salt {
    type Error = FactError;
    fn try_from(text: String) -> Result<Self, FactError> {
        text.parse()
    }
}

impl From<Salt> for String {
    fn from(salt: Salt) -> String {
        salt.to_string()
    }
}

/// The name of a log: the first line of its checkpoints and the name of its key, such as `grants.example/record`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

impl Origin {
    /// Longest origin, in characters.
    pub const MAX_CHARS: usize = 200;

    /// The origin as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = FactError;
    fn from_str(text: &str) -> Result<Self, FactError> {
        let good = (1..=Self::MAX_CHARS).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'+')
            && text != "-";
        if good {
            return Ok(Self(text.to_owned()));
        }
        Err(FactError::value(
            "log",
            text,
            "an origin: 1 to 200 printable ASCII characters without spaces and '+'",
        ))
    }
}

impl TryFrom<String> for Origin {
    type Error = FactError;
    fn try_from(text: String) -> Result<Self, FactError> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> String {
        origin.0
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The Bitcoin network in which a control plane pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The main network.
    Bitcoin,
    /// The fourth test network (BIP 94).
    Testnet4,
    /// The signed test network (BIP 325).
    Signet,
    /// A private network for tests.
    Regtest,
}

impl Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bitcoin => "bitcoin",
            Self::Testnet4 => "testnet4",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        })
    }
}

impl FromStr for Network {
    type Err = FactError;
    fn from_str(text: &str) -> Result<Self, FactError> {
        [Self::Bitcoin, Self::Testnet4, Self::Signet, Self::Regtest]
            .into_iter()
            .find(|network| network.to_string() == text)
            .ok_or_else(|| FactError::value("network", text, "bitcoin, testnet4, signet or regtest"))
    }
}
