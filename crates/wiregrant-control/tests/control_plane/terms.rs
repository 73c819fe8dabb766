//! Grants over time: drafts, versions of terms, bounds, operators who apply, nodes that leave.

use axum::http::Method;
use serde_json::{Value, json};
use wiregrant_core::Sats;
use wiregrant_core::api::{ApplicationState, ProblemKind};
use wiregrant_core::usage_report::{Class, PeersBucket};

use crate::decisions::ledger_holds;
use crate::money::{MB, begin, closed, epoch, inputs, plane_with_grant, plane_with_terms, sats};
use crate::support::{Plane, label};

async fn terms(plane: &Plane) -> Value {
    plane.get("/grants/spring").await.json::<Value>()["terms"].clone()
}

#[tokio::test]
async fn a_draft_is_nobodys_business_until_it_is_opened() {
    let plane = Plane::start().await;
    let new = |title: &str, floor: u64| {
        let terms = json!({
            "challenge_seconds": 0, "close_delay_seconds": 0, "epoch_seconds": 60, "epochs": 2, "floor": floor,
            "minimum_payout_sats": "1000", "rule": 2, "start": plane.now().plus_seconds(60), "unit_bytes": "1000000",
        });
        json!({ "grant": "autumn", "title": title, "terms": terms, "state": "draft" })
    };
    plane.post("/grants", new("A", 3)).await.ok();
    let changed: Value = plane.post("/grants", new("Autumn", 4)).await.json();
    assert_eq!((changed["state"].as_str(), changed["terms"]["floor"].as_u64()), (Some("draft"), Some(4)));
    plane.get("/grants/autumn").await.problem(ProblemKind::NotFound);
    plane.post("/grants/autumn/contributions", json!({ "sats": "5" })).await.problem(ProblemKind::NotFound);
    let listed: Value = plane.get("/grants").await.json();
    assert_eq!(listed["items"], json!([]));
    let drafts: Value = plane.get("/drafts").await.json();
    assert_eq!(drafts["items"][0]["title"], "Autumn");
    let mut open = new("Autumn", 4);
    open["state"] = json!("open");
    plane.post("/grants", open).await.problem(ProblemKind::AlreadyExists);

    let opened: Value = plane.post("/drafts/autumn/open", Value::Null).await.json();
    assert_eq!((opened["state"].as_str(), opened["title"].as_str()), (Some("open"), Some("Autumn")));
    plane.post("/drafts/autumn/open", Value::Null).await.problem(ProblemKind::NotFound);
    plane.post("/grants", new("Autumn", 4)).await.problem(ProblemKind::AlreadyExists);
    plane
        .ask(Method::DELETE, "/drafts/autumn", &plane.admin, Value::Null)
        .await
        .problem(ProblemKind::NotFound);
}

