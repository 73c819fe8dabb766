//! The account against an interface that knows what truly moved.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use wiregrant_core::usage_report::{Class, Service};
use wiregrant_core::{Timestamp, WireGuardPublicKey};

use super::*;
use crate::ledger::{Record, State};
use crate::meter::{Sample, SampledPeer};

fn reading(received: u64, sent: u64) -> Reading {
    Reading { received, sent }
}

fn span(before: Reading, after: Reading) -> Span {
    Span { instance: 3, before, after, fresh: false, missing: false, torn: false }
}

/// Bytes that pass quickly between two looks.
type Burst = (u8, u32, u32);

/// One thing that happens to an interface.
#[derive(Debug, Clone)]
enum Event {
    Traffic(Burst),
    /// A packet to a peer that was dropped on its way out: in the peer's counter only.
    Dropped(u8, u16),
    /// Answers to strangers under load: in the interface's statistics only.
    Cookies(u16),
    /// Somebody else removes a peer.
    Removed(u8),
    /// The agent adds a peer that is not there.
    Added(u8),
    /// The agent reads, and traffic passes before and after the peers were read.
    Read(Option<Burst>, Option<Burst>),
}

fn burst() -> impl Strategy<Value = Burst> {
    (0..3u8, 1..u32::MAX, any::<u32>())
}

/// Without what only a peer or only the interface's statistics count.
fn seen_alike_by_all() -> impl Strategy<Value = Event> {
    let by_one = |event: &Event| matches!(event, Event::Dropped(..) | Event::Cookies(_));
    event().prop_filter("counted by both", move |event| !by_one(event))
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => burst().prop_map(Event::Traffic),
        1 => (0..3u8, any::<u16>()).prop_map(|(peer, bytes)| Event::Dropped(peer, bytes)),
        1 => any::<u16>().prop_map(Event::Cookies),
        2 => (0..3u8).prop_map(Event::Removed),
        2 => (0..3u8).prop_map(Event::Added),
        4 => (proptest::option::of(burst()), proptest::option::of(burst())).prop_map(|(a, b)| Event::Read(a, b)),
    ]
}

#[derive(Default)]
struct World {
    peers: BTreeMap<u8, Reading>,
    statistics: Reading,
    truth: Reading,
    cookies: u64,
    /// What an agent knows of it.
    state: State,
    /// Who was not there at the last reading, and was not added since.
    missing: BTreeSet<WireGuardPublicKey>,
}

impl World {
    fn pass(&mut self, (peer, received, sent): Burst) {
        let moved = reading(received.into(), sent.into());
        if let Some(counters) = self.peers.get_mut(&peer) {
            *counters = plus(*counters, moved);
            self.statistics = plus(self.statistics, moved);
            self.truth = plus(self.truth, moved);
        }
    }

    fn read(&mut self, first: Option<Burst>, then: Option<Burst>) {
        let before = self.statistics;
        first.into_iter().for_each(|burst| self.pass(burst));
        let peers: Vec<_> = self
            .peers
            .iter()
            .map(|(n, reading)| SampledPeer {
                peer: key(*n),
                service: Service::WireGuard,
                class: Class::Assigned,
                reading: *reading,
            })
            .collect();
        then.into_iter().for_each(|burst| self.pass(burst));
        let mut absent = self.state.meter.known();
        absent.retain(|known| !peers.iter().any(|p| p.peer == *known));
        let torn = !absent.is_subset(&self.missing);
        let missing = !absent.is_empty() && !torn;
        let gone: Vec<_> =
            if missing { std::mem::take(&mut absent).into_iter().collect() } else { Vec::new() };
        self.missing = absent;
        let statistics = Some(Span { missing, torn, ..span(before, self.statistics) });
        let time = Some(Timestamp::from_unix_seconds(0).unwrap());
        self.state.apply(Record::Sample(Sample { time, epoch: None, peer_cap: None, peers, statistics }));
        if missing {
            self.state.apply(Record::Removed { peers: gone });
        }
    }

