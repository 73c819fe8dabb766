//! Rows that `cargo xtask bench` measures before it calls here: the agent's, in part in a machine of their own, and those of
//! closing, of appending and of signed-in pages, by the control plane's own benchmarks.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Row;

/// A row as it was measured.
#[derive(Deserialize)]
struct Measured {
    case: String,
    value: u64,
    unit: String,
    against: String,
    against_value: u64,
    bar_permille: u64,
    less_is_better: bool,
}

pub fn agent() -> Result<Vec<Row>> {
    rows("agent", "agent")
}

pub fn close() -> Result<Vec<Row>> {
    rows("close", "close")
}

/// Writing a report with the log and without it, for SQLite and for PostgreSQL: in the batches of reports that come in hundreds, and
/// in those of one a request.
pub fn append() -> Result<Vec<Row>> {
    rows("ingest", "append")
}

/// Signed-in pages with a year of data, and a statement of 10,000 nodes as pages.
pub fn pages() -> Result<Vec<Row>> {
    rows("pages", "pages")
}

/// The rows of a benchmark from their file in the target folder, which is used once.
fn rows(bench: &'static str, part: &str) -> Result<Vec<Row>> {
    let program = env::current_exe()?;
    let target = program.parent().and_then(Path::parent).context("this program lies in no target folder")?;
    let file = target.join(format!("bench-{part}.rows"));
    let text = fs::read_to_string(&file).with_context(|| {
        format!("{}: `cargo xtask bench {bench}` measures it; the testbed alone cannot", file.display())
    })?;
    fs::remove_file(&file)?;
    text.lines()
        .map(|line| {
            serde_json::from_str(line).map(|measured| row(bench, measured)).with_context(|| line.to_owned())
        })
        .collect()
}

fn row(bench: &'static str, measured: Measured) -> Row {
    let Measured { case, value, unit, against, against_value, bar_permille, less_is_better } = measured;
    let make = if less_is_better { Row::at_most } else { Row::new };
    let row = make(bench, "", "", (value, against_value), "", bar_permille);
    Row { case: case.into(), unit: unit.into(), against: against.into(), ..row }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_row_is_held_against_its_bar() {
        let line = r#"{"case":"c","value":5,"unit":"u","against":"a","against_value":4,"bar_permille":1100,"less_is_better":true}"#;
        let row = row("agent", serde_json::from_str(line).unwrap());
        assert_eq!((row.case.as_ref(), row.ratio.to_string(), row.holds), ("c", "1.25".to_owned(), false));
    }
}
