//! Reports as they come in: durable, signed, over HTTP, with the load on the same machine; beside the engine's own batch insert and
//! the signature check, which no ingest can do without.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::task::JoinSet;
use transparency_log::SigningKey;

use super::{Row, measured, per_second, rate};
use crate::clock;
use crate::connection::Connection;
use crate::fleet::{Administrator, FleetNode};
use crate::local_control::LocalControl;
use crate::postgres::{Postgres, Sync};
use crate::process;
use crate::programs::Programs;

/// Nodes that report one at a time.
const NODES: u32 = 1_000;
/// Reports of each of them.
const REPORTS_A_NODE: usize = 20;
/// Nodes that drain their journals.
const DRAINING_NODES: u32 = 100;
/// Requests of 100 reports of each of them.
const BATCHES_A_NODE: usize = 6;
const REPORTS_A_BATCH: usize = 100;
/// Connections that load it.
const CONNECTIONS: usize = 128;
/// Connections with 100 reports a request.
const DRAINING_CONNECTIONS: usize = 32;
/// The steady rate: 10,000 nodes once a minute, in reports a second.
const STEADY_RATE: u64 = 170;
const STEADY_SECONDS: u64 = 15;
const STEADY_BAR_MICROS: u64 = 50_000;
/// A note such as these nodes sign, in bytes.
const NOTE_BYTES: u64 = 600;
/// Signatures that are checked.
const CHECKS: u64 = 20_000;
/// Rows of the raw insert, and of one of its transactions: as many as the control plane takes up at most.
const RAW_ROWS: u64 = 100_000;
const RAW_ROWS_A_TRANSACTION: u64 = 1_000;

