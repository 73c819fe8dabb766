//! A control plane whose database is lost and put back from a backup, with the real binaries on both databases: nobody who kept a
//! checkpoint or an acknowledgement finds that anything was rewritten.

#![allow(clippy::unwrap_used, reason = "what cannot be had in a test fails it, in its helpers too")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::connection::{Answer, Connection};
use testbed::fleet::{Administrator, FleetNode};
use testbed::local_control::LocalControl;
use testbed::postgres::{Postgres, Sync};
use testbed::process;
use testbed::programs::Programs;
use testbed::wait::eventually;
use transparency_log::LogProof;
use wiregrant_core::note::Signed;
use wiregrant_core::usage_report::UsageReport;

const NODES: u32 = 3;
/// For what happens within seconds, also on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(120);

fn programs() -> Programs {
    Programs::beside(Path::new(env!("CARGO_BIN_EXE_testbed"))).expect("the binaries of the workspace")
}

/// A node with all that it was given a proof for.
struct Keeping {
    node: FleetNode,
    held: Vec<(Signed<UsageReport>, String)>,
}

/// A control plane, its nodes, and whoever looks at what it publishes.
struct Story {
    folder: PathBuf,
    control: LocalControl,
    nodes: Vec<Keeping>,
    runtime: tokio::runtime::Runtime,
}

impl Story {
    fn begin(folder: &Path, database: &str) -> Self {
        let control = LocalControl::start(&programs().control, &folder.join("data"), database).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let enrolled = runtime.block_on(async {
            Administrator::connect(control.address, control.admin_token()?).await?.enrol(NODES).await
        });
        let nodes = enrolled.unwrap().into_iter().map(|node| Keeping { node, held: Vec::new() }).collect();
        Self { folder: folder.to_owned(), control, nodes, runtime }
    }

    async fn ask(&self, request: &[u8]) -> Result<Answer> {
        Connection::open(self.control.address).await?.ask(request).await
    }

    /// Each node reports so often, and keeps what it gets.
    fn report(&mut self, times: usize) {
        for _ in 0..times {
            for at in 0..self.nodes.len() {
                let report = self.nodes[at].node.next_report().unwrap();
                let request = self.nodes[at].node.deliver(&report).unwrap();
                let answer = self.runtime.block_on(self.ask(&request)).unwrap();
                self.nodes[at].node.check(&report, &answer).unwrap();
                self.nodes[at].held.push((report, String::from_utf8(answer.body).unwrap()));
            }
        }
    }

    fn add_operator(&self, operator: &str) {
        let added: Result<Value> = self.runtime.block_on(async {
            let token = self.control.admin_token()?;
            let mut administrator = Administrator::connect(self.control.address, token).await?;
            administrator.ask("POST", "/operators", &json!({ "operator": operator })).await
        });
        added.unwrap();
    }

    fn public(&self) -> PathBuf {
        self.folder.join("data/public")
    }

    /// What somebody finds who verifies again and again and remembers what they saw.
    fn verify(&self) -> i32 {
        let mut command = Command::new(programs().cli);
        command.arg("verify").arg(self.public()).arg("--state-dir").arg(self.folder.join("remembered"));
        command.status().unwrap().code().unwrap()
    }

    /// Waits until the public record has this entry.
    fn published(&self, entries: usize) {
        let checkpoint = self.public().join("log/checkpoint");
        eventually("a published checkpoint", LIMIT, &[&self.control.log()], || {
            let note = std::fs::read_to_string(&checkpoint)?;
            Ok(note
                .lines()
                .nth(1)
                .and_then(|size| size.parse::<usize>().ok())
                .filter(|size| *size >= entries))
        })
        .unwrap();
    }

    /// From the moment on at which the backup stands in the place of the database.
    fn goes_on(&mut self, catch_up: &[&str], mut without: Option<Keeping>) {
        self.control.launch().unwrap();
        self.control.until_ended(LIMIT).unwrap();
        let said = std::fs::read_to_string(self.control.log()).unwrap();
        assert!(said.contains("wiregrant-control catch-up"), "{said}");

        let told = self.control.run("catch-up", catch_up).unwrap();
        assert!(told.contains("waiting for   what 3 nodes hold"), "{told}");
        self.control.launch().unwrap();
        eventually("who asks nodes", LIMIT, &[&self.control.log()], || {
            let request = self.nodes[0].node.request("GET", "/head", b"").unwrap();
            let Ok(answer) = self.runtime.block_on(self.ask(&request)) else { return Ok(None) };
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            ensure!(answer.status == 503 && said.contains("catching-up"), "{said}");
            Ok(Some(()))
        })
        .unwrap();
        for keeping in &self.nodes {
            let shown = self.runtime.block_on(self.ask(&keeping.node.show(&keeping.held).unwrap())).unwrap();
            assert_eq!(shown.status, 204, "{}", String::from_utf8_lossy(&shown.body));
        }
        if let Some(gone) = &without {
            self.control.run("catch-up", &["--without", gone.node.joined.node.as_str()]).unwrap();
        }
        self.control.until_ready(LIMIT).unwrap();
        for keeping in self.nodes.iter().chain(&without) {
            for (report, acknowledged) in &keeping.held {
                let request = keeping.node.deliver(report).unwrap();
                let again = self.runtime.block_on(self.ask(&request)).unwrap();
                let said = String::from_utf8(again.body).unwrap();
                assert_eq!(again.status, 200, "{said}");
                let (before, now): (LogProof, LogProof) =
                    (acknowledged.parse().unwrap(), said.parse().unwrap());
                assert_eq!(before.index, now.index, "report {}", report.content().sequence);
            }
        }
        self.nodes.extend(without.take());
        self.report(1);
        let last = &self.nodes.last().unwrap().held.last().unwrap().1;
        let places: usize = self.nodes.iter().map(|keeping| keeping.held.len()).sum();
        assert_eq!(
            last.parse::<LogProof>().unwrap().index,
            places as u64 - 1,
            "each report stands there once"
        );
        self.add_operator("ostwind");
        self.published(2 + 1 + 3 + 2);
        self.control.stop();
        assert_eq!(self.verify(), 0, "whoever kept a checkpoint sees that it was continued");
    }
}

