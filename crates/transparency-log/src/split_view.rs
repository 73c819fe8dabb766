//! `SplitView`: two checkpoints by which a log convicts itself of having shown two histories.

use std::fmt;

use crate::checkpoint::Checkpoint;
use crate::error::LogError;
use crate::hash::Hash;
use crate::key::Verifier;

/// Two checkpoints of one log and one size with different roots, both signed by the log. No append-only log can have
/// both, whatever its leaves: who holds the log's key and these two notes needs nothing else to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitView {
    /// The log.
    pub origin: String,
    /// Leaves of both trees.
    pub size: u64,
    /// Their roots, which differ.
    pub roots: [Hash; 2],
    /// The signed notes, verbatim, with all their cosignatures.
    pub checkpoints: [String; 2],
}

impl SplitView {
    /// The evidence in two checkpoints, which are signed notes. `None` where they agree, or where their sizes differ:
    /// then only a consistency proof, or the lack of one, can tell.
    ///
    /// # Errors
    /// As [`Checkpoint::parse_verified`]: what the log did not sign is no evidence against it.
    pub fn between(first: &str, second: &str, log: &Verifier) -> Result<Option<Self>, LogError> {
        let [one, other] =
            [Checkpoint::parse_verified(first, log)?, Checkpoint::parse_verified(second, log)?];
        if one.size != other.size || one.root == other.root {
            return Ok(None);
        }
        Ok(Some(Self {
            origin: one.origin,
            size: one.size,
            roots: [one.root, other.root],
            checkpoints: [first.to_owned(), second.to_owned()],
        }))
    }
}

impl fmt::Display for SplitView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = self.roots;
        write!(f, "log {} signed two trees of {} leaves, under {one} and {other}", self.origin, self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;
    use crate::key::SigningKey;

    fn key() -> SigningKey {
        SigningKey::new("example.com/log", [7; 32]).unwrap()
    }

    fn signed(by: &SigningKey, size: u64, leaf: &[u8]) -> String {
        Checkpoint { origin: by.name().to_owned(), size, root: leaf_hash(leaf) }.sign(by).unwrap()
    }

    #[test]
    fn two_roots_of_one_size_are_evidence() {
        let (first, second) = (signed(&key(), 7, b"one"), signed(&key(), 7, b"two"));
        let split = SplitView::between(&first, &second, &key().verifier()).unwrap().unwrap();
        assert_eq!((split.size, split.roots), (7, [leaf_hash(b"one"), leaf_hash(b"two")]));
        let [first, second] = &split.checkpoints;
        assert_eq!(SplitView::between(first, second, &key().verifier()), Ok(Some(split.clone())));
        assert!(split.to_string().starts_with("log example.com/log signed two trees of 7 leaves, under "));
    }

    #[test]
    fn agreeing_or_growing_checkpoints_are_none() {
        let first = signed(&key(), 7, b"one");
        let cosigned = format!("{first}\u{2014} witness.example AAAAAQI=\n");
        for second in [&first, &cosigned, &signed(&key(), 8, b"two")] {
            assert_eq!(SplitView::between(&first, second, &key().verifier()), Ok(None));
        }
    }

    #[test]
    fn nobody_can_frame_a_log() {
        let stranger = SigningKey::new("example.com/log", [8; 32]).unwrap();
        let other_log = SigningKey::new("example.com/other", [7; 32]).unwrap();
        let genuine = signed(&key(), 7, b"one");
        let root = leaf_hash(b"one").to_string();
        let forged = genuine.replace(&root, &leaf_hash(b"two").to_string());
        for forged in [signed(&stranger, 7, b"two"), signed(&other_log, 7, b"two"), forged, String::new()] {
            assert!(SplitView::between(&genuine, &forged, &key().verifier()).is_err(), "{forged}");
            assert!(SplitView::between(&forged, &genuine, &key().verifier()).is_err(), "{forged}");
        }
    }
}
