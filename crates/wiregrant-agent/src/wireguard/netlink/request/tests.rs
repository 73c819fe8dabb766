//! What the kernel makes of the requests, by a model of `wg_set_device`.

use std::collections::{BTreeMap, BTreeSet};

use super::super::attribute::Attributes;
use super::super::message::{Body, Conversation, messages};
use super::*;
use proptest::prelude::*;

type Peers = BTreeMap<WireGuardPublicKey, BTreeSet<IpNet>>;

fn name() -> InterfaceName {
    "wg0".parse().unwrap()
}

/// The messages that the changes are written into.
fn written(changes: &[PeerChange<'_>]) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    in_batches(33, &name(), changes.iter().copied(), |request| {
        sent.push(request.sealed(7, 99).to_vec());
        Ok(())
    })
    .unwrap();
    sent
}

fn attributes(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    Attributes::new(bytes)
        .map(|attribute| attribute.map(|(kind, value)| (kind, value.to_vec())).unwrap())
        .collect()
}

fn one(attributes: &[(u16, Vec<u8>)], kind: u16) -> Option<Vec<u8>> {
    attributes.iter().find(|attribute| attribute.0 == kind).map(|attribute| attribute.1.clone())
}

/// Carries out one message, as the kernel's `set_peer` does. An allowed IP belongs to whom it was given last.
fn carry_out(message: &[u8], peers: &mut Peers) {
    let conversation = Conversation { family: 33, sequence: 7, port: 99 };
    let body = messages(message, &conversation).next().unwrap().unwrap().body;
    let Body::Family { command: WG_CMD_SET_DEVICE, attributes: device } = body else { panic!("{body:?}") };
    let device = attributes(device);
    assert_eq!(device.len(), 2, "a name and peers, and nothing that concerns all peers");
    assert_eq!(one(&device, WGDEVICE_A_IFNAME).unwrap(), b"wg0\0");
    for (_, peer) in attributes(&one(&device, WGDEVICE_A_PEERS).unwrap()) {
        let peer = attributes(&peer);
        let key: [u8; 32] = one(&peer, WGPEER_A_PUBLIC_KEY).unwrap().try_into().unwrap();
        let flags = u32::from_ne_bytes(one(&peer, WGPEER_A_FLAGS).unwrap().try_into().unwrap());
        let key = key.into();
        if !peers.contains_key(&key) && flags & (WGPEER_F_REMOVE_ME | WGPEER_F_UPDATE_ONLY) != 0 {
            continue;
        }
        if flags & WGPEER_F_REMOVE_ME != 0 {
            peers.remove(&key);
            continue;
        }
        let entry = peers.entry(key).or_default();
        if flags & WGPEER_F_REPLACE_ALLOWEDIPS != 0 {
            entry.clear();
        }
        for (_, ip) in attributes(&one(&peer, WGPEER_A_ALLOWEDIPS).unwrap_or_default()) {
            give(peers, key, read_ip(&attributes(&ip)));
        }
    }
}

fn read_ip(ip: &[(u16, Vec<u8>)]) -> IpNet {
    let family = u16::from_ne_bytes(one(ip, WGALLOWEDIP_A_FAMILY).unwrap().try_into().unwrap());
    let address = one(ip, WGALLOWEDIP_A_IPADDR).unwrap();
    let address: IpAddr = match family {
        AF_INET => <[u8; 4]>::try_from(address).unwrap().into(),
        AF_INET6 => <[u8; 16]>::try_from(address).unwrap().into(),
        _ => panic!("family {family}"),
    };
    IpNet::new(address, one(ip, WGALLOWEDIP_A_CIDR_MASK).unwrap()[0]).unwrap()
}

fn give(peers: &mut Peers, key: WireGuardPublicKey, ip: IpNet) {
    peers.values_mut().for_each(|ips| {
        ips.remove(&ip);
    });
    peers.entry(key).or_default().insert(ip);
}

