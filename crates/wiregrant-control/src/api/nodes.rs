//! Nodes: joining, seeing, freezing.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use wiregrant_core::NodeId;
use wiregrant_core::api::{Evidence, Freeze, Join, Joined, List, Node, NodeState, ProblemKind, usage_lines};
use wiregrant_core::note::Signed;
use wiregrant_core::record::{RecordEntry, parse_reason};
use wiregrant_core::usage_report::UsageReport;
use wiregrant_store as store;

use super::list as as_list;
use crate::control_plane::{ControlPlane, Shared};
use crate::enrolment;
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Path};
use crate::recording::Recording;
use crate::sign_in::Caller;

/// `POST /nodes`
///
/// # Errors
/// `invitation`, `invalid-request`, `request-signature`, `already-exists`.
pub async fn join(State(plane): State<Shared>, Body(join): Body<Join>) -> Answer<(StatusCode, Json<Joined>)> {
    let joined = enrolment::join(&plane, &join).await?;
    Ok((StatusCode::CREATED, Json(joined)))
}

/// `GET /nodes`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>, caller: Caller) -> Answer<Json<List<Node>>> {
    let own = match &caller {
        Caller::Operator(operator) => Some(operator),
        _ => None,
    };
    let rows = plane.store.read().await?.node_overviews(own, plane.clock.now()).await?;
    Ok(as_list(rows.into_iter().map(shown).collect::<Answer<_>>()?))
}

/// `POST /nodes/{node}/freeze`: a node that is frozen stays so.
///
/// # Errors
/// `not-found`, `conflict`, `invalid-request`.
pub async fn freeze(
    State(plane): State<Shared>,
    Path(node): Path<NodeId>,
    Body(freeze): Body<Freeze>,
) -> Answer<Json<Node>> {
    let reason = parse_reason(&freeze.reason)?;
    let entry = RecordEntry::Freeze { node: node.clone(), reason };
    change_state(&plane, &node, NodeState::Frozen, entry).await
}

/// `POST /nodes/{node}/unfreeze`: its reports are taken again.
///
/// # Errors
/// `not-found`, `conflict`.
pub async fn unfreeze(State(plane): State<Shared>, Path(node): Path<NodeId>) -> Answer<Json<Node>> {
    let entry = RecordEntry::Unfreeze { node: node.clone() };
    change_state(&plane, &node, NodeState::Active, entry).await
}

/// `GET /nodes/{node}/evidence`
///
/// # Errors
/// `not-found`.
pub async fn evidence(State(plane): State<Shared>, Path(node): Path<NodeId>) -> Answer<Json<List<Evidence>>> {
    let mut read = plane.store.read().await?;
    if read.node(&node).await?.is_none() {
        return Err(Failure::not_found("node", node));
    }
    let shown = |row: store::Evidence| {
        let store::Evidence { sequence, accepted, other, received_at } = row;
        Evidence { sequence, accepted, other, received_at }
    };
    Ok(as_list(read.evidence(&node).await?.into_iter().map(shown).collect()))
}

async fn change_state(
    plane: &ControlPlane,
    node: &NodeId,
    state: NodeState,
    entry: RecordEntry,
) -> Answer<Json<Node>> {
    let now = plane.clock.now();
    let mut recording = Recording::begin(plane).await?;
    let before = recording.write.node(node).await?.ok_or_else(|| Failure::not_found("node", node))?.state;
    if before == NodeState::Retired {
        let detail = format!("node: {node} has retired for good; enrol it again with a new invitation");
        return Err(Failure::new(ProblemKind::Conflict, detail));
    }
    if before != state {
        recording.write.set_node_state(node, state).await?;
        recording.log(entry);
    }
    let overview = recording.write.node_overview(node, now).await?;
    recording.commit().await?;
    plane.changes.of(node);
    shown(overview.ok_or_else(|| Failure::not_found("node", node))?).map(Json)
}

fn shown(row: store::NodeOverview) -> Answer<Node> {
    let usage = match &row.head_note {
        None => Vec::new(),
        Some(note) => {
            let report = Signed::<UsageReport>::parse(note).map_err(Failure::internal)?;
            usage_lines(&report.content().usage)
        }
    };
    Ok(Node {
        node: row.node,
        operator: row.operator,
        location: row.location,
        endpoint: row.endpoint,
        socks5_endpoint: row.socks5_endpoint,
        agent: row.agent,
        backend: Some(row.backend),
        paused: row.paused,
        state: row.state,
        last_seen: row.last_seen,
        devices: row.devices,
        sequence: row.sequence,
        reported_until: row.reported_until,
        usage,
    })
}
