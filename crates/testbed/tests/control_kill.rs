//! The control plane and its database killed under load, alone and as replicas: whatever was acknowledged is there, once.

#![allow(clippy::unwrap_used, reason = "what cannot be had in a test fails it, in its helpers too")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::connection::{self, Answer, Connection};
use testbed::fleet::{self, Administrator, FleetNode, OPERATOR};
use testbed::local_control::LocalControl;
use testbed::postgres::{Postgres, Sync};
use testbed::programs::Programs;
use testbed::wait::eventually;

/// Nodes that report without a pause.
const NODES: u32 = 8;
/// For what happens within seconds, also on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(120);
/// The longest between two kills.
const MILLISECONDS_BETWEEN_KILLS: u64 = 400;
/// How long a node waits before it tries again.
const RETRY: Duration = Duration::from_millis(20);
/// Within a full run, on a machine of its own, it is ready again within this; elsewhere it is only told.
const READY_AGAIN: Duration = Duration::from_secs(2);

fn programs() -> Programs {
    Programs::beside(Path::new(env!("CARGO_BIN_EXE_testbed"))).expect("the binaries of the workspace")
}

fn is_soak() -> bool {
    std::env::var_os("WIREGRANT_SOAK").is_some()
}

/// How often things are killed: often enough to see that it holds, or as often as a full run asks for.
fn kills(in_short: u32, in_full: u32) -> u32 {
    if is_soak() { in_full } else { in_short }
}

fn some_milliseconds() -> Duration {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("randomness");
    Duration::from_millis(u64::from_le_bytes(bytes) % MILLISECONDS_BETWEEN_KILLS)
}

/// Nodes that report as fast as they are answered, each to whichever address answers.
struct Load {
    over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<Result<Vec<FleetNode>>>,
}

impl Load {
    fn start(addresses: Vec<SocketAddr>, nodes: Vec<FleetNode>) -> Self {
        let (over, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (is_over, count) = (Arc::clone(&over), Arc::clone(&acknowledged));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut reporting = tokio::task::JoinSet::new();
                for node in nodes {
                    reporting.spawn(report(
                        node,
                        addresses.clone(),
                        Arc::clone(&is_over),
                        Arc::clone(&count),
                    ));
                }
                let mut nodes = Vec::new();
                while let Some(node) = reporting.join_next().await {
                    nodes.push(node??);
                }
                Ok(nodes)
            })
        });
        Self { over, acknowledged, thread }
    }

    /// Waits until so many more reports were acknowledged.
    fn goes_on(&self, more: u64, logs: &[&Path]) {
        let before = self.acknowledged.load(Ordering::SeqCst);
        eventually("acknowledgements", LIMIT, logs, || {
            ensure!(!self.thread.is_finished(), "the load ended by itself");
            Ok((self.acknowledged.load(Ordering::SeqCst) >= before + more).then_some(()))
        })
        .expect("the load goes on");
    }

    fn finish(self) -> Vec<FleetNode> {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().expect("no panic").expect("the load")
    }
}

/// One node's life: each report is sent until it is proved to be in the log; nothing but success, 429 and 503 is an answer.
async fn report(
    mut node: FleetNode,
    addresses: Vec<SocketAddr>,
    over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
) -> Result<FleetNode> {
    let mut connection: Option<Connection> = None;
    let mut turn = 0;
    while !over.load(Ordering::SeqCst) {
        let report = node.next_report()?;
        loop {
            let request = node.deliver(&report)?;
            match ask(&mut connection, addresses[turn % addresses.len()], &request).await {
                Ok(answer) if answer.status == 200 => {
                    node.check(&report, &answer)?;
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                Ok(answer) => {
                    let said = String::from_utf8_lossy(&answer.body);
                    ensure!(matches!(answer.status, 429 | 503), "{} {said}", answer.status);
                    ensure!(answer.retry_after.is_some(), "without Retry-After: {said}");
                }
                Err(_) => connection = None, // killed in the middle of it: whether it was taken, nobody said
            }
            turn += 1;
            tokio::time::sleep(RETRY).await;
        }
    }
    Ok(node)
}

async fn ask(connection: &mut Option<Connection>, address: SocketAddr, request: &[u8]) -> Result<Answer> {
    let open = match connection.take() {
        Some(open) => open,
        None => Connection::open(address).await?,
    };
    connection.insert(open).ask(request).await
}

fn enrol(control: &LocalControl, count: u32) -> Vec<FleetNode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let enrolled = runtime.block_on(async {
        Administrator::connect(control.address, control.admin_token()?).await?.enrol(count).await
    });
    enrolled.expect("enrolled nodes")
}

