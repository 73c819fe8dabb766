//! What the reports log adds to taking reports: the same batches written with it and without it, turn by turn, on both
//! databases. `cargo xtask bench ingest` reads the rows from what is printed, and holds them against a whole report.
//!
//! With it: the entries, the tiles' hashes, the signed checkpoint, and each report's proof for its acknowledgement, all of which is
//! timed by itself, and what it makes the commit longer by. The reports' rows and sums are written by the same statements both ways; the
//! time they take differs by more from batch to batch than the log costs, as two whole benchmarks over HTTP do, so it is left out
//! on both sides.

#![expect(clippy::print_stdout, reason = "the rows are its result")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock where it measures")]

#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use transparency_log::{Hash, SigningKey};
use wiregrant_control::acknowledgement;
use wiregrant_control::clock::Clock;
use wiregrant_control::control_plane::{ControlPlane, Shared};
use wiregrant_control::recording;
use wiregrant_core::note::{Salt, Signed};
use wiregrant_core::record::report_entry;
use wiregrant_core::usage_report::{Backend, Class, PeersBucket, Service, Usage, UsageReport, UsageTable};
use wiregrant_core::{Bytes, Timestamp};
use wiregrant_store::{Location, Log, NewNode, Report, Stretch, UsageAdded};

use support::postgres::Postgres;
use support::{config, key};

/// Says that the rest of the line is a row.
const MARK: &str = "wiregrant-bench-row: ";
/// Reports that come in hundreds: batches of nearly as many as the sequencer takes up at most.
const IN_HUNDREDS: Batches = Batches { nodes: 100, reports_a_node: 10, rounds: 41 };
/// Reports that come one a request: of that many are the batches that 128 connections lead to.
const ONE_BY_ONE: Batches = Batches { nodes: 40, reports_a_node: 1, rounds: 401 };
/// Where places in the log are made up for reports that are in none.
const NO_LOG: u64 = 1 << 40;
/// When the story begins.
const BEGIN: i64 = 1_783_295_940;

/// Batches that are written with the log and without it.
struct Batches {
    nodes: u32,
    reports_a_node: u64,
    /// Of each kind. The first of each is not counted.
    rounds: u64,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    for batches in [IN_HUNDREDS, ONE_BY_ONE] {
        let database = format!("sqlite:{}", folder.path().join(format!("{}.db", batches.nodes)).display());
        print("SQLite", &batches, runtime.block_on(written(&database, &batches)));
        let postgres = Postgres::start();
        print("PostgreSQL", &batches, runtime.block_on(written(&postgres.url(), &batches)));
    }
}

fn print(engine: &str, batches: &Batches, [log, report]: [Duration; 2]) {
    let reports = u128::from(batches.nodes) * u128::from(batches.reports_a_node);
    let each = |took: Duration| u64::try_from(took.as_nanos() / reports).expect("a measurement ends");
    let row = serde_json::json!({
        "case": format!("{engine}, a report's entry in the log and its proof, batches of {reports}"),
        "value": each(log), "unit": "ns",
        "against": "writing the report itself, ns", "against_value": each(report), "bar_permille": 1_000_000,
        "less_is_better": true,
    });
    println!("{MARK}{row}");
}

