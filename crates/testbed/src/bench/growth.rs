//! What a node's week adds to the database: a report an hour, each in a transaction of its own, as they come where nodes do not
//! report all at the same moment. That is the most a report can take, because each then has a checkpoint too.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use wiregrant_core::Timestamp;

use super::Row;
use crate::clock;
use crate::connection::Connection;
use crate::fleet::Administrator;
use crate::local_control::{LocalControl, START_LIMIT};
use crate::postgres::{Postgres, Sync};
use crate::process;
use crate::programs::Programs;

const NODES: u32 = 20;
const HOURS: i64 = 168;
const HOUR_SECONDS: i64 = 3_600;
/// How many times the notes themselves a week may take.
const BAR_PERMILLE: u64 = 4_000;

pub fn rows() -> Result<Vec<Row>> {
    let programs = Programs::beside(&std::env::current_exe()?)?;
    let folder = tempfile::Builder::new().prefix("wgt-growth-").tempdir()?;
    let data = folder.path().join("sqlite");
    let file = data.join("wiregrant.db");
    let size = || Ok(std::fs::metadata(&file)?.len());
    let sqlite = week(&programs, &data, &format!("sqlite:{}", file.display()), &size)?;
    // What is written counts here, not how durably.
    let server = Postgres::start(Sync::InMemory)?;
    let database = server.new_database("growth")?;
    let size = || {
        let mut question = server.psql("growth")?;
        Ok(process::run(question.args(["-At", "-c", "select pg_database_size('growth')"]))?.trim().parse()?)
    };
    let postgres = week(&programs, &folder.path().join("postgres"), &database, &size)?;
    let row = |case, week| {
        Row::at_most("growth", case, "bytes a node and week", week, "its notes, bytes", BAR_PERMILLE)
    };
    Ok(vec![
        row("SQLite, a report an hour for a week", sqlite),
        row("PostgreSQL, a report an hour for a week", postgres),
    ])
}

/// By how much the database grew, and how long the notes are, each by node.
fn week(
    programs: &Programs,
    data: &Path,
    database: &str,
    size: &dyn Fn() -> Result<u64>,
) -> Result<(u64, u64)> {
    let mut control = LocalControl::start(&programs.control, data, database)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let nodes = runtime.block_on(async {
        Administrator::connect(control.address, control.admin_token()?).await?.enrol(NODES).await
    })?;
    // What lies in the write-ahead log is in the file once the control plane has ended.
    control.stop();
    let before = size()?;
    control.launch()?;
    control.until_ready(START_LIMIT)?;
    let begin = clock::utc_now().unix_seconds() / HOUR_SECONDS * HOUR_SECONDS - HOURS * HOUR_SECONDS;
    let begin = Timestamp::from_unix_seconds(begin)?;
    let mut nodes: Vec<_> = nodes.into_iter().map(|node| node.reporting_from(begin)).collect();
    let mut notes = 0;
    runtime.block_on(async {
        let mut connection = Connection::open(control.address).await?;
        for hour in 1..=HOURS {
            let end = Timestamp::from_unix_seconds(begin.unix_seconds() + hour * HOUR_SECONDS)?;
            for node in &mut nodes {
                let report = node.next_report_until(end)?;
                let answer = connection.ask(&node.deliver(&report)?).await?;
                let said = String::from_utf8_lossy(&answer.body);
                ensure!(answer.status == 200, "{} {said}", answer.status);
                notes += report.note().len() as u64;
            }
        }
        Ok::<_, anyhow::Error>(())
    })?;
    control.stop();
    let grown = size()?.checked_sub(before).context("the database shrank")?;
    Ok((grown / u64::from(NODES), notes / u64::from(NODES)))
}
