//! Traffic through the firewall: a client, another client, the node, and an "Internet" that answers at any address, also
//! at those that no Internet has. The namespaces lead nowhere else, so the addresses of others can be borrowed.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, RecvFlags, SocketType, ipproto, recv};
use wiregrant_agent::config::{Budget, Config, Firewall as Choices};
use wiregrant_agent::host::accounting::Accounting;
use wiregrant_agent::host::firewall::{self, Firewall};
use wiregrant_agent::state_dir::StateDir;
use wiregrant_agent::wireguard::InterfaceSettings;

use super::support::{Host, NODE_PORT, Open, Wire, run, settings};

/// The node's own addresses outside, and what stands for the Internet.
const NODE_OUTSIDE: [&str; 2] = ["5.5.5.2", "2a01:77::2"];
pub const PUBLIC: [&str; 2] = ["9.9.9.9", "2620:fe::fe"];
pub const PORT: u16 = 8443;
/// One of every class that must not be reached. The node itself reaches all of them.
const FORBIDDEN: [&str; 12] = [
    "10.77.0.1",
    "172.20.0.1",
    "192.168.77.1",
    "100.64.7.7",
    "169.254.169.254",
    "168.63.129.16",
    "203.0.113.7",
    "198.18.7.7",
    "fd00:ec2::254",
    "fd12:3456::1",
    "2001:db8::7",
    "64:ff9b::a4d:1",
];
/// What the operator of these stories forbids and allows besides.
const FORBIDDEN_BY_OPERATOR: &str = "8.8.4.4";
const ALLOWED_BY_OPERATOR: &str = "10.88.0.1";
/// How long somebody waits for an answer that must come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long somebody waits who is to get no answer at all. Silence can be shown for a while only.
pub const SILENCE: Duration = Duration::from_millis(400);

fn node_settings() -> InterfaceSettings {
    settings([7; 32], NODE_PORT, &["10.9.0.1/24", "fd09::1/64"])
}

/// The hosts of a story.
pub struct World {
    pub wire: Wire,
    pub internet: Host,
    pub folder: tempfile::TempDir,
}

impl World {
    /// Node and client on their wire, the node's other end in the Internet, with or without IPv6 as a way out of it.
    pub fn new(open: Open, label: &str, with_ipv6: bool) -> Self {
        let wire = Wire::new(label);
        let internet = Host::new(&format!("wgi{label}{}", std::process::id()));
        let (node, outside) = (&wire.node.namespace, &internet.namespace);
        run(&format!("ip link add name eth1 netns {node} type veth peer name eth1 netns {outside}"));
        for (host, addresses) in [
            (node, [NODE_OUTSIDE[0], NODE_OUTSIDE[1]].map(|address| address.to_owned() + "/24")),
            (outside, ["5.5.5.1/24".to_owned(), "2a01:77::1/24".to_owned()]),
        ] {
            run(&format!("ip -n {host} link set dev eth1 up"));
            for address in addresses {
                let nodad = if address.contains("::") { "nodad" } else { "" };
                run(&format!("ip -n {host} address add {address} dev eth1 {nodad}"));
            }
        }
        run(&format!("ip -n {node} route add default via 5.5.5.1"));
        // Without a default route the node still reaches what it is told of; the client must not.
        let v6 = if with_ipv6 { "default" } else { "2620:fe::/48" };
        run(&format!("ip -n {node} -6 route add {v6} via 2a01:77::1"));
        let everywhere =
            PUBLIC.iter().chain(&FORBIDDEN).chain([&FORBIDDEN_BY_OPERATOR, &ALLOWED_BY_OPERATOR]);
        for address in everywhere {
            let length = if address.contains(':') { 128 } else { 32 };
            run(&format!("ip -n {outside} address add {address}/{length} dev lo"));
        }
        wire.node.inside(|| {
            let mut backend = open(wire.node.interface.clone());
            backend.ensure_interface(&node_settings()).expect("made");
            backend.set_peer(&wire.client_public_key(), &wire.client_allowed_ips()).expect("added");
        });
        wire.connect_client(open);
        let (client, name) = (&wire.client, &wire.client.interface);
        let key = wire.node.inside(|| run(&format!("wg show {} public-key", wire.node.interface)));
        client.inside(|| run(&format!("wg set {name} peer {} allowed-ips 0.0.0.0/0,::/0", key.trim())));
        for version in ["", "-6"] {
            run(&format!("ip -n {} {version} route add default dev {name}", client.namespace));
        }
        Self { wire, internet, folder: tempfile::tempdir().expect("a folder") }
    }

