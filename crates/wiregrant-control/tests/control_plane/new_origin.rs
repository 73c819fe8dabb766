//! The tail of the log lost: another origin, whose record continues and carries over the one before.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;
use transparency_log::{Hash, LogProof, Verifier};
use wiregrant_control::control_plane::ControlPlane;
use wiregrant_core::api::{NewReceipts, ProblemKind, Receipt};
use wiregrant_core::record::report_entry;
use wiregrant_core::usage_report::Class;
use wiregrant_store::{Log, Store};

use crate::support::{ADDRESS, FakeNode, Plane, config, label};

const OLD: &str = "grants.example/record";
const NEW: &str = "grants.example/record-2";
/// Debian's own interpreter: its `python3-cryptography` is what the tests install.
const PYTHON: &str = "/usr/bin/python3";

fn command(data: &Path, word: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wiregrant-control"));
    command.args([word, "--origin", OLD, "--network", "regtest", "--data-dir"]).arg(data).args(more);
    command
}

pub fn run(data: &Path, word: &str, more: &[&str]) -> Output {
    command(data, word, more).output().unwrap()
}

fn said(output: &Output) -> String {
    [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy).concat()
}

#[track_caller]
pub fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

#[track_caller]
pub fn refused(output: &Output, why: &str) {
    assert!(!output.status.success() && said(output).contains(why), "{}", said(output));
}

/// What the verifier that was written from the documents alone says of a public folder.
fn second_implementation(public: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wiregrant/tests/second_implementation.py");
    said(&Command::new(PYTHON).arg("-B").arg(script).arg(public).output().unwrap())
}

/// What a node keeps: each note with its acknowledgement.
pub type Kept = Vec<(String, String)>;

/// A control plane with a node in a grant and the statement of an epoch, a backup of it, and what came after that.
pub struct Story {
    pub plane: Plane,
    pub node: FakeNode,
    pub kept: Kept,
    pub backup: tempfile::TempDir,
}

impl Story {
    /// What the backup lacks has a decision that only a newer one would have.
    async fn told() -> Self {
        Self::with(true).await
    }

    pub async fn with(a_destination: bool) -> Self {
        let plane = Plane::start().await;
        plane.operator("nordlicht").await;
        plane.location("de-fra").await;
        let node = plane.node("nordlicht", "de-fra", 1).await;
        let distributor = plane.distributor("helpdesk").await;
        plane
            .grant("spring", 4, 90_000, |terms| {
                terms["rule"] = json!(2);
                terms["invited_percent"] = json!(100);
            })
            .await;
        plane.admit("spring", &node).await;
        drop(distributor);
        let backup = tempfile::tempdir().unwrap();
        let mut story = Self { plane, node, kept: Vec::new(), backup };
        story.plane.clock.advance(90);
        story.report(1).await;
        story.plane.clock.advance(60);
        story.plane.close("spring", 1).await.ok();
        story.report(2).await;
        ok(&run(story.data(), "backup", &["--to", &story.copy("backup.db")]));
        // All of this is acknowledged and published, and then gone: a report, a statement, a decision with a note of its own.
        story.report(2).await;
        if a_destination {
            story.plane.post("/operators/nordlicht/destination", json!({ "pay": ADDRESS })).await.ok();
        }
        story.plane.clock.advance(60);
        story.plane.close("spring", 2).await.ok();
        story.report(3).await;
        story.plane.stop().await;
        story.plane.plane.store.close().await;
        story
    }

    pub fn data(&self) -> &Path {
        self.plane.folder.path()
    }

    fn copy(&self, name: &str) -> String {
        self.backup.path().join(name).to_str().unwrap().to_owned()
    }

    pub async fn report(&mut self, epoch: u64) {
        self.node.serve(Class::Invited, 2_000_000, 1_000_000);
        let now = self.plane.now();
        let kept = self.node.report(&self.plane, now, |report| report.epoch = label("spring", epoch)).await;
        self.kept.push(kept);
    }

