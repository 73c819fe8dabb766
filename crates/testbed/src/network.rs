//! The topology: a control plane, a web server, a node and people, each on a cable of its own to one router, which stands for
//! "the internet's routers". All addresses are from the ranges that RFC 5737 and RFC 4193 keep for this.

use anyhow::Result;

use crate::host::Host;
use crate::process;

/// The control plane.
pub const CONTROL: &str = "192.0.2.2";
/// A server in the internet, which people reach through the node.
pub const WEB: &str = "192.0.2.130";
/// The same over IPv6.
pub const WEB_V6: &str = "fd5a:2::2";
/// The node.
pub const NODE: &str = "198.51.100.2";
/// Where people are.
const PEOPLE_V4: &str = "203.0.113.0/24";
/// The most people that fit into their network with four addresses each.
pub const MAX_PEOPLE: usize = 60;

/// Receive buffers of TCP, of which half is the window. What is in flight to one person, or from all of them to the node, then
/// fits into the 208 KiB that the kernel gives a UDP socket by default, so that a userspace WireGuard that gets no processor for
/// a while loses nothing, and both ends count the same bytes. At the lab's round trip of a few milliseconds this is fast enough.
const TCP_RECEIVE_BYTES_OF_PERSON: u32 = 65_536;
const TCP_RECEIVE_BYTES_OF_WEB: u32 = 20_480;

/// The hosts, each alive as long as this.
pub struct Network {
    /// Has the control plane and the administrator's CLI.
    pub control: Host,
    /// Has the traffic sink.
    pub web: Host,
    /// Has the agent and the node's WireGuard.
    pub node: Host,
    /// One for each person.
    pub people: Vec<Host>,
    /// Between all of them; nothing runs here.
    pub router: Host,
}

impl Network {
    /// Builds all hosts and cables.
    ///
    /// # Errors
    /// Without root, or what the kernel refuses.
    pub fn new(people: usize) -> Result<Self> {
        anyhow::ensure!(people <= MAX_PEOPLE, "{people} people; this network has addresses for {MAX_PEOPLE}");
        Host::possible()?;
        let network = Self {
            control: Host::new()?,
            web: Host::new()?,
            node: Host::new()?,
            people: (0..people).map(|_| Host::new()).collect::<Result<_>>()?,
            router: Host::new()?,
        };
        network.router.forward()?;
        network.plug("control", &network.control, "192.0.2.1", CONTROL, 1)?;
        network.plug("web", &network.web, "192.0.2.129", WEB, 2)?;
        network.plug("node", &network.node, "198.51.100.1", NODE, 3)?;
        for (number, host) in network.people.iter().enumerate() {
            let base = number * 4;
            let (gateway, own) = (format!("203.0.113.{}", base + 1), format!("203.0.113.{}", base + 2));
            network.plug(&format!("person{number}"), host, &gateway, &own, number + 4)?;
        }
        bound_window(&network.web, TCP_RECEIVE_BYTES_OF_WEB)?;
        for host in &network.people {
            bound_window(host, TCP_RECEIVE_BYTES_OF_PERSON)?;
        }
        Ok(network)
    }

    /// A cable from a host's `eth0` to the router, addresses at both ends, and the host's way to everywhere else.
    fn plug(&self, name: &str, host: &Host, gateway: &str, own: &str, number: usize) -> Result<()> {
        Host::cable((&self.router, name), (host, "eth0"))?;
        self.router.ip(&format!("address add {gateway}/30 dev {name}"))?;
        host.ip(&format!("address add {own}/30 dev eth0"))?;
        host.ip(&format!("route add default via {gateway}"))?;
        // Addresses that are given out by hand are nobody else's: no waiting for duplicate address detection.
        self.router.ip(&format!("address add fd5a:{number:x}::1/64 dev {name} nodad"))?;
        host.ip(&format!("address add fd5a:{number:x}::2/64 dev eth0 nodad"))?;
        host.ip(&format!("-6 route add default via fd5a:{number:x}::1"))?;
        Ok(())
    }

    /// Pulls the people's cables: not one more byte can reach or leave them. The node is told that they are unreachable, so that
    /// its WireGuard does not go on sending (and counting) handshakes that nobody can answer.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn pull_peoples_cables(&self) -> Result<()> {
        self.node.ip(&format!("route add unreachable {PEOPLE_V4}"))?;
        for host in &self.people {
            host.ip("link set dev eth0 down")?;
        }
        Ok(())
    }
}

fn bound_window(host: &Host, bytes: u32) -> Result<()> {
    let mut command = host.command("sysctl");
    command.args(["-q", "-w", &format!("net.ipv4.tcp_rmem=4096 {bytes} {bytes}")]);
    process::run(&mut command).map(drop)
}
