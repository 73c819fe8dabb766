//! People: access codes, devices, and where they are placed.

use std::time::Duration;

use axum::http::Method;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use wiregrant_control::retention;
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::api::{CodeDevices, Desired, DeviceCreated, ProblemKind};

use crate::support::{FakeNode, Plane, device_key, join_body};

const GB: u64 = 1_000_000_000;

async fn plane_with_node() -> (Plane, FakeNode, String) {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let node = plane.node("nordlicht", "de-fra", 1).await;
    let ngo = plane.distributor("ngo").await;
    (plane, node, ngo)
}

#[tokio::test]
async fn a_redeemed_code_becomes_a_peer_on_a_node_at_once() {
    let (plane, node, ngo) = plane_with_node().await;
    let code = plane.codes(&ngo, 1, 2, 10 * GB).await.remove(0);
    let before: Desired = node.desired(&plane, "").await.json();
    let waiting = format!("?known={}&wait=50", before.revision);
    let waits = node.desired(&plane, &waiting);
    let redeems = async {
        tokio::task::yield_now().await;
        let body = json!({ "public_key": device_key(50), "location": "de-fra" });
        plane.ask(Method::POST, "/devices", &code.to_lowercase(), body).await.json::<DeviceCreated>()
    };
    let (told, created) = tokio::join!(waits, redeems);
    let told: Desired = told.json();
    let peers = told.peers.unwrap();
    assert!(told.revision > before.revision);
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].public_key.to_string(), device_key(50));
    assert_eq!(peers[0].allotment.get(), 5 * GB);
    let ips: Vec<String> = peers[0].allowed_ips.iter().map(ToString::to_string).collect();
    assert_eq!(ips, ["10.64.0.2/32", "fd77:6772::2/128"]);
    assert_eq!(created.device.configuration.address_v4.to_string(), "10.64.0.2");
    assert_eq!(created.device.configuration.endpoint, "198.51.1.7:51820");
}

#[tokio::test]
async fn a_wait_that_meets_no_change_ends_without_peers() {
    let (plane, node, _) = plane_with_node().await;
    let revision = node.desired(&plane, "").await.json::<Desired>().revision;
    let waited: Desired = node.desired(&plane, &format!("?known={revision}&wait=0")).await.json();
    assert_eq!((waited.revision, waited.peers), (revision, None));
    assert_eq!(waited.time, plane.now());
}

#[tokio::test]
async fn stopping_ends_every_wait() {
    let (plane, node, _) = plane_with_node().await;
    let revision = node.desired(&plane, "").await.json::<Desired>().revision;
    let query = format!("?known={revision}&wait=50");
    let stops = async {
        tokio::task::yield_now().await;
        plane.plane.stop();
    };
    let both = async { tokio::join!(node.desired(&plane, &query), stops) };
    tokio::time::timeout(Duration::from_secs(20), both).await.unwrap().0.ok();
}

#[tokio::test]
async fn a_code_is_good_for_its_devices_and_no_more() {
    let (plane, _, ngo) = plane_with_node().await;
    let code = plane.codes(&ngo, 1, 2, GB).await.remove(0);
    let ask = async |key: u8| {
        plane.ask(Method::POST, "/devices", &code, json!({ "public_key": device_key(key) })).await
    };
    let first: DeviceCreated = ask(50).await.json();
    let again: DeviceCreated = ask(50).await.json();
    assert_eq!(first.device.configuration, again.device.configuration);
    let second: DeviceCreated = ask(51).await.json();
    assert_ne!(first.device.configuration.address_v4, second.device.configuration.address_v4);
    ask(52).await.problem(ProblemKind::AccessCodeUsedUp);

    let devices: CodeDevices = plane.ask(Method::GET, "/devices", &code, Value::Null).await.json();
    assert_eq!((devices.devices.len(), devices.devices_allowed), (2, 2));
    let path = format!("/devices/{}", BASE64URL_NOPAD.encode(&[50; 32]));
    for _ in 0..2 {
        plane.ask(Method::DELETE, &path, &code, Value::Null).await.ok();
    }
    let devices: CodeDevices = plane.ask(Method::GET, "/devices", &code, Value::Null).await.json();
    assert_eq!(devices.devices.len(), 1);
    // What the removed device used is not known, so its share is not given out again.
    ask(52).await.problem(ProblemKind::AccessCodeUsedUp);
    ask(50).await.problem(ProblemKind::Conflict);
}

