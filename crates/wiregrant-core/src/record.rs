//! The entries of the two public logs: one line each.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use transparency_log::{Hash, Verifier};

use crate::note::{Origin, or_dash, parse_hash};
use crate::units::parse_number;
use crate::{BatchId, FactError, GrantId, NodeId, OperatorId, Sats};

/// The most bytes an entry may have.
pub const MAX_ENTRY_BYTES: usize = 1_000;

/// `report `, and a hash in padded base64.
const REPORT_ENTRY_BYTES: usize = 51;

/// The entry of the reports log for the note with this hash. It names no node: that would be a trace of when one was up.
#[must_use]
pub fn report_entry(note: Hash) -> String {
    // One for each report: it is made without growing.
    let mut entry = String::with_capacity(REPORT_ENTRY_BYTES);
    write!(entry, "report {note}").expect("a string takes all");
    entry
}

/// Reads an entry of the reports log.
///
/// # Errors
/// Anything but `report <hash>`.
pub fn parse_report_entry(entry: &str) -> Result<Hash, FactError> {
    match entry.strip_prefix("report ") {
        Some(hash) => parse_hash("report", hash),
        None => Err(FactError::value("entry", entry, "`report <hash>`")),
    }
}

/// An entry of the record log.
#[expect(missing_docs, reason = "each field stands in the line that the format shows, under its own name")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordEntry {
    /// A key of the control plane comes into use.
    Key { role: KeyRole, vkey: String },
    /// An operator, with the key they sign with if they have one.
    Operator { operator: OperatorId, vkey: Option<String> },
    /// A node of an operator.
    Enrol { node: NodeId, operator: OperatorId, vkey: String },
    /// A node's new identity key, announced in a note signed by the old one.
    Rekey { node: NodeId, vkey: String, note: Hash },
    /// A node leaves for good.
    Retire { node: NodeId },
    /// A node's reports are refused until a person decides.
    Freeze { node: NodeId, reason: String },
    /// A person decided that it goes on.
    Unfreeze { node: NodeId },
    /// Terms of a grant, in force from an epoch on.
    Terms { grant: GrantId, note: Hash, first_epoch: u64 },
    /// Sats promised to a grant.
    Contribute { grant: GrantId, sats: Sats },
    /// A node takes part in a grant from an epoch on.
    Admit { grant: GrantId, node: NodeId, first_epoch: u64 },
    /// A node takes no part from an epoch on.
    Leave { grant: GrantId, node: NodeId, first_epoch: u64 },
    /// Where an operator is paid.
    Destination { operator: OperatorId, sequence: u64, note: Hash },
    /// An epoch's statement.
    Statement { grant: GrantId, epoch: u64, note: Hash },
    /// An operator's sats of an epoch are held.
    Hold { grant: GrantId, epoch: u64, operator: OperatorId, reason: Option<String> },
    /// Held sats may be paid.
    Release { grant: GrantId, epoch: u64, operator: OperatorId, reason: Option<String> },
    /// Held sats go back to the pot.
    Forfeit { grant: GrantId, epoch: u64, operator: OperatorId, reason: Option<String> },
    /// An operator objects to what a statement, a hold or a finding says about them.
    Object { grant: GrantId, epoch: u64, operator: OperatorId, reason: String },
    /// A statement was approved by so many different people, which is as many as the terms ask for.
    Approve { grant: GrantId, epoch: u64, people: u64 },
    /// Something was found about a node.
    Finding { grant: GrantId, node: NodeId, reason: String },
    /// A batch was frozen.
    Batch { batch: BatchId, note: Hash },
    /// A batch was paid by a transaction.
    Paid { batch: BatchId, txid: String },
    /// A batch will not be paid.
    Void { batch: BatchId, reason: String },
    /// This log goes on where another was lost.
    Continues { origin: Origin, size: u64, root: Hash },
}

/// What a key of the control plane signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRole {
    /// Checkpoints of both logs.
    Log,
    /// Statements, inputs, terms, batches, and destinations of operators without a key.
    Statement,
}

