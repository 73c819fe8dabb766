//! What a node should be doing, told as soon as it changes.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use wiregrant_core::api::{Desired, MAX_WAIT_SECONDS, Membership, NodeState};
use wiregrant_core::peer::DesiredPeer;
use wiregrant_core::{NodeId, Timestamp};
use wiregrant_store::{self as store, Read};

use crate::addresses::NodeAddresses;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Path, Query};
use crate::membership;
use crate::probe;
use crate::sign_in::Caller;

/// `?known=<revision>&wait=<seconds>&changes=<bool>`; what a later agent asks besides is passed over.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Waiting {
    /// The revision the node has.
    known: Option<u64>,
    /// How long it will wait for another one.
    #[serde(default)]
    wait: u64,
    /// Whether it may be told what changed since instead of everything.
    #[serde(default)]
    changes: bool,
}

/// `GET /nodes/{node}/desired`: answers at once unless the node has the present revision; then as soon as it changes, or
/// when the wait is over.
///
/// # Errors
/// `forbidden`, `busy`, `internal`.
pub async fn wait(
    State(plane): State<Shared>,
    caller: Caller,
    Path(node): Path<NodeId>,
    Query(waiting): Query<Waiting>,
) -> Answer<Json<Desired>> {
    caller.node(&node)?;
    // Who waits for nothing is told all of it anyway.
    if waiting.wait > 0 {
        until_news(&plane, &node, &waiting).await?;
    }
    Box::pin(desired(&plane, &node, &waiting)).await.map(Json)
}

/// Until the revision is not the known one, the wait is over, or the control plane stops.
async fn until_news(plane: &Shared, node: &NodeId, waiting: &Waiting) -> Answer<()> {
    let mut changes = plane.changes.listen(node.clone());
    let mut over =
        std::pin::pin!(tokio::time::sleep(Duration::from_secs(waiting.wait.min(MAX_WAIT_SECONDS))));
    loop {
        // What asks the database goes before the waiting begins: most of ten thousand connections are here at any time.
        let revision = Box::pin(present(plane, node)).await?.revision;
        if waiting.known != Some(revision) || plane.is_stopping() {
            return Ok(());
        }
        tokio::select! {
            () = changes.changed() => {}
            () = &mut over => return Ok(()),
        }
    }
}

async fn present(plane: &ControlPlane, node: &NodeId) -> Answer<store::Node> {
    let row = plane.store.read().await?.node(node).await?;
    row.ok_or_else(|| Failure::not_found("node", node))
}

/// All of it as of one moment.
async fn desired(plane: &ControlPlane, node: &NodeId, waiting: &Waiting) -> Answer<Desired> {
    let now = plane.clock.now();
    let mut read = plane.store.read().await?;
    let row = read.node(node).await?.ok_or_else(|| Failure::not_found("node", node))?;
    let (mut peers, mut changes) = (None, None);
    if waiting.known != Some(row.revision) {
        let all = self::peers(plane, &mut read, &row, now).await?;
        if waiting.changes {
            changes = plane.told.tell(node, waiting.known, row.revision, all.clone().into());
        }
        peers = Some(all).filter(|_| changes.is_none());
    }
    Ok(Desired {
        revision: row.revision,
        peers,
        changes,
        membership: membership_in_force(membership::all_of_node(&mut read, node).await?, now),
        time: now,
        frozen: row.state != NodeState::Active,
    })
}

/// The membership that is open, or the one that ends with an epoch which is not over.
fn membership_in_force(memberships: Vec<Membership>, now: Timestamp) -> Option<Membership> {
    memberships.into_iter().find(|membership| !membership::is_over(membership, now))
}

async fn peers(
    plane: &ControlPlane,
    read: &mut Read,
    node: &store::Node,
    now: Timestamp,
) -> Answer<Vec<DesiredPeer>> {
    let addresses = NodeAddresses::of(node.number, plane.config.pool_v4, plane.config.pool_v6)
        .ok_or_else(|| Failure::internal(format!("node {} lies outside of the address pools", node.node)))?;
    let peer = |device: store::Device| {
        Some(DesiredPeer {
            public_key: device.public_key,
            allowed_ips: addresses.allowed_ips(device.host_number?),
            class: device.class,
            allotment: device.allotment,
            period: device.period,
            expires: device.expires,
            socks5: device.socks5_login(),
        })
    };
    if node.state == NodeState::Retired {
        return Ok(Vec::new());
    }
    let devices = read.live_devices(&node.node, now).await?.into_iter().filter_map(peer);
    let own = plane.config.check_endpoints.then(|| probe::peer(plane, node, &addresses));
    Ok(own.into_iter().chain(devices).collect())
}
