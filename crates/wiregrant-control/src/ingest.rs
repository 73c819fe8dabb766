//! The checks that a usage report passes, in their order, without any I/O.
//!
//! First what the report says by itself ([`Checked`]); then, in the order in which reports are written,
//! whether it follows what the node has said before ([`Standing::judge`]). A text that was accepted once is recognised
//! before anything else is asked of it: it gets its old acknowledgement, whatever has become of the node since.

use transparency_log::{Hash, Verifier};
use wiregrant_core::api::{Membership, NodeState, ProblemKind};
use wiregrant_core::note::{Origin, Signed};
use wiregrant_core::usage_report::{MAX_CLOCK_AHEAD_SECONDS, SuccessionError, UsageReport};
use wiregrant_core::{NodeId, OperatorId, Timestamp};

use crate::error::{Answer, Failure};

/// Who sends a report.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The node that signed the request.
    pub node: NodeId,
    /// Whose node it is.
    pub operator: OperatorId,
    /// Its identity key.
    pub vkey: Verifier,
}

/// Reports of one node whose form, signature and sender are in order: all that can be said of them without the database.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The node.
    pub node: NodeId,
    /// The identity key that signed them, 32 bytes: whoever writes them compares it with the node's present one.
    pub identity_key: [u8; 32],
    /// They, in the order in which they were sent; at least one.
    pub reports: Vec<Signed<UsageReport>>,
    /// Why the one after them was refused.
    pub refused: Option<Failure>,
}

impl Checked {
    /// Checks notes in their order, up to the first that is refused. Each names one of `logs`: this control plane's, or one that it
    /// continues.
    ///
    /// # Errors
    /// Why the first one is refused: `report-form`, naming line, field and value; `report-signature`; `report-other-log`;
    /// `report-other-node`.
    pub fn of(notes: &[String], sender: &Sender, logs: &[Origin]) -> Answer<Self> {
        let mut checked = Self {
            node: sender.node.clone(),
            identity_key: sender.vkey.public_key(),
            reports: Vec::with_capacity(notes.len()),
            refused: None,
        };
        for note in notes {
            match read(note).and_then(|report| check_sender(&report, sender, logs).map(|()| report)) {
                Ok(report) => checked.reports.push(report),
                Err(failure) if checked.reports.is_empty() => return Err(failure),
                Err(failure) => {
                    checked.refused = Some(failure);
                    break;
                }
            }
        }
        Ok(checked)
    }
}

fn read(note: &str) -> Answer<Signed<UsageReport>> {
    Signed::parse(note).map_err(|error| Failure::new(ProblemKind::ReportForm, error.to_string()))
}

fn check_sender(report: &Signed<UsageReport>, sender: &Sender, logs: &[Origin]) -> Answer<()> {
    report
        .verified_by(&sender.vkey)
        .map_err(|error| Failure::new(ProblemKind::ReportSignature, error.to_string()))?;
    let UsageReport { log: named, node, operator, .. } = report.content();
    if !logs.contains(named) {
        let log = logs.first().map_or("none", Origin::as_str);
        let detail = format!("log: this is {log}, the report is for {named}");
        return Err(Failure::new(ProblemKind::ReportOtherLog, detail));
    }
    if *node != sender.node || *operator != sender.operator {
        let Sender { node: ours, operator: theirs, .. } = sender;
        let detail = format!("node {ours} of {theirs} sent it, the report names node {node} of {operator}");
        return Err(Failure::new(ProblemKind::ReportOtherNode, detail));
    }
    Ok(())
}

/// The last accepted report of a node.
#[derive(Debug, Clone)]
pub struct Head {
    /// What it says.
    pub report: UsageReport,
    /// Its note's hash.
    pub hash: Hash,
}

/// What is known of a node when a report of it comes.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its life.
    pub state: NodeState,
    /// Its last accepted report.
    pub head: Option<Head>,
    /// Every grant it is or was in.
    pub memberships: Vec<Membership>,
}

/// What is to be done with a report.
#[derive(Debug)]
pub enum Verdict {
    /// It is the next one: write it.
    Next,
    /// The same text was accepted before: give the same acknowledgement.
    Known,
    /// Another text was accepted under this number: keep this one as evidence and freeze the node.
    Forked(Failure),
    /// It is refused and leaves no trace.
    Refused(Failure),
}