    /// The firewall of these stories' operator.
    pub fn firewall(&self, choices: Choices, budget: Budget) -> Firewall {
        let config = Config { firewall: choices, budget, ..Config::default() };
        let (node, dir) = (&self.wire.node, StateDir::new(self.folder.path()));
        Firewall::new(node.interface.clone(), &node_settings().addresses, &config, &dir, "this boot")
    }

    /// The choices of these stories' operator.
    pub fn operator() -> Choices {
        Choices {
            blocked_networks: vec![format!("{FORBIDDEN_BY_OPERATOR}/32").parse().expect("a network")],
            allowed_networks: vec![format!("{ALLOWED_BY_OPERATOR}/32").parse().expect("a network")],
            ..Choices::default()
        }
    }

    /// With the firewall of these stories' operator.
    pub fn protect(&self) -> Firewall {
        let mut firewall = self.firewall(Self::operator(), Budget::default());
        self.wire.node.inside(|| firewall.ensure()).expect("the firewall stands");
        assert!(firewall.stands());
        firewall
    }

    /// All rules on the node, with their handles.
    pub fn ruleset(&self) -> String {
        self.wire.node.inside(|| run("nft -a list ruleset"))
    }

    /// Where the Internet's end of a connection sees it come from.
    fn seen_from(&self, client: &Host, address: &str, port: u16) -> io::Result<IpAddr> {
        let target = SocketAddr::new(address.parse().expect("an address"), port);
        let listener = self.internet.inside(|| once_free(|| TcpListener::bind(target)));
        let mut stream = connect(client, target)?;
        let (mut accepted, from) = listener.accept()?;
        accepted.write_all(b"hello")?;
        drop(accepted);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        assert_eq!(answer, b"hello");
        Ok(from.ip())
    }

    /// The echo of one datagram.
    fn datagram(&self, client: &Host, address: &str, port: u16, patience: Duration) -> io::Result<()> {
        let target = SocketAddr::new(address.parse().expect("an address"), port);
        let server = self.internet.inside(|| once_free(|| UdpSocket::bind(target)));
        let any: IpAddr = if target.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = client.inside(|| UdpSocket::bind((any, 0)))?;
        for socket in [&server, &socket] {
            socket.set_read_timeout(Some(patience))?;
        }
        socket.connect(target)?;
        socket.send(b"hello")?;
        let mut buffer = [0; 16];
        let (length, from) = server.recv_from(&mut buffer)?;
        server.send_to(&buffer[..length], from)?;
        socket.recv(&mut buffer).map(drop)
    }
}

/// Binds as soon as nobody has the address: a program that another test starts holds what this one has closed, for the moment between
/// its fork and its exec.
fn once_free<T>(bind: impl Fn() -> io::Result<T>) -> T {
    let begun = wiregrant_agent::clock::now().monotonic;
    loop {
        match bind() {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && wiregrant_agent::clock::now().monotonic < begun + PATIENCE =>
            {
                std::thread::yield_now();
            }
            bound => return bound.expect("the Internet's address"),
        }
    }
}

