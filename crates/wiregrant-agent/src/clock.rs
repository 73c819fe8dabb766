//! The agent's clock: the one place that reads it, and the judgement whether it may be trusted.
//!
//! Bytes are counted whatever the clock says. But an epoch and a report's end come from it, so both wait until the
//! control plane's clock and this one agree.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use wiregrant_core::Timestamp;
use wiregrant_core::request::MAX_CLOCK_DISTANCE_SECONDS;

/// An instant, by the clock on the wall and by one that nobody sets.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time of day, in whole seconds.
    pub wall: Timestamp,
    /// What of the second has passed.
    pub subsecond: Duration,
    /// Since the process first looked. It stands still while the machine sleeps, which the wall clock does not.
    pub monotonic: Duration,
}

impl Moment {
    /// How long until `later`; zero when it has passed.
    #[must_use]
    pub fn until(&self, later: Timestamp) -> Duration {
        Duration::from_secs(later.seconds_since(self.wall)).saturating_sub(self.subsecond)
    }
}

/// Now. A clock set before 1970 reads as 1970, which no control plane agrees with.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clocks")]
pub fn now() -> Moment {
    static START: OnceLock<Instant> = OnceLock::new();
    let monotonic = START.get_or_init(Instant::now).elapsed();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(wall.as_secs()).unwrap_or(i64::MAX);
    let timestamp = Timestamp::from_unix_seconds(seconds)
        .or_else(|_| Timestamp::from_unix_seconds(0))
        .expect("1970 is a moment");
    Moment { wall: timestamp, subsecond: Duration::from_nanos(u64::from(wall.subsec_nanos())), monotonic }
}

/// `CLOCK_MONOTONIC` in microseconds, in which a service manager wants to know when a reload began.
#[must_use]
pub fn monotonic_microseconds() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |number: i64, unit: u64| u64::try_from(number).unwrap_or_default().saturating_mul(unit);
    part(time.tv_sec, 1_000_000).saturating_add(part(time.tv_nsec, 1) / 1_000)
}

/// What is known about the wall clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockState {
    /// The control plane has not been heard since the start.
    #[default]
    Unknown,
    /// It agreed with the control plane's, and nobody has set it since.
    Good,
    /// It did not, or was set since.
    Off,
}

/// The last comparison with the control plane's clock.
#[derive(Debug, Default)]
pub struct Agreement {
    last: Option<Comparison>,
}

#[derive(Debug)]
struct Comparison {
    at: Moment,
    agreed: bool,
}

impl Agreement {
    /// Takes a time that the control plane told just now.
    pub fn compare(&mut self, now: Moment, theirs: Timestamp) {
        let agreed = now.wall.distance_seconds(theirs) <= MAX_CLOCK_DISTANCE_SECONDS;
        self.last = Some(Comparison { at: now, agreed });
    }

    /// Takes that the control plane refused a request for its time.
    pub fn refused(&mut self, now: Moment) {
        self.last = Some(Comparison { at: now, agreed: false });
    }

    /// What `now` is worth. A wall clock that went another way than the monotonic one since it agreed was set, or the
    /// machine slept; the next comparison tells.
    #[must_use]
    pub fn judge(&self, now: Moment) -> ClockState {
        let Some(last) = &self.last else { return ClockState::Unknown };
        let elapsed = now.monotonic.saturating_sub(last.at.monotonic).as_secs();
        let drift = last.at.wall.plus_seconds(elapsed).distance_seconds(now.wall);
        if last.agreed && drift <= MAX_CLOCK_DISTANCE_SECONDS { ClockState::Good } else { ClockState::Off }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(wall: i64, monotonic: u64) -> Moment {
        Moment {
            wall: Timestamp::from_unix_seconds(wall).unwrap(),
            subsecond: Duration::from_millis(250),
            monotonic: Duration::from_secs(monotonic),
        }
    }

    #[test]
    fn a_clock_is_good_within_two_minutes_of_the_control_planes() {
        let mut agreement = Agreement::default();
        assert_eq!(agreement.judge(moment(1000, 0)), ClockState::Unknown);
        for (theirs, state) in [
            (1000, ClockState::Good),
            (1120, ClockState::Good),
            (1121, ClockState::Off),
            (879, ClockState::Off),
        ] {
            agreement.compare(moment(1000, 0), Timestamp::from_unix_seconds(theirs).unwrap());
            assert_eq!(agreement.judge(moment(1000, 0)), state, "{theirs}");
        }
    }

    #[test]
    fn a_clock_that_is_set_or_a_machine_that_slept_is_off_until_the_next_comparison() {
        let mut agreement = Agreement::default();
        agreement.compare(moment(1000, 0), Timestamp::from_unix_seconds(1000).unwrap());
        assert_eq!(agreement.judge(moment(9000, 8000)), ClockState::Good);
        assert_eq!(agreement.judge(moment(9000, 10)), ClockState::Off);
        assert_eq!(agreement.judge(moment(100, 10)), ClockState::Off);
        agreement.compare(moment(9000, 20), Timestamp::from_unix_seconds(9001).unwrap());
        assert_eq!(agreement.judge(moment(9000, 20)), ClockState::Good);
        agreement.refused(moment(9001, 21));
        assert_eq!(agreement.judge(moment(9001, 21)), ClockState::Off);
    }

    #[test]
    fn waiting_for_a_moment_ends_at_it_and_not_a_second_later() {
        let now = moment(1000, 0);
        assert_eq!(now.until(Timestamp::from_unix_seconds(1003).unwrap()), Duration::from_millis(2750));
        assert_eq!(now.until(Timestamp::from_unix_seconds(999).unwrap()), Duration::ZERO);
    }
}
