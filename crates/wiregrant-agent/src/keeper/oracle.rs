//! Random lives of a node, judged by an oracle that knows every byte that ever moved.
//!
//! Whatever happens, the totals never exceed the truth, by class, and no sequence number gets a second text. Where no
//! counter was reset between two readings and no state was lost, they equal it. Where one was, at most that peer's bytes
//! of that one interval are missing.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use ipnet::IpNet;
use proptest::prelude::*;
use wiregrant_core::api::{Desired, ProblemKind};
use wiregrant_core::counter::Reading;
use wiregrant_core::note::Salt;

use super::tests::{at, key, membership, peer, report_of};
use super::*;
use crate::enrolment::tests::{enrolled, joined};
use crate::journal::fault;
use crate::sender::tests::TestCourier;
use crate::sender::{Delivery, deliver};
use crate::wireguard::WireGuardError;

/// Peers of these numbers are wanted at times; the others are somebody else's.
const OURS: u8 = 4;
const ALL: u8 = 6;

/// The interface in truth.
#[derive(Default)]
struct Wire {
    there: bool,
    peers: BTreeMap<WireGuardPublicKey, (Vec<IpNet>, Reading)>,
    moved: BTreeMap<Class, u64>,
    /// What moved of peers that somebody added and nobody wanted: in which class, nobody can say.
    moved_by_strangers: u64,
    strangers: BTreeSet<WireGuardPublicKey>,
    /// What each peer moved since its last durable reading.
    unread: BTreeMap<WireGuardPublicKey, u64>,
    /// Whose counter was reset since.
    reset: BTreeSet<WireGuardPublicKey>,
    /// Bytes that the count may lack.
    excused: u64,
    /// The next dump lacks these.
    hidden: BTreeSet<WireGuardPublicKey>,
    /// The last dump lacked these.
    missed: BTreeSet<WireGuardPublicKey>,
    /// A dump was given since the turn began.
    dumped: bool,
    /// The call at which the agent is killed, counted down; and whether the call is still carried out.
    kill: Option<(u32, bool)>,
}

impl Wire {
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

    fn vanish(&mut self) {
        self.reset.extend(self.peers.keys());
        self.peers.clear();
        self.there = false;
    }

    /// All that moved until now was read and is durable, but for whom the last dump lacked.
    fn read(&mut self) {
        for peer in self.unread.keys().copied().collect::<Vec<_>>() {
            if !self.missed.contains(&peer) {
                let bytes = self.unread.remove(&peer).unwrap_or_default();
                self.excused += if self.reset.remove(&peer) { bytes } else { 0 };
            }
        }
    }

    fn all_moved(&self) -> u64 {
        self.moved.values().sum::<u64>() + self.moved_by_strangers
    }
}

struct Simulated(Arc<Mutex<Wire>>);

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
        wire.call(|wire| wire.there = true).map(|()| ensured)
    }

    fn peers(&mut self) -> Result<Vec<LivePeer>, WireGuardError> {
        let mut wire = self.wire();
        wire.call_there(|_| {})?;
        wire.missed = std::mem::take(&mut wire.hidden);
        wire.dumped = true;
        let live = wire.peers.iter().filter(|(key, _)| !wire.missed.contains(key));
        let live = live.map(|(key, (allowed_ips, reading))| LivePeer {
            public_key: *key,
            allowed_ips: allowed_ips.clone(),
            reading: *reading,
        });
        Ok(live.collect())
    }

    fn set_peer(&mut self, peer: &WireGuardPublicKey, allowed_ips: &[IpNet]) -> Result<(), WireGuardError> {
        self.wire().call_there(|wire| wire.peers.entry(*peer).or_default().0 = allowed_ips.to_vec())
    }

    /// In the kernel's way: by a flag, not by a reading.
    fn update_peers(&mut self, peers: &[(WireGuardPublicKey, Vec<IpNet>)]) -> Result<(), WireGuardError> {
        peers.iter().try_for_each(|(peer, allowed_ips)| {
            self.wire().call_there(|wire| {
                if let Some(live) = wire.peers.get_mut(peer) {
                    live.0.clone_from(allowed_ips);
                }
            })
        })
    }

    fn remove_peer(&mut self, peer: &WireGuardPublicKey) -> Result<(), WireGuardError> {
        self.wire().call_there(|wire| drop(wire.peers.remove(peer)))
    }
}

