//! The accounting: nftables' own count of what passes the tunnel and the node's UDP port, one counter for each way and nobody's in
//! particular, in a table apart from the policy's, so that loading rules again zeroes nothing.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use wiregrant_core::usage_report::Backend;

use super::cross_check::{CrossCheck, Finding, Point, Strictness, Way};
use super::nft;
use crate::wireguard::InterfaceName;

const LINKS: &str = "/proc/thread-self/net/dev";
/// How many handshakes and keepalives a peer can make wireguard-go send in a second: it takes 50 initiations a second of one
/// peer (`HandshakeInitationRate`), and answers each.
const MOST_HANDSHAKES_PER_SECOND: u64 = 51;
/// A segment of a stream that wireguard-go may have been given joined with others has at least so many bytes: the least that
/// every host takes whole (RFC 9293, section 3.7.1).
const LEAST_SEGMENT_BYTES: u64 = 536;

/// What nftables calls a version of IP, and how many bytes of a datagram are no payload there: IP's header and UDP's. Options make
/// them more, and the payload less than what is taken for it; a node sends none.
const VERSIONS: [(&str, u64); 2] = [("ipv4", 28), ("ipv6", 48)];

/// The name of an interface's accounting table.
#[must_use]
pub fn table(tunnel: &InterfaceName) -> String {
    format!("wiregrant_{tunnel}_acct")
}

/// The table. It counts before anything else looks at a packet, where fragments are still apart, and after everything else; but
/// WireGuard's own datagrams where they are whole.
fn text(tunnel: &InterfaceName, port: Option<u16>) -> String {
    let table = table(tunnel);
    let outside = port.map(outside_text).unwrap_or_default();
    format!(
        "table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n\
         comment \"made by wiregrant-agent; removed by wiregrant-agent down\"\n\
         counter received {{ }}\ncounter sent {{ }}\n\
         chain from_people {{\ntype filter hook prerouting priority -450; policy accept;\n\
         iifname \"{tunnel}\" counter name \"received\"\n}}\n\
         chain to_people {{\ntype filter hook postrouting priority 450; policy accept;\n\
         oifname \"{tunnel}\" counter name \"sent\"\n}}\n{outside}}}\n"
    )
}

/// The datagrams of a port. The counters bear its number, so that those of another are not taken for them.
fn outside_text(port: u16) -> String {
    let mut text = String::new();
    for (way, hook, field) in [("arrived", "input", "dport"), ("left", "output", "sport")] {
        let mut rules = String::new();
        for (version, _) in VERSIONS {
            let name = outside_counter(way, version, port);
            let _ = writeln!(text, "counter {name} {{ }}");
            let _ = writeln!(rules, "meta nfproto {version} udp {field} {port} counter name \"{name}\"");
        }
        let _ = writeln!(
            text,
            "chain {way} {{\ntype filter hook {hook} priority -450; policy accept;\n{rules}}}"
        );
    }
    text
}

fn outside_counter(way: &str, version: &str, port: u16) -> String {
    format!("{way}_{version}_{port}")
}

/// Keeps the table and compares it with what is counted from WireGuard.
pub struct Accounting {
    tunnel: InterfaceName,
    /// The UDP port that WireGuard listens on, where it is known.
    port: Option<u16>,
    check: CrossCheck,
    alarms: u64,
    /// How many messages peers may have made wireguard-go send beside packets, since the beginning.
    handshakes: u64,
    last: Option<(Duration, u64)>,
}

impl Accounting {
    /// Of an interface; nothing is touched yet.
    #[must_use]
    pub fn new(tunnel: InterfaceName) -> Self {
        Self { tunnel, port: None, check: CrossCheck::default(), alarms: 0, handshakes: 0, last: None }
    }

    /// WireGuard listens on this UDP port; 0 when it chooses one itself.
    pub fn at_port(&mut self, port: u16) {
        self.port = Some(port).filter(|port| *port != 0);
    }

    /// How often what was counted could not be, since the agent started.
    #[must_use]
    pub fn alarms(&self) -> u64 {
        self.alarms
    }

