//! The probe: a node is looked at as a client would look at it, by a WireGuard handshake with its endpoint. Before one is completed,
//! and again after the node has named another endpoint, no device is placed on it.
//!
//! The node knows the control plane as one more peer, by a key of its own for each node. What the handshake moves counts as invited
//! traffic, which nobody is paid for.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use tokio::net::{UdpSocket, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use wiregrant_core::allotment::Period;
use wiregrant_core::handshake::{self, Beginning, Handshake, RESPONSE_BYTES};
use wiregrant_core::peer::DesiredPeer;
use wiregrant_core::usage_report::Class;
use wiregrant_core::{Bytes, NodeId};
use wiregrant_store::{self as store, Unreached};

use crate::addresses::NodeAddresses;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::Answer;
use crate::{placement, random};

/// How often to look for nodes that nobody has reached.
const LOOK: Duration = Duration::from_secs(1);
/// Handshakes at once.
const MAX_AT_ONCE: usize = 32;
/// How long an answer may take, and a name to be looked up.
const PATIENCE: Duration = Duration::from_secs(3);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;
/// The pauses after failures double from this to the next. A node hears of the control plane's key only after it has joined, so a
/// first failure is nothing.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// After so many failures in a row the log says so.
const TELLING_FAILURES: u32 = 4;
/// The host number of the control plane itself in each node's IPv6 part, above those of devices.
const HOST: u32 = 0xffff;
/// What it may move in a month, far above what handshakes take.
const ALLOTMENT_BYTES: u64 = 1_000_000_000;
/// It stays a peer for as long as the node is one, and always says the same to it: a century after the node's beginning.
const CENTURY_SECONDS: u64 = 36_525 * 86_400;

/// The control plane as a peer of a node.
#[must_use]
pub fn peer(plane: &ControlPlane, node: &store::Node, addresses: &NodeAddresses) -> DesiredPeer {
    let address = Ipv6Net::from(addresses.host_v6(HOST));
    DesiredPeer {
        public_key: handshake::public_key(&plane.keys.probe(&node.node)),
        allowed_ips: vec![IpNet::from(address)],
        class: Class::Invited,
        allotment: Bytes::new(ALLOTMENT_BYTES).unwrap_or(Bytes::MAX),
        period: Period::Month,
        expires: node.enrolled_at.plus_seconds(CENTURY_SECONDS),
        socks5: None,
    }
}

/// Reaches for nodes that nobody has reached while this replica leads, until told to stop.
pub async fn run(plane: Shared) {
    let mut stopped = std::pin::pin!(plane.stopped());
    if !plane.config.check_endpoints {
        return stopped.await;
    }
    let mut attempts = Attempts::default();
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut stopped => return,
            Some(ended) = running.join_next() => {
                if let Ok((node, outcome)) = ended {
                    attempts.ended(&node, outcome, Instant::now());
                }
                continue;
            }
            () = sleep(LOOK) => {}
        }
        if !plane.leads() {
            continue;
        }
        let nodes = match unreached(&plane).await {
            Ok(nodes) => nodes,
            Err(failure) => {
                tracing::error!(%failure, "nodes that wait for a handshake could not be read; it is tried again");
                continue;
            }
        };
        let room = MAX_AT_ONCE.saturating_sub(running.len());
        for node in attempts.due(nodes, Instant::now(), room) {
            let plane = plane.clone();
            running.spawn(async move {
                let outcome = reach(&plane, &node).await;
                (node, outcome)
            });
        }
    }
}

async fn unreached(plane: &ControlPlane) -> Answer<Vec<Unreached>> {
    let seen_since = placement::recently(plane.clock.now())?;
    Ok(plane.store.read().await?.unreached_nodes(seen_since).await?)
}

/// What is known of the nodes that wait.
#[derive(Default)]
struct Attempts(BTreeMap<NodeId, Attempt>);

struct Attempt {
    endpoint: String,
    failures: u32,
    /// `None` while one is under way.
    next: Option<Instant>,
}

impl Attempts {
    /// Those among `nodes` whose turn it is, at most `room`; all others are forgotten.
    fn due(&mut self, nodes: Vec<Unreached>, now: Instant, room: usize) -> Vec<Unreached> {
        let mut before = std::mem::take(&mut self.0);
        let mut due = Vec::new();
        for node in nodes {
            let known = before.remove(&node.node).filter(|attempt| attempt.endpoint == node.endpoint);
            let first = || Attempt { endpoint: node.endpoint.clone(), failures: 0, next: Some(now) };
            let mut attempt = known.unwrap_or_else(first);
            let is_due = attempt.next.is_some_and(|next| next <= now) && due.len() < room;
            if is_due {
                attempt.next = None;
            }
            self.0.insert(node.node.clone(), attempt);
            if is_due {
                due.push(node);
            }
        }
        due
    }

