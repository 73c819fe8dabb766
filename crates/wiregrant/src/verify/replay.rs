//! The record log, replayed: each entry must follow from those before it, and each public note from its entry.

use std::collections::{BTreeMap, BTreeSet};

use transparency_log::{Hash, Verifier};
use wiregrant_core::note::{NoteText, Origin, Signed};
use wiregrant_core::record::{KeyRole, RecordEntry};
use wiregrant_core::statement::Statement;
use wiregrant_core::terms::TermsNote;
use wiregrant_core::{BatchId, GrantId, NodeId, OperatorId, Sats};
use wiregrant_payout::Batch;

use super::CouldNotCheck;
use super::batch::{Batches, payable};
use super::difference::Difference;
use super::finding::{Finding, Findings};
use super::log::PublicLog;
use super::progress::Progress;
use super::source::{Reading, Source};
use super::statement::{Context, Grant, terms_differences};

/// What the record says after its last entry.
#[derive(Default)]
pub struct Record {
    log_key: Option<Verifier>,
    statement_key: Option<Verifier>,
    operators: BTreeMap<OperatorId, Operator>,
    nodes: BTreeMap<NodeId, OperatorId>,
    grants: BTreeMap<GrantId, Grant>,
    batches: Batches,
    /// Lines held or forfeited.
    held: BTreeSet<(GrantId, u64, OperatorId)>,
    /// How many statements it names.
    pub statements: u64,
}

#[derive(Debug, Default)]
struct Operator {
    key: Option<Verifier>,
    destinations: u64,
    destination: Option<Hash>,
}

impl Record {
    /// The key that signs statements and batches now.
    pub fn statement_key(&self) -> Option<&Verifier> {
        self.statement_key.as_ref()
    }

    /// The hash under which a batch was logged.
    pub fn batch(&self, batch: &BatchId) -> Option<Hash> {
        self.batches.hash(batch)
    }

    /// Whether a batch is neither paid nor void.
    pub fn is_open(&self, batch: &BatchId) -> bool {
        self.batches.is_open(batch)
    }

    /// Whether a batch will not be paid.
    pub fn is_void(&self, batch: &BatchId) -> bool {
        self.batches.is_void(batch)
    }

    /// Whether an operator's sats of an epoch must not be paid now, or never.
    pub fn is_held(&self, grant: &GrantId, epoch: u64, operator: &OperatorId) -> bool {
        self.held.contains(&(grant.clone(), epoch, operator.clone()))
    }

    /// The key an operator signs with, if they have one.
    pub fn operator_key(&self, operator: &OperatorId) -> Option<&Verifier> {
        self.operators.get(operator)?.key.as_ref()
    }

    /// Number and hash of an operator's newest destination.
    pub fn destination(&self, operator: &OperatorId) -> Option<(u64, Hash)> {
        let operator = self.operators.get(operator)?;
        operator.destination.map(|hash| (operator.destinations, hash))
    }

    /// How many batches are neither paid nor void.
    pub fn unpaid_batches(&self) -> usize {
        self.batches.open()
    }

    /// What the statement of an epoch allows to be paid to an operator.
    pub fn payable(&self, grant: &GrantId, epoch: u64, operator: &OperatorId) -> Sats {
        payable(&self.grants, grant, epoch, operator)
    }
}

struct Replay<'a> {
    source: &'a Source,
    log: &'a PublicLog<RecordEntry>,
    reports: &'a PublicLog<Hash>,
    record: Record,
}

/// Replays the record log from its first entry.
///
/// # Errors
/// When a note cannot be read.
pub fn replay(
    source: &Source,
    log: &PublicLog<RecordEntry>,
    reports: &PublicLog<Hash>,
    progress: &mut Progress,
    findings: &mut Findings,
) -> Result<Record, CouldNotCheck> {
    let mut replay = Replay { source, log, reports, record: Record::default() };
    let with_notes = |entry: &&RecordEntry| {
        matches!(entry, RecordEntry::Terms { .. } | RecordEntry::Statement { .. } | RecordEntry::Paid { .. })
    };
    progress.expect(log.entries.iter().filter(with_notes).count() as u64);
    for (number, entry) in log.entries.iter().enumerate() {
        let differs = match entry {
            RecordEntry::Key { .. } | RecordEntry::Continues { .. } => replay.of_log(number, entry),
            RecordEntry::Terms { .. } | RecordEntry::Statement { .. } | RecordEntry::Paid { .. } => {
                progress.step();
                replay.with_note(entry)?
            }
            RecordEntry::Contribute { .. } | RecordEntry::Admit { .. } | RecordEntry::Leave { .. } => {
                replay.of_grant(entry)
            }
            _ => replay.of_parties(entry).into_iter().collect(),
        };
        let place = format!("/{} entry {number} `{entry}`", log.prefix);
        findings.extend(differs.into_iter().map(|difference| difference.at(&place)));
    }
    if replay.record.log_key.is_none() {
        let expected = "a first entry `key log`";
        findings.push(Finding::new("log key", format!("/{}", log.prefix), expected, "none"));
    }
    Ok(replay.record)
}

