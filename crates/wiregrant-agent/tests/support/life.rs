//! What a device may do on a node, on a real wire: it is forgotten when it is silent, and silenced when it is exhausted.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use tempfile::TempDir;
use wiregrant_agent::clock::{self, Moment};
use wiregrant_agent::enrolment::Enrolment;
use wiregrant_agent::keeper::Keeper;
use wiregrant_agent::ledger;
use wiregrant_agent::state_dir::StateDir;
use wiregrant_agent::wireguard::{
    Ensured, Interface, InterfaceSettings, LivePeer, Routed, Statistics, WireGuardError,
};
use wiregrant_core::allotment::Period;
use wiregrant_core::api::Desired;
use wiregrant_core::peer::DesiredPeer;
use wiregrant_core::usage_report::{Backend, Class, UsageTable};
use wiregrant_core::{Bytes, Month, WireGuardPublicKey};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::support::{Host, NODE_PORT, Open, Wire, run, settings};

/// The default of `idle_seconds`.
const IDLE_SECONDS: u64 = 180;

/// An interface whose agent is killed before one of its calls.
struct Dying {
    interface: Box<dyn Interface>,
    /// Calls until then.
    left: Arc<AtomicU32>,
}

impl Dying {
    fn call(&self) -> Result<(), WireGuardError> {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| WireGuardError::Gone { name: "killed".into() })
    }
}

impl Interface for Dying {
    fn kind(&self) -> Backend {
        self.interface.kind()
    }

    fn ensure_interface(&mut self, settings: &InterfaceSettings) -> Result<Ensured, WireGuardError> {
        self.call()?;
        self.interface.ensure_interface(settings)
    }

    fn peers(&mut self) -> Result<Vec<LivePeer>, WireGuardError> {
        self.call()?;
        self.interface.peers()
    }

    /// A kill before these are read is one before the next call: they change nothing.
    fn statistics(&mut self) -> Result<Option<Statistics>, WireGuardError> {
        self.interface.statistics()
    }

    fn set_peer(&mut self, peer: &WireGuardPublicKey, allowed_ips: &[IpNet]) -> Result<(), WireGuardError> {
        self.call()?;
        self.interface.set_peer(peer, allowed_ips)
    }

    fn remove_peer(&mut self, peer: &WireGuardPublicKey) -> Result<(), WireGuardError> {
        self.call()?;
        self.interface.remove_peer(peer)
    }

    fn set_peers(&mut self, peers: &[Routed<'_>]) -> Result<(), WireGuardError> {
        self.call()?;
        self.interface.set_peers(peers)
    }

    fn update_peers(&mut self, peers: &[Routed<'_>]) -> Result<(), WireGuardError> {
        self.call()?;
        self.interface.update_peers(peers)
    }

    fn remove_peers(&mut self, peers: &[WireGuardPublicKey]) -> Result<(), WireGuardError> {
        self.call()?;
        self.interface.remove_peers(peers)
    }
}

/// A node on a wire, whose keeper the test turns itself, by a clock of the test's own.
pub struct Node<'a> {
    pub wire: &'a Wire,
    pub open: Open,
    folder: TempDir,
    keeper: Option<Keeper>,
    calls_left: Arc<AtomicU32>,
    start: Moment,
    /// Since `start`.
    seconds: u64,
    devices: Vec<DesiredPeer>,
    revision: u64,
}

impl<'a> Node<'a> {
    pub fn start(wire: &'a Wire, open: Open) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let calls_left = Arc::new(AtomicU32::new(u32::MAX));
        let start = clock::now();
        let mut node = Self {
            wire,
            open,
            folder,
            keeper: None,
            calls_left,
            start,
            seconds: 0,
            devices: Vec::new(),
            revision: 0,
        };
        node.restart();
        node
    }

    /// `kill -9`, and a new start.
    fn restart(&mut self) {
        self.keeper = None;
        self.calls_left.store(u32::MAX, Ordering::Relaxed);
        let interface = (self.open)(self.wire.node.interface.clone());
        let interface = Dying { interface, left: Arc::clone(&self.calls_left) };
        let dir = StateDir::new(self.folder.path());
        let enrolment: Enrolment = serde_json::from_value(serde_json::json!({
            "node": "node-1", "operator": "nordlicht", "log": "grants.example/record",
            "log_vkey": "", "reports_vkey": "", "urls": [], "joined_at": self.start.wall,
            "endpoint": format!("192.0.2.1:{NODE_PORT}"), "interface": self.wire.node.interface.as_str(),
            "backend": "auto", "addresses": ["10.9.0.1/24", "fd09::1/64"], "listen_port": NODE_PORT,
        }))
        .expect("an enrolment");
        let start = || Keeper::start(dir, enrolment, Box::new(interface), "boot", Arc::default());
        self.keeper = Some(self.wire.node.inside(start).expect("started"));
    }

