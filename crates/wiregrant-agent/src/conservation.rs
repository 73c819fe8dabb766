//! Conservation: what the interface says of all its peers together, against what was counted of each. Pure.
//!
//! A peer takes its counters with it when it is removed, and bytes that it moved after its last reading with them. The kernel
//! keeps statistics of the interface as a whole, which outlive its peers. So what they grew by and no peer accounts for was
//! moved by peers that are gone, and counts after all.
//!
//! It never recovers a byte that was counted (law 1): the statistics are read before the peers are, so that traffic in between
//! makes the difference too small; peers' readings that only set a mark are taken as accounted for; and statistics
//! that were not watched from their beginning are accounted for as they were found.

use serde::{Deserialize, Serialize};
use wiregrant_core::counter::Reading;

/// After so many readings a removal accounts no more for bytes that no peer does: at ten seconds each, a minute.
const OPEN_READINGS: u8 = 6;

/// The interface's own statistics on both sides of a reading of its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Tells an interface from another under its name.
    pub instance: u32,
    /// Read before the peers.
    pub before: Reading,
    /// Read after them.
    pub after: Reading,
    /// The interface was made by this agent since the last sample: everything it has moved is in `before`.
    pub fresh: bool,
    /// A peer that has a mark was not there, in this reading and in the one before: somebody else has removed it.
    pub missing: bool,
    /// A peer that has a mark and was there before, or was added since, was not there. Absence in one reading says nothing, so
    /// nothing is recovered by it: if the peer is alive, its own counters will account for what it moved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub torn: bool,
}

/// The account of one interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conservation {
    /// The interface that is accounted for.
    instance: Option<u32>,
    /// Its statistics as last seen.
    seen: Reading,
    /// How much of them is accounted for.
    accounted: Reading,
    /// Readings for which a peer that is gone may still account for bytes.
    open_readings: u8,
    /// The most that peers can have moved who are gone, as the reading before showed it, in so far as it is not recovered.
    suspected: Reading,
    /// Recovered since enrolment.
    recovered: Reading,
    /// Sent since enrolment by no peer that is or was there, in bytes, and not counted.
    unattributed: u64,
}

impl Conservation {
    /// The machine has started anew, or what was counted was lost: the next interface is another, or begins as it is found.
    pub fn forget(&mut self) {
        *self = Self { recovered: self.recovered, unattributed: self.unattributed, ..Self::default() };
    }

    /// A peer is gone, or its counters are: what it moved since its last reading is in the statistics only.
    pub fn departed(&mut self) {
        self.open_readings = OPEN_READINGS;
    }

    /// Whether these statistics say something new, or something that was held back.
    #[must_use]
    pub fn is_news(&self, span: &Span) -> bool {
        let held_back = beyond(self.seen, self.accounted) != Reading::default();
        held_back
            || self.instance != Some(span.instance)
            || self.seen != span.after
            || self.seen != span.before
    }

    /// Accounts for a reading of the peers, in which they had `moved` so much since the last, and for the statistics around
    /// it. Gives what is recovered, which counts once.
    pub fn account(&mut self, span: Option<&Span>, moved: Reading) -> Reading {
        self.accounted = plus(self.accounted, moved);
        let Some(span) = span else { return Reading::default() };
        let fell = span.before.received < self.seen.received || span.before.sent < self.seen.sent;
        if self.instance != Some(span.instance) || fell {
            self.instance = Some(span.instance);
            self.accounted = if span.fresh { moved } else { span.after };
        }
        if span.torn {
            self.departed();
            self.suspected = beyond(span.after, self.accounted);
            return Reading::default();
        }
        let unaccounted = beyond(span.before, self.accounted);
        // What this reading shows for the first time may be of somebody whom it lacks and nobody knew yet, and whose own counters
        // will account for it. And who is gone for good moved nothing after the reading that first lacked them.
        let mut gap = lesser(unaccounted, self.suspected);
        self.suspected = beyond(if span.missing { self.suspected } else { unaccounted }, gap);
        if unaccounted.received > 0 {
            // All that it has received it has received from peers.
            self.departed();
        }
        if self.open_readings == 0 {
            // Under load WireGuard answers strangers with cookies, which the interface has sent and no peer has.
            self.unattributed = self.unattributed.saturating_add(unaccounted.sent);
            self.accounted.sent = self.accounted.sent.saturating_add(unaccounted.sent);
            gap.sent = 0;
            self.suspected.sent = 0;
        }
        self.accounted = plus(self.accounted, gap);
        // A packet that was dropped on its way out is in its peer's counter only. Such a surplus must not hide a later gap.
        self.accounted = lesser(self.accounted, span.after);
        let quiet = span.before == span.after && self.suspected == Reading::default();
        self.open_readings = if quiet { 0 } else { self.open_readings.saturating_sub(1) };
        self.seen = span.after;
        self.recovered = plus(self.recovered, gap);
        gap
    }

    /// Bytes that were recovered since enrolment.
    #[must_use]
    pub fn recovered(&self) -> Reading {
        self.recovered
    }

    /// Bytes that the interface has sent since enrolment and no peer accounts for; they do not count.
    #[must_use]
    pub fn unattributed(&self) -> u64 {
        self.unattributed
    }
}

/// The sum, held at the most a counter can say.
#[must_use]
pub fn plus(one: Reading, other: Reading) -> Reading {
    Reading {
        received: one.received.saturating_add(other.received),
        sent: one.sent.saturating_add(other.sent),
    }
}

fn beyond(whole: Reading, part: Reading) -> Reading {
    Reading {
        received: whole.received.saturating_sub(part.received),
        sent: whole.sent.saturating_sub(part.sent),
    }
}

fn lesser(one: Reading, other: Reading) -> Reading {
    Reading { received: one.received.min(other.received), sent: one.sent.min(other.sent) }
}

#[cfg(test)]
mod tests;
