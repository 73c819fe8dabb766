//! Forgetting: a peer that has been silent for long is removed and added again, so that WireGuard forgets where it was. No byte is
//! lost by it, and nobody who moves anything is disturbed.
//!
//! Architecture Invariant: since when a peer is silent stands here, in memory, and nowhere else. It is neither stored nor reported,
//! nor is it logged that somebody was forgotten: on a node with few peers that alone would tell when a person was there.

use std::collections::BTreeSet;
use std::time::Duration;

use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::counter::Reading;
use wiregrant_core::in_step::InStep;

use crate::clock::Moment;
use crate::keeper::Keeper;
use crate::wireguard::LivePeer;

/// The most peers forgotten in one turn of sampling, so that the turn does not last; the others are in the next.
pub const MAX_AT_ONCE: usize = 1024;

/// Since when each peer that ever moved anything has sent nothing.
#[derive(Default)]
pub(crate) struct Silences {
    /// Sorted by key, as readings are.
    peers: Vec<Silence>,
}

struct Silence {
    peer: WireGuardPublicKey,
    /// Bytes received from it when it was last heard.
    received: u64,
    /// When that was seen first, by the clock that nobody sets.
    since: Duration,
}

impl Silences {
    /// Takes a reading of all peers, sorted by key. Gives those that sent nothing for at least `idle`, at most
    /// [`MAX_AT_ONCE`].
    ///
    /// What the node sends says nothing about the peer: somebody may go on sending to a client that has left. One that is there
    /// answers with keepalives. A peer whose counters are both zero has not been here since it was added, so there is nothing
    /// to forget.
    pub(crate) fn observe(
        &mut self,
        live: &[LivePeer],
        now: Duration,
        idle: Duration,
    ) -> Vec<WireGuardPublicKey> {
        let known = std::mem::take(&mut self.peers);
        let mut known = InStep::new(known.iter().map(|silence| (silence.peer, silence)));
        for LivePeer { public_key: peer, reading, .. } in live {
            if *reading == Reading::default() {
                continue;
            }
            let unchanged = known.find(peer).filter(|silence| silence.received == reading.received);
            let since = unchanged.map_or(now, |silence| silence.since);
            self.peers.push(Silence { peer: *peer, received: reading.received, since });
        }
        let silent = self.peers.iter().filter(|silence| now.saturating_sub(silence.since) >= idle);
        silent.map(|silence| silence.peer).take(MAX_AT_ONCE).collect()
    }
}

impl Keeper {
    /// Takes the silent ones among `live` away, last bytes counted, to be added again as new peers; they are no longer in `live`
    /// then. Each is given no address first and read again: who sent something meanwhile is given its addresses back.
    ///
    /// # Errors
    /// When the interface or the journal fails. A stop anywhere leaves a state from which converging goes on: peers without their
    /// addresses get them back, and a removal that was begun is finished.
    pub(crate) fn forget(
        &mut self,
        silent: &[WireGuardPublicKey],
        live: &mut Vec<LivePeer>,
        now: Moment,
    ) -> anyhow::Result<()> {
        if silent.is_empty() {
            return Ok(());
        }
        self.silence(silent)?;
        let after = self.sample(now)?;
        let received = |peers: &[LivePeer], peer: &WireGuardPublicKey| {
            let at = peers.binary_search_by(|live| live.public_key.cmp(peer)).ok()?;
            peers.get(at).map(|peer| peer.reading.received)
        };
        let (still, stirred): (Vec<_>, Vec<_>) =
            silent.iter().copied().partition(|peer| received(&after, peer) == received(live, peer));
        self.give_back(&stirred, live)?;
        if still.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.take_away(&still) {
            // For instance on a full disk: they go on as they were. Who is gone already is not brought back by it.
            self.give_back(&still, live)?;
            return Err(error);
        }
        let still: BTreeSet<_> = still.into_iter().collect();
        live.retain(|peer| !still.contains(&peer.public_key));
        Ok(())
    }