/// After the last report: every one is there, the log has each once, and the sums are those of the heads.
fn nothing_is_lost_and_nothing_is_twice(control: &LocalControl, nodes: &mut [FleetNode]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (reports, in_the_log, usage) = runtime
        .block_on(async {
            let mut connection = Connection::open(control.address).await?;
            let first = nodes.first_mut().context("a node")?;
            let last = first.next_report()?;
            let answer = connection.ask(&first.deliver(&last)?).await?;
            let in_the_log = first.check(&last, &answer)?;
            let mut reports = 0;
            for node in &*nodes {
                let head = node.head(&mut connection).await?;
                ensure!(
                    node.acknowledged == node.sequence,
                    "every report was sent until it was acknowledged"
                );
                ensure!(head.sequence == node.acknowledged, "{head:?}, {} acknowledged", node.acknowledged);
                reports += head.sequence;
            }
            let mut administrator = Administrator::connect(control.address, control.admin_token()?).await?;
            let usage: Value =
                administrator.ask("GET", &format!("/operators/{OPERATOR}/usage"), &Value::Null).await?;
            Ok::<_, anyhow::Error>((reports, in_the_log, usage))
        })
        .expect("all that was acknowledged is there");
    assert!(reports > u64::from(NODES), "only {reports} reports were taken");
    assert_eq!(in_the_log, reports, "each report is in the log once");
    // Every report counts one million bytes more, each way.
    let days = usage["items"].as_array().expect("days");
    let sent: u64 = days.iter().map(|day| day["sent"].as_str().expect("bytes").parse::<u64>().unwrap()).sum();
    assert_eq!(sent, reports * 1_000_000, "{usage}");
}

fn killed_under_load(database: &str, data: &Path, kills: u32) {
    let mut control = LocalControl::start(&programs().control, data, database).unwrap();
    let nodes = enrol(&control, NODES);
    let load = Load::start(vec![control.address], nodes);
    let mut longest = Duration::ZERO;
    for _ in 0..kills {
        load.goes_on(1, &[&control.log()]);
        std::thread::sleep(some_milliseconds()); // the kill falls anywhere
        control.kill_9().unwrap();
        let started = testbed::clock::now();
        control.launch().unwrap();
        control.until_ready(LIMIT).unwrap();
        longest = longest.max(started.elapsed());
    }
    eprintln!("{kills} kills; ready again within {} ms at most", longest.as_millis());
    assert!(!is_soak() || longest <= READY_AGAIN, "{longest:?}");
    load.goes_on(u64::from(NODES), &[&control.log()]);
    let mut nodes = load.finish();
    nothing_is_lost_and_nothing_is_twice(&control, &mut nodes);
}

#[test]
fn a_control_plane_on_sqlite_killed_under_load_keeps_what_it_acknowledged_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("wiregrant.db").display());
    killed_under_load(&database, folder.path(), kills(20, 500));
}

#[test]
fn a_control_plane_on_postgresql_killed_under_load_keeps_what_it_acknowledged_once() {
    let server = Postgres::start(Sync::InMemory).unwrap();
    let folder = tempfile::tempdir().unwrap();
    killed_under_load(&server.new_database("killed").unwrap(), folder.path(), kills(20, 200));
}

#[test]
fn a_database_that_crashes_makes_nobody_believe_what_is_not_there() {
    let mut server = Postgres::start(Sync::InMemory).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = server.new_database("crashed").unwrap();
    let control = LocalControl::start(&programs().control, folder.path(), &database).unwrap();
    let load = Load::start(vec![control.address], enrol(&control, NODES));
    for _ in 0..kills(3, 50) {
        load.goes_on(20, &[&control.log()]);
        server.crash().unwrap();
        let answer = connection::get(control.address, "/readyz").unwrap();
        assert_eq!((answer.status, answer.retry_after.is_some()), (503, true));
        server.restart().unwrap();
    }
    load.goes_on(u64::from(NODES), &[&control.log()]);
    let mut nodes = load.finish();
    nothing_is_lost_and_nothing_is_twice(&control, &mut nodes);
}

/// Two replicas of one control plane.
fn replicas(server: &Postgres, folder: &Path, name: &str) -> [LocalControl; 2] {
    let database = server.new_database(name).unwrap();
    let (one, other) = (folder.join("one"), folder.join("other"));
    let first = LocalControl::start(&programs().control, &one, &database).unwrap();
    fleet::copy_keys(&one, &other).unwrap();
    [first, LocalControl::start(&programs().control, &other, &database).unwrap()]
}

