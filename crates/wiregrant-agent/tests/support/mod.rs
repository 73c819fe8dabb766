//! Two hosts on one machine with a wire between them, and the story that every WireGuard backend must hold on them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use ipnet::IpNet;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use wiregrant_agent::wireguard::{
    Backend, Ensured, InterfaceName, InterfaceSettings, LivePeer, WireGuardError,
};
use wiregrant_core::counter::Reading;
use wiregrant_core::{WireGuardPrivateKey, WireGuardPublicKey};
use x25519_dalek::{PublicKey, StaticSecret};

/// The node's UDP port on the wire.
const NODE_PORT: u16 = 51820;
/// What a 1000-byte datagram becomes: 28 bytes of IPv4 and UDP (48 with IPv6), padded to 16, and 32 of WireGuard's own.
const PAYLOAD_BYTES: usize = 1000;
const MESSAGE_BYTES_V4: u64 = 1072;
const MESSAGE_BYTES_V6: u64 = 1088;
/// A handshake: the initiator's 148 bytes and the responder's 92. A keepalive has 32.
const INITIATION_BYTES: u64 = 148;
const RESPONSE_BYTES: u64 = 92;

/// How a test makes the backend of an interface.
pub type Open = fn(InterfaceName) -> Box<dyn Backend>;