/// One thing that happens to a node.
#[derive(Debug, Clone)]
enum Event {
    Traffic {
        peer: u8,
        received: u32,
        sent: u32,
    },
    /// The control plane wants other peers.
    Want(Vec<u8>),
    Sample,
    Cut,
    Deliver {
        loses_answer: bool,
        refusal: bool,
    },
    Kill,
    /// `kill -9` at the n-th call of the interface from now, before or after it took effect.
    KillAtCall {
        call: u32,
        carried_out: bool,
    },
    /// `kill -9` at the n-th step of the journal from now, part of it done.
    KillAtStep {
        step: u32,
        part: u8,
    },
    /// `kill -9` now, and again at a step of the start that follows.
    KillInStart {
        step: u32,
        part: u8,
    },
    /// The disk takes nothing for so many steps.
    DiskFull(u32),
    /// A dump that lacks peers who are there.
    TornDump(Vec<u8>),
    /// Somebody loads the same configuration again: all counters begin at zero.
    ResetByHand(u8),
    RemoveByHand(u8),
    AddByHand(u8),
    /// The interface is deleted; the agent makes it anew.
    DeleteByHand,
    Reboot,
    /// A copy of the state directory is kept, or put in the place of the present one.
    Backup,
    Restore,
    /// The disk spoils a bit of the journal, or its end, while no agent runs.
    Spoil {
        position: u16,
        bit: u8,
    },
    Truncate(u16),
}

fn harmless() -> impl Strategy<Value = Event> {
    let peers = || proptest::sample::subsequence((0..OURS).collect::<Vec<_>>(), 0..=usize::from(OURS));
    prop_oneof![
        8 => (0..ALL, any::<u32>(), any::<u32>())
            .prop_map(|(peer, received, sent)| Event::Traffic { peer, received, sent }),
        4 => peers().prop_map(Event::Want),
        4 => Just(Event::Sample),
        2 => Just(Event::Cut),
        3 => (any::<bool>(), proptest::bool::weighted(0.2))
            .prop_map(|(loses_answer, refusal)| Event::Deliver { loses_answer, refusal }),
        1 => Just(Event::Kill),
        3 => (0..12u32, any::<bool>()).prop_map(|(call, carried_out)| Event::KillAtCall { call, carried_out }),
        3 => (0..16u32, any::<u8>()).prop_map(|(step, part)| Event::KillAtStep { step, part }),
        1 => (0..12u32, any::<u8>()).prop_map(|(step, part)| Event::KillInStart { step, part }),
        1 => (1..20u32).prop_map(Event::DiskFull),
        1 => peers().prop_map(Event::TornDump),
    ]
}

fn resetting() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => harmless(),
        1 => (0..ALL).prop_map(Event::ResetByHand),
        1 => (0..ALL).prop_map(Event::RemoveByHand),
        1 => (0..ALL).prop_map(Event::AddByHand),
        1 => Just(Event::DeleteByHand),
        1 => Just(Event::Reboot),
    ]
}

fn destroying() -> impl Strategy<Value = Event> {
    prop_oneof![
        16 => resetting(),
        1 => Just(Event::Backup),
        1 => Just(Event::Restore),
        1 => (any::<u16>(), 0..8u8).prop_map(|(position, bit)| Event::Spoil { position, bit }),
        1 => any::<u16>().prop_map(Event::Truncate),
    ]
}

/// A node with its whole world.
struct Life {
    folder: tempfile::TempDir,
    wire: Arc<Mutex<Wire>>,
    /// `None` while no agent runs.
    keeper: Option<Mutex<Keeper>>,
    courier: TestCourier,
    seconds: u64,
    revision: u64,
    boots: u32,
    wanted: Vec<u8>,
    /// The same, where the node is sure to know it.
    taken: Vec<u8>,
    /// Whether a state was lost: then nobody can say how much is missing, or in which class a rest is counted.
    lost_state: Cell<bool>,
}

impl Life {
    fn begin() -> Self {
        fault::clear();
        // In memory where there is such a place: thousands of lives sync hundreds of times each.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut life = Self {
            folder,
            wire: Arc::default(),
            keeper: None,
            courier: TestCourier::default(),
            seconds: 2_000,
            revision: 0,
            boots: 0,
            wanted: Vec::new(),
            taken: Vec::new(),
            lost_state: Cell::new(false),
        };
        life.start();
        life
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap()
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn started(&self) -> anyhow::Result<Keeper> {
        let interface = Box::new(Simulated(Arc::clone(&self.wire)));
        let boot = format!("boot {}", self.boots);
        Keeper::start(
            StateDir::new(self.folder.path()),
            enrolled(joined())?,
            interface,
            &boot,
            Arc::new(Config { sample_seconds: 10, ..Config::default() }),
        )
    }

