//! Many peers at once, which every WireGuard backend must hold.

use ipnet::IpNet;
use wiregrant_agent::wireguard::{Ensured, Interface, LivePeer, WireGuardError, delete_interface, routed};
use wiregrant_core::counter::Reading;
use wiregrant_core::{WireGuardPrivateKey, WireGuardPublicKey};

use crate::story::{INITIATION_BYTES, MESSAGE_BYTES_V4};
use crate::support::{Open, Wire, run};

/// A peer and its allowed IPs.
pub type Wanted = (WireGuardPublicKey, Vec<IpNet>);

/// Peers that are nobody's, sorted by key, each with an address of its own of both kinds. At most 65,536 exist.
pub fn strangers(numbers: std::ops::Range<u16>) -> Vec<Wanted> {
    numbers
        .map(|n| {
            let [high, low] = n.to_be_bytes();
            let mut key = [0x5a; 32];
            key[..2].copy_from_slice(&[high, low]);
            let v4 = format!("10.200.{high}.{low}/32").parse().expect("an address");
            let v6 = format!("fd09:0:0:1::{n:x}/128").parse().expect("an address");
            (key.into(), vec![v4, v6])
        })
        .collect()
}

fn as_wanted(peers: Vec<LivePeer>) -> Vec<Wanted> {
    peers.into_iter().map(|peer| (peer.public_key, peer.allowed_ips)).collect()
}

fn keys(peers: &[Wanted]) -> Vec<WireGuardPublicKey> {
    peers.iter().map(|peer| peer.0).collect()
}

/// The node's interface, made inside its host.
fn made(open: Open, wire: &Wire) -> Box<dyn Interface> {
    let mut backend = open(wire.node.interface.clone());
    backend.ensure_interface(&wire.node_settings()).expect("made");
    backend
}

pub fn a_thousand_peers_come_change_and_go_in_batches(open: Open, label: &str) {
    let wire = Wire::new(label);
    wire.node.inside(|| {
        let mut backend = made(open, &wire);
        let mut wanted = strangers(0..1000);
        backend.set_peers(&routed(&wanted)).expect("added");
        assert_eq!(as_wanted(backend.peers().expect("the peers")), wanted);

        // One message may remove, add and change; what is done to one peer says nothing of the next.
        for peer in &mut wanted[500..] {
            peer.1.truncate(1);
        }
        backend.update_peers(&routed(&wanted[500..])).expect("narrowed");
        assert_eq!(as_wanted(backend.peers().expect("the peers")), wanted);

        let absent = strangers(2000..2300);
        let gone = [keys(&absent), keys(&wanted[..400])].concat();
        backend.remove_peers(&gone).expect("removing what is not there is no error");
        assert_eq!(as_wanted(backend.peers().expect("the peers")), wanted[400..]);

        // Addresses of removed peers belong to nobody, and one that is given away moves.
        let mut heir = strangers(3000..3001);
        heir[0].1 = wanted[400].1.clone();
        wanted[400].1.clear();
        backend.set_peers(&routed(&heir)).expect("added");
        backend.set_peers(&[]).expect("nothing to do");
        let left = [&wanted[400..], &heir].concat();
        assert_eq!(as_wanted(backend.peers().expect("the peers")), left);
        // The kernel takes its time to delete a link with hundreds of peers.
        delete_interface(&wire.node.interface, &wire.node_settings().private_key).expect("deleted");
    });
}

