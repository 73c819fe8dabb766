//! The kernel backend with ten thousand peers, beside `wg`, raw netlink and the library's loop; and fifty thousand once.

use std::cell::RefCell;
use std::time::Duration;

use defguard_wireguard_rs::key::Key;
use defguard_wireguard_rs::net::IpAddrMask;
use defguard_wireguard_rs::peer::Peer;
use defguard_wireguard_rs::{Kernel, WGApi, WireguardInterfaceApi as _};
use wiregrant_agent::clock;
use wiregrant_agent::wireguard::Interface;
use wiregrant_core::peer::DesiredPeer;

use crate::node::{Node, as_set, interface, stranger, strangers};
use crate::raw::Raw;
use crate::row::{Row, best_of, microseconds, per_second, run, timed};

const PEERS: u32 = 10_000;
const MANY_PEERS: u32 = 50_000;
/// Each way of adding is timed so often, and its best counts: the machine is emulated, and its host does other things.
const ADDITIONS: usize = 4;

pub fn rows() {
    let mut node = Node::start("kernel");
    let name = node.name.clone();
    let mut backend = interface(&name, "kernel");
    let wanted = strangers(PEERS);

    add(&mut node, &mut *backend, &wanted);
    let node = RefCell::new(node);
    read(&name.to_string(), PEERS, "read 10,000 peers", 5_000, &mut *backend);
    no_op(&node, &mut *backend);
    let mut node = node.into_inner();
    many(&mut node, &mut *backend);
}

fn empty(backend: &mut dyn Interface) {
    let live: Vec<_> = backend.peers().expect("read").into_iter().map(|peer| peer.public_key).collect();
    backend.remove_peers(&live).expect("removed");
}

fn add(node: &mut Node, backend: &mut dyn Interface, wanted: &[DesiredPeer]) {
    let set = as_set(wanted);
    let raw = Raw::new(node.name.as_str());
    let library = WGApi::<Kernel>::new(node.name.as_str()).expect("the library");
    let (by_library, ()) = timed(|| {
        for (key, ips) in &set {
            let mut peer = Peer::new(Key::new(*key.as_bytes()));
            peer.allowed_ips = ips.iter().map(|ip| IpAddrMask::new(ip.addr(), ip.prefix_len())).collect();
            library.configure_peer(&peer).expect("added");
        }
    });
    assert_eq!(backend.peers().expect("read").len(), set.len());
    let mut best = [Duration::MAX; 2];
    for _ in 0..ADDITIONS {
        empty(backend);
        best[0] = best[0].min(timed(|| raw.add(&set)).0);
        assert_eq!(backend.peers().expect("read").len(), set.len());
        node.receive(Vec::new());
        // All the way: from what the control plane wants, kept and journaled, to live peers.
        let wanted = wanted.to_vec();
        best[1] = best[1].min(timed(|| node.receive(wanted)).0);
        assert_eq!(backend.peers().expect("read").len(), set.len());
    }
    Row {
        case: "add 10,000 peers",
        value: microseconds(best[1]) / 1000,
        unit: "ms",
        against: "raw batched netlink, ms",
        against_value: microseconds(best[0]) / 1000,
        bar_permille: 1_100,
        less_is_better: true,
    }
    .print();
    Row {
        case: "add 10,000 peers, one after the other",
        value: per_second(PEERS.into(), best[1]),
        unit: "peers/s",
        against: "the library's loop, peers/s",
        against_value: per_second(PEERS.into(), by_library),
        bar_permille: 3_000,
        less_is_better: false,
    }
    .print();
}

fn read(name: &str, count: u32, case: &'static str, bar_permille: u64, backend: &mut dyn Interface) {
    let [by_wg, ours] = best_of(
        20,
        || {
            let (took, text) = timed(|| run(&format!("wg show {name} dump")));
            assert_eq!(text.lines().count(), count as usize + 1);
            took
        },
        || {
            let (took, peers) = timed(|| backend.peers().expect("read"));
            assert_eq!(peers.len(), count as usize);
            took
        },
    );
    Row {
        case,
        value: per_second(count.into(), ours),
        unit: "peers/s",
        against: "wg show dump, peers/s",
        against_value: per_second(count.into(), by_wg),
        bar_permille,
        less_is_better: false,
    }
    .print();
}

fn no_op(node: &RefCell<Node>, backend: &mut dyn Interface) {
    let [read, converge] = best_of(
        20,
        || timed(|| drop(backend.peers().expect("read"))).0,
        || timed(|| node.borrow_mut().keeper.converge(clock::now()).expect("converged")).0,
    );
    Row {
        case: "converge 10,000 peers that are right",
        value: microseconds(converge),
        unit: "us",
        against: "one read, us",
        against_value: microseconds(read),
        bar_permille: 1_100,
        less_is_better: true,
    }
    .print();
}

/// Run through once; no bar is set for so many but that it works, and is no slower than `wg`.
fn many(node: &mut Node, backend: &mut dyn Interface) {
    node.receive((0..MANY_PEERS).map(stranger).collect());
    let live = backend.peers().expect("read").len();
    Row {
        case: "converge to 50,000 peers",
        value: live as u64,
        unit: "live peers",
        against: "wanted peers",
        against_value: MANY_PEERS.into(),
        bar_permille: 1_000,
        less_is_better: false,
    }
    .print();
    let name = node.name.to_string();
    read(&name, MANY_PEERS, "read 50,000 peers", 1_000, backend);
    node.receive(Vec::new());
    assert_eq!(backend.peers().expect("read").len(), 0);
}
