//! The story that every WireGuard backend must hold.

use wiregrant_agent::wireguard::{Ensured, Interface, InterfaceSettings, LivePeer, WireGuardError};
use wiregrant_core::WireGuardPrivateKey;
use wiregrant_core::counter::Reading;

use crate::support::{NODE_PORT, Open, Wire, run, settings};

/// What a 1000-byte datagram becomes: 28 bytes of IPv4 and UDP (48 with IPv6), padded to 16, and 32 of WireGuard's own.
pub const MESSAGE_BYTES_V4: u64 = 1072;
const MESSAGE_BYTES_V6: u64 = 1088;
/// A handshake: the initiator's 148 bytes and the responder's 92. A keepalive has 32.
pub const INITIATION_BYTES: u64 = 148;
const RESPONSE_BYTES: u64 = 92;
const KEEPALIVE_BYTES: u64 = 32;

impl Wire {
    /// The node's interface as its operator wants it.
    pub fn node_settings(&self) -> InterfaceSettings {
        settings([7; 32], NODE_PORT, &["10.9.0.1/24", "fd09::1/64"])
    }
}

/// The one peer of the node, as the backend sees it.
fn only_peer(backend: &mut dyn Interface) -> LivePeer {
    let mut peers = backend.peers().expect("the peers");
    assert_eq!(peers.len(), 1, "{peers:?}");
    peers.remove(0)
}

