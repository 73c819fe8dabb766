//! The host around the agent: what `doctor` says of it, and that `down` leaves it as it was.

#[path = "support/control_plane.rs"]
mod control_plane;
mod support;

use std::process::{Child, Command, Output, Stdio};

use control_plane::ControlPlane;
use support::{Wire, run};
use wiregrant_agent::clock;
use wiregrant_agent::wireguard::{Choice, Interface, InterfaceName, open as open_chosen};
use wiregrant_core::Bytes;
use wiregrant_core::allotment::Period;
use wiregrant_core::counter::Reading;
use wiregrant_core::peer::DesiredPeer;
use wiregrant_core::usage_report::Class;

fn open(name: InterfaceName) -> Box<dyn Interface> {
    open_chosen(Choice::WireGuardGo, name).expect("wireguard-go needs no preparation")
}

/// A node that may have an agent.
struct Node {
    wire: Wire,
    control_plane: ControlPlane,
    folder: tempfile::TempDir,
    agent: Option<Child>,
}

impl Node {
    fn new(label: &str) -> Self {
        let wire = Wire::new(label);
        let control_plane = wire.node.inside(ControlPlane::start);
        Self { wire, control_plane, folder: tempfile::tempdir().expect("a folder"), agent: None }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wiregrant-agent"));
        command.arg(name).arg("--state-dir").arg(self.folder.path().join("state")).stdin(Stdio::null());
        command
    }

    fn output(&self, command: &mut Command) -> Output {
        self.wire.node.inside(|| command.output()).expect("it runs")
    }

    fn join(&self) {
        let (invitation, interface) = (self.control_plane.invitation(), &self.wire.node.interface);
        let mut join = self.command("join");
        join.arg(invitation.to_string()).args(["--endpoint", "192.0.2.1:51820", "--backend", "wireguard-go"]);
        let joined = self.output(join.args(["--interface", interface.as_str()]));
        assert!(joined.status.success(), "{}", said(&joined));
    }

    fn start(&mut self) {
        let mut run = self.command("run");
        run.args(["--sample-seconds", "1", "--report-seconds", "1"]);
        self.agent = Some(self.wire.node.inside(|| run.spawn()).expect("it starts"));
    }

    fn stop(&mut self) {
        let mut agent = self.agent.take().expect("it runs");
        run(&format!("kill -TERM {}", agent.id()));
        assert!(agent.wait().expect("it ends").success());
    }

    /// The control plane wants the client, and the node has it.
    fn admit_client(&self) {
        let key = self.wire.client_public_key();
        let peer = DesiredPeer {
            public_key: key,
            allowed_ips: self.wire.client_allowed_ips(),
            class: Class::Assigned,
            allotment: Bytes::MAX,
            expires: clock::now().wall.plus_seconds(3600),
            period: Period::Total,
            socks5: None,
        };
        self.control_plane.change(|script| script.peers = vec![peer]);
        let show = format!("show {} peers", self.wire.node.interface);
        let peers = || self.output(Command::new("wg").args(show.split(' ')));
        while !String::from_utf8_lossy(&peers().stdout).contains(&key.to_string()) {
            std::thread::yield_now();
        }
        self.wire.connect_client(open);
    }

