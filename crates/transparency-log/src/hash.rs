//! `Hash`: SHA-256 as RFC 6962 uses it for leaves and nodes.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

use crate::error::{LogError, excerpt};

/// Length of a hash in bytes.
pub const HASH_BYTES: usize = 32;

/// Length of a hash as text.
const HASH_CHARS: usize = 44;

/// Root of the tree without leaves: SHA-256 of nothing (RFC 9162, 2.1.1).
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// A SHA-256 value. As text it is padded base64, in the one canonical spelling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(
    /// The 32 bytes.
    pub [u8; HASH_BYTES],
);

impl Hash {
    /// Plain SHA-256 of `bytes`, for naming a note or a file. A leaf of a tree is [`leaf_hash`].
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// 64 lowercase hexadecimal digits, for file names.
    #[must_use]
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; HASH_CHARS];
        BASE64.encode_mut(&self.0, &mut text);
        f.write_str(std::str::from_utf8(&text).expect("base64 is ASCII"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        let refused = || LogError::HashFormat { found: excerpt(text) };
        // The length is checked first so that a long text costs nothing to refuse.
        if text.len() != HASH_CHARS {
            return Err(refused());
        }
        // 44 characters without padding are 33 bytes.
        let mut bytes = [0; HASH_BYTES + 1];
        match BASE64.decode_mut(text.as_bytes(), &mut bytes) {
            Ok(HASH_BYTES) => {
                let [hash @ .., _] = bytes;
                Ok(Self(hash))
            }
            _ => Err(refused()),
        }
    }
}

/// Hash of an entry as a leaf: SHA-256(0x00 || entry), RFC 9162, 2.1.1.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
}

/// Hash of an inner node: SHA-256(0x01 || left || right), RFC 9162, 2.1.1.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// Roots of the perfect subtrees that a run of sibling hashes falls into, largest (leftmost) first. The run starts at
/// an index that is a multiple of the next power of two above its length, as the hashes of a tile do.
pub(crate) fn perfect_roots(hashes: &[Hash]) -> Vec<Hash> {
    let mut roots = Vec::new();
    let mut rest = hashes;
    while !rest.is_empty() {
        let width = 1 << rest.len().ilog2();
        let (perfect, right) = rest.split_at(width);
        roots.push(perfect_root(perfect));
        rest = right;
    }
    roots
}

/// Root of a perfect subtree given its lowest row, whose length is a power of two.
pub(crate) fn perfect_root(row: &[Hash]) -> Hash {
    debug_assert!(row.len().is_power_of_two(), "{} hashes are no perfect subtree", row.len());
    let mut row = row.to_vec();
    while row.len() > 1 {
        row = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    row[0]
}

/// Joins the roots of perfect subtrees of falling size, right to left; `None` for no subtree at all.
pub(crate) fn join_right_to_left(roots: &[Hash]) -> Option<Hash> {
    roots.iter().rev().copied().reduce(|right, left| node_hash(&left, &right))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_empty_root_is_the_hash_of_nothing() {
        assert_eq!(EMPTY_ROOT, Hash::of(b""));
        assert_eq!(EMPTY_ROOT.to_hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(EMPTY_ROOT.to_string(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn leaf_and_node_are_told_apart() {
        // The two known answers are the first root and the second root of the RFC 6962 vectors.
        assert_eq!(
            leaf_hash(b"").to_hex(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        let two = node_hash(&leaf_hash(b""), &leaf_hash(&[0]));
        assert_eq!(two.to_hex(), "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    }

    #[test]
    fn a_hash_has_one_spelling() {
        for refused in [
            "",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFVV",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSu===",
        ] {
            assert!(refused.parse::<Hash>().is_err(), "{refused:?} must be refused");
        }
    }

    proptest! {
        #[test]
        fn a_printed_hash_reads_back(bytes: [u8; 32]) {
            prop_assert_eq!(Hash(bytes).to_string().parse(), Ok(Hash(bytes)));
        }

        #[test]
        fn what_reads_as_a_hash_prints_the_same(text in "[A-Za-z0-9+/]{42}[A-Za-z0-9+/=]=|.*") {
            if let Ok(hash) = text.parse::<Hash>() {
                prop_assert_eq!(hash.to_string(), text);
            }
        }
    }
}
