//! The cross-check: whether what was counted from WireGuard's counters can be, by what nftables counted on its own.
//!
//! Both count the same packets at two places: WireGuard its messages, nftables the packets inside. A message around a packet of
//! `n` bytes has `n` rounded up to 16 and 32 of its own, so `n + 32` to `n + 47` bytes. That would be all, but
//!
//! - WireGuard also counts messages without a packet: keepalives (32 bytes) and handshakes (148, 92, 64);
//! - the kernel joins the segments of a stream on their way (GRO, GSO), so that nftables sees one packet where WireGuard moves
//!   several: each further one brings its headers, at most 100 bytes (IPv6 and TCP with all options), and the 47 from above;
//! - a packet to somebody who is gone is seen, and then waits or is dropped before it becomes a message.
//!
//! So every message that is not the first of a packet has at most 148 bytes. With `B` bytes in `P` packets as nftables saw
//! them, and at most `M` messages:
//!
//! - received: `B + 32 P <= counted <= B + 47 P + 148 (M - P)`, for each packet that was seen had come in a message;
//! - sent: `counted <= B + 148 M`.
//!
//! wireguard-go counts what it receives before it looks whether the sender may send it, and nftables never sees what is then
//! dropped, so this gives no upper bound for what it received.
//!
//! nftables also sees the messages themselves, as datagrams from and to the node's UDP port; their payload is what WireGuard
//! counts. With `I` bytes of it in and `O` out:
//!
//! - received: `counted <= I`, for what is no message of a peer's comes in too;
//! - sent: `counted <= O`, and `O <= counted` but for the cookies with which a node under load answers strangers: one of 64 bytes
//!   for a handshake of 148 that counts as nobody's, so at most `64 (I - received) / 148`. What a peer is sent between its last
//!   reading and its removal is lost to wireguard-go's count; a thousandth and `LOST_WITH_PEERS` are allowed for that.
//!
//! The readings are not of one moment. An upper bound holds against what nftables had seen later than WireGuard was read, a lower
//! one against what it had seen before.

/// WireGuard's own bytes around a packet: type and receiver (8), counter (8), tag (16); without and with padding.
const LEAST_OVERHEAD: u64 = 32;
const MOST_OVERHEAD: u64 = 47;
/// The longest message that is not the first of a packet: a handshake's first.
const LONGEST_OTHER: u64 = 148;
/// A cookie reply, and the handshake that asks for it.
const COOKIE: u64 = 64;
const HANDSHAKE: u64 = 148;
/// One byte of so many may be lost with peers that are removed, and so many bytes besides.
const LOST_PER_SENT: u64 = 1000;
const LOST_WITH_PEERS: u64 = 10_000;

/// One way of the tunnel at an instant; all numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Way {
    /// What the agent counted from WireGuard's counters, in bytes.
    pub counted: u64,
    /// Packets that nftables saw.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// At most so many messages moved.
    pub messages: u64,
    /// Payload bytes of the datagrams between the node's port and the outside; `None` where the port is not known.
    pub outside: Option<u64>,
}

/// Both ways at an instant: WireGuard's counters read first, what nftables saw after them, the messages last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Point {
    /// From people.
    pub received: Way,
    /// To people.
    pub sent: Way,
}

/// What the check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Not two points yet.
    TooEarly,
    /// Nothing contradicts the count.
    Agrees,
    /// More was counted than can have moved, by so many bytes at least.
    TooMuch(u64),
    /// Less was counted than moved, by so many bytes at least.
    TooLittle(u64),
}

/// Whether messages that no packet came out of are counted as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// The kernel counts a packet after it has found its sender entitled to it.
    Kernel,
    /// wireguard-go counts it before.
    WireGuardGo,
}

/// The points that are compared.
#[derive(Debug, Clone, Default)]
pub struct CrossCheck {
    /// The point before the base, the base, and the last.
    points: Option<(Point, Option<(Point, Point)>)>,
}

