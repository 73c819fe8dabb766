//! How long to wait before trying again: full jitter, so that a thousand nodes do not come back in the same second.

use std::time::Duration;

/// The first wait is drawn from up to this.
pub const BASE: Duration = Duration::from_secs(1);
/// No wait for what may get better by itself is drawn from more than this.
pub const CAP: Duration = Duration::from_secs(60);
/// No wait for what needs somebody to change something is drawn from more than this.
pub const LONG_CAP: Duration = Duration::from_secs(3600);

/// The waits after failures in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It worked: the next failure is a first one.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed: how long to wait, a `fraction` (of 65,536) of the limit, which doubles up to `cap`. At least a
    /// quarter second, so that no chance makes a loop hot.
    pub fn wait(&mut self, cap: Duration, fraction: u16) -> Duration {
        let doubled = BASE.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let limit = doubled.min(cap);
        (limit * u32::from(fraction) / 65_536).max(Duration::from_millis(250))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let limits: Vec<u64> = (0..8).map(|_| backoff.wait(CAP, u16::MAX).as_secs()).collect();
        assert_eq!(limits, [0, 1, 3, 7, 15, 31, 59, 59]);
        backoff.reset();
        assert!(backoff.wait(CAP, u16::MAX) < BASE);
        assert_eq!(backoff.wait(CAP, 0), Duration::from_millis(250));
        (0..100).for_each(|_| assert!(backoff.wait(Duration::from_secs(5), u16::MAX).as_secs() < 5));
    }
}