/// Runs a program of the machine and returns what it printed; anything but success ends the test.
pub fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command has a program");
    let output = Command::new(program).args(words).output().unwrap_or_else(|error| {
        panic!("`{command}`: {error}; these tests need root, ip, wg and wireguard-go")
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{command}`: {stderr}(these tests need root)");
    String::from_utf8(output.stdout).expect("text")
}

/// A network namespace with the interface of one end of the tunnel, removed on drop.
pub struct Host {
    pub namespace: String,
    pub interface: InterfaceName,
}

impl Host {
    fn new(name: &str) -> Self {
        run(&format!("ip netns add {name}"));
        let host = Self { namespace: name.to_owned(), interface: name.parse().expect("a name") };
        run(&format!("ip -n {name} link set dev lo up"));
        host
    }

    /// Runs `action` on a thread inside this host, where sockets and child processes see its network only.
    pub fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        let file = std::fs::File::open(format!("/run/netns/{}", self.namespace)).expect("the namespace");
        let inside = || {
            use std::os::fd::AsFd as _;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may enter");
            action()
        };
        std::thread::scope(|scope| {
            scope.spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The link goes first: a wireguard-go process keeps its namespace alive until its link is deleted.
        for arguments in [
            ["-n", &self.namespace, "link", "delete", "dev", self.interface.as_str()].as_slice(),
            ["netns", "delete", &self.namespace].as_slice(),
        ] {
            let _ = Command::new("ip").args(arguments).output();
        }
    }
}

/// A node and a client on one wire.
pub struct Wire {
    pub node: Host,
    pub client: Host,
    node_key: [u8; 32],
    client_key: [u8; 32],
}

impl Wire {
    /// `label` tells the tests of one process apart. Interface names are unique on the machine, as `wireguard-go` needs it.
    pub fn new(label: &str) -> Self {
        let id = std::process::id();
        let node = Host::new(&format!("wgn{label}{id}"));
        let client = Host::new(&format!("wgc{label}{id}"));
        run(&format!(
            "ip link add name eth0 netns {} type veth peer name eth0 netns {}",
            node.namespace, client.namespace
        ));
        for (host, address) in [(&node, "192.0.2.1/24"), (&client, "192.0.2.2/24")] {
            run(&format!("ip -n {} address add {address} dev eth0", host.namespace));
            run(&format!("ip -n {} link set dev eth0 up", host.namespace));
        }
        // Each test gets keys of its own; a private key may be any bytes.
        let mut node_key = [7; 32];
        node_key[..4].copy_from_slice(&id.to_le_bytes());
        let mut client_key = node_key;
        client_key[31] = 8;
        Self { node, client, node_key, client_key }
    }

    pub fn node_settings(&self) -> InterfaceSettings {
        settings(self.node_key, NODE_PORT, &["10.9.0.1/24", "fd09::1/64"])
    }

    pub fn client_public_key(&self) -> WireGuardPublicKey {
        public_key(self.client_key)
    }

    pub fn client_allowed_ips(&self) -> Vec<IpNet> {
        vec!["10.9.0.2/32".parse().expect("an address"), "fd09::2/128".parse().expect("an address")]
    }

    /// Starts the client's end and tells it where the node is.
    pub fn connect_client(&self, open: Open) {
        let settings = settings(self.client_key, 0, &["10.9.0.2/24", "fd09::2/64"]);
        let name = &self.client.interface;
        self.client.inside(|| {
            let ensured = open(name.clone()).ensure_interface(&settings).expect("the client's interface");
            assert_eq!(ensured, Ensured::Created);
            let node = public_key(self.node_key);
            run(&format!(
                "wg set {name} peer {node} endpoint 192.0.2.1:{NODE_PORT} allowed-ips 10.9.0.0/24,fd09::/64"
            ));
        });
    }

    /// Sends `rounds` datagrams from the client through the tunnel and waits for the echo of each, so that none is lost
    /// unseen. A datagram that gets no answer ends the test.
    pub fn echo(&self, rounds: usize, node_address: &str) {
        let address: IpAddr = node_address.parse().expect("an address");
        let server = self.node.inside(|| UdpSocket::bind((address, 0)).expect("the node's address"));
        let target: SocketAddr = server.local_addr().expect("bound");
        let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let client = self.client.inside(|| UdpSocket::bind((any, 0)).expect("a socket"));
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        }
        let mut buffer = [0; PAYLOAD_BYTES + 1];
        for round in 0..rounds {
            client.send_to(&[0x5a; PAYLOAD_BYTES], target).expect("sent");
            let (length, from) = server
                .recv_from(&mut buffer)
                .unwrap_or_else(|error| panic!("round {round} at the node: {error}"));
            assert_eq!(length, PAYLOAD_BYTES);
            server.send_to(&buffer[..length], from).expect("answered");
            client.recv(&mut buffer).unwrap_or_else(|error| panic!("round {round} at the client: {error}"));
        }
    }

    /// What `wg`, a reader that shares no code with the agent, says of the only peer on a host.
    pub fn seen_by_wg(&self, host: &Host) -> Reading {
        let text = host.inside(|| run(&format!("wg show {} transfer", host.interface)));
        let numbers: Vec<u64> =
            text.split_whitespace().skip(1).map(|n| n.parse().expect("a counter")).collect();
        let [received, sent] = numbers[..] else { panic!("one peer, not {text:?}") };
        Reading { received, sent }
    }
}

fn settings(key: [u8; 32], listen_port: u16, addresses: &[&str]) -> InterfaceSettings {
    InterfaceSettings {
        private_key: WireGuardPrivateKey::from(key),
        listen_port,
        addresses: addresses.iter().map(|address| address.parse().expect("an address")).collect(),
        mtu: 1280,
    }
}

fn public_key(private_key: [u8; 32]) -> WireGuardPublicKey {
    PublicKey::from(&StaticSecret::from(private_key)).to_bytes().into()
}

/// The one peer of the node, as the backend sees it.
fn only_peer(backend: &mut dyn Backend) -> LivePeer {
    let mut peers = backend.peers().expect("the peers");
    assert_eq!(peers.len(), 1, "{peers:?}");
    peers.remove(0)
}

/// Asserts that `moved` is `exact` bytes of data and at most a few handshakes or keepalives.
fn moved_exactly(moved: u64, data: u64, handshake: u64, what: &str) {
    let overhead = moved
        .checked_sub(data + handshake)
        .unwrap_or_else(|| panic!("{what}: {moved} < {data} + {handshake}"));
    assert!(overhead <= 4 * INITIATION_BYTES, "{what}: {moved} bytes for {data} of data");
}

/// Every byte is counted on both sides, alike by the backend and by `wg`; and what a live peer is told, or an agent that
/// starts again does, takes nothing from its counters.
pub fn a_live_peer_is_counted_to_the_byte_and_never_reset(open: Open, label: &str) {
    let wire = Wire::new(label);
    let (node, client) = (&wire.node, &wire.client);
    let peer = wire.client_public_key();
    let mut backend = node.inside(|| {
        let mut backend = open(node.interface.clone());
        assert_eq!(backend.ensure_interface(&wire.node_settings()).expect("made"), Ensured::Created);
        assert_eq!(backend.peers().expect("the peers"), []);
        backend.set_peer(&peer, &wire.client_allowed_ips()).expect("added");
        backend
    });
    wire.connect_client(open);

    wire.echo(200, "10.9.0.1");
    let first = node.inside(|| only_peer(&mut *backend));
    assert_eq!((first.public_key, &first.allowed_ips), (peer, &wire.client_allowed_ips()));
    moved_exactly(first.reading.received, 200 * MESSAGE_BYTES_V4, INITIATION_BYTES, "received");
    moved_exactly(first.reading.sent, 200 * MESSAGE_BYTES_V4, RESPONSE_BYTES, "sent");
    let (by_wg, by_client) = (wire.seen_by_wg(node), wire.seen_by_wg(client));
    assert_eq!(first.reading, by_wg, "the backend and wg");
    assert_eq!(first.reading, Reading { received: by_client.sent, sent: by_client.received }, "the client");

    // Told other allowed IPs and back.
    node.inside(|| {
        backend.set_peer(&peer, &wire.client_allowed_ips()[..1]).expect("narrowed");
        let narrowed = only_peer(&mut *backend);
        assert_eq!((narrowed.reading, narrowed.allowed_ips.len()), (first.reading, 1));
        backend.set_peer(&peer, &[]).expect("silenced");
        assert_eq!(only_peer(&mut *backend).reading, first.reading);
        backend.set_peer(&peer, &wire.client_allowed_ips()).expect("as before");
        assert_eq!(only_peer(&mut *backend), first);
    });

    // An agent that starts again: another object, the same interface.
    drop(backend);
    let mut backend = open(node.interface.clone());
    node.inside(|| {
        for _ in 0..2 {
            assert_eq!(backend.ensure_interface(&wire.node_settings()).expect("adopted"), Ensured::Adopted);
        }
        assert_eq!(only_peer(&mut *backend), first);
    });
    wire.echo(100, "fd09::1");
    let second = node.inside(|| only_peer(&mut *backend)).reading;
    let moved = second.moved_since(first.reading);
    assert!(moved.received < 100 * MESSAGE_BYTES_V6 + INITIATION_BYTES, "the session went on: {moved:?}");
    moved_exactly(moved.received, 100 * MESSAGE_BYTES_V6, 0, "received over IPv6");
    moved_exactly(moved.sent, 100 * MESSAGE_BYTES_V6, 0, "sent over IPv6");

    // Removed and added again: a new peer, which begins at zero.
    node.inside(|| {
        backend.remove_peer(&peer).expect("removed");
        assert_eq!(backend.peers().expect("the peers"), []);
        backend.remove_peer(&peer).expect("removing what is not there is no error");
        backend.set_peer(&peer, &wire.client_allowed_ips()).expect("added again");
        assert_eq!(only_peer(&mut *backend).reading, Reading::default());
    });
}

/// Taking over sets what is missing and takes nothing away.
pub fn adopting_adds_what_is_missing_and_nothing_else(open: Open, label: &str) {
    let wire = Wire::new(label);
    let host = &wire.node;
    host.inside(|| {
        let mut backend = open(host.interface.clone());
        let mut settings = wire.node_settings();
        backend.ensure_interface(&settings).expect("made");
        run(&format!("ip address delete 10.9.0.1/24 dev {}", host.interface));
        run(&format!("ip address add 10.77.0.1/24 dev {}", host.interface));
        run(&format!("ip link set dev {} down", host.interface));
        settings.mtu = 1400;
        assert_eq!(backend.ensure_interface(&settings).expect("adopted"), Ensured::Adopted);
        let shown = run(&format!("ip address show dev {}", host.interface));
        for expected in ["10.9.0.1/24", "fd09::1/64", "10.77.0.1/24", "mtu 1400", ",UP"] {
            assert!(shown.contains(expected), "{expected} is missing from {shown}");
        }
    });
}

/// What is not ours is left as it is.
pub fn an_interface_of_somebody_else_is_refused_and_left_alone(open: Open, label: &str) {
    let wire = Wire::new(label);
    let host = &wire.node;
    host.inside(|| {
        let mut backend = open(host.interface.clone());
        backend.ensure_interface(&wire.node_settings()).expect("made");
        backend.set_peer(&wire.client_public_key(), &wire.client_allowed_ips()).expect("added");
        let before = backend.peers().expect("the peers");
        let mut other = wire.node_settings();
        other.private_key = WireGuardPrivateKey::from([9; 32]);
        let error = backend.ensure_interface(&other).expect_err("another key");
        assert!(matches!(error, WireGuardError::OtherKey { .. }), "{error}");
        assert!(error.to_string().contains(host.interface.as_str()), "{error}");
        assert_eq!(backend.peers().expect("the peers"), before);

        let error = open("eth0".parse().expect("a name")).ensure_interface(&other).expect_err("a veth");
        assert!(matches!(&error, WireGuardError::OtherKind { kind, .. } if kind == "veth"), "{error}");
    });
}
