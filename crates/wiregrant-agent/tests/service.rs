//! The agent as the service that `systemd/` makes of it: an own user, one capability, and a service manager that listens.

#[path = "support/control_plane.rs"]
mod control_plane;
#[path = "support/sandbox.rs"]
mod sandbox;
mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use control_plane::ControlPlane;
use sandbox::{Notifications, Sandbox, USER};
use support::{Wire, run};
use wiregrant_agent::clock;
use wiregrant_agent::wireguard::{Choice, Interface, InterfaceName, open as open_chosen};
use wiregrant_core::Bytes;
use wiregrant_core::allotment::Period;
use wiregrant_core::counter::Reading;
use wiregrant_core::peer::DesiredPeer;
use wiregrant_core::usage_report::Class;

/// `WatchdogSec=` of these tests; wireguard-go may be silent for 10 s before the agent gives a turn up.
const WATCHDOG: Duration = Duration::from_secs(2);
/// A WireGuard message without content.
const KEEPALIVE_BYTES: u64 = 32;
/// What a client may send within some seconds that finds no session, to begin one: 148 bytes at a time, each 5 s.
const HANDSHAKE_BYTES: u64 = 4 * 148;
/// `CAP_NET_ADMIN`, bit 12.
const NET_ADMIN: &str = "0000000000001000";

fn open(name: InterfaceName) -> Box<dyn Interface> {
    open_chosen(Choice::WireGuardGo, name).expect("wireguard-go needs no preparation")
}

/// A node whose agent and wireguard-go are services.
struct Node {
    wire: Arc<Wire>,
    control_plane: ControlPlane,
    manager: Notifications,
    sandbox: Sandbox,
    wireguard_go: Option<Child>,
    agent: Option<Child>,
}

impl Node {
    /// Joins, by root as its operator does.
    fn joined(label: &str) -> Self {
        let wire = Arc::new(Wire::new(label));
        let control_plane = wire.node.inside(ControlPlane::start);
        let (manager, sandbox) = (Notifications::new(&wire.node), wire.node.inside(Sandbox::new));
        let node = Self { wire, control_plane, manager, sandbox, wireguard_go: None, agent: None };
        let invitation = node.control_plane.invitation().to_string();
        let mut join = node.by_root("join");
        join.args([&invitation, "--endpoint", "192.0.2.1:51820", "--backend", "wireguard-go", "--interface"]);
        let joined = node.wire.node.inside(|| join.arg(node.wire.node.interface.as_str()).output());
        let joined = joined.expect("it runs");
        assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
        node
    }

    /// A command of the agent's, by root.
    fn by_root(&self, name: &str) -> Command {
        let mut command = self.sandbox.as_root(self.sandbox.path("bin/wiregrant-agent"));
        command.arg(name).arg("--state-dir").arg(self.sandbox.path("state"));
        command
    }

    fn start_wireguard_go(&mut self) {
        let host = &self.wire.node;
        let mut unit = self.sandbox.as_service("wiregrant-wireguard-go@.service", host.interface.as_str());
        self.wireguard_go = Some(host.inside(|| unit.spawn()).expect("it starts"));
    }

    fn start_agent(&mut self) {
        let mut unit = self.sandbox.as_service("wiregrant-agent.service", "");
        unit.arg("--state-dir").arg(self.sandbox.path("state"));
        unit.arg("--config").arg(self.sandbox.path("agent.toml"));
        unit.env("NOTIFY_SOCKET", &self.manager.name);
        unit.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        self.agent = Some(self.wire.node.inside(|| unit.spawn()).expect("it starts"));
    }

    /// All started, and ready.
    fn started(label: &str) -> Self {
        let mut node = Self::joined(label);
        node.configure("");
        node.start_wireguard_go();
        node.start_agent();
        node.manager.wait_for("READY=1");
        node
    }

    fn configure(&self, more: &str) {
        // These tests talk to the node's own address inside the tunnel, which the firewall is there to prevent.
        let text = format!("sample_seconds = 1\nreport_seconds = 1\nfirewall.enabled = false\n{more}");
        fs::write(self.sandbox.path("agent.toml"), text).expect("written");
    }

    fn signal(&self, signal: &str) {
        run(&format!("kill -{signal} {}", self.agent.as_ref().expect("it runs").id()));
    }

    fn stop_agent(&mut self) {
        self.signal("TERM");
        self.manager.wait_for("STOPPING=1");
        assert!(self.agent.take().expect("it runs").wait().expect("it ends").success());
    }

