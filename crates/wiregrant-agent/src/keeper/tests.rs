//! The keeper on an interface of the tests' own, which knows every byte that ever moved.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ipnet::IpNet;
use proptest::prelude::*;
use wiregrant_core::Bytes;
use wiregrant_core::api::Desired;
use wiregrant_core::counter::Reading;
use wiregrant_core::epoch::Schedule;
use wiregrant_core::peer::{DesiredPeer, PeerChanges};
use wiregrant_core::usage_report::UsageReport;

use super::*;
use crate::conservation::plus;
use crate::enrolment::tests::{enrolled, joined};
use crate::wireguard::WireGuardError;

/// What the interface is in truth.
#[derive(Default)]
pub struct World {
    peers: BTreeMap<WireGuardPublicKey, (Vec<IpNet>, Reading)>,
    /// The interface's own, if it keeps some.
    statistics: Option<Statistics>,
    /// All that ever moved, in bytes.
    moved: u64,
    /// The call at which the agent is killed, counted down; and whether the call is still carried out.
    kill: Option<(u32, bool)>,
    dead: bool,
    /// Who was removed, in order.
    removed: Vec<WireGuardPublicKey>,
    /// Who still has bytes on the way to the node when it is silenced, and how many.
    on_the_way: Option<(WireGuardPublicKey, u64)>,
}

impl World {
    fn call(&mut self, change: impl FnOnce(&mut Self)) -> Result<(), WireGuardError> {
        let gone = || WireGuardError::Gone { name: "killed".into() };
        if self.dead {
            return Err(gone());
        }
        match &mut self.kill {
            Some((0, carried_out)) => {
                self.dead = true;
                if *carried_out {
                    change(self);
                }
                Err(gone())
            }
            Some((left, _)) => {
                *left -= 1;
                change(self);
                Ok(())
            }
            None => {
                change(self);
                Ok(())
            }
        }
    }
}

impl World {
    fn traffic(&mut self, peer: &WireGuardPublicKey, moved: Reading) {
        if let Some((_, reading)) = self.peers.get_mut(peer) {
            *reading = plus(*reading, moved);
            self.moved += moved.received + moved.sent;
            if let Some(statistics) = &mut self.statistics {
                statistics.reading = plus(statistics.reading, moved);
            }
        }
    }
}

struct TestInterface(Arc<Mutex<World>>);

impl Interface for TestInterface {
    fn kind(&self) -> Backend {
        Backend::WireGuardGo
    }

    fn ensure_interface(&mut self, _: &InterfaceSettings) -> Result<Ensured, WireGuardError> {
        self.0.lock().unwrap().call(|_| {}).map(|()| Ensured::Adopted)
    }

    fn peers(&mut self) -> Result<Vec<LivePeer>, WireGuardError> {
        let mut world = self.0.lock().unwrap();
        world.call(|_| {})?;
        let peers = world.peers.iter().map(|(key, (allowed_ips, reading))| LivePeer {
            public_key: *key,
            allowed_ips: allowed_ips.clone(),
            reading: *reading,
        });
        Ok(peers.collect())
    }

    fn statistics(&mut self) -> Result<Option<Statistics>, WireGuardError> {
        let mut world = self.0.lock().unwrap();
        world.call(|_| {})?;
        Ok(world.statistics)
    }

    fn set_peer(&mut self, peer: &WireGuardPublicKey, allowed_ips: &[IpNet]) -> Result<(), WireGuardError> {
        let mut world = self.0.lock().unwrap();
        world.call(|world| {
            world.peers.entry(*peer).or_default().0 = allowed_ips.to_vec();
            let silenced = allowed_ips.is_empty();
            if let Some((_, bytes)) = world.on_the_way.take_if(|(key, _)| key == peer && silenced) {
                world.traffic(peer, Reading { received: bytes, sent: 0 });
            }
        })
    }

    fn remove_peer(&mut self, peer: &WireGuardPublicKey) -> Result<(), WireGuardError> {
        self.0.lock().unwrap().call(|world| {
            world.removed.extend(world.peers.remove(peer).map(|_| *peer));
        })
    }
}

/// A node whose agent can be killed and started again.
pub struct TestNode {
    folder: tempfile::TempDir,
    world: Arc<Mutex<World>>,
    pub keeper: Mutex<Keeper>,
    pub seconds: u64,
    /// What the operator chose, for the next start.
    pub config: Config,
    revision: u64,
    boots: u64,
}

