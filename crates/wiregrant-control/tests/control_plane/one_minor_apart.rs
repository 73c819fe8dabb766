//! Agents of the minor version before and after this one, at this version's control plane: what they say is kept here as they say it.

use axum::http::{Method, StatusCode};
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Value, json};
use transparency_log::{LogProof, SigningKey};
use wiregrant_core::api::{Join, List, Node};
use wiregrant_core::record::report_entry;
use wiregrant_core::usage_report::Class;

use crate::support::{FakeNode, Plane, device_key};

/// What an agent of the version before reads of an answer to `desired`: no changes, everything at once. Other fields would be passed
/// over; those it has must be there, and mean the same.
#[derive(Deserialize)]
struct DesiredBefore {
    revision: u64,
    peers: Option<Vec<PeerBefore>>,
    membership: Option<Value>,
    time: String,
    frozen: bool,
}

#[derive(Deserialize)]
struct PeerBefore {
    public_key: String,
    allowed_ips: Vec<String>,
    class: String,
}

/// What it reads of the answer to joining.
#[derive(Deserialize)]
struct JoinedBefore {
    node: String,
    operator: String,
    log: String,
    log_vkey: String,
    reports_vkey: String,
    addresses: Vec<String>,
    listen_port: u16,
}

/// Enrols a node whose agent says this version, and more or less than this version's does.
async fn joined(plane: &Plane, seed: u8, agent: &str, more: &Value) -> FakeNode {
    let body = json!({ "operator": "nordlicht", "location": "de-fra" });
    let created: Value = plane.post("/invitations", body).await.json();
    let mut body = crate::support::join_body(
        created["invitation"].as_str().unwrap(),
        seed,
        &format!("198.51.{seed}.7:51820"),
    );
    let mut join: Join = serde_json::from_value(body.clone()).unwrap();
    join.agent = agent.to_owned();
    let key = SigningKey::new("join", [seed; 32]).unwrap();
    let signature = key.sign_bytes(join.text(&"grants.example/record".parse().unwrap()).as_bytes());
    body["agent"] = json!(agent);
    body["signature"] = json!(BASE64.encode(&signature));
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answered = plane.ask(Method::POST, "/nodes", "", body).await;
    let before: JoinedBefore = answered.json();
    assert_eq!((before.operator.as_str(), before.log.as_str()), ("nordlicht", "grants.example/record"));
    assert_eq!(
        (before.log_vkey.as_str(), before.listen_port),
        (&*plane.plane.keys.record.verifier().to_string(), 51820)
    );
    assert!(before.reports_vkey.starts_with("grants.example/record/reports+") && before.addresses.len() == 2);
    FakeNode {
        id: before.node.parse().unwrap(),
        operator: before.operator.parse().unwrap(),
        key: SigningKey::new(&before.node, [seed; 32]).unwrap(),
        joined: answered.json(),
        sequence: 0,
        previous: None,
        end: plane.now(),
        usage: std::collections::BTreeMap::new(),
    }
}

async fn plane_with_code() -> (Plane, String) {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let ngo = plane.distributor("ngo").await;
    let code = plane.codes(&ngo, 1, 2, 1_000_000_000).await.remove(0);
    (plane, code)
}

async fn place(plane: &Plane, code: &str, key: u8) {
    plane.ask(Method::POST, "/devices", code, json!({ "public_key": device_key(key) })).await.ok();
}

/// The acknowledgement is a proof of the report under the log's key, whatever else it may carry.
fn check(plane: &Plane, note: &str, acknowledgement: &str) {
    let proof: LogProof = acknowledgement.parse().unwrap();
    let entry = report_entry(transparency_log::Hash::of(note.as_bytes()));
    proof.verify(entry.as_bytes(), &plane.plane.keys.reports.verifier()).unwrap();
}

async fn shown(plane: &Plane) -> Node {
    let mut nodes: List<Node> = plane.get("/nodes").await.json();
    nodes.items.remove(0)
}