    fn ended(&mut self, node: &Unreached, outcome: io::Result<()>, now: Instant) {
        let Some(attempt) = self.0.get_mut(&node.node) else { return };
        let Err(error) = outcome else {
            self.0.remove(&node.node);
            return;
        };
        let pause = FIRST_PAUSE.saturating_mul(1 << attempt.failures.min(16)).min(LONGEST_PAUSE);
        attempt.failures = attempt.failures.saturating_add(1);
        attempt.next = Some(now + pause);
        if attempt.failures == TELLING_FAILURES {
            tracing::warn!(
                node = %node.node, endpoint = node.endpoint, %error,
                "a node does not answer WireGuard at its endpoint: it is given no devices until it does"
            );
        }
    }
}

/// Completes a handshake with one of the endpoint's addresses, and keeps that.
async fn reach(plane: &ControlPlane, node: &Unreached) -> io::Result<()> {
    let addresses = timeout(PATIENCE, lookup_host(&node.endpoint)).await??;
    let mut last = io::Error::other("the endpoint's name has no address");
    for address in addresses.take(MAX_ADDRESSES) {
        match timeout(PATIENCE, shake_hands(plane, node, address)).await {
            Ok(Ok(())) => {
                let kept = keep(plane, node).await;
                return kept.map_err(|failure| io::Error::other(failure.to_string()));
            }
            Ok(Err(error)) => last = error,
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

async fn keep(plane: &ControlPlane, node: &Unreached) -> Answer<()> {
    let mut write = plane.store.write().await?;
    write.set_reached(&node.node, &node.endpoint).await?;
    write.commit().await?;
    tracing::info!(node = %node.node, endpoint = node.endpoint, "a node answers WireGuard at its endpoint");
    Ok(())
}

/// Returns when the node has answered as only it can. Datagrams that are no answer are passed over.
async fn shake_hands(plane: &ControlPlane, node: &Unreached, address: SocketAddr) -> io::Result<()> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    let own = plane.keys.probe(&node.node);
    let handshake = Handshake::begin(Beginning {
        own: &own,
        responder: &node.wireguard_public_key,
        ephemeral: random::bytes(),
        sender: u32::from_le_bytes(random::bytes()),
        now: plane.clock.now(),
    });
    socket.send(handshake.message()).await?;
    let mut answer = [0; RESPONSE_BYTES + 1];
    loop {
        let length = socket.recv(&mut answer).await?;
        if let Some(keepalive) = handshake.completed_by(&answer[..length]) {
            // Without it the node would wait for the first packet to know that it was understood.
            socket.send(&keepalive).await?;
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, endpoint: &str) -> Unreached {
        Unreached {
            node: name.parse().unwrap(),
            wireguard_public_key: [9; 32].into(),
            endpoint: endpoint.to_owned(),
        }
    }

    #[test]
    fn a_node_is_tried_at_once_then_ever_more_seldom_and_at_once_again_at_another_endpoint() {
        let (mut attempts, begun) = (Attempts::default(), Instant::now());
        let silent = || Err(io::ErrorKind::TimedOut.into());
        let here = || node("node-1", "192.0.2.1:1");
        let mut now = begun;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let since = now;
            while attempts.due(vec![here()], now, 1).is_empty() {
                now += Duration::from_secs(1);
            }
            pauses.push((now - since).as_secs());
            assert!(attempts.due(vec![here()], now, 1).is_empty(), "it is under way");
            attempts.ended(&here(), silent(), now);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        let there = node("node-1", "192.0.2.1:2");
        assert_eq!(attempts.due(vec![there.clone()], now, 1), [there]);
    }

    #[test]
    fn no_more_are_tried_at_once_than_there_is_room_for_and_the_others_later() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let nodes = || (1..6).map(|n| node(&format!("node-{n}"), "192.0.2.1:1")).collect::<Vec<_>>();
        assert_eq!(attempts.due(nodes(), now, 2).len(), 2);
        assert_eq!(attempts.due(nodes(), now, 8).len(), 3);
        assert_eq!(attempts.due(Vec::new(), now, 8).len(), 0);
        assert!(attempts.0.is_empty(), "who waits no more is forgotten");
    }
}
