//! The interface of the oracle's lives, which knows every byte that ever moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use ipnet::IpNet;
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::counter::Reading;
use wiregrant_core::usage_report::{Backend, Class};

use crate::conservation::plus;
use crate::journal::fault;
use crate::wireguard::{Ensured, Interface, InterfaceSettings, LivePeer, Routed, Statistics, WireGuardError};

/// The interface in truth.
#[derive(Default)]
pub struct Wire {
    there: bool,
    /// The interface's own, if it keeps some.
    statistics: Option<Statistics>,
    pub peers: BTreeMap<WireGuardPublicKey, (Vec<IpNet>, Reading)>,
    pub moved: BTreeMap<Class, u64>,
    /// What moved of peers that somebody added and nobody wanted: in which class, nobody can say.
    pub moved_by_strangers: u64,
    pub strangers: BTreeSet<WireGuardPublicKey>,
    /// What each peer moved since its last durable reading.
    unread: BTreeMap<WireGuardPublicKey, u64>,
    /// Whose counter was reset since.
    reset: BTreeSet<WireGuardPublicKey>,
    /// How much of it was sent.
    unread_sent: BTreeMap<WireGuardPublicKey, u64>,
    /// Whose counters somebody began anew since, while the statistics told what they had said.
    anew: BTreeSet<WireGuardPublicKey>,
    /// What peers had moved unread when somebody removed them or began their counters anew, where the statistics still tell it.
    departed: u64,
    /// Readings since, by an agent that went on, which lacked nobody: after the third the statistics have been heard.
    heard: u8,
    /// The statistics were read since the interface was made: what they said before may count as accounted for.
    watched: bool,
    /// Bytes that the count may lack.
    pub excused: u64,
    /// The next dump lacks these.
    pub hidden: BTreeSet<WireGuardPublicKey>,
    /// The last dump lacked these.
    missed: BTreeSet<WireGuardPublicKey>,
    /// A dump was given since the turn began.
    pub dumped: bool,
    /// The call at which the agent is killed, counted down; and whether the call is still carried out.
    pub kill: Option<(u32, bool)>,
}

impl Wire {
    /// An interface that keeps statistics of its own, which outlive its peers, as the kernel's does.
    pub fn with_statistics() -> Self {
        let reading = Reading::default();
        Self { statistics: Some(Statistics { instance: 0, reading }), ..Self::default() }
    }

    pub fn keeps_statistics(&self) -> bool {
        self.statistics.is_some()
    }

    /// A peer moves something, if it is there.
    pub fn move_bytes(&mut self, key: WireGuardPublicKey, class: Class, moved: Reading) {
        let Some((_, reading)) = self.peers.get_mut(&key) else { return };
        *reading = plus(*reading, moved);
        if let Some(statistics) = &mut self.statistics {
            statistics.reading = plus(statistics.reading, moved);
        }
        let mut bytes = moved.received + moved.sent;
        if self.strangers.contains(&key) {
            self.moved_by_strangers += bytes;
            // What is sent and no peer of ours has may be a cookie, and does not count.
            self.excused += moved.sent;
            bytes = moved.received;
        } else {
            *self.moved.entry(class).or_default() += bytes;
        }
        *self.unread.entry(key).or_default() += bytes;
        *self.unread_sent.entry(key).or_default() += moved.sent;
        if self.anew.contains(&key) {
            self.excuse_sent(key);
        }
    }

    /// Counters that were begun anew and have come as far as before look as if nobody had touched them. What is missing then and was
    /// sent may be a cookie, as far as the statistics tell, and does not count.
    fn excuse_sent(&mut self, key: WireGuardPublicKey) {
        self.excused += self.unread_sent.remove(&key).unwrap_or_default();
        self.anew.insert(key);
    }

    /// Somebody adds a peer whom nobody wants.
    pub fn add_stranger(&mut self, key: WireGuardPublicKey) {
        self.strangers.insert(key);
        self.counts_from_its_first_reading(key);
    }

    /// Somebody adds a peer whom the agent has never seen.
    pub fn counts_from_its_first_reading(&mut self, key: WireGuardPublicKey) {
        self.reset.insert(key);
    }

    /// Somebody changes a peer's counters: what they said and nobody has read is lost, unless the statistics tell.
    pub fn by_hand(&mut self, key: WireGuardPublicKey, change: impl FnOnce(&mut Self)) {
        if self.there {
            if self.statistics.is_some() && self.watched && !self.reset.contains(&key) {
                self.departed += self.unread.remove(&key).unwrap_or_default();
                self.excuse_sent(key);
                self.heard = 0;
            } else {
                self.reset.insert(key);
            }
            change(self);
        }
    }

