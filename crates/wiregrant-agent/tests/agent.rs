//! The whole agent as a process, on a real wire: it joins, serves, counts, reports, and is killed.

#[path = "support/control_plane.rs"]
mod control_plane;
mod support;

use std::process::{Child, Command, Stdio};

use control_plane::{ControlPlane, Script};
use support::{Host, Wire, run};
use wiregrant_agent::clock;
use wiregrant_agent::wireguard::{Choice, Interface, InterfaceName, open as open_chosen};
use wiregrant_core::Bytes;
use wiregrant_core::api::Membership;
use wiregrant_core::counter::Reading;
use wiregrant_core::epoch::Schedule;
use wiregrant_core::note::Signed;
use wiregrant_core::peer::DesiredPeer;
use wiregrant_core::usage_report::Class;

fn open(name: InterfaceName) -> Box<dyn Interface> {
    open_chosen(Choice::WireGuardGo, name).expect("wireguard-go needs no preparation")
}

/// A node with an agent, its control plane and a client.
struct Node {
    wire: Wire,
    control_plane: ControlPlane,
    folder: tempfile::TempDir,
    agent: Option<Child>,
}

impl Node {
    /// Joins and starts the agent.
    fn start(label: &str) -> Self {
        let wire = Wire::new(label);
        let control_plane = wire.node.inside(ControlPlane::start);
        let folder = tempfile::tempdir().expect("a folder");
        let mut node = Self { wire, control_plane, folder, agent: None };
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

    fn host(&self) -> &Host {
        &self.wire.node
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wiregrant-agent"));
        command.arg(name).arg("--state-dir").arg(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&mut self) {
        // These tests talk to the node's own address inside the tunnel, which the firewall is there to prevent.
        let config = self.folder.path().join("agent.toml");
        std::fs::write(&config, "sample_seconds = 1\nreport_seconds = 1\n[firewall]\nenabled = false\n")
            .expect("written");
        let child = self.host().inside(|| self.command("run").arg("--config").arg(config).spawn());
        self.agent = Some(child.expect("the agent runs"));
    }

    /// `kill -9`.
    fn kill(&mut self) {
        let mut agent = self.agent.take().expect("it runs");
        agent.kill().expect("it can be killed");
        agent.wait().expect("it ends");
    }

    /// Asks the agent to stop; it must end well.
    fn stop(&mut self) {
        let mut agent = self.agent.take().expect("it runs");
        run(&format!("kill -TERM {}", agent.id()));
        assert!(agent.wait().expect("it ends").success());
    }

    /// The control plane wants the client, and the node has it.
    fn admit_client(&self) {
        let peer = DesiredPeer {
            public_key: self.wire.client_public_key(),
            allowed_ips: self.wire.client_allowed_ips(),
            class: Class::Assigned,
            allotment: Bytes::MAX,
            expires: clock::now().wall.plus_seconds(3600),
            period: wiregrant_core::allotment::Period::Total,
            socks5: None,
        };
        self.control_plane.change(|script| script.peers = vec![peer]);
        while !self.peers().contains(&self.wire.client_public_key().to_string()) {
            std::thread::yield_now();
        }
        self.wire.connect_client(open);
    }

    /// Waits until the control plane has exactly the bytes that the node's own `wg` shows, plus `before`.
    fn reported_equals_wg(&self, before: Reading) {
        self.control_plane.until("the reports say what wg says", |script| {
            let now = self.wire.seen_by_wg(self.host());
            let (received, sent) = (before.received + now.received, before.sent + now.sent);
            reported(script) == Reading { received, sent }
        });
    }

    /// The keys of the live peers.
    fn peers(&self) -> String {
        let command = format!("show {} peers", self.host().interface);
        let output = self.host().inside(|| Command::new("wg").args(command.split(' ')).output());
        String::from_utf8(output.expect("wg is installed").stdout).expect("text")
    }

    fn status(&self) -> serde_json::Value {
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

/// The totals of the last accepted report.
fn reported(script: &Script) -> Reading {
    let last = script.reports.last();
    let usage = last.and_then(|last| last.content().usage.values().next().copied()).unwrap_or_default();
    assert_eq!(usage.creditable.get(), usage.received.get() + usage.sent.get());
    Reading { received: usage.received.get(), sent: usage.sent.get() }
}

#[test]
fn every_byte_is_reported_once_through_kills_and_a_removal() {
    let mut node = Node::start("k");
    node.admit_client();
    node.wire.echo(100, "10.9.0.1");
    node.reported_equals_wg(Reading::default());

    for round in 0..3 {
        node.kill();
        // The tunnel carries on while nobody looks.
        node.wire.echo(50 + round, "fd09::1");
        node.run();
        node.wire.echo(50, "10.9.0.1");
        node.reported_equals_wg(Reading::default());
    }

    // Removed and admitted again: the peer begins at zero, the node's totals do not.
    let before = node.wire.seen_by_wg(node.host());
    node.control_plane.change(|script| script.peers.clear());
    while !node.peers().is_empty() {
        std::thread::yield_now();
    }
    run(&format!("ip -n {} link delete dev {}", node.wire.client.namespace, node.wire.client.interface));
    node.admit_client();
    node.wire.echo(40, "10.9.0.1");
    node.reported_equals_wg(before);

    node.stop();
    assert_eq!(
        node.peers().trim(),
        node.wire.client_public_key().to_string(),
        "the tunnel outlives the agent"
    );
    node.wire.echo(5, "10.9.0.1");
}

#[test]
fn a_report_whose_answer_was_lost_is_sent_again_unchanged() {
    let node = Node::start("l");
    node.admit_client();
    node.control_plane.until("a report came", |script| !script.reports.is_empty());
    // `accept` ends the test when a sequence number comes with another text.
    node.control_plane.change(|script| script.lost_answers = 2);
    node.wire.echo(20, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
    node.control_plane.until("all answers were lost and made good", |script| script.lost_answers == 0);
}

#[test]
fn each_epoch_ends_with_a_report_at_its_boundary() {
    let node = Node::start("m");
    let start = clock::now().wall.plus_seconds(2);
    node.control_plane.change(|script| {
        script.membership = Some(Membership {
            grant: "g".parse().expect("an id"),
            node: "node-1".parse().expect("an id"),
            schedule: Schedule { start, epoch_seconds: 3, epochs: 3 },
            first_epoch: 1,
            end_epoch: None,
        });
    });
    node.control_plane.until("the grant is over", |script| {
        let labels = script.reports.iter().map(|report| report.content().epoch.as_ref().map(|e| e.number));
        labels.skip_while(Option::is_none).any(|label| label.is_none())
    });
    let closings = node.control_plane.change(|script| {
        let closing = |number| {
            let reports = script.reports.iter().map(Signed::content);
            let of_epoch = reports.filter(|report| report.epoch.as_ref().is_some_and(|e| e.number == number));
            of_epoch.map(|report| report.end).max()
        };
        [closing(1), closing(2), closing(3)]
    });
    assert_eq!(closings, [3, 6, 9].map(|seconds| Some(start.plus_seconds(seconds))));
}

#[test]
fn a_state_directory_older_than_the_nodes_reports_takes_their_totals_over() {
    let mut node = Node::start("n");
    node.admit_client();
    node.wire.echo(30, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
    node.kill();
    // As after the restoration of a snapshot from before the first report.
    std::fs::remove_file(node.folder.path().join("journal")).expect("it is there");
    let before = node.control_plane.change(|script| reported(script));
    node.run();
    let reports = node.control_plane.change(|script| script.reports.len());
    node.control_plane.until("it reports again", |script| script.reports.len() > reports + 1);
    assert_eq!(node.control_plane.change(|script| reported(script)), before, "nothing moved since");
    node.wire.echo(30, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
}

#[test]
fn a_frozen_node_or_one_whose_clock_is_off_counts_on_and_reports_when_it_may() {
    let node = Node::start("o");
    node.admit_client();
    node.control_plane.until("a report came", |script| !script.reports.is_empty());
    for (disturb, mend) in [
        (
            (|script| script.frozen = true) as fn(&mut Script),
            (|script| script.frozen = false) as fn(&mut Script),
        ),
        (|script| script.ahead_seconds = 86_400, |script| script.ahead_seconds = 0),
    ] {
        node.control_plane.change(disturb);
        let mut status = node.status();
        while status["frozen"] == false && status["clock"] != "off" {
            status = node.status();
        }
        let reports = node.control_plane.change(|script| script.reports.len());
        node.wire.echo(20, "10.9.0.1");
        assert_eq!(node.control_plane.change(|script| script.reports.len()), reports);
        assert_eq!((&status["running"], &status["peers_live"]), (&true.into(), &1.into()));
        node.control_plane.change(mend);
        node.reported_equals_wg(Reading::default());
    }
}