fn remove_sqlite(folder: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("data/wiregrant.db{suffix}")));
    }
}

#[test]
fn a_restored_sqlite_goes_on_from_public_files_and_what_nodes_hold() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let database = format!("sqlite:{}", folder.join("data/wiregrant.db").display());
    let mut story = Story::begin(folder, &database);
    story.report(2);
    let backup = folder.join("backup.db");
    let backup = backup.to_str().unwrap();
    story.control.run("backup", &["--to", backup]).unwrap();
    story.report(3);
    story.add_operator("polaris");
    story.published(2 + 1 + 3 + 1);
    assert_eq!(story.verify(), 0);
    story.control.kill_9().unwrap();
    remove_sqlite(folder);
    story.control.run("restore", &["--from", backup]).unwrap();
    story.goes_on(&[], None);
}

#[test]
fn a_restored_postgresql_goes_on_from_a_mirror_and_without_a_node_whose_acknowledgements_others_show() {
    let server = Postgres::start(Sync::InMemory).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut story = Story::begin(folder, &server.new_database("restored").unwrap());
    story.report(2);
    let dump = folder.join("wiregrant.dump");
    process::run(server.tool("pg_dump", "restored").unwrap().arg("--format=custom").arg("--file").arg(&dump))
        .unwrap();
    story.add_operator("polaris");
    story.published(2 + 1 + 3 + 1);
    let mirror = folder.join("mirror");
    let mut command = Command::new(programs().cli);
    command.arg("mirror").arg(story.public()).arg(&mirror).arg("--state-dir").arg(folder.join("remembered"));
    process::run(&mut command).unwrap();
    // The last node holds nothing that the backup lacks, and is away for good.
    let mut gone = story.nodes.pop();
    story.report(3);
    story.control.kill_9().unwrap();
    std::fs::remove_dir_all(story.public()).unwrap();
    process::run(server.tool("pg_restore", "restored").unwrap().args(["--clean", "--if-exists"]).arg(&dump))
        .unwrap();
    let refused = story.control.run("catch-up", &[]).unwrap_err();
    assert!(format!("{refused:#}").contains("nothing was published there"), "{refused:#}");
    story.goes_on(&["--from", mirror.to_str().unwrap()], gone.take());
}

#[test]
fn on_postgresql_a_lost_tail_ends_the_origin_and_every_report_is_counted_once_under_the_next() {
    const NEW: &str = "grants.example/record-2";
    let server = Postgres::start(Sync::InMemory).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut story = Story::begin(folder, &server.new_database("lost").unwrap());
    story.report(2);
    let dump = folder.join("wiregrant.dump");
    process::run(server.tool("pg_dump", "lost").unwrap().arg("--format=custom").arg("--file").arg(&dump))
        .unwrap();
    story.report(3);
    story.add_operator("polaris");
    story.published(2 + 1 + 3 + 1);
    assert_eq!(story.verify(), 0);
    let seen = folder.join("seen");
    std::fs::copy(story.public().join("log/checkpoint"), &seen).unwrap();
    story.control.kill_9().unwrap();
    std::fs::remove_dir_all(story.public()).unwrap();
    process::run(server.tool("pg_restore", "lost").unwrap().args(["--clean", "--if-exists"]).arg(&dump))
        .unwrap();
    let seen = seen.to_str().unwrap();
    let told = story.control.run("new-origin", &[NEW, "--seen", seen]).unwrap();
    assert!(told.contains("6 entries and 6 reports are carried over"), "{told}");
    story.control.go_on_as(NEW);
    story.control.launch().unwrap();
    story.control.until_ready(LIMIT).unwrap();
    let mut places = std::collections::BTreeSet::new();
    for at in 0..story.nodes.len() {
        let held = std::mem::take(&mut story.nodes[at].held);
        story.nodes[at].node.follow(NEW).unwrap();
        for (report, _) in held {
            let request = story.nodes[at].node.deliver(&report).unwrap();
            let answer = story.runtime.block_on(story.ask(&request)).unwrap();
            story.nodes[at].node.check(&report, &answer).unwrap();
            let proof: LogProof = String::from_utf8(answer.body).unwrap().parse().unwrap();
            assert!(places.insert(proof.index), "a place that another report has");
        }
    }
    assert_eq!(places.into_iter().collect::<Vec<u64>>(), (0..3 * 5).collect::<Vec<_>>());
    story.report(1);
    story.add_operator("ostwind");
    story.published(2 + 6 + 1 + 1);
    story.control.stop();
    assert_eq!(story.verify(), 0, "whoever kept a checkpoint of the log before follows");
}
