//! The units that count for money, each a newtype with checked arithmetic: bytes, credit units, satoshis.

use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::FactError;

/// The greatest number a note may carry (`formats.md`, "Signed notes": at most 2^63-1), which is also what fits an SQL
/// `BIGINT`.
pub const MAX_NUMBER: u64 = i64::MAX as u64;

/// Parses a note's number: `0`, or digits without a leading zero, at most 2^63-1.
///
/// # Errors
/// Names `field` and the value.
pub fn parse_number(field: &'static str, text: &str) -> Result<u64, FactError> {
    let canonical = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    canonical
        .then(|| text.parse::<u64>().ok())
        .flatten()
        .filter(|n| *n <= MAX_NUMBER)
        .ok_or_else(|| FactError::value(field, text, "a whole number from 0 to 2^63-1 without leading zeros"))
}

macro_rules! unit {
    ($name:ident, $field:literal, $max:expr, $doc:literal) => {
        #[doc = $doc]
        ///
        /// In JSON a decimal string, because it can pass 2^53. Sums and differences are checked.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// None of it.
            pub const ZERO: Self = Self(0);
            /// The most this unit can say.
            pub const MAX: Self = Self($max);

            /// The value, if it is at most [`Self::MAX`].
            ///
            /// # Errors
            /// [`FactError::Overflow`] above the maximum.
            pub const fn new(value: u64) -> Result<Self, FactError> {
                if value > $max {
                    return Err(FactError::Overflow { what: $field, limit: $max });
                }
                Ok(Self(value))
            }

            /// The number itself.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The sum.
            ///
            /// # Errors
            /// [`FactError::Overflow`] above [`Self::MAX`].
            pub fn plus(self, other: Self) -> Result<Self, FactError> {
                self.0
                    .checked_add(other.0)
                    .filter(|n| *n <= $max)
                    .map(Self)
                    .ok_or(FactError::Overflow { what: $field, limit: $max })
            }

            /// The difference, or `None` where it would fall below zero.
            #[must_use]
            pub fn minus(self, other: Self) -> Option<Self> {
                self.0.checked_sub(other.0).map(Self)
            }

            /// The difference, or zero.
            #[must_use]
            pub fn minus_or_zero(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }

            /// The sum of many.
            ///
            /// # Errors
            /// [`FactError::Overflow`] above [`Self::MAX`].
            pub fn total(all: impl IntoIterator<Item = Self>) -> Result<Self, FactError> {
                all.into_iter().try_fold(Self::ZERO, Self::plus)
            }

            /// The value as SQL and other signed worlds hold it.
            #[must_use]
            pub fn as_i64(self) -> i64 {
                i64::try_from(self.0).expect("every unit's maximum is at most 2^63-1")
            }
        }

        impl TryFrom<i64> for $name {
            type Error = FactError;
            fn try_from(value: i64) -> Result<Self, FactError> {
                u64::try_from(value)
                    .ok()
                    .and_then(|n| Self::new(n).ok())
                    .ok_or_else(|| FactError::value($field, &value.to_string(), "within its range"))
            }
        }

        impl FromStr for $name {
            type Err = FactError;
            fn from_str(text: &str) -> Result<Self, FactError> {
                Self::new(parse_number($field, text)?)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

unit!(Bytes, "bytes", MAX_NUMBER, "WireGuard message bytes, as the Linux kernel counts them per peer.");
unit!(
    Units,
    "units",
    MAX_NUMBER,
    "Whole units of credited traffic; a grant's terms say how many bytes one is."
);
unit!(Sats, "sats", 2_100_000_000_000_000, "Satoshis, at most 21 million bitcoin.");

impl Sum<Bytes> for u128 {
    fn sum<I: Iterator<Item = Bytes>>(iter: I) -> u128 {
        iter.map(|b| u128::from(b.get())).sum()
    }
}

impl Sum<Units> for u128 {
    fn sum<I: Iterator<Item = Units>>(iter: I) -> u128 {
        iter.map(|u| u128::from(u.get())).sum()
    }
}

impl Bytes {
    /// For people: decimal gigabytes with two places, `12.34 GB`, rounded down.
    #[must_use]
    pub fn to_gb(self) -> String {
        format!("{}.{:02} GB", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 10_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_in_one_way_only() {
        assert_eq!(parse_number("n", "0").unwrap(), 0);
        assert_eq!(parse_number("n", "9223372036854775807").unwrap(), MAX_NUMBER);
        for bad in ["", "00", "01", "+1", "-1", "1 ", "9223372036854775808", "99999999999999999999", "1e3"] {
            assert!(parse_number("n", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sats_stop_at_21_million_bitcoin() {
        assert!(Sats::new(2_100_000_000_000_001).is_err());
        assert!(Sats::MAX.plus(Sats::new(1).unwrap()).is_err());
        assert_eq!(Sats::ZERO.minus(Sats::new(1).unwrap()), None);
    }

    #[test]
    fn in_json_a_unit_is_a_decimal_string() {
        let bytes = Bytes::new(9_007_199_254_740_993).unwrap();
        assert_eq!(serde_json::to_string(&bytes).unwrap(), "\"9007199254740993\"");
        assert_eq!(serde_json::from_str::<Bytes>("\"9007199254740993\"").unwrap(), bytes);
        assert!(serde_json::from_str::<Bytes>("\"01\"").is_err());
    }

    #[test]
    fn people_read_decimal_gigabytes_rounded_down() {
        assert_eq!(Bytes::new(12_349_999_999).unwrap().to_gb(), "12.34 GB");
    }
}
