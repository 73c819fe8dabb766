//! Moments in UTC, to the second: RFC 3339 in notes and JSON, Unix seconds in SQL.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::FactError;

/// A moment, in seconds since 1970-01-01T00:00:00Z, from that moment to 9999-12-30T22:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// The form of a moment: `2026-07-06T12:00:00Z`, always so many bytes.
const FORM: &[u8; 20] = b"0000-00-00T00:00:00Z";
/// Seconds of a day.
const DAY_SECONDS: i64 = 86_400;

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
        u32::try_from(self.0 % DAY_SECONDS).expect("a remainder of 86,400")
    }
}

// Two moments stand in each of the half million reports of an audit. Reading them by `jiff`, which takes every spelling of RFC 3339, and
// printing them to refuse all but one, took longer than the rest of a report's text.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_of(self.0 / DAY_SECONDS);
        let second = self.0 % DAY_SECONDS;
        let mut text = *FORM;
        for (at, digits, mut number) in [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, second / 3_600),
            (14, 2, second / 60 % 60),
            (17, 2, second % 60),
        ] {
            for byte in text[at..at + digits].iter_mut().rev() {
                *byte += u8::try_from(number % 10).expect("a digit");
                number /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).expect("digits and signs"))
    }
}

impl FromStr for Timestamp {
    type Err = FactError;
    /// RFC 3339 allows many spellings of a moment; a note allows one.
    fn from_str(text: &str) -> Result<Self, FactError> {
        let seconds = seconds_of(text.as_bytes()).and_then(|seconds| Self::from_unix_seconds(seconds).ok());
        seconds.ok_or_else(|| FactError::value("time", text, "a moment in UTC like 2026-07-06T12:00:00Z"))
    }
}

/// The seconds since 1970 of a moment in the one form; `None` for any other, and for a day or an hour that there is not.
fn seconds_of(text: &[u8]) -> Option<i64> {
    let text: &[u8; FORM.len()] = text.try_into().ok()?;
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    if !text.iter().zip(FORM).all(fits) {
        return None;
    }
    let number = |at: usize, digits: usize| {
        text[at..at + digits].iter().fold(0_i64, |number, digit| number * 10 + i64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 2), number(8, 2));
    let (hour, minute, second) = (number(11, 2), number(14, 2), number(17, 2));
    let days = days_to(year, month, day);
    // A day that the month does not have is one of the next month.
    let is_there = (1..=12).contains(&month) && civil_of(days) == (year, month, day);
    let is_there = is_there && hour < 24 && minute < 60 && second < 60;
    is_there.then_some(days * DAY_SECONDS + hour * 3_600 + minute * 60 + second)
}

/// Days of 400 years, after which the calendar repeats itself.
const ERA_DAYS: i64 = 146_097;
/// From 0000-03-01, with which an era begins so that a leap day is a year's last, to 1970-01-01, in days.
const BEFORE_1970_DAYS: i64 = 719_468;

/// Days from 1970-01-01 to a date from the year 0 on. (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.)
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA_DAYS + year * 365 + year / 4 - year / 100 + day_of_year - BEFORE_1970_DAYS
}

/// Year, month and day so many days after 1970-01-01 (the same, `civil_from_days`).
fn civil_of(days: i64) -> (i64, i64, i64) {
    let days = days + BEFORE_1970_DAYS;
    let (era, day) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (day - day / 1_460 + day / 36_524 - day / (ERA_DAYS - 1)) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day_of_month)
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

    /// What `jiff` makes of a text, if it prints it the same.
    fn by_jiff(text: &str) -> Option<i64> {
        let moment: jiff::Timestamp = text.parse().ok()?;
        let seconds = Some(moment.as_second()).filter(|seconds| (0..=LAST_SECOND).contains(seconds));
        seconds.filter(|_| moment.to_string() == text)
    }

    #[test]
    fn every_day_there_is_has_the_name_that_the_calendar_gives_it() {
        // The calendar repeats itself after an era.
        for days in (0..=ERA_DAYS).chain(LAST_SECOND / DAY_SECONDS - 800..=LAST_SECOND / DAY_SECONDS) {
            let moment = Timestamp::from_unix_seconds(days * DAY_SECONDS).unwrap();
            let text = moment.to_string();
            assert_eq!(by_jiff(&text), Some(moment.0), "{text}");
            assert_eq!(text.parse(), Ok(moment));
        }
        for no_day in
            ["2026-02-29", "2100-02-29", "2026-04-31", "2026-00-01", "2026-13-01", "2026-01-00", "1969-12-31"]
        {
            assert!(format!("{no_day}T12:00:00Z").parse::<Timestamp>().is_err(), "{no_day}");
        }
        assert!("2000-02-29T12:00:00Z".parse::<Timestamp>().is_ok());
        for no_time in ["24:00:00", "12:60:00", "12:00:60", "12:00:6 ", "+1:00:00"] {
            assert!(format!("2026-07-06T{no_time}Z").parse::<Timestamp>().is_err(), "{no_time}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_a_moment_where_jiff_reads_it_and_prints_it_the_same(
            text in "(19|20|99)[0-9]{2}-[0-1][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](Z|z|\\.0Z|[+-]00:00)|.{0,24}",
        ) {
            prop_assert_eq!(text.parse::<Timestamp>().ok().map(Timestamp::unix_seconds), by_jiff(&text));
        }

        #[test]
        fn every_moment_is_printed_as_jiff_prints_it(seconds in 0..=LAST_SECOND) {
            let moment = jiff::Timestamp::from_second(seconds).unwrap();
            prop_assert_eq!(Timestamp(seconds).to_string(), moment.to_string());
        }

        #[test]
        fn every_moment_comes_back_as_it_was_printed(seconds in 0..=LAST_SECOND) {
            let time = Timestamp::from_unix_seconds(seconds).unwrap();
            prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }
    }
}