fn connect(host: &Host, target: SocketAddr) -> io::Result<TcpStream> {
    let stream = host.inside(|| TcpStream::connect_timeout(&target, PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// That it is refused by a rule: at once and not by silence, which would look the same as a lost packet.
fn refused(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused
    )
}

pub fn allowed_traffic_flows_and_comes_from_the_node(open: Open, label: &str) {
    let world = World::new(open, label, true);
    let client = &world.wire.client;
    let _firewall = world.protect();
    for (public, outside) in PUBLIC.iter().zip(NODE_OUTSIDE) {
        let from = world.seen_from(client, public, PORT).unwrap_or_else(|error| panic!("{public}: {error}"));
        assert_eq!(from, outside.parse::<IpAddr>().expect("an address"), "masqueraded");
        world.datagram(client, public, PORT, PATIENCE).unwrap_or_else(|error| panic!("{public}: {error}"));
    }
    assert!(world.wire.seen_by_wg(&world.wire.node).sent > 0, "and all of it went through the tunnel");
    let from = world.seen_from(client, ALLOWED_BY_OPERATOR, PORT).expect("the operator allows it");
    assert_eq!(from, NODE_OUTSIDE[0].parse::<IpAddr>().expect("an address"));
}

pub fn what_must_not_be_reached_is_refused_and_the_node_itself_reaches_it(open: Open, label: &str) {
    let world = World::new(open, label, true);
    let (node, client) = (&world.wire.node, &world.wire.client);
    let _firewall = world.protect();
    let forbidden = FORBIDDEN.iter().chain([&FORBIDDEN_BY_OPERATOR]).map(|address| (*address, PORT));
    for (address, port) in forbidden.chain(PUBLIC.map(|address| (address, 25))) {
        world.seen_from(node, address, port).unwrap_or_else(|error| panic!("{address} is there: {error}"));
        let error = world.seen_from(client, address, port).expect_err(address);
        assert!(refused(&error), "{address}: {error}");
        let error = world.datagram(client, address, port, SILENCE).expect_err(address);
        world
            .datagram(node, address, port, PATIENCE)
            .unwrap_or_else(|other| panic!("{address}: {other}; {error}"));
    }
}

pub fn clients_reach_neither_each_other_nor_the_host(open: Open, label: &str) {
    let world = World::new(open, label, true);
    let (node, client) = (&world.wire.node, &world.wire.client);
    let other = Host::new(&format!("wgo{label}{}", std::process::id()));
    let (node_name, other_name) = (&node.namespace, &other.namespace);
    run(&format!("ip link add name eth2 netns {node_name} type veth peer name eth2 netns {other_name}"));
    for (host, address) in [(node_name, "192.0.3.1/24"), (other_name, "192.0.3.2/24")] {
        run(&format!("ip -n {host} address add {address} dev eth2"));
        run(&format!("ip -n {host} link set dev eth2 up"));
    }
    let key = other.inside(|| {
        let settings = settings([0x61; 32], 0, &["10.9.0.3/24", "fd09::3/64"]);
        open(other.interface.clone()).ensure_interface(&settings).expect("made");
        run(&format!("wg show {} public-key", other.interface))
    });
    let node_key = node.inside(|| run(&format!("wg show {} public-key", node.interface)));
    let peer = format!("wg set {} peer {} allowed-ips 10.9.0.3/32,fd09::3/128", node.interface, key.trim());
    node.inside(|| run(&peer));
    let peer = format!("wg set {} peer {}", other.interface, node_key.trim());
    other.inside(|| run(&format!("{peer} endpoint 192.0.3.1:51820 allowed-ips 0.0.0.0/0,::/0")));
    world.wire.echo(1, "10.9.0.1");
    let _firewall = world.protect();

    for address in ["10.9.0.3", "fd09::3"] {
        let target = SocketAddr::new(address.parse().expect("an address"), PORT);
        let listener = other.inside(|| TcpListener::bind(target).expect("the other client's address"));
        // The other client makes the session, as a client does; then the node reaches it.
        let own = target.ip();
        let knock = other.inside(|| UdpSocket::bind((own, 0)).expect("a socket"));
        knock.connect((if own.is_ipv4() { "10.9.0.1" } else { "fd09::1" }, 9)).expect("a route");
        knock.send(b"x").expect("sent");
        // Until the node has heard it, it does not know where the other client is.
        while node.inside(|| run(&format!("wg show {} endpoints", node.interface))).contains("(none)") {
            std::thread::yield_now();
        }
        connect(node, target).unwrap_or_else(|error| panic!("{address} is there: {error}"));
        listener.accept().expect("the node's connection");
        let error = client.inside(|| TcpStream::connect_timeout(&target, SILENCE)).expect_err(address);
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    }
    let server = node.inside(|| TcpListener::bind(("::", PORT)).expect("the node's addresses"));
    for address in ["10.9.0.1", "fd09::1", NODE_OUTSIDE[0], NODE_OUTSIDE[1]] {
        let target = SocketAddr::new(address.parse().expect("an address"), PORT);
        connect(node, target).unwrap_or_else(|error| panic!("{address} is there: {error}"));
        server.accept().expect("the node's own connection");
        let error = client.inside(|| TcpStream::connect_timeout(&target, SILENCE)).expect_err(address);
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{address}: {error}");
    }
    ping(client, [10, 9, 0, 1]);
}

/// One echo from the node's address inside the tunnel.
fn ping(host: &Host, address: [u8; 4]) {
    let socket = host.inside(|| raw(ipproto::ICMP));
    // Type 8, code 0, checksum of the whole, identifier 0x7767, number 1.
    let request = [8, 0, !0x7f, !0x67 - 1, 0x77, 0x67, 0, 1];
    let sum = u16::from_be_bytes([0x08, 0]) + 0x7767 + 1;
    let mut request = request;
    request[2..4].copy_from_slice(&(!sum).to_be_bytes());
    let target = SocketAddr::from((address, 0));
    rustix::net::sendto(&socket, &request, rustix::net::SendFlags::empty(), &target).expect("sent");
    let mut answer = [0; 256];
    loop {
        let (length, _) = recv(&socket, &mut answer, RecvFlags::empty()).expect("the echo");
        // After an IP header of 20 bytes: an echo reply with our identifier.
        if length >= 28 && answer[20] == 0 && answer[24..26] == [0x77, 0x67] {
            return;
        }
    }
}

fn raw(protocol: rustix::net::Protocol) -> OwnedFd {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(protocol)).expect("root may");
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, Some(PATIENCE))
        .expect("a timeout");
    socket
}