    fn live(&mut self, event: Event) {
        match event {
            Event::Traffic(burst) => self.pass(burst),
            Event::Dropped(peer, bytes) => {
                if let Some(counters) = self.peers.get_mut(&peer) {
                    counters.sent += u64::from(bytes);
                    self.truth.sent += u64::from(bytes);
                }
            }
            Event::Cookies(bytes) => {
                self.statistics.sent += u64::from(bytes);
                self.cookies += u64::from(bytes);
            }
            Event::Removed(peer) => {
                self.peers.remove(&peer);
            }
            Event::Added(peer) => {
                if let Entry::Vacant(place) = self.peers.entry(peer) {
                    place.insert(Reading::default());
                    self.missing.remove(&key(peer));
                    self.state.apply(Record::Added { peers: vec![key(peer)] });
                }
            }
            Event::Read(first, then) => self.read(first, then),
        }
    }

    fn counted(&self) -> Reading {
        self.state
            .meter
            .totals()
            .values()
            .fold(Reading::default(), |sum, usage| plus(sum, reading(usage.received.get(), usage.sent.get())))
    }
}

fn key(n: u8) -> WireGuardPublicKey {
    [n + 1; 32].into()
}

proptest! {
    #[test]
    fn nothing_is_recovered_that_no_peer_has_moved(history in proptest::collection::vec(event(), 0..60)) {
        let mut world = World::default();
        world.read(None, None);
        for event in history {
            world.live(event);
            let (counted, truth) = (world.counted(), world.truth);
            prop_assert!(counted.received <= truth.received, "{:?} of {:?}", counted, truth);
            prop_assert!(counted.sent <= truth.sent + world.cookies, "{:?} of {:?}", counted, truth);
        }
    }

    #[test]
    fn while_no_peer_goes_cookies_count_nothing(history in proptest::collection::vec(event(), 0..60)) {
        let mut world = World::default();
        world.read(None, None);
        for event in history.into_iter().filter(|event| !matches!(event, Event::Removed(_))) {
            world.live(event);
            prop_assert!(world.counted().sent <= world.truth.sent);
            prop_assert_eq!(world.state.conservation.recovered(), Reading::default());
        }
    }

    #[test]
    fn what_a_peer_takes_with_it_is_recovered_or_shown_to_the_byte(
        history in proptest::collection::vec(seen_alike_by_all(), 0..60),
    ) {
        let mut world = World::default();
        world.read(None, None);
        history.into_iter().for_each(|event| world.live(event));
        // What passed during a reading may hide a gap until a quiet one, and absence in one says nothing.
        world.read(None, None);
        world.read(None, None);
        world.read(None, None);
        let shown = plus(world.counted(), reading(0, world.state.conservation.unattributed()));
        prop_assert_eq!(shown, world.truth);
    }

    #[test]
    fn between_quiet_readings_it_is_all_recovered(
        history in proptest::collection::vec(seen_alike_by_all(), 0..60),
    ) {
        let mut world = World::default();
        // Twice for who is absent, and once more for what nobody misses.
        let last = [Event::Read(None, None), Event::Read(None, None), Event::Read(None, None)];
        for event in [Event::Read(None, None)].into_iter().chain(history).chain(last) {
            world.live(match event {
                Event::Read(..) => Event::Read(None, None),
                other => other,
            });
        }
        prop_assert_eq!(world.counted(), world.truth);
    }
}

#[test]
fn bytes_after_the_last_reading_of_a_removed_peer_count_once() {
    let mut account = Conservation::default();
    account.account(Some(&span(reading(0, 0), reading(0, 0))), Reading::default());
    account.departed();
    let grown = span(reading(100, 60), reading(100, 60));
    // What one reading shows may be of somebody whom it lacks.
    assert_eq!(account.account(Some(&grown), reading(90, 50)), Reading::default());
    assert!(account.is_news(&grown));
    assert_eq!(account.account(Some(&grown), Reading::default()), reading(10, 10));
    assert_eq!(account.account(Some(&grown), Reading::default()), Reading::default());
    assert_eq!((account.recovered(), account.is_news(&grown)), (reading(10, 10), false));
}

