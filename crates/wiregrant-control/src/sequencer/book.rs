//! `Book`: one batch of reports while it is put together, with nodes as they will stand once it is committed.

use std::collections::{BTreeMap, BTreeSet};

use wiregrant_core::api::{NodeState, ProblemKind};
use wiregrant_core::note::Signed;
use wiregrant_core::record::{RecordEntry, report_entry};
use wiregrant_core::usage_report::{Usage, UsageReport};
use wiregrant_core::{Bytes, NodeId, Timestamp};
use wiregrant_store::{AwaitedReport, Log, Report, Stretch, UsageAdded, Write};

use super::frontier::{Frontier, Known};
use crate::clock;
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::ingest::{Checked, Head, Verdict};
use crate::recording::{self, Recording};

/// What became of a report.
#[derive(Debug)]
pub enum Outcome {
    /// The n-th new entry of the batch.
    New(usize),
    /// Acknowledged before.
    Known {
        /// Where its entry lies.
        log_index: u64,
        /// The size whose checkpoint acknowledged it.
        acked_size: u64,
    },
    /// Refused.
    Refused(Failure),
}

/// A batch under way.
pub struct Book<'a> {
    now: Timestamp,
    frontier: &'a Frontier,
    nodes: BTreeMap<NodeId, Known>,
    new: Vec<&'a Signed<UsageReport>>,
    /// Reports whose entries are in the log from before a restore.
    returned: Vec<(&'a Signed<UsageReport>, AwaitedReport)>,
    positions: BTreeMap<(NodeId, u64), usize>,
    sums: BTreeMap<(Stretch, NodeId, Timestamp), Usage>,
    frozen: BTreeSet<NodeId>,
    has_evidence: bool,
}

/// What a committed batch has changed.
pub struct Finished {
    /// Nodes whose reports were taken.
    pub nodes: BTreeMap<NodeId, Known>,
    /// Nodes that were frozen.
    pub frozen: BTreeSet<NodeId>,
}

impl<'a> Book<'a> {
    /// An empty one. The frontier has caught up with every node that will be asked for.
    pub fn new(frontier: &'a Frontier, now: Timestamp) -> Self {
        Self {
            now,
            frontier,
            nodes: BTreeMap::new(),
            new: Vec::new(),
            returned: Vec::new(),
            positions: BTreeMap::new(),
            sums: BTreeMap::new(),
            frozen: BTreeSet::new(),
            has_evidence: false,
        }
    }

    /// Whether anything is to be committed.
    pub fn has_anything_to_write(&self) -> bool {
        !self.new.is_empty() || !self.returned.is_empty() || !self.frozen.is_empty() || self.has_evidence
    }

    /// What is to be remembered once all of it is committed.
    pub fn finish(self) -> Finished {
        Finished { nodes: self.nodes, frozen: self.frozen }
    }

    /// Settles the reports of one request in their order, up to the first that is refused.
    ///
    /// # Errors
    /// `busy` or `internal`; then the whole batch is void.
    pub async fn settle(
        &mut self,
        recording: &mut Recording<'_>,
        checked: &'a Checked,
    ) -> Answer<Vec<Outcome>> {
        let mut known =
            match self.nodes.remove(&checked.node).or_else(|| self.frontier.node(&checked.node).cloned()) {
                Some(known) if known.identity_key == checked.identity_key => known,
                present => {
                    // The node has another key by now, and the copy that the signature was checked with is old.
                    self.nodes.extend(present.map(|known| (checked.node.clone(), known)));
                    let detail = "the node has another identity key now; sign with that one";
                    return Ok(vec![Outcome::Refused(Failure::new(ProblemKind::ReportSignature, detail))]);
                }
            };
        let mut outcomes = Vec::with_capacity(checked.reports.len());
        for report in &checked.reports {
            let outcome = self.settle_one(recording, &mut known, report).await?;
            let is_refused = matches!(outcome, Outcome::Refused(_));
            outcomes.push(outcome);
            if is_refused {
                break;
            }
        }
        self.nodes.insert(checked.node.clone(), known);
        Ok(outcomes)
    }

