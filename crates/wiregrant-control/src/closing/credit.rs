//! What each admitted node brings into the closing of an epoch, and what follows for it.

use std::collections::BTreeMap;

use wiregrant_core::credit::{NodeEpoch, credit, moved_between};
use wiregrant_core::inputs::{Inputs, NodeInputs};
use wiregrant_core::note::Signed;
use wiregrant_core::usage_report::{PeersBucket, UsageReport, UsageTable};
use wiregrant_core::{Bytes, LocationId, NodeId};
use wiregrant_store::{self as store, Read};

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
}

/// Every node admitted in this epoch.
///
/// # Errors
/// `busy` or `internal`.
pub async fn nodes(read: &mut Read, epoch: &ClosedEpoch) -> Answer<BTreeMap<NodeId, CreditedNode>> {
    let history = History::read(read, epoch).await?;
    let mut nodes = BTreeMap::new();
    for member in read.memberships_of_grant(&epoch.grant).await? {
        let takes_part =
            member.first_epoch <= epoch.number && member.end_epoch.is_none_or(|end| epoch.number < end);
        if takes_part {
            let node = node(read, epoch, &history, &member).await?;
            nodes.insert(member.node, node);
        }
    }
    Ok(nodes)
}

async fn node(
    read: &mut Read,
    epoch: &ClosedEpoch,
    history: &History,
    member: &store::Membership,
) -> Answer<CreditedNode> {
    let row = read.node(&member.node).await?;
    let row = row.ok_or_else(|| Failure::internal(format!("node {} vanished", member.node)))?;
    let last = history.last.get(&member.node);
    let baseline_sequence = baseline_sequence(read, member, last).await?;
    let closing = read.closing_report(&member.node, &epoch.grant, epoch.number, epoch.reports.size).await?;
    let closing = closing.map(|report| parsed(&report)).transpose()?;
    let moved = match &closing {
        None => UsageTable::new(),
        Some(closing) => {
            let baseline = read.report(&member.node, baseline_sequence).await?;
            let baseline = baseline.map(|report| parsed(&report)).transpose()?;
            let before = baseline.map(|report| report.usage).unwrap_or_default();
            moved_between(&before, &closing.usage).map_err(Failure::internal)?
        }
    };
    let placed = read.assigned_devices(&member.node, epoch.end).await?;
    let used = history.eligible.get(&member.node).copied().unwrap_or_default();
    let withheld = last.filter(|last| last.units.is_none());
    let node = NodeEpoch {
        moved,
        peers: closing.as_ref().map_or(PeersBucket::Zero, |closing| closing.peers),
        devices_placed: placed.devices,
        allotted: placed.allotment.minus_or_zero(used),
        brought: last.map_or(Bytes::ZERO, |last| last.carried),
        brought_peers: withheld.map_or(0, |last| last.peers),
    };
    let credited = credit(&node, &epoch.terms).map_err(Failure::internal)?;
    let inputs = NodeInputs {
        operator: row.operator,
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
    Ok(CreditedNode { location: row.location, endpoint: row.endpoint, inputs })
}

/// From which report the node's bytes are counted: its last closing report in this grant, or the last report before the
/// first that this membership labelled, whichever is later. What it served before it was admitted, or while it was
/// away, belongs to nobody's pot.
async fn baseline_sequence(
    read: &mut Read,
    member: &store::Membership,
    last: Option<&NodeInputs>,
) -> Answer<u64> {
    let closed = last.map_or(0, |last| last.closing_sequence.unwrap_or(last.baseline_sequence));
    let first = read.first_sequence_labelled(&member.node, &member.grant_id, member.first_epoch).await?;
    Ok(closed.max(first.map_or(0, |first| first.saturating_sub(1))))
}

fn parsed(report: &store::Report) -> Answer<UsageReport> {
    Ok(Signed::<UsageReport>::parse(&report.note).map_err(Failure::internal)?.into_content())
}

/// What earlier statements have said of the nodes.
struct History {
    /// Each node's line in the newest inputs of this grant that have one.
    last: BTreeMap<NodeId, NodeInputs>,
    /// Bytes of each node that were eligible in any statement of any grant: a device's allotment is spent only once.
    eligible: BTreeMap<NodeId, Bytes>,
}

impl History {
    async fn read(read: &mut Read, epoch: &ClosedEpoch) -> Answer<Self> {
        let mut history = Self { last: BTreeMap::new(), eligible: BTreeMap::new() };
        for grant in read.grants().await? {
            for number in 1..=read.epochs_closed(&grant.grant_id).await? {
                let note = read.inputs(&grant.grant_id, number).await?;
                let note =
                    note.ok_or_else(|| Failure::internal(format!("inputs of epoch {number} vanished")))?;
                let inputs = Signed::<Inputs>::parse(&note).map_err(Failure::internal)?.into_content();
                for (id, node) in inputs.nodes {
                    let sum = history.eligible.entry(id.clone()).or_default();
                    *sum = sum.plus(node.eligible).map_err(Failure::internal)?;
                    if grant.grant_id == epoch.grant {
                        history.last.insert(id, node);
                    }
                }
            }
        }
        Ok(history)
    }
}
