//! `Allowance`: how many cosignatures a log may have, so that one of many cannot keep the disk to itself.

use wiregrant_core::Timestamp;

/// Cosignatures a second, on average. A control plane asks at most two a second for a log.
pub const PER_SECOND: u64 = 10;
/// At once, after a pause.
const AT_ONCE: u64 = 60;

/// What one log has left.
#[derive(Debug)]
pub struct Allowance {
    left: u64,
    /// When it was last raised.
    at: Option<Timestamp>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: AT_ONCE, at: None }
    }
}

impl Allowance {
    /// Takes one, if there is one left. A clock that was set back gives nothing and takes nothing.
    pub fn take(&mut self, now: Timestamp) -> bool {
        let seconds = self.at.map_or(0, |at| now.unix_seconds().saturating_sub(at.unix_seconds()));
        let earned = u64::try_from(seconds).unwrap_or(0).saturating_mul(PER_SECOND);
        self.left = self.left.saturating_add(earned).min(AT_ONCE);
        self.at = Some(now);
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_used_up_and_comes_back_with_time() {
        let (mut allowance, begin) =
            (Allowance::default(), "2026-07-06T12:00:00Z".parse::<Timestamp>().unwrap());
        let taken = |allowance: &mut Allowance, now| (0..100).filter(|_| allowance.take(now)).count();
        assert_eq!(taken(&mut allowance, begin), 60);
        assert_eq!(taken(&mut allowance, begin.plus_seconds(1)), 10);
        assert_eq!(taken(&mut allowance, begin), 0, "a clock set back");
        assert_eq!(taken(&mut allowance, begin.plus_seconds(1_000)), 60);
    }
}
