//! Random lives of a node, judged by an oracle that knows every byte that ever moved.
//!
//! Whatever happens, the totals never exceed the truth, by class, and no sequence number gets a second text. Where no
//! counter was reset between two readings and no state was lost, they equal it. Where one was, at most that peer's bytes
//! of that one interval are missing, and none where the interface keeps statistics that outlive its peers.

mod event;
mod wire;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use proptest::prelude::*;
use wiregrant_core::api::{Desired, ProblemKind};
use wiregrant_core::counter::Reading;
use wiregrant_core::note::Salt;

use self::event::{Event, destroying, harmless, resetting, survivable};
use self::wire::{Simulated, Wire};
use super::tests::{at, key, membership, peer, report_of};
use super::*;
use crate::enrolment::tests::{enrolled, joined};
use crate::journal::fault;
use crate::sender::tests::TestCourier;
use crate::sender::{Delivery, deliver};

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
    fn begin(wire: Wire) -> Self {
        fault::clear();
        // In memory where there is such a place: thousands of lives sync hundreds of times each.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut life = Self {
            folder,
            wire: Arc::new(Mutex::new(wire)),
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
        self.wire().begin();
        self.keeper = Some(Mutex::new(self.started().expect("a node always starts")));
    }

    fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.as_ref().expect("it runs").lock().unwrap()
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

    fn restart_with(&mut self, change: impl FnOnce(&Self)) {
        self.keeper = None;
        change(self);
        self.start();
    }

    fn happen(&mut self, event: Event) -> anyhow::Result<()> {
        let now = at(self.seconds);
        match event {
            Event::Traffic { peer: n, received, sent } => {
                let moved = Reading { received: received.into(), sent: sent.into() };
                self.wire().move_bytes(key(n), peer(n).class, moved);
            }
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
            Event::ResetByHand(n) => self.wire().by_hand(key(n), |wire| {
                wire.peers.entry(key(n)).and_modify(|live| live.1 = Reading::default());
            }),
            Event::RemoveByHand(n) => self.wire().by_hand(key(n), |wire| drop(wire.peers.remove(&key(n)))),
            Event::AddByHand(n) => {
                let (wanted, there) = (self.taken.contains(&n), self.wire().peers.contains_key(&key(n)));
                // Wanted, and not yet added by the agent, where it was killed in between.
                let known = self.keeper().ledger.state().meter.knows(&key(n));
                let add = |wire: &mut Wire| {
                    wire.peers.insert(key(n), Default::default());
                    if !wanted {
                        wire.add_stranger(key(n));
                    } else if !known {
                        wire.counts_from_its_first_reading(key(n));
                    }
                };
                if !there {
                    self.wire().by_hand(key(n), add);
                }
            }
            Event::DeleteByHand => self.wire().vanish(),
            Event::Reboot => {
                self.wire().reboot();
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
            *counted.entry(*class).or_default() += usage.received.get() + usage.sent.get();
        }
        counted
    }

    /// The law that holds at every instant.
    fn nothing_is_invented(&self) {
        let (counted, wire) = (self.counted(), self.wire());
        let all: u64 = counted.values().sum();
        assert!(all <= wire.all_moved(), "counted {all}, moved {}", wire.all_moved());
        if !self.lost_state.get() {
            // What is recovered from statistics counts as invited, whosever it was.
            let certain = |class: &Class| !wire.keeps_statistics() || *class == Class::Assigned;
            for (class, bytes) in counted.iter().filter(|(class, _)| certain(class)) {
                let moved = wire.moved.get(class).copied().unwrap_or_default() + wire.moved_by_strangers;
                assert!(*bytes <= moved, "{class}: counted {bytes}, moved {moved}");
            }
        }
        if let Some(note) = self.courier.accepted.borrow().last() {
            let reported: u64 =
                report_of(note).usage.values().map(|usage| usage.received.get() + usage.sent.get()).sum();
            assert!(reported <= wire.all_moved(), "reported {reported}, moved {}", wire.all_moved());
        }
    }
}

/// Lives through `events` with this interface, then through quiet times in which everything is read and delivered. Gives how many
/// bytes are missing.
fn live(wire: Wire, events: Vec<Event>) -> u64 {
    let mut life = Life::begin(wire);
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
    // Twice more: absence in one dump says nothing, nor does what the statistics show once.
    for _ in 0..2 {
        life.turn(|life| life.keeper().converge(now)).unwrap();
    }
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
    let reported: u64 =
        report_of(&last).usage.values().map(|usage| usage.received.get() + usage.sent.get()).sum();
    assert_eq!(reported, counted, "everything is reported");
    moved - counted
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
        live(Wire::default(), events);
    }

    #[test]
    fn a_reset_counter_costs_at_most_one_interval_and_invents_nothing(
        events in proptest::collection::vec(resetting(), 0..50),
    ) {
        live(Wire::default(), events);
    }

    #[test]
    fn a_lost_state_invents_nothing_and_forks_no_chain(
        events in proptest::collection::vec(destroying(), 0..50),
        statistics: bool,
    ) {
        live(if statistics { Wire::with_statistics() } else { Wire::default() }, events);
    }

    #[test]
    fn an_interface_that_keeps_statistics_loses_no_byte_to_removals_by_hand_resets_and_kills(
        events in proptest::collection::vec(survivable(), 0..50),
    ) {
        prop_assert_eq!(live(Wire::with_statistics(), events), 0);
    }

    #[test]
    fn statistics_invent_nothing_where_interfaces_and_strangers_come_and_go(
        events in proptest::collection::vec(resetting(), 0..50),
    ) {
        live(Wire::with_statistics(), events);
    }
}

#[test]
fn a_removal_that_is_killed_at_any_call_is_finished_before_the_peer_may_come_back() {
    for (call, carried_out) in (0..12).flat_map(|call| [(call, false), (call, true)]) {
        let events = || {
            vec![
                Event::Want(vec![0]),
                Event::Traffic { peer: 0, received: 10, sent: 10 },
                Event::KillAtCall { call, carried_out },
                Event::Want(vec![]),
                Event::Kill,
                Event::Want(vec![0]),
                // More than before: only a finished removal tells that these count from zero.
                Event::Traffic { peer: 0, received: 1_000, sent: 1_000 },
                Event::Sample,
            ]
        };
        for wire in [Wire::default(), Wire::with_statistics()] {
            assert_eq!(live(wire, events()), 0, "killed at call {call}, carried out: {carried_out}");
        }
    }
}

#[test]
fn a_removal_by_hand_costs_what_was_unread_and_nothing_of_what_moves_after_it() {
    for vanishes in [Event::RemoveByHand(0), Event::DeleteByHand] {
        let events = vec![
            Event::Want(vec![0]),
            Event::Traffic { peer: 0, received: 1, sent: 0 },
            Event::Sample,
            Event::Traffic { peer: 0, received: 10, sent: 0 },
            vanishes,
            Event::Sample,
            // More than before: only a reading in between tells that these count from zero.
            Event::Traffic { peer: 0, received: 100, sent: 0 },
            Event::Sample,
        ];
        assert_eq!(live(Wire::default(), events), 10);
    }
}