/// What the changes mean.
fn meant(changes: &[PeerChange<'_>], peers: &mut Peers) {
    for change in changes {
        let (peer, ips) = match change {
            PeerChange::Remove { peer } => {
                peers.remove(*peer);
                continue;
            }
            PeerChange::Set { peer, allowed_ips } if !allowed_ips.is_empty() => (**peer, *allowed_ips),
            PeerChange::Set { peer, allowed_ips } | PeerChange::Update { peer, allowed_ips } => {
                if !peers.contains_key(*peer) {
                    continue;
                }
                (**peer, *allowed_ips)
            }
        };
        peers.entry(peer).or_default().clear();
        ips.iter().for_each(|ip| give(peers, peer, *ip));
    }
}

#[test]
fn a_thousand_peers_take_few_messages_and_no_change_takes_none() {
    let peers: Vec<(WireGuardPublicKey, Vec<IpNet>)> = (0..1000_u32)
        .map(|n| {
            let mut key = [1; 32];
            key[..4].copy_from_slice(&n.to_le_bytes());
            let ip = IpAddr::from(n.to_be_bytes());
            (key.into(), vec![ip.into(), "fd00::1/128".parse().unwrap()])
        })
        .collect();
    let changes: Vec<_> =
        peers.iter().map(|(peer, allowed_ips)| PeerChange::Set { peer, allowed_ips }).collect();
    assert_eq!(written(&changes).len(), 4);
    assert_eq!(written(&[]), Vec::<Vec<u8>>::new());
}

#[test]
fn a_peer_that_does_not_fit_is_continued_and_does_not_come_back_when_it_was_removed_in_between() {
    let key = WireGuardPublicKey::from([5; 32]);
    let ips: Vec<IpNet> = (0..3000_u32).map(|n| IpAddr::from(n.to_be_bytes()).into()).collect();
    let sent = written(&[PeerChange::Set { peer: &key, allowed_ips: &ips }]);
    assert!(sent.len() > 2, "{}", sent.len());
    let mut peers = Peers::new();
    sent.iter().for_each(|message| carry_out(message, &mut peers));
    assert_eq!(peers[&key], ips.iter().copied().collect());

    let mut peers = Peers::new();
    carry_out(&sent[0], &mut peers);
    peers.clear();
    carry_out(&sent[1], &mut peers);
    assert_eq!(peers, Peers::new());
}

#[test]
fn after_a_refusal_nothing_more_is_sent() {
    let key = WireGuardPublicKey::from([5; 32]);
    let ips: Vec<IpNet> = (0..3000_u32).map(|n| IpAddr::from(n.to_be_bytes()).into()).collect();
    let mut sent = 0;
    let result = in_batches(33, &name(), [PeerChange::Set { peer: &key, allowed_ips: &ips }], |_| {
        sent += 1;
        Err(NetlinkError::TimedOut)
    });
    assert_eq!((result, sent), (Err(NetlinkError::TimedOut), 1));
}

/// A change of one of a few peers: which one, what, and with how many addresses, beginning where.
fn change() -> impl Strategy<Value = (u8, u8, Vec<IpNet>)> {
    let count = prop_oneof![4 => 0..4_u32, 1 => 300..2000_u32];
    (0..6_u8, 0..3_u8, count, 0..3000_u32, any::<bool>()).prop_map(|(peer, what, count, first, v6)| {
        let ip = |n: u32| match v6 {
            false => IpAddr::from(n.to_be_bytes()).into(),
            true => IpNet::new(std::net::Ipv6Addr::from(u128::from(n) << 64).into(), 64).unwrap(),
        };
        (peer, what, (first..first + count).map(ip).collect())
    })
}

#[test]
fn another_port_is_asked_for_by_name_and_nothing_is_said_of_peers() {
    let mut request = listen_port(33, &name(), 51999);
    let message = request.sealed(7, 99);
    let conversation = Conversation { family: 33, sequence: 7, port: 99 };
    let body = messages(message, &conversation).next().unwrap().unwrap().body;
    let Body::Family { command: WG_CMD_SET_DEVICE, attributes: device } = body else { panic!("{body:?}") };
    let expected =
        [(WGDEVICE_A_IFNAME, b"wg0\0".to_vec()), (WGDEVICE_A_LISTEN_PORT, 51999_u16.to_ne_bytes().to_vec())];
    assert_eq!(attributes(device), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_kernel_ends_up_with_what_was_meant_and_no_message_is_too_long(
        changes in prop::collection::vec(change(), 0..24),
    ) {
        let keys: Vec<WireGuardPublicKey> = (0..6_u8).map(|n| [n; 32].into()).collect();
        let changes: Vec<_> = changes
            .iter()
            .map(|(peer, what, allowed_ips)| {
                let peer = &keys[usize::from(*peer)];
                match what {
                    0 => PeerChange::Set { peer, allowed_ips },
                    1 => PeerChange::Update { peer, allowed_ips },
                    _ => PeerChange::Remove { peer },
                }
            })
            .collect();
        let (mut carried_out, mut expected) = (Peers::new(), Peers::new());
        for message in written(&changes) {
            prop_assert!(message.len() <= MAX_REQUEST_BYTES, "{} bytes", message.len());
            carry_out(&message, &mut carried_out);
        }
        meant(&changes, &mut expected);
        prop_assert_eq!(carried_out, expected);
    }
}
