//! How a device shows itself to a node's SOCKS5 service: the username and password of RFC 1929, as the node knows them.

pub mod metering;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use transparency_log::Hash;

use crate::FactError;

/// The longest username, in characters. RFC 1929 would allow 255.
pub const MAX_USERNAME_CHARS: usize = 32;
const EXPECTED: &str = "1 to 32 of a-z and 0-9";

/// A device's name at the SOCKS5 service: drawn at random, says nothing about the person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Socks5Username(String);

impl Socks5Username {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Socks5Username {
    type Err = FactError;
    fn from_str(text: &str) -> Result<Self, FactError> {
        let known = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        let whole = (1..=MAX_USERNAME_CHARS).contains(&text.len()) && text.chars().all(known);
        if whole { Ok(Self(text.to_owned())) } else { Err(FactError::value("username", text, EXPECTED)) }
    }
}

impl TryFrom<String> for Socks5Username {
    type Error = FactError;
    fn try_from(text: String) -> Result<Self, FactError> {
        text.parse()
    }
}

impl From<Socks5Username> for String {
    fn from(username: Socks5Username) -> String {
        username.0
    }
}

impl fmt::Display for Socks5Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a node knows of a device's login. The password itself is shown to the person once and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Socks5Login {
    /// The username.
    pub username: Socks5Username,
    /// SHA-256 of the password, padded base64. A plain hash is enough: the password is at least 120 random bits, which nobody
    /// finds by trying.
    #[serde(with = "as_text")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub password_hash: Hash,
}

impl Socks5Login {
    /// Whether this is the password. The comparison of hashes gives away nothing that helps to guess one.
    #[must_use]
    pub fn accepts(&self, password: &[u8]) -> bool {
        Hash::of(password) == self.password_hash
    }
}

mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Hash;

    pub fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(hash)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_login_accepts_its_password_and_no_other() {
        let login =
            Socks5Login { username: "k7d2m9".parse().unwrap(), password_hash: Hash::of(b"correct horse") };
        assert!(login.accepts(b"correct horse"));
        assert!(!login.accepts(b"correct hors") && !login.accepts(b""));
        let json = serde_json::to_string(&login).unwrap();
        assert!(!json.contains("horse"));
        assert_eq!(serde_json::from_str::<Socks5Login>(&json).unwrap(), login);
    }

    proptest! {
        #[test]
        fn a_username_is_read_as_it_is_written_or_refused(text in ".{0,40}") {
            if let Ok(username) = text.parse::<Socks5Username>() {
                prop_assert_eq!(username.to_string(), text);
            }
        }
    }
}