pub fn a_batch_keeps_the_session_and_counters_of_a_live_peer(open: Open, label: &str) {
    let wire = Wire::new(label);
    let (node, peer) = (&wire.node, wire.client_public_key());
    let live = (peer, wire.client_allowed_ips());
    let around = |middle: Wanted| [strangers(0..400), vec![middle], strangers(400..800)].concat();
    let mut backend = node.inside(|| {
        let mut backend = made(open, &wire);
        backend.set_peers(&routed(&around(live.clone()))).expect("added");
        backend
    });
    wire.connect_client(open);
    wire.echo(50, "10.9.0.1");
    let reading = |backend: &mut dyn Interface| {
        let peers = backend.peers().expect("the peers");
        peers.into_iter().find(|candidate| candidate.public_key == peer).expect("the client").reading
    };
    let first = node.inside(|| {
        let first = reading(&mut *backend);
        assert!(first.received >= 50 * MESSAGE_BYTES_V4, "{first:?}");
        backend.set_peers(&routed(&around(live.clone()))).expect("set again");
        assert_eq!(reading(&mut *backend), first);
        backend.update_peers(&routed(&around((peer, Vec::new())))).expect("silenced");
        assert_eq!(reading(&mut *backend), first);
        backend.update_peers(&routed(&around(live.clone()))).expect("as before");
        backend.remove_peers(&keys(&strangers(0..800))).expect("the others removed");
        assert_eq!(reading(&mut *backend), first);
        first
    });
    wire.echo(50, "10.9.0.1");
    let moved = node.inside(|| reading(&mut *backend)).moved_since(first);
    let data = 50 * MESSAGE_BYTES_V4;
    assert!((data..data + INITIATION_BYTES).contains(&moved.received), "the session went on: {moved:?}");
}

pub fn an_update_never_brings_a_removed_peer_back(open: Open, label: &str) {
    let wire = Wire::new(label);
    wire.node.inside(|| {
        let mut backend = made(open, &wire);
        let wanted = strangers(0..10);
        backend.set_peers(&routed(&wanted)).expect("added");
        // Somebody else's removal, which the agent has not seen.
        let base64 = run(&format!("wg show {} peers", wire.node.interface));
        let removed = base64.split_whitespace().next().expect("a peer");
        run(&format!("wg set {} peer {removed} remove", wire.node.interface));
        let left = as_wanted(backend.peers().expect("the peers"));
        assert_eq!(left.len(), 9);
        backend.update_peers(&routed(&wanted)).expect("updated");
        assert_eq!(as_wanted(backend.peers().expect("the peers")), left);
        // Nor does a silenced peer that never was.
        backend.set_peers(&[(wanted[0].0, &[]), (WireGuardPublicKey::from([1; 32]), &[])]).expect("set");
        assert!(backend.peers().expect("the peers").len() <= 9);
        backend.set_peers(&routed(&wanted)).expect("set");
        assert_eq!(as_wanted(backend.peers().expect("the peers")), wanted);
        assert!(backend.peers().expect("the peers").iter().all(|peer| peer.reading == Reading::default()));
    });
}

pub fn a_populated_interface_is_deleted_by_who_has_its_key_and_by_nobody_else(open: Open, label: &str) {
    let wire = Wire::new(label);
    let name = &wire.node.interface;
    let settings = wire.node_settings();
    wire.node.inside(|| {
        let mut backend = made(open, &wire);
        backend.set_peers(&routed(&strangers(0..600))).expect("added");
        let error = delete_interface(name, &WireGuardPrivateKey::from([9; 32])).expect_err("another key");
        assert!(matches!(error, WireGuardError::OtherKey { .. }), "{error}");
        assert_eq!(backend.peers().expect("the peers").len(), 600);

        delete_interface(name, &settings.private_key).expect("deleted");
        let links = run("ip -brief link show");
        assert!(!links.contains(name.as_str()), "{links}");
        delete_interface(name, &settings.private_key).expect("what is not there needs no deleting");
        assert!(backend.peers().is_err());

        // The same object goes on with a new interface of this name.
        assert_eq!(backend.ensure_interface(&settings).expect("made anew"), Ensured::Created);
        assert_eq!(backend.peers().expect("the peers"), []);

        let veth = "eth0".parse().expect("a name");
        let error = delete_interface(&veth, &settings.private_key).expect_err("a veth");
        assert!(matches!(&error, WireGuardError::OtherKind { kind, .. } if kind == "veth"), "{error}");
    });
}