impl TestNode {
    pub fn new() -> Self {
        Self::on(None)
    }

    fn on(statistics: Option<Statistics>) -> Self {
        // In memory where there is such a place: hundreds of lives sync hundreds of times each.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let world = Arc::new(Mutex::new(World { statistics, ..World::default() }));
        let config = Config::default();
        let keeper = Mutex::new(Self::started(&folder, &world, 0, &config).unwrap());
        Self { folder, world, keeper, seconds: 2_000, config, revision: 0, boots: 0 }
    }

    fn started(
        folder: &tempfile::TempDir,
        world: &Arc<Mutex<World>>,
        boots: u64,
        config: &Config,
    ) -> anyhow::Result<Keeper> {
        let interface = Box::new(TestInterface(Arc::clone(world)));
        let enrolment = enrolled(joined()).unwrap();
        let (dir, boot) = (StateDir::new(folder.path()), format!("boot {boots}"));
        Keeper::start(dir, enrolment, interface, &boot, Arc::new(config.clone()))
    }

    pub fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// `kill -9` and a new start.
    pub fn restart(&mut self) {
        {
            let mut world = self.world();
            (world.kill, world.dead) = (None, false);
        }
        let started = Self::started(&self.folder, &self.world, self.boots, &self.config);
        self.keeper = Mutex::new(started.unwrap());
    }

    /// `kill -9` at the n-th call of the interface from now, before or after it took effect.
    pub fn kill_at(&self, call: u32, carried_out: bool) {
        self.world().kill = Some((call, carried_out));
    }

    fn reboot(&mut self) {
        {
            let mut world = self.world();
            world.peers.clear();
            world.statistics = world.statistics.map(|_| NEW_LINK);
        }
        self.boots += 1;
        self.restart();
    }

    /// Forgets everything but keys and enrolment.
    pub fn lose_journal(&mut self) {
        std::fs::remove_file(self.folder.path().join("journal")).unwrap();
        self.restart();
    }

    pub fn moment(&self) -> Moment {
        at(self.seconds)
    }

    pub fn desired(&mut self, peers: &[u8], membership: Option<Membership>) -> anyhow::Result<()> {
        self.want(peers.iter().map(|n| peer(*n)).collect(), membership)
    }

    pub fn want(&mut self, peers: Vec<DesiredPeer>, membership: Option<Membership>) -> anyhow::Result<()> {
        self.revision += 1;
        let desired = Desired {
            revision: self.revision,
            peers: Some(peers),
            changes: None,
            membership,
            time: self.moment().wall,
            frozen: false,
        };
        self.keeper().receive(desired, self.moment())
    }

    pub fn traffic(&self, n: u8, received: u64, sent: u64) {
        self.world().traffic(&key(n), Reading { received, sent });
    }

    /// What the node has counted, in bytes.
    pub fn counted(&self) -> u64 {
        let keeper = self.keeper();
        keeper.ledger.state().meter.totals().values().map(|usage| usage.creditable.get()).sum()
    }

    /// Ends and labels of the cuts that wait.
    fn cuts(&self) -> Vec<(u64, Option<u64>, u64)> {
        let mut chain = self.keeper().ledger.state().chain.clone();
        let mut cuts = Vec::new();
        while let Some(cut) = chain.first_cut() {
            let bytes = cut.usage.values().map(|usage| usage.creditable.get()).sum();
            let end = cut.end.seconds_since(at(0).wall);
            cuts.push((end, cut.epoch.as_ref().map(|epoch| epoch.number), bytes));
            chain.pop();
        }
        cuts
    }

    /// The keys on the interface.
    pub fn live(&self) -> Vec<WireGuardPublicKey> {
        self.world().peers.keys().copied().collect()
    }

    /// Who was removed since the last call and is there again.
    pub fn made_anew(&self) -> Vec<WireGuardPublicKey> {
        let removed = std::mem::take(&mut self.world().removed);
        removed.into_iter().filter(|peer| self.world().peers.contains_key(peer)).collect()
    }

    /// Some bytes of a peer come in after it is silenced.
    pub fn stir_when_silenced(&self, n: u8, bytes: u64) {
        self.world().on_the_way = Some((key(n), bytes));
    }

    pub fn allowed_ips(&self, n: u8) -> Vec<IpNet> {
        self.world().peers[&key(n)].0.clone()
    }

