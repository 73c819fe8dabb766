//! Turns WireGuard's transfer counters into usage.

use serde::{Deserialize, Serialize};

/// The raw counters of one peer at an instant, in WireGuard message bytes, as seen from the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Bytes the node received from the peer since the peer was added.
    pub received: u64,
    /// Bytes the node sent to the peer since the peer was added.
    pub sent: u64,
}

impl Reading {
    /// What was moved between two readings of one peer, `self` being the later.
    ///
    /// WireGuard's counters only grow while a peer lives and start from zero when it is made anew. Where a counter fell
    /// it was reset, so its current value is what moved since: bytes between the last reading and the reset are lost
    /// to the count (it may say too little), but none is invented. Where it did not fall, the difference is at most
    /// what moved, whether or not a reset lies between. The two counters of a peer are reset together, so a fall of
    /// either counts for both.
    ///
    /// That an interface was made anew or the agent was restarted says nothing by itself: counters that survived it
    /// would be counted twice if it were taken for a reset.
    #[must_use]
    pub fn moved_since(self, earlier: Reading) -> Reading {
        if self.received < earlier.received || self.sent < earlier.sent {
            return self;
        }
        Reading { received: self.received - earlier.received, sent: self.sent - earlier.sent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reading(received: u64, sent: u64) -> Reading {
        Reading { received, sent }
    }

    #[test]
    fn between_two_readings_the_difference_moved() {
        assert_eq!(reading(150, 90).moved_since(reading(100, 90)), reading(50, 0));
    }

    #[test]
    fn a_reset_counter_never_invents_bytes() {
        assert_eq!(reading(30, 20).moved_since(reading(100, 90)), reading(30, 20));
    }

    #[test]
    fn one_fallen_counter_shows_that_both_were_reset() {
        assert_eq!(reading(500, 20).moved_since(reading(100, 90)), reading(500, 20));
    }

    /// One step of a peer's life.
    #[derive(Debug, Clone)]
    enum Event {
        Traffic(u32, u32),
        Reset,
        Read,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (any::<u32>(), any::<u32>()).prop_map(|(r, s)| Event::Traffic(r, s)),
            1 => Just(Event::Reset),
            3 => Just(Event::Read),
        ]
    }

    proptest! {
        #[test]
        fn the_sum_never_exceeds_the_truth_and_equals_it_without_a_reset(
            history in proptest::collection::vec(event(), 0..60),
        ) {
            let (mut raw, mut last) = (Reading::default(), Reading::default());
            let (mut truth, mut counted) = (0u128, 0u128);
            let mut was_reset = false;
            for event in history.into_iter().chain([Event::Read]) {
                match event {
                    Event::Traffic(received, sent) => {
                        raw.received += u64::from(received);
                        raw.sent += u64::from(sent);
                        truth += u128::from(received) + u128::from(sent);
                    }
                    Event::Reset => {
                        raw = Reading::default();
                        was_reset = true;
                    }
                    Event::Read => {
                        let moved = raw.moved_since(last);
                        counted += u128::from(moved.received) + u128::from(moved.sent);
                        last = raw;
                    }
                }
            }
            prop_assert!(counted <= truth);
            prop_assert!(was_reset || counted == truth);
        }
    }
}
