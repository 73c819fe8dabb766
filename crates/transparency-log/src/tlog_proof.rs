//! `LogProof`: index, inclusion proof and checkpoint as one text that is checked offline (c2sp.org/tlog-proof@v1).

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;

use crate::checkpoint::Checkpoint;
use crate::error::LogError;
use crate::hash::{Hash, leaf_hash};
use crate::key::Verifier;
use crate::note::Note;
use crate::number::parse_number;
use crate::proof::verify_inclusion;

/// Longest proof that is read, in bytes: room for a checkpoint with many post-quantum witness signatures.
pub const MAX_PROOF_BYTES: usize = 1 << 20;

/// Most hashes of an inclusion proof: the height of a tree of 2^63-1 leaves.
pub const MAX_PROOF_HASHES: usize = 63;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1\n";

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

impl FromStr for LogProof {
    type Err = LogError;

    /// Reads a proof. What is accepted prints back identically.
    ///
    /// # Errors
    /// [`LogError::ProofFormat`], [`LogError::TooLong`], [`LogError::NumberFormat`], [`LogError::HashFormat`],
    /// [`LogError::ProofLength`], or those of [`Note::parse`] for the checkpoint.
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
        Note::parse(checkpoint)?;
        Ok(Self { index, hashes, checkpoint: checkpoint.to_owned(), extra })
    }
}
