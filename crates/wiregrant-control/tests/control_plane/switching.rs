//! People who go to another node, nodes that go, and people who leave.

use axum::http::Method;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use wiregrant_core::allotment::Level;
use wiregrant_core::api::{CodeDevices, Desired, DeviceCreated, DeviceLevel, ProblemKind};
use wiregrant_core::usage_report::Class;

use crate::support::{Answered, FakeNode, Plane, device_key};

const GB: u64 = 1_000_000_000;
const WEEK: i64 = 7 * 24 * 3600;

fn path(key: u8, what: &str) -> String {
    format!("/devices/{}{what}", BASE64URL_NOPAD.encode(&[key; 32]))
}

async fn switch(plane: &Plane, code: &str, from: u8, to: u8) -> Answered {
    plane.ask(Method::POST, &path(from, "/switch"), code, json!({ "public_key": device_key(to) })).await
}

async fn keys(plane: &Plane, node: &FakeNode) -> Vec<String> {
    let peers = node.desired(plane, "").await.json::<Desired>().peers.unwrap();
    peers.iter().map(|peer| peer.public_key.to_string()).collect()
}

/// Two nodes, and a code of one device that is on the first of them given here.
async fn on_one_of_two() -> (Plane, [FakeNode; 2], String) {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    let ngo = plane.distributor("ngo").await;
    let mut nodes = Vec::new();
    for (seed, place) in [(1, "de-fra"), (2, "is-rkv")] {
        plane.location(place).await;
        nodes.push(plane.node("nordlicht", place, seed).await);
    }
    let code = plane.codes(&ngo, 1, 1, 10 * GB).await.remove(0);
    let wish = json!({ "public_key": device_key(50), "location": "de-fra" });
    plane.ask(Method::POST, "/devices", &code, wish).await.ok();
    let nodes: [FakeNode; 2] = nodes.try_into().unwrap_or_else(|_| panic!("two"));
    (plane, nodes, code)
}

#[tokio::test]
async fn a_person_goes_to_another_node_with_a_new_key_and_gets_no_more_than_is_surely_left() {
    let (plane, [north, south], code) = on_one_of_two().await;
    let level = |level| DeviceLevel { public_key: [50; 32].into(), level };
    north.tell(&plane, |condition| condition.levels = vec![level(Level::OverHalf)]).await.ok();
    let there: DeviceCreated = switch(&plane, &code, 50, 51).await.json();
    assert_eq!((there.device.location.as_str(), there.device.allotment.get()), ("is-rkv", 5 * GB));
    assert_eq!(keys(&plane, &north).await, [""; 0]);
    assert_eq!(keys(&plane, &south).await, [device_key(51)]);
    // An answer that was lost is given again, and costs nothing.
    let again: DeviceCreated = switch(&plane, &code, 50, 51).await.json();
    assert_eq!(again.device, there.device);
    switch(&plane, &code, 50, 52).await.problem(ProblemKind::NotFound);
    switch(&plane, &code, 51, 50).await.problem(ProblemKind::Conflict);
    // It took the other's place: it is no device more.
    let more = json!({ "public_key": device_key(60) });
    plane.ask(Method::POST, "/devices", &code, more).await.problem(ProblemKind::AccessCodeUsedUp);

    let south_level = DeviceLevel { public_key: [51; 32].into(), level: Level::UnderATenth };
    south.tell(&plane, |condition| condition.levels = vec![south_level]).await.ok();
    switch(&plane, &code, 51, 52).await.problem(ProblemKind::AccessCodeUsedUp);
}

