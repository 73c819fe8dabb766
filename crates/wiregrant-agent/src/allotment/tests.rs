//! Who is served: stories, and random lives judged by an oracle that knows what every device moved.

use std::collections::BTreeMap;

use proptest::prelude::*;
use wiregrant_core::allotment::Period;
use wiregrant_core::{Bytes, Month};

use super::*;
use crate::keeper::tests::{TestNode, at, key, peer};

fn device(n: u8, bytes: u64, period: Period) -> DesiredPeer {
    let expires = at(90 * 86_400).wall;
    DesiredPeer { allotment: Bytes::new(bytes).unwrap(), period, expires, ..peer(n) }
}

fn used(node: &TestNode, device: &DesiredPeer) -> (u64, Level) {
    let keeper = node.keeper();
    let used = keeper.ledger.state().meter.used().of(&device.public_key, device.period);
    (used.get(), Level::of(used, device.allotment))
}

#[test]
fn an_exhausted_device_leaves_at_the_next_sample_and_no_byte_of_it_is_lost() {
    let mut node = TestNode::new();
    let devices = [device(0, 100, Period::Total), device(1, 100, Period::Total)];
    node.want(devices.to_vec(), None).unwrap();
    node.traffic(0, 60, 39);
    node.traffic(1, 1, 0);
    node.converge_at(2_010);
    assert_eq!(node.live(), [key(0), key(1)]);
    assert_eq!(used(&node, &devices[0]), (99, Level::UnderATenth));
    node.traffic(0, 0, 30);
    node.converge_at(2_020);
    assert_eq!(node.live(), [key(1)]);
    assert_eq!((used(&node, &devices[0]), node.counted()), ((129, Level::Exhausted), 130));
    // Neither a restart nor the control plane's asking again brings it back; a greater allotment does.
    node.restart();
    node.want(devices.to_vec(), None).unwrap();
    assert_eq!(node.live(), [key(1)]);
    let greater = device(0, 200, Period::Total);
    node.want(vec![greater.clone(), devices[1].clone()], None).unwrap();
    assert_eq!(node.live(), [key(0), key(1)]);
    node.traffic(0, 71, 0);
    node.converge_at(2_030);
    assert_eq!((used(&node, &greater).0, node.live()), (200, vec![key(1)]));
}

#[test]
fn a_months_allotment_is_lifted_when_the_month_turns_and_a_total_one_is_not() {
    let mut node = TestNode::new();
    let devices = [device(0, 100, Period::Month), device(1, 100, Period::Total)];
    node.want(devices.to_vec(), None).unwrap();
    [0, 1].into_iter().for_each(|n| node.traffic(n, 100, 0));
    node.converge_at(2_010);
    assert_eq!(node.live(), []);
    node.restart();
    node.converge_at(31 * 86_400 - 1);
    assert_eq!(node.live(), []);
    node.converge_at(31 * 86_400);
    assert_eq!(node.live(), [key(0)]);
    assert_eq!(used(&node, &devices[0]), (0, Level::OverHalf));
    node.traffic(0, 100, 0);
    node.converge_at(31 * 86_400 + 10);
    assert_eq!(node.live(), []);
}

#[test]
fn what_a_device_used_is_forgotten_when_it_is_wanted_no_more_and_only_then() {
    let mut node = TestNode::new();
    let spender = device(0, 100, Period::Total);
    node.want(vec![spender.clone()], None).unwrap();
    node.traffic(0, 100, 7);
    node.converge_at(2_010);
    node.restart();
    assert_eq!(used(&node, &spender).0, 107);
    node.want(vec![device(1, 1, Period::Total)], None).unwrap();
    assert_eq!((used(&node, &spender).0, node.counted()), (0, 107));
    node.want(vec![spender], None).unwrap();
    assert_eq!(node.live(), [key(0)]);
}

/// One thing that happens to a node.
#[derive(Debug, Clone)]
enum Event {
    Traffic {
        device: u8,
        received: u16,
        sent: u16,
    },
    /// The control plane wants these devices.
    Want(Vec<u8>),
    Turn,
    /// Nobody sends anything until all are forgotten.
    Silence,
    MonthTurns,
    /// `kill -9` between two steps.
    Kill,
    /// `kill -9` at the n-th call of the interface from now, before or after it took effect.
    KillAt {
        call: u32,
        carried_out: bool,
    },
}

const DEVICES: u8 = 4;

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..DEVICES, 0..400_u16, 0..400_u16)
            .prop_map(|(device, received, sent)| Event::Traffic { device, received, sent }),
        2 => proptest::sample::subsequence((0..DEVICES).collect::<Vec<_>>(), 1..=4).prop_map(Event::Want),
        4 => Just(Event::Turn),
        2 => Just(Event::Silence),
        1 => Just(Event::MonthTurns),
        1 => Just(Event::Kill),
        3 => (0..20_u32, any::<bool>()).prop_map(|(call, carried_out)| Event::KillAt { call, carried_out }),
    ]
}

