//! The peers a node should have.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Deref;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};

use crate::allotment::Period;
use crate::socks5::Socks5Login;
use crate::usage_report::Class;
use crate::{Bytes, Timestamp, WireGuardPublicKey};

/// The most peers one node may be given.
pub const MAX_PEERS: usize = 65_536;

/// So many changes are made one by one faster than by putting all peers in order anew.
const FEW: usize = 16;

/// One peer as the control plane wants it. It has no endpoint: the client comes to the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DesiredPeer {
    /// The device's public key.
    pub public_key: WireGuardPublicKey,
    /// The inner addresses that are this device's own, one /32 and one /128.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
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

/// The peers of a node: ascending by key, each once, with their allowed IPs ascending and without host bits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct DesiredPeers(#[serde(deserialize_with = "in_order")] Vec<DesiredPeer>);

/// The way from some desired peers to others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PeerChanges {
    /// Peers that are new, or about which something is other than before.
    pub set: DesiredPeers,
    /// Peers that are desired no more.
    pub remove: Vec<WireGuardPublicKey>,
}

impl PeerChanges {
    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

impl DesiredPeers {
    /// The peer with this key.
    #[must_use]
    pub fn get(&self, key: &WireGuardPublicKey) -> Option<&DesiredPeer> {
        let at = self.0.binary_search_by(|peer| peer.public_key.cmp(key)).ok()?;
        self.0.get(at)
    }

    /// What makes `later` of these.
    #[must_use]
    pub fn changes_to(&self, later: &Self) -> PeerChanges {
        self.changes(&later.0, DesiredPeer::clone)
    }

    /// What makes these of the ones `before`.
    #[must_use]
    pub fn changes_from(self, before: &Self) -> PeerChanges {
        before.changes(self.0, |peer| peer)
    }

    fn changes<P: Borrow<DesiredPeer>>(
        &self,
        later: impl IntoIterator<Item = P>,
        own: impl Fn(P) -> DesiredPeer,
    ) -> PeerChanges {
        let mut before = self.0.iter().peekable();
        let mut changes = PeerChanges::default();
        for later in later {
            let peer = later.borrow();
            while let Some(gone) = before.next_if(|before| before.public_key < peer.public_key) {
                changes.remove.push(gone.public_key);
            }
            if before.next_if(|before| before.public_key == peer.public_key) != Some(peer) {
                changes.set.0.push(own(later));
            }
        }
        changes.remove.extend(before.map(|gone| gone.public_key));
        changes
    }

