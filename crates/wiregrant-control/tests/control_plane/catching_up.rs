//! A control plane that was restored from a backup: it signs nothing before it has what it had signed, and nodes get their places
//! again.

use std::path::Path;
use std::process::{Command, Output};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use transparency_log::LogProof;
use wiregrant_control::catch_up::{Asking, router, still_waiting};
use wiregrant_control::config::Config;
use wiregrant_control::control_plane::ControlPlane;
use wiregrant_control::keys::Keys;
use wiregrant_core::api::{NewReceipts, PREFIX, ProblemKind, Receipt};
use wiregrant_store::{Log, Store};

use crate::support::{FakeNode, Plane, label};

fn run(data: &Path, command: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wiregrant-control"))
        .args([command, "--origin", "grants.example/record", "--network", "regtest", "--data-dir"])
        .arg(data)
        .args(more)
        .output()
        .unwrap()
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

/// A copy of the public folder, as a mirror has it.
fn copied(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// What a node keeps: each note with its acknowledgement.
pub type Kept = Vec<(String, String)>;

/// A control plane with two nodes in a grant, a backup of it, and what came after that: reports, a statement that names some of
/// them, decisions, more reports.
pub struct Story {
    pub plane: Plane,
    pub nodes: Vec<FakeNode>,
    pub kept: Vec<Kept>,
    pub backup: tempfile::TempDir,
    /// How many entries the logs had in the end.
    pub sizes: [u64; 2],
}

impl Story {
    pub async fn told() -> Self {
        let plane = Plane::start().await;
        plane.operator("nordlicht").await;
        plane.location("de-fra").await;
        let nodes =
            vec![plane.node("nordlicht", "de-fra", 1).await, plane.node("nordlicht", "de-fra", 2).await];
        plane.grant("spring", 3, 90_000, |_| {}).await;
        for node in &nodes {
            plane.admit("spring", node).await;
        }
        let backup = tempfile::tempdir().unwrap();
        let mut story = Self { plane, nodes, kept: vec![Vec::new(), Vec::new()], backup, sizes: [0; 2] };
        story.plane.clock.advance(90);
        story.report(0, 1).await;
        story.report(1, 1).await;
        ok(&run(story.data(), "backup", &["--to", &story.copy("backup.db")]));
        // Nobody has a copy of what comes now but public files and nodes.
        story.report(0, 1).await;
        story.plane.clock.advance(60);
        story.plane.close("spring", 1).await.ok();
        story.plane.post("/operators", json!({ "operator": "polaris" })).await.ok();
        story
            .plane
            .post(&format!("/nodes/{}/freeze", story.nodes[1].id), json!({ "reason": "a-test" }))
            .await
            .ok();
        story.plane.post(&format!("/nodes/{}/unfreeze", story.nodes[1].id), Value::Null).await.ok();
        story.plane.post("/grants/spring/contributions", json!({ "sats": "500" })).await.ok();
        story.report(1, 2).await;
        story.report(0, 2).await;
        story.stop().await;
        story
    }

    pub async fn stop(&mut self) {
        self.plane.stop().await;
        let mut read = self.plane.plane.store.read().await.unwrap();
        for log in Log::ALL {
            self.sizes[usize::from(log == Log::Reports)] = read.log_size(log).await.unwrap();
        }
        drop(read);
        self.plane.plane.store.close().await;
    }

    /// The control plane goes on, until it is stopped again.
    pub async fn restart(self) -> Self {
        let Self { plane, nodes, kept, backup, sizes } = self;
        Self { plane: plane.restart().await, nodes, kept, backup, sizes }
    }

    pub fn data(&self) -> &Path {
        self.plane.folder.path()
    }

    fn copy(&self, name: &str) -> String {
        self.backup.path().join(name).to_str().unwrap().to_owned()
    }

    pub async fn report(&mut self, node: usize, epoch: u64) {
        self.nodes[node].serve(wiregrant_core::usage_report::Class::Invited, 2_000_000, 1_000_000);
        let now = self.plane.now();
        let kept =
            self.nodes[node].report(&self.plane, now, |report| report.epoch = label("spring", epoch)).await;
        self.kept[node].push(kept);
    }

    /// The backup in the place of the database.
    pub fn restore(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let file = self.data().join(format!("wiregrant.db{suffix}"));
            if file.exists() {
                std::fs::remove_file(file).unwrap();
            }
        }
        let told = ok(&run(self.data(), "restore", &["--from", &self.copy("backup.db")]));
        assert!(told.contains("catch-up"), "{told}");
    }

    pub async fn asking(&self) -> Asks {
        let config = self.plane.plane.config.clone();
        let store = Store::open(&config.database).await.unwrap();
        let keys = Keys::open(&config.data_dir.join("keys"), &config.origin).unwrap();
        let asking = Asking::new(config, keys, store.clone(), self.plane.clock.clone());
        Asks { router: router(&asking), asking, store }
    }
}

/// A control plane that asks nodes for what they hold.
pub struct Asks {
    asking: Asking,
    router: Router,
    store: Store,
}

impl Asks {
    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub async fn show(
        &self,
        story: &Story,
        node: usize,
        receipts: &[(String, String)],
    ) -> (StatusCode, Value) {
        let receipts =
            receipts.iter().map(|(note, proof)| Receipt { note: note.clone(), proof: proof.clone() });
        let shown = NewReceipts { receipts: receipts.collect(), last: true };
        let node = &story.nodes[node];
        let path = format!("/nodes/{}/receipts", node.id);
        let body = serde_json::to_string(&shown).unwrap();
        self.send(node.request(&Method::POST, &path, &body, story.plane.now())).await
    }
}

impl Asks {
    /// Nothing is waited for any more.
    pub async fn ended(self) {
        assert_eq!(still_waiting(&self.asking).await.unwrap(), None);
        self.store.close().await;
    }
}

async fn opened(config: Config, story: &Story) -> Result<(), String> {
    match ControlPlane::open(config, story.plane.clock.clone()).await {
        Ok((plane, tasks)) => {
            plane.stop();
            tasks.ended().await;
            plane.store.close().await;
            Ok(())
        }
        Err(error) => Err(format!("{error:#}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_control_plane_goes_on_where_it_was_and_every_report_gets_its_place_again() {
    let story = Story::told().await;
    story.restore();
    let config = story.plane.plane.config.clone();
    let why = opened(config.clone(), &story).await.unwrap_err();
    assert!(why.contains("catch-up"), "{why}");
    refused(&run(story.data(), "serve", &["--listen", "127.0.0.1:0"]), "catch-up");

    // The public folder survived.
    let told = ok(&run(story.data(), "catch-up", &[]));
    assert!(told.contains("what 2 nodes hold"), "{told}");
    let why = opened(config.clone(), &story).await.unwrap_err();
    assert!(why.contains("catch-up"), "what nodes hold is not known yet: {why}");

    let asks = story.asking().await;
    let head = format!("/nodes/{}/head", story.nodes[0].id);
    let (status, told) = asks.send(story.nodes[0].request(&Method::GET, &head, "", story.plane.now())).await;
    assert_eq!((status, told["from_index"].as_u64()), (StatusCode::SERVICE_UNAVAILABLE, Some(2)), "{told}");
    assert!(told["type"].as_str().unwrap().ends_with("catching-up"), "{told}");
    let checkpoint = Request::builder().uri("/log/checkpoint").body(Body::empty()).unwrap();
    assert_eq!(asks.send(checkpoint).await.0, StatusCode::OK, "public files are served meanwhile");
    let ready = Request::builder().uri("/readyz").body(Body::empty()).unwrap();
    assert_eq!(asks.send(ready).await.0, StatusCode::SERVICE_UNAVAILABLE);
    for made in ["/operators", "/nodes", "/grants/spring/epochs/2/close"] {
        let request = Request::post(format!("{PREFIX}{made}")).body(Body::from("{}")).unwrap();
        assert_eq!(asks.send(request).await.0, StatusCode::SERVICE_UNAVAILABLE, "{made}");
    }

    // Whoever signs with another key, or shows what proves nothing, is no node that was heard.
    let stranger = story.nodes[1].request(
        &Method::POST,
        &format!("/nodes/{}/receipts", story.nodes[0].id),
        "{\"receipts\":[],\"last\":true}",
        story.plane.now(),
    );
    assert_eq!(asks.send(stranger).await.0, StatusCode::UNAUTHORIZED);
    let (note, proof) = &story.kept[0][2];
    let other = (note.clone(), story.kept[0][1].1.clone());
    assert_eq!(asks.show(&story, 0, &[other]).await.0, StatusCode::BAD_REQUEST);
    assert!(proof.contains("index 4"), "{proof}");
    assert_eq!(asks.show(&story, 0, &story.kept[0][1..]).await.0, StatusCode::NO_CONTENT);
    let waiting = still_waiting(&asks.asking).await.unwrap().unwrap();
    assert_eq!(waiting.nodes, [story.nodes[1].id.to_string()]);
    assert_eq!(asks.show(&story, 1, &story.kept[1][1..]).await.0, StatusCode::NO_CONTENT);
    assert_eq!(still_waiting(&asks.asking).await.unwrap(), None);
    asks.store.close().await;

    let Story { plane, mut nodes, kept, sizes, backup } = story;
    let plane = plane.restart().await;
    let mut read = plane.plane.store.read().await.unwrap();
    for (log, size) in Log::ALL.into_iter().zip(sizes) {
        assert_eq!(read.log_size(log).await.unwrap(), size, "{log}");
    }
    assert!(read.operator(&"polaris".parse().unwrap()).await.unwrap().is_some());
    assert!(read.statement(&"spring".parse().unwrap(), 1).await.unwrap().is_some());
    assert_eq!(read.contributed(&"spring".parse().unwrap(), None).await.unwrap().get(), 90_500);
    drop(read);

    // The next epoch waits for the reports that the imported statement counts.
    plane.clock.advance(60);
    let waits = plane.close("spring", 2).await;
    assert!(waits.problem(ProblemKind::EpochNotOver).detail.contains("sent them again"), "{}", waits.body);
    // Another text in the place of one that was acknowledged is none.
    let mut forger = FakeNode { sequence: 1, previous: None, ..plane.node("nordlicht", "de-fra", 3).await };
    forger.id = nodes[0].id.clone();
    forger.key = nodes[0].key.clone();
    forger.previous = Some(transparency_log::Hash::of(kept[0][0].0.as_bytes()));
    let forged = forger.next_report(plane.now(), |_| {});
    let forged_answer = forger.send(&plane, forged.note()).await;
    assert!(
        forged_answer
            .problem(ProblemKind::ReportForked)
            .detail
            .contains("before the control plane was restored")
    );

    for (node, kept) in nodes.iter().zip(&kept) {
        for (note, acknowledged) in kept {
            let again = node.send(&plane, note).await.ok().body;
            let (before, now): (LogProof, LogProof) = (acknowledged.parse().unwrap(), again.parse().unwrap());
            assert_eq!(before.index, now.index);
            now.verify(
                wiregrant_core::record::report_entry(transparency_log::Hash::of(note.as_bytes())).as_bytes(),
                &plane.plane.keys.reports.verifier(),
            )
            .unwrap();
        }
    }
    let (note, acknowledged) = &kept[1][1];
    assert_eq!(&nodes[1].send(&plane, note).await.ok().body, acknowledged, "the very same proof");
    let (_, next) = nodes[0].report(&plane, plane.now(), |report| report.epoch = label("spring", 3)).await;
    assert_eq!(next.parse::<LogProof>().unwrap().index, sizes[1], "right behind what was acknowledged");
    plane.close("spring", 2).await.ok();
    let statements: Value = plane.get("/grants/spring/statements").await.json();
    assert_eq!(statements["items"].as_array().unwrap().len(), 2);
    let told = said(&run(plane.folder.path(), "catch-up", &[]));
    assert!(told.contains("nothing to catch up with"), "{told}");
    drop(backup);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_refused_with_both_checkpoints_and_an_old_copy_beside_a_new_one_is_held_against_it() {
    let story = Story::told().await;
    let (public, mirror) = (story.data().join("public"), story.backup.path().join("mirror"));
    copied(&public, &mirror);
    story.restore();
    // Somebody who has the keys went on from the backup by hand.
    let forked = story.backup.path().join("forked");
    copied(story.data(), &forked);
    std::fs::remove_dir_all(forked.join("public")).unwrap();
    let store = Store::open(&format!("sqlite:{}", forked.join("wiregrant.db").display())).await.unwrap();
    let mut write = store.write().await.unwrap();
    write.put_setting("behind", "").await.unwrap();
    write.commit().await.unwrap();
    store.close().await;
    let config = Config {
        data_dir: forked.clone(),
        public_dir: forked.join("public"),
        database: format!("sqlite:{}", forked.join("wiregrant.db").display()),
        ..story.plane.plane.config.clone()
    };
    let (plane, tasks) = ControlPlane::open(config, story.plane.clock.clone()).await.unwrap();
    let mut recording = wiregrant_control::recording::Recording::begin(&plane).await.unwrap();
    for n in 0..20 {
        recording.log(format!("operator other-{n} -").parse().unwrap());
    }
    recording.commit().await.unwrap();
    plane.stop();
    tasks.ended().await;
    plane.store.close().await;

    let fork = forked.join("public");
    let fork = fork.to_str().unwrap();
    let mirror = mirror.to_str().unwrap();
    let checkpoint = |folder: &str| std::fs::read_to_string(format!("{folder}/log/checkpoint")).unwrap();
    let both = run(story.data(), "catch-up", &["--from", mirror, "--from", fork]);
    refused(&both, "another history");
    assert!(said(&both).contains(checkpoint(mirror).lines().nth(2).unwrap()), "{}", said(&both));

    // Imported from the fork first, the true copy is refused.
    let taken = run(&forked, "catch-up", &["--from", mirror]);
    refused(&taken, "another history");
    for line in [checkpoint(mirror), checkpoint(fork)] {
        assert!(said(&taken).contains(line.lines().nth(2).unwrap()), "{}", said(&taken));
    }
    // A copy whose entries are not those of its checkpoint is none.
    let damaged = story.backup.path().join("damaged");
    copied(Path::new(mirror), &damaged);
    let bundles = damaged.join("log/tile/entries");
    for entry in std::fs::read_dir(bundles.join("000.p")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] = bytes[last].wrapping_add(1);
        std::fs::write(path, bytes).unwrap();
    }
    refused(&run(story.data(), "catch-up", &["--from", damaged.to_str().unwrap()]), "damaged");
    ok(&run(story.data(), "catch-up", &["--from", mirror]));
    let without: Vec<&str> = story.nodes.iter().flat_map(|node| ["--without", node.id.as_str()]).collect();
    let told = ok(&run(story.data(), "catch-up", &[&["--from", mirror][..], &without].concat()));
    assert!(told.contains("caught up"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_cannot_be_made_again_is_named_and_nothing_is_imported() {
    let mut story = Story::told().await;
    story.plane = story.plane.restart().await;
    story.plane.post("/operators/polaris/destination", json!({ "pay": crate::support::ADDRESS })).await.ok();
    story.plane.stop().await;
    story.plane.plane.store.close().await;
    story.restore();
    let told = run(story.data(), "catch-up", &[]);
    refused(&told, "`destination polaris 1");
    refused(&run(story.data(), "serve", &["--listen", "127.0.0.1:0"]), "catch-up");
}
