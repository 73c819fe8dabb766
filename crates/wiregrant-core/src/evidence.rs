//! `Evidence`: a file by which somebody's own signatures convict them, checked by anybody with nothing but the file.
//!
//! In scope: two usage reports of a node under one sequence number; two histories of one log; two entries of a log at one
//! place, which is what an operator holds whose acknowledged report is gone. Each kind is two signed things of which there can
//! be but one, so no clock, no list and nobody's word is needed.
//! Out of scope: that something was *not* published. An absence signs nothing.
//!
//! ```text
//! wiregrant/proof/v1
//! kind two-entries
//! key grants.example/record/reports+0b1f...+AX...
//! entry report 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
//! entry report gI7rK3...=
//! text 310
//! c2sp.org/tlog-proof@v1
//! ...
//! ```
//!
//! A `text` line gives the length in bytes of what follows the line feed. Grammar as for notes: a parser accepts exactly what
//! the printer prints.

use std::fmt;
use std::str::FromStr;

use transparency_log::{Checkpoint, Hash, LogError, LogProof, Verifier, verify_consistency};

use crate::FactError;
use crate::note::Signed;
use crate::record::RecordEntry;
use crate::usage_report::UsageReport;

mod form;

/// The longest file: two proofs with many witnesses' signatures.
pub const MAX_EVIDENCE_BYTES: usize = 3 << 20;
/// The first line.
const KIND: &str = "wiregrant/proof/v1";

/// Evidence, whose form is that of its kind; [`Evidence::check`] says whether it proves anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// A node signed two reports under one sequence number.
    TwoReports {
        /// The record log's key.
        log: Verifier,
        /// The record's entry that names the node's key: `enrol` or `rekey`.
        naming: String,
        /// The C2SP tlog-proof that this entry is in the record.
        named: String,
        /// The two notes; where one was accepted, it is the first.
        reports: [String; 2],
    },
    /// A log signed two trees, one of which does not continue the other.
    TwoHistories {
        /// The log's key.
        log: Verifier,
        /// The two signed checkpoints; the second has as many leaves as the first, or more.
        checkpoints: [String; 2],
        /// The root of the second tree's first leaves, as many as the first tree has.
        root: Hash,
        /// The consistency proof from that root to the second tree's.
        proof: Vec<Hash>,
    },
    /// A log signed two trees with different entries at one index.
    TwoEntries {
        /// The log's key.
        log: Verifier,
        /// The two entries.
        entries: [String; 2],
        /// The C2SP tlog-proof of each.
        proofs: [String; 2],
    },
}

/// What evidence proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Who is convicted.
    pub against: String,
    /// Of what.
    pub of: String,
    /// The log's key under which it holds. Whoever made the file chose it: compare it with the one that you trust.
    pub log_key: Verifier,
}

impl Evidence {
    /// The key of the log, on which everything rests.
    #[must_use]
    pub fn log_key(&self) -> &Verifier {
        match self {
            Self::TwoReports { log, .. } | Self::TwoHistories { log, .. } | Self::TwoEntries { log, .. } => {
                log
            }
        }
    }

    /// What it proves.
    ///
    /// # Errors
    /// Where it proves nothing: a signature that does not hold, or two things that may well both be.
    pub fn check(&self) -> Result<Proven, FactError> {
        let (against, of) = match self {
            Self::TwoReports { log, naming, named, reports } => two_reports(log, naming, named, reports)?,
            Self::TwoHistories { log, checkpoints, root, proof } => {
                two_histories(log, checkpoints, root, proof)?
            }
            Self::TwoEntries { log, entries, proofs } => two_entries(log, entries, proofs)?,
        };
        Ok(Proven { against, of, log_key: self.log_key().clone() })
    }
}

type Conviction = Result<(String, String), FactError>;

