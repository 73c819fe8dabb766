//! A node with a real agent, the stand-in control plane and a client on one wire.

// Each test binary compiles this of its own, and none uses all of it.
#![allow(dead_code)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ipnet::IpNet;
use wiregrant_agent::clock;
use wiregrant_agent::wireguard::{Choice, Interface, InterfaceName, open as open_chosen};
use wiregrant_core::allotment::Period;
use wiregrant_core::counter::Reading;
use wiregrant_core::peer::DesiredPeer;
use wiregrant_core::usage_report::Class;
use wiregrant_core::{Bytes, WireGuardPublicKey};

use super::control_plane::{ControlPlane, Script, Version};
use super::support::{Host, Wire, run};

pub fn open(name: InterfaceName) -> Box<dyn Interface> {
    open_chosen(Choice::WireGuardGo, name).expect("wireguard-go needs no preparation")
}

/// A node with an agent, its control plane and a client.
pub struct Node {
    pub wire: Wire,
    pub control_plane: ControlPlane,
    pub folder: tempfile::TempDir,
    pub agent: Option<Child>,
}

impl Node {
    /// Joins and starts the agent.
    pub fn start(label: &str) -> Self {
        Self::start_on(label, |_| ())
    }

    /// The same, on a state directory that `prepare` makes.
    pub fn start_on(label: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::start_under(label, Version::Same, prepare)
    }

    /// The same, under a control plane of a version.
    pub fn start_under(label: &str, version: Version, prepare: impl FnOnce(&Path)) -> Self {
        let wire = Wire::new(label);
        let control_plane = wire.node.inside(|| ControlPlane::start_as(version));
        let folder = tempfile::tempdir().expect("a folder");
        let mut node = Self { wire, control_plane, folder, agent: None };
        prepare(&node.state());
        let invitation = node.control_plane.invitation().to_string();
        let interface = node.host().interface.to_string();
        let joined = node.host().inside(|| {
            let endpoint = ["--endpoint", "192.0.2.1:51820", "--backend", "wireguard-go"];
            node.command("join").arg(invitation).args(endpoint).args(["--interface", &interface]).output()
        });
        let joined = joined.expect("the agent runs");
        assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
        node.run();
        // Asked of the agent: `wg` would delete the socket of a wireguard-go that does not listen yet.
        while !node.status()["peers_live"].is_u64() {
            std::thread::yield_now();
        }
        node
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn host(&self) -> &Host {
        &self.wire.node
    }

    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wiregrant-agent"));
        command.arg(name).arg("--state-dir").arg(self.state()).stdin(Stdio::null());
        command
    }

    pub fn run(&mut self) {
        let mut command = self.run_command();
        let child = self.host().inside(|| command.spawn());
        self.agent = Some(child.expect("the agent runs"));
    }

    /// What runs the agent.
    pub fn run_command(&self) -> Command {
        let config = self.configure("");
        let mut command = self.command("run");
        command.arg("--config").arg(config);
        command
    }

    /// Runs with everything in the log, which is kept.
    pub fn run_with_a_log(&mut self) {
        let config = self.configure("");
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"));
        let mut command = self.command("run");
        command.arg("--config").arg(config).env("RUST_LOG", "trace").stderr(log.expect("a file"));
        self.agent = Some(self.host().inside(|| command.spawn()).expect("the agent runs"));
    }

    /// Writes the configuration of these tests, with more lines at its head.
    pub fn configure(&self, more: &str) -> PathBuf {
        let config = self.folder.path().join("agent.toml");
        // These tests talk to the node's own address inside the tunnel, which the firewall is there to prevent.
        let text = format!("{more}sample_seconds = 1\nreport_seconds = 1\nfirewall.enabled = false\n");
        std::fs::write(&config, text).expect("written");
        config
    }

    /// Has the running agent take a changed configuration.
    pub fn reconfigure(&self, more: &str) {
        self.configure(more);
        run(&format!("kill -HUP {}", self.agent.as_ref().expect("it runs").id()));
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut agent = self.agent.take().expect("it runs");
        agent.kill().expect("it can be killed");
        agent.wait().expect("it ends");
    }

    /// Asks the agent to stop; it must end well.
    pub fn stop(&mut self) {
        let mut agent = self.agent.take().expect("it runs");
        run(&format!("kill -TERM {}", agent.id()));
        assert!(agent.wait().expect("it ends").success());
    }

    /// The control plane wants the client, and the node has it.
    pub fn admit_client(&self) {
        self.admit_client_with(Bytes::MAX);
    }

    /// The same, with so many bytes to use.
    pub fn admit_client_with(&self, allotment: Bytes) {
        let (key, allowed_ips) = (self.wire.client_public_key(), self.wire.client_allowed_ips());
        let peer = DesiredPeer { allotment, ..desired(key, allowed_ips) };
        self.control_plane.change(|script| script.peers = vec![peer]);
        while !self.peers().contains(&self.wire.client_public_key().to_string()) {
            std::thread::yield_now();
        }
        self.wire.connect_client(open);
    }

    /// The client's end begins anew, with a handshake.
    pub fn reconnect_client(&self) {
        let (namespace, interface) = (&self.wire.client.namespace, &self.wire.client.interface);
        run(&format!("ip -n {namespace} link delete dev {interface}"));
        self.wire.connect_client(open);
    }

    /// Waits until the control plane has exactly the bytes that the node's own `wg` shows, plus `before`.
    pub fn reported_equals_wg(&self, before: Reading) {
        self.control_plane.until("the reports say what wg says", |script| {
            let now = self.wire.seen_by_wg(self.host());
            let (received, sent) = (before.received + now.received, before.sent + now.sent);
            reported(script) == Reading { received, sent }
        });
    }

    /// The keys of the live peers.
    pub fn peers(&self) -> String {
        let command = format!("show {} peers", self.host().interface);
        let output = self.host().inside(|| Command::new("wg").args(command.split(' ')).output());
        String::from_utf8(output.expect("wg is installed").stdout).expect("text")
    }

    pub fn status(&self) -> serde_json::Value {
        let output = self.host().inside(|| self.command("status").arg("--json").output()).expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

/// A device whom the control plane wants for an hour.
pub fn desired(public_key: WireGuardPublicKey, allowed_ips: Vec<IpNet>) -> DesiredPeer {
    DesiredPeer {
        public_key,
        allowed_ips,
        class: Class::Assigned,
        allotment: Bytes::MAX,
        expires: clock::now().wall.plus_seconds(3600),
        period: Period::Total,
        socks5: None,
    }
}

/// The totals of the last accepted report.
pub fn reported(script: &Script) -> Reading {
    let last = script.reports.last();
    let usage = last.and_then(|last| last.content().usage.values().next().copied()).unwrap_or_default();
    assert_eq!(usage.creditable.get(), usage.received.get() + usage.sent.get());
    Reading { received: usage.received.get(), sent: usage.sent.get() }
}