    /// A new agent, which nobody kills while it starts.
    fn start(&mut self) {
        fault::clear();
        self.wire().kill = None;
        self.keeper = Some(Mutex::new(self.started().expect("a node always starts")));
    }

    fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.as_ref().expect("it runs").lock().unwrap()
    }

    fn traffic(&self, n: u8, received: u32, sent: u32) {
        let mut wire = self.wire();
        let Some((_, reading)) = wire.peers.get_mut(&key(n)) else { return };
        reading.received += u64::from(received);
        reading.sent += u64::from(sent);
        let bytes = u64::from(received) + u64::from(sent);
        if wire.strangers.contains(&key(n)) {
            wire.moved_by_strangers += bytes;
        } else {
            *wire.moved.entry(peer(n).class).or_default() += bytes;
        }
        *wire.unread.entry(key(n)).or_default() += bytes;
    }

    fn want(&mut self, peers: Vec<u8>) -> anyhow::Result<()> {
        self.wanted = peers;
        self.revision += 1;
        let desired = Desired {
            revision: self.revision,
            peers: Some(self.wanted.iter().map(|n| peer(*n)).collect()),
            changes: None,
            membership: Some(membership()),
            time: at(self.seconds).wall,
            frozen: false,
        };
        self.taken.clear();
        self.keeper().receive(desired, at(self.seconds))?;
        self.taken.clone_from(&self.wanted);
        self.wire().strangers.retain(|stranger| !self.taken.iter().any(|n| key(*n) == *stranger));
        Ok(())
    }

    fn deliver(&self) -> anyhow::Result<Delivery> {
        let keeper = self.keeper.as_ref().expect("it runs");
        deliver(keeper, &self.courier, || at(self.seconds), Salt([7; 16]))
    }

    /// Whoever changes counters by hand.
    fn by_hand(&self, n: u8, change: impl FnOnce(&mut Wire, WireGuardPublicKey)) {
        let mut wire = self.wire();
        if wire.there {
            wire.reset.insert(key(n));
            change(&mut wire, key(n));
        }
    }

    fn restart_with(&mut self, change: impl FnOnce(&Self)) {
        self.keeper = None;
        change(self);
        self.start();
    }

    fn happen(&mut self, event: Event) -> anyhow::Result<()> {
        let now = at(self.seconds);
        match event {
            Event::Traffic { peer, received, sent } => self.traffic(peer, received, sent),
            Event::Want(peers) => return self.turn(|life| life.want(peers)),
            Event::Sample => return self.turn(|life| life.keeper().converge(now)),
            Event::Cut => return self.turn(|life| life.keeper().cut(now)),
            Event::Deliver { loses_answer, refusal } => {
                self.courier.loses_answer.set(loses_answer);
                self.courier.refusal.set(refusal.then_some(ProblemKind::Busy));
                let _ = self.deliver();
                self.courier.refusal.set(None);
                self.courier.loses_answer.set(false);
            }
            Event::Kill => self.restart_with(|_| ()),
            Event::KillAtCall { call, carried_out } => self.wire().kill = Some((call, carried_out)),
            Event::KillAtStep { step, part } => fault::after(step, part),
            Event::KillInStart { step, part } => self.restart_with(|life| {
                fault::clear();
                fault::after(step, part);
                drop(life.started());
            }),
            Event::DiskFull(steps) => fault::refuse(steps),
            Event::TornDump(peers) => self.wire().hidden = peers.into_iter().map(key).collect(),
            Event::ResetByHand(n) => self.by_hand(n, |wire, key| {
                wire.peers.entry(key).and_modify(|live| live.1 = Reading::default());
            }),
            Event::RemoveByHand(n) => self.by_hand(n, |wire, key| drop(wire.peers.remove(&key))),
            Event::AddByHand(n) => {
                let wanted = self.taken.contains(&n);
                self.by_hand(n, |wire, key| {
                    wire.peers.entry(key).or_default();
                    if !wanted {
                        wire.strangers.insert(key);
                    }
                });
            }
            Event::DeleteByHand => self.wire().vanish(),
            Event::Reboot => {
                self.wire().vanish();
                self.boots += 1;
                self.restart_with(|_| ());
            }
            Event::Backup => self.copy("", "backup-"),
            Event::Restore => self.restart_with(|life| {
                life.lost_state.set(true);
                life.copy("backup-", "");
            }),
            Event::Spoil { position, bit } => self.spoil(|bytes| {
                let position = usize::from(position) % bytes.len();
                bytes[position] ^= 1 << bit;
            }),
            Event::Truncate(cut) => self.spoil(|bytes| bytes.truncate(usize::from(cut) % bytes.len())),
        }
        Ok(())
    }

    /// What the agent does at regular times; what moved until its success is read.
    fn turn(&mut self, turn: impl FnOnce(&mut Self) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.wire().dumped = false;
        turn(self)?;
        // Devices that are new are added without a reading.
        if self.wire().dumped && self.keeper().ledger.behind().is_none() {
            self.wire().read();
        }
        Ok(())
    }

    fn copy(&self, from: &str, to: &str) {
        for name in ["journal", "wanted"] {
            let of = |prefix: &str| self.folder.path().join(format!("{prefix}{name}"));
            if let Ok(bytes) = std::fs::read(of(from)) {
                std::fs::write(of(to), bytes).unwrap();
            }
        }
    }

    fn spoil(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        self.restart_with(|life| {
            life.lost_state.set(true);
            let mut bytes = std::fs::read(life.journal()).unwrap();
            change(&mut bytes);
            std::fs::write(life.journal(), bytes).unwrap();
        });
    }

    fn counted(&self) -> BTreeMap<Class, u64> {
        let mut counted = BTreeMap::new();
        for ((_, class), usage) in self.keeper().ledger.state().meter.totals() {
            *counted.entry(*class).or_default() += usage.creditable.get();
        }
        counted
    }

    /// The law that holds at every instant.
    fn nothing_is_invented(&self) {
        let (counted, wire) = (self.counted(), self.wire());
        let all: u64 = counted.values().sum();
        assert!(all <= wire.all_moved(), "counted {all}, moved {}", wire.all_moved());
        if !self.lost_state.get() {
            for (class, bytes) in &counted {
                let moved = wire.moved.get(class).copied().unwrap_or_default() + wire.moved_by_strangers;
                assert!(*bytes <= moved, "{class}: counted {bytes}, moved {moved}");
            }
        }
        if let Some(note) = self.courier.accepted.borrow().last() {
            let reported: u64 = report_of(note).usage.values().map(|usage| usage.creditable.get()).sum();
            assert!(reported <= wire.all_moved(), "reported {reported}, moved {}", wire.all_moved());
        }
    }
}

