//! `Checkpoint`: the signed statement of a log that it has so many leaves under this root (c2sp.org/tlog-checkpoint).

use crate::error::{LogError, excerpt};
use crate::hash::{EMPTY_ROOT, Hash};
use crate::key::{SigningKey, Verifier};
use crate::note::Note;
use crate::number::parse_number;
use crate::tile::MAX_TREE_SIZE;

/// Origin, size and root of a log's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity, which is also the name of its key.
    pub origin: String,
    /// Leaves of the tree, at most 2^63-1.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

impl Checkpoint {
    /// The three lines that are signed, each with its newline. No extension lines.
    #[must_use]
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// The signed note over [`Checkpoint::body`].
    ///
    /// # Errors
    /// [`LogError::Origin`] when `key` has another name than the log, [`LogError::TreeTooLarge`], or
    /// [`LogError::CheckpointFormat`]: whatever is signed here can be read by [`Checkpoint::parse_verified`].
    pub fn sign(&self, key: &SigningKey) -> Result<String, LogError> {
        if self.size > MAX_TREE_SIZE {
            return Err(LogError::TreeTooLarge { size: self.size });
        }
        self.check(key.name())?;
        key.sign_note(&self.body())
    }

    /// Reads a checkpoint and verifies the log's own signature. Other signature lines (witnesses) and extension lines
    /// are allowed and ignored; keep the note's text where they matter.
    ///
    /// # Errors
    /// As [`Note::parse`] and [`Note::verified_by`]; [`LogError::CheckpointFormat`]; [`LogError::Origin`] when the
    /// first line is not the verifier's name.
    pub fn parse_verified(note: &str, verifier: &Verifier) -> Result<Self, LogError> {
        let note = Note::parse(note)?;
        note.verified_by(verifier)?;
        let mut lines = note.text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(LogError::CheckpointFormat {
                reason: "fewer than the three lines origin, size, root",
            });
        };
        if lines.any(str::is_empty) {
            return Err(LogError::CheckpointFormat { reason: "an empty extension line" });
        }
        let size = parse_number("checkpoint size", size)?;
        let checkpoint = Self { origin: origin.to_owned(), size, root: root.parse()? };
        checkpoint.check(verifier.name())?;
        Ok(checkpoint)
    }

    /// What signer and reader both hold: the key is the log's, and an empty tree has the empty root.
    fn check(&self, key: &str) -> Result<(), LogError> {
        if self.origin != key {
            return Err(LogError::Origin { origin: excerpt(&self.origin), key: excerpt(key) });
        }
        if self.size == 0 && self.root != EMPTY_ROOT {
            return Err(LogError::CheckpointFormat { reason: "a tree of 0 leaves has another root" });
        }
        Ok(())
    }
}
