//! Replicas on one PostgreSQL: the statement key is replaced for all of them, and none signs with the old one afterwards.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use wiregrant_control::clock::Clock;
use wiregrant_control::config::Config;
use wiregrant_control::control_plane::ControlPlane;
use wiregrant_core::api::ProblemKind;
use wiregrant_core::note::Signed;
use wiregrant_payout::Destination;
use wiregrant_store::Log;

use crate::operations::{run, said};
use crate::postgres::Postgres;
use crate::support::{ADDRESS, BEGIN, OTHER_ADDRESS, Plane, config, time};

/// What whoever runs replicas does: every file of the keys folder, and the administrator's token beside it.
pub fn copy_keys(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("keys")).unwrap();
    for entry in std::fs::read_dir(from.join("keys")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join("keys").join(entry.file_name())).unwrap();
    }
    std::fs::copy(from.join("admin.token"), to.join("admin.token")).unwrap();
}

pub async fn stopped(mut plane: Plane) -> TempDir {
    plane.stop().await;
    plane.plane.store.close().await;
    plane.folder
}

async fn statement_keys(plane: &Plane) -> Vec<String> {
    let mut read = plane.plane.store.read().await.unwrap();
    let entries = read.entries(Log::Record, 0, 1_000).await.unwrap();
    entries.iter().filter_map(|entry| entry.strip_prefix("key statement ").map(str::to_owned)).collect()
}

/// Has an operator's destination signed by the control plane, and gives the note.
async fn signed(plane: &Plane, operator: &str, pay: &str) -> Signed<Destination> {
    let path = format!("/operators/{operator}/destination");
    let shown: Value = plane.post(&path, json!({ "pay": pay })).await.json();
    Signed::parse(shown["note"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_statement_key_is_replaced_for_two_replicas_and_the_one_left_behind_signs_nothing() {
    let database = Postgres::start();
    let (url, clock) = (database.url(), Clock::by_hand(time(BEGIN)));
    let one = Plane::start_on(&url, tempfile::tempdir().unwrap(), clock.clone()).await;
    let other_folder = tempfile::tempdir().unwrap();
    copy_keys(one.folder.path(), other_folder.path());
    let other = Plane::start_on(&url, other_folder, clock.clone()).await;
    one.operator("nordlicht").await;
    other.operator("suedwind").await;
    let former = one.plane.keys.statement.verifier();
    for plane in [&one, &other] {
        signed(plane, "nordlicht", ADDRESS).await.verified_by(&former).unwrap();
    }

    // One is stopped and started under the next key; the other was forgotten.
    let made = run(one.folder.path(), "next-statement-key", &[]);
    assert!(made.status.success(), "{}", said(&made));
    let one = Plane::start_on(&url, stopped(one).await, clock.clone()).await;
    let next = one.plane.keys.statement.verifier();
    assert_ne!(next, former);
    assert_eq!(statement_keys(&one).await, [former.to_string(), next.to_string()]);
    signed(&one, "nordlicht", OTHER_ADDRESS).await.verified_by(&next).unwrap();
    let before = one.plane.store.read().await.unwrap().log_size(Log::Record).await.unwrap();
    for (path, body) in [
        ("/operators/suedwind/destination", json!({ "pay": ADDRESS })),
        ("/operators", json!({ "operator": "polaris" })),
    ] {
        other.post(path, body).await.problem(ProblemKind::Internal);
    }
    let after = one.plane.store.read().await.unwrap().log_size(Log::Record).await.unwrap();
    assert_eq!(after, before, "whoever has the former key writes nothing");

    // It does not start with it either, and is told what it lacks; with the keys of the first it goes on as before.
    let folder = stopped(other).await;
    let old = Config { database: url.clone(), ..config(&folder) };
    let refused = format!("{:#}", ControlPlane::open(old, clock.clone()).await.err().expect("another key"));
    assert!(refused.contains("statement"), "{refused}");
    copy_keys(one.folder.path(), folder.path());
    let other = Plane::start_on(&url, folder, clock).await;
    signed(&other, "suedwind", ADDRESS).await.verified_by(&next).unwrap();
    signed(&one, "suedwind", OTHER_ADDRESS).await.verified_by(&next).unwrap();
    assert_eq!(statement_keys(&other).await, statement_keys(&one).await);
    assert_eq!(statement_keys(&other).await.len(), 2, "nothing was logged twice");
    stopped(one).await;
    stopped(other).await;
}
