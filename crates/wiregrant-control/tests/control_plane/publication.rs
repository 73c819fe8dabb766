//! What is public: a folder of static files that anyone can check, whatever happened to the process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use axum::http::Method;
use serde_json::{Value, json};
use transparency_log::{
    Checkpoint, MemoryTree, TileId, Verifier, bundle_path, decode_bundle, encode_tile, leaf_hash, tiles_for,
};
use wiregrant_control::config::Config;
use wiregrant_control::control_plane::ControlPlane;
use wiregrant_control::publisher;
use wiregrant_core::record::RecordEntry;
use wiregrant_core::usage_report::Class;

use crate::support::{ADDRESS, Plane, device_key, label};

/// Reads a log from the folder and checks every file against every other; returns its entries.
fn checked(public: &Path, log: &str) -> Vec<String> {
    let read = |path: &str| {
        std::fs::read(public.join(log).join(path)).unwrap_or_else(|e| panic!("{log}/{path}: {e}"))
    };
    let text = |path: &str| String::from_utf8(read(path)).unwrap();
    let verifier: Verifier = text("vkey").trim().parse().unwrap();
    let checkpoint = Checkpoint::parse_verified(&text("checkpoint"), &verifier).unwrap();
    let mut tree = MemoryTree::new();
    let mut entries = Vec::new();
    let tiles: Vec<TileId> = tiles_for(checkpoint.size).collect();
    for tile in tiles.iter().filter(|tile| tile.level == 0) {
        for entry in decode_bundle(&read(&bundle_path(tile.index, tile.width))).unwrap() {
            tree.push(leaf_hash(&entry));
            entries.push(String::from_utf8(entry).unwrap());
        }
    }
    assert_eq!(tree.root_at(checkpoint.size).unwrap(), checkpoint.root);
    for tile in tiles {
        use transparency_log::HashSource as _;
        assert_eq!(read(&tile.path()), encode_tile(&tree.tile(tile).unwrap()), "{}", tile.path());
    }
    entries
}

async fn plane_with_history() -> Plane {
    let mut plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.post("/operators/nordlicht/destination", json!({ "pay": ADDRESS })).await.ok();
    plane.location("de-fra").await;
    let ngo = plane.distributor("ngo").await;
    let mut node = plane.node("nordlicht", "de-fra", 1).await;
    let code = plane.codes(&ngo, 1, 1, 1_000_000_000).await.remove(0);
    plane.ask(Method::POST, "/devices", &code, json!({ "public_key": device_key(50) })).await.ok();
    plane.grant("spring", 1, 500_000, |_| {}).await;
    plane.admit("spring", &node).await;
    plane.clock.advance(61);
    node.serve(Class::Assigned, 1_000_000, 2_000_000);
    let end = plane.now().plus_seconds(59);
    node.report(&plane, end, |r| r.epoch = label("spring", 1)).await;
    plane.clock.advance(60);
    plane.close("spring", 1).await.ok();
    plane.stop().await;
    plane
}

#[tokio::test]
async fn both_logs_can_be_checked_from_the_folder_alone() {
    let plane = plane_with_history().await;
    let public = &plane.plane.config.public_dir;
    let record = checked(public, "log");
    let words: Vec<_> = record.iter().map(|entry| entry.split(' ').next().unwrap()).collect();
    assert_eq!(
        words,
        ["key", "key", "operator", "destination", "enrol", "terms", "contribute", "admit", "statement"]
    );
    for entry in &record {
        let entry: RecordEntry = entry.parse().unwrap();
        if let RecordEntry::Terms { note, .. } | RecordEntry::Statement { note, .. } = entry {
            let text = std::fs::read(public.join("log/note").join(note.to_hex())).unwrap();
            assert_eq!(transparency_log::Hash::of(&text), note);
        }
    }
    let reports = checked(public, "reports");
    assert!(reports.iter().all(|entry| wiregrant_core::record::parse_report_entry(entry).is_ok()));
    assert_eq!(reports.len(), 1);
}

#[tokio::test]
async fn nothing_public_names_a_report_a_destination_or_a_person() {
    let plane = plane_with_history().await;
    let mut files = vec![plane.plane.config.public_dir.clone()];
    let mut texts = Vec::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            texts.push((path.clone(), String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()));
        }
    }
    assert!(texts.len() > 15);
    for (path, text) in texts {
        for secret in [ADDRESS, "198.51", &device_key(50), "usage-report", "inputs/v1", "10.64."] {
            assert!(!text.contains(secret), "{} shows {secret}", path.display());
        }
    }
}