#[tokio::test]
async fn an_agent_of_the_version_before_joins_serves_and_reports() {
    let (plane, code) = plane_with_code().await;
    let mut node = joined(&plane, 1, "0.0.9", &json!({})).await;
    // It asks for no changes, and is told all of its peers each time.
    let path = |known: u64| format!("/nodes/{}/desired?known={known}&wait=0", node.id);
    let ask = async |known: u64| -> DesiredBefore {
        plane.send(node.request(&Method::GET, &path(known), "", plane.now())).await.json()
    };
    let nothing = ask(0).await;
    assert!(nothing.peers.is_some_and(|peers| peers.is_empty()) && nothing.membership.is_none());
    place(&plane, &code, 40).await;
    place(&plane, &code, 41).await;
    let both = ask(nothing.revision).await;
    let peers = both.peers.unwrap();
    assert_eq!((peers.len(), peers[0].class.as_str(), peers[0].allowed_ips.len()), (2, "assigned", 2));
    assert!(peers.iter().any(|peer| peer.public_key == device_key(40)));
    assert_eq!((both.frozen, both.time), (false, plane.now().to_string()));
    assert!(ask(both.revision).await.peers.is_none(), "it has these already");

    // Its condition has what the first one had.
    let condition =
        json!({ "agent": "0.0.9", "backend": "kernel", "endpoint": "198.51.1.7:51820" }).to_string();
    let path = format!("/nodes/{}/condition", node.id);
    let told = plane.send(node.request(&Method::PUT, &path, &condition, plane.now())).await;
    assert_eq!(told.status, StatusCode::NO_CONTENT);
    let row = shown(&plane).await;
    assert_eq!((row.agent.as_str(), row.paused, row.socks5_endpoint), ("0.0.9", None, None));
    node.serve(Class::Assigned, 1_000, 2_000);
    let (note, acknowledgement) = node.report(&plane, plane.now(), |r| r.agent = "0.0.9".to_owned()).await;
    check(&plane, &note, &acknowledgement);
    assert_eq!(node.head(&plane).await["note"], note);
}

#[tokio::test]
async fn an_agent_of_the_version_after_is_understood_in_what_this_one_knows() {
    let (plane, code) = plane_with_code().await;
    let later = json!({ "a_later_versions_field": { "of": ["any", "kind"] } });
    let mut node = joined(&plane, 1, "0.2.0", &later).await;
    let path = format!("/nodes/{}/desired?known=0&wait=0&changes=true&a_later_versions_wish=yes", node.id);
    plane.send(node.request(&Method::GET, &path, "", plane.now())).await.ok();
    place(&plane, &code, 40).await;
    let mut condition = json!({
        "agent": "0.2.0", "backend": "wireguard-go", "endpoint": "198.51.1.7:443", "paused": "budget",
        "megabits_per_second": 100, "levels": [{ "public_key": device_key(40), "level": "over-half", "later": 1 }],
    });
    condition.as_object_mut().unwrap().extend(later.as_object().unwrap().clone());
    let path = format!("/nodes/{}/condition", node.id);
    plane.send(node.request(&Method::PUT, &path, &condition.to_string(), plane.now())).await.ok();
    let row = shown(&plane).await;
    assert_eq!((row.agent.as_str(), row.endpoint.as_str()), ("0.2.0", "198.51.1.7:443"));
    assert!(row.paused.is_some());

    let reports = node.sign_several(2, plane.now());
    let notes: Vec<_> = reports.iter().map(|report| report.note().to_owned()).collect();
    let body = json!({ "reports": notes, "a_later_versions_field": true }).to_string();
    let taken: Value = node.send_body(&plane, &body).await.json();
    for (note, acknowledgement) in notes.iter().zip(taken["acknowledgements"].as_array().unwrap()) {
        check(&plane, note, acknowledgement.as_str().unwrap());
    }
    // What is signed has one form, though: another one has another first line.
    let changed = notes[1].replacen("peers ", "a-later-line 1\npeers ", 1);
    assert_eq!(node.send(&plane, &changed).await.status.as_u16(), 422);
}