    /// See [`CrossCheck::forget`].
    pub fn forget(&mut self) {
        self.check.forget();
    }

    /// Compares `counted`, the agent's totals received and sent in bytes right after a sample, with what nftables has seen. `now` is of a clock that only
    /// goes forwards. A contradiction is logged as a warning and counted.
    ///
    /// # Errors
    /// When `nft` or the link cannot be read.
    pub fn check(
        &mut self,
        counted: (u64, u64),
        backend: Backend,
        peers: u64,
        now: Duration,
    ) -> anyhow::Result<()> {
        let listing = nft::counters(&table(&self.tunnel))?;
        let Some(Counts { received, sent, outside }) =
            listing.map(|listing| read(&listing, self.port)).transpose()?.flatten()
        else {
            // Not there, or made for another port.
            nft::apply(&text(&self.tunnel, self.port))?;
            self.check.forget();
            return Ok(());
        };
        let messages = self.messages(backend, peers, now, received, sent)?;
        let way =
            |counted, (packets, bytes), messages, outside| Way { counted, packets, bytes, messages, outside };
        let point = Point {
            received: way(counted.0, received, messages.0, outside.map(|(arrived, _)| arrived)),
            sent: way(counted.1, sent, messages.1, outside.map(|(_, left)| left)),
        };
        let strictness = match backend {
            Backend::Kernel => Strictness::Kernel,
            Backend::WireGuardGo => Strictness::WireGuardGo,
        };
        match self.check.judge(point, strictness) {
            Finding::TooEarly | Finding::Agrees => {}
            Finding::TooMuch(bytes) => self.alarm("more was counted than nftables saw pass", bytes),
            Finding::TooLittle(bytes) => self.alarm("less was counted than nftables saw move", bytes),
        }
        Ok(())
    }

    fn alarm(&mut self, what: &str, bytes: u64) {
        self.alarms = self.alarms.saturating_add(1);
        tracing::warn!(
            bytes,
            alarms = self.alarms,
            "cross-check: {what}; nothing follows for what is reported"
        );
    }

    /// At most so many messages were received and sent.
    fn messages(
        &mut self,
        backend: Backend,
        peers: u64,
        now: Duration,
        received: (u64, u64),
        sent: (u64, u64),
    ) -> anyhow::Result<(u64, u64)> {
        let link = packets_of_link(&links()?, self.tunnel.as_str())
            .with_context(|| format!("{LINKS}: has no {}", self.tunnel))?;
        let (before, peers_before) = self.last.replace((now, peers)).unwrap_or((now, peers));
        let seconds = now.saturating_sub(before).as_secs() + 1;
        let handshakes =
            peers.max(peers_before).saturating_mul(seconds).saturating_mul(MOST_HANDSHAKES_PER_SECOND);
        self.handshakes = self.handshakes.saturating_add(handshakes);
        Ok(match backend {
            // The kernel's link counts every message, of whatever kind.
            Backend::Kernel => link,
            // wireguard-go's link has the packets inside, possibly joined.
            Backend::WireGuardGo => {
                let at_most = |packets: u64, (seen, bytes): (u64, u64)| {
                    packets
                        .max(seen)
                        .saturating_add(bytes / LEAST_SEGMENT_BYTES)
                        .saturating_add(self.handshakes)
                };
                (at_most(link.0, received), at_most(link.1, sent))
            }
        })
    }
}

/// Whether there is a link of this name in this network namespace.
///
/// # Errors
/// When the kernel's list cannot be read.
pub fn link_is_there(name: &InterfaceName) -> anyhow::Result<bool> {
    Ok(packets_of_link(&links()?, name.as_str()).is_some())
}

fn links() -> anyhow::Result<String> {
    fs::read_to_string(LINKS).with_context(|| format!("{LINKS}: cannot be read"))
}

/// `nft -j list counters`.
#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    counter: Option<Counter>,
}

#[derive(Deserialize)]
struct Counter {
    name: String,
    packets: u64,
    bytes: u64,
}

