//! Findings about nodes, decisions about lines and statements, corrections, and what an operator is told of their credit.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use wiregrant_core::api::{
    AdjustmentState, Approvals, DecideLine, DisallowedBytes, LineDecisionKind, List, NewAdjustment,
    NewNodeFinding, NodeEpochCredit, NodeFinding, ProblemKind, StatementLine,
};
use wiregrant_core::inputs::{Inputs, NodeInputs};
use wiregrant_core::note::Signed;
use wiregrant_core::{Bytes, GrantId, NodeId, OperatorId};
use wiregrant_store as store;

use super::{grants, list as as_list};
use crate::answer::Listed;
use crate::closing::late;
use crate::control_plane::Shared;
use crate::deciding;
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Page, Path};
use crate::line_standing::{self, parsed};
use crate::sign_in::{Caller, Holder};

/// `POST /grants/{grant}/findings`
///
/// # Errors
/// `not-found`, `invalid-request`.
pub async fn find(
    State(plane): State<Shared>,
    holder: Holder,
    Path(grant): Path<GrantId>,
    Body(new): Body<NewNodeFinding>,
) -> Answer<Json<List<StatementLine>>> {
    Ok(as_list(deciding::find(&plane, &grant, &new, holder.token.as_str()).await?))
}

/// `GET /grants/{grant}/findings`
///
/// # Errors
/// `not-found`.
pub async fn findings(
    State(plane): State<Shared>,
    caller: Caller,
    Path(grant): Path<GrantId>,
    page: Page,
) -> Answer<Listed<NodeFinding>> {
    let mut read = plane.store.read().await?;
    grants::known(&mut read, &grant).await?;
    let mut findings = Vec::new();
    for found in read.findings(&grant).await? {
        let node = read.node(&found.node).await?;
        if node.is_some_and(|node| caller.acts_for(&node.operator).is_ok()) {
            findings.push(NodeFinding {
                number: found.number,
                node: found.node,
                reason: found.reason,
                detail: found.detail,
                acts_in: found.acts_in,
                found_at: found.found_at,
            });
        }
    }
    page.of(findings, |found: &NodeFinding| found.number.to_string())
}

/// `GET /grants/{grant}/lines`
///
/// # Errors
/// `not-found`.
pub async fn lines(
    State(plane): State<Shared>,
    caller: Caller,
    Path(grant): Path<GrantId>,
    page: Page,
) -> Answer<Listed<StatementLine>> {
    let mut read = plane.store.read().await?;
    grants::known(&mut read, &grant).await?;
    let only = match &caller {
        Caller::Operator(operator) => Some(operator),
        _ => None,
    };
    let lines = line_standing::of_grant(&plane, &mut read, &grant, only).await?;
    page.of(lines, |line| format!("{} {}", line.epoch, line.operator))
}

/// The path of a line.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Line {
    pub(crate) grant: GrantId,
    pub(crate) epoch: u64,
    pub(crate) operator: OperatorId,
}

/// `POST …/operators/{operator}/hold`
///
/// # Errors
/// As [`deciding::decide`].
pub async fn hold(
    State(plane): State<Shared>,
    holder: Holder,
    Path(line): Path<Line>,
    Body(asked): Body<DecideLine>,
) -> Answer<Json<StatementLine>> {
    decide(&plane, &holder, &line, LineDecisionKind::Hold, &asked).await
}

/// `POST …/operators/{operator}/release`
///
/// # Errors
/// As [`deciding::decide`].
pub async fn release(
    State(plane): State<Shared>,
    holder: Holder,
    Path(line): Path<Line>,
    Body(asked): Body<DecideLine>,
) -> Answer<Json<StatementLine>> {
    decide(&plane, &holder, &line, LineDecisionKind::Release, &asked).await
}

/// `POST …/operators/{operator}/forfeit`
///
/// # Errors
/// As [`deciding::decide`].
pub async fn forfeit(
    State(plane): State<Shared>,
    holder: Holder,
    Path(line): Path<Line>,
    Body(asked): Body<DecideLine>,
) -> Answer<Json<StatementLine>> {
    decide(&plane, &holder, &line, LineDecisionKind::Forfeit, &asked).await
}

/// `POST …/operators/{operator}/object`: only the operator objects for themselves.
///
/// # Errors
/// As [`deciding::decide`]; `forbidden` for anybody else.
pub async fn object(
    State(plane): State<Shared>,
    (caller, holder): (Caller, Holder),
    Path(line): Path<Line>,
    Body(asked): Body<DecideLine>,
) -> Answer<Json<StatementLine>> {
    if !matches!(&caller, Caller::Operator(own) if *own == line.operator) {
        let detail = format!("operator: only {} objects for themselves", line.operator);
        return Err(Failure::new(ProblemKind::Forbidden, detail));
    }
    decide(&plane, &holder, &line, LineDecisionKind::Object, &asked).await
}