#[tokio::test]
async fn files_that_a_crash_left_out_or_behind_are_mended_at_the_next_start() {
    let plane = plane_with_history().await;
    let public = plane.plane.config.public_dir.clone();
    std::fs::remove_dir_all(public.join("log/tile")).unwrap();
    std::fs::remove_dir_all(public.join("log/note")).unwrap();
    std::fs::remove_file(public.join("reports/checkpoint")).unwrap();
    std::fs::remove_dir_all(public.join("r")).unwrap();
    let mut plane = plane.restart().await;
    plane.stop().await;
    assert_eq!(checked(&public, "log").len(), 9);
    assert_eq!(checked(&public, "reports").len(), 1);
    assert!(public.join("r/spring/index.html").exists());
}

/// A publication looks for the notes of new entries only; a start looks for all of them.
#[tokio::test]
async fn a_note_that_somebody_removed_comes_back_at_the_next_start_and_is_not_looked_for_before() {
    let plane = plane_with_history().await;
    let mut plane = plane.restart().await;
    let notes = plane.plane.config.public_dir.join("log/note");
    let names = || -> BTreeSet<_> {
        std::fs::read_dir(&notes).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = names();
    assert_eq!(before.len(), 2, "the terms and the statement");
    for name in &before {
        std::fs::remove_file(notes.join(name)).unwrap();
    }
    plane.grant("summer", 1, 500_000, |_| {}).await;
    publisher::publish(&plane.plane).await.unwrap();
    let new = names();
    assert_eq!(new.len(), 1, "the new terms alone");
    assert!(new.is_disjoint(&before));
    plane.stop().await;
    let mut plane = plane.restart().await;
    plane.stop().await;
    assert_eq!(names(), &before | &new);
}

#[tokio::test]
async fn a_log_that_passes_a_full_tile_stays_whole_and_drops_old_partials() {
    let mut plane = Plane::start().await;
    for n in 0..3 {
        for m in 0..180 {
            plane.operator(&format!("op-{n}-{m}")).await;
        }
        publisher::publish(&plane.plane).await.unwrap();
    }
    plane.stop().await;
    let public = &plane.plane.config.public_dir;
    assert_eq!(checked(public, "log").len(), 542);
    assert!(public.join("log/tile/0/001").exists());
    assert!(!public.join("log/tile/0/000.p").exists());
}

#[tokio::test]
async fn the_pages_show_the_statement_and_carry_the_headers_of_their_kind() {
    let plane = plane_with_history().await;
    let page = plane.file("/r/spring/").await.ok();
    for part in ["Spring &#60;of&#62; 2026", "Demonstration terms", "nordlicht", "0.00 GB", "payable"] {
        assert!(page.body.contains(part), "{part} is missing in\n{}", page.body);
    }
    assert!(page.headers["content-security-policy"].contains("default-src 'none'"));
    let landing = plane.file("/").await.ok();
    assert!(landing.body.contains("r/spring/") && landing.body.contains("1 of 1"), "{}", landing.body);
    let report: Value = plane.file("/r/spring/report.json").await.json();
    assert_eq!(report["epochs"][0]["operators"][0]["payable_sats"], "500000");
    assert!(
        plane
            .file("/r/spring/report.csv")
            .await
            .ok()
            .body
            .contains(",nordlicht,3,3000000,500000,0,500000,0,payable")
    );
    assert_eq!(plane.file("/log/checkpoint").await.headers["content-type"], "text/plain; charset=utf-8");
    assert!(plane.file(&format!("/{}", wiregrant_control::pages::assets::path("style.css"))).await.headers["content-type"].starts_with("text/css"));
    let statement = report["epochs"][0]["statement"].as_str().unwrap();
    let note = plane.file(&format!("/log/note/{statement}")).await.ok();
    assert!(
        note.headers["cache-control"].contains("immutable") && note.body.contains("wiregrant/statement/v1")
    );
    assert_eq!(plane.file("/../keys/log.key").await.status.as_u16(), 404);
    assert_eq!(plane.file("/%2e%2e/keys/log.key").await.status.as_u16(), 404);
}

#[tokio::test]
async fn a_database_older_than_what_is_public_is_not_opened() {
    let plane = plane_with_history().await;
    let folder = plane.folder.path().to_owned();
    plane.plane.store.close().await;
    let refused = async |config: Config| {
        let opened = ControlPlane::open(config, plane.clock.clone()).await;
        opened.err().map(|error| format!("{error:#}")).expect("it must be refused")
    };
    let older = format!("sqlite:{}", folder.join("older.db").display());
    let message = refused(Config { database: older.clone(), ..plane.plane.config.clone() }).await;
    assert!(message.contains("9 entries were published, the database has 0"), "{message}");
    let data_dir = folder.join("other");
    let message = refused(Config { database: older, data_dir, ..plane.plane.config.clone() }).await;
    assert!(message.contains("another log was published here"), "{message}");
}

/// Every file below a folder by its path.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut all, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(at) = folders.pop() {
        for path in std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    all
}