/// Lives through `events`, then through quiet times in which everything is read and delivered.
fn live(events: Vec<Event>) {
    let mut life = Life::begin();
    for event in events {
        life.seconds += 7;
        // An agent that lives on after an error tries again the next time.
        let _ = life.happen(event);
        if fault::is_over() {
            life.start();
        }
        life.nothing_is_invented();
    }
    life.start();
    life.seconds += 7;
    let wanted = life.wanted.clone();
    let now = at(life.seconds);
    let want_and_read = |life: &mut Life| life.want(wanted).and_then(|()| life.keeper().converge(now));
    life.turn(want_and_read).unwrap();
    // Twice: a state that was lost is replaced by the head, and counts from there.
    for _ in 0..2 {
        life.keeper().cut(now).unwrap();
        while life.deliver().unwrap() != Delivery::Idle {}
    }
    life.nothing_is_invented();
    let counted: u64 = life.counted().values().sum();
    let excused = life.wire().excused;
    let moved = life.wire().all_moved();
    if !life.lost_state.get() {
        assert!(counted + excused >= moved, "counted {counted} of {moved}, {excused} may be missing");
    }
    let last = life.courier.accepted.borrow().last().cloned().expect("a cut was made");
    let reported: u64 = report_of(&last).usage.values().map(|usage| usage.creditable.get()).sum();
    assert_eq!(reported, counted, "everything is reported");
}

/// How many lives: enough to see that it holds, or as many as the environment says.
fn lives() -> ProptestConfig {
    let cases =
        std::env::var("WIREGRANT_LIVES").map_or(700, |n| n.parse().expect("WIREGRANT_LIVES is a number"));
    ProptestConfig { cases, max_shrink_iters: 4_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(lives())]

    #[test]
    fn through_kills_at_any_step_and_a_full_disk_every_byte_counts_once(
        events in proptest::collection::vec(harmless(), 0..50),
    ) {
        live(events);
    }

    #[test]
    fn a_reset_counter_costs_at_most_one_interval_and_invents_nothing(
        events in proptest::collection::vec(resetting(), 0..50),
    ) {
        live(events);
    }

    #[test]
    fn a_lost_state_invents_nothing_and_forks_no_chain(
        events in proptest::collection::vec(destroying(), 0..50),
    ) {
        live(events);
    }
}