#[tokio::test]
async fn new_terms_act_from_the_next_epoch_and_what_a_ceiling_leaves_goes_back_to_the_pot() {
    let (plane, mut north, mut south) = plane_with_grant(3, 5).await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    let before = terms(&plane).await;
    let mut changed = before.clone();
    (changed["rule"], changed["ceiling_sats_per_unit"]) = (json!(2), json!("1000"));
    let revision = async || north_revision(&plane, &north).await;
    let known = revision().await;
    let version: Value = plane.post("/grants/spring/terms", json!({ "terms": changed })).await.json();
    assert_eq!((version["version"].as_u64(), version["first_epoch"].as_u64()), (Some(2), Some(2)));
    assert!(revision().await > known, "members hear of it");
    let again: Value = plane.post("/grants/spring/terms", json!({ "terms": changed })).await.json();
    assert_eq!(again["version"], 2);
    let mut moved = changed.clone();
    moved["epoch_seconds"] = json!(30);
    let refused = plane.post("/grants/spring/terms", json!({ "terms": moved })).await;
    assert!(refused.problem(ProblemKind::InvalidRequest).detail.contains("epoch-seconds"));

    epoch(&plane, 1, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    let first = closed(&plane, 1).await;
    assert_eq!((first.terms.rule, first.unspent), (1, Sats::ZERO)); // the old terms still
    epoch(&plane, 2, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    let second = closed(&plane, 2).await;
    assert_eq!(second.operators[&"nordlicht".parse().unwrap()].earned, sats(3_000));
    assert_eq!(second.unspent.get(), second.pot.get() - 4_000);
    epoch(&plane, 3, &mut [(&mut north, MB), (&mut south, MB)]).await;
    let third = closed(&plane, 3).await;
    assert_eq!(third.pot.get(), 1_000_000 - first.pot.get() - 4_000);
    ledger_holds(&plane).await;
    let ended: Value = plane.get("/grants/spring").await.json();
    assert_eq!(ended["state"], "closed");
    plane.post("/grants/spring/close", Value::Null).await.problem(ProblemKind::Conflict);
}

async fn north_revision(plane: &Plane, node: &crate::support::FakeNode) -> u64 {
    let mut read = plane.plane.store.read().await.unwrap();
    read.node(&node.id).await.unwrap().unwrap().revision
}

#[tokio::test]
async fn a_grant_that_is_closed_early_splits_what_is_left_in_its_next_epoch() {
    let (plane, mut north, mut south) = plane_with_grant(9, 5).await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    let version: Value = plane.post("/grants/spring/close", Value::Null).await.json();
    assert_eq!(version["terms"]["epochs"], 2);
    epoch(&plane, 1, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    let first = closed(&plane, 1).await;
    assert_eq!(first.epochs_left, 9);
    epoch(&plane, 2, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    let second = closed(&plane, 2).await;
    assert_eq!((second.epochs_left, second.pot.get()), (1, 1_000_000 - first.pot.get()));
    plane.clock.advance(60);
    plane.close("spring", 3).await.problem(ProblemKind::NotFound);
    wiregrant_control::jobs::close_due_epochs(&plane.plane).await.unwrap();
    assert_eq!(plane.get("/grants/spring").await.json::<Value>()["epochs_closed"], 2);
}

#[tokio::test]
async fn in_the_last_epoch_sats_below_the_minimum_are_paid() {
    let (plane, mut north, mut south) = plane_with_terms(2, 5, |terms| {
        (terms["rule"], terms["minimum_payout_sats"]) = (json!(2), json!("400000"));
    })
    .await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    for number in [1, 2] {
        epoch(&plane, number, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
        let statement = closed(&plane, number).await;
        let carried: u64 = statement.operators.values().map(|line| line.carried.get()).sum();
        assert_eq!(carried, if number == 1 { 500_000 } else { 0 });
    }
    ledger_holds(&plane).await;
}

#[tokio::test]
async fn a_node_that_left_loses_neither_late_nor_carried_bytes() {
    let (plane, mut north, mut south) = plane_with_grant(5, 5).await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    let leave = format!("/grants/spring/nodes/{}", north.id);
    plane.ask(Method::DELETE, &leave, &plane.admin, Value::Null).await.ok();
    epoch(&plane, 1, &mut [(&mut north, 900_000), (&mut south, MB)]).await;
    let first = closed(&plane, 1).await;
    assert_eq!(first.nodes[&north.id].units.unwrap().get(), 0);
    // Its last report of epoch 1 comes after the statement; then it reports for nobody.
    north.serve(Class::Assigned, 0, 2 * MB + 200_000);
    let end = north.end;
    north
        .report(&plane, end, |r| {
            r.epoch = label("spring", 1);
            r.peers = PeersBucket::TenTo24;
        })
        .await;
    epoch(&plane, 2, &mut [(&mut south, MB)]).await;
    let second = closed(&plane, 2).await;
    // 900,000 carried and 2,200,000 late.
    assert_eq!(second.nodes[&north.id].units.unwrap().get(), 3);
    assert_eq!(inputs(&plane, 2).await.nodes[&north.id].carried.get(), 100_000);
    epoch(&plane, 3, &mut [(&mut south, MB)]).await;
    let third = closed(&plane, 3).await;
    assert!(!third.nodes.contains_key(&north.id), "there is no more to say of it");
    // It comes back, and finds what it had carried.
    plane.admit("spring", &north).await;
    epoch(&plane, 4, &mut [(&mut south, MB)]).await;
    closed(&plane, 4).await;
    epoch(&plane, 5, &mut [(&mut north, 900_000), (&mut south, MB)]).await;
    assert_eq!(closed(&plane, 5).await.nodes[&north.id].units.unwrap().get(), 1);
    ledger_holds(&plane).await;
}

#[tokio::test]
async fn where_the_terms_say_so_operators_apply_and_admit_their_own_nodes() {
    let plane = Plane::start().await;
    plane.location("de-fra").await;
    let (north, south) = (plane.operator("nordlicht").await, plane.operator("suedwind").await);
    let (node, other) =
        (plane.node("nordlicht", "de-fra", 1).await, plane.node("suedwind", "de-fra", 2).await);
    plane
        .grant("spring", 2, 1_000_000, |terms| (terms["rule"], terms["admission"]) = (json!(2), json!(1)))
        .await;
    let admit = async |token: &str, node: &crate::support::FakeNode| {
        plane.ask(Method::POST, "/grants/spring/nodes", token, json!({ "node": node.id })).await
    };
    let apply = async |token: &str, operator: &str| {
        plane.ask(Method::POST, "/grants/spring/operators", token, json!({ "operator": operator })).await
    };
    admit(&north, &node).await.problem(ProblemKind::Forbidden);
    admit(&plane.admin, &node).await.problem(ProblemKind::Forbidden);
    apply(&north, "suedwind").await.problem(ProblemKind::Forbidden);
    apply(&north, "nordlicht").await.ok();
    apply(&south, "suedwind").await.ok();
    admit(&north, &node).await.problem(ProblemKind::Forbidden); // nobody has decided yet
    plane.post("/grants/spring/operators/nordlicht/approve", Value::Null).await.ok();
    plane.post("/grants/spring/operators/suedwind/reject", Value::Null).await.ok();
    let seen: Value = plane.ask(Method::GET, "/grants/spring/operators", &south, Value::Null).await.json();
    assert_eq!(seen["items"].as_array().unwrap().len(), 1, "an operator sees their own");
    assert_eq!(seen["items"][0]["state"], json!(ApplicationState::Rejected));
    assert_eq!(apply(&south, "suedwind").await.json::<Value>()["state"], "rejected");
    admit(&south, &other).await.problem(ProblemKind::Forbidden);
    admit(&north, &other).await.problem(ProblemKind::Forbidden); // not theirs
    admit(&north, &node).await.ok();
    let leave = format!("/grants/spring/nodes/{}", node.id);
    plane.ask(Method::DELETE, &leave, &south, Value::Null).await.problem(ProblemKind::Forbidden);
    plane.ask(Method::DELETE, &leave, &north, Value::Null).await.ok();
}
