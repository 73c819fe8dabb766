//! A node to measure: enrolled with nobody, with as many peers as are wanted.

use std::sync::Arc;

use ipnet::IpNet;
use transparency_log::SigningKey;
use wiregrant_agent::clock;
use wiregrant_agent::config::Config;
use wiregrant_agent::enrolment::Enrolment;
use wiregrant_agent::keeper::Keeper;
use wiregrant_agent::state_dir::StateDir;
use wiregrant_agent::wireguard::{Choice, Interface, InterfaceName, delete_interface, open};
use wiregrant_core::allotment::Period;
use wiregrant_core::api::Desired;
use wiregrant_core::peer::DesiredPeer;
use wiregrant_core::usage_report::Class;
use wiregrant_core::{Bytes, WireGuardPublicKey};

/// The keeper of a node, whose interface goes with it.
pub struct Node {
    pub keeper: Keeper,
    pub name: InterfaceName,
    folder: tempfile::TempDir,
    revision: u64,
}

impl Node {
    pub fn start(backend: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let name: InterfaceName = format!("wgbench{}", std::process::id()).parse().expect("a name");
        let dir = StateDir::new(folder.path());
        let enrolment = enrolment(&name, backend);
        let interface = interface(&name, backend);
        let config = Arc::new(Config::default());
        let keeper = Keeper::start(dir, enrolment, interface, "boot", config).expect("started");
        Self { keeper, name, folder, revision: 0 }
    }

    /// The control plane wants these peers.
    pub fn receive(&mut self, peers: Vec<DesiredPeer>) {
        self.revision += 1;
        let now = clock::now();
        let desired = Desired {
            revision: self.revision,
            peers: Some(peers),
            changes: None,
            membership: None,
            time: now.wall,
            frozen: false,
        };
        self.keeper.receive(desired, now).expect("received");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let key = StateDir::new(self.folder.path()).wireguard_key().expect("the key");
        if let Err(error) = delete_interface(&self.name, &key) {
            eprintln!("{error}");
        }
    }
}

/// The way to the interface of this name.
pub fn interface(name: &InterfaceName, backend: &str) -> Box<dyn Interface> {
    let choice: Choice = backend.parse().expect("a backend");
    open(choice, name.clone()).expect("it needs no preparation")
}

fn enrolment(name: &InterfaceName, backend: &str) -> Enrolment {
    let vkey = |log: &str| SigningKey::new(log, [1; 32]).expect("a name").verifier().to_string();
    Enrolment {
        node: "node-1".parse().expect("an id"),
        operator: "nordlicht".parse().expect("an id"),
        log: "grants.example/record".parse().expect("an origin"),
        log_vkey: vkey("grants.example/record"),
        reports_vkey: vkey("grants.example/reports"),
        urls: vec!["http://127.0.0.1:1".into()],
        joined_at: clock::now().wall,
        endpoint: "192.0.2.1:51820".into(),
        interface: name.to_string(),
        backend: backend.into(),
        addresses: vec![
            "10.9.0.1/16".parse().expect("an address"),
            "fd09::1/64".parse().expect("an address"),
        ],
        listen_port: 51820,
        pin: None,
        former_vkeys: Vec::new(),
        former_logs: Vec::new(),
        former_log_vkeys: Vec::new(),
    }
}

/// A peer that is nobody's, with an address of its own of both kinds. At most 65,000 exist.
pub fn stranger(number: u32) -> DesiredPeer {
    // Spread over all keys, as real ones are.
    let mut key = [0x5a; 32];
    key[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    key[4..8].copy_from_slice(&number.to_be_bytes());
    let [_, _, high, low] = (number + 2).to_be_bytes();
    DesiredPeer {
        public_key: key.into(),
        allowed_ips: vec![
            format!("10.9.{high}.{low}/32").parse().expect("an address"),
            format!("fd09::1:{number:x}/128").parse().expect("an address"),
        ],
        class: Class::Assigned,
        allotment: Bytes::MAX,
        period: Period::Month,
        expires: clock::now().wall.plus_seconds(86_400 * 30),
        socks5: None,
    }
}

pub fn strangers(count: u32) -> Vec<DesiredPeer> {
    (0..count).map(stranger).collect()
}

/// A peer and its allowed IPs, as an interface takes them.
pub fn as_set(peers: &[DesiredPeer]) -> Vec<(WireGuardPublicKey, Vec<IpNet>)> {
    peers.iter().map(|peer| (peer.public_key, peer.allowed_ips.clone())).collect()
}
