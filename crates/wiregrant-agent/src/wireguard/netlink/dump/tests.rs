//! What is read of a dump, and which dumps are not believed.

use super::super::attribute::{close, open, put};
use super::*;
use proptest::prelude::*;

const CONVERSATION: Conversation = Conversation { family: 33, sequence: 7, port: 99 };
const MULTI: u16 = 2;
const INTERRUPTED: u16 = 0x10;
const DONE: u16 = 3;
/// Attributes that are never to be read; here they would not even pass for what they are.
const ENDPOINT: u16 = 4;
const LAST_HANDSHAKE: u16 = 6;
const PRESHARED_KEY: u16 = 2;
const FROM_THE_FUTURE: u16 = 77;

fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(16 + payload.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&7_u32.to_ne_bytes());
    bytes.extend_from_slice(&99_u32.to_ne_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn done() -> Vec<u8> {
    message(DONE, MULTI, &0_i32.to_ne_bytes())
}

/// One message of a dump: the interface's own attributes, and the peers' already printed.
fn content(flags: u16, own: Option<&Device>, peers: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0, 1, 0, 0];
    if let Some(device) = own {
        put(&mut bytes, WGDEVICE_A_LISTEN_PORT, &device.listen_port.to_ne_bytes());
        put(&mut bytes, FROM_THE_FUTURE, b"?");
        if let Some(key) = &device.private_key {
            put(&mut bytes, WGDEVICE_A_PRIVATE_KEY, key.as_bytes());
        }
    }
    if !peers.is_empty() {
        let list = open(&mut bytes, WGDEVICE_A_PEERS);
        bytes.extend(peers.concat());
        close(&mut bytes, list);
    }
    message(33, MULTI | flags, &bytes)
}

fn head(public_key: &WireGuardPublicKey, reading: Reading, allowed_ips: &[IpNet]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let nest = open(&mut bytes, 0);
    put(&mut bytes, WGPEER_A_PUBLIC_KEY, public_key.as_bytes());
    for never_read in [PRESHARED_KEY, ENDPOINT, LAST_HANDSHAKE, FROM_THE_FUTURE] {
        put(&mut bytes, never_read, b"not to be read");
    }
    put(&mut bytes, WGPEER_A_TX_BYTES, &reading.sent.to_ne_bytes());
    put(&mut bytes, WGPEER_A_RX_BYTES, &reading.received.to_ne_bytes());
    put_ips(&mut bytes, allowed_ips);
    close(&mut bytes, nest);
    bytes
}

/// The part of a peer that did not fit into the message before.
fn rest(public_key: &WireGuardPublicKey, allowed_ips: &[IpNet]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let nest = open(&mut bytes, 0);
    put(&mut bytes, WGPEER_A_PUBLIC_KEY, public_key.as_bytes());
    put_ips(&mut bytes, allowed_ips);
    close(&mut bytes, nest);
    bytes
}

fn put_ips(bytes: &mut Vec<u8>, allowed_ips: &[IpNet]) {
    if allowed_ips.is_empty() {
        return;
    }
    let list = open(bytes, WGPEER_A_ALLOWEDIPS);
    for ip in allowed_ips {
        let nest = open(bytes, 0);
        put(bytes, WGALLOWEDIP_A_CIDR_MASK, &[ip.prefix_len()]);
        let (family, address) = match ip.addr() {
            IpAddr::V4(address) => (AF_INET, address.octets().to_vec()),
            IpAddr::V6(address) => (AF_INET6, address.octets().to_vec()),
        };
        put(bytes, WGALLOWEDIP_A_FAMILY, &family.to_ne_bytes());
        put(bytes, WGALLOWEDIP_A_IPADDR, &address);
        close(bytes, nest);
    }
    close(bytes, list);
}

fn read(datagrams: &[Vec<u8>]) -> Result<Option<Device>, NetlinkError> {
    let mut dump = Dump::begin(CONVERSATION);
    for datagram in datagrams {
        match dump.take(datagram)? {
            Step::More(more) => dump = more,
            Step::Whole(device) => return Ok(Some(device)),
        }
    }
    Ok(None)
}

fn peer(n: u8) -> LivePeer {
    LivePeer {
        public_key: [n; 32].into(),
        allowed_ips: vec![format!("10.0.0.{n}/32").parse().unwrap()],
        reading: Reading { received: u64::from(n), sent: u64::MAX - u64::from(n) },
    }
}