/// How long the log's part of a batch took, and a batch without the log: medians.
async fn written(database: &str, batches: &Batches) -> [Duration; 2] {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::by_hand(Timestamp::from_unix_seconds(BEGIN).expect("in range"));
    let (plane, tasks) = ControlPlane::open(config(&folder, database), clock).await.expect("opens");
    let keys: Vec<SigningKey> = (0..batches.nodes).map(key).collect();
    let reports_a_node = batches.reports_a_node;
    enrol(&plane, &keys).await;
    let (mut sequence, mut made_up) = (0, NO_LOG);
    let (mut log, mut commits, mut whole, mut commits_without) = (vec![], vec![], vec![], vec![]);
    for round in 0..batches.rounds {
        for turn in 0..2 {
            // Who is first in a round is second in the next.
            let with_log = (round + turn) % 2 == 0;
            let notes: Vec<_> = keys
                .iter()
                .flat_map(|key| {
                    (1..=reports_a_node).map(|n| signed(&plane, key, sequence + n)).collect::<Vec<_>>()
                })
                .collect();
            sequence += reports_a_node;
            let [first, commit] = if with_log {
                with(&plane, &notes).await
            } else {
                made_up += notes.len() as u64;
                without(&plane, &notes, made_up).await
            };
            if round > 0 {
                let (firsts, commits) =
                    if with_log { (&mut log, &mut commits) } else { (&mut whole, &mut commits_without) };
                firsts.push(first);
                commits.push(commit);
            }
        }
    }
    plane.stop();
    tasks.ended().await;
    [median(log) + median(commits).saturating_sub(median(commits_without)), median(whole)]
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// How long what is the log's took, and the commit.
async fn with(plane: &Shared, notes: &[Signed<UsageReport>]) -> [Duration; 2] {
    let mut write = plane.store.write().await.expect("its turn");
    let started = Instant::now();
    let entries: Vec<String> = notes.iter().map(|note| report_entry(note.hash())).collect();
    let appended = recording::append(&mut write, Log::Reports, &plane.keys, &entries).await.expect("entries");
    let append = started.elapsed();
    rows(&mut write, notes, appended.first_index, appended.size).await;
    let started = Instant::now();
    write.commit().await.expect("kept");
    let commit = started.elapsed();
    let started = Instant::now();
    let proofs = acknowledgement::of_appended(&appended).expect("proofs");
    assert_eq!(proofs.len(), notes.len());
    [append + started.elapsed(), commit]
}

/// How long all of it took, and the commit.
async fn without(plane: &Shared, notes: &[Signed<UsageReport>], first_index: u64) -> [Duration; 2] {
    let started = Instant::now();
    let mut write = plane.store.write().await.expect("its turn");
    rows(&mut write, notes, first_index, first_index + notes.len() as u64).await;
    let committing = Instant::now();
    write.commit().await.expect("kept");
    [started.elapsed(), committing.elapsed()]
}

/// The reports' rows, and the sums behind the charts.
async fn rows(
    write: &mut wiregrant_store::Write,
    notes: &[Signed<UsageReport>],
    first_index: u64,
    acked_size: u64,
) {
    let rows: Vec<Report> = (first_index..).zip(notes).map(|(at, note)| row(note, at, acked_size)).collect();
    write.insert_reports(&rows).await.expect("reports");
    for stretch in [Stretch::Hour, Stretch::Day] {
        let of_node = notes.chunk_by(|one, other| one.content().node == other.content().node).map(|notes| {
            let report = notes[0].content();
            let usage = report.usage.values().next().cloned().expect("one line");
            UsageAdded { node: report.node.clone(), begin: stretch.begin(report.start), usage }
        });
        write.add_usage(stretch, &of_node.collect::<Vec<_>>()).await.expect("sums");
    }
}

async fn enrol(plane: &Shared, keys: &[SigningKey]) {
    let now = plane.clock.now();
    let mut write = plane.store.write().await.expect("its turn");
    let place = Location { location: "de-fra".parse().expect("an id"), name: "Frankfurt".to_owned() };
    write.insert_location(&place, now).await.expect("a location");
    let operator = "nordlicht".parse().expect("an id");
    write.insert_operator(&operator, None, now).await.expect("an operator");
    for (n, key) in (0_u32..).zip(keys) {
        let public_key = key.verifier().public_key();
        let node = NewNode {
            node: key.name().parse().expect("an id"),
            operator: operator.clone(),
            location: place.location.clone(),
            vkey: key.verifier().to_string(),
            identity_key: public_key,
            wireguard_public_key: public_key.into(),
            endpoint: format!("10.0.{n}.1:51820"),
            agent: "0.1.0".to_owned(),
            backend: Backend::Kernel,
        };
        write.insert_node(&node, 20_000, now).await.expect("a node");
    }
    write.commit().await.expect("kept");
}

fn signed(plane: &Shared, key: &SigningKey, sequence: u64) -> Signed<UsageReport> {
    let bytes = |n: u64| Bytes::new(n * sequence * 1_000_007).expect("few");
    let served = Usage { received: bytes(2), sent: bytes(9), creditable: bytes(11) };
    let start = plane.clock.now().plus_seconds(3_600 * sequence);
    let report = UsageReport {
        log: plane.config.origin.clone(),
        node: key.name().parse().expect("an id"),
        operator: "nordlicht".parse().expect("an id"),
        sequence,
        previous: Some(Hash::of(&sequence.to_be_bytes())),
        salt: Salt([1; 16]),
        start,
        end: start.plus_seconds(3_600),
        epoch: None,
        agent: "0.1.0".to_owned(),
        backend: Backend::Kernel,
        peers: PeersBucket::TenTo24,
        tree: None,
        usage: UsageTable::from([((Service::WireGuard, Class::Assigned), served)]),
    };
    Signed::sign(report, key).expect("a report")
}

fn row(note: &Signed<UsageReport>, log_index: u64, acked_size: u64) -> Report {
    let report = note.content();
    Report {
        node: report.node.clone(),
        sequence: report.sequence,
        note: note.note().to_owned(),
        note_hash: note.hash(),
        log_index,
        acked_size,
        epoch_grant: None,
        epoch_number: None,
        start_at: report.start,
        end_at: report.end,
        received_at: report.end,
    }
}