    fn now(&self) -> Moment {
        Moment {
            wall: self.start.wall.plus_seconds(self.seconds),
            subsecond: Duration::ZERO,
            monotonic: self.start.monotonic + Duration::from_secs(self.seconds),
        }
    }

    /// The control plane is heard: it wants the devices.
    pub fn want(&mut self, devices: Vec<DesiredPeer>) {
        self.devices = devices;
        self.hear();
    }

    fn hear(&mut self) {
        self.revision += 1;
        let now = self.now();
        let peers = Some(self.devices.clone());
        let desired = Desired {
            revision: self.revision,
            peers,
            changes: None,
            membership: None,
            time: now.wall,
            frozen: false,
        };
        let keeper = self.keeper.as_mut().expect("it runs");
        self.wire.node.inside(|| keeper.receive(desired, now)).expect("taken");
    }

    fn try_turn(&mut self) -> anyhow::Result<()> {
        let now = self.now();
        let keeper = self.keeper.as_mut().expect("it runs");
        self.wire.node.inside(|| keeper.converge(now))
    }

    pub fn turn_after(&mut self, seconds: u64) {
        self.seconds += seconds;
        self.try_turn().expect("a turn");
    }

    /// What the journal has.
    pub fn usage(&self) -> UsageTable {
        let journal = StateDir::new(self.folder.path()).journal();
        let (state, _) = ledger::load(&journal).expect("the journal");
        state.meter.totals().clone()
    }

    /// All of that, in bytes.
    fn counted(&self) -> u64 {
        self.usage().values().map(|usage| usage.creditable.get()).sum()
    }

    /// One column of `wg show`, by peer.
    fn shown(&self, what: &str) -> BTreeMap<String, String> {
        let interface = &self.wire.node.interface;
        let text = self.wire.node.inside(|| run(&format!("wg show {interface} {what}")));
        let line = |line: &str| line.split_once('\t').map(|(key, value)| (key.to_owned(), value.to_owned()));
        text.lines().filter_map(line).collect()
    }

    /// What `wg` says that a peer moved, in bytes.
    fn moved(&self, peer: &WireGuardPublicKey) -> u64 {
        let shown = self.shown("transfer");
        let Some(numbers) = shown.get(&peer.to_string()) else { return 0 };
        numbers.split('\t').map(|number| number.parse::<u64>().expect("a counter")).sum()
    }

    /// How much of that the node received.
    fn received(&self, peer: &WireGuardPublicKey) -> u64 {
        let shown = self.shown("transfer");
        let received = shown.get(&peer.to_string()).and_then(|numbers| numbers.split('\t').next());
        received.map_or(0, |number| number.parse().expect("a counter"))
    }

    fn allowed_ips(&self, peer: &WireGuardPublicKey) -> String {
        self.shown("allowed-ips").remove(&peer.to_string()).unwrap_or_default()
    }
}

fn ips(ips: [&str; 2]) -> Vec<IpNet> {
    ips.iter().map(|ip| ip.parse().expect("an address")).collect()
}

pub fn device(public_key: WireGuardPublicKey, allowed_ips: Vec<IpNet>) -> DesiredPeer {
    DesiredPeer {
        public_key,
        allowed_ips,
        class: Class::Assigned,
        allotment: Bytes::MAX,
        period: Period::Month,
        expires: clock::now().wall.plus_seconds(400 * 86_400),
        socks5: None,
    }
}

/// Another client, on a wire of its own to the same node.
struct Neighbour {
    host: Host,
    key: [u8; 32],
}

impl Neighbour {
    fn new(wire: &Wire, label: &str) -> Self {
        let id = std::process::id();
        let host = Host::new(&format!("wgb{label}{id}"));
        let (near, far) = (&wire.node.namespace, &host.namespace);
        run(&format!("ip link add name eth1 netns {near} type veth peer name eth0 netns {far}"));
        for (namespace, address, link) in
            [(near, "198.51.100.1/24", "eth1"), (far, "198.51.100.2/24", "eth0")]
        {
            run(&format!("ip -n {namespace} address add {address} dev {link}"));
            run(&format!("ip -n {namespace} link set dev {link} up"));
        }
        let mut key = [9; 32];
        key[..4].copy_from_slice(&id.to_le_bytes());
        Self { host, key }
    }