    /// `wg show`, by root.
    fn wg_show(&self, what: &str) -> String {
        let mut wg = self.sandbox.as_root("wg");
        wg.args(["show", self.wire.node.interface.as_str(), what]);
        let output = self.wire.node.inside(|| wg.output()).expect("wg is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn admit_client(&self) {
        let peer = DesiredPeer {
            public_key: self.wire.client_public_key(),
            allowed_ips: self.wire.client_allowed_ips(),
            class: Class::Assigned,
            allotment: Bytes::MAX,
            expires: clock::now().wall.plus_seconds(3600),
            period: Period::Total,
            socks5: None,
        };
        self.control_plane.change(|script| script.peers = vec![peer]);
        while !self.wg_show("peers").contains(&self.wire.client_public_key().to_string()) {
            std::thread::yield_now();
        }
        self.wire.connect_client_to(&self.wg_show("public-key"), open);
    }

    /// Waits until the reports say exactly what the client's own WireGuard says, seen from the other end.
    fn reported_equals_the_clients_counters(&self) {
        self.control_plane.until("the reports say what the client's WireGuard says", |script| {
            let client = self.wire.seen_by_wg(&self.wire.client);
            let usage = script.reports.last().and_then(|last| last.content().usage.values().next().copied());
            usage.is_some_and(|usage| {
                let node = Reading { received: usage.received.get(), sent: usage.sent.get() };
                node == Reading { received: client.sent, sent: client.received }
            })
        });
    }

    /// The totals of the last report.
    fn reported(&self) -> Reading {
        self.control_plane.change(|script| {
            let usage = script.reports.last().and_then(|last| last.content().usage.values().next().copied());
            let usage = usage.expect("something was reported");
            Reading { received: usage.received.get(), sent: usage.sent.get() }
        })
    }

    fn handshakes_of_client(&self) -> String {
        let client = &self.wire.client;
        client.inside(|| run(&format!("wg show {} latest-handshakes", client.interface)))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for child in [self.agent.take(), self.wireguard_go.take()].iter_mut().flatten() {
            // Also one that a test has halted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A line of `/proc/<process>/status`.
fn status_line(process: &Child, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("the kernel tells it").split_whitespace().next().expect("a value").to_owned()
}

#[test]
fn with_one_capability_it_serves_and_is_upgraded_under_traffic_without_losing_a_byte() {
    let mut node = Node::joined("a");
    node.configure("");
    // The agent comes first and waits for the other unit.
    node.start_agent();
    node.start_wireguard_go();
    node.manager.wait_for("READY=1");
    for process in [&node.agent, &node.wireguard_go].into_iter().flatten() {
        assert_eq!(status_line(process, "Uid"), USER.to_string());
        assert_eq!(status_line(process, "NoNewPrivs"), "1");
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(status_line(process, set), NET_ADMIN, "{set}");
        }
    }
    node.admit_client();
    node.wire.echo(50, "10.9.0.1");
    node.reported_equals_the_clients_counters();

    let before = node.handshakes_of_client();
    let upgraded = AtomicBool::new(false);
    let wire = Arc::clone(&node.wire);
    std::thread::scope(|scope| {
        let (wire, upgraded) = (&wire, &upgraded);
        // Each datagram has to come back, or the test ends.
        let traffic = scope.spawn(move || {
            while !upgraded.load(Ordering::Relaxed) {
                wire.echo(20, "10.9.0.1");
            }
        });
        for _ in 0..2 {
            node.stop_agent();
            node.sandbox.install();
            node.start_agent();
            node.manager.wait_for("READY=1");
        }
        upgraded.store(true, Ordering::Relaxed);
        traffic.join().expect("nothing was lost");
    });
    node.reported_equals_the_clients_counters();
    assert_eq!(node.handshakes_of_client(), before, "the session went on");

    // The firewall is within its one capability too; forwarding is on already, by sysctl.d.
    let host = &node.wire.node;
    host.inside(|| run("sysctl -qw net.ipv4.ip_forward=1"));
    let tables = |text: &str| {
        fs::write(node.sandbox.path("agent.toml"), text).expect("written");
        node.signal("HUP");
        node.manager.wait_for("READY=1");
        host.inside(|| run("nft list tables"))
    };
    let table = format!("table inet wiregrant_{}\n", host.interface);
    assert!(tables("firewall.egress = 'eth0'").contains(&table));
    assert!(!tables("firewall.enabled = false").contains(&table));

    // What root made at the start and what the services made since is theirs, and nobody else's.
    for folder in [node.sandbox.path("state"), "/run/wireguard".into()] {
        let listed = node.sandbox.as_root("stat").arg("--format=%u %a").arg(&folder).output().expect("stat");
        assert_eq!(String::from_utf8_lossy(&listed.stdout).trim(), format!("{USER} 700"));
        let mut others = node.sandbox.as_root("find");
        others.arg(&folder).args(["!", "-uid", &USER.to_string(), "-o", "-perm", "/077"]);
        let others = others.output().expect("find");
        assert_eq!(String::from_utf8_lossy(&others.stdout), "", "in {}", folder.display());
    }
    let status = node.wire.node.inside(|| node.by_root("status").arg("--json").output()).expect("it runs");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("one JSON object");
    assert_eq!((&status["running"], &status["peers_live"]), (&true.into(), &1.into()));
    node.stop_agent();
    node.wire.echo(5, "10.9.0.1");
}

#[test]
fn a_reload_takes_good_choices_at_once_and_leaves_all_as_it_was_for_bad_ones() {
    let node = Node::started("b");
    node.admit_client();
    node.wire.echo(10, "10.9.0.1");
    let (session, reload) = (node.handshakes_of_client(), |text: &str| {
        node.configure(text);
        node.signal("HUP");
        node.manager.wait_for("RELOADING=1\nMONOTONIC_USEC=");
        node.manager.wait_for("READY=1");
        let status =
            node.wire.node.inside(|| node.by_root("status").arg("--json").output()).expect("it runs");
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("one JSON object");
        (
            status["endpoint"].as_str().expect("a text").to_owned(),
            node.wg_show("listen-port").trim().to_owned(),
        )
    });
    let moved = ("vpn.example:51999".to_owned(), "51999".to_owned());
    assert_eq!(reload("endpoint = 'vpn.example:51999'"), moved);
    // Refused in the file, and by the machine: the port is another's.
    assert_eq!(reload("endpoint = 'vpn.example'\nno_such_choice = 1"), moved);
    let _taken = node.wire.node.inside(|| std::net::UdpSocket::bind("0.0.0.0:52000")).expect("free");
    assert_eq!(reload("endpoint = 'vpn.example:52000'"), moved);
    // Without the line it stays where it is.
    assert_eq!(reload(""), moved);
    // The client hears from the node at its new port and goes on with the same session.
    let (client, key) = (&node.wire.client, node.wg_show("public-key"));
    let set = format!("wg set {} peer {} endpoint 192.0.2.1:51999", client.interface, key.trim());
    client.inside(|| run(&set));
    node.wire.echo(10, "10.9.0.1");
    assert_eq!(node.handshakes_of_client(), session);
    node.reported_equals_the_clients_counters();
}

#[test]
fn a_sampler_that_hangs_misses_the_watchdog_and_one_that_goes_on_feeds_it_again() {
    let node = Node::started("c");
    node.manager.wait_for("WATCHDOG=1");
    let wireguard_go = node.wireguard_go.as_ref().expect("it runs").id();
    run(&format!("kill -STOP {wireguard_go}"));
    // As the service manager counts: silence for as long as `WatchdogSec=`. Messages of before may still be read.
    let until_silence = (0..1000).position(|_| {
        loop {
            match node.manager.next_within(WATCHDOG) {
                None => break true,
                Some(message) if message == "WATCHDOG=1" => break false,
                Some(_) => {}
            }
        }
    });
    assert!(until_silence.is_some(), "the watchdog was fed although nothing answers");
    run(&format!("kill -CONT {wireguard_go}"));
    node.manager.wait_for("WATCHDOG=1");
}

#[test]
fn a_file_is_checked_before_it_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("agent.toml");
    let check = |text: &str| {
        fs::write(&file, text).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_wiregrant-agent"));
        let output = command.arg("check-config").arg("--config").arg(&file).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).expect("text"))
    };
    let (code, said) = check("sample_seconds = 5\n[metrics]\nlisten = '[::1]:9586'\n");
    assert!(code == Some(0) && said.ends_with("agent.toml: can be used\n"), "{said}");
    let (code, said) = check("sample_seconds = 5000\n");
    assert!(code == Some(1) && said.contains("sample_seconds: 5000 is not 1 to 3600"), "{said}");
}