    async fn settle_one(
        &mut self,
        recording: &mut Recording<'_>,
        known: &mut Known,
        report: &'a Signed<UsageReport>,
    ) -> Answer<Outcome> {
        let UsageReport { node, sequence, .. } = report.content();
        let accepted = self.accepted(&mut recording.write, known, node, *sequence).await?;
        if accepted.is_none()
            && self.frontier.awaits_reports()
            && let Some(outcome) = self.settle_returned(&mut recording.write, known, report).await?
        {
            return Ok(outcome);
        }
        match known.standing.judge(report, accepted.as_ref().map(|accepted| accepted.hash), self.now) {
            Verdict::Next => {
                self.add_up(known.standing.head.as_ref(), report.content())?;
                known.standing.head = Some(Head { report: report.content().clone(), hash: report.hash() });
                self.positions.insert((node.clone(), *sequence), self.new.len());
                self.new.push(report);
                Ok(Outcome::New(self.new.len().saturating_sub(1)))
            }
            Verdict::Known => Ok(accepted.expect("a known text was accepted").outcome),
            Verdict::Forked(failure) => {
                self.has_evidence |=
                    recording.write.insert_evidence(node, *sequence, report.note(), self.now).await?;
                if known.standing.state == NodeState::Active {
                    known.standing.state = NodeState::Frozen;
                    recording.write.set_node_state(node, NodeState::Frozen).await?;
                    recording.log(RecordEntry::Freeze { node: node.clone(), reason: "fork".to_owned() });
                    self.frozen.insert(node.clone());
                }
                Ok(Outcome::Refused(failure))
            }
            Verdict::Refused(failure) => Ok(Outcome::Refused(failure)),
        }
    }

    /// Settles a report that was acknowledged before the database was restored: it gets the place that it had, whatever has become
    /// of the node since. Another text in its place is refused.
    async fn settle_returned(
        &mut self,
        write: &mut Write,
        known: &mut Known,
        report: &'a Signed<UsageReport>,
    ) -> Answer<Option<Outcome>> {
        let UsageReport { node, sequence, .. } = report.content();
        let Some(awaited) = write.awaited_report(report.hash()).await? else {
            let other = write.awaited_report_of(node, *sequence).await?;
            return Ok(other.map(|other| Outcome::Refused(acknowledged_otherwise(*sequence, &other))));
        };
        if self.returned.iter().any(|(_, returned)| returned.log_index == awaited.log_index) {
            return Ok(Some(outcome_of(&awaited)));
        }
        if let Err(failure) = known.standing.check_follows(report.content()) {
            return Ok(Some(Outcome::Refused(failure)));
        }
        self.add_up(known.standing.head.as_ref(), report.content())?;
        known.standing.head = Some(Head { report: report.content().clone(), hash: report.hash() });
        let outcome = outcome_of(&awaited);
        self.returned.push((report, awaited));
        Ok(Some(outcome))
    }

    /// The text accepted under this number, in this batch or before. Beyond the head there is none, so whoever reports on time
    /// costs no query.
    async fn accepted(
        &self,
        write: &mut Write,
        known: &Known,
        node: &NodeId,
        sequence: u64,
    ) -> Answer<Option<Accepted>> {
        if known.standing.head.as_ref().is_none_or(|head| sequence > head.report.sequence) {
            return Ok(None);
        }
        let in_batch = self.returned.iter().find(|(returned, _)| {
            (&returned.content().node, returned.content().sequence) == (node, sequence)
        });
        if let Some((returned, awaited)) = in_batch {
            return Ok(Some(Accepted { hash: returned.hash(), outcome: outcome_of(awaited) }));
        }
        if let Some(position) = self.positions.get(&(node.clone(), sequence)) {
            return Ok(Some(Accepted { hash: self.new[*position].hash(), outcome: Outcome::New(*position) }));
        }
        let stored = write.report(node, sequence).await?;
        Ok(stored.map(|report| Accepted {
            hash: report.note_hash,
            outcome: Outcome::Known { log_index: report.log_index, acked_size: report.acked_size },
        }))
    }

