//! The testbed itself: a person reaches the web server through a node's WireGuard, and both ends count the same bytes.

use std::path::Path;
use std::time::Duration;

use testbed::client::{self, Person};
use testbed::counters::Counters;
use testbed::host::Host;
use testbed::network::{self, Network};
use testbed::process::Process;
use testbed::programs::Programs;
use testbed::traffic::Order;
use testbed::wait::eventually;

const TRANSFER_LIMIT: Duration = Duration::from_secs(60);
const NODE_PORT: u16 = 51820;
/// WireGuard's message around a packet, and what TCP and IP add to a client's payload of at most 1280 - 52 bytes.
const LEAST_OVERHEAD_PERMILLE: u64 = 60;
const MOST_OVERHEAD_PERMILLE: u64 = 120;

fn testbed() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_testbed"))
}

/// `wg genkey`, `wg pubkey`.
fn keys(folder: &Path) -> (String, String) {
    let path = folder.join("key");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("umask 077; wg genkey > {0} && wg pubkey < {0}", path.display())]);
    let public = testbed::process::run(&mut shell).expect("wg").trim().to_owned();
    (std::fs::read_to_string(path).expect("the key").trim().to_owned(), public)
}

/// The node's WireGuard, by hand.
fn start_node(node: &Host, private_key: &str, peer: &str, folder: &Path) -> Process {
    let interface = node.name();
    let mut command = node.command("wireguard-go");
    let process =
        Process::spawn("node-wireguard", command.args(["-f", interface]), folder).expect("wireguard-go");
    let log = process.log().to_owned();
    eventually("the node's WireGuard", TRANSFER_LIMIT, &[&log], || {
        Ok(client::userspace_answers(interface).then_some(()))
    })
    .expect("a socket");
    let settings = folder.join("node.conf");
    let text = format!(
        "[Interface]\nPrivateKey = {private_key}\nListenPort = {NODE_PORT}\n\
         [Peer]\nPublicKey = {peer}\nAllowedIPs = 10.64.0.2/32, fd77:6772::2/128\n"
    );
    std::fs::write(&settings, text).expect("written");
    node.exec(&format!("wg setconf {interface} {}", settings.display())).expect("set");
    for line in ["address add 10.64.0.1/22", "address add fd77:6772::1/64"] {
        node.ip(&format!("{line} dev {interface}")).expect("an address");
    }
    node.ip(&format!("link set dev {interface} mtu 1420 addrgenmode none up")).expect("up");
    process
}

#[test]
fn a_person_reaches_the_web_through_the_node_and_both_ends_count_alike() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::new(1).unwrap();
    // No agent runs here: the node passes packets on as they are, and the router knows where people's addresses are.
    network.node.forward().unwrap();
    network.router.ip(&format!("route add 10.64.0.0/10 via {}", network::NODE)).unwrap();
    network.router.ip("-6 route add fd77:6772::/32 via fd5a:3::2").unwrap();
    let (node_key, node_public) = keys(folder.path());
    let (person_key, person_public) = keys(folder.path());
    let _node = start_node(&network.node, &node_key, &person_public, folder.path());

    let host = &network.people[0];
    let mut person = Person::new("person", host, folder.path(), folder.path()).unwrap();
    person
        .take_client_file(&format!(
            "[Interface]\nPrivateKey = {person_key}\nAddress = 10.64.0.2/32, fd77:6772::2/128\nDNS = 9.9.9.9\nMTU = 1280\n\n\
             [Peer]\nPublicKey = {node_public}\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = {}:{NODE_PORT}\n",
            network::NODE
        ))
        .unwrap();
    person.connect(host).unwrap();
    assert_eq!(Counters::read(host).unwrap(), Counters::default(), "nothing moves before somebody asks");

    let programs = Programs {
        control: Path::new("/nonexistent").into(),
        agent: Path::new("/nonexistent").into(),
        cli: Path::new("/nonexistent").into(),
        testbed: testbed().into(),
    };
    let order = Order { up: 1_000_000, down: 3_000_000, bytes_per_second: 0 };
    for address in [network::WEB, network::WEB_V6] {
        let sink = std::net::SocketAddr::new(address.parse().unwrap(), 7000);
        let mut command = network.web.command(testbed());
        let _sink =
            Process::spawn("sink", command.args(["sink", "--listen", &sink.to_string()]), folder.path());
        let sink_log = folder.path().join("sink.log");
        eventually("the sink", TRANSFER_LIMIT, &[&sink_log], || {
            Ok(std::fs::read_to_string(&sink_log)?.contains(&format!("listening on {sink}")).then_some(()))
        })
        .unwrap();
        let mut source = person.start_transfer(&programs, host, sink, order).unwrap();
        let log = source.log().to_owned();
        let printed =
            eventually("the transfer", TRANSFER_LIMIT, &[&log, &sink_log], || source.finished()).unwrap();
        let transfer = client::transfer(&printed).unwrap();
        assert_eq!((transfer.sent_bytes, transfer.received_bytes), (order.up, order.down));
    }

    network.pull_peoples_cables().unwrap();
    let (seen, node) = (Counters::read(host).unwrap(), Counters::read(&network.node).unwrap());
    assert_eq!((seen.received, seen.sent), (node.sent, node.received), "nothing was lost on the way");
    let payload = 2 * (order.up + order.down);
    let least = payload + payload * LEAST_OVERHEAD_PERMILLE / 1000;
    let most = payload + payload * MOST_OVERHEAD_PERMILLE / 1000;
    assert!((least..=most).contains(&node.total()), "{least} <= {} <= {most}", node.total());
}

#[test]
fn a_world_that_is_dropped_leaves_nothing_behind() {
    let network = Network::new(2).unwrap();
    let names: Vec<String> =
        [&network.control, &network.people[1]].iter().map(|host| host.name().to_owned()).collect();
    // As the agent starts it: it goes into the background and is nobody's child.
    testbed::process::run(network.node.command("wireguard-go").arg(network.node.name())).unwrap();
    let node = network.node.name().to_owned();
    drop(network);
    let left = testbed::cleanup::left_by(std::process::id());
    assert!(names.iter().chain([&node]).all(|name| !left.contains(name)), "{left:?}");
}

#[test]
fn what_a_dead_testbed_has_left_behind_is_removed_by_the_next() {
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let name = testbed::cleanup::host_name(dead.id(), 0);
    let ip =
        |line: &str| testbed::process::run(std::process::Command::new("ip").args(line.split_whitespace()));
    ip(&format!("netns add {name}")).unwrap();
    let mut left = std::process::Command::new("ip");
    let mut left = left.args(["netns", "exec", &name, "sleep", "600"]).spawn().unwrap();
    eventually("a process in the host", TRANSFER_LIMIT, &[], || {
        Ok((!ip(&format!("netns pids {name}"))?.trim().is_empty()).then_some(()))
    })
    .unwrap();

    assert!(testbed::cleanup::remove_leftovers().contains(&name));
    assert!(!left.wait().unwrap().success(), "its process was ended");
    assert_eq!(testbed::cleanup::left_by(dead.id()), Vec::<String>::new());
}
