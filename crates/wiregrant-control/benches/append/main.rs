//! What the reports log adds to taking reports: the same batches written with it and without it, turn by turn, on both
//! databases. `cargo xtask bench ingest` reads the rows from what is printed, and holds the difference against a whole report.
//!
//! With it: the entries, the tiles' hashes, the signed checkpoint, and each report's proof for its acknowledgement. Both ways
//! the reports' rows and sums are written in one durable transaction for each batch. Two whole benchmarks over HTTP differ by
//! more from run to run than the log may cost; turns of one run do not.

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
const NODES: u32 = 100;
/// Reports of a node in one batch; together nearly as many as the sequencer takes up at most.
const REPORTS_A_NODE: u64 = 10;
/// Batches of each kind. The first of each is not counted.
const ROUNDS: u64 = 25;
/// Where places in the log are made up for reports that are in none.
const NO_LOG: u64 = 1 << 40;
/// When the story begins.
const BEGIN: i64 = 1_783_295_940;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let database = format!("sqlite:{}", folder.path().join("append.db").display());
    print("SQLite", runtime.block_on(written(&database)));
    let postgres = Postgres::start();
    print("PostgreSQL", runtime.block_on(written(&postgres.url())));
}

fn print(engine: &str, [with, without]: [Duration; 2]) {
    let reports = u128::from(NODES) * u128::from(REPORTS_A_NODE) * u128::from(ROUNDS - 1);
    let each = |took: Duration| u64::try_from(took.as_nanos() / reports).expect("a measurement ends");
    let row = serde_json::json!({
        "case": format!("{engine}, writing a report with its log entry and proof"), "value": each(with), "unit": "ns",
        "against": "the same without, ns", "against_value": each(without), "bar_permille": 1_000_000,
        "less_is_better": true,
    });
    println!("{MARK}{row}");
}

/// How long all batches took with the log, and without it.
async fn written(database: &str) -> [Duration; 2] {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::by_hand(Timestamp::from_unix_seconds(BEGIN).expect("in range"));
    let (plane, tasks) = ControlPlane::open(config(&folder, database), clock).await.expect("opens");
    let keys: Vec<SigningKey> = (0..NODES).map(key).collect();
    enrol(&plane, &keys).await;
    let (mut sums, mut sequence, mut made_up) = ([Duration::ZERO; 2], 0, NO_LOG);
    for round in 0..ROUNDS {
        for turn in 0..2 {
            // Who is first in a round is second in the next.
            let with_log = (round + turn) % 2 == 0;
            let notes: Vec<_> = keys
                .iter()
                .flat_map(|key| {
                    (1..=REPORTS_A_NODE).map(|n| signed(&plane, key, sequence + n)).collect::<Vec<_>>()
                })
                .collect();
            sequence += REPORTS_A_NODE;
            let started = Instant::now();
            if with_log {
                with(&plane, &notes).await;
            } else {
                without(&plane, &notes, made_up).await;
                made_up += notes.len() as u64;
            }
            if round > 0 {
                sums[usize::from(!with_log)] += started.elapsed();
            }
        }
    }
    plane.stop();
    tasks.ended().await;
    sums
}

async fn with(plane: &Shared, notes: &[Signed<UsageReport>]) {
    let mut write = plane.store.write().await.expect("its turn");
    let entries: Vec<String> = notes.iter().map(|note| report_entry(note.hash())).collect();
    let appended =
        recording::append(&mut write, Log::Reports, &plane.keys.reports, &entries).await.expect("entries");
    rows(&mut write, notes, appended.first_index, appended.size).await;
    write.commit().await.expect("kept");
    let proofs = acknowledgement::of_appended(&appended).expect("proofs");
    assert_eq!(proofs.len(), notes.len());
}

async fn without(plane: &Shared, notes: &[Signed<UsageReport>], first_index: u64) {
    let mut write = plane.store.write().await.expect("its turn");
    rows(&mut write, notes, first_index, first_index + notes.len() as u64).await;
    write.commit().await.expect("kept");
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
        let of_node = notes.chunks(usize::try_from(REPORTS_A_NODE).expect("ten")).map(|notes| {
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