/// What nftables has counted.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    /// Packets and bytes from people.
    received: (u64, u64),
    /// Packets and bytes to people.
    sent: (u64, u64),
    /// Payload bytes that arrived at the node's port and left it, where that is known.
    outside: Option<(u64, u64)>,
}

/// Reads the counters; `None` when one is missing.
fn read(listing: &str, port: Option<u16>) -> anyhow::Result<Option<Counts>> {
    let listing: Listing =
        serde_json::from_str(listing).context("nft: its counters are not in the form it documents")?;
    let of = |name: &str| {
        let mut counters = listing.nftables.iter().filter_map(|entry| entry.counter.as_ref());
        counters.find(|counter| counter.name == name).map(|counter| (counter.packets, counter.bytes))
    };
    let payload = |way: &str, port: u16| {
        VERSIONS.iter().try_fold(0_u64, |sum, (version, headers)| {
            let (packets, bytes) = of(&outside_counter(way, version, port))?;
            Some(sum.saturating_add(bytes.saturating_sub(packets.saturating_mul(*headers))))
        })
    };
    let counts = || {
        let outside = match port {
            Some(port) => Some((payload("arrived", port)?, payload("left", port)?)),
            None => None,
        };
        Some(Counts { received: of("received")?, sent: of("sent")?, outside })
    };
    Ok(counts())
}

/// `name: bytes packets errs drop fifo frame compressed multicast bytes packets …`, received and then sent.
fn packets_of_link(links: &str, name: &str) -> Option<(u64, u64)> {
    let line = links.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':'))?;
    let numbers: Vec<&str> = line.split_whitespace().collect();
    Some((numbers.get(1)?.parse().ok()?, numbers.get(9)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_counters_are_read() {
        let listing = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
            {"counter": {"family": "inet", "name": "received", "table": "t", "handle": 3, "packets": 1, "bytes": 84}},
            {"counter": {"family": "inet", "name": "sent", "table": "t", "handle": 4, "packets": 2, "bytes": 168}}]}"#;
        let counts = Counts { received: (1, 84), sent: (2, 168), outside: None };
        assert_eq!(read(listing, None).unwrap(), Some(counts));
        assert_eq!(read(listing, Some(51820)).unwrap(), None, "made for another port");
        assert_eq!(read(r#"{"nftables": []}"#, None).unwrap(), None);
        assert!(read("{}", None).is_err());
    }

    #[test]
    fn a_ports_datagrams_are_counted_by_their_payload() {
        let counter = |name: &str, packets: u64, bytes: u64| {
            format!(r#"{{"counter": {{"name": "{name}", "packets": {packets}, "bytes": {bytes}}}}}"#)
        };
        let counters = [
            counter("received", 0, 0),
            counter("sent", 0, 0),
            counter("arrived_ipv4_51820", 2, 2 * 28 + 148 + 32),
            counter("arrived_ipv6_51820", 1, 48 + 100),
            counter("left_ipv4_51820", 0, 0),
            counter("left_ipv6_51820", 1, 48 + 92),
        ];
        let listing = format!(r#"{{"nftables": [{}]}}"#, counters.join(","));
        assert_eq!(read(&listing, Some(51820)).unwrap().unwrap().outside, Some((280, 92)));
        assert_eq!(read(&listing, Some(443)).unwrap(), None);
    }

    #[test]
    fn a_links_packets_are_read_and_another_links_are_not() {
        let links = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
            wg-grant01: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\nwg-grant0: 200 20 0 0 0 0 0 0 176 17 0 0 0 0 0 0\n";
        assert_eq!(packets_of_link(links, "wg-grant0"), Some((20, 17)));
        assert_eq!(packets_of_link(links, "wg-grant"), None);
    }

    proptest! {
        #[test]
        fn no_listing_makes_it_panic(text in "\\PC{0,200}") {
            let _ = read(&text, Some(1));
            let _ = packets_of_link(&text, "wg0");
        }
    }
}
