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
        let checkpoint = Self::parse_body(&note.text)?;
        checkpoint.check(verifier.name())?;
        Ok(checkpoint)
    }

    /// Reads the text of a checkpoint, extension lines allowed and dropped, whoever signed it.
    pub(crate) fn parse_body(text: &str) -> Result<Self, LogError> {
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(LogError::CheckpointFormat {
                reason: "fewer than the three lines origin, size, root",
            });
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(LogError::CheckpointFormat { reason: "an empty line in its text" });
        }
        let size = parse_number("checkpoint size", size)?;
        Ok(Self { origin: origin.to_owned(), size, root: root.parse()? })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::leaf_hash;

    fn key() -> SigningKey {
        SigningKey::new("example.com/log", [7; 32]).unwrap()
    }

    fn read(body: &str) -> Result<Checkpoint, LogError> {
        Checkpoint::parse_verified(&key().sign_note(body).unwrap(), &key().verifier())
    }

    const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

    #[test]
    fn the_body_is_that_of_the_spec() {
        let body = format!("example.com/behind-the-sofa\n20852163\n{ROOT}\n");
        let origin = "example.com/behind-the-sofa".to_owned();
        let checkpoint = Checkpoint { origin, size: 20_852_163, root: ROOT.parse().unwrap() };
        assert_eq!(checkpoint.body(), body);
    }

    #[test]
    fn witness_lines_and_extension_lines_are_allowed() {
        let signed = key().sign_note(&format!("example.com/log\n7\n{ROOT}\nextension\n")).unwrap();
        let signed = format!("{signed}\u{2014} witness.example AAAAAQI=\n");
        let checkpoint = Checkpoint::parse_verified(&signed, &key().verifier()).unwrap();
        assert_eq!((checkpoint.size, checkpoint.root.to_string().as_str()), (7, ROOT));
    }

    #[test]
    fn a_body_that_is_no_checkpoint_is_refused_although_signed() {
        for body in [
            "example.com/log\n7\n".to_owned(),
            format!("example.com/log\n07\n{ROOT}\n"),
            format!("example.com/log\n-7\n{ROOT}\n"),
            format!("example.com/log\n9223372036854775808\n{ROOT}\n"),
            format!("example.com/log\n7\n{ROOT} \n"),
            format!("example.com/log\n7\n{ROOT}\n\n"),
            format!("example.com/log\n7\n{ROOT}\n\nextension\n"),
            format!("example.com/log\n0\n{ROOT}\n"),
            format!("\n7\n{ROOT}\n"),
        ] {
            assert!(read(&body).is_err(), "{body:?} must be refused");
        }
    }

    #[test]
    fn one_logs_key_cannot_speak_for_another_log() {
        let body = format!("example.com/other\n7\n{ROOT}\n");
        assert!(matches!(read(&body), Err(LogError::Origin { .. })));
        let other =
            Checkpoint { origin: "example.com/other".to_owned(), size: 7, root: ROOT.parse().unwrap() };
        assert!(matches!(other.sign(&key()), Err(LogError::Origin { .. })));
    }

    #[test]
    fn an_unsigned_checkpoint_is_refused() {
        let stranger = SigningKey::new("example.com/log", [8; 32]).unwrap();
        let signed = stranger.sign_note(&format!("example.com/log\n7\n{ROOT}\n")).unwrap();
        let refused = Checkpoint::parse_verified(&signed, &key().verifier());
        assert!(matches!(refused, Err(LogError::NotSigned { .. })), "{refused:?}");
    }

    #[test]
    fn what_could_not_be_read_back_is_not_signed() {
        let origin = || "example.com/log".to_owned();
        let too_large = Checkpoint { origin: origin(), size: MAX_TREE_SIZE + 1, root: leaf_hash(b"") };
        assert!(matches!(too_large.sign(&key()), Err(LogError::TreeTooLarge { .. })));
        let not_empty = Checkpoint { origin: origin(), size: 0, root: leaf_hash(b"") };
        assert!(matches!(not_empty.sign(&key()), Err(LogError::CheckpointFormat { .. })));
        let empty = Checkpoint { origin: origin(), size: 0, root: EMPTY_ROOT };
        assert_eq!(read(&empty.body()), Ok(empty));
    }

    proptest! {
        #[test]
        fn a_signed_checkpoint_reads_back(size in 1..=MAX_TREE_SIZE, root: [u8; 32]) {
            let checkpoint = Checkpoint { origin: "example.com/log".to_owned(), size, root: Hash(root) };
            let signed = checkpoint.sign(&key()).unwrap();
            prop_assert_eq!(Checkpoint::parse_verified(&signed, &key().verifier()), Ok(checkpoint));
        }

        #[test]
        fn what_reads_as_a_checkpoint_prints_the_same(body in "example.com/log\n[0-9]{1,20}\n[A-Za-z0-9+/]{42}[AEIMQ=]=\n|(?s).{0,40}\n") {
            if let Ok(signed) = key().sign_note(&body)
                && let Ok(checkpoint) = Checkpoint::parse_verified(&signed, &key().verifier())
            {
                prop_assert_eq!(checkpoint.body(), body);
            }
        }
    }
}
