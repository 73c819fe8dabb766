//! Benchmarks: each number beside its peer or limit, measured in the same run.

mod agents;
mod growth;
mod ingest;
pub mod live;
mod log;
mod measured;
pub mod pages;
mod payout;
mod socks5;
mod verify;
mod year;

use std::borrow::Cow;
use std::str::FromStr as _;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use serde_json::Number;

use crate::clock;

/// Measures.
type Bench = fn() -> Result<Vec<Row>>;

/// Every benchmark by its name, in the order in which all are run.
pub const ALL: [(&str, Bench); 12] = [
    ("pages", pages::rows),
    ("log", log::rows),
    ("live", live::rows),
    ("payout", payout::rows),
    ("agent", measured::agent),
    ("close", measured::close),
    ("socks5", socks5::rows),
    ("ingest", ingest::rows),
    ("agents", agents::rows),
    ("growth", growth::rows),
    ("year", year::rows),
    ("verify", verify::rows),
];

/// One measured number.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Which benchmark.
    pub bench: &'static str,
    /// What was done.
    pub case: Cow<'static, str>,
    /// How much.
    pub value: u64,
    /// Of what.
    pub unit: Cow<'static, str>,
    /// What it is compared with.
    pub against: Cow<'static, str>,
    /// How much that is.
    pub against_value: u64,
    /// `value / against_value`, rounded down to a thousandth.
    pub ratio: Number,
    /// What the ratio is to reach; where less is better, what it is not to pass.
    pub bar: Number,
    /// Whether it does. A bar that does not hold is shown and fails nothing.
    pub holds: bool,
}

impl Row {
    /// A row of which more is better.
    fn new(
        bench: &'static str,
        case: &'static str,
        unit: &'static str,
        (value, against_value): (u64, u64),
        against: &'static str,
        bar_permille: u64,
    ) -> Self {
        let permille = value.saturating_mul(1000).checked_div(against_value).unwrap_or_default();
        Self {
            bench,
            case: case.into(),
            value,
            unit: unit.into(),
            against: against.into(),
            against_value,
            ratio: decimal(permille),
            bar: decimal(bar_permille),
            holds: permille >= bar_permille,
        }
    }

    /// A row of which less is better.
    fn at_most(
        bench: &'static str,
        case: &'static str,
        unit: &'static str,
        (value, against_value): (u64, u64),
        against: &'static str,
        bar_permille: u64,
    ) -> Self {
        let row = Self::new(bench, case, unit, (value, against_value), against, bar_permille);
        // Multiplied out, because a ratio that was rounded down may look better than it is.
        let holds = u128::from(value) * 1_000 <= u128::from(against_value) * u128::from(bar_permille);
        Self { holds, ..row }
    }
}

/// Thousandths as a decimal number, without floating point on the way.
fn decimal(permille: u64) -> Number {
    let text = format!("{}.{:03}", permille / 1000, permille % 1000);
    Number::from_str(&text).expect("digits, a point and digits are a JSON number")
}

/// How often a second, if `count` took `elapsed`.
fn per_second(count: u64, elapsed: Duration) -> u64 {
    let micros = elapsed.as_micros().max(1);
    u64::try_from(u128::from(count).saturating_mul(1_000_000) / micros).unwrap_or(u64::MAX)
}

/// How often a second `work`, which does a thing `count` times, does it.
fn rate(count: u64, work: impl FnOnce()) -> u64 {
    let started = clock::now();
    work();
    per_second(count, started.elapsed())
}

/// Runs the benchmark of this name, or all, and prints their rows.
///
/// # Errors
/// When a thing that is measured fails.
pub fn run(name: Option<&str>, json: bool) -> Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("this build is not optimised; `cargo xtask bench` measures one that is");
    }
    let mut rows = Vec::new();
    for (_, bench) in ALL.iter().filter(|(known, _)| name.is_none_or(|name| name == *known)) {
        rows.extend(bench()?);
    }
    if json {
        println!("{}", serde_json::to_string(&rows)?);
        return Ok(());
    }
    for row in rows {
        println!(
            "{} {}: {} {}; {}: {}; ratio {} (bar {}: {})",
            row.bench,
            row.case,
            row.value,
            row.unit,
            row.against,
            row.against_value,
            row.ratio,
            row.bar,
            if row.holds { "holds" } else { "DOES NOT HOLD" }
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_told_in_thousandths_and_held_against_its_bar() {
        let row = Row::new("b", "c", "u", (999, 2000), "a", 500);
        assert_eq!((row.ratio.to_string(), row.holds), ("0.499".to_owned(), false));
        let row = Row::new("b", "c", "u", (3000, 2000), "a", 500);
        assert_eq!((row.ratio.to_string(), row.holds), ("1.5".to_owned(), true));
    }

    #[test]
    fn where_less_is_better_the_bar_is_not_to_be_passed_by_a_hair() {
        let row = |value| Row::at_most("b", "c", "ms", (value, 100_000), "a", 1_000);
        assert!(row(99_999).holds && row(100_000).holds);
        assert_eq!((row(100_001).holds, row(100_001).ratio.to_string()), (false, "1.0".to_owned()));
    }

    #[test]
    fn a_rate_counts_whole_things_a_second() {
        assert_eq!(per_second(10, Duration::from_millis(500)), 20);
        assert_eq!(per_second(10, Duration::ZERO), 10_000_000);
    }
}
