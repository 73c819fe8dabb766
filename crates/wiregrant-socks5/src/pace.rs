//! The pace: how many bytes may pass in a second, of one device and of all of them together, each way by itself.
//!
//! A stream is never cut short for it: what has passed is charged, and who is ahead of the rate waits before more is taken. Datagrams
//! beyond it are dropped, as a network does. Both let [`BURST`] pass at once after a pause.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may pass at once after a pause, in time at the full rate.
pub const BURST: Duration = Duration::from_millis(100);
/// The most and the least that a stream takes at once under a rate: the more, the longer others wait behind it.
const MOST_TAKEN: u64 = 64 << 10;
const LEAST_TAKEN: u64 = 2 << 10;
/// A stream takes such a part of a second's bytes at once.
const PARTS_OF_SECOND: u64 = 20;

/// One way's rate, and how far it is used.
#[derive(Debug, Default)]
pub struct Pace {
    /// Bytes a second; 0 for no limit.
    rate: AtomicU64,
    /// When all that has passed would have passed at the rate.
    paid_until: Mutex<Option<Instant>>,
}

/// Both ways' paces.
#[derive(Debug, Default)]
pub struct Paces {
    /// From the client.
    pub up: Pace,
    /// To the client.
    pub down: Pace,
}

/// What binds one way of one connection: its device's pace first, then everybody's.
#[derive(Debug, Clone, Copy)]
pub struct Toll<'a> {
    device: &'a Pace,
    all: &'a Pace,
}

impl Pace {
    fn rate(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.rate.load(Ordering::Relaxed))
    }

    /// Whether a datagram that comes now may pass.
    fn is_open(&self, now: Instant) -> bool {
        let paid_until = *self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        self.rate().is_none() || paid_until.is_none_or(|until| until < now + BURST)
    }

    /// Charges what has passed, and gives how long to wait before more may.
    fn charge(&self, bytes: usize, now: Instant) -> Duration {
        let Some(rate) = self.rate() else { return Duration::ZERO };
        let nanoseconds = u128::try_from(bytes).unwrap_or(u128::MAX).saturating_mul(1_000_000_000);
        let takes =
            Duration::from_nanos(u64::try_from(nanoseconds / u128::from(rate.get())).unwrap_or(u64::MAX));
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let from = paid_until.map_or(now, |until| until.max(now));
        let until = from.checked_add(takes).unwrap_or(from);
        *paid_until = Some(until);
        until.saturating_duration_since(now).saturating_sub(BURST)
    }
}

impl Paces {
    /// From now on this rate holds, each way, in bytes a second.
    pub fn set(&self, rate: Option<NonZeroU64>) {
        for pace in [&self.up, &self.down] {
            pace.rate.store(rate.map_or(0, NonZeroU64::get), Ordering::Relaxed);
        }
    }
}

impl<'a> Toll<'a> {
    /// Of a device among all.
    #[must_use]
    pub fn new(device: &'a Pace, all: &'a Pace) -> Self {
        Self { device, all }
    }

    /// How many bytes a stream should take at once.
    #[must_use]
    pub fn share(&self) -> usize {
        let rates = [self.device, self.all].into_iter().filter_map(Pace::rate);
        let share = rates.min().map(|rate| (rate.get() / PARTS_OF_SECOND).clamp(LEAST_TAKEN, MOST_TAKEN));
        share.and_then(|share| usize::try_from(share).ok()).unwrap_or(usize::MAX)
    }

    /// Charges bytes of a stream that have passed, and gives how long to wait before more are taken.
    #[must_use]
    pub fn charge(&self, bytes: usize, now: Instant) -> Duration {
        self.device.charge(bytes, now).max(self.all.charge(bytes, now))
    }

    /// Whether a datagram of so many bytes may pass now; it is charged then.
    #[must_use]
    pub fn admits(&self, bytes: usize, now: Instant) -> bool {
        let open = self.device.is_open(now) && self.all.is_open(now);
        if open {
            let _ = self.charge(bytes, now);
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paces(rate: u64) -> Paces {
        let paces = Paces::default();
        paces.set(NonZeroU64::new(rate));
        paces
    }

    #[test]
    fn without_a_rate_nothing_waits_and_everything_is_taken() {
        let (device, all) = (paces(0), paces(0));
        let toll = Toll::new(&device.up, &all.up);
        let now = Instant::now();
        assert_eq!((toll.share(), toll.charge(usize::MAX, now)), (usize::MAX, Duration::ZERO));
        assert!(toll.admits(usize::MAX, now));
    }

    #[test]
    fn the_lower_of_two_rates_binds_and_each_way_is_for_itself() {
        let (device, all) = (paces(1_000_000), paces(100_000));
        let now = Instant::now();
        assert_eq!(Toll::new(&device.up, &all.up).charge(1_000_000, now), Duration::from_millis(9_900));
        assert_eq!(Toll::new(&device.down, &all.down).charge(9_000, now), Duration::ZERO, "a burst");
        assert!(!Toll::new(&device.up, &all.up).admits(1, now));
        assert!(Toll::new(&device.down, &all.down).admits(1, now));
    }

    proptest! {
        #[test]
        fn who_waits_as_told_never_passes_the_rate_and_loses_nothing_of_it(
            rate in 10_000_u64..10_000_000,
            taken in prop::collection::vec(1_usize..100_000, 1..100),
        ) {
            let (device, all) = (paces(rate), paces(0));
            let toll = Toll::new(&device.down, &all.down);
            let begun = Instant::now();
            let mut now = begun;
            let mut passed = 0_u128;
            for bytes in taken {
                now += toll.charge(bytes, now);
                passed += u128::try_from(bytes).unwrap();
            }
            let at_rate = |time: Duration| u128::from(rate) * time.as_nanos() / 1_000_000_000;
            let elapsed = now - begun;
            // A nanosecond of each charge may be rounded away.
            prop_assert!(passed <= at_rate(elapsed + BURST) + 100 + u128::from(rate) / 10_000_000, "too fast");
            prop_assert!(elapsed.is_zero() || passed >= at_rate(elapsed), "slower than the rate");
        }
    }
}