    /// Makes the changes.
    pub fn change(&mut self, changes: PeerChanges) {
        if !changes.remove.is_empty() {
            let gone: BTreeSet<_> = changes.remove.into_iter().collect();
            self.0.retain(|peer| !gone.contains(&peer.public_key));
        }
        if self.0.is_empty() {
            *self = changes.set;
            return;
        }
        if changes.set.len() > FEW {
            self.0.extend(changes.set.0);
            *self = std::mem::take(&mut self.0).into();
            return;
        }
        for peer in changes.set.0 {
            match self.0.binary_search_by_key(&peer.public_key, |known| known.public_key) {
                Ok(at) => self.0[at] = peer,
                Err(at) => self.0.insert(at, peer),
            }
        }
    }
}

impl From<Vec<DesiredPeer>> for DesiredPeers {
    /// Of two with one key the later stays.
    fn from(mut peers: Vec<DesiredPeer>) -> Self {
        for peer in &mut peers {
            let ips = &mut peer.allowed_ips;
            ips.iter_mut().for_each(|ip| *ip = ip.trunc());
            ips.sort_unstable();
            ips.dedup();
        }
        peers.sort_by_key(|peer| peer.public_key);
        peers.dedup_by(|later, earlier| {
            let same = later.public_key == earlier.public_key;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        Self(peers)
    }
}

impl Deref for DesiredPeers {
    type Target = [DesiredPeer];

    fn deref(&self) -> &[DesiredPeer] {
        &self.0
    }
}

impl IntoIterator for DesiredPeers {
    type Item = DesiredPeer;
    type IntoIter = std::vec::IntoIter<DesiredPeer>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn in_order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<DesiredPeer>, D::Error> {
    Ok(DesiredPeers::from(Vec::deserialize(deserializer)?).0)
}

/// What has to be done to an interface so that it has the desired peers, and nothing that disturbs a peer already right.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Peers that are not there.
    pub add: Vec<(WireGuardPublicKey, Vec<IpNet>)>,
    /// Live peers with other allowed IPs.
    pub change: Vec<(WireGuardPublicKey, Vec<IpNet>)>,
    /// Live peers to remove.
    pub remove: Vec<WireGuardPublicKey>,
}

impl Difference {
    /// The way from the `live` peers, ascending by key and each with its allowed IPs ascending, to the desired ones that the
    /// node `serves` now. Removals come before additions in use, because allowed IPs may move from one peer to another.
    #[must_use]
    pub fn between<'a>(
        live: impl IntoIterator<Item = (&'a WireGuardPublicKey, &'a [IpNet])>,
        desired: &DesiredPeers,
        mut serves: impl FnMut(&DesiredPeer) -> bool,
    ) -> Self {
        let mut live = live.into_iter().peekable();
        let mut difference = Self::default();
        for peer in desired.iter().filter(|peer| serves(peer)) {
            let key = &peer.public_key;
            let found = loop {
                // One comparison for each pair: nearly all of them are equal.
                match live.peek().map(|(live, _)| (*live).cmp(key)) {
                    Some(Ordering::Less) => difference.remove.extend(live.next().map(|(gone, _)| *gone)),
                    Some(Ordering::Equal) => break live.next(),
                    Some(Ordering::Greater) | None => break None,
                }
            };
            match found {
                None => difference.add.push((*key, peer.allowed_ips.clone())),
                Some((_, ips)) if ips != peer.allowed_ips => {
                    difference.change.push((*key, peer.allowed_ips.clone()));
                }
                Some(_) => {}
            }
        }
        difference.remove.extend(live.map(|(gone, _)| *gone));
        difference
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.change.is_empty() && self.remove.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    fn desired(peers: impl IntoIterator<Item = DesiredPeer>) -> DesiredPeers {
        peers.into_iter().collect::<Vec<_>>().into()
    }

    /// A live interface that has exactly these.
    fn live(peers: &DesiredPeers) -> impl Iterator<Item = (&WireGuardPublicKey, &[IpNet])> {
        peers.iter().map(|peer| (&peer.public_key, peer.allowed_ips.as_slice()))
    }

    #[test]
    fn a_peer_that_is_right_is_left_alone_whatever_the_order_of_its_addresses() {
        let mut shuffled = vec![peer(2, 100), peer(1, 100), peer(1, 100)];
        shuffled.iter_mut().for_each(|peer| peer.allowed_ips.reverse());
        let shuffled = desired(shuffled);
        assert_eq!(shuffled.len(), 2);
        assert!(
            Difference::between(live(&desired([peer(1, 7), peer(2, 9)])), &shuffled, |_| true).is_empty()
        );
    }

    #[test]
    fn new_moved_unserved_and_unknown_peers_are_told_apart() {
        let mut moved = peer(1, 100);
        moved.allowed_ips = vec!["10.0.0.99/32".parse().unwrap()];
        let now = desired([moved, peer(2, 0), peer(9, 0)]);
        let wanted = desired([peer(1, 100), peer(2, 50), peer(3, 100)]);
        let difference = Difference::between(live(&now), &wanted, |peer| peer.public_key != key(2));
        let keys = |peers: &[(WireGuardPublicKey, Vec<IpNet>)]| peers.iter().map(|p| p.0).collect::<Vec<_>>();
        assert_eq!(keys(&difference.add), [key(3)]);
        assert_eq!(keys(&difference.change), [key(1)]);
        assert_eq!(difference.remove, [key(2), key(9)]);
    }

    #[test]
    fn of_two_with_one_key_the_later_is_meant() {
        let twice = desired([peer(1, 100), peer(1, 200)]);
        assert_eq!(twice.to_vec(), desired([peer(1, 200)]).to_vec());
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read_and_the_changes_lead_from_one_to_the_other(
            before in proptest::collection::vec((any::<u8>(), 0..3_i64), 0..20),
            later in proptest::collection::vec((any::<u8>(), 0..3_i64), 0..20),
        ) {
            let [mut before, later] = [before, later].map(|peers| desired(peers.into_iter().map(|(n, e)| peer(n, e))));
            let json = serde_json::to_string(&before).unwrap();
            prop_assert_eq!(&serde_json::from_str::<DesiredPeers>(&json).unwrap(), &before);
            let changes = before.changes_to(&later);
            prop_assert_eq!(&later.clone().changes_from(&before), &changes);
            prop_assert_eq!(changes.is_empty(), before == later);
            before.change(changes);
            prop_assert_eq!(before, later);
        }
    }
}