fn printed(peer: &LivePeer) -> Vec<u8> {
    head(&peer.public_key, peer.reading, &peer.allowed_ips)
}

#[test]
fn an_interface_without_peers_and_key_is_read() {
    let device = Device { private_key: None, listen_port: 51820, peers: Vec::new() };
    let read = read(&[content(0, Some(&device), &[]), done()]).unwrap().unwrap();
    assert_eq!((read.private_key.is_none(), read.listen_port, read.peers), (true, 51820, vec![]));
}

#[test]
fn a_peer_split_over_messages_is_one_peer() {
    let ips: Vec<IpNet> = (0..9).map(|n| format!("10.0.{n}.0/24").parse().unwrap()).collect();
    let (key, reading) = ([5; 32].into(), Reading { received: 10, sent: 20 });
    let device = Device::default();
    let read = read(&[
        content(0, Some(&device), &[printed(&peer(9)), head(&key, reading, &ips[6..])]),
        content(0, None, &[rest(&key, &ips[..2])]),
        // Its allowed IPs may just have fitted.
        [content(0, None, &[rest(&key, &ips[2..6]), printed(&peer(1))]), done()].concat(),
    ]);
    let whole = LivePeer { public_key: key, allowed_ips: ips, reading };
    assert_eq!(read.unwrap().unwrap().peers, [peer(1), whole, peer(9)]);
}

#[test]
fn a_dump_is_interrupted_by_its_mark_by_a_missing_rest_and_by_a_peer_that_stands_twice() {
    let device = Device::default();
    let first = content(0, Some(&device), &[printed(&peer(1))]);
    let marked = content(INTERRUPTED, None, &[printed(&peer(2))]);
    let marked_end = message(DONE, MULTI | INTERRUPTED, &0_i32.to_ne_bytes());
    let moved = content(0, None, &[printed(&peer(2)), printed(&peer(1))]);
    for (why, datagrams) in [
        ("the mark", vec![first.clone(), marked, done()]),
        ("the mark at the end", vec![first.clone(), marked_end]),
        ("an empty continuation", vec![first.clone(), content(0, None, &[]), done()]),
        ("removed and added again", vec![first, moved, done()]),
    ] {
        assert_eq!(read(&datagrams).unwrap_err(), NetlinkError::Interrupted, "{why}");
    }
}

#[test]
fn a_counter_that_is_missing_or_stands_twice_is_refused_and_not_read_as_zero() {
    let device = Device::default();
    let (key, reading) = ([5; 32].into(), Reading { received: 10, sent: 20 });
    let no_counters = NetlinkError::NoCounters { peer: key };
    let cases = [
        vec![rest(&key, &[])],
        vec![printed(&peer(1)), rest(&key, &[])],
        // A rest stands first in its message only.
        vec![head(&key, reading, &[]), rest(&key, &[])],
    ];
    for peers in cases {
        assert_eq!(read(&[content(0, Some(&device), &peers), done()]).unwrap_err(), no_counters);
    }
    let mut twice = Vec::new();
    let nest = open(&mut twice, 0);
    for kind in [WGPEER_A_RX_BYTES, WGPEER_A_TX_BYTES, WGPEER_A_RX_BYTES] {
        put(&mut twice, kind, &[0; 8]);
    }
    close(&mut twice, nest);
    let error = read(&[content(0, Some(&device), &[twice]), done()]).unwrap_err();
    assert_eq!(error, NetlinkError::Form { expected: "a peer's attribute once" });
}

#[test]
fn an_error_at_the_end_is_an_error_of_all() {
    let first = content(0, Some(&Device::default()), &[printed(&peer(1))]);
    let failed = message(DONE, MULTI, &(-12_i32).to_ne_bytes());
    let error = read(&[first.clone(), failed]).unwrap_err();
    assert!(matches!(error, NetlinkError::Refused(errno) if errno.raw_os_error() == 12), "{error}");
    assert!(read(&[done()]).is_err(), "an end without a beginning");
    assert!(read(&[first.clone(), [done(), first.clone()].concat()]).is_err(), "something after the end");
    assert!(read(&[first]).unwrap().is_none(), "no end");
}

