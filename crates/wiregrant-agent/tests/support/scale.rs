//! The kernel backend with many peers: read while they change, and timed beside the library and `wg`.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock where it measures")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use defguard_wireguard_rs::key::Key;
use defguard_wireguard_rs::net::IpAddrMask;
use defguard_wireguard_rs::peer::Peer;
use defguard_wireguard_rs::{Kernel, WGApi, WireguardInterfaceApi as _};
use wiregrant_agent::wireguard::netlink::NetlinkError;
use wiregrant_agent::wireguard::{Interface, InterfaceName, WireGuardError, delete_interface};

use crate::batches::{Wanted, strangers};
use crate::support::{Open, Wire, run};

/// Peers of the interface under churn, every second of whom goes.
const PEERS: u16 = 1200;
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
        for _ in 0..3 {
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
        }
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
    backend.set_peers(all).expect("added");
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

/// The shortest of three times, each after `before`.
fn best_of_three(mut before: impl FnMut(), mut timed: impl FnMut()) -> Duration {
    let mut once = || {
        before();
        let start = Instant::now();
        timed();
        start.elapsed()
    };
    once().min(once()).min(once())
}

/// Prints how long things take. An emulated machine is slow in its own ways, so nothing is asserted of time.
pub fn a_thousand_peers_are_timed(open: Open, label: &str) {
    let wire = Wire::new(label);
    let name = &wire.node.interface;
    wire.node.inside(|| {
        let mut backend = open(name.clone());
        backend.ensure_interface(&wire.node_settings()).expect("made");
        let library = WGApi::<Kernel>::new(name.as_str()).expect("the library");
        let wanted = strangers(0..1000);
        let keys: Vec<_> = wanted.iter().map(|peer| peer.0).collect();
        let for_library: Vec<Peer> = wanted
            .iter()
            .map(|(key, allowed_ips)| {
                let mut peer = Peer::new(Key::new(*key.as_bytes()));
                peer.allowed_ips =
                    allowed_ips.iter().map(|ip| IpAddrMask::new(ip.addr(), ip.prefix_len())).collect();
                peer
            })
            .collect();
        let backend = std::cell::RefCell::new(backend);
        let empty = || backend.borrow_mut().remove_peers(&keys).expect("removed");
        let fill = || backend.borrow_mut().set_peers(&wanted).expect("added");

        let library_add = best_of_three(empty, || {
            for peer in &for_library {
                library.configure_peer(peer).expect("added");
            }
        });
        let add = best_of_three(empty, fill);
        let library_remove = best_of_three(fill, || {
            for peer in &for_library {
                library.remove_peer(&peer.public_key).expect("removed");
            }
        });
        let remove = best_of_three(fill, empty);
        fill();
        let library_read = best_of_three(|| {}, || {
            assert_eq!(library.read_interface_data().expect("read").peers.len(), 1000);
        });
        let wg_read = best_of_three(|| {}, || {
            assert_eq!(run(&format!("wg show {name} dump")).lines().count(), 1001);
        });
        let read = best_of_three(|| {}, || {
            assert_eq!(backend.borrow_mut().peers().expect("read").len(), 1000);
        });
        let one = strangers(5000..5001);
        let add_one = best_of_three(
            || backend.borrow_mut().remove_peers(&[one[0].0]).expect("removed"),
            || backend.borrow_mut().set_peers(&one).expect("added"),
        );
        let settings = wire.node_settings();
        let start = Instant::now();
        delete_interface(name, &settings.private_key).expect("deleted");
        let delete = start.elapsed();
        println!("kernel: 1,000 peers, best of three, this test built without optimisation:");
        println!("kernel:   add     library's loop {library_add:>9.1?}   batch {add:>9.1?}");
        println!("kernel:   remove  library's loop {library_remove:>9.1?}   batch {remove:>9.1?}");
        println!("kernel:   read    library {library_read:>9.1?}   wg show dump {wg_read:>9.1?}   ours {read:>9.1?}");
        println!("kernel:   add one to 1,000 {add_one:>9.1?}   empty and delete {delete:>9.1?}");
    });
}