    fn public_key(&self) -> WireGuardPublicKey {
        PublicKey::from(&StaticSecret::from(self.key)).to_bytes().into()
    }

    fn connect(&self, wire: &Wire, open: Open) {
        let node = wire.node.inside(|| run(&format!("wg show {} public-key", wire.node.interface)));
        let (node, name) = (node.trim(), &self.host.interface);
        let settings = settings(self.key, 0, &["10.9.0.3/24", "fd09::3/64"]);
        self.host.inside(|| {
            open(name.clone()).ensure_interface(&settings).expect("the neighbour's interface");
            run(&format!(
                "wg set {name} peer {node} endpoint 198.51.100.1:{NODE_PORT} allowed-ips 10.9.0.0/24,fd09::/64"
            ));
        });
    }
}

/// Waits until neither side owes the other an answer: nothing moves from then on by itself. WireGuard would ask for a new
/// session when the last packet it sent is not followed by one that it receives, and a keepalive is.
pub fn settle(node: &Node<'_>, client: &Host, peer: &WireGuardPublicKey) {
    let name = &client.interface;
    let key = client.inside(|| run(&format!("wg show {name} peers")));
    let keepalive = |seconds: u8| {
        client.inside(|| run(&format!("wg set {name} peer {} persistent-keepalive {seconds}", key.trim())));
    };
    let before = node.received(peer);
    // Sent at once, and then every so often.
    keepalive(60);
    while node.received(peer) == before {
        thread::yield_now();
    }
    keepalive(0);
}

/// Takes a client's cable out once all is quiet.
fn unplug(node: &Node<'_>, client: &Host, peer: &WireGuardPublicKey) {
    settle(node, client, peer);
    run(&format!("ip -n {} link set dev eth0 down", client.namespace));
}

fn plug(client: &Host) {
    run(&format!("ip -n {} link set dev eth0 up", client.namespace));
}

impl Wire {
    /// The client's person turns the tunnel off and on: it begins with a handshake.
    pub fn reconnect(&self) {
        let name = &self.client.interface;
        let node = self.node.inside(|| run(&format!("wg show {} public-key", self.node.interface)));
        let node = node.trim();
        self.client.inside(|| {
            run(&format!("wg set {name} peer {node} remove"));
            run(&format!(
                "wg set {name} peer {node} endpoint 192.0.2.1:{NODE_PORT} allowed-ips 10.9.0.0/24,fd09::/64"
            ));
        });
    }

    /// Sends a datagram from the client every half second until one is answered.
    fn echo_once_it_is_answered(&self) {
        let server = self.node.inside(|| UdpSocket::bind(("10.9.0.1", 0)).expect("the node's address"));
        let target = server.local_addr().expect("bound");
        let client = self.client.inside(|| UdpSocket::bind("0.0.0.0:0").expect("a socket"));
        client.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        let answered = AtomicBool::new(false);
        server.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut buffer = [0; 64];
                while !answered.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = server.recv_from(&mut buffer) {
                        let _ = server.send_to(&buffer[..length], from);
                    }
                }
            });
            // WireGuard asks for a new session 15 s after it first heard nothing.
            let back = (0..120).any(|_| {
                client.send_to(&[0x5a; 64], target).expect("sent");
                client.recv(&mut [0; 64]).is_ok()
            });
            answered.store(true, Ordering::Relaxed);
            assert!(back, "the client comes back by itself");
        });
    }
}

