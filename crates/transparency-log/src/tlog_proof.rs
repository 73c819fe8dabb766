//! `LogProof`: index, inclusion proof and checkpoint as one text that is checked offline (c2sp.org/tlog-proof@v1).

use std::fmt;
use std::fmt::Write as _;
use std::ops::Range;
use std::str::FromStr;

use data_encoding::BASE64;

use crate::checkpoint::Checkpoint;
use crate::error::LogError;
use crate::hash::{Hash, leaf_hash};
use crate::key::Verifier;
use crate::note::Note;
use crate::number::parse_number;
use crate::proof::{HashSource, Subtrees, check_size, split, verify_inclusion};

/// Longest proof that is read, in bytes: room for a checkpoint with many post-quantum witness signatures.
pub const MAX_PROOF_BYTES: usize = 1 << 20;

/// Most hashes of an inclusion proof: the height of a tree of 2^63-1 leaves.
pub const MAX_PROOF_HASHES: usize = 63;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1\n";
/// A hash in base64, and the end of its line.
const LINE_BYTES: usize = 45;

/// That an entry is in a log, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProof {
    /// Index of the entry, from 0.
    pub index: u64,
    /// Inclusion proof, from the leaf's sibling upwards.
    pub hashes: Vec<Hash>,
    /// The log's checkpoint, a signed note, verbatim.
    pub checkpoint: String,
    /// Data of the application that nothing signs: do not trust it.
    pub extra: Option<Vec<u8>>,
}

impl LogProof {
    /// Checks the log's signature and that `entry` stands at the index; returns the checkpoint that says so.
    ///
    /// # Errors
    /// As [`Checkpoint::parse_verified`] and [`verify_inclusion`].
    pub fn verify(&self, entry: &[u8], verifier: &Verifier) -> Result<Checkpoint, LogError> {
        let checkpoint = Checkpoint::parse_verified(&self.checkpoint, verifier)?;
        verify_inclusion(&leaf_hash(entry), self.index, checkpoint.size, &self.hashes, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FIRST_LINE)?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// The proofs of consecutive entries in the tree of `size` leaves under its checkpoint, as text, in their order: for each what a
/// [`LogProof`] with its [`inclusion_proof`](crate::inclusion_proof) and nothing extra prints. Each tile is read once, and each
/// subtree hashed and written once, however many paths it lies beside.
///
/// # Errors
/// Those of the source; [`LogError::IndexOutsideTree`], [`LogError::TileWidth`], [`LogError::TreeTooLarge`].
pub fn log_proofs<S: HashSource>(
    entries: Range<u64>,
    size: u64,
    checkpoint: &str,
    source: &S,
) -> Result<Vec<String>, S::Error> {
    check_size(size)?;
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    if entries.end > size {
        return Err(LogError::IndexOutsideTree { index: entries.end - 1, size }.into());
    }
    let subtrees = Subtrees::new(size, source);
    let mut paths = Paths { entries, checkpoint, subtrees, beside: Vec::new(), proofs: Vec::new() };
    paths.descend(&(0..size))?;
    Ok(paths.proofs)
}

/// The way from the root down to each of some entries.
struct Paths<'a, S> {
    entries: Range<u64>,
    checkpoint: &'a str,
    subtrees: Subtrees<'a, S>,
    /// The lines of the subtrees that lie beside the way so far, from the root downwards.
    beside: Vec<String>,
    proofs: Vec<String>,
}

impl<S: HashSource> Paths<'_, S> {
    /// Goes on within a subtree, left to right, at most 63 deep.
    fn descend(&mut self, within: &Range<u64>) -> Result<(), S::Error> {
        if within.end - within.start == 1 {
            self.proofs.push(self.proof(within.start));
            return Ok(());
        }
        let middle = within.start + split(within.end - within.start);
        let [left, right] = [within.start..middle, middle..within.end];
        for (down, beside) in [(&left, &right), (&right, &left)] {
            if self.entries.start < down.end && down.start < self.entries.end {
                let mut line = String::with_capacity(LINE_BYTES);
                BASE64.encode_append(&self.subtrees.hash(beside)?.0, &mut line);
                line.push('\n');
                self.beside.push(line);
                self.descend(down)?;
                self.beside.pop();
            }
        }
        Ok(())
    }

    fn proof(&self, index: u64) -> String {
        let lines: usize = self.beside.iter().map(String::len).sum();
        let mut text = String::with_capacity(FIRST_LINE.len() + 32 + lines + self.checkpoint.len());
        text.push_str(FIRST_LINE);
        writeln!(text, "index {index}").expect("a string takes all");
        self.beside.iter().rev().for_each(|line| text.push_str(line));
        text.push('\n');
        text.push_str(self.checkpoint);
        text
    }
}

impl FromStr for LogProof {
    type Err = LogError;

