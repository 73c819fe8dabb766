//! What is public, and what cannot be learnt from it: two lives of a node that differ where nobody may see leave the same
//! public folder behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use axum::http::Method;
use serde_json::json;
use wiregrant_control::publisher;
use wiregrant_core::usage_report::{Class, PeersBucket};

use crate::support::{FakeNode, Plane, device_key, label};

/// As long as a hash in base64 without its padding, and no word is.
const LONG: usize = 42;

/// Every public file with its modification time.
fn files(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let (mut all, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(at) = folders.pop() {
        for path in std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let changed = std::fs::metadata(&path).unwrap().modified().unwrap();
                let bytes = std::fs::read(&path).unwrap();
                all.insert(path.strip_prefix(folder).unwrap().to_owned(), (bytes, changed));
            }
        }
    }
    all
}

/// What a file says, without what is random in it or follows from that: hashes, keys, signatures, and nodes' names.
fn said(bytes: &[u8], nodes: &[FakeNode]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for (number, node) in nodes.iter().enumerate() {
        text = text.replace(node.id.as_str(), &format!("node {number}"));
    }
    let mut said = String::new();
    let is_code = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    for run in text.split_inclusive(|c: char| !is_code(c)) {
        let code = run.trim_end_matches(|c: char| !is_code(c));
        said.push_str(if code.len() >= LONG { "#" } else { code });
        said.push_str(&run[code.len()..]);
    }
    // Lines stand in the order of the nodes' names, which are drawn too.
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// All that a public folder says: tables, pages, notes and entries; of tiles, which are hashes alone, that they are there.
fn all_said(public: &Path, nodes: &[FakeNode]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let checkpoint = std::fs::read_to_string(public.join("log/checkpoint")).unwrap();
    let newest = format!(".p/{}", checkpoint.lines().nth(1).unwrap());
    for (path, (bytes, _)) in files(public) {
        let path = path.to_string_lossy().into_owned();
        // Of the record's beginnings some are published and some are not, by how fast it grew under an administrator's hands.
        if path.starts_with("log/") && path.contains(".p/") && !path.ends_with(&newest) {
            continue;
        }
        let is_tile = path.contains("tile/") && !path.contains("/entries/");
        let text = if is_tile { format!("{} bytes", bytes.len()) } else { said(&bytes, nodes) };
        all.push((said(path.as_bytes(), nodes), text));
    }
    all.sort();
    all
}

/// How the second node lives: nothing of it may be seen.
struct Life {
    /// What it serves in each epoch.
    bytes: u64,
    /// When in the epoch it reports, in seconds.
    reports_at: u64,
    /// What the first node serves beyond its whole units.
    beyond_a_unit: u64,
}

/// Three epochs of two nodes, of which the second has fewer people behind it than the floor.
async fn lived(life: &Life) -> (Plane, Vec<FakeNode>) {
    let mut plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.operator("polaris").await;
    plane.location("de-fra").await;
    let ngo = plane.distributor("ngo").await;
    // One site: its number is drawn anew for each statement.
    let mut nodes = vec![
        FakeNode::join(&plane, "nordlicht", "de-fra", 1, "198.51.1.7:51820").await,
        FakeNode::join(&plane, "polaris", "de-fra", 2, "198.51.1.8:51820").await,
    ];
    for node in &nodes {
        node.desired(&plane, "").await.ok();
    }
    // Nodes are drawn at random: with so many, each is sure to get enough for its floor.
    for (number, code) in plane.codes(&ngo, 60, 1, 1_000_000_000).await.into_iter().enumerate() {
        let key = device_key(50 + u8::try_from(number).unwrap());
        plane.ask(Method::POST, "/devices", &code, json!({ "public_key": key })).await.ok();
    }
    plane.grant("spring", 3, 600_000, |terms| terms["floor"] = 5.into()).await;
    for node in &nodes {
        plane.admit("spring", node).await;
    }
    plane.clock.advance(60);
    for epoch in 1..=3 {
        for at in [life.reports_at, 59] {
            let end = plane.now().plus_seconds(at);
            nodes[1].serve(Class::Assigned, life.bytes, life.bytes / 2);
            nodes[1]
                .report(&plane, end, |r| {
                    (r.epoch, r.peers) = (label("spring", epoch), PeersBucket::OneToFour);
                })
                .await;
        }
        nodes[0].serve(Class::Assigned, 1_000_000, 2_000_000 + life.beyond_a_unit);
        let end = plane.now().plus_seconds(59);
        nodes[0]
            .report(&plane, end, |r| (r.epoch, r.peers) = (label("spring", epoch), PeersBucket::FiveToNine))
            .await;
        plane.clock.advance(60);
        plane.close("spring", epoch).await.ok();
        publisher::publish(&plane.plane).await.unwrap();
    }
    plane.stop().await;
    (plane, nodes)
}

#[tokio::test]
async fn nothing_public_tells_what_a_withheld_node_served_or_when_and_nothing_is_finer_than_a_unit() {
    let lives = [
        Life { bytes: 1_000, reports_at: 1, beyond_a_unit: 0 },
        Life { bytes: 77_123_456, reports_at: 58, beyond_a_unit: 123_456 },
    ];
    let mut seen = Vec::new();
    for life in &lives {
        let (plane, nodes) = lived(life).await;
        let all = all_said(&plane.plane.config.public_dir, &nodes);
        let statement =
            all.iter().map(|(_, text)| text).filter(|text| text.contains("wiregrant/statement/v1"));
        let shown: Vec<_> = statement.collect();
        assert_eq!(shown.len(), 3);
        for text in shown {
            assert!(text.contains("node node 0 nordlicht de-fra 1 3\n"), "{text}");
            let second = text.lines().find(|line| line.starts_with("node node 1")).unwrap();
            assert!(second.ends_with(" -"), "{second}");
        }
        seen.push(all);
    }
    let differs: Vec<_> = seen[0].iter().zip(&seen[1]).filter(|(one, other)| one != other).collect();
    assert!(differs.is_empty() && seen[0].len() == seen[1].len(), "{differs:#?}");
}

#[tokio::test]
async fn between_two_statements_no_public_file_changes_whatever_nodes_report() {
    let (plane, mut nodes) = lived(&Life { bytes: 9_000, reports_at: 30, beyond_a_unit: 0 }).await;
    let mut plane = plane.restart().await;
    publisher::publish(&plane.plane).await.unwrap();
    let public = plane.plane.config.public_dir.clone();
    let before = files(&public);
    for _ in 0..5 {
        plane.clock.advance(30);
        let now = plane.now();
        for node in &mut nodes {
            node.serve(Class::Assigned, 5_000_000, 5_000_000);
            node.report(&plane, now, |_| {}).await;
            node.tell(&plane, |_| {}).await.ok();
        }
        publisher::publish(&plane.plane).await.unwrap();
        let after = files(&public);
        let changed: Vec<_> = after.iter().filter(|(path, file)| before.get(*path) != Some(*file)).collect();
        assert!(
            changed.is_empty() && before.len() == after.len(),
            "{:?}",
            changed.first().map(|(path, _)| path)
        );
    }
    plane.stop().await;
    assert_eq!(files(&public), before, "not even when it stops");
}