impl fmt::Display for KeyRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "log",
            Self::Statement => "statement",
        })
    }
}

impl fmt::Display for RecordEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = |f: &mut fmt::Formatter<'_>,
                    word: &str,
                    (g, e, o, r): (&GrantId, &u64, &OperatorId, &Option<String>)| {
            write!(f, "{word} {g} {e} {o}")?;
            r.as_ref().map_or(Ok(()), |reason| write!(f, " {reason}"))
        };
        match self {
            Self::Key { role, vkey } => write!(f, "key {role} {vkey}"),
            Self::Operator { operator, vkey } => write!(f, "operator {operator} {}", or_dash(vkey.as_ref())),
            Self::Enrol { node, operator, vkey } => write!(f, "enrol {node} {operator} {vkey}"),
            Self::Rekey { node, vkey, note } => write!(f, "rekey {node} {vkey} {note}"),
            Self::Retire { node } => write!(f, "retire {node}"),
            Self::Freeze { node, reason } => write!(f, "freeze {node} {reason}"),
            Self::Unfreeze { node } => write!(f, "unfreeze {node}"),
            Self::Terms { grant, note, first_epoch } => write!(f, "terms {grant} {note} {first_epoch}"),
            Self::Contribute { grant, sats } => write!(f, "contribute {grant} {sats}"),
            Self::Admit { grant, node, first_epoch } => write!(f, "admit {grant} {node} {first_epoch}"),
            Self::Leave { grant, node, first_epoch } => write!(f, "leave {grant} {node} {first_epoch}"),
            Self::Destination { operator, sequence, note } => {
                write!(f, "destination {operator} {sequence} {note}")
            }
            Self::Statement { grant, epoch, note } => write!(f, "statement {grant} {epoch} {note}"),
            Self::Hold { grant, epoch, operator, reason } => {
                held(f, "hold", (grant, epoch, operator, reason))
            }
            Self::Release { grant, epoch, operator, reason } => {
                held(f, "release", (grant, epoch, operator, reason))
            }
            Self::Forfeit { grant, epoch, operator, reason } => {
                held(f, "forfeit", (grant, epoch, operator, reason))
            }
            Self::Object { grant, epoch, operator, reason } => {
                write!(f, "object {grant} {epoch} {operator} {reason}")
            }
            Self::Approve { grant, epoch, people } => write!(f, "approve {grant} {epoch} {people}"),
            Self::Finding { grant, node, reason } => write!(f, "finding {grant} {node} {reason}"),
            Self::Batch { batch, note } => write!(f, "batch {batch} {note}"),
            Self::Paid { batch, txid } => write!(f, "paid {batch} {txid}"),
            Self::Void { batch, reason } => write!(f, "void {batch} {reason}"),
            Self::Continues { origin, size, root } => write!(f, "continues {origin} {size} {root}"),
        }
    }
}

/// Checks a reason: a short word such as `fork` or `double-report`, so that no prose about people gets into the record.
///
/// # Errors
/// Names the value.
pub fn parse_reason(text: &str) -> Result<String, FactError> {
    let good = (1..=40).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-');
    if good {
        Ok(text.to_owned())
    } else {
        Err(FactError::value("reason", text, "a short word of a-z, 0-9 and '-'"))
    }
}

fn parse_vkey(text: &str) -> Result<String, FactError> {
    Verifier::from_str(text)
        .map(|verifier| verifier.to_string())
        .map_err(|_| FactError::value("vkey", text, "a C2SP verifier key: <name>+<hex key id>+<base64>"))
}

fn parse_txid(text: &str) -> Result<String, FactError> {
    let good = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if good {
        Ok(text.to_owned())
    } else {
        Err(FactError::value("txid", text, "64 lower-case hexadecimal digits"))
    }
}

impl FromStr for RecordEntry {
    type Err = FactError;