    /// The backup in the place of the database.
    pub fn restore(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(self.data().join(format!("wiregrant.db{suffix}")));
        }
        ok(&run(self.data(), "restore", &["--from", &self.copy("backup.db")]));
    }

    /// The status that a control plane answers with which asks for what the node holds.
    pub async fn show(&self, asking: &Router) -> u16 {
        let receipts =
            self.kept.iter().map(|(note, proof)| Receipt { note: note.clone(), proof: proof.clone() });
        let shown = NewReceipts { receipts: receipts.collect(), last: true };
        let path = format!("/nodes/{}/receipts", self.node.id);
        let body = serde_json::to_string(&shown).unwrap();
        let request = self.node.request(&Method::POST, &path, &body, self.plane.now());
        asking.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    async fn store(&self) -> Store {
        Store::open(&config(&self.plane.folder).database).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_origin_carries_over_what_is_known_and_says_what_is_not() {
    let story = Story::told().await;
    let published = std::fs::read_to_string(story.data().join("public/log/checkpoint")).unwrap();
    let size: u64 = published.lines().nth(1).unwrap().parse().unwrap();
    story.restore();
    refused(&run(story.data(), "catch-up", &[]), "`wiregrant-control new-origin`");
    refused(&run(story.data(), "new-origin", &[OLD]), "needs another name");
    let nobody = story.copy("nobody");
    refused(&run(story.data(), "new-origin", &[NEW, "--seen", &nobody]), "there is no such file");

    let told = ok(&run(story.data(), "new-origin", &[NEW]));
    let root = published.lines().nth(2).unwrap();
    assert!(told.contains(&format!("first entry   continues {OLD} {size} {root}")), "{told}");
    assert!(told.contains("held          1 operators' lines"), "{told}");
    let again = ok(&run(story.data(), "new-origin", &[NEW]));
    assert!(again.contains(&format!("first entry   continues {OLD} {size} {root}")), "{again}");
    let kept = std::fs::read_to_string(story.data().join("public.former-1/log/checkpoint")).unwrap();
    assert_eq!(kept, published, "what was published stays");
    let why = ControlPlane::open(config(&story.plane.folder), story.plane.clock.clone()).await.err().unwrap();
    assert!(format!("{why:#}").contains("origin"), "{why:#}");

    let Story { plane, mut node, kept, backup, .. } = story;
    let plane = plane.restart_as(NEW).await;
    let mut read = plane.plane.store.read().await.unwrap();
    let entries = read.entries(Log::Record, 0, 1_000).await.unwrap();
    assert!(
        entries[1].starts_with(&format!("key log {NEW}+"))
            && entries[2].starts_with("key log grants.example/record+")
    );
    assert_eq!(read.former_origins().await.unwrap()[0].record_size + 4, entries.len() as u64, "{entries:?}");
    assert_eq!(
        entries[entries.len() - 2..][0].split('+').next(),
        Some(&*format!("key statement {NEW}/statement"))
    );
    assert_eq!(entries.last().unwrap(), "hold spring 1 nordlicht new-origin");
    drop(read);
    assert!(second_implementation(&plane.folder.path().join("public")).starts_with("ok: "));

    // A node that signs for the origin before is shown the way.
    let head = format!("/nodes/{}/head", node.id);
    let lost = plane.send(node.request(&Method::GET, &head, "", plane.now())).await;
    let shown = lost.problem(ProblemKind::LogContinued);
    let figure = |name: &str| shown.figures[name].as_str().unwrap().to_owned();
    let key: Verifier = figure("vkey").parse().unwrap();
    let proof: LogProof = figure("proof").parse().unwrap();
    proof.verify(figure("entry").as_bytes(), &key).unwrap();
    let before: Verifier = node.joined.log_vkey.parse().unwrap();
    assert_eq!((key.public_key(), key.name()), (before.public_key(), NEW));
    let mut stranger = FakeNode { ..plane_node(&node) };
    stranger.key = transparency_log::SigningKey::new(node.id.as_str(), [77; 32]).unwrap();
    let refused = plane.send(stranger.request(&Method::GET, &head, "", plane.now())).await;
    refused.problem(ProblemKind::RequestSignature);

    // It follows, and sends what it holds as it stands. What the backup has keeps its place, what it lacks gets one.
    node.joined.log = NEW.parse().unwrap();
    assert_eq!(node.head(&plane).await["sequence"], 2);
    let reports = plane.plane.keys.reports.verifier();
    for (place, (note, acknowledged)) in kept.iter().enumerate() {
        let now = node.send(&plane, note).await.ok().body;
        let (before, now): (LogProof, LogProof) = (acknowledged.parse().unwrap(), now.parse().unwrap());
        now.verify(report_entry(Hash::of(note.as_bytes())).as_bytes(), &reports).unwrap();
        assert_eq!((before.index, now.index), (place as u64, place as u64));
    }
    let other = node.next_report(plane.now(), |report| report.log = "other.example/record".parse().unwrap());
    node.send(&plane, other.note()).await.problem(ProblemKind::ReportOtherLog);
    node.serve(Class::Invited, 2_000_000, 1_000_000);
    node.report(&plane, plane.now(), |report| report.epoch = label("spring", 3)).await;

    // The epoch whose statement is lost is closed anew, with the same bytes, and what it pays is held as well.
    plane.close("spring", 2).await.ok();
    plane.clock.advance(60);
    plane.close("spring", 3).await.ok();
    let statements: Value = plane.get("/grants/spring/statements").await.json();
    let units: u64 = statements["items"].as_array().unwrap().iter().map(units_of).sum();
    assert_eq!(units, 3 * 5, "five reports of three units, each counted once");
    let lines: Value = plane.get("/grants/spring/lines").await.json();
    let standings: Vec<_> = lines["items"].as_array().unwrap().iter().map(|line| &line["standing"]).collect();
    assert_eq!(
        standings,
        ["held", "held", "held"],
        "the clock of these commands is months ahead of the story's"
    );
    let release = "/grants/spring/epochs/2/operators/nordlicht/release";
    plane.post(release, json!({ "reason": "not-paid", "detail": "" })).await.ok();
    // Two reports of one number that name the origin before are evidence, and no file that convicts under this one.
    let twice = FakeNode { end: node.end, ..plane_node(&node) };
    let other = twice.next_report(plane.now(), |report| report.log = OLD.parse().unwrap());
    node.send(&plane, other.note()).await.problem(ProblemKind::ReportForked);
    let evidence: Value = plane.get(&format!("/nodes/{}/evidence", node.id)).await.json();
    assert_eq!((&evidence["items"][0]["sequence"], &evidence["items"][0]["proof"]), (&json!(1), &json!("")));
    // A destination is numbered on from what is carried over, and the whole of it reads as one record.
    plane.post("/operators/nordlicht/destination", json!({ "pay": ADDRESS })).await.ok();
    let mut plane = plane;
    plane.stop().await;
    let whole = second_implementation(&plane.folder.path().join("public"));
    assert!(whole.starts_with("ok: "), "{whole}");
    drop(backup);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_caught_up_with_is_kept_where_the_rest_is_lost() {
    let story = Story::with(false).await;
    story.restore();
    let told = ok(&run(story.data(), "catch-up", &[]));
    assert!(told.contains("what 1 nodes hold"), "{told}");
    // Nobody waits for the node any more, which is the only one that has the last acknowledgement.
    let told = ok(&run(story.data(), "new-origin", &[NEW]));
    assert!(told.contains("held          2 operators' lines") && told.contains("and 3 reports"), "{told}");
    let Story { plane, mut node, kept, .. } = story;
    let plane = plane.restart_as(NEW).await;
    node.joined.log = NEW.parse().unwrap();
    for (place, (note, _)) in kept.iter().enumerate() {
        let again: LogProof = node.send(&plane, note).await.ok().body.parse().unwrap();
        assert_eq!(again.index, place as u64, "also the one whose entry was published, and its report lost");
    }
    node.serve(Class::Invited, 2_000_000, 1_000_000);
    node.report(&plane, plane.now(), |report| report.epoch = label("spring", 3)).await;
    plane.clock.advance(60);
    plane.close("spring", 3).await.ok();
    let statements: Value = plane.get("/grants/spring/statements").await.json();
    let units: Vec<u64> = statements["items"].as_array().unwrap().iter().map(units_of).collect();
    assert_eq!(units.iter().sum::<u64>(), 3 * 5, "{units:?}");
    let mut plane = plane;
    plane.stop().await;
    let whole = second_implementation(&plane.folder.path().join("public"));
    assert!(whole.starts_with("ok: "), "{whole}");
}

pub fn units_of(statement: &Value) -> u64 {
    let note = statement["note"].as_str().unwrap();
    let nodes = note.lines().filter(|line| line.starts_with("node "));
    nodes.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn plane_node(node: &FakeNode) -> FakeNode {
    FakeNode {
        id: node.id.clone(),
        operator: node.operator.clone(),
        joined: node.joined.clone(),
        key: node.key.clone(),
        sequence: 0,
        previous: None,
        end: node.end,
        usage: std::collections::BTreeMap::new(),
    }
}

fn exited(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_has_happened_whole_or_not_at_all() {
    let story = Story::told().await;
    let public = story.data().join("public");
    let saved = story.backup.path().join("public");
    assert!(Command::new("cp").arg("-r").args([&public, &saved]).status().unwrap().success());
    let (mut delay, mut unbroken, mut broken) = (Duration::from_millis(2), 0, 0);
    while unbroken < 2 {
        story.restore();
        let mut child = command(story.data(), "new-origin", &[NEW])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(delay);
        let ended = exited(&mut child);
        let _ = child.kill();
        child.wait().unwrap();
        (unbroken, broken) = if ended { (unbroken + 1, broken) } else { (unbroken, broken + 1) };
        delay = delay.mul_f64(1.25);

        let store = story.store().await;
        let mut read = store.read().await.unwrap();
        let origin = read.setting("origin").await.unwrap().unwrap();
        let (behind, former) = (read.behind().await.unwrap(), read.former_origins().await.unwrap().len());
        drop(read);
        store.close().await;
        let is_whole = (origin == OLD && behind.is_some() && former == 0)
            || (origin == NEW && behind.is_none() && former == 1);
        assert!(is_whole, "{origin} {behind:?} {former}");
        ok(&run(story.data(), "new-origin", &[NEW]));
        assert!(!public.exists(), "the former public folder is out of the way");
        std::fs::remove_dir_all(story.data().join("public.former-1")).unwrap();
        assert!(Command::new("cp").arg("-r").args([&saved, &public]).status().unwrap().success());
    }
    assert!(broken > 5, "{broken} were cut off");
    // Between the two steps: the database has the new origin, and the former one's files are where the new ones belong.
    std::fs::create_dir(story.data().join("public.former-1")).unwrap();
    refused(&run(story.data(), "new-origin", &[NEW]), "in the way");
    let renamed =
        wiregrant_control::config::Config { origin: NEW.parse().unwrap(), ..config(&story.plane.folder) };
    let why = ControlPlane::open(renamed, story.plane.clock.clone()).await.err().unwrap();
    assert!(format!("{why:#}").contains("run it again"), "{why:#}");
    std::fs::remove_dir(story.data().join("public.former-1")).unwrap();
    ok(&run(story.data(), "new-origin", &[NEW]));
    let plane = story.plane.restart_as(NEW).await;
    assert_eq!(plane.file("/log/checkpoint").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_is_ended_only_where_something_is_lost_and_never_opened_again() {
    let story = Story::told().await;
    refused(&run(story.data(), "new-origin", &[NEW]), "it lost nothing");
    story.restore();
    // Another history of the same log is gone on from by nobody.
    let checkpoint = std::fs::read_to_string(story.data().join("public/log/checkpoint")).unwrap();
    let forked = story.copy("forked");
    let lines: Vec<&str> = checkpoint.lines().collect();
    let key = &story.plane.plane.keys.record;
    let fork = transparency_log::Checkpoint { origin: OLD.to_owned(), size: 3, root: Hash([1; 32]) };
    std::fs::write(&forked, fork.sign(key).unwrap()).unwrap();
    refused(&run(story.data(), "new-origin", &[NEW, "--seen", &forked]), "two histories");
    std::fs::write(&forked, checkpoint.replacen(lines[1], "1000", 1)).unwrap();
    refused(&run(story.data(), "new-origin", &[NEW, "--seen", &forked]), "not a checkpoint");
    ok(&run(story.data(), "new-origin", &[NEW]));
    let again = command(story.data(), "new-origin", &["grants.example/record-3"]).output().unwrap();
    refused(&again, "the configuration says");
    let back = Command::new(env!("CARGO_BIN_EXE_wiregrant-control"))
        .args(["new-origin", "--origin", NEW, "--network", "regtest", "--data-dir"])
        .arg(story.data())
        .arg("grants.example/record-3")
        .output()
        .unwrap();
    refused(&back, "it lost nothing");
}
