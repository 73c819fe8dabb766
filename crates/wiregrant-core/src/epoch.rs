//! The stretches of time in which a grant is split.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::parse_number;
use crate::{FactError, GrantId, Timestamp};

/// When a grant's epochs begin and end: `epochs` stretches of `epoch_seconds`, without gaps, numbered from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Schedule {
    /// The beginning of epoch 1.
    pub start: Timestamp,
    /// The length of each epoch, in seconds; at least 1.
    pub epoch_seconds: u64,
    /// How many epochs the grant has; at least 1.
    pub epochs: u64,
}

impl Schedule {
    /// The number of the epoch that holds `now`; an epoch holds its first second and not its last moment.
    #[must_use]
    pub fn epoch_at(&self, now: Timestamp) -> Option<u64> {
        if now < self.start {
            return None;
        }
        let n = now.seconds_since(self.start).checked_div(self.epoch_seconds)?.checked_add(1)?;
        (n <= self.epochs).then_some(n)
    }

    /// Beginning and end of epoch `n` (the end belongs to the next one). `None` for an epoch the grant does not have.
    #[must_use]
    pub fn bounds(&self, n: u64) -> Option<(Timestamp, Timestamp)> {
        if n == 0 || n > self.epochs {
            return None;
        }
        let begin = self.start.plus_seconds(self.epoch_seconds.checked_mul(n.checked_sub(1)?)?);
        Some((begin, begin.plus_seconds(self.epoch_seconds)))
    }

    /// How many epochs are left at epoch `n`, that one included.
    #[must_use]
    pub fn epochs_left(&self, n: u64) -> u64 {
        self.epochs.saturating_sub(n.saturating_sub(1))
    }
}

/// The epoch a usage report's bytes belong to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochLabel {
    /// The grant.
    pub grant: GrantId,
    /// The number of the epoch, from 1.
    pub number: u64,
}

impl EpochLabel {
    /// Reads the two fields `<grant> <n>`.
    ///
    /// # Errors
    /// A grant that is no id, or a number that is not at least 1.
    pub fn parse(grant: &str, number: &str) -> Result<Self, FactError> {
        let label = Self { grant: GrantId::from_str(grant)?, number: parse_number("epoch", number)? };
        if label.number == 0 {
            return Err(FactError::value("epoch", number, "a number from 1"));
        }
        Ok(label)
    }
}

impl fmt::Display for EpochLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.grant, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule { start: Timestamp::from_unix_seconds(1_000).unwrap(), epoch_seconds: 60, epochs: 3 }
    }

    #[test]
    fn an_epoch_holds_its_first_second_and_not_the_next_ones() {
        let at = |seconds| schedule().epoch_at(Timestamp::from_unix_seconds(seconds).unwrap());
        assert_eq!(
            [at(999), at(1_000), at(1_059), at(1_060), at(1_179), at(1_180)],
            [None, Some(1), Some(1), Some(2), Some(3), None]
        );
    }

    #[test]
    fn bounds_and_epochs_left_agree_with_the_number() {
        let (begin, end) = schedule().bounds(2).unwrap();
        assert_eq!((begin.unix_seconds(), end.unix_seconds()), (1_060, 1_120));
        assert_eq!(schedule().bounds(0), None);
        assert_eq!(schedule().bounds(4), None);
        assert_eq!([1, 2, 3].map(|n| schedule().epochs_left(n)), [3, 2, 1]);
    }
}