#[test]
fn a_watched_status_shows_what_moves_and_disturbs_nobody() {
    let node = Node::started("d");
    node.admit_client();
    let watch = |form: &[&str]| {
        let mut status = node.by_root("status");
        status.arg("--watch").args(form).stdout(Stdio::piped());
        let mut child = node.wire.node.inside(|| status.spawn()).expect("it runs");
        let lines =
            BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
        (child, lines)
    };
    let (mut child, lines) = watch(&["--json"]);
    let moved = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line).expect("an object a line"));
    let moved = moved.inspect(|_| node.wire.echo(20, "10.9.0.1"));
    let rate = |status: &serde_json::Value, name: &str| status["rate"][name].as_u64().unwrap_or_default();
    let seen = moved.take(30).find(|status| {
        ["received_bits_per_second", "sent_bits_per_second"]
            .iter()
            .all(|name| rate(status, name) > 8 * 20_000)
    });
    let seen = seen.expect("20 datagrams of 1000 bytes each way between two looks");
    assert_eq!((&seen["running"], &seen["peers_live"]), (&true.into(), &1.into()));
    child.kill().expect("it runs until it is ended");
    child.wait().expect("it ends");

    // Where it prints to is no terminal: one block after the other, each whole.
    let (mut child, lines) = watch(&[]);
    let nodes: Vec<_> = lines.filter(|line| line.starts_with("node ")).take(2).collect();
    assert!(nodes.iter().all(|line| line.ends_with("node-1 of operator nordlicht")), "{nodes:?}");
    // Its reader is gone: it ends by itself, and well.
    assert!(child.wait().expect("it ends").success());
    node.reported_equals_the_clients_counters();
}

