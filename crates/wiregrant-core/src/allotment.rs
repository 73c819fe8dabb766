//! What a device may move, in which stretch of time, and how much of it is left, coarsely.

use crate::Bytes;
use crate::word::word;

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
