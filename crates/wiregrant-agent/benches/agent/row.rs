//! A measured number, as a line that xtask picks out of everything else that is printed.

use std::process::Command;
use std::time::{Duration, Instant};

/// Says that the rest of the line is a row.
const MARK: &str = "wiregrant-bench-row: ";

/// A number that is to reach `bar_permille` thousandths of another; where `less_is_better`, not to pass them.
pub struct Row {
    pub case: &'static str,
    pub value: u64,
    pub unit: &'static str,
    pub against: &'static str,
    pub against_value: u64,
    pub bar_permille: u64,
    pub less_is_better: bool,
}

impl Row {
    pub fn print(&self) {
        let Self { case, value, unit, against, against_value, bar_permille, less_is_better } = self;
        let row = serde_json::json!({
            "case": case, "value": value, "unit": unit, "against": against, "against_value": against_value,
            "bar_permille": bar_permille, "less_is_better": less_is_better,
        });
        println!("{MARK}{row}");
    }
}

/// How long `work` takes.
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

/// The shorter of what both took in each of several turns, in which they follow one another.
pub fn best_of(
    turns: u32,
    mut one: impl FnMut() -> Duration,
    mut other: impl FnMut() -> Duration,
) -> [Duration; 2] {
    let mut best = [Duration::MAX; 2];
    for _ in 0..turns {
        best = [best[0].min(one()), best[1].min(other())];
    }
    best
}

pub fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("a measurement ends")
}

/// How often a second, if `count` took `elapsed`.
pub fn per_second(count: u64, elapsed: Duration) -> u64 {
    count * 1_000_000 / microseconds(elapsed).max(1)
}

/// Runs a program and returns what it printed; anything but success ends the benchmark.
pub fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command has a program");
    let output =
        Command::new(program).args(words).output().unwrap_or_else(|error| panic!("`{command}`: {error}"));
    assert!(output.status.success(), "`{command}`: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