#[tokio::test]
async fn a_code_that_is_unknown_expired_or_anothers_is_told_apart() {
    let (plane, _, ngo) = plane_with_node().await;
    let codes = plane.codes(&ngo, 2, 1, GB).await;
    let ask = async |code: &str, key: u8| {
        plane.ask(Method::POST, "/devices", code, json!({ "public_key": device_key(key) })).await
    };
    ask("00000-00000-00000-00000", 50).await.problem(ProblemKind::AccessCode);
    let typed = ask("hello", 50).await.problem(ProblemKind::AccessCode);
    assert!(typed.detail.contains("typing") && !typed.detail.contains("hello"));
    ask(&codes[0], 50).await.ok();
    ask(&codes[1], 50).await.problem(ProblemKind::Conflict); // another code's key
    let other = format!("/devices/{}", BASE64URL_NOPAD.encode(&[50; 32]));
    plane.ask(Method::DELETE, &other, &codes[1], Value::Null).await.problem(ProblemKind::NotFound);
    plane.clock.advance(30 * 24 * 3600);
    ask(&codes[1], 51).await.problem(ProblemKind::AccessCodeExpired);
}

#[tokio::test]
async fn nobody_can_tell_where_a_device_goes_and_an_operators_own_codes_stay_at_home() {
    let (plane, north, ngo) = plane_with_node().await;
    let suedwind = plane.operator("suedwind").await;
    plane.location("is-rkv").await;
    let south = plane.node("suedwind", "is-rkv", 2).await;
    for (key, code) in (100..).zip(&plane.codes(&ngo, 40, 1, GB).await) {
        let key = device_key(key);
        plane.ask(Method::POST, "/devices", code, json!({ "public_key": key })).await.ok();
    }
    let devices = async |node: &FakeNode| node.desired(&plane, "").await.json::<Desired>().peers.unwrap();
    let (there, here) = (devices(&north).await.len(), devices(&south).await.len());
    // Both are free alike: one in a million million times all are on one.
    assert!(there + here == 40 && there > 0 && here > 0, "{there} and {here}");
    let own = plane.codes(&suedwind, 1, 4, GB).await.remove(0);
    for key in 70..74 {
        let created: Value =
            plane.ask(Method::POST, "/devices", &own, json!({ "public_key": device_key(key) })).await.json();
        assert_eq!(created["location"], "is-rkv");
    }
    assert_eq!(devices(&south).await.iter().filter(|peer| peer.class.as_str() == "invited").count(), 4);
    let elsewhere = json!({ "public_key": device_key(80), "location": "de-fra" });
    let code = plane.codes(&suedwind, 1, 1, GB).await.remove(0);
    plane.ask(Method::POST, "/devices", &code, elsewhere).await.problem(ProblemKind::NoNode);
}

#[tokio::test]
async fn a_node_that_never_asked_gets_no_device_and_a_frozen_one_neither() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let ngo = plane.distributor("ngo").await;
    let code = plane.codes(&ngo, 1, 3, GB).await.remove(0);
    let node = FakeNode::join(&plane, "nordlicht", "de-fra", 1, "198.51.100.7:51820").await;
    let ask = async |key: u8| {
        plane.ask(Method::POST, "/devices", &code, json!({ "public_key": device_key(key) })).await
    };
    let problem = ask(50).await.problem(ProblemKind::NoNode);
    assert_eq!(problem.status, 503);
    node.desired(&plane, "").await.ok();
    plane.clock.advance(200); // not heard of for minutes: who knows
    ask(50).await.problem(ProblemKind::NoNode);
    node.desired(&plane, "").await.ok();
    ask(50).await.ok();
    plane.post(&format!("/nodes/{}/freeze", node.id), json!({ "reason": "odd" })).await.ok();
    ask(51).await.problem(ProblemKind::NoNode);
}

