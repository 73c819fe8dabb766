//! The kernel backend with many peers, read while they change. The benchmark `agent` times it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use defguard_wireguard_rs::key::Key;
use defguard_wireguard_rs::{Kernel, WGApi, WireguardInterfaceApi as _};
use wiregrant_agent::wireguard::netlink::NetlinkError;
use wiregrant_agent::wireguard::{Interface, InterfaceName, WireGuardError, delete_interface, routed};

use crate::batches::{Wanted, strangers};
use crate::support::{Open, Wire, run};

/// Peers of the interface under churn, every second of whom goes.
const PEERS: u16 = 800;
/// Changes between two pauses of the churn.
const BURST: usize = 15;

/// While peers come and go, every dump that is given has every peer that stayed. Without own care it would not: how often
/// the library's dump lacks one is printed beside it.
pub fn a_dump_under_churn_lacks_nobody_who_stayed(open: Open, label: &str) {
    let wire = Wire::new(label);
    let name = &wire.node.interface;
    wire.node.inside(|| {
        let mut backend = open(name.clone());
        backend.ensure_interface(&wire.node_settings()).expect("made");
        let all = strangers(0..PEERS);
        let (go, stay): (Vec<_>, Vec<_>) =
            all.iter().cloned().partition(|peer| peer.0.as_bytes()[1] % 2 == 0);

        let (mut whole, mut amid, mut given_up) = (0, 0, 0);
        refill(&mut *backend, &all);
        while_they_come_and_go(open, name, &go, || match backend.peers() {
            Ok(peers) => {
                whole += 1;
                amid += u32::from(peers.len() < all.len());
                for (key, allowed_ips) in &stay {
                    let at = peers.binary_search_by_key(key, |peer| peer.public_key);
                    let at = at.unwrap_or_else(|_| panic!("a dump of {} lacks {key}", peers.len()));
                    assert_eq!(peers[at].allowed_ips, *allowed_ips);
                }
            }
            Err(WireGuardError::Netlink { source: NetlinkError::Interrupted, .. }) => given_up += 1,
            Err(error) => panic!("{error}"),
        });
        let library = WGApi::<Kernel>::new(name.as_str()).expect("the library");
        let (mut read, mut torn) = (0, 0);
        refill(&mut *backend, &all);
        while_they_come_and_go(open, name, &go, || {
            let peers = library.read_interface_data().expect("read").peers;
            read += 1;
            torn += u32::from(!stay.iter().all(|peer| peers.contains_key(&Key::new(*peer.0.as_bytes()))));
        });
        println!(
            "kernel: under churn {whole} dumps whole ({amid} of them amid changes), {given_up} given up; \
             of the library's {read}, {torn} lack a peer that stayed"
        );
        assert!(amid >= 10, "{amid} dumps were read amid changes");
        delete_interface(name, &wire.node_settings().private_key).expect("deleted");
    });
}

/// Makes the interface's list of peers begin anew in this order: who is added stands behind all others.
fn refill(backend: &mut dyn Interface, all: &[Wanted]) {
    let keys: Vec<_> = all.iter().map(|peer| peer.0).collect();
    backend.remove_peers(&keys).expect("removed");
    backend.set_peers(&routed(all)).expect("added");
}

/// Reads again and again until all who go have gone, one by one, each to come back a little later.
fn while_they_come_and_go(open: Open, name: &InterfaceName, go: &[Wanted], mut read: impl FnMut()) {
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = open(name.clone());
            let mut back: &[Wanted] = &[];
            for burst in go.chunks(BURST) {
                burst.iter().for_each(|peer| other.remove_peer(&peer.0).expect("removed"));
                back.iter().for_each(|peer| other.set_peer(&peer.0, &peer.1).expect("added"));
                back = burst;
                // Another reader's time is the pause in which a dump can come to its end.
                run(&format!("wg show {name} dump"));
            }
            end.store(true, Ordering::Relaxed);
        });
        while !end.load(Ordering::Relaxed) {
            read();
        }
    });
}