    /// Gives silenced peers the addresses they had in `live`.
    fn give_back(&mut self, silenced: &[WireGuardPublicKey], live: &[LivePeer]) -> anyhow::Result<()> {
        if silenced.is_empty() {
            return Ok(());
        }
        let silenced: BTreeSet<_> = silenced.iter().collect();
        let had = live.iter().filter(|peer| silenced.contains(&peer.public_key));
        let had: Vec<_> = had.map(|peer| (peer.public_key, peer.allowed_ips.as_slice())).collect();
        Ok(self.interface.update_peers(&had)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::tests::{TestNode, key, peer};

    fn live(peers: &[(u8, u64, u64)]) -> Vec<LivePeer> {
        let peer = |&(n, received, sent): &(u8, u64, u64)| LivePeer {
            public_key: [n; 32].into(),
            allowed_ips: Vec::new(),
            reading: Reading { received, sent },
        };
        peers.iter().map(peer).collect()
    }

    #[test]
    fn who_sends_nothing_for_long_enough_is_silent_whatever_is_sent_to_them() {
        let mut silences = Silences::default();
        let mut at = |seconds: u64, peers: &[(u8, u64, u64)]| {
            let silent =
                silences.observe(&live(peers), Duration::from_secs(seconds), Duration::from_secs(180));
            silent.iter().map(|peer| peer.as_bytes()[0]).collect::<Vec<_>>()
        };
        assert_eq!(at(0, &[(1, 5, 5), (2, 5, 5), (3, 0, 0), (4, 0, 9)]), [0; 0]);
        assert_eq!(at(179, &[(1, 5, 7), (2, 6, 5), (3, 0, 0), (4, 0, 9)]), [0; 0]);
        assert_eq!(at(180, &[(1, 5, 9), (2, 6, 5), (3, 0, 0), (4, 0, 9), (5, 1, 1)]), [1, 4]);
        // A counter that fell is somebody's who was made anew.
        assert_eq!(at(190, &[(1, 4, 9), (2, 6, 5), (5, 1, 1)]), [0; 0]);
        assert_eq!(at(358, &[(2, 6, 5), (5, 1, 1)]), [0; 0]);
        assert_eq!(at(359, &[(0, 1, 1), (2, 6, 5), (5, 1, 1)]), [2]);
        // Gone and back: who was not there is not waited for.
        assert_eq!(at(370, &[(1, 4, 9), (5, 1, 1)]), [5]);
    }

    #[test]
    fn one_turn_forgets_a_bounded_number_of_peers() {
        let peers: Vec<_> = (0..=MAX_AT_ONCE)
            .map(|n| {
                let mut key = [0; 32];
                key[..8].copy_from_slice(&u64::try_from(n).unwrap().to_be_bytes());
                LivePeer {
                    public_key: key.into(),
                    allowed_ips: Vec::new(),
                    reading: Reading { received: 1, sent: 1 },
                }
            })
            .collect();
        let mut silences = Silences::default();
        assert_eq!(silences.observe(&peers, Duration::ZERO, Duration::from_secs(1)), []);
        assert_eq!(
            silences.observe(&peers, Duration::from_secs(1), Duration::from_secs(1)).len(),
            MAX_AT_ONCE
        );
    }

    #[test]
    fn a_silent_peer_is_made_anew_and_every_byte_of_it_counts_once() {
        let mut node = TestNode::new();
        node.desired(&[0, 1, 2], None).unwrap();
        node.traffic(0, 100, 50);
        node.traffic(1, 10, 5);
        node.converge_at(2_010);
        node.traffic(1, 1, 0);
        node.converge_at(2_180);
        assert_eq!(node.made_anew(), []);
        node.traffic(0, 0, 7);
        node.converge_at(2_190);
        assert_eq!((node.made_anew(), node.live().len()), (vec![key(0)], 3));
        assert_eq!(node.counted(), 100 + 50 + 10 + 5 + 1 + 7);
        // Back again, with less than before and then with more.
        node.traffic(0, 30, 0);
        node.converge_at(2_200);
        node.traffic(0, 200, 0);
        node.converge_at(2_210);
        assert_eq!(node.counted(), 173 + 230);
    }

    #[test]
    fn who_stirs_while_being_forgotten_is_left_as_they_were() {
        let mut node = TestNode::new();
        node.desired(&[0], None).unwrap();
        node.traffic(0, 100, 50);
        node.converge_at(2_010);
        node.stir_when_silenced(0, 3);
        node.converge_at(2_190);
        assert_eq!(node.made_anew(), []);
        assert_eq!(node.allowed_ips(0), peer(0).allowed_ips);
        assert_eq!(node.counted(), 153);
        node.converge_at(2_200);
        node.converge_at(2_379);
        assert_eq!(node.made_anew(), []);
        node.converge_at(2_380);
        assert_eq!((node.made_anew(), node.counted()), (vec![key(0)], 153));
    }
}
