//! The record log, replayed: each entry must follow from those before it, and each public note from its entry.

mod of_log;
mod record;

use std::collections::BTreeMap;

use transparency_log::{Hash, Verifier};
use wiregrant_core::FactError;
use wiregrant_core::note::{NoteText, Origin, Signed};
use wiregrant_core::record::RecordEntry;
use wiregrant_core::rekey::Rekey;
use wiregrant_core::statement::Statement;
use wiregrant_core::terms::TermsNote;
use wiregrant_core::{BatchId, GrantId, NodeId, OperatorId};
use wiregrant_payout::Batch;

use super::Beside;
use super::CouldNotCheck;
use super::audit::{Audit, Audited};
use super::batch::{self, Batches};
use super::carried::Carried;
use super::chain::Chain;
use super::decisions::Decisions;
use super::difference::Difference;
use super::finding::{Finding, Findings};
use super::lines::Lines;
use super::log::PublicLog;
use super::log_keys::LogKeys;
use super::logged::Logged;
use super::progress::Progress;
use super::reading::Entries;
use super::source::{Reading, Source};
use super::statement::{Context, Grant, terms_differences};
use of_log::own_statement_key;

/// What the record says after its last entry.
#[derive(Default)]
pub struct Record {
    log_keys: LogKeys,
    /// In the order in which they came into use.
    statement_keys: Vec<Verifier>,
    operators: BTreeMap<OperatorId, Operator>,
    nodes: BTreeMap<NodeId, OperatorId>,
    node_keys: BTreeMap<NodeId, Verifier>,
    grants: BTreeMap<GrantId, Grant>,
    lines: Lines,
    logged: Logged,
    batches: Batches,
    decisions: Decisions,
    /// How many statements it names.
    pub statements: u64,
}

#[derive(Debug, Default)]
struct Operator {
    key: Option<Verifier>,
    destinations: u64,
}

/// The record log, replayed from its first entry as its entries come.
pub struct Replay<'a> {
    source: &'a Source,
    log: &'a PublicLog,
    reports: &'a PublicLog,
    /// The first entry is `continues`.
    continues: bool,
    record: Record,
    findings: Findings,
    audit: Option<Audit<'a>>,
    chain: Option<Chain>,
    progress: &'a Progress,
}

/// What a replay comes to.
pub struct Replayed {
    /// What the record says.
    pub record: Record,
    /// What in it does not follow.
    pub findings: Findings,
    /// What was audited, where it was.
    pub audited: Option<Audited>,
    /// How many transactions were looked up, where they were.
    pub transactions: Option<u64>,
}

impl<'a> Replay<'a> {
    /// Nothing replayed yet; statements are audited and transactions looked up where that is asked for.
    pub fn new(
        source: &'a Source,
        log: &'a PublicLog,
        reports: &'a PublicLog,
        (beside, progress): (&'a Beside, &'a Progress),
    ) -> Self {
        let (record, findings) = (Record::default(), Findings::default());
        let audit = beside.audit.as_ref().map(|place| Audit::new(place, source, reports, progress));
        let chain = beside.chain.open();
        Self { source, log, reports, continues: false, record, findings, audit, chain, progress }
    }

    /// What it came to.
    pub fn conclude(mut self) -> Replayed {
        self.findings.extend(self.record.log_keys.newest_signs(self.log));
        if self.record.log_keys.before().is_some_and(Carried::is_open) {
            let expected = format!("an entry `key statement {}/statement+...`", self.log.checkpoint.origin);
            let place = format!("/{}", self.log.prefix);
            self.findings.push(Finding::new("statement key", place, expected, "none"));
        }
        Replayed {
            record: self.record,
            findings: self.findings,
            audited: self.audit.map(|audit| audit.audited()),
            transactions: self.chain.map(|chain| chain.looked_up),
        }
    }
}

impl Entries for Replay<'_> {
    fn take(&mut self, number: u64, text: &str) -> Result<Result<(), FactError>, CouldNotCheck> {
        let entry: RecordEntry = match text.parse() {
            Ok(entry) => entry,
            Err(e) => return Ok(Err(e)),
        };
        if let (Some(audit), RecordEntry::Enrol { node, vkey, .. } | RecordEntry::Rekey { node, vkey, .. }) =
            (&mut self.audit, &entry)
        {
            audit.add_key(node, vkey);
        }
        self.record.logged.take(number, &entry);
        if number > 1
            && let Some(before) = self.record.log_keys.before_mut()
            && before.is_open()
            && !own_statement_key(before, &entry, &self.log.checkpoint.origin)
        {
            before.push(text);
        }
        let differs = match &entry {
            RecordEntry::Key { .. } | RecordEntry::Continues { .. } => self.of_log(number, &entry)?,
            RecordEntry::Terms { .. }
            | RecordEntry::Statement { .. }
            | RecordEntry::Paid { .. }
            | RecordEntry::Rekey { .. } => self.with_note(&entry)?,
            RecordEntry::Contribute { .. } | RecordEntry::Admit { .. } | RecordEntry::Leave { .. } => {
                self.of_grant(&entry)
            }
            _ => self.of_parties(&entry).into_iter().collect(),
        };
        let place = format!("/{} entry {number} `{entry}`", self.log.prefix);
        self.findings.extend(differs.into_iter().map(|difference| difference.at(&place)));
        Ok(Ok(()))
    }
}