/// The one peer of the node once its keepalive has come: ten seconds after the last answer to it, and nothing by itself after
/// that. Until then `received` bytes of data and its handshake have.
fn silent_peer(backend: &mut dyn Interface, received: u64) -> LivePeer {
    loop {
        let peer = only_peer(backend);
        if peer.reading.received >= received + KEEPALIVE_BYTES {
            return peer;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Asserts that `moved` is `exact` bytes of data and at most a few handshakes or keepalives.
fn moved_exactly(moved: u64, data: u64, handshake: u64, what: &str) {
    let overhead = moved
        .checked_sub(data + handshake)
        .unwrap_or_else(|| panic!("{what}: {moved} < {data} + {handshake}"));
    assert!(overhead <= 4 * INITIATION_BYTES, "{what}: {moved} bytes for {data} of data");
}

/// Every byte is counted on both sides, alike by the backend and by `wg`; and what a live peer is told, or an agent that
/// starts again does, takes nothing from its counters.
pub fn a_live_peer_is_counted_to_the_byte_and_never_reset(open: Open, label: &str) {
    let wire = Wire::new(label);
    let (node, client) = (&wire.node, &wire.client);
    let peer = wire.client_public_key();
    let mut backend = node.inside(|| {
        let mut backend = open(node.interface.clone());
        assert_eq!(backend.ensure_interface(&wire.node_settings()).expect("made"), Ensured::Created);
        assert_eq!(backend.peers().expect("the peers"), []);
        backend.set_peer(&peer, &wire.client_allowed_ips()).expect("added");
        backend
    });
    wire.connect_client(open);

    wire.echo(200, "10.9.0.1");
    let first = node.inside(|| silent_peer(&mut *backend, 200 * MESSAGE_BYTES_V4 + INITIATION_BYTES));
    assert_eq!((first.public_key, &first.allowed_ips), (peer, &wire.client_allowed_ips()));
    moved_exactly(first.reading.received, 200 * MESSAGE_BYTES_V4, INITIATION_BYTES, "received");
    moved_exactly(first.reading.sent, 200 * MESSAGE_BYTES_V4, RESPONSE_BYTES, "sent");
    let (by_wg, by_client) = (wire.seen_by_wg(node), wire.seen_by_wg(client));
    assert_eq!(first.reading, by_wg, "the backend and wg");
    assert_eq!(first.reading, Reading { received: by_client.sent, sent: by_client.received }, "the client");

    // Told other allowed IPs and back.
    node.inside(|| {
        backend.set_peer(&peer, &wire.client_allowed_ips()[..1]).expect("narrowed");
        let narrowed = only_peer(&mut *backend);
        assert_eq!((narrowed.reading, narrowed.allowed_ips.len()), (first.reading, 1));
        backend.set_peer(&peer, &[]).expect("silenced");
        assert_eq!(only_peer(&mut *backend).reading, first.reading);
        backend.set_peer(&peer, &wire.client_allowed_ips()).expect("as before");
        assert_eq!(only_peer(&mut *backend), first);
    });

    // An agent that starts again: another object, the same interface.
    drop(backend);
    let mut backend = open(node.interface.clone());
    node.inside(|| {
        for _ in 0..2 {
            assert_eq!(backend.ensure_interface(&wire.node_settings()).expect("adopted"), Ensured::Adopted);
        }
        assert_eq!(only_peer(&mut *backend), first);
    });
    wire.echo(100, "fd09::1");
    let second = node.inside(|| only_peer(&mut *backend)).reading;
    let moved = second.moved_since(first.reading);
    assert!(moved.received < 100 * MESSAGE_BYTES_V6 + INITIATION_BYTES, "the session went on: {moved:?}");
    moved_exactly(moved.received, 100 * MESSAGE_BYTES_V6, 0, "received over IPv6");
    moved_exactly(moved.sent, 100 * MESSAGE_BYTES_V6, 0, "sent over IPv6");

    // Removed and added again: a new peer, which begins at zero.
    node.inside(|| {
        backend.remove_peer(&peer).expect("removed");
        assert_eq!(backend.peers().expect("the peers"), []);
        backend.remove_peer(&peer).expect("removing what is not there is no error");
        backend.set_peer(&peer, &wire.client_allowed_ips()).expect("added again");
        assert_eq!(only_peer(&mut *backend).reading, Reading::default());
    });
}

/// Taking over sets what is missing and takes nothing away.
pub fn adopting_adds_what_is_missing_and_nothing_else(open: Open, label: &str) {
    let wire = Wire::new(label);
    let host = &wire.node;
    host.inside(|| {
        let mut backend = open(host.interface.clone());
        let mut settings = wire.node_settings();
        backend.ensure_interface(&settings).expect("made");
        run(&format!("ip address delete 10.9.0.1/24 dev {}", host.interface));
        run(&format!("ip address add 10.77.0.1/24 dev {}", host.interface));
        run(&format!("ip link set dev {} down", host.interface));
        settings.mtu = 1400;
        assert_eq!(backend.ensure_interface(&settings).expect("adopted"), Ensured::Adopted);
        let shown = run(&format!("ip address show dev {}", host.interface));
        for expected in ["10.9.0.1/24", "fd09::1/64", "10.77.0.1/24", "mtu 1400", ",UP"] {
            assert!(shown.contains(expected), "{expected} is missing from {shown}");
        }
    });
}

/// What is not ours is left as it is.
pub fn an_interface_of_somebody_else_is_refused_and_left_alone(open: Open, label: &str) {
    let wire = Wire::new(label);
    let host = &wire.node;
    host.inside(|| {
        let mut backend = open(host.interface.clone());
        backend.ensure_interface(&wire.node_settings()).expect("made");
        backend.set_peer(&wire.client_public_key(), &wire.client_allowed_ips()).expect("added");
        let before = backend.peers().expect("the peers");
        let mut other = wire.node_settings();
        other.private_key = WireGuardPrivateKey::from([9; 32]);
        let error = backend.ensure_interface(&other).expect_err("another key");
        assert!(matches!(error, WireGuardError::OtherKey { .. }), "{error}");
        assert!(error.to_string().contains(host.interface.as_str()), "{error}");
        assert_eq!(backend.peers().expect("the peers"), before);

        let error = open("eth0".parse().expect("a name")).ensure_interface(&other).expect_err("a veth");
        assert!(matches!(&error, WireGuardError::OtherKind { kind, .. } if kind == "veth"), "{error}");
    });
}