impl Standing {
    /// Judges a report whose form, signature and sender are in order. `accepted` is the hash of the text accepted under
    /// its sequence number, if there is one.
    #[must_use]
    pub fn judge(&self, report: &Signed<UsageReport>, accepted: Option<Hash>, now: Timestamp) -> Verdict {
        match accepted {
            Some(hash) if hash == report.hash() => Verdict::Known,
            Some(hash) => Verdict::Forked(forked(report, hash)),
            None => match self.check_next(report.content(), now) {
                Ok(()) => Verdict::Next,
                Err(failure) => Verdict::Refused(failure),
            },
        }
    }

    fn check_next(&self, report: &UsageReport, now: Timestamp) -> Answer<()> {
        match self.state {
            NodeState::Active => {}
            NodeState::Frozen => {
                let detail = "keep counting and send it again: a person has to decide first";
                return Err(Failure::new(ProblemKind::NodeFrozen, detail));
            }
            NodeState::Retired => {
                let detail = "the node has retired for good; enrol it again with a new invitation";
                return Err(Failure::new(ProblemKind::NodeFrozen, detail));
            }
        }
        let latest = now.plus_seconds(MAX_CLOCK_AHEAD_SECONDS);
        if report.end > latest {
            let detail = format!("end: {} lies ahead of {now}; set the node's clock", report.end);
            return Err(Failure::new(ProblemKind::ReportClock, detail).with("now", now.to_string()));
        }
        self.check_epoch(report)?;
        self.check_follows(report)
    }

    /// Whether the report follows the last accepted one.
    ///
    /// # Errors
    /// `report-gap`, `report-previous`, `report-total-fell`, `report-overlap`, `report-epoch`.
    pub fn check_follows(&self, report: &UsageReport) -> Answer<()> {
        let head = self.head.as_ref().map(|head| (&head.report, head.hash));
        report.follows(head).map_err(|error| succession(&error, self.head.as_ref()))
    }

    /// A report's epoch must be one that the node takes part in and that holds the report's end, where an end at the
    /// boundary belongs to the epoch that ends there. Bytes may always be left without an epoch: they then earn nothing.
    fn check_epoch(&self, report: &UsageReport) -> Answer<()> {
        let Some(label) = &report.epoch else { return Ok(()) };
        let refuse =
            |why: String| Err(Failure::new(ProblemKind::ReportEpoch, format!("epoch: {label}: {why}")));
        let takes_part = |m: &&Membership| {
            m.grant == label.grant
                && label.number >= m.first_epoch
                && m.end_epoch.is_none_or(|end| label.number < end)
        };
        let Some(membership) = self.memberships.iter().find(takes_part) else {
            return refuse("the node takes no part in it; ask for the desired state again".to_owned());
        };
        match membership.schedule.bounds(label.number) {
            Some((begin, end)) if begin <= report.end && report.end <= end => Ok(()),
            Some((begin, end)) => {
                refuse(format!("it lasts from {begin} to {end}, the report ends at {}", report.end))
            }
            None => refuse(format!("the grant has {} epochs", membership.schedule.epochs)),
        }
    }
}

fn forked(report: &Signed<UsageReport>, accepted: Hash) -> Failure {
    let sequence = report.content().sequence;
    let detail = format!(
        "sequence: {sequence} was accepted with hash {accepted}, this text has {}; both are kept and the node is \
         frozen until a person decides",
        report.hash()
    );
    Failure::new(ProblemKind::ReportForked, detail).with("sequence", sequence)
}

fn succession(error: &SuccessionError, head: Option<&Head>) -> Failure {
    let last = head.map_or(0, |head| head.report.sequence);
    let detail = error.to_string();
    match error {
        SuccessionError::Gap { expected, found } => Failure::new(ProblemKind::ReportGap, detail)
            .with("expected", *expected)
            .with("head", last)
            .with("found", *found),
        SuccessionError::Previous { expected, found, .. } => {
            Failure::new(ProblemKind::ReportPrevious, detail)
                .with("expected", expected.as_str())
                .with("found", found.as_str())
                .with("head", last)
        }
        SuccessionError::TotalFell { before, after, .. } => {
            Failure::new(ProblemKind::ReportTotalFell, detail)
                .with("before", before.to_string())
                .with("after", after.to_string())
        }
        SuccessionError::Overlap { last_end, .. } => {
            Failure::new(ProblemKind::ReportOverlap, detail).with("last_end", last_end.to_string())
        }
        SuccessionError::EpochWentBack { before, after } => {
            Failure::new(ProblemKind::ReportEpoch, detail).with("before", *before).with("after", *after)
        }
    }
}
