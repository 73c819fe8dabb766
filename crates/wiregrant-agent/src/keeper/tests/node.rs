//! A node whose interface is the tests' own and knows every byte that ever moved.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ipnet::IpNet;
use wiregrant_core::api::{Desired, Membership};
use wiregrant_core::counter::Reading;
use wiregrant_core::epoch::Schedule;
use wiregrant_core::peer::DesiredPeer;
use wiregrant_core::usage_report::{Backend, Class, UsageReport};
use wiregrant_core::{Bytes, Timestamp, WireGuardPublicKey};

use crate::clock::Moment;
use crate::config::Config;
use crate::conservation::plus;
use crate::enrolment::tests::{enrolled, joined};
use crate::keeper::Keeper;
use crate::state_dir::StateDir;
use crate::wireguard::{Ensured, Interface, InterfaceSettings, LivePeer, WireGuardError};

/// What the interface is in truth.
#[derive(Default)]
pub struct World {
    pub peers: BTreeMap<WireGuardPublicKey, (Vec<IpNet>, Reading)>,
    /// All that ever moved, in bytes.
    pub moved: u64,
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
    pub folder: tempfile::TempDir,
    world: Arc<Mutex<World>>,
    pub keeper: Mutex<Keeper>,
    pub seconds: u64,
    /// What the operator chose, for the next start.
    pub config: Config,
    revision: u64,
}

impl TestNode {
    pub fn new() -> Self {
        // In memory where there is such a place: hundreds of lives sync hundreds of times each.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let world = Arc::<Mutex<World>>::default();
        let config = Config::default();
        let keeper = Mutex::new(Self::started(&folder, &world, &config).unwrap());
        Self { folder, world, keeper, seconds: 2_000, config, revision: 0 }
    }

    fn started(
        folder: &tempfile::TempDir,
        world: &Arc<Mutex<World>>,
        config: &Config,
    ) -> anyhow::Result<Keeper> {
        let interface = Box::new(TestInterface(Arc::clone(world)));
        let enrolment = enrolled(joined()).unwrap();
        let dir = StateDir::new(folder.path());
        Keeper::start(dir, enrolment, interface, "boot", Arc::new(config.clone()))
    }

    pub fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap()
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// `kill -9` and a new start.
    pub fn restart(&mut self) {
        {
            let mut world = self.world();
            (world.kill, world.dead) = (None, false);
        }
        let started = Self::started(&self.folder, &self.world, &self.config);
        self.keeper = Mutex::new(started.unwrap());
    }

    /// `kill -9` at the n-th call of the interface from now, before or after it took effect.
    pub fn kill_at(&self, call: u32, carried_out: bool) {
        self.world().kill = Some((call, carried_out));
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
    pub fn cuts(&self) -> Vec<(u64, Option<u64>, u64)> {
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
        peer_caps: BTreeMap::new(),
    }
}

/// The report a note holds.
pub fn report_of(note: &str) -> UsageReport {
    wiregrant_core::note::Signed::parse(note).unwrap().into_content()
}