fn lay(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    let _ = std::fs::remove_dir_all(folder);
    for (path, bytes) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

#[tokio::test]
async fn a_crash_between_a_commit_and_any_of_its_files_leaves_no_wrong_tile() {
    let mut plane = Plane::start().await;
    for n in 0..250 {
        plane.operator(&format!("op-{n}")).await;
    }
    publisher::publish(&plane.plane).await.unwrap();
    let public = plane.plane.config.public_dir.clone();
    let before = files(&public);
    for n in 250..270 {
        plane.operator(&format!("op-{n}")).await;
    }
    plane.stop().await;
    let after = files(&public);
    let checkpoint = PathBuf::from("log/checkpoint");
    let written: Vec<_> = after.iter().filter(|(path, bytes)| before.get(*path) != Some(*bytes)).collect();
    assert!(written.len() > 4, "{written:?}");
    // The checkpoint comes last, so that a crash leaves any of the other files and the old checkpoint; one file may be
    // left half under the name it is written under, or, where another history was committed and lost, whole and wrong.
    for count in 0..=written.len() {
        let mut crashed = before.clone();
        for (path, bytes) in written.iter().filter(|(path, _)| **path != checkpoint).take(count) {
            crashed.insert((*path).clone(), (*bytes).clone());
        }
        let torn = after[Path::new("log/tile/entries/000")][..100].to_vec();
        crashed.insert("log/tile/entries/000.new".into(), torn);
        lay(&public, &crashed);
        assert_eq!(checked(&public, "log").len(), 252, "what the old checkpoint promises is whole");
        for path in ["log/tile/0/000", "log/tile/entries/000", "log/tile/0/001.p/16"] {
            let mut wrong = after[Path::new(path)].clone();
            let last = wrong.len() - 1;
            wrong[last] ^= 1;
            std::fs::create_dir_all(public.join(path).parent().unwrap()).unwrap();
            std::fs::write(public.join(path), wrong).unwrap();
        }
        plane = plane.restart().await;
        plane.stop().await;
        assert_eq!(checked(&public, "log").len(), 272);
        // Partial forms of sizes in between depend on when it was published; the manifest is signed anew.
        let lasts = |path: &&PathBuf| {
            let text = path.to_string_lossy();
            !path.ends_with("manifest") && (!text.contains(".p/") || text.ends_with("/001.p/16"))
        };
        for path in after.keys().filter(lasts) {
            assert_eq!(std::fs::read(public.join(path)).unwrap(), after[path], "{}", path.display());
        }
    }
}

#[tokio::test]
async fn what_a_web_server_says_of_a_file_fits_how_long_it_stays_the_same() {
    let plane = plane_with_history().await;
    let record: Vec<String> = checked(&plane.plane.config.public_dir, "log");
    let partial = format!("/log/tile/0/000.p/{}", record.len());
    for (path, says) in [
        ("/log/checkpoint", "public, max-age=5"),
        ("/reports/checkpoint", "public, max-age=5"),
        ("/log/vkey", "public, max-age=5"),
        ("/manifest", "public, max-age=5"),
        (partial.as_str(), "public, max-age=5"),
        ("/", "public, max-age=5"),
    ] {
        assert_eq!(plane.file(path).await.headers["cache-control"], says, "{path}");
    }
    let missing = plane.file("/log/tile/0/000").await;
    assert_eq!(missing.status.as_u16(), 404);
    assert_eq!(missing.headers["cache-control"], "public, max-age=5", "a tile that is not there yet will be");
}
