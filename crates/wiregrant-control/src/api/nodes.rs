//! Nodes: joining, seeing, freezing.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use transparency_log::Hash;
use wiregrant_core::NodeId;
use wiregrant_core::api::{
    Evidence, Freeze, Join, Joined, List, NewNodeKey, Node, NodeState, ProblemKind, usage_lines,
};
use wiregrant_core::note::Signed;
use wiregrant_core::record::{RecordEntry, parse_reason};
use wiregrant_core::usage_report::UsageReport;
use wiregrant_store as store;

use crate::answer::Listed;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Page, Path};
use crate::recording::Recording;
use crate::sign_in::Caller;
use crate::{enrolment, equivocation, rekeying};

/// `POST /nodes`
///
/// # Errors
/// `invitation`, `invalid-request`, `request-signature`, `already-exists`.
pub async fn join(State(plane): State<Shared>, Body(join): Body<Join>) -> Answer<(StatusCode, Json<Joined>)> {
    let joined = enrolment::join(&plane, &join).await?;
    Ok((StatusCode::CREATED, Json(joined)))
}

/// `POST /nodes/{node}/rekey`: the node's former key says which one follows.
///
/// # Errors
/// `not-found`, `invalid-request`, `request-signature`, `request-clock`, `conflict`, `already-exists`.
pub async fn rekey(
    State(plane): State<Shared>,
    Path(node): Path<NodeId>,
    Body(new): Body<NewNodeKey>,
) -> Answer<StatusCode> {
    rekeying::by_former_key(&plane, &node, &new).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /nodes`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>, caller: Caller, page: Page) -> Answer<Listed<Node>> {
    let own = match &caller {
        Caller::Operator(operator) => Some(operator),
        _ => None,
    };
    let rows = plane.store.read().await?.node_overviews(own, plane.clock.now()).await?;
    page.of(rows.into_iter().map(shown).collect::<Answer<_>>()?, |row: &Node| row.node.to_string())
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

/// `POST /nodes/{node}/retire`: for good. Its devices are offered another node, and it is told to serve nobody.
///
/// # Errors
/// `not-found`, `forbidden`.
pub async fn retire(
    State(plane): State<Shared>,
    caller: Caller,
    Path(node): Path<NodeId>,
) -> Answer<Json<Node>> {
    let known = plane.store.read().await?.node(&node).await?;
    let known = known.ok_or_else(|| Failure::not_found("node", &node))?;
    caller.acts_for(&known.operator)?;
    let entry = RecordEntry::Retire { node: node.clone() };
    change_state(&plane, &node, NodeState::Retired, entry).await
}

/// `GET /nodes/{node}/evidence`: oldest first.
///
/// # Errors
/// `not-found`.
pub async fn evidence(
    State(plane): State<Shared>,
    Path(node): Path<NodeId>,
    page: Page,
) -> Answer<Listed<Evidence>> {
    let mut read = plane.store.read().await?;
    if read.node(&node).await?.is_none() {
        return Err(Failure::not_found("node", node));
    }
    let rows = read.evidence(&node).await?;
    let Listed { list, next } =
        page.of(rows, |row| format!("{} {}", row.sequence, Hash::of(row.other.as_bytes())))?;
    // Proofs are made of what is shown alone: each takes a look into the record.
    let mut items = Vec::with_capacity(list.items.len());
    for row in list.items {
        let store::Evidence { sequence, accepted, other, received_at } = row;
        let proof =
            equivocation::proof(&plane, &mut read, &node, [accepted.as_str(), other.as_str()]).await?;
        items.push(Evidence { sequence, accepted, other, received_at, proof: proof.unwrap_or_default() });
    }
    Ok(Listed { list: List { items }, next })
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
    if before == NodeState::Retired && state != NodeState::Retired {
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
        endpoint_reached: row.reached_endpoint.as_ref() == Some(&row.endpoint),
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