fn two_reports(log: &Verifier, naming: &str, named: &str, reports: &[String; 2]) -> Conviction {
    log_proof("entry", named)?.verify(naming.as_bytes(), log).map_err(|e| refused("entry", &e))?;
    let (node, vkey) = match naming.parse()? {
        RecordEntry::Enrol { node, vkey, .. } | RecordEntry::Rekey { node, vkey, .. } => (node, vkey),
        _ => {
            return Err(FactError::value(
                "entry",
                naming,
                "an `enrol` or `rekey` line, which names a node's key",
            ));
        }
    };
    let key: Verifier = vkey.parse().map_err(|e: LogError| refused("entry", &e))?;
    let [one, other] = reports;
    let [one, other] = [Signed::<UsageReport>::parse(one)?, Signed::<UsageReport>::parse(other)?];
    for report in [&one, &other] {
        report.verified_by(&key)?;
        if report.content().node != node {
            return Err(FactError::mismatch("node", &node, &report.content().node));
        }
        if report.content().log.as_str() != log.name() {
            return Err(FactError::mismatch("log", log.name(), &report.content().log));
        }
    }
    let sequence = one.content().sequence;
    if other.content().sequence != sequence {
        return Err(FactError::mismatch("sequence of the second report", sequence, other.content().sequence));
    }
    if one.note() == other.note() {
        return Err(FactError::mismatch("second report", "another text than the first's", "the same text"));
    }
    let of = format!("signed two reports under sequence {sequence}: {} and {}", one.hash(), other.hash());
    Ok((format!("node {node} of operator {}", one.content().operator), of))
}

fn two_histories(log: &Verifier, checkpoints: &[String; 2], root: &Hash, proof: &[Hash]) -> Conviction {
    let read = |note: &str| Checkpoint::parse_verified(note, log).map_err(|e| refused("checkpoint", &e));
    let [first, second] = [read(&checkpoints[0])?, read(&checkpoints[1])?];
    verify_consistency(first.size, root, second.size, &second.root, proof)
        .map_err(|e| refused("proof", &e))?;
    if *root == first.root {
        return Err(FactError::mismatch("second checkpoint", "another history than the first's", "the same"));
    }
    let of = format!(
        "signed two histories: of the first {} entries the root is {} under one checkpoint, and {root} under the other, of {} \
         entries",
        first.size, first.root, second.size
    );
    Ok((format!("log {}", log.name()), of))
}

fn two_entries(log: &Verifier, entries: &[String; 2], proofs: &[String; 2]) -> Conviction {
    let [one, other] = [log_proof("first proof", &proofs[0])?, log_proof("second proof", &proofs[1])?];
    let first = one.verify(entries[0].as_bytes(), log).map_err(|e| refused("first proof", &e))?;
    let second = other.verify(entries[1].as_bytes(), log).map_err(|e| refused("second proof", &e))?;
    if one.index != other.index {
        return Err(FactError::mismatch("index of the second proof", one.index, other.index));
    }
    if entries[0] == entries[1] {
        return Err(FactError::mismatch("second entry", "another entry than the first", "the same"));
    }
    let of = format!(
        "signed two entries at index {}: {:?} under {} entries, and {:?} under {}",
        one.index, entries[0], first.size, entries[1], second.size
    );
    Ok((format!("log {}", log.name()), of))
}

fn log_proof(what: &str, text: &str) -> Result<LogProof, FactError> {
    text.parse().map_err(|e| refused(what, &e))
}

fn refused(what: &str, error: &LogError) -> FactError {
    FactError::Signature(format!("{what}: {error}"))
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&form::printed(self))
    }
}

impl FromStr for Evidence {
    type Err = FactError;

    /// Reads evidence. What is accepted prints back identically. Whether it proves anything is for [`Evidence::check`].
    ///
    /// # Errors
    /// Names the line that is not of the form.
    fn from_str(text: &str) -> Result<Self, FactError> {
        form::read(text)
    }
}

#[cfg(test)]
mod tests;