/// What is true of a wanted device.
#[derive(Debug, Clone, Copy, Default)]
struct Truth {
    total: u64,
    month: u64,
}

/// A node with its oracle.
struct Life {
    node: TestNode,
    wanted: BTreeMap<u8, Truth>,
    /// What all moved in the month.
    in_month: u64,
}

impl Life {
    /// Every second device has its allotment for a month.
    fn device(n: u8) -> DesiredPeer {
        let period = if n.is_multiple_of(2) { Period::Total } else { Period::Month };
        DesiredPeer { expires: at(4_000 * 86_400).wall, ..device(n, 1_000 * (u64::from(n) + 1), period) }
    }

    fn used(n: u8, truth: Truth) -> u64 {
        if n.is_multiple_of(2) { truth.total } else { truth.month }
    }

    /// Does something until no kill comes between.
    fn surely(&mut self, action: impl Fn(&mut TestNode) -> anyhow::Result<()>) {
        while action(&mut self.node).is_err() {
            self.node.restart();
        }
    }

    fn turn(&mut self) {
        self.surely(|node| {
            let now = node.moment();
            node.keeper().converge(now)
        });
        self.holds();
    }

    fn live_through(&mut self, event: Event) {
        self.node.seconds += 10;
        match event {
            Event::Traffic { device, received, sent } => {
                if self.node.live().contains(&key(device)) {
                    self.node.traffic(device, received.into(), sent.into());
                    let moved = u64::from(received) + u64::from(sent);
                    let truth = self.wanted.get_mut(&device).expect("only wanted devices are live");
                    truth.total += moved;
                    truth.month += moved;
                    self.in_month += moved;
                }
            }
            Event::Want(wanted) => {
                self.surely(|node| node.want(wanted.iter().map(|n| Self::device(*n)).collect(), None));
                self.wanted.retain(|n, _| wanted.contains(n));
                wanted.iter().for_each(|n| {
                    self.wanted.entry(*n).or_default();
                });
                // Devices that are new are added without a reading.
                self.turn();
            }
            Event::Turn => self.turn(),
            Event::Silence => {
                self.turn();
                self.node.seconds += 180;
                self.turn();
            }
            Event::MonthTurns => {
                // A reading's bytes belong to the month it is taken in.
                self.turn();
                let before = Month::of(self.node.moment().wall);
                while Month::of(self.node.moment().wall) == before {
                    self.node.seconds = (self.node.seconds / 86_400 + 1) * 86_400;
                }
                self.wanted.values_mut().for_each(|truth| truth.month = 0);
                self.in_month = 0;
                self.turn();
            }
            Event::Kill => self.node.restart(),
            Event::KillAt { call, carried_out } => self.node.kill_at(call, carried_out),
        }
    }

    /// After a whole turn the node knows what the oracle knows, and serves accordingly.
    fn holds(&self) {
        let live = self.node.live();
        let keeper = self.node.keeper();
        let used = keeper.ledger.state().meter.used();
        assert_eq!(used.in_month().get(), self.in_month);
        for n in 0..DEVICES {
            let truth = self.wanted.get(&n).copied();
            let Truth { total, month } = truth.unwrap_or_default();
            assert_eq!(used.of(&key(n), Period::Total).get(), total, "device {n}, in total");
            assert_eq!(used.of(&key(n), Period::Month).get(), month, "device {n}, in the month");
            let left = truth.is_some_and(|truth| Self::used(n, truth) < Self::device(n).allotment.get());
            assert_eq!(live.contains(&key(n)), left, "device {n} is served while something is left");
        }
        let told: BTreeMap<_, _> =
            keeper.wanted.iter().flat_map(|wanted| levels(&wanted.peers, used)).collect();
        for (n, truth) in &self.wanted {
            let used = Bytes::new(Self::used(*n, *truth)).unwrap();
            assert_eq!(told[&key(*n)], Level::of(used, Self::device(*n).allotment), "device {n}");
        }
        assert_eq!(told.len(), self.wanted.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_every_device_has_used_what_it_moved_and_is_served_accordingly(
        events in proptest::collection::vec(event(), 0..60),
    ) {
        let mut life = Life { node: TestNode::new(), wanted: BTreeMap::new(), in_month: 0 };
        life.live_through(Event::Want((0..DEVICES).collect()));
        events.into_iter().for_each(|event| life.live_through(event));
        life.turn();
    }
}
