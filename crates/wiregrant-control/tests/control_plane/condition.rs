//! What a node says about itself: seen by its operator, followed by its people's files, and heeded when devices are placed.

use axum::http::Method;
use serde_json::{Value, json};
use wiregrant_core::allotment::{Level, Period};
use wiregrant_core::api::{CodeDevices, Desired, DeviceCreated, DeviceLevel, List, Node, Pause, ProblemKind};
use wiregrant_core::usage_report::{Backend, Class};

use crate::support::{FakeNode, Plane, device_key};

const GB: u64 = 1_000_000_000;

async fn plane_with_node() -> (Plane, FakeNode, String) {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let node = plane.node("nordlicht", "de-fra", 1).await;
    let ngo = plane.distributor("ngo").await;
    (plane, node, ngo)
}

async fn redeem(plane: &Plane, code: &str, key: u8) -> DeviceCreated {
    plane.ask(Method::POST, "/devices", code, json!({ "public_key": device_key(key) })).await.json()
}

async fn devices(plane: &Plane, code: &str) -> CodeDevices {
    plane.ask(Method::GET, "/devices", code, Value::Null).await.json()
}

fn level(key: u8, level: Level) -> DeviceLevel {
    DeviceLevel { public_key: [key; 32].into(), level }
}

#[tokio::test]
async fn a_node_that_moves_takes_its_peoples_files_with_it() {
    let (plane, node, ngo) = plane_with_node().await;
    let code = plane.codes(&ngo, 1, 1, GB).await.remove(0);
    redeem(&plane, &code, 50).await;
    let revision = node.desired(&plane, "").await.json::<Desired>().revision;
    node.tell(&plane, |said| {
        said.endpoint = "[2001:db8::7]:443".to_owned();
        said.socks5_endpoint = Some("198.51.100.7:1080".to_owned());
        said.agent = "0.2.0".to_owned();
        said.backend = Backend::WireGuardGo;
    })
    .await
    .ok();
    let shown = devices(&plane, &code).await.devices.remove(0);
    assert_eq!(shown.configuration.endpoint, "[2001:db8::7]:443");
    let nodes: List<Node> = plane.get("/nodes").await.json();
    let row = &nodes.items[0];
    assert_eq!((row.endpoint.as_str(), row.agent.as_str()), ("[2001:db8::7]:443", "0.2.0"));
    assert_eq!((row.backend, row.paused), (Some(Backend::WireGuardGo), None));
    assert_eq!(row.socks5_endpoint.as_deref(), Some("198.51.100.7:1080"));
    assert_eq!(node.desired(&plane, "").await.json::<Desired>().revision, revision, "its peers are the same");
}

#[tokio::test]
async fn levels_are_overwritten_and_those_of_other_nodes_devices_passed_over() {
    let (plane, node, ngo) = plane_with_node().await;
    let code = plane.codes(&ngo, 1, 2, GB).await.remove(0);
    assert_eq!(redeem(&plane, &code, 50).await.device.level, None);
    redeem(&plane, &code, 51).await;
    node.tell(&plane, |said| said.levels = vec![level(50, Level::UnderHalf), level(51, Level::UnderATenth)])
        .await
        .ok();
    node.tell(&plane, |said| said.levels = vec![level(50, Level::Exhausted), level(99, Level::OverHalf)])
        .await
        .ok();
    plane.location("is-rkv").await;
    let other = plane.node("nordlicht", "is-rkv", 2).await;
    other.tell(&plane, |said| said.levels = vec![level(51, Level::OverHalf)]).await.ok();
    let levels: Vec<_> = devices(&plane, &code).await.devices.iter().map(|device| device.level).collect();
    assert_eq!(levels, [Some(Level::Exhausted), Some(Level::UnderATenth)]);
}