    /// Everything of the network that the agent could have touched; not what counters say.
    fn surroundings(&self) -> String {
        self.wire.node.inside(|| {
            let mut seen: Vec<String> = [
                "nft --stateless list ruleset",
                "ip -brief link show",
                "ip -brief address show",
                "ip rule show",
                "ip route show table all",
                "ip -6 route show table all",
            ]
            .map(run)
            .into();
            for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/eth0/accept_ra"] {
                seen.push(std::fs::read_to_string(format!("/proc/sys/net/{name}")).expect("a setting"));
            }
            seen.join("\n")
        })
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

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn down_leaves_the_host_as_it_was_and_no_byte_uncounted() {
    let mut node = Node::new("x");
    let host = &node.wire.node;
    run(&format!("ip -n {} route add default via 192.0.2.2", host.namespace));
    run(&format!("ip -n {} address add fd5a::1/64 dev eth0 nodad", host.namespace));
    run(&format!("ip -n {} -6 route add default via fd5a::2", host.namespace));
    host.inside(|| run("nft add table inet foreign"));
    // The link-local address stops being tentative by itself, after a second or two.
    while !host.inside(|| run("ip -6 address show tentative")).is_empty() {
        std::thread::yield_now();
    }
    let before = node.surroundings();
    node.join();
    assert_eq!(node.surroundings(), before, "joining touches nothing");
    node.start();
    node.admit_client();
    let serving = node.surroundings();
    for put in ["masquerade", "table inet foreign", node.wire.node.interface.as_str()] {
        assert!(serving.contains(put), "{put} is not in\n{serving}");
    }
    assert!(serving.ends_with("1\n\n1\n\n1\n"), "it forwards: {serving}");

    let refused = node.output(&mut node.command("down"));
    assert!(!refused.status.success() && said(&refused).contains("stopped first"), "{}", said(&refused));
    assert_eq!(node.surroundings(), serving, "nothing was touched while an agent runs");

    node.stop();
    // The agent is gone, the tunnel is not; a firewall that somebody flushed meanwhile is taken away all the same.
    let host = &node.wire.node;
    host.inside(|| run(&format!("nft flush table inet wiregrant_{}", host.interface)));
    node.wire.echo(10, "10.9.0.1");
    let moved = node.wire.seen_by_wg(host);
    let down = node.output(&mut node.command("down"));
    assert!(down.status.success() && said(&down).contains("1 peers were read"), "{}", said(&down));
    assert_eq!(node.surroundings(), before);
    let again = node.output(&mut node.command("down"));
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(node.surroundings(), before, "once more is the same");

    // What `down` counted is reported by the next run.
    node.start();
    node.control_plane.until("the last bytes are reported", |script| {
        let usage = script.reports.last().and_then(|last| last.content().usage.values().next().copied());
        let usage = usage.unwrap_or_default();
        let reported = Reading { received: usage.received.get(), sent: usage.sent.get() };
        reported.received >= moved.received && reported.sent >= moved.sent
    });
}

#[test]
fn the_doctor_changes_nothing_and_names_what_is_missing_and_the_way_out() {
    let node = Node::new("y");
    let host = &node.wire.node;
    let checks = |name: &str| -> Vec<serde_json::Value> {
        let output = node.output(node.command("doctor").arg("--json"));
        let checks: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("one JSON array");
        let all_ok = checks.iter().all(|check| check["ok"] == true);
        assert_eq!(output.status.code(), Some(i32::from(!all_ok)), "{}", said(&output));
        checks.into_iter().filter(|check| check["name"] == name).collect()
    };
    let before = node.surroundings();
    let way_out = checks("way out");
    assert_eq!(way_out[0]["ok"], false);
    assert!(way_out[0]["way_out"].as_str().expect("a way out").contains("ip route add default"));
    for name in [
        "CAP_NET_ADMIN",
        "WireGuard",
        "nft",
        "ip",
        "/dev/net/tun",
        "UDP port",
        "state",
        "disk",
        "control plane",
    ] {
        assert_eq!(checks(name)[0]["ok"], true, "{name}");
    }
    assert_eq!(node.surroundings(), before);

    run(&format!("ip -n {} route add default via 192.0.2.2", host.namespace));
    let before = node.surroundings();
    assert!(checks("way out").iter().chain(&checks("MTU")).all(|check| check["ok"] == true));
    assert!(checks("forwarding")[0]["found"].as_str().expect("a text").contains("the agent sets it"));
    run(&format!("ip -n {} link set dev eth0 mtu 1300", host.namespace));
    assert_eq!(checks("MTU")[0]["ok"], false);
    run(&format!("ip -n {} link set dev eth0 mtu 1500", host.namespace));

    let taken = host.inside(|| std::net::UdpSocket::bind("[::]:51820").expect("a port"));
    assert_eq!(checks("UDP port")[0]["ok"], false);
    drop(taken);
    host.inside(|| run("nft add table ip filter"));
    host.inside(|| {
        let chain = "add chain ip filter FORWARD { type filter hook forward priority 0 ; policy drop ; }";
        let added = Command::new("nft").args(chain.split(' ')).status().expect("nft");
        assert!(added.success());
    });
    let others = checks("others' rules");
    assert!(
        others[0]["way_out"].as_str().expect("a way out").starts_with("nft insert rule ip filter FORWARD")
    );
    host.inside(|| run("nft delete table ip filter"));
    assert_eq!(node.surroundings(), before);

    node.join();
    assert!(checks("control plane")[0]["found"].is_string());
    assert_eq!(checks("state")[0]["ok"], true);
}