#[test]
fn an_interface_that_was_not_watched_from_its_beginning_is_accounted_for_as_it_is_found() {
    let mut account = Conservation::default();
    let found = span(reading(1_000, 1_000), reading(1_100, 1_000));
    assert_eq!(account.account(Some(&found), reading(5, 5)), Reading::default());
    account.departed();
    let later = span(reading(1_100, 1_000), reading(1_100, 1_000));
    assert_eq!(account.account(Some(&later), Reading::default()), Reading::default());

    let another = Span { instance: 4, ..span(reading(70, 7), reading(70, 7)) };
    account.departed();
    assert_eq!(account.account(Some(&another), reading(7, 7)), Reading::default());
    let made = Span { instance: 5, fresh: true, ..another };
    assert_eq!(account.account(Some(&made), reading(60, 7)), Reading::default());
    let made = Span { fresh: false, ..made };
    assert_eq!(
        account.account(Some(&made), Reading::default()),
        reading(10, 0),
        "watched from its beginning"
    );
}

#[test]
fn cookies_to_strangers_are_shown_and_not_counted() {
    let mut account = Conservation::default();
    account.account(Some(&span(reading(0, 0), reading(0, 0))), Reading::default());
    let answered = span(reading(50, 114), reading(50, 114));
    assert_eq!(account.account(Some(&answered), reading(50, 50)), Reading::default());
    assert_eq!(account.unattributed(), 64);
}

#[test]
fn a_packet_dropped_on_its_way_out_hides_no_later_gap() {
    let mut account = Conservation::default();
    account.account(Some(&span(reading(0, 0), reading(0, 0))), Reading::default());
    account.account(Some(&span(reading(10, 10), reading(10, 10))), reading(10, 1_000));
    account.departed();
    let later = span(reading(10, 30), reading(10, 30));
    assert_eq!(account.account(Some(&later), Reading::default()), Reading::default());
    assert_eq!(account.account(Some(&later), Reading::default()), reading(0, 20));
}

#[test]
fn a_reading_that_lacks_somebody_whom_nobody_knew_recovers_nothing_of_them() {
    let mut account = Conservation::default();
    account.account(Some(&span(reading(0, 0), reading(0, 0))), Reading::default());
    let unseen = span(reading(10, 20), reading(10, 20));
    assert_eq!(account.account(Some(&unseen), Reading::default()), Reading::default());
    // Their own counters tell it all.
    assert_eq!(account.account(Some(&unseen), reading(10, 20)), Reading::default());
    assert_eq!((account.recovered(), account.is_news(&unseen)), (Reading::default(), false));
}

#[test]
fn what_moved_after_the_reading_that_first_lacked_a_peer_is_not_recovered_while_it_is_missing() {
    let mut account = Conservation::default();
    account.account(Some(&span(reading(0, 0), reading(0, 0))), Reading::default());
    let lacked = Span { torn: true, ..span(reading(10, 20), reading(10, 20)) };
    assert_eq!(account.account(Some(&lacked), Reading::default()), Reading::default());
    // Somebody has added it again, and this reading is torn.
    let again = Span { missing: true, ..span(reading(15, 27), reading(15, 27)) };
    assert_eq!(account.account(Some(&again), Reading::default()), reading(10, 20));
    assert_eq!(account.account(Some(&again), Reading::default()), Reading::default());
    // Its own counters tell the rest.
    let there = span(reading(15, 27), reading(15, 27));
    assert_eq!(account.account(Some(&there), reading(5, 7)), Reading::default());
}