    fn call(&mut self, change: impl FnOnce(&mut Self)) -> Result<(), WireGuardError> {
        let killed = WireGuardError::Gone { name: "killed".into() };
        if fault::is_over() {
            return Err(killed);
        }
        let last = match &mut self.kill {
            Some((0, carried_out)) => Some(*carried_out),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        if last.is_some() {
            fault::end();
        }
        if last != Some(false) {
            change(self);
        }
        if last.is_some() { Err(killed) } else { Ok(()) }
    }

    /// A call that needs the interface.
    fn call_there(&mut self, change: impl FnOnce(&mut Self)) -> Result<(), WireGuardError> {
        if !self.there {
            return Err(WireGuardError::Gone { name: "deleted".into() });
        }
        self.call(change)
    }

    /// A new agent reads from here on.
    pub fn begin(&mut self) {
        self.kill = None;
        self.heard = 0;
    }

    pub fn vanish(&mut self) {
        // The statistics go with it.
        self.excused += std::mem::take(&mut self.departed);
        self.reset.extend(self.peers.keys().chain(self.unread.keys()));
        self.peers.clear();
        (self.there, self.watched) = (false, false);
    }

    /// The machine has started anew: it numbers its links from the beginning.
    pub fn reboot(&mut self) {
        self.vanish();
        if let Some(statistics) = &mut self.statistics {
            statistics.instance = 0;
        }
    }

    fn make(&mut self) {
        if let (false, Some(statistics)) = (self.there, &mut self.statistics) {
            *statistics = Statistics { instance: statistics.instance + 1, reading: Reading::default() };
        }
        self.there = true;
    }

    /// All that moved until now was read and is durable, but for whom the last dump lacked.
    pub fn read(&mut self) {
        self.watched = true;
        self.heard = if self.missed.is_empty() { self.heard.saturating_add(1) } else { 0 };
        if self.heard > 2 {
            self.departed = 0;
        }
        for peer in self.unread.keys().copied().collect::<Vec<_>>() {
            if !self.missed.contains(&peer) {
                let bytes = self.unread.remove(&peer).unwrap_or_default();
                self.unread_sent.remove(&peer);
                // Of counters that look as if nobody had touched them, the statistics tell what is missing.
                self.departed += if self.anew.contains(&peer) { bytes } else { 0 };
                self.excused += if self.reset.remove(&peer) { bytes } else { 0 };
            }
        }
        self.anew.retain(|peer| self.missed.contains(peer));
    }

    pub fn all_moved(&self) -> u64 {
        self.moved.values().sum::<u64>() + self.moved_by_strangers
    }
}

/// What the keeper has of it.
pub struct Simulated(pub Arc<Mutex<Wire>>);

impl Simulated {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap()
    }
}

impl Interface for Simulated {
    fn kind(&self) -> Backend {
        Backend::WireGuardGo
    }

    fn ensure_interface(&mut self, _: &InterfaceSettings) -> Result<Ensured, WireGuardError> {
        let mut wire = self.wire();
        let ensured = if wire.there { Ensured::Adopted } else { Ensured::Created };
        wire.call(Wire::make).map(|()| ensured)
    }

    fn peers(&mut self) -> Result<Vec<LivePeer>, WireGuardError> {
        let mut wire = self.wire();
        wire.call_there(|_| {})?;
        let hidden = std::mem::take(&mut wire.hidden);
        // Of absence in two dumps the keeper may make something; in one never.
        let torn_before = wire.statistics.is_some() && !wire.missed.is_empty();
        wire.missed = if torn_before { BTreeSet::new() } else { hidden };
        wire.dumped = true;
        let live = wire.peers.iter().filter(|(key, _)| !wire.missed.contains(key));
        let live = live.map(|(key, (allowed_ips, reading))| LivePeer {
            public_key: *key,
            allowed_ips: allowed_ips.clone(),
            reading: *reading,
        });
        Ok(live.collect())
    }

    fn statistics(&mut self) -> Result<Option<Statistics>, WireGuardError> {
        let mut wire = self.wire();
        wire.call_there(|_| {})?;
        Ok(wire.statistics)
    }

    fn set_peer(&mut self, peer: &WireGuardPublicKey, allowed_ips: &[IpNet]) -> Result<(), WireGuardError> {
        self.wire().call_there(|wire| wire.peers.entry(*peer).or_default().0 = allowed_ips.to_vec())
    }

    /// In the kernel's way: by a flag, not by a reading.
    fn update_peers(&mut self, peers: &[Routed<'_>]) -> Result<(), WireGuardError> {
        peers.iter().try_for_each(|(peer, allowed_ips)| {
            self.wire().call_there(|wire| {
                if let Some(live) = wire.peers.get_mut(peer) {
                    live.0 = allowed_ips.to_vec();
                }
            })
        })
    }

    fn remove_peer(&mut self, peer: &WireGuardPublicKey) -> Result<(), WireGuardError> {
        self.wire().call_there(|wire| drop(wire.peers.remove(peer)))
    }
}