    /// Adds what the report counted since the one before to the hour and the day of its last second.
    fn add_up(&mut self, head: Option<&Head>, report: &UsageReport) -> Answer<()> {
        let more = total(report)?
            .since(&head.map_or(Ok(Usage::default()), |head| total(&head.report))?)
            .ok_or_else(|| Failure::internal("totals that fell were taken"))?;
        if more == Usage::default() {
            return Ok(());
        }
        let last_second = report.end.unix_seconds().saturating_sub(1).max(report.start.unix_seconds());
        let last_second = Timestamp::from_unix_seconds(last_second).map_err(Failure::internal)?;
        for stretch in [Stretch::Hour, Stretch::Day] {
            let key = (stretch, report.node.clone(), stretch.begin(last_second));
            let sum = self.sums.entry(key).or_default();
            *sum = plus(sum, &more)?;
        }
        Ok(())
    }

    /// Appends the new reports' entries, inserts their rows and adds to the sums.
    ///
    /// # Errors
    /// `busy` or `internal`.
    pub async fn write(&self, plane: &ControlPlane, write: &mut Write) -> Answer<Option<recording::Signed>> {
        self.write_returned(write).await?;
        if self.new.is_empty() {
            self.write_sums(write).await?;
            return Ok(None);
        }
        let begun = clock::stopwatch();
        let entries: Vec<String> = self.new.iter().map(|report| report_entry(report.hash())).collect();
        let signed = recording::append(write, Log::Reports, &plane.keys, &entries).await?;
        plane.figures.add_micros(&plane.figures.log_append_micros, begun.elapsed());
        let rows: Vec<Report> = (signed.first_index..)
            .zip(&self.new)
            .map(|(index, report)| self.row(report, index, signed.size))
            .collect();
        write.insert_reports(&rows).await?;
        self.write_sums(write).await?;
        Ok(Some(signed))
    }

    /// Puts returned reports to their entries.
    async fn write_returned(&self, write: &mut Write) -> Answer<()> {
        let rows = self
            .returned
            .iter()
            .map(|(report, awaited)| self.row(report, awaited.log_index, awaited.acked_size));
        write.insert_reports(&rows.collect::<Vec<_>>()).await?;
        for (_, awaited) in &self.returned {
            write.report_came(awaited.log_index).await?;
        }
        Ok(())
    }

    async fn write_sums(&self, write: &mut Write) -> Answer<()> {
        for stretch in [Stretch::Hour, Stretch::Day] {
            let added: Vec<UsageAdded> = self
                .sums
                .iter()
                .filter(|((of, ..), _)| *of == stretch)
                .map(|((_, node, begin), usage)| UsageAdded {
                    node: node.clone(),
                    begin: *begin,
                    usage: *usage,
                })
                .collect();
            write.add_usage(stretch, &added).await?;
        }
        Ok(())
    }

    fn row(&self, report: &Signed<UsageReport>, log_index: u64, acked_size: u64) -> Report {
        let content = report.content();
        Report {
            node: content.node.clone(),
            sequence: content.sequence,
            note: report.note().to_owned(),
            note_hash: report.hash(),
            log_index,
            acked_size,
            epoch_grant: content.epoch.as_ref().map(|label| label.grant.clone()),
            epoch_number: content.epoch.as_ref().map(|label| label.number),
            start_at: content.start,
            end_at: content.end,
            received_at: self.now,
        }
    }
}

fn outcome_of(awaited: &AwaitedReport) -> Outcome {
    Outcome::Known { log_index: awaited.log_index, acked_size: awaited.acked_size }
}

fn acknowledged_otherwise(sequence: u64, awaited: &AwaitedReport) -> Failure {
    let detail = format!(
        "sequence: {sequence} was acknowledged with hash {} before the control plane was restored; send that text again",
        awaited.note_hash
    );
    Failure::new(ProblemKind::ReportForked, detail).with("sequence", sequence)
}

/// A text accepted under a sequence number: its hash, and where it stands.
struct Accepted {
    hash: transparency_log::Hash,
    outcome: Outcome,
}

/// All services and classes together.
fn total(report: &UsageReport) -> Answer<Usage> {
    report.usage.values().try_fold(Usage::default(), |sum, usage| plus(&sum, usage))
}

fn plus(one: &Usage, other: &Usage) -> Answer<Usage> {
    let plus = |one: Bytes, other: Bytes| one.plus(other).map_err(Failure::internal);
    Ok(Usage {
        received: plus(one.received, other.received)?,
        sent: plus(one.sent, other.sent)?,
        creditable: plus(one.creditable, other.creditable)?,
    })
}
