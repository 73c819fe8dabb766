//! Amounts and moments as people read them.

use wiregrant_core::{Bytes, Sats, Timestamp};

/// A number in groups of three digits, with narrow no-break spaces between them.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len().saturating_mul(2));
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len().saturating_sub(at)).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// The same with a sign in front, where it is below zero.
#[must_use]
pub fn signed(number: i64) -> String {
    let sign = if number < 0 { "\u{2212}" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

/// Decimal gigabytes, rounded down: with two decimals below a hundred, and none above.
#[must_use]
pub fn gigabytes(bytes: Bytes) -> String {
    const GB: u64 = 1_000_000_000;
    let (whole, rest) = (bytes.get() / GB, bytes.get() % GB);
    if whole < 100 {
        format!("{whole}.{:02} GB", rest / 10_000_000)
    } else {
        format!("{} GB", grouped(whole))
    }
}

/// The same without decimals that say nothing, for the lines across a chart.
#[must_use]
pub fn round_gigabytes(bytes: u64) -> String {
    gigabytes(Bytes::new(bytes).unwrap_or(Bytes::MAX)).replace(".00 GB", " GB")
}

/// How fast that is on average, in megabits a second with one decimal, rounded down.
#[must_use]
pub fn megabits_per_second(bytes: Bytes, seconds: u64) -> String {
    const BITS: u128 = 8;
    const TENTH_OF_MEGABIT: u128 = 100_000;
    let tenths = u128::from(bytes.get()) * BITS / TENTH_OF_MEGABIT / u128::from(seconds.max(1));
    let whole = u64::try_from(tenths / 10).unwrap_or(u64::MAX);
    format!("{}.{}", grouped(whole), tenths % 10)
}

/// A moment to the minute: `2026-07-06 12:00`; every page says that it is UTC.
#[must_use]
pub fn time(time: &Timestamp) -> String {
    let text = time.to_string();
    format!("{} {}", text.get(..10).unwrap_or_default(), text.get(11..16).unwrap_or_default())
}

/// A stretch of time as terms state it, exactly: in the largest unit that goes into it.
#[must_use]
pub fn stretch(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let fits = |(unit, _): &&(u64, &str)| seconds > 0 && seconds.is_multiple_of(*unit);
    let (length, name) = UNITS.iter().find(fits).copied().unwrap_or((1, "second"));
    let count = seconds / length;
    format!("{} {name}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Sats as bitcoin, with all eight decimals.
#[must_use]
pub fn bitcoin(sats: &Sats) -> String {
    const SATS: u64 = 100_000_000;
    format!("{}.{:08}", sats.get() / SATS, sats.get() % SATS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_in_threes() {
        for (number, shown) in [(0, "0"), (999, "999"), (1_000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(grouped(number).replace('\u{202f}', " "), shown);
        }
    }

    #[test]
    fn what_is_taken_away_has_a_minus_and_is_grouped_too() {
        let shown = |number| signed(number).replace('\u{202f}', " ");
        assert_eq!(
            (shown(-1_500).as_str(), shown(1_500).as_str(), shown(0).as_str()),
            ("\u{2212}1 500", "1 500", "0")
        );
        assert_eq!(shown(i64::MIN), "\u{2212}9 223 372 036 854 775 808");
    }

    #[test]
    fn a_moment_is_shown_to_the_minute() {
        assert_eq!(time(&"2026-07-06T12:34:56Z".parse().unwrap()), "2026-07-06 12:34");
    }

    #[test]
    fn a_stretch_of_time_is_told_exactly() {
        for (seconds, shown) in [
            (604_800, "7 days"),
            (86_400, "1 day"),
            (129_600, "36 hours"),
            (90, "90 seconds"),
            (120, "2 minutes"),
            (0, "0 seconds"),
        ] {
            assert_eq!(stretch(seconds), shown);
        }
    }

    #[test]
    fn gigabytes_have_as_many_digits_as_say_something() {
        let shown = |bytes| gigabytes(Bytes::new(bytes).unwrap()).replace('\u{202f}', " ");
        assert_eq!(shown(12_349_999_999), "12.34 GB");
        assert_eq!(shown(999_999_999), "0.99 GB");
        assert_eq!(shown(96_624_000_000_001), "96 624 GB");
        assert_eq!(
            [0, 2_500_000_000, 50_000_000_000, 100_000_000_000].map(round_gigabytes),
            ["0 GB", "2.50 GB", "50 GB", "100 GB"]
        );
    }

    #[test]
    fn a_rate_has_one_decimal_and_is_never_rounded_up() {
        for (bytes, seconds, shown) in [
            (0, 86_400, "0.0"),
            (12_499_999, 1, "99.9"),
            (125_000_000, 1, "1 000.0"),
            (540_000_000_000, 86_400, "50.0"),
            (i64::MAX.unsigned_abs(), 1, "73 786 976 294 838.2"),
            (1, 0, "0.0"),
        ] {
            let rate = megabits_per_second(Bytes::new(bytes).unwrap(), seconds).replace('\u{202f}', " ");
            assert_eq!(rate, shown);
        }
    }

    #[test]
    fn sats_have_all_their_decimals_as_bitcoin() {
        assert_eq!(bitcoin(&Sats::new(1).unwrap()), "0.00000001");
        assert_eq!(bitcoin(&Sats::new(2_150_000_000).unwrap()), "21.50000000");
    }
}