/// WireGuard forgets where a silent peer was, while the session of one that moves something goes on; the silent one comes back
/// by itself, and every byte counts once.
pub fn a_silent_peer_is_forgotten_and_comes_back_counted_once(open: Open, label: &str) {
    let wire = Wire::new(label);
    let neighbour = Neighbour::new(&wire, label);
    let mut node = Node::start(&wire, open);
    let (silent, busy) = (wire.client_public_key(), neighbour.public_key());
    node.want(vec![
        device(silent, wire.client_allowed_ips()),
        device(busy, ips(["10.9.0.3/32", "fd09::3/128"])),
    ]);
    wire.connect_client(open);
    neighbour.connect(&wire, open);
    wire.echo(30, "10.9.0.1");
    wire.echo_from(&neighbour.host, 30, "10.9.0.1");
    unplug(&node, &wire.client, &silent);
    node.turn_after(10);

    let before = node.moved(&silent);
    let session = node.shown("latest-handshakes")[&busy.to_string()].clone();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Each datagram must be answered.
        let traffic = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                wire.echo_from(&neighbour.host, 5, "fd09::1");
            }
        });
        let start = node.moved(&busy);
        while node.moved(&busy) < start + 10_000 {
            thread::yield_now();
        }
        node.turn_after(IDLE_SECONDS - 1);
        assert_ne!(node.shown("endpoints")[&silent.to_string()], "(none)");
        let start = node.moved(&busy);
        while node.moved(&busy) < start + 10_000 {
            thread::yield_now();
        }
        node.turn_after(1);
        over.store(true, Ordering::Relaxed);
        traffic.join().expect("no datagram was lost");
    });
    assert_eq!(node.shown("endpoints")[&silent.to_string()], "(none)");
    assert_eq!(node.shown("latest-handshakes")[&silent.to_string()], "0");
    assert_eq!(node.moved(&silent), 0);
    assert_eq!(node.shown("latest-handshakes")[&busy.to_string()], session);
    assert_ne!(node.shown("endpoints")[&busy.to_string()], "(none)");

    // The neighbour is quiet from here on.
    unplug(&node, &neighbour.host, &busy);
    node.turn_after(10);
    assert_eq!(node.counted(), before + node.moved(&busy));
    plug(&wire.client);
    wire.echo_once_it_is_answered();
    unplug(&node, &wire.client, &silent);
    node.turn_after(10);
    assert!(node.moved(&silent) > 0);
    assert_eq!(node.counted(), before + node.moved(&silent) + node.moved(&busy));
}

/// Killed before any of the steps of forgetting, the agent finishes or undoes it, and no byte is lost or counted twice.
pub fn forgetting_survives_kills_between_all_of_its_steps(open: Open, label: &str) {
    let wire = Wire::new(label);
    let mut node = Node::start(&wire, open);
    let silent = wire.client_public_key();
    node.want(vec![device(silent, wire.client_allowed_ips())]);
    wire.connect_client(open);
    let all_ips = node.allowed_ips(&silent);
    assert!(!all_ips.contains("none"), "{all_ips}");
    let mut gone = 0;
    for calls in 0.. {
        plug(&wire.client);
        wire.reconnect();
        wire.echo(3, "10.9.0.1");
        unplug(&node, &wire.client, &silent);
        node.turn_after(10);
        let before = node.moved(&silent);
        assert!(before > 0);
        node.calls_left.store(calls, Ordering::Relaxed);
        node.seconds += IDLE_SECONDS;
        let whole = node.try_turn().is_ok();
        node.restart();
        node.hear();
        node.turn_after(1);
        if node.moved(&silent) == 0 {
            gone += before;
        }
        assert_eq!(node.allowed_ips(&silent), all_ips, "killed before call {calls}");
        assert_eq!(node.counted(), gone + node.moved(&silent), "killed before call {calls}");
        if whole {
            assert_eq!(calls, 5, "it reads, silences, reads, removes and adds");
            assert_eq!(node.moved(&silent), 0);
            return;
        }
    }
}

/// A device that has used its month's allotment leaves at the next sample, and comes back when the month turns.
pub fn an_exhausted_device_leaves_and_comes_back_with_the_month(open: Open, label: &str) {
    let wire = Wire::new(label);
    let mut node = Node::start(&wire, open);
    let peer = wire.client_public_key();
    let used_by_one_echo = 2 * (1000 + 28 + 12 + 32);
    let allotment = Bytes::new(20 * used_by_one_echo).expect("bytes");
    node.want(vec![DesiredPeer { allotment, ..device(peer, wire.client_allowed_ips()) }]);
    wire.connect_client(open);
    wire.echo(15, "10.9.0.1");
    node.turn_after(10);
    assert!(node.shown("transfer").contains_key(&peer.to_string()));
    wire.echo(10, "10.9.0.1");
    unplug(&node, &wire.client, &peer);
    let moved = node.moved(&peer);
    assert!(moved > allotment.get());
    node.turn_after(10);
    assert_eq!(node.shown("transfer"), BTreeMap::new());
    assert_eq!(node.counted(), moved);

    let month = Month::of(node.now().wall);
    let days = (1..).take_while(|day| Month::of(node.now().wall.plus_seconds(day * 86_400)) == month).count();
    node.turn_after(86_400 * u64::try_from(days).expect("days of a month"));
    assert_eq!(node.shown("transfer"), BTreeMap::new());
    node.turn_after(86_400);
    plug(&wire.client);
    wire.reconnect();
    wire.echo(5, "fd09::1");
    unplug(&node, &wire.client, &peer);
    node.turn_after(10);
    assert_eq!(node.counted(), moved + node.moved(&peer));
}
