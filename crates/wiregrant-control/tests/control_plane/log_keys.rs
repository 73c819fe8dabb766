//! Another log key: named by the record under the signature of the one before, in use from then on, and finished whenever it was cut off.

use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use serde_json::{Value, json};
use transparency_log::{Checkpoint, Hash, LogProof, Verifier};
use wiregrant_control::clock::Clock;
use wiregrant_control::config::Config;
use wiregrant_control::control_plane::ControlPlane;
use wiregrant_core::api::ProblemKind;
use wiregrant_core::invitation::Invitation;
use wiregrant_core::record::report_entry;
use wiregrant_store::Log;

use crate::catching_up::{Story, ok, refused};
use crate::operations::{run, said};
use crate::postgres::Postgres;
use crate::replicas::{copy_keys, stopped};
use crate::support::{BEGIN, Plane, config, time};

/// The log key that comes into use at the next start.
fn next_log_key(data: &Path) -> Verifier {
    let told = ok(&run(data, "next-log-key", &[]));
    told.lines().find_map(|line| line.strip_prefix("next ")).unwrap().trim().parse().unwrap()
}

fn public(plane: &Plane, path: &str) -> String {
    std::fs::read_to_string(plane.folder.path().join("public").join(path)).unwrap()
}

fn last_checkpoint(key: &Verifier) -> String {
    format!("log/checkpoint.{:08x}", key.key_id())
}

fn as_reports(plane: &Plane, key: &Verifier) -> Verifier {
    Verifier::from_public_key(plane.plane.keys.reports.name(), key.public_key()).unwrap()
}

async fn log_keys(plane: &Plane) -> Vec<(u64, String)> {
    plane.plane.store.read().await.unwrap().entries_beginning("key log ").await.unwrap()
}

/// The record leads from each of these keys to the next, and what is published now is signed by the last of them.
async fn leads_over(plane: &Plane, keys: &[&Verifier]) {
    let named = log_keys(plane).await;
    let expected: Vec<String> = keys.iter().map(|key| format!("key log {key}")).collect();
    assert_eq!(named.iter().map(|(_, entry)| entry.clone()).collect::<Vec<_>>(), expected);
    for (key, (index, _)) in keys.iter().zip(&named[1..]) {
        let last = Checkpoint::parse_verified(&public(plane, &last_checkpoint(key)), key).unwrap();
        assert_eq!(last.size, index + 1, "it ends with the entry that names the next key");
    }
    let newest = keys.last().unwrap();
    for (folder, key) in [("log", (*newest).clone()), ("reports", as_reports(plane, newest))] {
        assert_eq!(public(plane, &format!("{folder}/vkey")).trim(), key.to_string());
        Checkpoint::parse_verified(&public(plane, &format!("{folder}/checkpoint")), &key).unwrap();
    }
    assert_eq!(plane.plane.keys.record.verifier(), **newest);
}

fn proves(acknowledgement: &str, note: &str, key: &Verifier) -> bool {
    let proof: LogProof = acknowledgement.parse().unwrap();
    proof.verify(report_entry(Hash::of(note.as_bytes())).as_bytes(), key).is_ok()
}

#[tokio::test]
async fn the_record_leads_from_one_log_key_to_the_next_and_what_was_acknowledged_stays_proven() {
    let plane = Plane::start().await;
    let data = plane.folder.path().to_owned();
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let mut node = plane.node("nordlicht", "de-fra", 1).await;
    plane.grant("spring", 1, 90_000, |_| {}).await;
    plane.admit("spring", &node).await;
    let (note, acknowledged) = node.report(&plane, plane.now(), |_| {}).await;
    let first = plane.plane.keys.record.verifier();
    let made = run(&data, "next-log-key", &[]);
    assert!(
        said(&made).contains(&first.to_string()) && said(&made).contains("log.key.next"),
        "{}",
        said(&made)
    );
    assert_eq!(said(&run(&data, "next-log-key", &[])), said(&made), "the same, until it is in use");
    let second = next_log_key(&data);
    plane.operator("suedwind").await;
    assert_eq!(log_keys(&plane).await.len(), 1, "nothing happens before the next start");

    let plane = plane.restart().await;
    leads_over(&plane, &[&first, &second]).await;
    // Whoever reads the files one after the other finds them signed by the key that they have read.
    for (folder, key) in [("log", first.clone()), ("reports", as_reports(&plane, &first))] {
        Checkpoint::parse_verified(&public(&plane, &format!("{folder}/checkpoint")), &key).unwrap();
    }
    let (of_first, of_second) = (as_reports(&plane, &first), as_reports(&plane, &second));
    let again = node.send(&plane, &note).await.ok().body;
    assert!(proves(&acknowledged, &note, &of_first) && !proves(&acknowledged, &note, &of_second));
    assert!(proves(&again, &note, &of_first) && proves(&again, &note, &of_second), "{again}");
    let (note, acknowledged) = node.report(&plane, plane.now(), |_| {}).await;
    assert!(proves(&acknowledged, &note, &of_second) && !proves(&acknowledged, &note, &of_first));
    let invited: Value =
        plane.post("/invitations", json!({ "operator": "nordlicht", "location": "de-fra" })).await.json();
    let invitation: Invitation = invited["invitation"].as_str().unwrap().parse().unwrap();
    assert_eq!(invitation.vkey, second.to_string());
    plane.clock.advance(200);
    plane.close("spring", 1).await.ok();

    // And once more, together with the statement key.
    let statement = plane.plane.keys.statement.verifier();
    ok(&run(&data, "next-statement-key", &[]));
    let third = next_log_key(&data);
    let plane = plane.restart().await;
    assert_ne!(plane.plane.keys.statement.verifier(), statement);
    plane.operator("westwind").await;
    let plane = plane.restart().await;
    leads_over(&plane, &[&first, &second, &third]).await;
    let last = public(&plane, &last_checkpoint(&first));
    assert_eq!(last.matches("grants.example/record ").count(), 1, "the former key's line alone: {last}");
    assert!(Checkpoint::parse_verified(&public(&plane, "log/checkpoint"), &second).is_err());
    let served = plane.file(&format!("/{}", last_checkpoint(&second))).await;
    assert_eq!(served.status, StatusCode::OK);
    assert!(served.headers["content-type"].starts_with("text/plain"), "{:?}", served.headers);
}

