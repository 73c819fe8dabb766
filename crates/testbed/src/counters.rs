//! WireGuard's own counters, read with `wg`, which shares no code with what is tested.

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::host::Host;

/// What an interface has moved, all peers together, seen from the host that it is on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// WireGuard message bytes in.
    #[serde(rename = "received_bytes")]
    pub received: u64,
    /// WireGuard message bytes out.
    #[serde(rename = "sent_bytes")]
    pub sent: u64,
}

impl Counters {
    /// Reads the interface that bears the host's name.
    ///
    /// # Errors
    /// When there is none, or `wg` prints what is not understood.
    pub fn read(host: &Host) -> Result<Self> {
        let dump = host.exec(&format!("wg show {} dump", host.name()))?;
        parse_dump(&dump, |_| true).with_context(|| format!("`wg show {} dump`", host.name()))
    }

    /// The same of people's devices alone, which have an IPv4 address each; the control plane, which a node knows as one more peer, has
    /// none.
    ///
    /// # Errors
    /// As [`Counters::read`].
    pub fn of_people(host: &Host) -> Result<Self> {
        let dump = host.exec(&format!("wg show {} dump", host.name()))?;
        let of_people = |allowed_ips: &str| allowed_ips.contains('.') || allowed_ips == "(none)";
        parse_dump(&dump, of_people).with_context(|| format!("`wg show {} dump`", host.name()))
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            received: self.received.saturating_add(other.received),
            sent: self.sent.saturating_add(other.sent),
        }
    }

    /// Received and sent together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.received.saturating_add(self.sent)
    }
}

/// The sum over many interfaces.
///
/// # Errors
/// As [`Counters::read`].
pub fn read_all<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Result<Counters> {
    hosts.into_iter().try_fold(Counters::default(), |sum, host| Ok(sum.plus(Counters::read(host)?)))
}

/// wg(8), "show": one line of the interface, then one of eight fields for each peer; the sixth and seventh are the
/// bytes received and sent.
fn parse_dump(dump: &str, counts: impl Fn(&str) -> bool) -> Result<Counters> {
    let mut lines = dump.lines();
    if lines.next().is_none_or(|interface| interface.split('\t').count() != 4) {
        bail!("the first line is not an interface's");
    }
    let mut sum = Counters::default();
    for line in lines {
        let [_key, _psk, _endpoint, allowed_ips, _handshake, received, sent, _keepalive] =
            line.split('\t').collect::<Vec<_>>()[..]
        else {
            bail!("a peer's line has eight fields");
        };
        let peer = Counters {
            received: received.parse().context("bytes received")?,
            sent: sent.parse().context("bytes sent")?,
        };
        if counts(allowed_ips) {
            sum = sum.plus(peer);
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_counters_of_all_peers_are_added() {
        let dump = "priv\tpub\t51820\toff\nk1\t(none)\t203.0.113.2:1\t10.64.0.2/32\t0\t564\t476\toff\n\
                    k2\t(none)\t(none)\t(none)\t0\t1\t2\toff\n";
        assert_eq!(parse_dump(dump, |_| true).unwrap(), Counters { received: 565, sent: 478 });
        assert_eq!(parse_dump("priv\tpub\t51820\toff\n", |_| true).unwrap(), Counters::default());
    }

    #[test]
    fn a_line_cut_short_is_refused() {
        for bad in ["", "priv\tpub\n", "a\tb\tc\td\nk1\t(none)\t(none)\t(none)\t0\t5\n", "a\tb\tc\td\n\n"] {
            assert!(parse_dump(bad, |_| true).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[\\t\\n0-9a-z]{0,80}") {
            let _ = parse_dump(&text, |_| true);
        }

        #[test]
        fn what_is_printed_is_read(peers in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..9)) {
            let mut dump = String::from("priv\tpub\t51820\toff\n");
            for (received, sent) in &peers {
                dump.push_str(&format!("k\t(none)\t(none)\t(none)\t0\t{received}\t{sent}\toff\n"));
            }
            let counters = parse_dump(&dump, |_| true).unwrap();
            prop_assert_eq!(counters.received, peers.iter().map(|peer| u64::from(peer.0)).sum::<u64>());
            prop_assert_eq!(counters.sent, peers.iter().map(|peer| u64::from(peer.1)).sum::<u64>());
        }
    }
}
