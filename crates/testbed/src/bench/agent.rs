//! The agent's rows, which `cargo xtask bench agent` measures before it calls here: in part in a machine of their own.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Row;

/// The file of rows in the target folder. It is used once.
const ROWS: &str = "bench-agent.rows";

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

pub fn rows() -> Result<Vec<Row>> {
    let program = env::current_exe()?;
    let target = program.parent().and_then(Path::parent).context("this program lies in no target folder")?;
    let file = target.join(ROWS);
    let text = fs::read_to_string(&file).with_context(|| {
        format!("{}: `cargo xtask bench agent` measures the agent; the testbed alone cannot", file.display())
    })?;
    fs::remove_file(&file)?;
    text.lines().map(|line| serde_json::from_str(line).map(row).with_context(|| line.to_owned())).collect()
}

fn row(measured: Measured) -> Row {
    let Measured { case, value, unit, against, against_value, bar_permille, less_is_better } = measured;
    let make = if less_is_better { Row::at_most } else { Row::new };
    let row = make("agent", "", "", (value, against_value), "", bar_permille);
    Row { case: case.into(), unit: unit.into(), against: against.into(), ..row }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_row_is_held_against_its_bar() {
        let line = r#"{"case":"c","value":5,"unit":"u","against":"a","against_value":4,"bar_permille":1100,"less_is_better":true}"#;
        let row = row(serde_json::from_str(line).unwrap());
        assert_eq!((row.case.as_ref(), row.ratio.to_string(), row.holds), ("c", "1.25".to_owned(), false));
    }
}
