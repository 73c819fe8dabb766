//! What each node brings into the closing of an epoch, and what follows for it.
//!
//! Everything about the nodes is read at once, in a fixed number of questions: what earlier statements have said of a node
//! stands in its one row of standings.

use std::collections::BTreeMap;

use wiregrant_core::credit::{NodeCredit, NodeEpoch, credit, moved_between};
use wiregrant_core::inputs::NodeInputs;
use wiregrant_core::note::Signed;
use wiregrant_core::usage_report::{PeersBucket, Usage, UsageReport, UsageTable};
use wiregrant_core::{Bytes, LocationId, NodeId, Units};
use wiregrant_store::{self as store, AssignedDevices, ClosingMember, Read, Standing};

use super::ClosedEpoch;
use crate::error::{Answer, Failure};

/// A node's part in the closing.
pub struct CreditedNode {
    /// Where it stands.
    pub location: LocationId,
    /// Where clients reach it.
    pub endpoint: String,
    /// The numbers.
    pub inputs: NodeInputs,
    /// What the next closing starts from.
    pub standing: Standing,
}

/// Every node that takes part in the epoch, and every one that took part before and has something more to count: it
/// reported late, or what it carries makes units now.
///
/// # Errors
/// `busy` or `internal`.
pub async fn nodes(read: &mut Read, epoch: &ClosedEpoch) -> Answer<BTreeMap<NodeId, CreditedNode>> {
    let facts = Facts::read(read, epoch).await?;
    let members = read.closing_members(&epoch.grant, epoch.number).await?;
    let mut nodes = BTreeMap::new();
    for stays in members.chunk_by(|a, b| a.node == b.node) {
        let lasts = |stay: &ClosingMember| stay.end_epoch.is_none_or(|end| epoch.number < end);
        let took_part = |stay: &ClosingMember| {
            stay.first_epoch < epoch.number && stay.end_epoch.is_none_or(|end| stay.first_epoch < end)
        };
        let present = stays.iter().rev().find(|stay| lasts(stay));
        let Some(stay) = present.or_else(|| stays.iter().rev().find(|stay| took_part(stay))) else {
            continue;
        };
        let (node, has_more) = node(read, epoch, &facts, stay).await?;
        if present.is_some() || has_more {
            nodes.insert(stay.node.clone(), node);
        }
    }
    Ok(nodes)
}

/// What is read of all nodes at once.
struct Facts {
    standings: BTreeMap<NodeId, Standing>,
    /// The closing report of each node.
    closing: BTreeMap<NodeId, store::ClosingReport>,
    /// The report that each node's standing counts from.
    counted: BTreeMap<NodeId, store::ClosingReport>,
    /// What each node has used of its devices' allotments in all grants.
    used: BTreeMap<NodeId, Bytes>,
    placed: BTreeMap<NodeId, AssignedDevices>,
}

impl Facts {
    async fn read(read: &mut Read, epoch: &ClosedEpoch) -> Answer<Self> {
        let (grant, by_node) = (&epoch.grant, |report: store::ClosingReport| (report.node.clone(), report));
        let standings = read.standings(grant).await?.into_iter();
        let closing = read.closing_reports(grant, epoch.number, epoch.reports.size).await?.into_iter();
        Ok(Self {
            standings: standings.map(|standing| (standing.node.clone(), standing)).collect(),
            closing: closing.map(by_node).collect(),
            counted: read.standing_reports(grant).await?.into_iter().map(by_node).collect(),
            used: read.used_allotments(grant).await?.into_iter().collect(),
            placed: read.assigned_devices_of_grant(grant, epoch.end).await?.into_iter().collect(),
        })
    }

    fn standing(&self, node: &NodeId) -> Standing {
        self.standings.get(node).cloned().unwrap_or_else(|| Standing {
            node: node.clone(),
            epoch: 0,
            sequence: 0,
            label: 0,
            label_peers: 0,
            carried: Bytes::ZERO,
            peers: 0,
            withheld: false,
            eligible_assigned: Bytes::ZERO,
        })
    }
}

