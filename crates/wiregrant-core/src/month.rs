//! Calendar months in UTC, for which allotments and budgets are given.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{FactError, Timestamp};

/// A calendar month in UTC, written `2026-07`; from 1970 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    year: u16,
    /// 1 to 12.
    month: u8,
}

impl Month {
    /// The month in which a moment lies.
    #[must_use]
    pub fn of(time: Timestamp) -> Self {
        let date = time.date();
        let year = u16::try_from(date.year()).expect("a moment lies between 1970 and 9999");
        let month = u8::try_from(date.month()).expect("a month is 1 to 12");
        Self { year, month }
    }

    /// Its first second.
    ///
    /// # Panics
    /// Never: every month has one.
    #[must_use]
    pub fn begin(self) -> Timestamp {
        format!("{self}-01T00:00:00Z").parse().expect("the first second of a month from 1970 to 9999")
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = FactError;
    fn from_str(text: &str) -> Result<Self, FactError> {
        let parsed = text.split_once('-').and_then(|(year, month)| {
            let month = Self { year: year.parse().ok()?, month: month.parse().ok()? };
            ((1970..=9999).contains(&month.year) && (1..=12).contains(&month.month)).then_some(month)
        });
        // One spelling: no sign, no missing or further zero.
        parsed
            .filter(|month| month.to_string() == text)
            .ok_or_else(|| FactError::value("month", text, "a month like 2026-07"))
    }
}

impl TryFrom<String> for Month {
    type Error = FactError;
    fn try_from(text: String) -> Result<Self, FactError> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> String {
        month.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn month_at(time: &str) -> String {
        Month::of(time.parse().unwrap()).to_string()
    }

    #[test]
    fn a_month_begins_with_its_first_second_in_utc() {
        assert_eq!(month_at("2026-06-30T23:59:59Z"), "2026-06");
        assert_eq!(month_at("2026-07-01T00:00:00Z"), "2026-07");
        assert_eq!(month_at("2028-02-29T12:00:00Z"), "2028-02");
        assert_eq!(month_at("9999-12-30T22:00:00Z"), "9999-12");
        assert_eq!(month_at("1970-01-01T00:00:00Z"), "1970-01");
        for time in
            ["2026-06-30T23:59:59Z", "2028-02-29T12:00:00Z", "9999-12-30T22:00:00Z", "1970-01-01T00:00:00Z"]
        {
            let month = Month::of(time.parse().unwrap());
            let begin = month.begin();
            assert_eq!(
                (Month::of(begin), begin.to_string().get(7..)),
                (month, Some("-01T00:00:00Z")),
                "{time}"
            );
        }
    }

    #[test]
    fn a_month_has_one_spelling() {
        for bad in [
            "2026-7",
            "2026-13",
            "2026-00",
            "+026-07",
            "2026-+7",
            "26-07",
            "2026",
            "1969-12",
            "2026-07-01",
            "",
        ] {
            assert!(bad.parse::<Month>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_month_is_the_start_of_its_moments_and_comes_back_as_it_was_printed(
            seconds in 0..253_402_207_200_i64,
            later in 0..100_000_000_u64,
        ) {
            let time = Timestamp::from_unix_seconds(seconds).unwrap();
            let month = Month::of(time);
            prop_assert_eq!(&time.to_string()[..7], month.to_string());
            prop_assert_eq!(month.to_string().parse::<Month>().unwrap(), month);
            prop_assert!(Month::of(time.plus_seconds(later)) >= month);
        }

        #[test]
        fn no_text_is_read_in_two_ways(text in "\\PC{0,9}") {
            if let Ok(month) = text.parse::<Month>() {
                prop_assert_eq!(month.to_string(), text);
            }
        }
    }
}