fn unknown(what: &str, id: &impl std::fmt::Display) -> Difference {
    Difference::new(what, "one that an earlier entry names", id)
}

impl Replay<'_> {
    /// Keys, and where this log comes from.
    fn of_log(&mut self, number: usize, entry: &RecordEntry) -> Vec<Difference> {
        let mut differs = Vec::new();
        match entry {
            RecordEntry::Continues { .. } if number > 0 => {
                differs.push(Difference::new("continues", "the first entry", format!("entry {number}")));
            }
            RecordEntry::Key { role, vkey } => {
                let Ok(verifier) = vkey.parse::<Verifier>() else { return vec![unknown("key", vkey)] };
                match role {
                    KeyRole::Log if self.record.log_key.is_none() => {
                        differs.extend(Difference::unless_equal("log key", &self.log.verifier, &verifier));
                        self.record.log_key = Some(verifier);
                    }
                    // A new log key is followed only under a checkpoint of the pinned one, which this version cannot tell.
                    KeyRole::Log => differs.push(Difference::new("log key", "one log key", verifier)),
                    KeyRole::Statement => self.record.statement_key = Some(verifier),
                }
            }
            _ => {}
        }
        let first = usize::from(matches!(self.log.entries.first(), Some(RecordEntry::Continues { .. })));
        if number == first && self.record.log_key.is_none() {
            differs.push(Difference::new("log key", "`key log` as the first entry", entry));
        }
        differs
    }

    /// Operators, nodes, destinations, holds and batches.
    fn of_parties(&mut self, entry: &RecordEntry) -> Option<Difference> {
        let record = &mut self.record;
        let node_known = |node: &NodeId| (!record.nodes.contains_key(node)).then(|| unknown("node", node));
        match entry {
            RecordEntry::Operator { operator, vkey } => {
                let known = record.operators.entry(operator.clone()).or_default();
                known.key = vkey.as_ref().and_then(|vkey| vkey.parse().ok());
                let name = vkey.as_ref()?.split('+').next()?;
                Difference::unless_equal("operator's key: name", operator, name)
            }
            RecordEntry::Enrol { node, operator, .. } => {
                if !record.operators.contains_key(operator) {
                    return Some(unknown("operator", operator));
                }
                let before = record.nodes.insert(node.clone(), operator.clone());
                before.map(|_| Difference::new("node", "a new id", node))
            }
            RecordEntry::Rekey { node, .. }
            | RecordEntry::Retire { node }
            | RecordEntry::Freeze { node, .. }
            | RecordEntry::Unfreeze { node } => node_known(node),
            RecordEntry::Finding { grant, node, .. } => match record.grants.get(grant) {
                Some(_) => node_known(node),
                None => Some(unknown("grant", grant)),
            },
            RecordEntry::Destination { operator, sequence, note } => match record.operators.get_mut(operator)
            {
                Some(known) => {
                    known.destination = Some(*note);
                    known.destinations = known.destinations.saturating_add(1);
                    Difference::unless_equal("destination: sequence", known.destinations, sequence)
                }
                None => Some(unknown("operator", operator)),
            },
            RecordEntry::Hold { grant, epoch, operator, .. }
            | RecordEntry::Release { grant, epoch, operator, .. }
            | RecordEntry::Forfeit { grant, epoch, operator, .. } => {
                let line = (grant.clone(), *epoch, operator.clone());
                match entry {
                    RecordEntry::Release { .. } => record.held.remove(&line),
                    _ => record.held.insert(line),
                };
                let statements = record.grants.get(grant).into_iter().flat_map(|grant| &grant.statements);
                let mut of_epoch = statements.filter(|(_, statement)| statement.epoch == *epoch);
                let named = of_epoch.any(|(_, statement)| statement.operators.contains_key(operator));
                (!named).then(|| unknown("operator's line in a statement", operator))
            }
            RecordEntry::Batch { batch, note } => record.batches.freeze(batch, *note),
            RecordEntry::Void { batch, .. } => record.batches.void(batch),
            _ => None,
        }
    }

    /// What changes a grant and has no note.
    fn of_grant(&mut self, entry: &RecordEntry) -> Vec<Difference> {
        let nodes = &self.record.nodes;
        let (RecordEntry::Contribute { grant, .. }
        | RecordEntry::Admit { grant, .. }
        | RecordEntry::Leave { grant, .. }) = entry
        else {
            return Vec::new();
        };
        let Some(known) = self.record.grants.get_mut(grant) else { return vec![unknown("grant", grant)] };
        let difference = match entry {
            RecordEntry::Contribute { sats, .. } => known.contribute(*sats),
            RecordEntry::Admit { node, .. } if !nodes.contains_key(node) => Some(unknown("node", node)),
            RecordEntry::Admit { node, first_epoch, .. } => known.members.admit(node, *first_epoch),
            RecordEntry::Leave { node, first_epoch, .. } => known.members.leave(node, *first_epoch),
            _ => None,
        };
        difference.into_iter().collect()
    }

    /// What has a public note.
    fn with_note(&mut self, entry: &RecordEntry) -> Result<Vec<Difference>, CouldNotCheck> {
        match entry {
            RecordEntry::Terms { grant, note, first_epoch } => self.terms(grant, *note, *first_epoch),
            RecordEntry::Statement { grant, epoch, note } => self.statement(grant, *epoch, *note),
            RecordEntry::Paid { batch, .. } => self.paid(batch),
            _ => Ok(Vec::new()),
        }
    }

    fn terms(&mut self, grant: &GrantId, hash: Hash, first: u64) -> Result<Vec<Difference>, CouldNotCheck> {
        let read = self.note::<TermsNote>(hash)?;
        let known = self.record.grants.entry(grant.clone()).or_default();
        Ok(match read {
            Ok(signed) => {
                let log: Origin = match self.log.checkpoint.origin.parse() {
                    Ok(log) => log,
                    Err(e) => return Ok(vec![Difference::from(e)]),
                };
                let mut differs = terms_differences(signed.content(), &log, grant);
                differs.extend(known.put_in_force(first, hash, signed.content()));
                differs
            }
            Err(difference) => {
                known.broken = true;
                vec![difference]
            }
        })
    }

    fn statement(
        &mut self,
        grant: &GrantId,
        epoch: u64,
        hash: Hash,
    ) -> Result<Vec<Difference>, CouldNotCheck> {
        self.record.statements = self.record.statements.saturating_add(1);
        let read = self.note::<Statement>(hash)?;
        let Some(known) = self.record.grants.get_mut(grant) else { return Ok(vec![unknown("grant", grant)]) };
        let signed = match read {
            Ok(signed) => signed,
            Err(difference) => {
                known.broken = true;
                return Ok(vec![difference]);
            }
        };
        let context = Context {
            log: &self.log.checkpoint.origin,
            reports: &self.reports.tree,
            nodes: &self.record.nodes,
            grant,
            epoch,
        };
        let differs = if known.broken { Vec::new() } else { known.differences(signed.content(), &context) };
        known.statements.push((hash, signed.into_content()));
        Ok(differs)
    }

    fn paid(&mut self, batch: &BatchId) -> Result<Vec<Difference>, CouldNotCheck> {
        let hash = match self.record.batches.pay(batch) {
            Ok(hash) => hash,
            Err(difference) => return Ok(vec![difference]),
        };
        Ok(match self.note::<Batch>(hash)? {
            Ok(signed) => {
                let (log, record) = (&self.log.checkpoint.origin, &mut self.record);
                record.batches.differences(batch, signed.content(), log, &self.log.tree, &record.grants)
            }
            Err(difference) => vec![difference],
        })
    }

    /// A public note that is what its hash says and that the statement key in force signed.
    fn note<T: NoteText>(&self, hash: Hash) -> Result<Result<Signed<T>, Difference>, CouldNotCheck> {
        let path = format!("{}/note/{}", self.log.prefix, hash.to_hex());
        let differs =
            |expected: &str, found: &str| Ok(Err(Difference::new(format!("note /{path}"), expected, found)));
        let bytes = match self.source.read(&path, T::MAX_BYTES as u64)? {
            Reading::Bytes(bytes) => bytes,
            Reading::Absent => return differs("a public note", "no such file"),
            Reading::TooLong => return differs(&format!("at most {} bytes", T::MAX_BYTES), "more"),
        };
        let found = Hash::of(&bytes);
        if found != hash {
            return differs(&format!("SHA-256 {hash}"), &found.to_string());
        }
        let Ok(text) = String::from_utf8(bytes) else { return differs("text", "bytes that are no text") };
        let Some(key) = &self.record.statement_key else {
            return differs("an entry `key statement` before it", "none");
        };
        let signed = Signed::<T>::parse(&text).and_then(|signed| signed.verified_by(key).map(|()| signed));
        Ok(signed.map_err(Difference::from))
    }
}
