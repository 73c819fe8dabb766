//! What came after a grant's last statement: no statement counts it, and only the node's operator is told.

use std::collections::BTreeMap;

use wiregrant_core::credit::moved_between;
use wiregrant_core::inputs::NodeInputs;
use wiregrant_core::usage_report::{Usage, UsageTable};
use wiregrant_core::{Bytes, GrantId, NodeId, Units};
use wiregrant_store::Read;

use super::credit::parsed;
use crate::api::grants;
use crate::error::{Answer, Failure};
use crate::membership;

/// A size that no log reaches: every report counts that was accepted up to now.
const WHOLE_LOG: u64 = Bytes::MAX.get();

/// Bytes by node that were reported for a grant after its last statement; none before that is signed. A node is counted from
/// the report that its standing names, exactly as a next statement would count it.
///
/// # Errors
/// `not-found`, `busy` or `internal`.
pub async fn bytes(read: &mut Read, grant: &GrantId) -> Answer<BTreeMap<NodeId, Bytes>> {
    let terms = membership::terms(&grants::known(read, grant).await?)?;
    let mut late = BTreeMap::new();
    if read.epochs_closed(grant).await? < terms.epochs {
        return Ok(late);
    }
    let standings = read.standings(grant).await?.into_iter();
    let counted: BTreeMap<NodeId, u64> =
        standings.map(|standing| (standing.node, standing.sequence)).collect();
    // Of several stays the last one counts, as in a closing.
    let first: BTreeMap<NodeId, u64> = read
        .closing_members(grant, terms.epochs)
        .await?
        .into_iter()
        .filter_map(|stay| Some((stay.node, stay.first_labelled?)))
        .collect();
    for report in read.closing_reports(grant, terms.epochs, WHOLE_LOG).await? {
        let of = |all: &BTreeMap<NodeId, u64>| all.get(&report.node).copied().unwrap_or_default();
        let baseline = of(&counted).max(of(&first).saturating_sub(1));
        if report.sequence <= baseline {
            continue;
        }
        let before = match read.report(&report.node, baseline).await? {
            Some(before) => parsed(&before.note)?.usage,
            None => UsageTable::new(),
        };
        let moved = moved_between(&before, &parsed(&report.note)?.usage).map_err(Failure::internal)?;
        let served = moved.values().map(Usage::served).collect::<Result<Vec<_>, _>>();
        let served = Bytes::total(served.map_err(Failure::internal)?).map_err(Failure::internal)?;
        if served > Bytes::ZERO {
            late.insert(report.node, served);
        }
    }
    Ok(late)
}

/// The inputs of an epoch's nodes, each with the bytes that came too late for any statement: those stand with the last epoch, also
/// for a node that its statement does not name.
///
/// # Errors
/// As [`bytes`].
pub async fn with_late(
    read: &mut Read,
    grant: &GrantId,
    epoch: u64,
    nodes: BTreeMap<NodeId, NodeInputs>,
) -> Answer<Vec<(NodeId, NodeInputs, Bytes)>> {
    let terms = membership::terms(&grants::known(read, grant).await?)?;
    let mut late = if epoch == terms.epochs { bytes(read, grant).await? } else { BTreeMap::new() };
    let mut all: Vec<(NodeId, NodeInputs, Bytes)> = nodes
        .into_iter()
        .map(|(node, inputs)| {
            let late = late.remove(&node).unwrap_or_default();
            (node, inputs, late)
        })
        .collect();
    for (node, late) in late {
        let row = read.node(&node).await?.ok_or_else(|| Failure::internal(format!("{node} vanished")))?;
        let standing = read.standings(grant).await?.into_iter().find(|standing| standing.node == node);
        let (carried, peers) =
            standing.as_ref().map_or((Bytes::ZERO, 0), |standing| (standing.carried, standing.peers));
        let withheld = standing.is_some_and(|standing| standing.withheld);
        let inputs = NodeInputs {
            operator: row.operator,
            baseline_sequence: 0,
            closing_sequence: None,
            devices_placed: 0,
            allotted: Bytes::ZERO,
            brought: carried,
            eligible: Bytes::ZERO,
            units: (!withheld).then_some(Units::ZERO),
            carried,
            peers,
            disallowed: BTreeMap::new(),
        };
        all.push((node, inputs, late));
    }
    Ok(all)
}