    pub fn converge_at(&mut self, seconds: u64) {
        self.seconds = seconds;
        let moment = self.moment();
        self.keeper().converge(moment).unwrap();
    }
}

pub fn at(seconds: u64) -> Moment {
    Moment {
        wall: Timestamp::from_unix_seconds(0).unwrap().plus_seconds(seconds),
        subsecond: Duration::ZERO,
        monotonic: Duration::from_secs(seconds),
    }
}

pub fn key(n: u8) -> WireGuardPublicKey {
    [n + 1; 32].into()
}

pub fn peer(n: u8) -> DesiredPeer {
    DesiredPeer {
        public_key: key(n),
        allowed_ips: vec![format!("10.8.0.{}/32", n + 2).parse().unwrap()],
        class: if n < 2 { Class::Assigned } else { Class::Invited },
        allotment: Bytes::MAX,
        expires: at(1_000_000).wall,
        period: wiregrant_core::allotment::Period::Total,
        socks5: None,
    }
}

/// Epochs of 100 seconds from second 2,000.
pub fn membership() -> Membership {
    Membership {
        grant: "g".parse().unwrap(),
        node: "node-1".parse().unwrap(),
        schedule: Schedule { start: at(2_000).wall, epoch_seconds: 100, epochs: 50 },
        first_epoch: 1,
        end_epoch: None,
    }
}

#[test]
fn the_reading_at_a_boundary_belongs_to_the_epoch_that_ended() {
    let mut node = TestNode::new();
    node.desired(&[0], Some(membership())).unwrap();
    node.converge_at(2_095);
    node.traffic(0, 10, 0);
    node.converge_at(2_101);
    node.traffic(0, 7, 0);
    node.converge_at(2_110);
    assert_eq!(node.cuts(), [(2_100, Some(1), 10)]);
    assert_eq!(node.keeper().ledger.state().meter.epoch().unwrap().number, 2);
    assert_eq!(node.counted(), 17);
}

#[test]
fn after_an_outage_bytes_belong_to_the_epoch_of_the_reading() {
    let mut node = TestNode::new();
    node.desired(&[0], Some(membership())).unwrap();
    node.traffic(0, 10, 0);
    node.converge_at(2_040);
    node.traffic(0, 7, 0);
    node.restart();
    node.converge_at(2_230);
    node.seconds = 2_240;
    let now = node.moment();
    node.keeper().cut(now).unwrap();
    assert_eq!(node.cuts(), [(2_040, Some(1), 10), (2_240, Some(3), 17)]);
}

#[test]
fn while_the_clock_is_off_bytes_count_and_wait_for_their_epoch() {
    let mut node = TestNode::new();
    node.desired(&[0], Some(membership())).unwrap();
    node.traffic(0, 10, 0);
    node.converge_at(2_040);
    // Somebody sets the clock a day ahead.
    let mut wrong = at(2_050 + 86_400);
    wrong.monotonic = Duration::from_secs(2_050);
    node.traffic(0, 7, 0);
    node.keeper().converge(wrong).unwrap();
    node.keeper().cut(wrong).unwrap();
    assert_eq!((node.counted(), node.cuts()), (17, vec![(2_040, Some(1), 10)]));
    node.converge_at(2_060);
    node.traffic(0, 3, 0);
    node.converge_at(2_070);
    let now = node.moment();
    node.keeper().cut(now).unwrap();
    assert_eq!(node.cuts()[1..], [(2_070, Some(1), 20)]);
}

#[test]
fn by_a_clock_that_is_off_nobody_expires() {
    let mut node = TestNode::new();
    node.desired(&[0], None).unwrap();
    let mut wrong = at(5_000_000);
    wrong.monotonic = Duration::from_secs(2_010);
    node.keeper().converge(wrong).unwrap();
    assert_eq!(node.world().peers.len(), 1);
    let mut right = at(1_000_001);
    right.monotonic = Duration::from_secs(1_000_001);
    node.keeper().converge(right).unwrap();
    assert_eq!(node.world().peers.len(), 0);
}

#[test]
fn a_peer_with_an_address_outside_the_pools_is_not_served() {
    let node = TestNode::new();
    let mut everything = peer(0);
    everything.allowed_ips = vec!["0.0.0.0/0".parse().unwrap()];
    let desired = Desired {
        revision: 1,
        peers: Some(vec![everything, peer(1)]),
        changes: None,
        membership: None,
        time: node.moment().wall,
        frozen: false,
    };
    let now = node.moment();
    node.keeper().receive(desired, now).unwrap();
    assert_eq!(node.world().peers.keys().copied().collect::<Vec<_>>(), [key(1)]);
}

