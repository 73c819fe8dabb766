//! `wiregrant-agent status --watch`: the status again each second, with what moves meanwhile.
//!
//! What moves is the sum over all peers, from their own counters: the journal knows it only once in a sampling interval. Nothing
//! about one peer leaves this module.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::counter::Reading;

use crate::clock;
use crate::state_dir::StateDir;
use crate::status::status;
use crate::wireguard::LivePeer;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Moves a terminal's cursor home and wipes what is there.
const WIPE: &str = "\x1b[H\x1b[2J";

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Bits a second that all peers together moved since the last look, as seen from the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// From the peers.
    pub received_bits_per_second: u64,
    /// To the peers.
    pub sent_bits_per_second: u64,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (received, sent) = (self.received_bits_per_second, self.sent_bits_per_second);
        // In tenths, rounded down: the last digit is gone a second later.
        let megabits = |bits: u64| format!("{}.{}", bits / 1_000_000, bits / 100_000 % 10);
        write!(f, "{} Mbit/s received, {} Mbit/s sent", megabits(received), megabits(sent))
    }
}

/// The last look at the counters.
#[derive(Debug, Default)]
pub struct Counters {
    last: Option<(Duration, BTreeMap<WireGuardPublicKey, Reading>)>,
}

impl Counters {
    /// What moved from the last look to this one, at `now` of a clock that nobody sets; `None` for the first.
    ///
    /// A peer that was not there the last time was added since, so all it has was moved since.
    pub fn look(&mut self, now: Duration, live: &[LivePeer]) -> Option<Rate> {
        let readings = live.iter().map(|peer| (peer.public_key, peer.reading)).collect();
        let (then, before) = self.last.replace((now, readings))?;
        let milliseconds = now.saturating_sub(then).as_millis().max(1);
        let moved = live
            .iter()
            .map(|peer| peer.reading.moved_since(before.get(&peer.public_key).copied().unwrap_or_default()));
        let (received, sent) = moved.fold((0_u128, 0_u128), |(received, sent), moved| {
            (received + u128::from(moved.received), sent + u128::from(moved.sent))
        });
        let per_second = |bytes: u128| u64::try_from(bytes * 8_000 / milliseconds).unwrap_or(u64::MAX);
        Some(Rate { received_bits_per_second: per_second(received), sent_bits_per_second: per_second(sent) })
    }
}

/// Prints the status each second until the reader goes away or the process is ended.
///
/// # Errors
/// When the node has not joined, its files cannot be read, or nothing can be printed.
pub fn watch(dir: &StateDir, form: Form) -> anyhow::Result<()> {
    let mut counters = Counters::default();
    let wipe = if io::stdout().is_terminal() { WIPE } else { "" };
    loop {
        let (mut status, live) = status(dir)?;
        let now = clock::now();
        status.rate = counters.look(now.monotonic, &live);
        let printed = match form {
            Form::Json => serde_json::to_string(&status)?,
            Form::Text => format!("{wipe}{}\n{}", now.wall, status.text(now.wall)),
        };
        let mut out = io::stdout().lock();
        match writeln!(out, "{printed}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            result => result?,
        }
        drop(out);
        sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(key: u8, received: u64, sent: u64) -> LivePeer {
        LivePeer {
            public_key: [key; 32].into(),
            allowed_ips: Vec::new(),
            reading: Reading { received, sent },
        }
    }

    #[test]
    fn a_rate_is_what_all_peers_moved_between_two_looks() {
        let (mut counters, seconds) = (Counters::default(), Duration::from_secs);
        assert_eq!(counters.look(seconds(10), &[peer(1, 1_000_000, 0), peer(2, 7, 7)]), None);
        // One goes on, one is gone, one is new, and the next time one began anew.
        let rate = counters.look(seconds(12), &[peer(1, 2_000_000, 0), peer(3, 0, 250_000)]);
        let expected = Rate { received_bits_per_second: 4_000_000, sent_bits_per_second: 1_000_000 };
        assert_eq!(rate, Some(expected));
        let rate = counters.look(seconds(13), &[peer(1, 125_000, 0), peer(3, 0, 250_000)]).unwrap();
        assert_eq!(rate, Rate { received_bits_per_second: 1_000_000, sent_bits_per_second: 0 });
        assert!(counters.look(seconds(13), &[peer(1, u64::MAX, 0)]).is_some(), "no division by zero");
    }

    #[test]
    fn a_rate_is_told_in_megabits() {
        let rate = Rate { received_bits_per_second: 12_345_678, sent_bits_per_second: 99_999 };
        assert_eq!(rate.to_string(), "12.3 Mbit/s received, 0.0 Mbit/s sent");
    }
}