impl CrossCheck {
    /// Compares all that moved since the check began with one more point. After a contradiction, and after a number that
    /// fell (somebody made the interface or the table anew), it begins again.
    pub fn judge(&mut self, now: Point, strictness: Strictness) -> Finding {
        let (finding, points) = match self.points {
            None => (Finding::TooEarly, (now, None)),
            Some((before, _)) if fell(&before, &now) => (Finding::TooEarly, (now, None)),
            Some((before, None)) => (Finding::TooEarly, (before, Some((now, now)))),
            Some((_, Some((_, last)))) if fell(&last, &now) => (Finding::TooEarly, (now, None)),
            Some((before, Some((base, last)))) => match compare(&before, &base, &last, &now, strictness) {
                Finding::Agrees => (Finding::Agrees, (before, Some((base, now)))),
                contradiction => (contradiction, (now, None)),
            },
        };
        self.points = Some(points);
        finding
    }

    /// Begins again, because what was counted has jumped for a reason that is no traffic.
    pub fn forget(&mut self) {
        self.points = None;
    }
}

fn fell(before: &Point, now: &Point) -> bool {
    let fell = |before: &Way, now: &Way| {
        now.counted < before.counted
            || now.packets < before.packets
            || now.bytes < before.bytes
            || now.messages < before.messages
            || now.outside < before.outside
    };
    fell(&before.received, &now.received) || fell(&before.sent, &now.sent)
}

/// `base` is where counting for the check began; nftables had seen no less in `before` than WireGuard by then, and in `last`
/// no more than WireGuard by `now`.
fn compare(before: &Point, base: &Point, last: &Point, now: &Point, strictness: Strictness) -> Finding {
    let counted = |way: fn(&Point) -> &Way| way(now).counted - way(base).counted;
    let (received, sent) = (counted(|point| &point.received), counted(|point| &point.sent));
    let least = least_received(&base.received, &last.received);
    let arrived = outside(&before.received, &now.received).unwrap_or(u64::MAX);
    let most_received = match strictness {
        Strictness::Kernel => most_received(&before.received, &now.received).min(arrived),
        Strictness::WireGuardGo => arrived,
    };
    let left = outside(&before.sent, &now.sent).unwrap_or(u64::MAX);
    let most_sent = most_sent(&before.sent, &now.sent).min(left);
    if received > most_received || sent > most_sent {
        return Finding::TooMuch(received.saturating_sub(most_received) + sent.saturating_sub(most_sent));
    }
    let least_sent = least_sent(&base.sent, &last.sent, arrived.saturating_sub(received));
    match least.saturating_sub(received).saturating_add(least_sent.saturating_sub(sent)) {
        0 => Finding::Agrees,
        missing => Finding::TooLittle(missing),
    }
}

fn outside(from: &Way, to: &Way) -> Option<u64> {
    to.outside?.checked_sub(from.outside?)
}

/// Of what left the node's port, with so many bytes come in that count as nobody's.
fn least_sent(from: &Way, to: &Way, of_strangers: u64) -> u64 {
    let left = outside(from, to).unwrap_or(0);
    let cookies = (of_strangers / HANDSHAKE).saturating_mul(COOKIE);
    left.saturating_sub(cookies).saturating_sub(left / LOST_PER_SENT).saturating_sub(LOST_WITH_PEERS)
}

fn least_received(from: &Way, to: &Way) -> u64 {
    let (packets, bytes, _) = moved(from, to);
    bytes.saturating_add(packets.saturating_mul(LEAST_OVERHEAD))
}

fn most_received(from: &Way, to: &Way) -> u64 {
    let (packets, bytes, messages) = moved(from, to);
    let others = messages.saturating_sub(packets);
    let around = packets.saturating_mul(MOST_OVERHEAD);
    bytes.saturating_add(around).saturating_add(others.saturating_mul(LONGEST_OTHER))
}

fn most_sent(from: &Way, to: &Way) -> u64 {
    let (_, bytes, messages) = moved(from, to);
    bytes.saturating_add(messages.saturating_mul(LONGEST_OTHER))
}