    /// Reads a proof. What is accepted prints back identically.
    ///
    /// # Errors
    /// [`LogError::ProofFormat`], [`LogError::TooLong`], [`LogError::NumberFormat`], [`LogError::HashFormat`],
    /// [`LogError::ProofLength`], or those of [`Checkpoint::parse_verified`] for the
    /// checkpoint, save for its signature.
    fn from_str(text: &str) -> Result<Self, LogError> {
        let refused = |reason| LogError::ProofFormat { reason };
        if text.len() > MAX_PROOF_BYTES {
            return Err(LogError::TooLong { what: "log proof", bytes: text.len(), limit: MAX_PROOF_BYTES });
        }
        let text =
            text.strip_prefix(FIRST_LINE).ok_or(refused("the first line is not c2sp.org/tlog-proof@v1"))?;
        let (proof, checkpoint) =
            text.split_once("\n\n").ok_or(refused("no empty line between proof and checkpoint"))?;
        let mut lines = proof.split('\n');
        let mut line = lines.next().unwrap_or_default();
        let mut extra = None;
        if let Some(data) = line.strip_prefix("extra ") {
            let data =
                BASE64.decode(data.as_bytes()).map_err(|_| refused("the extra data is not padded base64"))?;
            extra = Some(data);
            line = lines.next().unwrap_or_default();
        }
        let index = line.strip_prefix("index ").ok_or(refused("no index line where one is due"))?;
        let index = parse_number("index", index)?;
        let hashes: Vec<Hash> = lines.map(str::parse).collect::<Result<_, _>>()?;
        if hashes.len() > MAX_PROOF_HASHES {
            return Err(LogError::ProofLength { hashes: hashes.len() });
        }
        Checkpoint::parse_body(&Note::parse(checkpoint)?.text)?;
        Ok(Self { index, hashes, checkpoint: checkpoint.to_owned(), extra })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::SigningKey;
    use crate::memory_tree::MemoryTree;

    fn key() -> SigningKey {
        SigningKey::new("example.com/log", [7; 32]).unwrap()
    }

    fn proof(index: u64, size: u64) -> LogProof {
        let mut tree = MemoryTree::new();
        (0..size).for_each(|entry| tree.push(leaf_hash(&entry.to_be_bytes())));
        let root = tree.root_at(size).unwrap();
        let checkpoint = Checkpoint { origin: key().name().to_owned(), size, root }.sign(&key()).unwrap();
        LogProof { index, hashes: tree.inclusion_proof(index, size).unwrap(), checkpoint, extra: None }
    }

    #[test]
    fn a_proof_is_written_line_by_line() {
        let proof = proof(2, 3);
        let text = proof.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["c2sp.org/tlog-proof@v1", "index 2"]);
        assert_eq!(lines[2], proof.hashes[0].to_string());
        assert_eq!(lines[3..6], ["", "example.com/log", "3"]);
        assert_eq!(text.parse(), Ok(proof));
    }

    #[test]
    fn the_proof_of_an_only_entry_has_no_hash() {
        let proof = proof(0, 1);
        assert!(proof.hashes.is_empty());
        assert_eq!(
            proof.to_string().parse::<LogProof>().unwrap().verify(&[0; 8], &key().verifier()).unwrap().size,
            1
        );
    }

    #[test]
    fn the_extra_line_is_kept() {
        let with_extra = LogProof { extra: Some(b"opaque".to_vec()), ..proof(1, 5) };
        let text = with_extra.to_string();
        assert!(text.contains("\nextra b3BhcXVl\nindex 1\n"), "{text}");
        assert_eq!(text.parse(), Ok(with_extra));
    }

    #[test]
    fn another_entry_index_key_or_checkpoint_does_not_verify() {
        let good = proof(4, 9);
        let (entry, verifier) = (4_u64.to_be_bytes(), key().verifier());
        assert_eq!(good.verify(&entry, &verifier).unwrap().size, 9);
        let stranger = SigningKey::new("example.com/log", [8; 32]).unwrap().verifier();
        assert!(good.verify(&5_u64.to_be_bytes(), &verifier).is_err());
        assert!(good.verify(&entry, &stranger).is_err());
        assert!(LogProof { index: 5, ..good.clone() }.verify(&entry, &verifier).is_err());
        assert!(LogProof { index: 9, ..good.clone() }.verify(&entry, &verifier).is_err());
        assert!(LogProof { checkpoint: proof(4, 10).checkpoint, ..good }.verify(&entry, &verifier).is_err());
    }

    #[test]
    fn what_is_no_log_proof_is_refused() {
        let text = proof(4, 9).to_string();
        let many = vec![leaf_hash(b""); MAX_PROOF_HASHES + 1];
        for refused in [
            String::new(),
            text.replace("@v1", "@v2"),
            text.replace("index 4", "index 04"),
            text.replace("index 4\n", ""),
            text.replace("index 4", "extra \nextra \nindex 4"),
            text.replace("index 4", "extra a\nindex 4"),
            text.replace("index 4\n", "index 4\n\n"),
            text.replace("index 4\n", "index 4\nhash\n"),
            text.replace('\n', "\r\n"),
            text.split_inclusive('\n').take(4).collect(),
            LogProof { hashes: many, ..proof(4, 9) }.to_string(),
            format!("{text}{}", "\u{2014} witness.example AAAAAQI=\n".repeat(MAX_PROOF_BYTES / 30)),
        ] {
            assert!(refused.parse::<LogProof>().is_err(), "{refused:.200} must be refused");
        }
    }

    proptest! {
        #[test]
        fn every_proof_reads_back_and_verifies(
            (index, size) in (1_u64..300).prop_flat_map(|size| (0..size, Just(size))),
            extra: Option<Vec<u8>>,
        ) {
            let proof = LogProof { extra, ..proof(index, size) };
            let read: LogProof = proof.to_string().parse().unwrap();
            prop_assert_eq!(&read, &proof);
            prop_assert_eq!(read.verify(&index.to_be_bytes(), &key().verifier()).unwrap().size, size);
        }

        #[test]
        fn what_reads_as_a_proof_prints_the_same(
            text in "c2sp.org/tlog-proof@v1\n(extra [a-z]{0,4}\n)?index [0-9]{1,2}\n([A-Za-z0-9+/]{42}[AEIM]=\n){0,2}\na\n[0-9]{1,2}\n[A-Za-z0-9+/]{42}[AEIM]=\n\n\u{2014} a AAAAAQI=\n|(?s).{0,40}",
        ) {
            if let Ok(proof) = text.parse::<LogProof>() {
                prop_assert_eq!(proof.to_string(), text);
            }
        }
    }
}