#[test]
fn what_changed_is_applied_as_if_everything_had_been_told() {
    let mut node = TestNode::new();
    node.desired(&[0, 1], None).unwrap();
    let mut outside = peer(3);
    outside.allowed_ips = vec!["0.0.0.0/0".parse().unwrap()];
    let changes = PeerChanges { set: vec![peer(2), outside].into(), remove: vec![key(0)] };
    let now = node.moment();
    let desired = |revision, changes| Desired {
        revision,
        peers: None,
        changes: Some(changes),
        membership: None,
        time: now.wall,
        frozen: false,
    };
    node.keeper().receive(desired(2, changes), now).unwrap();
    assert_eq!(node.live(), [key(1), key(2)]);
    // One that is only new is added at once, and is wanted after a start too.
    let changes = PeerChanges { set: vec![peer(4)].into(), remove: Vec::new() };
    node.keeper().receive(desired(3, changes), now).unwrap();
    assert_eq!(node.live(), [key(1), key(2), key(4)]);
    node.restart();
    node.world().peers.clear();
    node.converge_at(2_010);
    assert_eq!(node.live(), [key(1), key(2), key(4)]);
}

#[test]
fn before_the_control_plane_was_heard_no_peer_is_touched() {
    let mut node = TestNode::new();
    node.world().peers.insert(key(9), (vec![], Reading { received: 5, sent: 5 }));
    node.converge_at(2_010);
    assert_eq!(node.world().peers.len(), 1);
    // Started without it, the node goes by what it heard last.
    node.desired(&[0], None).unwrap();
    node.restart();
    node.world().peers.clear();
    node.converge_at(2_020);
    assert_eq!(node.world().peers.keys().copied().collect::<Vec<_>>(), [key(0)]);
}

/// The statistics of a link that was just made.
const NEW_LINK: Statistics = Statistics { instance: 1, reading: Reading { received: 0, sent: 0 } };

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
    /// `kill -9` between two steps.
    Kill,
    /// `kill -9` at the n-th call of the interface from now, before or after it took effect.
    KillAt {
        call: u32,
        carried_out: bool,
    },
    /// Somebody else removes a peer and adds it again.
    Reset(u8),
    /// Somebody else removes a peer.
    Removed(u8),
    Reboot,
}

fn harmless() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..4u8, 1..u32::MAX, any::<u32>())
            .prop_map(|(peer, received, sent)| Event::Traffic { peer, received, sent }),
        3 => proptest::sample::subsequence(vec![0u8, 1, 2, 3], 0..=4).prop_map(Event::Want),
        3 => Just(Event::Sample),
        1 => Just(Event::Cut),
        1 => Just(Event::Kill),
        3 => (0..20u32, any::<bool>()).prop_map(|(call, carried_out)| Event::KillAt { call, carried_out }),
    ]
}

/// What the statistics of an interface outlive.
fn survivable() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => harmless(),
        1 => (0..4u8).prop_map(Event::Reset),
        1 => (0..4u8).prop_map(Event::Removed),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        9 => survivable(),
        1 => Just(Event::Reboot),
    ]
}

/// Lives through `events` and gives what was counted and what moved. An error of the keeper is its death.
fn lived(mut node: TestNode, events: Vec<Event>) -> (u64, u64) {
    for event in events {
        node.seconds += 10;
        let now = node.moment();
        let result = match event {
            Event::Traffic { peer, received, sent } => {
                node.traffic(peer, u64::from(received), u64::from(sent));
                Ok(())
            }
            Event::Want(peers) => node.desired(&peers, Some(membership())),
            Event::Sample => node.keeper().converge(now),
            Event::Cut => node.keeper().cut(now),
            Event::Kill => {
                node.restart();
                Ok(())
            }
            Event::KillAt { call, carried_out } => {
                node.kill_at(call, carried_out);
                Ok(())
            }
            Event::Reset(peer) => {
                if let Some((_, reading)) = node.world().peers.get_mut(&key(peer)) {
                    *reading = Reading::default();
                }
                Ok(())
            }
            Event::Removed(peer) => {
                node.world().peers.remove(&key(peer));
                Ok(())
            }
            Event::Reboot => {
                node.reboot();
                Ok(())
            }
        };
        if result.is_err() {
            node.restart();
        }
        assert!(node.counted() <= node.world().moved, "counted more than moved");
    }
    node.restart();
    node.seconds += 10;
    let now = node.moment();
    node.keeper().converge(now).unwrap();
    let moved = node.world().moved;
    (node.counted(), moved)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_happens_no_byte_is_invented(events in proptest::collection::vec(any_event(), 0..60)) {
        for node in [TestNode::new(), TestNode::on(Some(NEW_LINK))] {
            let (counted, moved) = lived(node, events.clone());
            prop_assert!(counted <= moved);
        }
    }

    #[test]
    fn an_interface_that_keeps_statistics_loses_no_byte_to_removals_by_hand_resets_and_kills(
        events in proptest::collection::vec(survivable(), 0..60),
    ) {
        let (counted, moved) = lived(TestNode::on(Some(NEW_LINK)), events);
        prop_assert_eq!(counted, moved);
    }

    #[test]
    fn killed_at_any_step_the_agent_loses_no_byte(events in proptest::collection::vec(harmless(), 0..60)) {
        let (counted, moved) = lived(TestNode::new(), events);
        prop_assert_eq!(counted, moved);
    }
}

