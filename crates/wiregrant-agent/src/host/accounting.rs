//! The accounting: nftables' own count of what passes the tunnel, one counter for each way and nobody's in particular, in a
//! table apart from the policy's, so that loading rules again zeroes nothing.

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

/// The name of an interface's accounting table.
#[must_use]
pub fn table(tunnel: &InterfaceName) -> String {
    format!("wiregrant_{tunnel}_acct")
}

/// The table. It counts before anything else looks at a packet, where fragments are still apart, and after everything else.
fn text(tunnel: &InterfaceName) -> String {
    let table = table(tunnel);
    format!(
        "table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n\
         comment \"made by wiregrant-agent; removed by wiregrant-agent down\"\n\
         counter received {{ }}\ncounter sent {{ }}\n\
         chain from_people {{\ntype filter hook prerouting priority -450; policy accept;\n\
         iifname \"{tunnel}\" counter name \"received\"\n}}\n\
         chain to_people {{\ntype filter hook postrouting priority 450; policy accept;\n\
         oifname \"{tunnel}\" counter name \"sent\"\n}}\n}}\n"
    )
}

/// Keeps the table and compares it with what is counted from WireGuard.
pub struct Accounting {
    tunnel: InterfaceName,
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
        Self { tunnel, check: CrossCheck::default(), alarms: 0, handshakes: 0, last: None }
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
        let Some(listing) = nft::counters(&table(&self.tunnel))? else {
            nft::apply(&text(&self.tunnel))?;
            self.check.forget();
            return Ok(());
        };
        let (received, sent) = read(&listing)?;
        let messages = self.messages(backend, peers, now, received, sent)?;
        let way = |counted, (packets, bytes), messages| Way { counted, packets, bytes, messages };
        let point =
            Point { received: way(counted.0, received, messages.0), sent: way(counted.1, sent, messages.1) };
        let strictness = match backend {
            Backend::Kernel => Strictness::Kernel,
            Backend::WireGuardGo => Strictness::WireGuardGo,
        };
        match self.check.judge(point, strictness) {
            Finding::TooEarly | Finding::Agrees => {}
            Finding::TooMuch(bytes) => self.alarm("more was counted than nftables saw pass", bytes),
            Finding::TooLittle(bytes) => self.alarm("less was counted than nftables saw arrive", bytes),
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

/// Packets and bytes of both counters.
fn read(listing: &str) -> anyhow::Result<((u64, u64), (u64, u64))> {
    let listing: Listing =
        serde_json::from_str(listing).context("nft: its counters are not in the form it documents")?;
    let of = |name: &str| {
        let mut counters = listing.nftables.iter().filter_map(|entry| entry.counter.as_ref());
        let counter = counters.find(|counter| counter.name == name);
        counter
            .map(|counter| (counter.packets, counter.bytes))
            .with_context(|| format!("nft: no counter {name:?}"))
    };
    Ok((of("received")?, of("sent")?))
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
        assert_eq!(read(listing).unwrap(), ((1, 84), (2, 168)));
        let error = read(r#"{"nftables": []}"#).unwrap_err().to_string();
        assert!(error.contains("received"), "{error}");
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
            let _ = read(&text);
            let _ = packets_of_link(&text, "wg0");
        }
    }
}