/// Which of them does the jobs, once exactly one says so.
fn leader(replicas: &[LocalControl; 2]) -> usize {
    eventually("one leader", LIMIT, &[&replicas[0].log(), &replicas[1].log()], || {
        let mut leading = Vec::new();
        for (number, replica) in replicas.iter().enumerate() {
            if replica.figure("wiregrant_control_leads").unwrap_or(0) > 0 {
                leading.push(number);
            }
        }
        Ok(match leading.as_slice() {
            [one] => Some(*one),
            _ => None,
        })
    })
    .expect("one of two leads")
}

#[test]
fn of_two_replicas_killed_in_turn_under_load_the_other_goes_on_and_does_the_jobs() {
    let server = Postgres::start(Sync::InMemory).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut replicas = replicas(&server, folder.path(), "replicas");
    let load =
        Load::start(replicas.iter().map(|replica| replica.address).collect(), enrol(&replicas[0], NODES));
    for _ in 0..kills(4, 50) {
        load.goes_on(u64::from(NODES) * 3, &[]);
        let led = leader(&replicas);
        replicas[led].kill_9().unwrap();
        load.goes_on(u64::from(NODES) * 3, &[&replicas[1 - led].log()]);
        assert_eq!(leader(&replicas), 1 - led, "the one that lives takes the jobs over");
        replicas[led].launch().unwrap();
        replicas[led].until_ready(LIMIT).unwrap();
    }
    let mut nodes = load.finish();
    for replica in &replicas {
        nothing_is_lost_and_nothing_is_twice(replica, &mut nodes);
    }
}

#[test]
fn what_one_replica_commits_wakes_who_waits_at_the_other_and_no_request_is_taken_twice() {
    let mut server = Postgres::start(Sync::InMemory).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let replicas = replicas(&server, folder.path(), "woken");
    let node = enrol(&replicas[0], 1).pop().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let wait = async |revision: &Value| -> Result<Value> {
        let mut other = Connection::open(replicas[1].address).await?;
        let answer =
            other.ask(&node.request("GET", &format!("/desired?known={revision}&wait=50"), b"")?).await?;
        Ok(serde_json::from_slice(&answer.body)?)
    };
    let change = async |word: &str| -> Result<()> {
        let mut administrator =
            Administrator::connect(replicas[0].address, replicas[0].admin_token()?).await?;
        let path = format!("/nodes/{}/{word}", node.joined.node);
        let body = if word == "freeze" { serde_json::json!({ "reason": "a-test" }) } else { Value::Null };
        administrator.ask::<Value>("POST", &path, &body).await.map(drop)
    };
    let once = async |word: &str| -> Result<Value> {
        let before = wait(&Value::from(0)).await?;
        let started = testbed::clock::now();
        let (after, changed) = tokio::join!(wait(&before["revision"]), async {
            tokio::time::sleep(Duration::from_millis(300)).await; // it waits by now, or looks later and finds the change
            change(word).await
        });
        changed?;
        let after = after?;
        ensure!(after["revision"] != before["revision"], "{after}");
        ensure!(started.elapsed() < Duration::from_secs(45), "the wait was over before it was woken");
        Ok(after)
    };
    runtime.block_on(async {
        assert_eq!(once("freeze").await.unwrap()["frozen"], true);
        assert_eq!(once("unfreeze").await.unwrap()["frozen"], false);

        let request = node.request("GET", "/head", b"").unwrap();
        let mut taken = Vec::new();
        for replica in &replicas {
            let mut connection = Connection::open(replica.address).await.unwrap();
            taken.push(connection.ask(&request).await.unwrap());
        }
        assert_eq!(taken[0].status, 200);
        assert!(String::from_utf8_lossy(&taken[1].body).contains("request-replayed"), "{taken:?}");
    });
    // With the server the connection goes that notifications come over; after it, they come again.
    server.crash().unwrap();
    server.restart().unwrap();
    for replica in &replicas {
        eventually("a replica that is ready", LIMIT, &[&replica.log()], || {
            Ok((connection::get(replica.address, "/readyz")?.status == 200).then_some(()))
        })
        .unwrap();
    }
    runtime.block_on(async {
        assert_eq!(once("freeze").await.unwrap()["frozen"], true);
    });
}