#[tokio::test]
async fn an_invitation_enrols_one_node_and_forgives_a_lost_answer() {
    let (plane, _, _) = plane_with_node().await;
    let body = json!({ "operator": "nordlicht", "location": "de-fra" });
    let created: Value = plane.post("/invitations", body.clone()).await.json();
    let invitation = created["invitation"].as_str().unwrap();
    let join = join_body(invitation, 7, "[2001:db8::7]:51820");
    let first: Value = plane.ask(Method::POST, "/nodes", "", join.clone()).await.json();
    let again: Value = plane.ask(Method::POST, "/nodes", "", join.clone()).await.json();
    assert_eq!(first, again);
    assert_eq!(first["addresses"], json!(["10.64.4.1/22", "fd77:6772:0:1::1/64"]));
    assert_eq!(first["listen_port"], 51820);
    plane
        .ask(Method::POST, "/nodes", "", join_body(invitation, 8, "a:1"))
        .await
        .problem(ProblemKind::Invitation);

    let created: Value = plane.post("/invitations", body.clone()).await.json();
    let fresh = created["invitation"].as_str().unwrap();
    let mut forged = join_body(fresh, 9, "a:1");
    forged["endpoint"] = json!("b:1");
    plane.ask(Method::POST, "/nodes", "", forged).await.problem(ProblemKind::RequestSignature);
    plane
        .ask(Method::POST, "/nodes", "", join_body(fresh, 7, "a:1"))
        .await
        .problem(ProblemKind::AlreadyExists);
    plane.clock.advance(24 * 3600);
    plane.ask(Method::POST, "/nodes", "", join_body(fresh, 9, "a:1")).await.problem(ProblemKind::Invitation);
}

#[tokio::test]
async fn an_operator_sees_their_own_nodes_and_codes_only() {
    let (plane, north, ngo) = plane_with_node().await;
    let suedwind = plane.operator("suedwind").await;
    let nodes: Value = plane.ask(Method::GET, "/nodes", &suedwind, Value::Null).await.json();
    assert_eq!(nodes["items"], json!([]));
    plane
        .ask(Method::GET, "/operators/nordlicht", &suedwind, Value::Null)
        .await
        .problem(ProblemKind::Forbidden);
    let invite = json!({ "operator": "nordlicht", "location": "de-fra" });
    plane.ask(Method::POST, "/invitations", &suedwind, invite).await.problem(ProblemKind::Forbidden);
    plane.codes(&ngo, 3, 1, GB).await;
    let codes: Value = plane.ask(Method::GET, "/access-codes", &suedwind, Value::Null).await.json();
    assert_eq!(codes["items"], json!([]));
    let codes: Value = plane.ask(Method::GET, "/access-codes", &ngo, Value::Null).await.json();
    assert_eq!(codes["items"].as_array().unwrap().len(), 3);
    assert_eq!(codes["items"][0]["class"], "assigned");
    let all: Value = plane.get("/nodes").await.json();
    assert_eq!(all["items"][0]["node"], north.id.as_str());
    let distributors: Value = plane.get("/distributors").await.json();
    assert_eq!(distributors["items"][0]["codes_issued"], 3);
}

#[tokio::test]
async fn codes_that_expired_and_devices_that_were_removed_are_forgotten_a_month_later() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let node = plane.node("nordlicht", "de-fra", 1).await;
    let ngo = plane.distributor("ngo").await;
    let code = plane.codes(&ngo, 1, 2, 2_000_000).await.remove(0);
    for n in [20, 21] {
        let body = json!({ "public_key": device_key(n) });
        plane.ask(Method::POST, "/devices", &code, body).await.ok();
    }
    let key = |n: u8| device_key(n).parse::<WireGuardPublicKey>().unwrap();
    let path = format!("/devices/{}", BASE64URL_NOPAD.encode(key(20).as_bytes()));
    plane.ask(Method::DELETE, &path, &code, Value::Null).await.ok();
    let known =
        async |n: u8| plane.plane.store.read().await.unwrap().device(&key(n)).await.unwrap().is_some();
    let placed = async || {
        let mut read = plane.plane.store.read().await.unwrap();
        read.assigned_devices(&node.id, plane.now()).await.unwrap()
    };
    // A device counts from the second after it was placed.
    plane.clock.advance(1);
    let before = placed().await;
    assert_eq!(before.devices, 2);
    let days = |days: i64| plane.clock.advance(days * 86_400);

    days(29);
    retention::forget(&plane.plane).await.unwrap();
    assert_eq!([known(20).await, known(21).await], [true, true], "not yet");
    days(2);
    retention::forget(&plane.plane).await.unwrap();
    assert_eq!([known(20).await, known(21).await], [false, true], "removed 31 days ago");
    // The code is good for 30 days, and was known for 30 more.
    days(28);
    retention::forget(&plane.plane).await.unwrap();
    let late = plane.ask(Method::GET, "/devices", &code, Value::Null).await;
    assert!(late.body.contains("expired") || late.status.is_success(), "{}", late.body);
    days(2);
    retention::forget(&plane.plane).await.unwrap();
    assert!(!known(21).await);
    plane.ask(Method::GET, "/devices", &code, Value::Null).await.problem(ProblemKind::AccessCode);
    assert_eq!(placed().await, before, "what was placed still bounds what the node is credited");
    retention::forget(&plane.plane).await.unwrap();
}