#[tokio::test]
async fn a_node_is_switched_twice_in_an_epoch_and_whenever_it_is_gone() {
    let (plane, [_, south], code) = on_one_of_two().await;
    switch(&plane, &code, 50, 51).await.ok();
    switch(&plane, &code, 51, 52).await.ok();
    let refused = switch(&plane, &code, 52, 53).await.problem(ProblemKind::AccessCodeUsedUp);
    assert!(refused.detail.contains("2 time(s) since 2026-07-06T00:00:00Z"), "{}", refused.detail);
    // The week is over; nodes ask all the while.
    plane.clock.advance(WEEK);
    for node in plane.get("/nodes").await.json::<Value>()["items"].as_array().unwrap() {
        assert_eq!(node["state"], "active");
    }
    let devices = || async {
        plane.ask(Method::GET, "/devices", &code, Value::Null).await.json::<CodeDevices>().devices
    };
    assert!(devices().await[0].gone, "its node was not heard of for a week");
    south.desired(&plane, "").await.ok();
    switch(&plane, &code, 52, 53).await.ok();
    assert_eq!(keys(&plane, &south).await, [device_key(53)]);
    assert!(!devices().await[0].gone);
    plane.post(&format!("/nodes/{}/retire", south.id), Value::Null).await.ok();
    assert!(devices().await[0].gone);
    assert_eq!(keys(&plane, &south).await, [""; 0], "a retired node serves nobody");
    plane.post(&format!("/nodes/{}/unfreeze", south.id), Value::Null).await.problem(ProblemKind::Conflict);
    plane.post(&format!("/nodes/{}/retire", south.id), Value::Null).await.ok();
    switch(&plane, &code, 53, 54).await.problem(ProblemKind::NoNode);
    assert_eq!(devices().await.len(), 1, "a switch that found no node has changed nothing");
}

#[tokio::test]
async fn an_operator_retires_their_own_nodes_and_nobody_elses() {
    let (plane, [north, _], _) = on_one_of_two().await;
    let suedwind = plane.operator("suedwind").await;
    let retire = format!("/nodes/{}/retire", north.id);
    plane.ask(Method::POST, &retire, &suedwind, Value::Null).await.problem(ProblemKind::Forbidden);
    plane.post("/nodes/node-none/retire", Value::Null).await.problem(ProblemKind::NotFound);
    let retired: Value = plane.post(&retire, Value::Null).await.json();
    assert_eq!(retired["state"], "retired");
}

#[tokio::test]
async fn who_deletes_their_code_leaves_nothing_that_says_whose_it_was() {
    let (plane, [north, _], code) = on_one_of_two().await;
    plane.ask(Method::DELETE, "/code", &code, Value::Null).await.ok();
    assert_eq!(keys(&plane, &north).await, [""; 0]);
    plane.ask(Method::GET, "/devices", &code, Value::Null).await.problem(ProblemKind::AccessCode);
    let mut read = plane.plane.store.read().await.unwrap();
    assert!(read.device(&[50; 32].into()).await.unwrap().is_none());
    // What was placed still bounds what the node is credited.
    let placed = read.assigned_devices(&north.id, plane.now().plus_seconds(1)).await.unwrap();
    assert_eq!((placed.devices, placed.allotment.get()), (1, 10 * GB));
}

#[tokio::test]
async fn a_node_that_its_last_report_shows_full_is_drawn_seldom() {
    let (plane, [mut north, south], _) = on_one_of_two().await;
    // A hundred megabits a second each way, for a minute: all that a node is taken to have.
    north.serve(Class::Assigned, 60 * 12_500_000, 60 * 12_500_000);
    let end = plane.now().plus_seconds(60);
    plane.clock.advance(60);
    north.report(&plane, end, |_| {}).await;
    let ngo = plane.distributor("another").await;
    for (code, key) in plane.codes(&ngo, 40, 1, GB).await.iter().zip(100..) {
        let wish = json!({ "public_key": device_key(key) });
        plane.ask(Method::POST, "/devices", code, wish).await.ok();
    }
    let (full, free) = (keys(&plane, &north).await.len() - 1, keys(&plane, &south).await.len());
    assert_eq!(full + free, 40);
    assert!(full < 20, "one in a hundred is to be expected: {full} of 40");
}
