//! The rates: what one device, and all of them together, may move in a second, each way.
//!
//! nftables counts each device's bytes on their way and drops what is above the rate. There is no queue: why that is enough is in
//! `docs/adr/`. The kernel lets a pause of one second be made up for (`nft_limit_init`, for limits by the second), so a rate
//! holds over a second and more, and `BURST_MILLISECONDS` come on top.

use std::fmt::Write as _;
use std::num::NonZeroU64;

use wiregrant_core::socks5::metering::Rates;

/// What may pass at once beyond a second's worth: a packet joined from many segments is judged whole.
const BURST_MILLISECONDS: u64 = 100;
/// A packet joined by the kernel has at most 64 KiB; a smaller burst could refuse each of them.
const LEAST_BURST_BYTES: u64 = 64 << 10;
/// The kernel keeps a burst in 32 bits.
const MOST_BURST_BYTES: u64 = 1 << 30;
/// As many devices as a node serves at most, see `wiregrant_core::peer::MAX_PEERS`.
const DEVICES: usize = wiregrant_core::peer::MAX_PEERS;
/// A device that moved nothing for so long has its whole allowance again, and need not be remembered.
const FORGET: &str = "1m";

/// A way through the tunnel, seen from the people.
#[derive(Debug, Clone, Copy)]
pub enum Direction {
    /// From them; a device is the source.
    Up,
    /// To them; a device is the destination.
    Down,
}

impl Direction {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Up => ("up", "saddr"),
            Self::Down => ("down", "daddr"),
        }
    }
}

/// The sets that the rules of [`rules`] fill, one for each way and version.
#[must_use]
pub fn sets(rates: Rates) -> String {
    let mut text = String::new();
    if rates.device.is_none() {
        return text;
    }
    for way in ["up", "down"] {
        for (version, kind) in [("v4", "ipv4_addr"), ("v6", "ipv6_addr")] {
            let _ = writeln!(
                text,
                "set {way}_{version} {{\ntype {kind}; size {DEVICES}; flags dynamic,timeout; timeout {FORGET};\n}}"
            );
        }
    }
    text
}

/// The rules that drop what is too much. A device's comes first: what it may not send does not use up what all may.
#[must_use]
pub fn rules(rates: Rates, direction: Direction) -> Vec<String> {
    let (way, address) = direction.names();
    let mut rules = Vec::new();
    if let Some(limit) = rates.device.map(limit) {
        for (version, word) in [("v4", "ip"), ("v6", "ip6")] {
            rules.push(format!("update @{way}_{version} {{ {word} {address} {limit} }} drop"));
        }
    }
    if let Some(limit) = rates.all.map(limit) {
        rules.push(format!("{limit} drop"));
    }
    rules
}

/// Of so many bytes a second.
fn limit(rate: NonZeroU64) -> String {
    let burst =
        (rate.get() / 1000).saturating_mul(BURST_MILLISECONDS).clamp(LEAST_BURST_BYTES, MOST_BURST_BYTES);
    format!("limit rate over {rate} bytes/second burst {burst} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_budget_there_is_no_rule() {
        let none = Rates::default();
        assert_eq!(sets(none), "");
        assert_eq!(rules(none, Direction::Up), Vec::<String>::new());
    }

    #[test]
    fn a_device_is_the_source_upwards_and_the_destination_downwards() {
        let rates = Rates { device: NonZeroU64::new(1_000_000), all: NonZeroU64::new(10_000_000) };
        let limit = "limit rate over 1000000 bytes/second burst 100000 bytes";
        let expected = [
            format!("update @up_v4 {{ ip saddr {limit} }} drop"),
            format!("update @up_v6 {{ ip6 saddr {limit} }} drop"),
            "limit rate over 10000000 bytes/second burst 1000000 bytes drop".to_owned(),
        ];
        assert_eq!(rules(rates, Direction::Up), expected);
        assert!(rules(rates, Direction::Down)[0].contains("@down_v4 { ip daddr"));
        assert!(sets(rates).contains("set down_v6 {\ntype ipv6_addr; size 65536;"));
    }

    #[test]
    fn the_greatest_and_the_least_rate_are_ones_that_the_kernel_takes() {
        let limit = |rate| limit(NonZeroU64::new(rate).unwrap());
        assert_eq!(
            limit(125_000_000_000),
            "limit rate over 125000000000 bytes/second burst 1073741824 bytes"
        );
        assert_eq!(limit(125_000), "limit rate over 125000 bytes/second burst 65536 bytes");
    }
}