#[test]
fn an_impossible_allowed_ip_is_refused() {
    let ip = |family: u16, address: &[u8], prefix: u8| {
        let mut bytes = Vec::new();
        put(&mut bytes, WGALLOWEDIP_A_FAMILY, &family.to_ne_bytes());
        put(&mut bytes, WGALLOWEDIP_A_IPADDR, address);
        put(&mut bytes, WGALLOWEDIP_A_CIDR_MASK, &[prefix]);
        allowed_ip(&bytes)
    };
    assert_eq!(ip(AF_INET, &[10, 0, 0, 1], 32).unwrap().to_string(), "10.0.0.1/32");
    assert!(ip(AF_INET, &[10, 0, 0, 1], 33).is_err());
    assert!(ip(AF_INET6, &[10, 0, 0, 1], 32).is_err());
    assert!(ip(AF_INET, &[0; 16], 32).is_err());
    assert!(ip(7, &[10, 0, 0, 1], 32).is_err());
}

fn some_peer() -> impl Strategy<Value = LivePeer> {
    let v4 = (any::<[u8; 4]>(), 0..=32u8).prop_map(|(ip, bits)| IpNet::new(ip.into(), bits).unwrap());
    let v6 = (any::<[u8; 16]>(), 0..=128u8).prop_map(|(ip, bits)| IpNet::new(ip.into(), bits).unwrap());
    let ips = prop::collection::vec(prop_oneof![v4, v6], 0..5);
    (any::<[u8; 32]>(), ips, any::<u64>(), any::<u64>()).prop_map(|(key, mut allowed_ips, received, sent)| {
        allowed_ips.sort_unstable();
        LivePeer { public_key: key.into(), allowed_ips, reading: Reading { received, sent } }
    })
}

/// The dump as the kernel sends it, a new message begun where `breaks` says so: before a peer, or within one.
fn dumped(device: &Device, breaks: &[(bool, usize)]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut open = Vec::new();
    let mut send = |peers: &mut Vec<Vec<u8>>| {
        let own = messages.is_empty().then_some(device);
        messages.push(content(0, own, peers));
        peers.clear();
    };
    for (peer, (new_message, within)) in device.peers.iter().zip(breaks.iter().cycle()) {
        if *new_message && !open.is_empty() {
            send(&mut open);
        }
        let ips = &peer.allowed_ips;
        let (first, second) = ips.split_at(ips.len() - (*within).min(ips.len()));
        open.push(head(&peer.public_key, peer.reading, first));
        if !second.is_empty() {
            send(&mut open);
            open.push(rest(&peer.public_key, second));
        }
    }
    send(&mut open);
    messages.push(done());
    messages
}

fn some_device() -> impl Strategy<Value = (Device, Vec<(bool, usize)>)> {
    let peers = prop::collection::btree_map(any::<[u8; 32]>(), some_peer(), 0..8);
    let breaks = prop::collection::vec((any::<bool>(), 0..3_usize), 1..9);
    (prop::option::of(any::<[u8; 32]>()), any::<u16>(), peers, breaks).prop_map(
        |(key, listen_port, peers, breaks)| {
            let mut peers: Vec<_> = peers.into_values().collect();
            peers.sort_unstable_by_key(|peer| peer.public_key);
            peers.dedup_by_key(|peer| peer.public_key);
            (Device { private_key: key.map(Into::into), listen_port, peers }, breaks)
        },
    )
}

proptest! {
    #[test]
    fn what_was_printed_is_read_back_however_it_is_split((device, breaks) in some_device()) {
        let datagrams = dumped(&device, &breaks);
        let back = read(&datagrams).unwrap().unwrap();
        prop_assert_eq!(dumped(&back, &breaks), datagrams.clone());
        // The kernel may put several messages into one datagram.
        let at_once = read(&[datagrams.concat()]).unwrap().unwrap();
        prop_assert_eq!(at_once.peers, back.peers);
    }

    #[test]
    fn a_dump_that_is_cut_anywhere_gives_nothing((device, breaks) in some_device(), at: prop::sample::Index) {
        let mut datagrams = dumped(&device, &breaks);
        let last = at.index(datagrams.len());
        datagrams.truncate(last + 1);
        let cut = at.index(datagrams[last].len());
        datagrams[last].truncate(cut);
        prop_assert!(!matches!(read(&datagrams), Ok(Some(_))));
    }

    #[test]
    fn no_bytes_make_the_reader_panic((device, breaks) in some_device(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = dumped(&device, &breaks).concat();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read(&[bytes]);
    }
}
