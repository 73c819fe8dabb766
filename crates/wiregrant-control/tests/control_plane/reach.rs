//! Nodes that answer WireGuard and nodes that do not, with a WireGuard of somebody else's making in the node's place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use defguard_boringtun::noise::{Tunn, TunnResult};
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::api::{Desired, DeviceCreated, ProblemKind};

use crate::support::{FakeNode, Plane, device_key, wireguard_private_key};

const GB: u64 = 1_000_000_000;
/// Enough for a machine that does much else.
const LIMIT: Duration = Duration::from_secs(120);

async fn socket() -> (Arc<UdpSocket>, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (Arc::new(socket), address)
}

/// Answers as the node with this seed, which knows `peer`; tells when the peer has confirmed a handshake.
fn answer(socket: Arc<UdpSocket>, seed: u8, peer: WireGuardPublicKey) -> oneshot::Receiver<()> {
    let (confirmed, confirmation) = oneshot::channel();
    let own = *wireguard_private_key(seed).as_bytes();
    let mut tunnel = Tunn::new(own.into(), (*peer.as_bytes()).into(), None, None, 7, None);
    tokio::spawn(async move {
        let (mut datagram, mut out, mut answered) = ([0; 2048], [0; 2048], false);
        loop {
            let (length, from) = socket.recv_from(&mut datagram).await.unwrap();
            match tunnel.decapsulate(Some(from.ip()), &datagram[..length], &mut out) {
                TunnResult::WriteToNetwork(answer) => {
                    socket.send_to(answer, from).await.unwrap();
                    answered = true;
                }
                TunnResult::Done if answered => break,
                _ => {}
            }
        }
        confirmed.send(()).unwrap();
    });
    confirmation
}

async fn until_reached(plane: &Plane, reached: bool) {
    let looks = async {
        loop {
            let nodes: Value = plane.get("/nodes").await.json();
            if nodes["items"][0]["endpoint_reached"] == reached {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, looks).await.expect("the node is reached, or is not");
}

async fn peers(plane: &Plane, node: &FakeNode) -> usize {
    node.desired(plane, "").await.json::<Desired>().peers.unwrap().len()
}

#[tokio::test]
async fn a_node_is_given_devices_once_it_answers_and_again_after_each_change() {
    let mut plane = Plane::start_looking_at_nodes().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let ngo = plane.distributor("ngo").await;
    let code = plane.codes(&ngo, 1, 2, 10 * GB).await.remove(0);
    let redeem = async |key: u8| {
        plane.ask(Method::POST, "/devices", &code, json!({ "public_key": device_key(key) })).await
    };
    let (here, address) = socket().await;
    let node = FakeNode::join(&plane, "nordlicht", "de-fra", 1, &address.to_string()).await;
    let told: Desired = node.desired(&plane, "").await.json();
    let own = told.peers.unwrap().remove(0);
    let ips: Vec<String> = own.allowed_ips.iter().map(ToString::to_string).collect();
    assert_eq!((own.class.as_str(), ips), ("invited", vec!["fd77:6772::ffff/128".to_owned()]));
    let refused = redeem(50).await.problem(ProblemKind::NoNode);
    assert!(refused.detail.contains("not reached yet: 1"), "{}", refused.detail);

    let confirmed = answer(here, 1, own.public_key);
    tokio::time::timeout(LIMIT, confirmed).await.expect("in time").unwrap();
    until_reached(&plane, true).await;
    let device: DeviceCreated = redeem(50).await.json();
    assert!(!device.device.gone);
    assert_eq!(peers(&plane, &node).await, 2);

    // It moves to where another machine listens: who does not hold its key cannot answer for it.
    let (there, address) = socket().await;
    let _stranger = answer(there.clone(), 2, own.public_key);
    node.tell(&plane, |condition| condition.endpoint = address.to_string()).await.ok();
    until_reached(&plane, false).await;
    redeem(51).await.problem(ProblemKind::NoNode);
    plane.stop().await;
}