/// One node, and whether there is anything to say of it beside what was said before.
async fn node(
    read: &mut Read,
    epoch: &ClosedEpoch,
    facts: &Facts,
    stay: &ClosingMember,
) -> Answer<(CreditedNode, bool)> {
    let standing = facts.standing(&stay.node);
    let baseline_sequence =
        standing.sequence.max(stay.first_labelled.map_or(0, |first| first.saturating_sub(1)));
    let closing = facts.closing.get(&stay.node).filter(|report| report.sequence > baseline_sequence);
    let label = closing.and_then(|report| report.epoch_number);
    let moved = match closing {
        Some(closing) => Some(moved(read, epoch, facts, stay, (baseline_sequence, closing)).await?),
        None => None,
    };
    let placed = facts.placed.get(&stay.node).copied();
    let placed = placed.unwrap_or(AssignedDevices { devices: 0, allotment: Bytes::ZERO });
    let used = facts.used.get(&stay.node).copied().unwrap_or_default();
    // People of an epoch that was counted already, and is still withheld, are counted anew and not twice.
    let again = standing.withheld && label.is_some_and(|label| label == standing.label);
    let counted_people = if again { standing.label_peers } else { 0 };
    let brought_peers = standing.peers.saturating_sub(counted_people);
    let (table, peers, seconds) = match &moved {
        Some(moved) => (moved.table.clone(), moved.peers, moved.seconds),
        None => (UsageTable::new(), PeersBucket::Zero, 0),
    };
    let node = NodeEpoch {
        moved: table,
        peers,
        devices_placed: placed.devices,
        allotted: placed.allotment.minus_or_zero(used),
        moved_seconds: seconds,
        is_found: epoch.decided.found.contains(&stay.node),
        brought: standing.carried,
        brought_peers,
    };
    let credited = credit(&node, &epoch.terms).map_err(Failure::internal)?;
    let served: u128 = node.moved.values().flat_map(Usage::served).sum();
    let has_more = served > 0 || credited.units.is_some_and(|units| units > Units::ZERO);
    let next = next_standing(&standing, epoch, &credited, brought_peers, (baseline_sequence, closing))?;
    let inputs = NodeInputs {
        operator: stay.operator.clone(),
        baseline_sequence,
        closing_sequence: closing.map(|closing| closing.sequence),
        devices_placed: node.devices_placed,
        allotted: node.allotted,
        brought: node.brought,
        eligible: credited.eligible,
        units: credited.units,
        carried: credited.carried,
        peers: credited.peers,
        disallowed: credited.disallowed,
    };
    let (location, endpoint) = (stay.location.clone(), stay.endpoint.clone());
    Ok((CreditedNode { location, endpoint, inputs, standing: next }, has_more))
}

/// What a node moved between two of its reports.
struct Moved {
    table: UsageTable,
    peers: PeersBucket,
    seconds: u64,
}

async fn moved(
    read: &mut Read,
    epoch: &ClosedEpoch,
    facts: &Facts,
    stay: &ClosingMember,
    (baseline, closing): (u64, &store::ClosingReport),
) -> Answer<Moved> {
    let closing = parsed(&closing.note)?;
    let note = match facts.counted.get(&stay.node).filter(|report| report.sequence == baseline) {
        Some(report) => Some(report.note.clone()),
        None if baseline == 0 => None,
        None => read.report(&stay.node, baseline).await?.map(|report| report.note),
    };
    let baseline = note.map(|note| parsed(&note)).transpose()?;
    let since = baseline.as_ref().map_or(epoch.start, |report| report.end);
    let before = baseline.map(|report| report.usage).unwrap_or_default();
    Ok(Moved {
        table: moved_between(&before, &closing.usage).map_err(Failure::internal)?,
        peers: closing.peers,
        seconds: closing.end.seconds_since(since),
    })
}

fn next_standing(
    before: &Standing,
    epoch: &ClosedEpoch,
    credited: &NodeCredit,
    brought_peers: u64,
    (baseline_sequence, closing): (u64, Option<&store::ClosingReport>),
) -> Answer<Standing> {
    let withheld = credited.units.is_none();
    let people_now = credited.peers.saturating_sub(brought_peers);
    let label_peers = if closing.is_some() { people_now } else { before.label_peers };
    let eligible_assigned = before.eligible_assigned.plus(credited.eligible_assigned);
    Ok(Standing {
        node: before.node.clone(),
        epoch: epoch.number,
        sequence: closing.map_or(baseline_sequence, |closing| closing.sequence),
        label: closing.and_then(|closing| closing.epoch_number).unwrap_or(before.label),
        label_peers: if withheld { label_peers } else { 0 },
        carried: credited.carried,
        peers: if withheld { credited.peers } else { 0 },
        withheld,
        eligible_assigned: eligible_assigned.map_err(Failure::internal)?,
    })
}

/// A report from its note.
///
/// # Errors
/// `internal`: only notes that were accepted here are stored.
pub fn parsed(note: &str) -> Answer<UsageReport> {
    Ok(Signed::<UsageReport>::parse(note).map_err(Failure::internal)?.into_content())
}