fn moved(from: &Way, to: &Way) -> (u64, u64, u64) {
    (to.packets - from.packets, to.bytes - from.bytes, to.messages - from.messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What can happen to one way between two readings.
    #[derive(Debug, Clone)]
    enum Event {
        /// A packet of so many bytes that arrives whole in as many segments, each with headers of so many bytes.
        Packet { bytes: u64, segments: u64, headers: u64 },
        /// A packet that is seen and never becomes a message.
        Dropped { bytes: u64 },
        /// A handshake or keepalive.
        Other { bytes: u64 },
        /// A stranger's handshake, answered by a cookie.
        Stranger,
        /// A message of a peer that is removed before it is read.
        Lost { bytes: u64 },
        /// The counters are read here.
        Reading,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (100_u64..65_536, 1_u64..45, 20_u64..=100).prop_map(|(bytes, segments, headers)| Event::Packet {
                bytes,
                segments,
                headers
            }),
            (20_u64..1500).prop_map(|bytes| Event::Dropped { bytes }),
            prop::sample::select(vec![32_u64, 64, 92, 148]).prop_map(|bytes| Event::Other { bytes }),
            Just(Event::Stranger),
            prop::sample::select(vec![32_u64, 92]).prop_map(|bytes| Event::Lost { bytes }),
            Just(Event::Reading),
        ]
    }

    /// The whole messages of a joined packet: each segment has its headers, padding and WireGuard's own.
    fn message_bytes(bytes: u64, segments: u64, headers: u64) -> u64 {
        let payload = bytes.saturating_sub(headers);
        let each = |share: u64| (headers + share).div_ceil(16) * 16 + 32;
        let (share, rest) = (payload / segments, payload % segments);
        (0..segments).map(|n| each(share + u64::from(n < rest))).sum()
    }

    fn moved_outside(way: &mut Way, bytes: u64) {
        way.outside = way.outside.map(|outside| outside + bytes);
    }

    proptest! {
        #[test]
        fn no_true_history_raises_an_alarm(
            history in prop::collection::vec((event(), any::<bool>()), 0..100),
            lag in 0_usize..3,
            strictness in prop::sample::select(vec![Strictness::Kernel, Strictness::WireGuardGo]),
        ) {
            // The truth at each step, so that the three readings of one point can be of different moments.
            let nothing = Way { outside: Some(0), ..Way::default() };
            let mut truth = vec![Point { received: nothing, sent: nothing }];
            let mut check = CrossCheck::default();
            let mut last_reading = 0;
            for (at, (event, up)) in history.iter().enumerate() {
                let mut point = *truth.last().unwrap();
                if let Event::Stranger = event {
                    moved_outside(&mut point.received, HANDSHAKE);
                    moved_outside(&mut point.sent, COOKIE);
                    point.received.messages += 1;
                    point.sent.messages += 1;
                }
                let way = if *up { &mut point.received } else { &mut point.sent };
                match event {
                    Event::Packet { bytes, segments, headers } => {
                        way.packets += 1;
                        way.bytes += bytes;
                        let bytes = message_bytes(*bytes, *segments, *headers);
                        way.counted += bytes;
                        moved_outside(way, bytes);
                        way.messages += segments;
                    }
                    Event::Dropped { bytes } if !up => {
                        way.packets += 1;
                        way.bytes += bytes;
                    }
                    Event::Other { bytes } => {
                        way.counted += bytes;
                        moved_outside(way, *bytes);
                        way.messages += 1;
                    }
                    Event::Lost { bytes } => {
                        moved_outside(way, *bytes);
                        way.messages += 1;
                    }
                    Event::Dropped { .. } | Event::Stranger | Event::Reading => {}
                }
                truth.push(point);
                if matches!(event, Event::Reading) {
                    let wireguard = truth[(at + 1).saturating_sub(lag).max(last_reading)];
                    let nftables = truth[at + 1];
                    last_reading = at + 1;
                    let mut read = nftables;
                    read.received.counted = wireguard.received.counted;
                    read.sent.counted = wireguard.sent.counted;
                    let finding = check.judge(read, strictness);
                    prop_assert!(matches!(finding, Finding::TooEarly | Finding::Agrees), "{finding:?}");
                }
            }
        }

        #[test]
        fn a_count_that_was_doubled_is_found(packets in 1_u64..10_000, bytes in 200_u64..1400, up in any::<bool>()) {
            let mut check = CrossCheck::default();
            prop_assert_eq!(check.judge(Point::default(), Strictness::Kernel), Finding::TooEarly);
            prop_assert_eq!(check.judge(Point::default(), Strictness::Kernel), Finding::TooEarly);
            let counted = 2 * packets * message_bytes(bytes, 1, 40);
            let way = Way { counted, packets, bytes: packets * bytes, messages: packets, outside: None };
            let mut point = Point::default();
            if up { point.received = way } else { point.sent = way }
            let finding = check.judge(point, Strictness::Kernel);
            prop_assert!(matches!(finding, Finding::TooMuch(_)), "{finding:?}");
            prop_assert_eq!(check.judge(point, Strictness::Kernel), Finding::TooEarly, "said once");
        }
    }

    #[test]
    fn bytes_that_came_in_and_were_not_counted_are_found_with_the_next_point() {
        let mut check = CrossCheck::default();
        let mut point = Point::default();
        check.judge(point, Strictness::WireGuardGo);
        check.judge(point, Strictness::WireGuardGo);
        point.received = Way { counted: 0, packets: 10, bytes: 10_000, messages: 10, outside: None };
        assert_eq!(
            check.judge(point, Strictness::WireGuardGo),
            Finding::Agrees,
            "they may have come in since"
        );
        assert_eq!(check.judge(point, Strictness::WireGuardGo), Finding::TooLittle(10_320));
    }

    #[test]
    fn what_wireguard_go_counts_before_it_drops_it_is_no_contradiction() {
        let mut check = CrossCheck::default();
        let mut point = Point::default();
        check.judge(point, Strictness::WireGuardGo);
        check.judge(point, Strictness::WireGuardGo);
        point.received.counted = 1_000_000;
        assert_eq!(check.judge(point, Strictness::WireGuardGo), Finding::Agrees);
    }

    #[test]
    fn bytes_that_left_and_were_not_counted_are_found_and_a_few_are_allowed_for() {
        let at = |outside: u64, counted: u64| {
            let way = Way { counted, messages: outside, outside: Some(outside), ..Way::default() };
            Point { sent: way, received: Way { outside: Some(0), ..Way::default() } }
        };
        for strictness in [Strictness::Kernel, Strictness::WireGuardGo] {
            for (counted, found) in [
                (10_000_000, Finding::Agrees),
                (9_980_000, Finding::Agrees),
                (9_979_999, Finding::TooLittle(1)),
                (10_000_001, Finding::TooMuch(1)),
            ] {
                let mut check = CrossCheck::default();
                for _ in 0..2 {
                    check.judge(at(0, 0), strictness);
                }
                let now = at(10_000_000, counted);
                let findings = [check.judge(now, strictness), check.judge(now, strictness)];
                assert!(findings.contains(&found), "{counted}: {findings:?}");
            }
        }
    }

    #[test]
    fn more_than_arrived_at_the_port_is_too_much_for_wireguard_go_too() {
        let mut check = CrossCheck::default();
        let way = Way { outside: Some(0), ..Way::default() };
        let mut point = Point { received: way, sent: way };
        for _ in 0..2 {
            check.judge(point, Strictness::WireGuardGo);
        }
        point.received = Way { counted: 1_001, outside: Some(1_000), ..Way::default() };
        assert_eq!(check.judge(point, Strictness::WireGuardGo), Finding::TooMuch(1));
    }

    #[test]
    fn a_number_that_fell_begins_the_check_again() {
        let mut check = CrossCheck::default();
        let sent = Way { counted: 2000, packets: 10, bytes: 1000, messages: 10, outside: None };
        let mut point = Point { sent, ..Point::default() };
        for _ in 0..2 {
            check.judge(point, Strictness::Kernel);
        }
        point.sent.packets = 0;
        point.sent.counted = 9000;
        assert_eq!(check.judge(point, Strictness::Kernel), Finding::TooEarly);
        check.forget();
        assert_eq!(check.judge(point, Strictness::Kernel), Finding::TooEarly);
    }
}