#[test]
fn a_removal_that_is_killed_at_any_call_is_finished_before_the_peer_may_come_back() {
    for (call, carried_out) in (0..12).flat_map(|call| [(call, false), (call, true)]) {
        let events = vec![
            Event::Want(vec![0]),
            Event::Traffic { peer: 0, received: 10, sent: 10 },
            Event::KillAt { call, carried_out },
            Event::Want(vec![]),
            Event::Kill,
            Event::Want(vec![0]),
            // More than before: only a finished removal tells that these count from zero.
            Event::Traffic { peer: 0, received: 1_000, sent: 1_000 },
            Event::Sample,
        ];
        let (counted, moved) = lived(TestNode::new(), events);
        assert_eq!(counted, moved, "killed at call {call}, carried out: {carried_out}");
    }
}

#[test]
fn a_journal_that_lost_any_byte_is_told_apart_and_gone_on_from_without_a_wrong_total() {
    let mut node = TestNode::new();
    // Every total that was ever true, in order.
    let mut truths = vec![0];
    node.desired(&[0, 2], Some(membership())).unwrap();
    for n in 0..3 {
        node.traffic(n % 2 * 2, 100, 11);
        node.seconds += 10;
        let now = node.moment();
        node.keeper().cut(now).unwrap();
        truths.push(node.counted());
    }
    node.desired(&[], None).unwrap();
    let path = node.folder.path().join("journal");
    let bytes = std::fs::read(&path).unwrap();
    let moved = node.world().moved;
    // Each agent that is started anew takes a while: all of them in the long run, in this one a few of each kind.
    let every = if std::env::var_os("WIREGRANT_SOAK").is_some() { 1 } else { 199 };
    let mut started = 0;
    let mut judge = |damaged: &[u8], what: &str, number: usize| {
        let contents = crate::journal::read(damaged);
        assert!(contents.damage.is_some() || !contents.header_whole, "{what} went unseen");
        std::fs::write(&path, damaged).unwrap();
        let (state, _) = crate::ledger::load(&path).unwrap();
        let total = state.meter.totals().values().map(|usage| usage.creditable.get()).sum::<u64>();
        assert!(truths.contains(&total), "{what}: {total}");
        if number.is_multiple_of(every) {
            node.restart();
            node.seconds += 10;
            let now = node.moment();
            node.keeper().converge(now).unwrap();
            assert!(node.counted() <= moved, "{what}: {} of {moved}", node.counted());
            let kept = crate::journal::kept(&path).unwrap();
            assert_eq!(kept.is_empty(), contents.damage.is_none(), "{what}");
            kept.into_iter().for_each(|file| std::fs::remove_file(file).unwrap());
            started += 1;
        }
    };
    for end in 0..bytes.len() {
        judge(&bytes[..end], &format!("a cut at {end}"), end);
    }
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1 << bit;
            // Behind the header, where there are marks and records, one bit of each byte is enough in the short run.
            if every == 1 || bit == position % 8 {
                judge(&flipped, &format!("bit {bit} of byte {position} flipped"), position);
            }
        }
    }
    assert!(started > 20, "{started}");
}

/// The report a note holds.
pub fn report_of(note: &str) -> UsageReport {
    wiregrant_core::note::Signed::parse(note).unwrap().into_content()
}
