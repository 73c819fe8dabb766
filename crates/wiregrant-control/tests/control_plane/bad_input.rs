//! Bad input: refused with the field, the value and the way out, and nothing is changed.

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use wiregrant_control::router::MAX_BODY_BYTES;
use wiregrant_core::api::{PREFIX, ProblemKind};

use crate::support::{ADDRESS, Plane};

/// Sends each body, which must be refused as `invalid-request` with all of these words.
async fn refused(plane: &Plane, path: &str, token: &str, cases: &[(Value, &[&str])]) {
    for (body, words) in cases {
        let problem =
            plane.ask(Method::POST, path, token, body.clone()).await.problem(ProblemKind::InvalidRequest);
        assert!(words.iter().all(|word| problem.detail.contains(word)), "{body}: {}", problem.detail);
    }
}

#[tokio::test]
async fn every_field_of_a_request_is_checked_by_name() {
    let plane = Plane::start().await;
    let admin = plane.admin.clone();
    let ngo = plane.distributor("ngo").await;
    refused(
        &plane,
        "/operators",
        &admin,
        &[
            (json!({ "operator": "Nord Licht" }), &["operator", "Nord Licht", "a-z"]),
            (json!({}), &["operator", "missing"]),
            (json!({ "operator": "a", "colour": 1 }), &["colour", "unknown field"]),
            (json!({ "operator": "a", "vkey": "b+00000000+AA==" }), &["vkey", "operator key make"]),
        ],
    )
    .await;
    refused(
        &plane,
        "/locations",
        &admin,
        &[
            (json!({ "location": "de-fra", "name": "" }), &["name", "1 to 100"]),
            (json!({ "location": "de-fra", "name": "a\nb" }), &["name", "one line"]),
        ],
    )
    .await;
    let codes = |change: fn(&mut Value)| {
        let mut body =
            json!({ "count": 1, "devices": 1, "quota_bytes": "5", "expires": "2027-01-01T00:00:00Z" });
        change(&mut body);
        body
    };
    refused(
        &plane,
        "/access-codes",
        &ngo,
        &[
            (codes(|b| b["count"] = json!(0)), &["count", "0", "1 to 1000"]),
            (codes(|b| b["count"] = json!(1_001)), &["count", "1001"]),
            (codes(|b| b["devices"] = json!(101)), &["devices", "101", "1 to 100"]),
            (codes(|b| b["quota_bytes"] = json!("0")), &["quota_bytes", "0"]),
            (codes(|b| b["quota_bytes"] = json!("-5")), &["quota_bytes", "-5"]),
            (codes(|b| b["expires"] = json!("2026-07-06T11:59:59Z")), &["expires", "2026-07-06", "to come"]),
            (codes(|b| b["expires"] = json!("tomorrow")), &["expires", "tomorrow", "2026-07-06T12:00:00Z"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn terms_that_make_no_sense_are_refused_one_by_one() {
    let plane = Plane::start().await;
    let grant = |field: &str, value: Value| {
        let mut terms = json!({
            "challenge_seconds": 0, "close_delay_seconds": 0, "epoch_seconds": 60, "epochs": 2, "floor": 0,
            "minimum_payout_sats": "1000", "rule": 1, "start": "2026-07-06T13:00:00Z", "unit_bytes": "1000000",
        });
        terms[field] = value;
        json!({ "grant": "spring", "title": "Spring", "terms": terms })
    };
    let admin = plane.admin.clone();
    refused(
        &plane,
        "/grants",
        &admin,
        &[
            (grant("epoch_seconds", json!(0)), &["epoch-seconds", "0"]),
            (grant("epochs", json!(10_001)), &["epochs", "10001"]),
            (grant("unit_bytes", json!("0")), &["unit-bytes", "0"]),
            (grant("minimum_payout_sats", json!("545")), &["minimum-payout-sats", "545", "dust"]),
            (grant("rule", json!(3)), &["rule", "3"]),
            (grant("site_share_percent", json!(40)), &["site-share-percent", "40", "rule 2"]),
            (grant("start", json!("2026-07-06T12:00:00Z")), &["start", "2026-07-06T12:00:00Z", "to come"]),
            (grant("colour", json!(1)), &["colour", "unknown"]),
        ],
    )
    .await;
    plane.post("/grants", grant("floor", json!(1))).await.ok();
    plane.post("/grants", grant("floor", json!(1))).await.ok();
    plane.post("/grants", grant("floor", json!(2))).await.problem(ProblemKind::AlreadyExists);
    refused(
        &plane,
        "/grants/spring/contributions",
        &admin,
        &[
            (json!({ "sats": "0" }), &["sats", "0", "at least 1"]),
            (json!({ "sats": "2100000000000001" }), &["sats"]),
            (json!({ "sats": 5 }), &["sats", "string"]),
        ],
    )
    .await;
    plane.post("/grants/spring/nodes", json!({ "node": "node-1" })).await.problem(ProblemKind::NotFound);
    plane.post("/grants/winter/nodes", json!({ "node": "node-1" })).await.problem(ProblemKind::NotFound);
}

#[tokio::test]
async fn a_destination_is_an_address_of_the_network_and_never_a_secret() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    let path = "/operators/nordlicht/destination";
    let kind = |pay: &str| json!({ "pay": pay });
    for (pay, word) in [
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "regtest"),
        ("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt081", "checksum"),
        ("", "address"),
    ] {
        let problem = plane.post(path, kind(pay)).await.problem(ProblemKind::Address);
        assert!(problem.detail.contains(word), "{}", problem.detail);
    }
    let wif = "L1aW4aubDFB7yfras2S1mN3bqg9nwySY8nkoLmJebSLD5BWv3ENZ";
    for body in [json!({ "pay": wif }), json!({ "note": wif }), json!({ "pay": format!(" {wif}\n") })] {
        let answered = plane.post(path, body).await;
        answered.problem(ProblemKind::LooksLikeASecret);
        assert!(!answered.body.contains(wif));
    }
    for body in [json!({}), json!({ "pay": ADDRESS, "note": "x" })] {
        plane.post(path, body).await.problem(ProblemKind::InvalidRequest);
    }
    plane.post("/operators/nobody/destination", kind(ADDRESS)).await.problem(ProblemKind::NotFound);
    let shown: Value = plane.get("/operators/nordlicht").await.json();
    assert_eq!(shown["destination"], Value::Null);
}

#[tokio::test]
async fn what_exists_is_not_made_twice() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.distributor("ngo").await;
    plane.location("de-fra").await;
    plane.location("de-fra").await;
    let exists = ProblemKind::AlreadyExists;
    plane.post("/operators", json!({ "operator": "nordlicht" })).await.problem(exists);
    plane.post("/distributors", json!({ "distributor": "ngo" })).await.problem(exists);
    plane.post("/locations", json!({ "location": "de-fra", "name": "Elsewhere" })).await.problem(exists);
    let invitation = json!({ "operator": "nobody", "location": "de-fra" });
    plane.post("/invitations", invitation).await.problem(ProblemKind::NotFound);
    let freeze = json!({ "reason": "odd" });
    plane.post("/nodes/node-1/freeze", freeze).await.problem(ProblemKind::NotFound);
    plane.get("/nodes/node-1/evidence").await.problem(ProblemKind::NotFound);
    plane.get("/batches/b-1").await.problem(ProblemKind::NotFound);
}

#[tokio::test]
async fn paths_queries_and_bodies_out_of_form_are_problems_too() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    plane.get("/operators/Nord%20Licht").await.problem(ProblemKind::InvalidRequest);
    plane.post("/grants/spring/epochs/first/close", Value::Null).await.problem(ProblemKind::InvalidRequest);
    let node = plane.node("nordlicht", "de-fra", 1).await;
    let problem = node.desired(&plane, "?wait=long").await.problem(ProblemKind::InvalidRequest);
    assert!(problem.detail.contains("wait"), "{}", problem.detail);
    let long = json!({ "operator": "x".repeat(MAX_BODY_BYTES) });
    plane.post("/operators", long).await.problem(ProblemKind::TooLarge);
    let longer = "x".repeat(MAX_BODY_BYTES + 1);
    node.send(&plane, &longer).await.problem(ProblemKind::TooLarge);
    let binary = Request::builder()
        .method(Method::POST)
        .uri(format!("{PREFIX}/operators"))
        .header(header::AUTHORIZATION, format!("Bearer {}", plane.admin))
        .body(Body::from(vec![0xff, 0xfe]))
        .unwrap();
    plane.send(binary).await.problem(ProblemKind::InvalidRequest);
}