fn unknown(what: &str, id: &impl std::fmt::Display) -> Difference {
    Difference::new(what, "one that an earlier entry names", id)
}

impl Replay<'_> {
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
            RecordEntry::Enrol { node, operator, vkey } => {
                if !record.operators.contains_key(operator) {
                    return Some(unknown("operator", operator));
                }
                let before = record.nodes.insert(node.clone(), operator.clone());
                record.node_keys.extend(vkey.parse().ok().map(|key| (node.clone(), key)));
                before.map(|_| Difference::new("node", "a new id", node))
            }
            RecordEntry::Retire { node }
            | RecordEntry::Freeze { node, .. }
            | RecordEntry::Unfreeze { node } => node_known(node),
            RecordEntry::Finding { grant, node, .. } => match record.grants.get(grant) {
                Some(_) => {
                    record.decisions.find(grant, node);
                    node_known(node)
                }
                None => Some(unknown("grant", grant)),
            },
            RecordEntry::Destination { operator, sequence, .. } => match record.operators.get_mut(operator) {
                Some(known) => {
                    known.destinations = known.destinations.saturating_add(1);
                    Difference::unless_equal("destination: sequence", known.destinations, sequence)
                }
                None => Some(unknown("operator", operator)),
            },
            RecordEntry::Hold { grant, epoch, operator, .. }
            | RecordEntry::Release { grant, epoch, operator, .. }
            | RecordEntry::Forfeit { grant, epoch, operator, .. }
            | RecordEntry::Object { grant, epoch, operator, .. } => {
                if !record.lines.has(grant, *epoch, operator) {
                    return Some(unknown("operator's line in a statement", operator));
                }
                let line = (grant.clone(), *epoch, operator.clone());
                match entry {
                    RecordEntry::Hold { .. } => record.decisions.hold(line),
                    RecordEntry::Release { .. } => record.decisions.release(&line),
                    RecordEntry::Forfeit { .. } => {
                        let sats = record.payable(grant, *epoch, operator);
                        record.decisions.forfeit(&line, sats)
                    }
                    _ => None,
                }
            }
            RecordEntry::Approve { grant, epoch, people } => {
                let approved = record.decisions.approve(grant, *epoch, *people);
                (!approved).then(|| unknown("statement", epoch))
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
            RecordEntry::Paid { batch, txid } => self.paid(batch, txid),
            RecordEntry::Rekey { node, vkey, note } => self.rekey(node, vkey, *note),
            _ => Ok(Vec::new()),
        }
    }

    fn terms(&mut self, grant: &GrantId, hash: Hash, first: u64) -> Result<Vec<Difference>, CouldNotCheck> {
        let read = self.note::<TermsNote>(hash)?;
        let named = self.named_log().parse();
        let known = self.record.grants.entry(grant.clone()).or_default();
        Ok(match read {
            Ok(signed) => {
                let log: Origin = match named {
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
        let log = self.named_log().to_owned();
        let Some(known) = self.record.grants.get_mut(grant) else { return Ok(vec![unknown("grant", grant)]) };
        let signed = match read {
            Ok(signed) => signed,
            Err(difference) => {
                known.broken = true;
                return Ok(vec![difference]);
            }
        };
        let context = Context {
            log: &log,
            nodes: &self.record.nodes,
            grant,
            epoch,
            forfeited: self.record.decisions.forfeited(grant),
        };
        let mut differs =
            if known.broken { Vec::new() } else { known.differences(signed.content(), &context) };
        let least = if known.broken { 0 } else { known.reports_size() };
        self.record.lines.add(grant, epoch, signed.content());
        // What does not follow from public lines is not worth an audit.
        if let (Some(audit), Some(key), true) =
            (&mut self.audit, self.record.statement_keys.last(), differs.is_empty() && !known.broken)
        {
            let found = self.record.decisions.found(grant);
            differs.extend(audit.statement(signed.content(), &found, key)?);
        }
        self.record.decisions.closed(grant, epoch, signed.content().terms.approvals);
        self.record.logged.open_to_challenge(grant, epoch, signed.content().terms.challenge_seconds);
        let (size, root) = (signed.content().reports_size, signed.content().reports_root);
        known.close(hash, signed.into_content());
        differs.extend(self.is_state("reports", self.reports, least, size, root)?);
        Ok(differs)
    }

    /// Whether a size and a root that a note names are a state of a log.
    fn is_state(
        &self,
        what: &str,
        log: &PublicLog,
        least: u64,
        size: u64,
        root: Hash,
    ) -> Result<Option<Difference>, CouldNotCheck> {
        let most = log.checkpoint.size;
        if size < least || size > most {
            return Ok(Some(Difference::new(format!("{what}: size"), format!("{least} to {most}"), size)));
        }
        let expected = log.root_at(self.source, size)?;
        Ok(Difference::unless_equal(&format!("{what}: root"), expected, root))
    }

    fn paid(&mut self, batch: &BatchId, txid: &str) -> Result<Vec<Difference>, CouldNotCheck> {
        let hash = match self.record.batches.pay(batch) {
            Ok(hash) => hash,
            Err(difference) => return Ok(vec![difference]),
        };
        // It was logged when it was frozen, and may have been signed by a key that was replaced since.
        let may_sign: Vec<&Verifier> = self.record.statement_keys.iter().rev().collect();
        Ok(match self.note_by::<Batch>(hash, &may_sign)? {
            Ok(signed) => {
                // One that was frozen under a log before this one speaks of that one.
                let (own, paid) = (&self.log.checkpoint.origin, signed.content());
                let before = self.record.log_keys.before().filter(|before| before.names(paid.log.as_str()));
                let log = if before.is_some() { paid.log.as_str() } else { own };
                let state = match before {
                    Some(before) => {
                        let root = before.root_at(log, paid.record_size);
                        let root = root
                            .map_or_else(|| "none that is carried over".to_owned(), |root| root.to_string());
                        Difference::unless_equal("record: root", root, paid.record_root)
                    }
                    None => self.is_state("record", self.log, 0, paid.record_size, paid.record_root)?,
                };
                let mut differs = batch::differences(batch, paid, log, &mut self.record.lines);
                differs.extend(state);
                if let Some(chain) = &mut self.chain {
                    self.progress.expect(1);
                    differs.extend(chain.differences(paid, txid)?);
                    self.progress.step();
                }
                let record = &self.record;
                let held =
                    paid.lines.iter().filter(|line| record.is_held(&line.grant, line.epoch, &line.operator));
                differs.extend(held.map(|line| {
                    let what = format!("line {} {} {}", line.operator, line.grant, line.epoch);
                    Difference::new(what, "a line that is neither held nor forfeited", "one that is")
                }));
                differs
            }
            Err(difference) => vec![difference],
        })
    }

    /// A node's new key: its former one says so, or the statement key, of a node that was invited to go on.
    fn rekey(&mut self, node: &NodeId, vkey: &str, hash: Hash) -> Result<Vec<Difference>, CouldNotCheck> {
        let Some(operator) = self.record.nodes.get(node) else { return Ok(vec![unknown("node", node)]) };
        let former = self.record.node_keys.get(node);
        let may_sign: Vec<&Verifier> = former.into_iter().chain(self.record.statement_keys.last()).collect();
        let differs = match self.note_by::<Rekey>(hash, &may_sign)? {
            Ok(signed) => {
                let note = signed.content();
                let expected = former.map(ToString::to_string).unwrap_or_default();
                [
                    Difference::unless_equal("rekey: log", self.named_log(), note.log.as_str()),
                    Difference::unless_equal("rekey: node", node, &note.node),
                    Difference::unless_equal("rekey: operator", operator, &note.operator),
                    Difference::unless_equal("rekey: former", expected, &note.former),
                    Difference::unless_equal("rekey: vkey", vkey, &note.vkey),
                ]
                .into_iter()
                .flatten()
                .collect()
            }
            Err(difference) => vec![difference],
        };
        self.record.node_keys.extend(vkey.parse().ok().map(|key| (node.clone(), key)));
        Ok(differs)
    }

    /// A public note that is what its hash says and that the statement key in force signed.
    fn note<T: NoteText>(&self, hash: Hash) -> Result<Result<Signed<T>, Difference>, CouldNotCheck> {
        self.note_by(hash, self.record.statement_key().as_slice())
    }

    /// A public note that is what its hash says and that one of these keys signed.
    fn note_by<T: NoteText>(
        &self,
        hash: Hash,
        may_sign: &[&Verifier],
    ) -> Result<Result<Signed<T>, Difference>, CouldNotCheck> {
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
        let Some(key) = may_sign.first() else {
            return differs("an entry `key statement` before it", "none");
        };
        let signed = Signed::<T>::parse(&text).and_then(|signed| {
            let by_another = may_sign[1..].iter().any(|key| signed.verified_by(key).is_ok());
            if by_another { Ok(signed) } else { signed.verified_by(key).map(|()| signed) }
        });
        Ok(signed.map_err(Difference::from))
    }
}
