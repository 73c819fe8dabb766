//! How long it takes to close an epoch of 10,000 nodes: `cargo xtask bench close`, which reads the rows from what is printed.
//!
//! Every node has its own operator, which is the most that a statement, the ledger and the standings can be asked for; the
//! second epoch is measured, because it has standings, baselines and sats brought to read.

#![expect(clippy::print_stdout, reason = "the rows are its result")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock where it measures")]

#[path = "../support/reports.rs"]
mod reports;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use transparency_log::{Hash, SigningKey};
use wiregrant_control::clock::Clock;
use wiregrant_control::closing;
use wiregrant_control::control_plane::{ControlPlane, Shared};
use wiregrant_core::epoch::EpochLabel;
use wiregrant_core::note::{Network, Salt, Signed};
use wiregrant_core::terms::{Terms, TermsNote};
use wiregrant_core::usage_report::{Backend, Class, PeersBucket, Service, Usage, UsageReport, UsageTable};
use wiregrant_core::{Bytes, Sats, Timestamp, ledger};
use wiregrant_store::{Grant, Location, NewNode};

use support::postgres::Postgres;
use support::{config, key};

/// Says that the rest of the line is a row.
const MARK: &str = "wiregrant-bench-row: ";
const NODES: u32 = 10_000;
const BAR_MS: u64 = 10_000;
const EPOCH_SECONDS: u64 = 604_800;
/// When the story begins: a minute before the first epoch.
const BEGIN: i64 = 1_783_295_940;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let database = format!("sqlite:{}", folder.path().join("close.db").display());
    print("SQLite: an epoch of 10,000 nodes closed", runtime.block_on(closed(&database)));
    let postgres = Postgres::start();
    print("PostgreSQL: an epoch of 10,000 nodes closed", runtime.block_on(closed(&postgres.url())));
}

fn print(case: &str, took: Duration) {
    let value = u64::try_from(took.as_millis()).expect("a measurement ends");
    let row = serde_json::json!({
        "case": case, "value": value, "unit": "ms", "against": "limit, ms", "against_value": BAR_MS,
        "bar_permille": 1_000, "less_is_better": true,
    });
    println!("{MARK}{row}");
}

/// How long closing the second epoch takes.
async fn closed(database: &str) -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::by_hand(Timestamp::from_unix_seconds(BEGIN).expect("in range"));
    let (plane, tasks) = ControlPlane::open(config(&folder, database), clock.clone()).await.expect("opens");
    let keys: Vec<SigningKey> = (0..NODES).map(key).collect();
    enrol(&plane, &keys).await;
    let grant = "spring".parse().expect("an id");
    let mut last = vec![None; keys.len()];
    let mut took = Duration::ZERO;
    for epoch in [1, 2] {
        report(&plane, &keys, epoch, &mut last).await;
        clock.advance(i64::try_from(EPOCH_SECONDS).expect("small") + 61);
        let started = Instant::now();
        let row = closing::close(&plane, &grant, epoch).await.expect("it is over");
        took = started.elapsed();
        assert!(row.note.len() > 10_000 * 50, "every node has a line");
    }
    plane.stop();
    tasks.ended().await;
    took
}

/// Operators with a node each, all in one grant.
async fn enrol(plane: &Shared, keys: &[SigningKey]) {
    let now = plane.clock.now();
    let mut write = plane.store.write().await.expect("its turn");
    let place = Location { location: "de-fra".parse().expect("an id"), name: "Frankfurt".to_owned() };
    write.insert_location(&place, now).await.expect("a location");
    let terms = Terms {
        floor: 0,
        close_delay_seconds: 0,
        invited_percent: 100,
        ..Terms::defaults(Timestamp::from_unix_seconds(BEGIN + 60).expect("in range"), 52)
    };
    let note = TermsNote {
        log: plane.config.origin.clone(),
        network: Network::Regtest,
        grant: "spring".parse().expect("an id"),
        previous: None,
        terms,
    };
    let note = Signed::sign(note, &plane.keys.statement).expect("terms");
    let grant = Grant {
        grant_id: "spring".parse().expect("an id"),
        title: "Spring".to_owned(),
        terms_note: note.note().to_owned(),
        terms_hash: note.hash(),
        created_at: now,
    };
    write.insert_grant(&grant).await.expect("a grant");
    let sats = Sats::new(100_000_000_000).expect("few");
    write.insert_contribution(&grant.grant_id, sats, now).await.expect("sats");
    write.enter(&ledger::of_contribution(&grant.grant_id, sats), now).await.expect("sats");
    for (n, key) in (0_u32..).zip(keys) {
        let operator = format!("op-{n}").parse().expect("an id");
        write.insert_operator(&operator, None, now).await.expect("an operator");
        let public_key = key.verifier().public_key();
        let node = NewNode {
            node: key.name().parse().expect("an id"),
            operator,
            location: place.location.clone(),
            vkey: key.verifier().to_string(),
            identity_key: public_key,
            wireguard_public_key: public_key.into(),
            endpoint: format!("10.{}.{}.1:51820", n / 256, n % 256),
            agent: "0.1.0".to_owned(),
            backend: Backend::Kernel,
        };
        write.insert_node(&node, 20_000, now).await.expect("a node");
        write.admit(&grant.grant_id, &node.node, 1, now).await.expect("a member");
    }
    write.commit().await.expect("kept");
}

/// A closing report of every node, each with its entry.
async fn report(plane: &Shared, keys: &[SigningKey], epoch: u64, last: &mut [Option<(Hash, Timestamp)>]) {
    let end = plane.clock.now().plus_seconds(EPOCH_SECONDS);
    let notes: Vec<_> =
        keys.iter().zip(&mut *last).map(|(key, last)| signed(plane, key, epoch, end, last)).collect();
    reports::keep(plane, &notes).await;
}

fn signed(
    plane: &Shared,
    key: &SigningKey,
    epoch: u64,
    end: Timestamp,
    last: &mut Option<(Hash, Timestamp)>,
) -> Signed<UsageReport> {
    let bytes = |n: u64| Bytes::new(n * epoch * 1_000_000_007).expect("few");
    let served = Usage { received: bytes(2), sent: bytes(9), creditable: bytes(11) };
    let name = key.name();
    let report = UsageReport {
        log: plane.config.origin.clone(),
        node: name.parse().expect("an id"),
        operator: name.replace("node", "op").parse().expect("an id"),
        sequence: epoch,
        previous: last.map(|(hash, _)| hash),
        salt: Salt([1; 16]),
        start: last.map_or_else(|| plane.clock.now(), |(_, end)| end),
        end,
        epoch: Some(EpochLabel { grant: "spring".parse().expect("an id"), number: epoch }),
        agent: "0.1.0".to_owned(),
        backend: Backend::Kernel,
        peers: PeersBucket::TenTo24,
        tree: None,
        // Invited bytes need no devices to count, and the terms count them whole.
        usage: UsageTable::from([((Service::WireGuard, Class::Invited), served)]),
    };
    let signed = Signed::sign(report, key).expect("a report");
    *last = Some((signed.hash(), end));
    signed
}