#[tokio::test]
async fn a_paused_node_keeps_its_people_and_gets_no_new_ones() {
    let (plane, mut node, ngo) = plane_with_node().await;
    let code = plane.codes(&ngo, 1, 4, GB).await.remove(0);
    redeem(&plane, &code, 50).await;
    node.tell(&plane, |said| said.paused = Some(Pause::Budget)).await.ok();
    let refused = plane
        .ask(Method::POST, "/devices", &code, json!({ "public_key": device_key(51), "location": "de-fra" }))
        .await
        .problem(ProblemKind::NoNode);
    assert!(refused.detail.contains("paused by their operators for now: 1"), "{}", refused.detail);
    assert_eq!(refused.figures["paused"], 1);
    assert_eq!(refused.retry_after_seconds(), Some(60));
    let nodes: List<Node> = plane.get("/nodes").await.json();
    assert_eq!(nodes.items[0].paused, Some(Pause::Budget));

    // Nothing else comes of it: its peers stay wanted, its people see why, its reports are taken.
    assert_eq!(node.desired(&plane, "").await.json::<Desired>().peers.unwrap().len(), 1);
    assert_eq!(devices(&plane, &code).await.devices[0].paused, Some(Pause::Budget));
    node.serve(Class::Assigned, 5, 5);
    node.report(&plane, plane.now(), |_| {}).await;

    plane.location("is-rkv").await;
    let other = plane.node("nordlicht", "is-rkv", 2).await;
    redeem(&plane, &code, 51).await;
    assert_eq!(other.desired(&plane, "").await.json::<Desired>().peers.unwrap().len(), 1);
    node.tell(&plane, |_| {}).await.ok();
    redeem(&plane, &code, 52).await;
}

#[tokio::test]
async fn a_condition_of_all_the_devices_a_node_can_have_is_taken_and_a_longer_one_is_not() {
    let (plane, node, _) = plane_with_node().await;
    let of = |count: u16| -> Vec<_> {
        let key = |n: u16| {
            let mut key = [7; 32];
            key[..2].copy_from_slice(&n.to_be_bytes());
            key.into()
        };
        (0..count).map(|n| DeviceLevel { public_key: key(n), level: Level::UnderATenth }).collect()
    };
    node.tell(&plane, |said| said.levels = of(1_021)).await.ok();
    node.tell(&plane, |said| said.levels = of(5_000)).await.problem(ProblemKind::TooLarge);
}

#[tokio::test]
async fn a_condition_that_says_nothing_usable_is_refused_by_field() {
    let (plane, node, _) = plane_with_node().await;
    let refused = async |change: fn(&mut wiregrant_core::api::Condition)| {
        node.tell(&plane, change).await.problem(ProblemKind::InvalidRequest).detail
    };
    assert!(refused(|said| said.endpoint = "nowhere".to_owned()).await.starts_with("endpoint"));
    assert!(
        refused(|said| said.socks5_endpoint = Some("a:0".to_owned())).await.starts_with("socks5_endpoint")
    );
    assert!(refused(|said| said.agent = "0.1 beta".to_owned()).await.starts_with("agent"));
    let path = format!("/nodes/{}/condition", node.id);
    let body =
        json!({ "agent": "0.1.0", "backend": "kernel", "endpoint": "a:1", "paused": "tired" }).to_string();
    let refused = plane.send(node.request(&Method::PUT, &path, &body, plane.now())).await;
    assert!(refused.problem(ProblemKind::InvalidRequest).detail.contains("paused"));
    let other = plane.node("nordlicht", "de-fra", 2).await;
    let good = body.replace("tired", "hours");
    let refused = plane.send(other.request(&Method::PUT, &path, &good, plane.now())).await;
    refused.problem(ProblemKind::Forbidden);
    let nodes: List<Node> = plane.get("/nodes").await.json();
    assert_eq!(nodes.items.iter().filter(|row| row.paused.is_some()).count(), 0);
}

#[tokio::test]
async fn a_monthly_code_says_so_to_its_device_its_node_and_its_issuer() {
    let (plane, node, ngo) = plane_with_node().await;
    let expires = plane.now().plus_seconds(90 * 24 * 3_600);
    let body = json!({ "count": 1, "devices": 2, "quota_bytes": "4000000000", "period": "month", "expires": expires });
    let created: Value = plane.ask(Method::POST, "/access-codes", &ngo, body).await.json();
    let code = created["codes"][0].as_str().unwrap();
    let device = redeem(&plane, code, 50).await.device;
    assert_eq!((device.allotment.get(), device.period, device.expires), (2 * GB, Period::Month, expires));
    let wanted = node.desired(&plane, "").await.json::<Desired>().peers.unwrap().remove(0);
    assert_eq!((wanted.allotment.get(), wanted.period), (2 * GB, Period::Month));
    let codes: Value = plane.ask(Method::GET, "/access-codes", &ngo, Value::Null).await.json();
    assert_eq!(codes["items"][0]["period"], "month");
}