pub fn the_segment_size_is_clamped_to_what_fits_the_tunnel(open: Open, label: &str) {
    let world = World::new(open, label, true);
    let client = &world.wire.client;
    // A client that believes in whole Ethernet frames; the node's tunnel takes 1280 bytes.
    run(&format!("ip -n {} link set dev {} mtu 1500", client.namespace, client.interface));
    let mut offered = Vec::new();
    for protect in [false, true] {
        if protect {
            let _firewall = world.protect();
        } else {
            forward(&world.wire.node, "ipv4/ip_forward");
            run(&format!("ip -n {} route add 10.9.0.0/24 via {}", world.internet.namespace, NODE_OUTSIDE[0]));
        }
        let wire = world.internet.inside(|| raw(ipproto::TCP));
        world.seen_from(client, PUBLIC[0], PORT).expect("a connection");
        offered.push(maximum_segment_size(&wire));
    }
    assert_eq!(offered, [1460, 1240], "the SYN as the Internet sees it, without the firewall and with it");
}

/// The MSS option of the next SYN.
fn maximum_segment_size(socket: &OwnedFd) -> u16 {
    let mut packet = [0; 2048];
    loop {
        let (length, _) = recv(socket, &mut packet, RecvFlags::empty()).expect("a segment");
        let segment = &packet[usize::from(packet[0] & 15) * 4..length];
        // SYN without ACK; the option of kind 2 comes first.
        if segment[13] & 0x12 == 0x02 {
            assert_eq!(segment[20..22], [2, 4]);
            return u16::from_be_bytes([segment[22], segment[23]]);
        }
    }
}

