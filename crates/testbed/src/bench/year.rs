//! An operator's year: a hundred nodes by day, as a chart of it is asked for.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use wiregrant_core::Timestamp;

use super::Row;
use crate::clock;
use crate::connection::Connection;
use crate::fleet::{Administrator, OPERATOR};
use crate::local_control::LocalControl;
use crate::programs::Programs;

const NODES: u32 = 100;
const DAYS: u64 = 365;
const DAY_SECONDS: i64 = 86_400;
const REPORTS_A_REQUEST: usize = 100;
const QUESTIONS: usize = 500;
const BAR_MICROS: u64 = 50_000;

pub fn rows() -> Result<Vec<Row>> {
    let programs = Programs::beside(&std::env::current_exe()?)?;
    let folder = tempfile::Builder::new().prefix("wgt-year-").tempdir()?;
    let database = format!("sqlite:{}", folder.path().join("wiregrant.db").display());
    let control = LocalControl::start(&programs.control, folder.path(), &database)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let p99 = runtime.block_on(async {
        let mut administrator = Administrator::connect(control.address, control.admin_token()?).await?;
        let days = days()?;
        let nodes = administrator.enrol(NODES).await?;
        let mut connection = Connection::open(control.address).await?;
        for node in nodes {
            let mut node = node.reporting_from(*days.first().context("a first day")?);
            let reports =
                days.iter().skip(1).map(|end| node.next_report_until(*end)).collect::<Result<Vec<_>>>()?;
            for reports in reports.chunks(REPORTS_A_REQUEST) {
                let answer = connection.ask(&node.deliver_several(reports)?).await?;
                let said = String::from_utf8_lossy(&answer.body);
                ensure!(answer.status == 200 && !said.contains("\"refused\""), "{} {said}", answer.status);
            }
        }
        // The control plane closes a connection on which nobody asks for a minute.
        let mut administrator = Administrator::connect(control.address, control.admin_token()?).await?;
        let mut micros = Vec::with_capacity(QUESTIONS);
        for _ in 0..QUESTIONS {
            let asked = clock::now();
            let year: Value = administrator
                .ask("GET", &format!("/operators/{OPERATOR}/usage?by=day"), &Value::Null)
                .await?;
            micros.push(u64::try_from(asked.elapsed().as_micros())?);
            let shown = year["items"].as_array().map_or(0, Vec::len);
            ensure!((DAYS - 1..=DAYS + 1).contains(&(shown as u64)), "{shown} days are shown");
        }
        micros.sort_unstable();
        micros.get(QUESTIONS * 99 / 100).copied().context("nothing was asked")
    })?;
    let case = "SQLite, p99 of a year of 100 nodes by day";
    Ok(vec![Row::at_most("year", case, "us", (p99, BAR_MICROS), "the bar, us", 1_000)])
}

/// The last year's midnights, the one before the first day included.
fn days() -> Result<Vec<Timestamp>> {
    let today = clock::utc_now().unix_seconds() / DAY_SECONDS * DAY_SECONDS;
    let midnight = |ago: u64| {
        let ago = i64::try_from(ago)?;
        Ok(Timestamp::from_unix_seconds(today - ago * DAY_SECONDS)?)
    };
    (0..=DAYS).rev().map(midnight).collect()
}
