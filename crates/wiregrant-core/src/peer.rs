//! The peers a node should have.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::allotment::Period;
use crate::socks5::Socks5Login;
use crate::usage_report::Class;
use crate::{Bytes, Timestamp, WireGuardPublicKey};

/// The most peers one node may be given.
pub const MAX_PEERS: usize = 65_536;

/// One peer as the control plane wants it. It has no endpoint: the client comes to the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredPeer {
    /// The device's public key.
    pub public_key: WireGuardPublicKey,
    /// The inner addresses that are this device's own, one /32 and one /128.
    pub allowed_ips: Vec<IpNet>,
    /// Who chose this node for it.
    pub class: Class,
    /// What it may move in a `period`, over all services, counted and enforced on the node.
    pub allotment: Bytes,
    /// What the allotment is for.
    #[serde(default)]
    pub period: Period,
    /// When it stops being a peer.
    pub expires: Timestamp,
    /// How it may use the node's SOCKS5 service besides; not at all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socks5: Option<Socks5Login>,
}

/// All peers of a node at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredPeers {
    /// Rises with each change.
    pub revision: u64,
    /// The peers, at most [`MAX_PEERS`].
    pub peers: Vec<DesiredPeer>,
}

/// What has to be done to an interface so that it has the desired peers, and nothing that disturbs a peer already right.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Peers to add, or whose allowed IPs differ.
    pub set: Vec<(WireGuardPublicKey, Vec<IpNet>)>,
    /// Peers to remove.
    pub remove: Vec<WireGuardPublicKey>,
}

impl Difference {
    /// The way from the `live` peers (key to allowed IPs) to the `desired` ones at `now`; expired ones are not desired.
    /// Removals come before additions in use, because allowed IPs may move from one peer to another.
    #[must_use]
    pub fn between(
        live: &BTreeMap<WireGuardPublicKey, Vec<IpNet>>,
        desired: &[DesiredPeer],
        now: Timestamp,
    ) -> Self {
        let wanted: BTreeMap<_, _> = desired
            .iter()
            .filter(|peer| peer.expires > now)
            .map(|peer| (peer.public_key, sorted(&peer.allowed_ips)))
            .collect();
        let set = wanted
            .iter()
            .filter(|(key, ips)| live.get(*key).is_none_or(|have| sorted(have) != **ips))
            .map(|(key, ips)| (*key, ips.clone()))
            .collect();
        let remove = live.keys().filter(|key| !wanted.contains_key(*key)).copied().collect();
        Self { set, remove }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

fn sorted(ips: &[IpNet]) -> Vec<IpNet> {
    let mut ips: Vec<_> = ips.iter().map(IpNet::trunc).collect();
    ips.sort_unstable();
    ips.dedup();
    ips
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> WireGuardPublicKey {
        [n; 32].into()
    }

    fn peer(n: u8, expires: i64) -> DesiredPeer {
        DesiredPeer {
            public_key: key(n),
            allowed_ips: vec![
                format!("fd00::{n}/128").parse().unwrap(),
                format!("10.0.0.{n}/32").parse().unwrap(),
            ],
            class: Class::Assigned,
            allotment: Bytes::MAX,
            period: Period::Total,
            expires: Timestamp::from_unix_seconds(expires).unwrap(),
            socks5: None,
        }
    }

    #[test]
    fn a_peer_that_is_right_is_left_alone_whatever_the_order_of_its_addresses() {
        let now = Timestamp::from_unix_seconds(50).unwrap();
        let mut ips = peer(1, 100).allowed_ips;
        ips.reverse();
        let live = BTreeMap::from([(key(1), ips)]);
        assert!(Difference::between(&live, &[peer(1, 100)], now).is_empty());
    }

    #[test]
    fn new_moved_expired_and_unknown_peers_are_told_apart() {
        let now = Timestamp::from_unix_seconds(50).unwrap();
        let live = BTreeMap::from([
            (key(1), vec!["10.0.0.99/32".parse().unwrap()]),
            (key(2), peer(2, 0).allowed_ips),
            (key(9), vec![]),
        ]);
        let difference = Difference::between(&live, &[peer(1, 100), peer(2, 50), peer(3, 100)], now);
        assert_eq!(difference.set.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key(1), key(3)]);
        assert_eq!(difference.remove, [key(2), key(9)]);
    }
}