/// The files that change with the key, as they were at a moment.
fn kept(data: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let names = ["log/vkey", "log/checkpoint", "reports/vkey", "reports/checkpoint"];
    let paths = names.map(|name| data.join("public").join(name));
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).ok())).collect()
}

#[tokio::test]
async fn wherever_a_change_of_the_log_key_is_cut_off_the_next_start_finishes_it() {
    let mut plane = Plane::start().await;
    let data = plane.folder.path().to_owned();
    let keys = data.join("keys");
    plane.operator("nordlicht").await;
    plane.stop().await;
    let first = plane.plane.keys.record.verifier();
    let before = kept(&data);
    let second = next_log_key(&data);
    let put_back = || {
        for (path, bytes) in &before {
            std::fs::write(path, bytes.as_ref().unwrap()).unwrap();
        }
        std::fs::remove_file(data.join("public").join(last_checkpoint(&first))).unwrap();
    };
    let plane = plane.restart().await;
    leads_over(&plane, &[&first, &second]).await;

    // Logged, and neither the key in its place nor anything published.
    std::fs::rename(keys.join("log.key"), keys.join("log.key.next")).unwrap();
    std::fs::rename(keys.join("log.key.former"), keys.join("log.key")).unwrap();
    put_back();
    let plane = plane.restart().await;
    leads_over(&plane, &[&first, &second]).await;

    // Logged, and the former key kept already, but the new one not in its place.
    std::fs::rename(keys.join("log.key"), keys.join("log.key.next")).unwrap();
    std::fs::copy(keys.join("log.key.former"), keys.join("log.key")).unwrap();
    let plane = plane.restart().await;
    leads_over(&plane, &[&first, &second]).await;

    // The keys in their places, and nothing of it published, while the record has grown.
    plane.operator("suedwind").await;
    let mut plane = plane;
    plane.stop().await;
    put_back();
    let plane = plane.restart().await;
    leads_over(&plane, &[&first, &second]).await;

    // Published but for the new key's name.
    let mut plane = plane;
    plane.stop().await;
    std::fs::write(data.join("public/log/vkey"), before[0].1.as_ref().unwrap()).unwrap();
    let plane = plane.restart().await;
    leads_over(&plane, &[&first, &second]).await;

    // Nobody follows back to a key of before, and a database is not given another one by hand.
    std::fs::copy(keys.join("log.key.former"), keys.join("log.key.next")).unwrap();
    let mut plane = plane;
    plane.stop().await;
    plane.plane.store.close().await;
    let again = config(&plane.folder);
    let why = ControlPlane::open(again.clone(), plane.clock.clone()).await.err().unwrap();
    assert!(format!("{why:#}").contains("was a log key before"), "{why:#}");
    std::fs::rename(keys.join("log.key.next"), keys.join("log.key")).unwrap();
    let why = ControlPlane::open(again, plane.clock.clone()).await.err().unwrap();
    assert!(format!("{why:#}").contains("restore keys/log.key"), "{why:#}");
}