/// One connection to the metrics, whole.
fn answered(node: &Node, request: &[u8]) -> String {
    let mut stream = node.wire.node.inside(|| TcpStream::connect("127.0.0.1:9586")).expect("it listens");
    stream.write_all(request).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

#[test]
fn metrics_come_and_go_with_the_configuration() {
    let node = Node::started("e");
    node.admit_client();
    node.wire.echo(20, "10.9.0.1");
    node.reported_equals_the_clients_counters();
    let connect = || node.wire.node.inside(|| TcpStream::connect("127.0.0.1:9586"));
    assert!(connect().is_err(), "off unless asked for");
    node.configure("[metrics]\nlisten = '127.0.0.1:9586'");
    node.signal("HUP");
    node.manager.wait_for("READY=1");
    while connect().is_err() {
        std::thread::yield_now();
    }
    // Slow ones hold no more than their share, and are cut off.
    let slow: Vec<_> = (0..8).map(|_| connect().expect("it listens")).collect();
    let answer = answered(&node, b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n");
    drop(slow);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
    let value = |name: &str| {
        let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in {body}")).to_owned()
    };
    let traffic = "wiregrant_agent_traffic_bytes_total{service=\"wireguard\",class=\"assigned\",direction";
    // As of the last turn; a keepalive may have come since.
    let counted =
        |direction: &str| value(&format!("{traffic}=\"{direction}\"}}")).parse::<u64>().expect("bytes");
    let client = node.wire.seen_by_wg(&node.wire.client);
    for (counted, client) in [(counted("received"), client.sent), (counted("sent"), client.received)] {
        assert!(counted <= client && client - counted <= KEEPALIVE_BYTES, "{counted} of {client}");
    }
    assert_eq!(value("wiregrant_agent_peers_live"), "1");
    assert_eq!(value("wiregrant_agent_clock_state{state=\"good\"}"), "1");
    for secret in [node.wire.client_public_key().to_string(), "192.0.2.".into(), "10.9.0.".into()] {
        assert!(!body.contains(&secret), "{secret} in {body}");
    }
    assert!(answered(&node, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(answered(&node, &[b'x'; 4096]).starts_with("HTTP/1.1 431 "));

    node.configure("");
    node.signal("HUP");
    node.manager.wait_for("READY=1");
    while connect().is_ok() {
        std::thread::yield_now();
    }
}

#[test]
fn a_wireguard_go_that_crashed_is_made_the_nodes_again_by_the_agent_that_runs() {
    let mut node = Node::started("f");
    node.admit_client();
    let key = node.wg_show("public-key");
    node.wire.echo(20, "10.9.0.1");
    node.reported_equals_the_clients_counters();
    let mut crashed = node.wireguard_go.take().expect("it runs");
    crashed.kill().expect("it runs");
    crashed.wait().expect("it ends");
    // As `Restart=on-failure` does. What comes has neither key nor peers nor addresses.
    node.start_wireguard_go();
    let status = || node.wire.node.inside(|| node.by_root("status").arg("--json").output()).expect("it runs");
    while !String::from_utf8_lossy(&status().stdout).contains("\"peers_live\": 1") {
        std::thread::yield_now();
    }
    assert_eq!((node.wg_show("public-key"), node.wg_show("listen-port").trim()), (key, "51820"));
    // Its counters began anew; nothing that was counted is counted again.
    let before = node.reported();
    let reports = node.control_plane.change(|script| script.reports.len());
    node.control_plane.until("two more reports came", |script| script.reports.len() > reports + 1);
    let after = node.reported();
    assert!(after.received - before.received <= HANDSHAKE_BYTES, "{before:?} {after:?}");
}
