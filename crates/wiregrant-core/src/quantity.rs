//! Quantities as people type them: amounts of traffic, stretches of time, moments.

use std::str::FromStr;

use crate::{Bytes, Timestamp};

/// Why a quantity was refused: what is taken. The field's name is added by whoever asked for it.
pub type Refusal = String;

const TRAFFIC: [(&str, u64); 5] =
    [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000), ("B", 1)];
const TIME: [(&str, u64); 5] =
    [("s", 1), ("min", 60), ("h", 3_600), ("d", 24 * 3_600), ("w", 7 * 24 * 3_600)];

/// A whole number, and one of `units` behind it; the number alone where there is no unit.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = if unit.is_empty() { 1 } else { units.iter().find(|(name, _)| *name == unit)?.1 };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// The number in the largest of `units` that goes into it; reads back to the same.
fn typed(number: u64, units: &[(&'static str, u64)], smallest: &'static str) -> String {
    let goes_in = |(_, factor): &&(&str, u64)| number > 0 && number.is_multiple_of(*factor);
    let largest = units.iter().filter(goes_in).max_by_key(|(_, factor)| *factor);
    let (unit, factor) = largest.copied().unwrap_or((smallest, 1));
    format!("{}{unit}", number / factor)
}

/// Bytes, such as `50GB` (decimal: 10^9), `500MB` or `1000000`.
///
/// # Errors
/// Says what is taken.
pub fn bytes(text: &str) -> Result<Bytes, Refusal> {
    scaled(text, &TRAFFIC).and_then(|bytes| Bytes::new(bytes).ok()).ok_or_else(|| {
        "give whole bytes, or a whole number with kB, MB, GB or TB (decimal), such as 50GB".to_owned()
    })
}

/// Bytes as [`bytes`] reads them back.
#[must_use]
pub fn typed_bytes(bytes: Bytes) -> String {
    typed(bytes.get(), &TRAFFIC, "B")
}

/// Seconds, such as `7d`, `48h` or `3600`.
///
/// # Errors
/// Says what is taken.
pub fn seconds(text: &str) -> Result<u64, Refusal> {
    scaled(text, &TIME)
        .ok_or_else(|| "give whole seconds, or a whole number with s, min, h, d or w, such as 48h".to_owned())
}

/// Seconds as [`seconds`] reads them back.
#[must_use]
pub fn typed_seconds(seconds: u64) -> String {
    typed(seconds, &TIME, "s")
}

/// A moment: given, or so many seconds from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// As given.
    At(Timestamp),
    /// Seconds from now.
    After(u64),
}

impl Moment {
    /// The moment itself.
    #[must_use]
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(moment) => moment,
            Self::After(seconds) => now.plus_seconds(seconds),
        }
    }
}

impl FromStr for Moment {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let stretch = text.strip_prefix("now+").unwrap_or(text);
        let named = stretch.ends_with(|c: char| c.is_ascii_lowercase());
        if text == "now" {
            return Ok(Self::After(0));
        }
        match scaled(stretch, &TIME).filter(|_| named) {
            Some(seconds) => Ok(Self::After(seconds)),
            None => text.parse().map(Self::At).map_err(|_| {
                "give a moment in UTC such as 2026-07-06T12:00:00Z, or a time from now such as 30d, 12h or now+60s \
                 (s, min, h, d, w)"
                    .to_owned()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn traffic_is_decimal() {
        assert_eq!(bytes("50GB").unwrap().get(), 50_000_000_000);
        assert_eq!(bytes("1000").unwrap().get(), 1_000);
        for bad in ["", "GB", "1.5GB", "-1", "50GiB", "50 GB", "99999999999TB", "5gb"] {
            assert!(bytes(bad).unwrap_err().contains("decimal"), "{bad}");
        }
    }

    #[test]
    fn a_stretch_of_time_has_a_unit_or_is_in_seconds() {
        assert_eq!(["7d", "48h", "90", "0"].map(|text| seconds(text).unwrap()), [604_800, 172_800, 90, 0]);
        for bad in ["", "h", "1.5h", "-1s", "2 days", "1y"] {
            assert!(seconds(bad).unwrap_err().contains("48h"), "{bad}");
        }
        assert_eq!([604_800, 172_800, 90, 0].map(typed_seconds), ["1w", "2d", "90s", "0s"]);
    }

    #[test]
    fn a_moment_is_given_or_counted_from_now() {
        let now = Timestamp::from_unix_seconds(1_000).unwrap();
        let seconds = |text: &str| text.parse::<Moment>().unwrap().resolve(now).unix_seconds();
        assert_eq!(
            ["now", "now+60s", "2min", "30d", "1970-01-01T00:00:05Z"].map(seconds),
            [1_000, 1_060, 1_120, 1_000 + 30 * 86_400, 5]
        );
        for bad in ["", "30", "now+", "now+60", "tomorrow", "2026-07-06", "-1d", "d"] {
            assert!(bad.parse::<Moment>().unwrap_err().contains("now+60s"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "(now\\+)?[0-9]{0,25}[a-zA-Z]{0,3}|\\PC{0,30}") {
            let _ = (bytes(&text), seconds(&text), text.parse::<Moment>());
        }

        #[test]
        fn what_is_written_reads_back(number in 0..=Bytes::MAX.get()) {
            let of_bytes = Bytes::new(number).unwrap();
            prop_assert_eq!(bytes(&typed_bytes(of_bytes)), Ok(of_bytes));
            prop_assert_eq!(seconds(&typed_seconds(number)), Ok(number));
        }
    }
}