#[tokio::test]
async fn a_replica_that_was_left_behind_with_the_former_log_key_signs_nothing() {
    let database = Postgres::start();
    let (url, clock) = (database.url(), Clock::by_hand(time(BEGIN)));
    let one = Plane::start_on(&url, tempfile::tempdir().unwrap(), clock.clone()).await;
    one.operator("nordlicht").await;
    one.location("de-fra").await;
    let mut node = one.node("nordlicht", "de-fra", 1).await;
    let other_folder = tempfile::tempdir().unwrap();
    copy_keys(one.folder.path(), other_folder.path());
    let other = Plane::start_on(&url, other_folder, clock.clone()).await;
    node.report(&other, other.now(), |_| {}).await;
    let first = one.plane.keys.record.verifier();

    let second = next_log_key(one.folder.path());
    let one = Plane::start_on(&url, stopped(one).await, clock.clone()).await;
    leads_over(&one, &[&first, &second]).await;
    one.operator("westwind").await;
    let sizes = async || {
        let mut read = one.plane.store.read().await.unwrap();
        (read.log_size(Log::Record).await.unwrap(), read.log_size(Log::Reports).await.unwrap())
    };
    let before = sizes().await;
    other.post("/operators", json!({ "operator": "polaris" })).await.problem(ProblemKind::Internal);
    let report = node.next_report(one.now(), |_| {});
    node.send(&other, report.note()).await.problem(ProblemKind::Internal);
    assert_eq!(sizes().await, before, "whoever has the former key writes nothing");
    let folder = stopped(other).await;
    let shown = std::fs::read_to_string(folder.path().join("public/log/checkpoint")).unwrap();
    assert!(Checkpoint::parse_verified(&shown, &first).is_ok_and(|shown| shown.size < before.0), "{shown}");

    // It does not start with it either, and is told what it lacks; with the keys of the first it goes on as before.
    let old = Config { database: url.clone(), ..config(&folder) };
    let why = ControlPlane::open(old, clock.clone()).await.err().expect("another key");
    assert!(format!("{why:#}").contains("log_vkey"), "{why:#}");
    copy_keys(one.folder.path(), folder.path());
    let other = Plane::start_on(&url, folder, clock).await;
    leads_over(&other, &[&first, &second]).await;
    let acknowledged = node.send(&other, report.note()).await.ok().body;
    assert!(proves(&acknowledged, report.note(), &as_reports(&other, &second)));
    leads_over(&one, &[&first, &second]).await;
    stopped(one).await;
    stopped(other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_from_before_the_change_takes_over_what_leads_to_the_present_key() {
    let story = Story::told().await;
    let first = story.plane.plane.keys.record.verifier();
    let second = next_log_key(story.data());
    let mut story = story.restart().await;
    story.report(0, 2).await;
    let third = next_log_key(story.data());
    let mut story = story.restart().await;
    story.report(1, 2).await;
    // One of what was acknowledged before is asked for again, and has a line more from then on.
    let (note, acknowledged) = story.kept[0][2].clone();
    let again = story.nodes[0].send(&story.plane, &note).await.ok().body;
    assert_ne!(again, acknowledged);
    story.kept[0][2] = (note, again);
    leads_over(&story.plane, &[&first, &second, &third]).await;
    story.stop().await;

    // A copy that lacks what leads over is refused, and so are keys that do not sign now.
    let keys = story.data().join("keys");
    story.restore();
    let lost = story.data().join("public").join(last_checkpoint(&second));
    let whole = std::fs::read(&lost).unwrap();
    std::fs::remove_file(&lost).unwrap();
    refused(&run(story.data(), "catch-up", &[]), &last_checkpoint(&second));
    std::fs::write(&lost, whole).unwrap();
    let key = std::fs::read(keys.join("log.key")).unwrap();
    std::fs::rename(keys.join("log.key.former"), keys.join("log.key")).unwrap();
    refused(&run(story.data(), "catch-up", &[]), &format!("{third} as the key that signs now"));
    // The keys folder of the moment before the last start: what was made next is the present one.
    std::fs::write(keys.join("log.key.next"), key).unwrap();
    let told = ok(&run(story.data(), "catch-up", &[]));
    assert!(told.contains("what 2 nodes hold"), "{told}");

    let asks = story.asking().await;
    for node in 0..2 {
        let shown = asks.show(&story, node, &story.kept[node][1..]).await;
        assert_eq!(shown.0, StatusCode::NO_CONTENT, "{}", shown.1);
    }
    asks.ended().await;
    let Story { plane, mut nodes, kept, sizes, backup } = story;
    let plane = plane.restart().await;
    leads_over(&plane, &[&first, &second, &third]).await;
    let mut read = plane.plane.store.read().await.unwrap();
    for (log, size) in Log::ALL.into_iter().zip(sizes) {
        assert_eq!(read.log_size(log).await.unwrap(), size, "{log}");
    }
    drop(read);
    for (node, kept) in nodes.iter().zip(&kept) {
        for (note, _) in kept {
            let again = node.send(&plane, note).await.ok().body;
            assert!(proves(&again, note, &as_reports(&plane, &third)), "{again}");
        }
    }
    nodes[0].report(&plane, plane.now(), |_| {}).await;
    drop(backup);
}