    fn from_str(entry: &str) -> Result<Self, FactError> {
        if entry.len() > MAX_ENTRY_BYTES {
            return Err(FactError::TooLong { what: "entry", bytes: entry.len(), limit: MAX_ENTRY_BYTES });
        }
        let fields: Vec<&str> = entry.split(' ').collect();
        let read = parse_about_people_and_nodes(&fields)
            .or_else(|| parse_about_money(&fields))
            .unwrap_or_else(|| Err(FactError::value("entry", entry, "an entry of the record log")))?;
        if read.to_string() == entry {
            Ok(read)
        } else {
            Err(FactError::mismatch("entry", read, crate::error::shortened(entry)))
        }
    }
}

type Parsed = Option<Result<RecordEntry, FactError>>;

fn parse_about_people_and_nodes(fields: &[&str]) -> Parsed {
    use RecordEntry as E;
    let parse = || match fields {
        ["key", "log", vkey] => Ok(Some(E::Key { role: KeyRole::Log, vkey: parse_vkey(vkey)? })),
        ["key", "statement", vkey] => Ok(Some(E::Key { role: KeyRole::Statement, vkey: parse_vkey(vkey)? })),
        ["operator", operator, "-"] => Ok(Some(E::Operator { operator: operator.parse()?, vkey: None })),
        ["operator", operator, vkey] => {
            Ok(Some(E::Operator { operator: operator.parse()?, vkey: Some(parse_vkey(vkey)?) }))
        }
        ["enrol", node, operator, vkey] => {
            Ok(Some(E::Enrol { node: node.parse()?, operator: operator.parse()?, vkey: parse_vkey(vkey)? }))
        }
        ["rekey", node, vkey, note] => Ok(Some(E::Rekey {
            node: node.parse()?,
            vkey: parse_vkey(vkey)?,
            note: parse_hash("note", note)?,
        })),
        ["retire", node] => Ok(Some(E::Retire { node: node.parse()? })),
        ["freeze", node, reason] => {
            Ok(Some(E::Freeze { node: node.parse()?, reason: parse_reason(reason)? }))
        }
        ["unfreeze", node] => Ok(Some(E::Unfreeze { node: node.parse()? })),
        ["finding", grant, node, reason] => {
            Ok(Some(E::Finding { grant: grant.parse()?, node: node.parse()?, reason: parse_reason(reason)? }))
        }
        ["continues", origin, size, root] => Ok(Some(E::Continues {
            origin: origin.parse()?,
            size: parse_number("size", size)?,
            root: parse_hash("root", root)?,
        })),
        _ => Ok(None),
    };
    parse().transpose()
}

