//! What nodes were told last, so that a change is told as a change: a device more among ten thousand, and not ten thousand and one.
//!
//! It is memory and nothing else. Whoever knows another revision than the one remembered is told everything.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use wiregrant_core::NodeId;
use wiregrant_core::peer::{DesiredPeers, PeerChanges};

/// Peers remembered over all nodes, some 250 bytes each.
const MAX_PEERS: usize = 200_000;

/// What each node was told last.
#[derive(Debug, Default)]
pub struct Told(Mutex<BTreeMap<NodeId, (u64, DesiredPeers)>>);

impl Told {
    /// The node is told that it should have these peers at this revision. Gives what changed since the revision that it knows, if
    /// that is the one it was told last.
    pub fn tell(
        &self,
        node: &NodeId,
        known: Option<u64>,
        revision: u64,
        peers: DesiredPeers,
    ) -> Option<PeerChanges> {
        // A panic elsewhere leaves the map whole.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.remove(node).filter(|(before, _)| Some(*before) == known);
        let changes = before.map(|(_, before)| before.changes_to(&peers));
        let remembered: usize = told.values().map(|(_, peers)| peers.len()).sum();
        if remembered + peers.len() > MAX_PEERS {
            told.clear();
        }
        told.insert(node.clone(), (revision, peers));
        changes
    }
}

#[cfg(test)]
mod tests {
    use wiregrant_core::allotment::Period;
    use wiregrant_core::peer::DesiredPeer;
    use wiregrant_core::usage_report::Class;
    use wiregrant_core::{Bytes, Timestamp};

    use super::*;

    fn peers(numbers: &[u8]) -> DesiredPeers {
        let peer = |n: &u8| DesiredPeer {
            public_key: [*n; 32].into(),
            allowed_ips: Vec::new(),
            class: Class::Assigned,
            allotment: Bytes::ZERO,
            period: Period::Total,
            expires: Timestamp::from_unix_seconds(0).unwrap(),
            socks5: None,
        };
        numbers.iter().map(peer).collect::<Vec<_>>().into()
    }

    #[test]
    fn who_knows_what_it_was_told_last_is_told_what_changed_and_nobody_else_is() {
        let (told, node): (_, NodeId) = (Told::default(), "node-1".parse().unwrap());
        let other: NodeId = "node-2".parse().unwrap();
        assert_eq!(told.tell(&node, None, 3, peers(&[1, 2])), None);
        assert_eq!(told.tell(&other, Some(3), 3, peers(&[9])), None);
        let changes = told.tell(&node, Some(3), 5, peers(&[2, 4])).unwrap();
        assert_eq!((changes.set, changes.remove), (peers(&[4]), vec![[1; 32].into()]));
        assert_eq!(told.tell(&node, Some(3), 6, peers(&[2])), None, "the answer was lost");
        let mut last = peers(&[2]);
        last.change(told.tell(&node, Some(6), 7, peers(&[7])).unwrap());
        assert_eq!(last, peers(&[7]));
    }

    #[test]
    fn it_remembers_no_more_than_fits() {
        let told = Told::default();
        for number in 0..=MAX_PEERS / 250 {
            let node = format!("node-{number}").parse().unwrap();
            told.tell(&node, None, 1, peers(&(0..250).collect::<Vec<u8>>()));
        }
        let remembered: usize = told.0.lock().unwrap().values().map(|(_, peers)| peers.len()).sum();
        assert!((1..=MAX_PEERS).contains(&remembered), "{remembered}");
    }
}
