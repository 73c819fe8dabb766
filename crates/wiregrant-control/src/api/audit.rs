//! What an auditor sees: the inputs of closed epochs, and the closing reports of nodes whose numbers are published.
//!
//! A report of a node that is withheld in its epoch is shown once a later statement publishes the node's number, of which
//! it is a part then. Of earlier reports only the one is shown from which a membership's first epoch counts.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use wiregrant_core::api::{AuditReport, AuditReports, MAX_AUDIT_REPORTS, ProblemKind};
use wiregrant_core::inputs::{Inputs, NodeInputs};
use wiregrant_core::note::Signed;
use wiregrant_core::{GrantId, NodeId};
use wiregrant_store::Read;

use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::Path;
use crate::sign_in::Caller;

/// The path of an epoch.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Epoch {
    grant: GrantId,
    epoch: u64,
}

/// The path of a page of reports, counted from 1.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Page {
    grant: GrantId,
    epoch: u64,
    page: u64,
}

/// `GET /grants/{grant}/epochs/{epoch}/inputs`: the signed note.
///
/// # Errors
/// `not-found`, `forbidden`.
pub async fn inputs(
    State(plane): State<Shared>,
    caller: Caller,
    Path(Epoch { grant, epoch }): Path<Epoch>,
) -> Answer<String> {
    let mut read = plane.store.read().await?;
    may_audit(&mut read, &caller, &grant).await?;
    read.inputs(&grant, epoch).await?.ok_or_else(|| not_closed(&grant, epoch))
}

/// `GET /grants/{grant}/epochs/{epoch}/reports/{page}`
///
/// # Errors
/// `not-found`, `forbidden`.
pub async fn reports(
    State(plane): State<Shared>,
    caller: Caller,
    Path(Page { grant, epoch, page }): Path<Page>,
) -> Answer<Json<AuditReports>> {
    let mut read = plane.store.read().await?;
    may_audit(&mut read, &caller, &grant).await?;
    let shown = shown(&mut read, &grant, epoch).await?;
    let pages = shown.len().div_ceil(MAX_AUDIT_REPORTS).max(1);
    let at = page.checked_sub(1).and_then(|at| usize::try_from(at).ok()).filter(|at| *at < pages);
    let at = at.ok_or_else(|| Failure::not_found("page", format!("{page} of {pages}")))?;
    let mut reports = Vec::new();
    for (node, sequence) in shown.chunks(MAX_AUDIT_REPORTS).nth(at).unwrap_or_default() {
        let report = read.report(node, *sequence).await?;
        let report =
            report.ok_or_else(|| Failure::internal(format!("report {sequence} of {node} vanished")))?;
        reports.push(AuditReport { log_index: report.log_index, note: report.note });
    }
    Ok(Json(AuditReports { pages: pages as u64, reports }))
}

async fn may_audit(read: &mut Read, caller: &Caller, grant: &GrantId) -> Answer<()> {
    let Caller::Auditor(auditor) = caller else {
        return Err(Failure::new(ProblemKind::Forbidden, "this address is for auditors"));
    };
    let of = read.auditors().await?;
    if of.get(auditor).is_some_and(|grants| grants.contains(grant)) {
        return Ok(());
    }
    Err(Failure::new(ProblemKind::Forbidden, format!("grant: {auditor} does not audit {grant}")))
}

fn not_closed(grant: &GrantId, epoch: u64) -> Failure {
    Failure::not_found("epoch", format!("{epoch} of {grant}, closed"))
}

async fn parsed(read: &mut Read, grant: &GrantId, epoch: u64) -> Answer<Option<Inputs>> {
    let note = read.inputs(grant, epoch).await?;
    let inputs = note.map(|note| Signed::<Inputs>::parse(&note)).transpose().map_err(Failure::internal)?;
    Ok(inputs.map(Signed::into_content))
}

/// The reports that belong to an epoch and may be shown, by node and sequence.
async fn shown(read: &mut Read, grant: &GrantId, epoch: u64) -> Answer<Vec<(NodeId, u64)>> {
    let inputs = parsed(read, grant, epoch).await?.ok_or_else(|| not_closed(grant, epoch))?;
    let published = published(read, grant, epoch, &inputs).await?;
    let before = match epoch.checked_sub(1) {
        Some(before) => parsed(read, grant, before).await?,
        None => None,
    };
    let counted_before = |node: &NodeId| {
        let line: &NodeInputs = before.as_ref()?.nodes.get(node)?;
        Some(line.closing_sequence.unwrap_or(line.baseline_sequence))
    };
    let mut shown = Vec::new();
    for (node, line) in inputs.nodes.iter().filter(|(node, _)| published.contains(*node)) {
        let Some(closing) = line.closing_sequence else { continue };
        if line.baseline_sequence > 0 && counted_before(node) != Some(line.baseline_sequence) {
            shown.push((node.clone(), line.baseline_sequence));
        }
        shown.push((node.clone(), closing));
    }
    Ok(shown)
}

/// The nodes whose numbers of this epoch are published, by its statement or as a part of a later one's.
async fn published(
    read: &mut Read,
    grant: &GrantId,
    epoch: u64,
    inputs: &Inputs,
) -> Answer<BTreeSet<NodeId>> {
    let (mut published, mut withheld) = (BTreeSet::new(), BTreeSet::new());
    for (node, line) in &inputs.nodes {
        if line.units.is_some() { &mut published } else { &mut withheld }.insert(node.clone());
    }
    let mut later = epoch.saturating_add(1);
    while !withheld.is_empty() {
        let Some(inputs) = parsed(read, grant, later).await? else { break };
        for (node, _) in inputs.nodes.iter().filter(|(_, line)| line.units.is_some()) {
            if let Some(node) = withheld.take(node) {
                published.insert(node);
            }
        }
        later = later.saturating_add(1);
    }
    Ok(published)
}
