//! What a device may move, in which stretch of time, and how much of it is left, coarsely.

use crate::word::word;
use crate::{Bytes, Timestamp};

word! {
    /// The stretch of time that an allotment is for.
    #[derive(Default)]
    Period, "period",
    /// From the device's first byte to its expiry.
    #[default]
    Total = "total",
    /// Each calendar month, in UTC; it is lifted by itself when the month turns.
    Month = "month",
}

impl Period {
    /// How often what is given for this period is given from `since` until `until`, a moment that is no longer in it: once in
    /// total, or once for each calendar month that has begun.
    #[must_use]
    pub fn times(self, since: Timestamp, until: Timestamp) -> u64 {
        match self {
            Self::Total => 1,
            Self::Month => {
                let last =
                    Timestamp::from_unix_seconds(until.unix_seconds().saturating_sub(1)).unwrap_or(since);
                month_number(last).saturating_sub(month_number(since)).saturating_add(1)
            }
        }
    }
}

/// Counts calendar months in UTC, without gaps.
fn month_number(moment: Timestamp) -> u64 {
    let moment = jiff::Timestamp::from_second(moment.unix_seconds()).expect("held between 1970 and 9999");
    let date = jiff::tz::Offset::UTC.to_datetime(moment).date();
    u64::from(date.year().unsigned_abs()) * 12 + u64::from(date.month().unsigned_abs())
}

word! {
    /// How much of its allotment a device has left: all that ever leaves the node about one device's traffic. It is overwritten
    /// and has no history.
    #[derive(Default)]
    Level, "level",
    /// More than half is left.
    #[default]
    OverHalf = "over-half",
    /// At most half is left.
    UnderHalf = "under-half",
    /// At most a tenth is left.
    UnderATenth = "under-a-tenth",
    /// Nothing is left: the node serves the device no more in this period.
    Exhausted = "exhausted",
}

impl Level {
    /// The level of a device that has moved `used` of `allotment` bytes.
    #[must_use]
    pub fn of(used: Bytes, allotment: Bytes) -> Self {
        let (used, allotment) = (u128::from(used.get()), u128::from(allotment.get()));
        let left = allotment.saturating_sub(used);
        match left {
            0 => Self::Exhausted,
            _ if left * 10 <= allotment => Self::UnderATenth,
            _ if left * 2 <= allotment => Self::UnderHalf,
            _ => Self::OverHalf,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monthly_allotment_is_given_again_with_the_first_second_of_each_month() {
        let months =
            |since: &str, until: &str| Period::Month.times(since.parse().unwrap(), until.parse().unwrap());
        assert_eq!(months("2026-07-06T12:00:00Z", "2026-07-06T12:00:01Z"), 1);
        assert_eq!(
            months("2026-07-06T12:00:00Z", "2026-08-01T00:00:00Z"),
            1,
            "August has not begun before its start"
        );
        assert_eq!(months("2026-07-06T12:00:00Z", "2026-08-01T00:00:01Z"), 2);
        assert_eq!(months("2026-11-30T23:59:59Z", "2027-02-01T12:00:00Z"), 4);
        assert_eq!(
            months("2026-07-06T12:00:00Z", "2026-07-06T12:00:00Z"),
            1,
            "never less than the month of its issue"
        );
        assert_eq!(months("2026-07-06T12:00:00Z", "2026-05-01T00:00:00Z"), 1);
        assert_eq!(
            Period::Total
                .times("2026-07-06T12:00:00Z".parse().unwrap(), "2027-07-06T12:00:00Z".parse().unwrap()),
            1
        );
    }

    #[test]
    fn a_level_says_what_is_left_and_no_more() {
        let level = |used: u64, allotment: u64| {
            Level::of(Bytes::new(used).unwrap(), Bytes::new(allotment).unwrap()).as_str()
        };
        assert_eq!(level(0, 1000), "over-half");
        assert_eq!(level(499, 1000), "over-half");
        assert_eq!(level(500, 1000), "under-half");
        assert_eq!(level(899, 1000), "under-half");
        assert_eq!(level(900, 1000), "under-a-tenth");
        assert_eq!(level(999, 1000), "under-a-tenth");
        for used in [1000, 5000] {
            assert_eq!(level(used, 1000), "exhausted");
        }
        assert_eq!(level(0, 0), "exhausted");
        assert_eq!(Level::of(Bytes::ZERO, Bytes::MAX), Level::OverHalf);
    }
}