fn parse_about_money(fields: &[&str]) -> Parsed {
    use RecordEntry as E;
    let epoch = |text| parse_number("epoch", text);
    let parse = || match fields {
        ["terms", grant, note, first] => Ok(Some(E::Terms {
            grant: grant.parse()?,
            note: parse_hash("note", note)?,
            first_epoch: epoch(first)?,
        })),
        ["contribute", grant, sats] => Ok(Some(E::Contribute { grant: grant.parse()?, sats: sats.parse()? })),
        ["admit", grant, node, first] => {
            Ok(Some(E::Admit { grant: grant.parse()?, node: node.parse()?, first_epoch: epoch(first)? }))
        }
        ["leave", grant, node, first] => {
            Ok(Some(E::Leave { grant: grant.parse()?, node: node.parse()?, first_epoch: epoch(first)? }))
        }
        ["destination", operator, sequence, note] => Ok(Some(E::Destination {
            operator: operator.parse()?,
            sequence: parse_number("sequence", sequence)?,
            note: parse_hash("note", note)?,
        })),
        ["statement", grant, n, note] => Ok(Some(E::Statement {
            grant: grant.parse()?,
            epoch: epoch(n)?,
            note: parse_hash("note", note)?,
        })),
        [word @ ("hold" | "release" | "forfeit"), grant, n, operator, reason @ ..] if reason.len() <= 1 => {
            let (grant, epoch, operator) = (grant.parse()?, epoch(n)?, operator.parse()?);
            let reason = reason.first().map(|reason| parse_reason(reason)).transpose()?;
            Ok(Some(match *word {
                "hold" => E::Hold { grant, epoch, operator, reason },
                "release" => E::Release { grant, epoch, operator, reason },
                _ => E::Forfeit { grant, epoch, operator, reason },
            }))
        }
        ["object", grant, n, operator, reason] => Ok(Some(E::Object {
            grant: grant.parse()?,
            epoch: epoch(n)?,
            operator: operator.parse()?,
            reason: parse_reason(reason)?,
        })),
        ["approve", grant, n, people] => Ok(Some(E::Approve {
            grant: grant.parse()?,
            epoch: epoch(n)?,
            people: parse_number("people", people)?,
        })),
        ["batch", batch, note] => {
            Ok(Some(E::Batch { batch: batch.parse()?, note: parse_hash("note", note)? }))
        }
        ["paid", batch, txid] => Ok(Some(E::Paid { batch: batch.parse()?, txid: parse_txid(txid)? })),
        ["void", batch, reason] => Ok(Some(E::Void { batch: batch.parse()?, reason: parse_reason(reason)? })),
        _ => Ok(None),
    };
    parse().transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> Vec<String> {
        let hash = Hash::of(b"note");
        let vkey = transparency_log::SigningKey::new("node-1", [3; 32]).unwrap().verifier();
        vec![
            format!("key log {vkey}"),
            format!("key statement {vkey}"),
            "operator nordlicht -".into(),
            format!("operator nordlicht {vkey}"),
            format!("enrol node-1 nordlicht {vkey}"),
            format!("rekey node-1 {vkey} {hash}"),
            "retire node-1".into(),
            "freeze node-1 fork".into(),
            "unfreeze node-1".into(),
            format!("terms spring {hash} 1"),
            "contribute spring 1000000".into(),
            "admit spring node-1 2".into(),
            "leave spring node-1 5".into(),
            format!("destination nordlicht 1 {hash}"),
            format!("statement spring 1 {hash}"),
            "hold spring 1 nordlicht".into(),
            "release spring 1 nordlicht cleared".into(),
            "forfeit spring 1 nordlicht fork".into(),
            "object spring 1 nordlicht miscounted".into(),
            "approve spring 1 2".into(),
            "finding spring node-1 fork".into(),
            format!("batch b-1 {hash}"),
            format!("paid b-1 {}", "0f".repeat(32)),
            "void b-1 replaced".into(),
            format!("continues old.example/record 9 {hash}"),
        ]
    }

    #[test]
    fn every_entry_of_the_format_reads_and_prints_the_same() {
        for entry in entries() {
            assert_eq!(entry.parse::<RecordEntry>().unwrap().to_string(), entry);
        }
        let hash = Hash::of(b"note");
        assert_eq!(parse_report_entry(&report_entry(hash)).unwrap(), hash);
    }

    #[test]
    fn other_entries_are_refused() {
        for bad in [
            "",
            "retire",
            "retire  node-1",
            "retire node-1 ",
            "contribute spring 01",
            "freeze node-1 He ran away",
        ] {
            assert!(bad.parse::<RecordEntry>().is_err(), "{bad}");
        }
        assert!(parse_report_entry("report x").is_err());
    }

    proptest! {
        #[test]
        fn a_changed_entry_is_refused_or_prints_as_it_was_read(which in 0usize..25, at in 0usize..200, byte in 0x20u8..0x7f) {
            let all = entries();
            let mut entry = all[which % all.len()].clone().into_bytes();
            let at = at % entry.len();
            entry[at] = byte;
            let entry = String::from_utf8(entry).unwrap();
            if let Ok(read) = entry.parse::<RecordEntry>() {
                prop_assert_eq!(read.to_string(), entry);
            }
        }
    }
}
