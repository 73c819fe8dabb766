//! Two hosts on one machine with a wire between them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use ipnet::IpNet;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use wiregrant_agent::wireguard::{Ensured, Interface, InterfaceName, InterfaceSettings};
use wiregrant_core::counter::Reading;
use wiregrant_core::{WireGuardPrivateKey, WireGuardPublicKey};
use x25519_dalek::{PublicKey, StaticSecret};

/// The node's UDP port on the wire.
pub const NODE_PORT: u16 = 51820;
/// What a datagram of [`Wire::echo`] carries.
const PAYLOAD_BYTES: usize = 1000;

/// How a test makes the backend of an interface.
pub type Open = fn(InterfaceName) -> Box<dyn Interface>;

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
    /// A namespace of this name.
    pub fn new(name: &str) -> Self {
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
            // Nobody else is on the wire: addresses are there at once, and routes do not come up seconds later.
            let dad = "/proc/sys/net/ipv6/conf/eth0/accept_dad";
            host.inside(|| std::fs::write(dad, "0")).expect("a namespace's own setting");
            run(&format!("ip -n {} address add {address} dev eth0", host.namespace));
            run(&format!("ip -n {} link set dev eth0 up", host.namespace));
        }
        // Each process of tests gets keys of its own; a private key may be any bytes.
        let mut client_key = [8; 32];
        client_key[..4].copy_from_slice(&id.to_le_bytes());
        Self { node, client, client_key }
    }

    pub fn client_public_key(&self) -> WireGuardPublicKey {
        public_key(self.client_key)
    }

    pub fn client_allowed_ips(&self) -> Vec<IpNet> {
        vec!["10.9.0.2/32".parse().expect("an address"), "fd09::2/128".parse().expect("an address")]
    }

    /// Starts the client's end and tells it who and where the node is.
    #[allow(dead_code, reason = "a test whose node is not of this file system names the key itself")]
    pub fn connect_client(&self, open: Open) {
        let node = self.node.inside(|| run(&format!("wg show {} public-key", self.node.interface)));
        self.connect_client_to(&node, open);
    }

    /// [`Self::connect_client`] to a node of this key.
    pub fn connect_client_to(&self, node: &str, open: Open) {
        let settings = settings(self.client_key, 0, &["10.9.0.2/24", "fd09::2/64"]);
        let name = &self.client.interface;
        self.client.inside(|| {
            let ensured = open(name.clone()).ensure_interface(&settings).expect("the client's interface");
            assert_eq!(ensured, Ensured::Created);
            let node = node.trim();
            run(&format!(
                "wg set {name} peer {node} endpoint 192.0.2.1:{NODE_PORT} allowed-ips 10.9.0.0/24,fd09::/64"
            ));
        });
    }

    /// Sends `rounds` datagrams from the client through the tunnel and waits for the echo of each, so that none is lost
    /// unseen. A datagram that gets no answer ends the test.
    pub fn echo(&self, rounds: usize, node_address: &str) {
        self.echo_from(&self.client, rounds, node_address);
    }

    /// [`Self::echo`] from another client of the node.
    pub fn echo_from(&self, client: &Host, rounds: usize, node_address: &str) {
        let address: IpAddr = node_address.parse().expect("an address");
        let server = self.node.inside(|| UdpSocket::bind((address, 0)).expect("the node's address"));
        let target: SocketAddr = server.local_addr().expect("bound");
        let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let client = client.inside(|| UdpSocket::bind((any, 0)).expect("a socket"));
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

pub fn settings(key: [u8; 32], listen_port: u16, addresses: &[&str]) -> InterfaceSettings {
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
