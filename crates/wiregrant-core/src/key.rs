//! WireGuard's Curve25519 keys as wiregrant passes them around; making them is left to whoever has randomness.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::FactError;

const EXPECTED: &str = "a WireGuard key: 44 characters of base64 for 32 bytes, as `wg pubkey` prints it";

fn decode(field: &'static str, text: &str) -> Result<[u8; 32], FactError> {
    BASE64
        .decode(text.as_bytes())
        .ok()
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        .ok_or_else(|| FactError::value(field, text, EXPECTED))
}

/// The public key of a peer: 32 bytes, written as `wg` writes it (padded base64).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct WireGuardPublicKey([u8; 32]);

impl WireGuardPublicKey {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.as_chunks::<8>().0.iter().copied().map(u64::from_be_bytes)
    }

    /// Refuses the points of small order that Curve25519 maps every private key onto (RFC 7748, section 6.1): such a
    /// "key" belongs to nobody.
    ///
    /// # Errors
    /// When the key is one of the twelve encodings of a point of small order.
    pub fn checked(self) -> Result<Self, FactError> {
        // The all-zero point, the point one, and the four low-order u-coordinates with their aliases above the
        // prime; list: https://cr.yp.to/ecdh.html#validate
        const LOW_ORDER: [&str; 7] = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ];
        let mut masked = self.0;
        masked[31] &= 0x7f; // X25519 ignores the top bit
        if LOW_ORDER.contains(&data_encoding::HEXLOWER.encode(&masked).as_str()) {
            return Err(FactError::value(
                "public_key",
                &self.to_string(),
                "a usable WireGuard public key (this one has small order); make a new pair with `wg genkey`",
            ));
        }
        Ok(self)
    }
}

impl Ord for WireGuardPublicKey {
    /// Bytewise, as arrays are compared, but eight bytes at a time: an agent orders ten thousand keys several times a minute, and a
    /// call of `memcmp` for each pair would be most of that.
    fn cmp(&self, other: &Self) -> Ordering {
        self.words().cmp(other.words())
    }
}

impl PartialOrd for WireGuardPublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<[u8; 32]> for WireGuardPublicKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for WireGuardPublicKey {
    type Err = FactError;
    fn from_str(text: &str) -> Result<Self, FactError> {
        decode("public_key", text).map(Self)
    }
}

impl TryFrom<String> for WireGuardPublicKey {
    type Error = FactError;
    fn try_from(text: String) -> Result<Self, FactError> {
        text.parse()
    }
}

/// Runs `write` with the key's text, for which no memory is taken: an agent writes ten thousand of them in one record.
fn with_text<T>(key: &WireGuardPublicKey, write: impl FnOnce(&str) -> T) -> T {
    let mut text = [0; 44];
    BASE64.encode_mut(&key.0, &mut text);
    write(std::str::from_utf8(&text).expect("base64 is ASCII"))
}

impl fmt::Display for WireGuardPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_text(self, |text| f.write_str(text))
    }
}

impl Serialize for WireGuardPublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        with_text(self, |text| serializer.serialize_str(text))
    }
}

impl fmt::Debug for WireGuardPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WireGuardPublicKey({self})")
    }
}

/// A private key: never printed by `Debug`, never serialised, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct WireGuardPrivateKey([u8; 32]);

impl WireGuardPrivateKey {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key as `wg genkey` prints it, for the owner's own file. The caller wipes it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.0)
    }
}

impl From<[u8; 32]> for WireGuardPrivateKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for WireGuardPrivateKey {
    type Err = FactError;
    /// The error never repeats the value.
    fn from_str(text: &str) -> Result<Self, FactError> {
        decode("private_key", text).map(Self).map_err(|_| FactError::value("private_key", "…", EXPECTED))
    }
}

impl fmt::Debug for WireGuardPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WireGuardPrivateKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_ordered_as_their_bytes_are(one: [u8; 32], other: [u8; 32], same in 0..=32usize) {
            let mut near = other;
            near[..same].copy_from_slice(&one[..same]);
            for other in [other, near] {
                let keys = (WireGuardPublicKey::from(one), WireGuardPublicKey::from(other));
                prop_assert_eq!(keys.0.cmp(&keys.1), one.cmp(&other));
            }
        }
    }

    #[test]
    fn a_key_is_written_as_wg_writes_it() {
        let text = "cU1fVfGCXVXAxQ2CYk7LnzwzTXRzG3LMw6Z2lDyCAmU=";
        assert_eq!(text.parse::<WireGuardPublicKey>().unwrap().to_string(), text);
        for bad in ["", "cU1fVfGCXVXAxQ2CYk7LnzwzTXRzG3LMw6Z2lDyCAmU", "AAAA", &text.replace('U', " ")] {
            assert!(bad.parse::<WireGuardPublicKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        let mut point_one = [0; 32];
        point_one[0] = 1;
        for mut bytes in [[0; 32], point_one] {
            assert!(WireGuardPublicKey::from(bytes).checked().is_err());
            bytes[31] |= 0x80;
            assert!(WireGuardPublicKey::from(bytes).checked().is_err());
        }
        assert!(WireGuardPublicKey::from([9; 32]).checked().is_ok());
    }

    #[test]
    fn a_private_key_shows_itself_in_no_debug_line_and_no_error() {
        let key = WireGuardPrivateKey::from([7; 32]);
        assert_eq!(format!("{key:?}"), "WireGuardPrivateKey(…)");
        let error = "c2VjcmV0".parse::<WireGuardPrivateKey>().unwrap_err();
        assert!(!error.to_string().contains("c2VjcmV0"));
    }
}