/// An engine and what it is held to, in reports a second: one a request, and 100 a request.
struct Engine {
    cases: [&'static str; 9],
    bars: [u64; 2],
}

const SQLITE: Engine = Engine {
    cases: [
        "SQLite, one a request",
        "SQLite, one a request, against its raw insert",
        "SQLite, 100 a request",
        "SQLite, 100 a request, against its raw insert",
        "SQLite, p99 of an acknowledgement at 170 reports/s",
        "SQLite, what the log adds to a report, 100 a request",
        "SQLite, 100 a request, against raw verify_strict",
        "SQLite, the database a report",
        "SQLite, what the log adds to a report, one a request",
    ],
    bars: [4_000, 8_000],
};
const POSTGRES: Engine = Engine {
    cases: [
        "PostgreSQL, one a request",
        "PostgreSQL, one a request, against its raw insert",
        "PostgreSQL, 100 a request",
        "PostgreSQL, 100 a request, against its raw insert",
        "PostgreSQL, p99 of an acknowledgement at 170 reports/s",
        "PostgreSQL, what the log adds to a report, 100 a request",
        "PostgreSQL, 100 a request, against raw verify_strict",
        "PostgreSQL, the database a report",
        "PostgreSQL, what the log adds to a report, one a request",
    ],
    bars: [3_000, 6_000],
};

pub fn rows() -> Result<Vec<Row>> {
    let programs = Programs::beside(&std::env::current_exe()?)?;
    let folder = tempfile::Builder::new().prefix("wgt-ingest-").tempdir()?;
    let verified = verify_strict()?;
    let mut rows = measured::append()?;
    let log_adds: Vec<u64> = rows.iter().map(|row| row.value).collect();
    let [sqlite_hundreds, postgres_hundreds, sqlite_one, postgres_one] = log_adds[..] else {
        bail!("four rows of appending, not {}", rows.len())
    };
    {
        let raw = insert_into_sqlite(folder.path())?;
        let data = folder.path().join("sqlite");
        let database = format!("sqlite:{}", data.join("wiregrant.db").display());
        let file = data.join("wiregrant.db");
        let size = || Ok(std::fs::metadata(&file)?.len());
        rows.extend(measure(
            &programs,
            &data,
            &database,
            &SQLITE,
            (raw, verified, [sqlite_one, sqlite_hundreds]),
            &size,
        )?);
    }
    let server = Postgres::start(Sync::Durable)?;
    let raw = insert_into_postgres(&server, folder.path())?;
    let database = server.new_database("ingest")?;
    let data = folder.path().join("postgres");
    let size = || {
        let mut question = server.psql("ingest")?;
        Ok(process::run(question.args(["-At", "-c", "select pg_database_size('ingest')"]))?.trim().parse()?)
    };
    rows.extend(measure(
        &programs,
        &data,
        &database,
        &POSTGRES,
        (raw, verified, [postgres_one, postgres_hundreds]),
        &size,
    )?);
    Ok(rows)
}

fn measure(
    programs: &Programs,
    data: &Path,
    database: &str,
    engine: &Engine,
    (raw, verified, [adds_to_one, adds_to_hundreds]): (u64, u64, [u64; 2]),
    size: &dyn Fn() -> Result<u64>,
) -> Result<Vec<Row>> {
    let mut control = LocalControl::start(&programs.control, data, database)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (nodes, draining) = runtime.block_on(async {
        let mut administrator = Administrator::connect(control.address, control.admin_token()?).await?;
        let mut nodes = administrator.enrol(NODES + DRAINING_NODES).await?;
        let draining = nodes.split_off(NODES as usize);
        Ok::<_, anyhow::Error>((nodes, draining))
    })?;
    let (one, nodes) = runtime.block_on(one_a_request(&control, nodes))?;
    let (batches, elapsed) = runtime.block_on(hundred_a_request(&control, draining))?;
    let p99 = runtime.block_on(steady(&control, nodes))?;
    control.stop();
    let reports = u64::from(NODES) * REPORTS_A_NODE as u64
        + u64::from(DRAINING_NODES) * (BATCHES_A_NODE * REPORTS_A_BATCH) as u64
        + STEADY_RATE * STEADY_SECONDS;
    let stored = size()? / reports;

    let [one_bar, batch_bar] = engine.bars;
    let cases = engine.cases;
    let bar = "what this is to reach, reports/s";
    let insert = "the engine's own client inserting such rows, rows/s";
    let drained = u64::from(DRAINING_NODES) * (BATCHES_A_NODE * REPORTS_A_BATCH) as u64;
    let whole = u64::try_from(elapsed.as_nanos() / u128::from(drained))?;
    Ok(vec![
        Row::new("ingest", cases[0], "reports/s", (one, one_bar), bar, 1_000),
        Row::new("ingest", cases[1], "reports/s", (one, raw), insert, 0),
        Row::new("ingest", cases[2], "reports/s", (batches, batch_bar), bar, 1_000),
        Row::new("ingest", cases[3], "reports/s", (batches, raw), insert, 0),
        Row::new("ingest", cases[6], "reports/s", (batches, verified), "on one processor, checks/s", 0),
        Row::at_most(
            "ingest",
            cases[7],
            "bytes",
            (stored, NOTE_BYTES),
            "a note of such a report, bytes",
            10_000,
        ),
        Row::at_most("ingest", cases[4], "us", (p99, STEADY_BAR_MICROS), "the bar, us", 1_000),
        Row::at_most(
            "ingest",
            cases[5],
            "ns more a report",
            (adds_to_hundreds, whole),
            "the time in which one came in, 100 a request, ns",
            50,
        ),
        Row::at_most(
            "ingest",
            cases[8],
            "ns more a report",
            (adds_to_one, 1_000_000_000 / one.max(1)),
            "the time in which one came in, one a request, ns",
            50,
        ),
    ])
}

/// Sends requests that were made before, over so many connections, each those of some nodes in their order; how long it took.
async fn load(control: &LocalControl, requests: Vec<Vec<Vec<u8>>>, connections: usize) -> Result<Duration> {
    let mut shares: Vec<Vec<Vec<Vec<u8>>>> = (0..connections).map(|_| Vec::new()).collect();
    for (number, of_node) in requests.into_iter().enumerate() {
        shares[number % connections].push(of_node);
    }
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(control.address).await?);
    }
    let started = clock::now();
    let mut loading = JoinSet::new();
    for (mut connection, share) in open.into_iter().zip(shares) {
        loading.spawn(async move {
            let mut waiting: VecDeque<_> = share.into_iter().map(Vec::into_iter).collect();
            // One request of each node in turn, as nodes report.
            while let Some(mut of_node) = waiting.pop_front() {
                let Some(request) = of_node.next() else { continue };
                let answer = connection.ask(&request).await?;
                let said = String::from_utf8_lossy(&answer.body);
                ensure!(answer.status == 200 && !said.contains("\"refused\""), "{} {said}", answer.status);
                waiting.push_back(of_node);
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(loaded) = loading.join_next().await {
        loaded??;
    }
    Ok(started.elapsed())
}

async fn one_a_request(control: &LocalControl, mut nodes: Vec<FleetNode>) -> Result<(u64, Vec<FleetNode>)> {
    let mut requests = Vec::new();
    for node in &mut nodes {
        let mut of_node = Vec::with_capacity(REPORTS_A_NODE);
        for _ in 0..REPORTS_A_NODE {
            let report = node.next_report()?;
            of_node.push(node.deliver(&report)?);
        }
        requests.push(of_node);
    }
    let count = nodes.len() as u64 * REPORTS_A_NODE as u64;
    let elapsed = load(control, requests, CONNECTIONS).await?;
    Ok((per_second(count, elapsed), nodes))
}

async fn hundred_a_request(control: &LocalControl, mut nodes: Vec<FleetNode>) -> Result<(u64, Duration)> {
    let mut requests = Vec::new();
    for node in &mut nodes {
        let of_node = (0..BATCHES_A_NODE).map(|_| node.deliver_next(REPORTS_A_BATCH));
        requests.push(of_node.collect::<Result<Vec<_>>>()?);
    }
    let count = nodes.len() as u64 * (BATCHES_A_NODE * REPORTS_A_BATCH) as u64;
    let elapsed = load(control, requests, DRAINING_CONNECTIONS).await?;
    let mut connection = Connection::open(control.address).await?;
    let head = nodes.first().context("no node")?.head(&mut connection).await?;
    ensure!(head.sequence == (BATCHES_A_NODE * REPORTS_A_BATCH) as u64, "{head:?}");
    Ok((per_second(count, elapsed), elapsed))
}

/// The 99th of 100 acknowledgements, in microseconds, when reports come at [`STEADY_RATE`] whatever becomes of the ones before.
/// Each is timed from when it was due, so that one that waits for the one before it is not flattered.
async fn steady(control: &LocalControl, mut nodes: Vec<FleetNode>) -> Result<u64> {
    let mut connections = VecDeque::new();
    for _ in 0..CONNECTIONS {
        connections.push_back(Connection::open(control.address).await?);
    }
    let count = STEADY_RATE * STEADY_SECONDS;
    let mut asking = JoinSet::new();
    let mut micros_each = Vec::new();
    let started = clock::now();
    for number in 0..count {
        let due = Duration::from_micros(number * 1_000_000 / STEADY_RATE);
        let index = usize::try_from(number)? % nodes.len();
        let report = nodes[index].next_report()?;
        let request = nodes[index].deliver(&report)?;
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
        let mut connection = match connections.pop_front() {
            Some(connection) => connection,
            None => Connection::open(control.address).await?,
        };
        asking.spawn(async move {
            let answer = connection.ask(&request).await?;
            ensure!(answer.status == 200, "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
            Ok((connection, micros(started.elapsed().saturating_sub(due))))
        });
        while let Some(asked) = asking.try_join_next() {
            let (connection, took) = asked??;
            connections.push_back(connection);
            micros_each.push(took);
        }
    }
    while let Some(asked) = asking.join_next().await {
        micros_each.push(asked??.1);
    }
    micros_each.sort_unstable();
    micros_each.get(micros_each.len() * 99 / 100).copied().context("nothing was asked")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Strict checks of Ed25519 signatures of a report's length a second, on one processor.
fn verify_strict() -> Result<u64> {
    let key = SigningKey::new("bench", [7; 32])?;
    let verifier = key.verifier();
    let message = [b'm'; 600];
    let signature = key.sign_bytes(&message);
    let mut good = 0;
    let checked = rate(CHECKS, || {
        for _ in 0..CHECKS {
            good += u64::from(verifier.verify(black_box(&message), black_box(&signature)));
        }
    });
    ensure!(good == CHECKS, "{good} of {CHECKS} signatures hold");
    Ok(checked)
}

/// Statements that insert rows as large as reports', with the keys that reports have, a thousand in a transaction.
fn insert_statements(bytes: &str) -> String {
    let mut text = format!(
        "create table raw (node text not null, sequence bigint not null, note text not null, note_hash {bytes} not null,\n\
         log_index bigint not null, acked_size bigint not null, start_at bigint not null, end_at bigint not null,\n\
         received_at bigint not null, primary key (node, sequence), unique (note_hash), unique (log_index));\n"
    );
    let note = "n".repeat(700);
    for first in (0..RAW_ROWS).step_by(usize::try_from(RAW_ROWS_A_TRANSACTION).expect("a thousand")) {
        text.push_str("begin;\ninsert into raw values ");
        for row in first..first + RAW_ROWS_A_TRANSACTION {
            let comma = if row == first { "" } else { ",\n" };
            let hash = transparency_log::Hash::of(&row.to_be_bytes());
            let hash = hash.0.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}"); // writing to a string does not fail
                hex
            });
            let hash = if bytes == "blob" { format!("x'{hash}'") } else { format!("'\\x{hash}'") };
            let node = row % 1_000;
            let _ = write!(text, "{comma}('node-{node}',{},'{note}',{hash},{row},{row},1,2,3)", row / 1_000);
        }
        text.push_str(";\ncommit;\n");
    }
    text
}

fn insert_into_sqlite(folder: &Path) -> Result<u64> {
    let script = folder.join("sqlite.sql");
    let text =
        format!("pragma journal_mode = wal;\npragma synchronous = full;\n{}", insert_statements("blob"));
    std::fs::write(&script, text)?;
    let mut command = Command::new("sqlite3");
    command.arg("-bail").arg(folder.join("raw.db")).arg(format!(".read {}", script.display()));
    time_of(&mut command)
}

fn insert_into_postgres(server: &Postgres, folder: &Path) -> Result<u64> {
    server.new_database("raw")?;
    let script = folder.join("postgres.sql");
    std::fs::write(&script, insert_statements("bytea"))?;
    time_of(server.psql("raw")?.arg("-f").arg(&script))
}

fn time_of(command: &mut Command) -> Result<u64> {
    let started = clock::now();
    process::run(command)?;
    Ok(per_second(RAW_ROWS, started.elapsed()))
}