async fn decide(
    plane: &Shared,
    holder: &Holder,
    line: &Line,
    kind: LineDecisionKind,
    asked: &DecideLine,
) -> Answer<Json<StatementLine>> {
    let line = (&line.grant, line.epoch, &line.operator);
    deciding::decide(plane, line, kind, asked, holder.token.as_str()).await.map(Json)
}

/// The path of an epoch.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Epoch {
    grant: GrantId,
    epoch: u64,
}

/// `POST /grants/{grant}/epochs/{epoch}/approve`
///
/// # Errors
/// As [`deciding::approve`]; `forbidden` for the funder of another grant.
pub async fn approve(
    State(plane): State<Shared>,
    (caller, holder): (Caller, Holder),
    Path(Epoch { grant, epoch }): Path<Epoch>,
) -> Answer<Json<Approvals>> {
    let mut read = plane.store.read().await?;
    grants::known(&mut read, &grant).await?;
    if let Caller::Funder(funder) = &caller
        && !read.funds(funder, &grant).await?
    {
        return Err(Failure::new(ProblemKind::Forbidden, format!("grant: {funder} does not fund {grant}")));
    }
    drop(read);
    deciding::approve(&plane, &grant, epoch, holder.token.as_str()).await.map(Json)
}

/// `GET /grants/{grant}/epochs/{epoch}/credit`
///
/// # Errors
/// `not-found` for an epoch without statement.
pub async fn credit(
    State(plane): State<Shared>,
    caller: Caller,
    Path(Epoch { grant, epoch }): Path<Epoch>,
    page: Page,
) -> Answer<Listed<NodeEpochCredit>> {
    let mut read = plane.store.read().await?;
    grants::known(&mut read, &grant).await?;
    let unknown = || Failure::not_found("statement", format!("of epoch {epoch} of {grant}"));
    let statement = read.statement(&grant, epoch).await?.ok_or_else(unknown)?;
    let floor = parsed(&statement)?.terms.floor;
    let note = read.inputs(&grant, epoch).await?.ok_or_else(unknown)?;
    let inputs = Signed::<Inputs>::parse(&note).map_err(Failure::internal)?.into_content();
    let nodes = late::with_late(&mut read, &grant, epoch, inputs.nodes).await?;
    let own = nodes.into_iter().filter(|(_, node, _)| caller.acts_for(&node.operator).is_ok());
    let own = own.map(|node| credit_of(epoch, floor, node)).collect();
    page.of(own, |credit: &NodeEpochCredit| credit.node.to_string())
}

fn credit_of(epoch: u64, floor: u64, (id, node, late): (NodeId, NodeInputs, Bytes)) -> NodeEpochCredit {
    let disallowed = node.disallowed.into_iter();
    NodeEpochCredit {
        epoch,
        node: id,
        operator: node.operator,
        brought: node.brought,
        eligible: node.eligible,
        disallowed: disallowed.map(|(reason, bytes)| DisallowedBytes { reason, bytes }).collect(),
        late,
        units: node.units,
        carried: node.carried,
        people: node.peers,
        floor,
    }
}

/// `POST /grants/{grant}/adjustments`
///
/// # Errors
/// As [`deciding::adjust`].
pub async fn adjust(
    State(plane): State<Shared>,
    holder: Holder,
    Path(grant): Path<GrantId>,
    Body(new): Body<NewAdjustment>,
) -> Answer<Json<AdjustmentState>> {
    deciding::adjust(&plane, &grant, &new, holder.token.as_str()).await.map(adjustment).map(Json)
}

/// `GET /grants/{grant}/adjustments`
///
/// # Errors
/// `not-found`.
pub async fn adjustments(
    State(plane): State<Shared>,
    Path(grant): Path<GrantId>,
    page: Page,
) -> Answer<Listed<AdjustmentState>> {
    let mut read = plane.store.read().await?;
    grants::known(&mut read, &grant).await?;
    let all = read.adjustments(&grant).await?.into_iter().map(adjustment).collect();
    page.of(all, |adjustment| adjustment.number.to_string())
}

fn adjustment(row: store::AdjustmentRow) -> AdjustmentState {
    AdjustmentState {
        number: row.number,
        operator: row.operator,
        sats: row.sats,
        reason: row.reason,
        epoch: row.epoch,
        asked_at: row.asked_at,
        statement_epoch: row.statement_epoch,
    }
}
