//! Moments in UTC, to the second: RFC 3339 in notes and JSON, Unix seconds in SQL.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::FactError;

/// A moment, in seconds since 1970-01-01T00:00:00Z, from that moment to 9999-12-30T22:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// 9999-12-30T22:00:00Z: the last moment that lies in the year 9999 wherever on earth it is read, as `jiff` holds it; beyond that
/// year RFC 3339 has no form.
const LAST_SECOND: i64 = 253_402_207_200;

impl Timestamp {
    /// The moment `seconds` after the epoch.
    ///
    /// # Errors
    /// When it lies before 1970 or after 9999.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self, FactError> {
        if !(0..=LAST_SECOND).contains(&seconds) {
            return Err(FactError::value("time", &seconds.to_string(), "a moment between 1970 and 9999"));
        }
        Ok(Self(seconds))
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0
    }

    /// The moment `seconds` later, held at the last moment there is.
    #[must_use]
    pub fn plus_seconds(self, seconds: u64) -> Self {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(seconds).min(LAST_SECOND))
    }

    /// Whole seconds from `earlier` to this moment; zero when it is not earlier.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// How far the two moments lie apart, in seconds.
    #[must_use]
    pub fn distance_seconds(self, other: Self) -> u64 {
        self.0.abs_diff(other.0)
    }

    /// The day in UTC.
    pub(crate) fn date(self) -> jiff::civil::Date {
        let moment = jiff::Timestamp::from_second(self.0).expect("held between 1970 and 9999");
        jiff::tz::Offset::UTC.to_datetime(moment).date()
    }

    /// The seconds of the day in UTC that have passed, 0 to 86,399.
    #[must_use]
    pub fn second_of_day(self) -> u32 {
        u32::try_from(self.0 % 86_400).expect("a remainder of 86,400")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_second(self.0).expect("held between 1970 and 9999");
        write!(f, "{moment}")
    }
}

impl FromStr for Timestamp {
    type Err = FactError;
    fn from_str(text: &str) -> Result<Self, FactError> {
        let refuse = || FactError::value("time", text, "a moment in UTC like 2026-07-06T12:00:00Z");
        let moment: jiff::Timestamp = text.parse().map_err(|_| refuse())?;
        let time = Self::from_unix_seconds(moment.as_second()).map_err(|_| refuse())?;
        // RFC 3339 allows many spellings of a moment; a note allows one.
        if time.to_string() == text { Ok(time) } else { Err(refuse()) }
    }
}

impl TryFrom<String> for Timestamp {
    type Error = FactError;
    fn try_from(text: String) -> Result<Self, FactError> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> String {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_moment_has_one_spelling() {
        let noon: Timestamp = "2026-07-06T12:00:00Z".parse().unwrap();
        assert_eq!(noon.unix_seconds(), 1_783_339_200);
        for bad in
            ["2026-07-06 12:00:00Z", "2026-07-06T12:00:00+00:00", "2026-07-06T12:00:00.0Z", "2026-07-06", ""]
        {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_moment_can_be_said() {
        let last = Timestamp::from_unix_seconds(0).unwrap().plus_seconds(u64::MAX);
        assert_eq!(last.to_string(), "9999-12-30T22:00:00Z");
        assert_eq!(LAST_SECOND, jiff::Timestamp::MAX.as_second());
        assert!(Timestamp::from_unix_seconds(LAST_SECOND + 1).is_err());
        assert_eq!((last.date().day(), last.second_of_day()), (30, 22 * 3600));
    }

    proptest! {
        #[test]
        fn every_moment_comes_back_as_it_was_printed(seconds in 0..=LAST_SECOND) {
            let time = Timestamp::from_unix_seconds(seconds).unwrap();
            prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }
    }
}