pub fn ipv6_never_leaks_from_a_node_that_has_none(open: Open, label: &str) {
    let world = World::new(open, label, false);
    let (node, client) = (&world.wire.node, &world.wire.client);
    forward(node, "ipv6/conf/all/forwarding");
    let _firewall = world.protect();
    world.seen_from(node, PUBLIC[1], PORT).expect("the node itself has a route to it");
    let error = world.seen_from(client, PUBLIC[1], PORT).expect_err("no way out");
    assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable, "{error}");
    world.seen_from(client, PUBLIC[0], PORT).expect("IPv4 is not touched by it");
}

/// Bytes of a bulk transfer, joined and split on its way as the kernel likes.
const BULK: usize = 2_000_000;

pub fn nftables_own_count_agrees_with_true_counters_and_not_with_doubled_ones(open: Open, label: &str) {
    let world = World::new(open, label, true);
    let (node, client) = (&world.wire.node, &world.wire.client);
    let _firewall = world.protect();
    let backend = node.inside(|| open(node.interface.clone()).kind());
    let mut accounting = Accounting::new(node.interface.clone());
    accounting.at_port(node_settings().listen_port);
    let mut second = 0;
    let true_count = || {
        let counted = world.wire.seen_by_wg(node);
        (counted.received, counted.sent)
    };
    let mut check = |accounting: &mut Accounting, counted: (u64, u64)| {
        second += 10;
        node.inside(|| accounting.check(counted, backend, 1, Duration::from_secs(second)))
            .expect("it can be read");
    };
    // The table is made, the check begins, and its base is taken.
    for _ in 0..3 {
        check(&mut accounting, true_count());
    }
    for address in PUBLIC {
        bulk(&world, client, address);
        check(&mut accounting, true_count());
    }
    // What must not pass was counted by both all the same.
    world.seen_from(client, FORBIDDEN[0], PORT).expect_err("it is forbidden");
    for _ in 0..2 {
        check(&mut accounting, true_count());
    }
    assert_eq!(accounting.alarms(), 0, "a true count");
    // Of what was sent alone: what is sent is bounded by what left the node.
    let (received, sent) = true_count();
    check(&mut accounting, (received, sent + sent / 50));
    assert_eq!(accounting.alarms(), 1, "a count of a fiftieth too much");
    for _ in 0..2 {
        check(&mut accounting, (received, sent));
    }
    bulk(&world, client, PUBLIC[0]);
    for _ in 0..2 {
        check(&mut accounting, (true_count().0, sent));
    }
    assert_eq!(accounting.alarms(), 2, "a count that stood still");
    node.inside(|| firewall::remove(&node.interface)).expect("removed");
    assert_eq!(world.ruleset(), "");
}

/// There and back again.
fn bulk(world: &World, client: &Host, address: &str) {
    let target = SocketAddr::new(address.parse().expect("an address"), PORT);
    let listener = world.internet.inside(|| TcpListener::bind(target).expect("the Internet's address"));
    let stream = connect(client, target).expect("a connection");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut accepted, _) = listener.accept().expect("the client's connection");
            let mut payload = vec![0; BULK];
            accepted.read_exact(&mut payload).expect("all of it");
            accepted.write_all(&payload).expect("all of it");
        });
        let mut payload = vec![0x5a; BULK];
        (&stream).write_all(&payload).expect("all of it");
        (&stream).read_exact(&mut payload).expect("all of it");
    });
}

fn forward(host: &Host, name: &str) {
    host.inside(|| std::fs::write(format!("/proc/sys/net/{name}"), "1").expect("root may"));
}
