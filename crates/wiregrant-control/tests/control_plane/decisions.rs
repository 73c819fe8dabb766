//! What people decide about statements: findings hold lines, operators object, lines are released or forfeited, two people
//! approve, mistakes are corrected; and the ledger follows all of it.

use axum::http::Method;
use serde_json::{Value, json};
use wiregrant_control::publisher;
use wiregrant_core::api::{LedgerCheck, LineStanding, List, ProblemKind, StatementLine};
use wiregrant_core::credit::Reason;

use crate::money::{MB, begin, closed, epoch, inputs, plane_with_grant, plane_with_terms, sats};
use crate::support::{ADDRESS, OTHER_ADDRESS, Plane};

async fn lines(plane: &Plane, token: &str) -> Vec<StatementLine> {
    let lines: List<StatementLine> =
        plane.ask(Method::GET, "/grants/spring/lines", token, Value::Null).await.json();
    lines.items
}

fn standings(lines: &[StatementLine]) -> Vec<(u64, &str, LineStanding)> {
    lines.iter().map(|line| (line.epoch, line.operator.as_str(), line.standing)).collect()
}

async fn decide(plane: &Plane, epoch: u64, operator: &str, what: &str) -> crate::support::Answered {
    let path = format!("/grants/spring/epochs/{epoch}/operators/{operator}/{what}");
    plane.post(&path, json!({ "reason": "inflated", "detail": "three times the link" })).await
}

pub async fn ledger_holds(plane: &Plane) -> LedgerCheck {
    let check: LedgerCheck = plane.get("/ledger/check").await.json();
    assert_eq!(check.differences, Vec::<String>::new());
    check
}

/// The record's entries.
async fn record(plane: &Plane) -> Vec<String> {
    let mut read = plane.plane.store.read().await.unwrap();
    read.entries(wiregrant_store::Log::Record, 0, 1_000).await.unwrap()
}

pub async fn batch(plane: &Plane, id: &str, stage: &str) -> Value {
    for (operator, address) in [("nordlicht", ADDRESS), ("suedwind", OTHER_ADDRESS)] {
        let path = format!("/operators/{operator}/destination");
        plane.post(&path, json!({ "pay": address })).await.ok();
    }
    let coin = json!({ "outpoint": format!("{}:0", "ab".repeat(32)), "sats": "9000000", "address": ADDRESS });
    let body = json!({
        "batch": id, "grant": "spring", "coins": [coin], "change": "bcrt1qs758ursh4q9z627kt3pp5yysm78ddny6txaqgw",
        "fee_rate_sat_per_vb": 2, "stage": stage,
    });
    serde_json::from_str(&plane.post("/batches", body).await.body).unwrap()
}

/// What the public report of the grant says of an operator's line of the first epoch.
async fn published_state(plane: &Plane, operator: &str) -> String {
    publisher::publish(&plane.plane).await.unwrap();
    let report: Value = plane.file("/r/spring/report.json").await.json();
    let lines = report["epochs"].as_array().unwrap().last().unwrap()["operators"].as_array().unwrap();
    let line = lines.iter().find(|line| line["operator"] == operator).unwrap();
    line["state"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_finding_holds_lines_and_what_is_forfeited_goes_back_to_the_pot() {
    let (plane, mut north, mut south) = plane_with_grant(3, 5).await;
    let south_token = plane.token_of("suedwind");
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    let first = closed(&plane, 1).await;
    assert_eq!(
        standings(&lines(&plane, &plane.admin).await),
        [(1, "nordlicht", LineStanding::Payable), (1, "suedwind", LineStanding::Payable)]
    );

    decide(&plane, 1, "suedwind", "forfeit").await.problem(ProblemKind::Conflict);
    let body = json!({ "node": south.id, "reason": "inflated" });
    let held: List<StatementLine> = plane.post("/grants/spring/findings", body).await.json();
    assert_eq!(standings(&held.items), [(1, "suedwind", LineStanding::Held)]);
    // The operator sees it, and objects; nobody else can in their name.
    let own = lines(&plane, &south_token).await;
    assert_eq!(standings(&own), [(1, "suedwind", LineStanding::Held)]);
    let path = "/grants/spring/epochs/1/operators/suedwind/object";
    let objection = json!({ "reason": "miscounted", "detail": "my link was doubled in June" });
    plane.ask(Method::POST, path, &plane.admin, objection.clone()).await.problem(ProblemKind::Forbidden);
    plane.ask(Method::POST, path, &south_token, objection).await.ok();
    let said: Vec<_> =
        lines(&plane, &south_token).await[0].decisions.iter().map(|d| d.kind.as_str()).collect();
    assert_eq!(said, ["hold", "object"]);
    assert_eq!(published_state(&plane, "suedwind").await, "held");

    // A held line is in no batch.
    let paid = batch(&plane, "b-1", "exported").await;
    assert_eq!(paid["payouts"].as_array().unwrap().len(), 1, "{paid}");
    assert!(paid["left_out"].to_string().contains("held"), "{paid}");
    decide(&plane, 1, "nordlicht", "hold").await.problem(ProblemKind::Conflict); // its batch holds it

    decide(&plane, 1, "suedwind", "forfeit").await.ok();
    decide(&plane, 1, "suedwind", "release").await.problem(ProblemKind::Conflict);
    assert_eq!(published_state(&plane, "suedwind").await, "forfeited");
    ledger_holds(&plane).await;
    epoch(&plane, 2, &mut [(&mut north, MB), (&mut south, MB)]).await;
    let second = closed(&plane, 2).await;
    let forfeited = first.operators[&"suedwind".parse().unwrap()].payable;
    second.check_sums(Some(&first), forfeited).unwrap();
    assert_eq!(second.allotted.get(), first.pot.get() - forfeited.get());
    // The finding took what would have counted for the node in the statement that came next, and in no later one.
    assert_eq!(inputs(&plane, 2).await.nodes[&south.id].disallowed[&Reason::Finding].get(), MB);
    epoch(&plane, 3, &mut [(&mut north, MB), (&mut south, MB)]).await;
    let third = closed(&plane, 3).await;
    assert_eq!(third.nodes[&south.id].units.unwrap().get(), 1);
    ledger_holds(&plane).await;
    let record = record(&plane).await.join("\n");
    for entry in [
        format!("finding spring {} inflated", south.id),
        "hold spring 1 suedwind inflated".to_owned(),
        "object spring 1 suedwind miscounted".to_owned(),
        "forfeit spring 1 suedwind inflated".to_owned(),
    ] {
        assert!(record.contains(&entry), "{entry}: {record}");
    }
    assert!(!record.contains("doubled"), "no prose gets into the record");
}

#[tokio::test]
async fn a_released_line_is_paid_after_all() {
    let (plane, mut north, mut south) = plane_with_grant(2, 5).await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    closed(&plane, 1).await;
    decide(&plane, 1, "suedwind", "hold").await.ok();
    decide(&plane, 1, "suedwind", "hold").await.problem(ProblemKind::Conflict);
    decide(&plane, 1, "suedwind", "release").await.ok();
    decide(&plane, 1, "nobody", "hold").await.problem(ProblemKind::NotFound);
    decide(&plane, 2, "suedwind", "hold").await.problem(ProblemKind::NotFound);
    let paid = batch(&plane, "b-1", "exported").await;
    assert_eq!(paid["payouts"].as_array().unwrap().len(), 2, "{paid}");
    ledger_holds(&plane).await;
    let cancel = json!({ "reason": "again", "unsigned": true });
    plane.post("/batches/b-1/cancel", cancel).await.ok();
    ledger_holds(&plane).await;
    assert_eq!(batch(&plane, "b-2", "exported").await["payouts"].as_array().unwrap().len(), 2);
    ledger_holds(&plane).await;
}

#[tokio::test]
async fn two_different_people_approve_once_nobody_can_challenge_any_more() {
    let (plane, mut north, mut south) = plane_with_terms(1, 5, |terms| {
        (terms["rule"], terms["approvals"], terms["challenge_seconds"]) = (json!(2), json!(2), json!(3_600));
    })
    .await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    closed(&plane, 1).await;
    let approve = async |token: &str| {
        plane.ask(Method::POST, "/grants/spring/epochs/1/approve", token, Value::Null).await
    };
    assert!(approve(&plane.admin).await.problem(ProblemKind::Conflict).detail.contains("challenged"));
    plane.clock.advance(3_601);
    let stranger = plane.funder("other-fund", &[]).await;
    let (funder, second) =
        (plane.funder("fund", &["spring"]).await, plane.token(&plane.admin, "Grace").await);
    approve(&stranger).await.problem(ProblemKind::Forbidden);
    let given: Value = approve(&plane.admin).await.json();
    assert_eq!((given["wanted"].clone(), given["people"].as_array().unwrap().len()), (json!(2), 1));
    // The same person twice is one person, and no batch is made for one.
    let given: Value = approve(&plane.admin).await.json();
    assert_eq!(given["people"].as_array().unwrap().len(), 1);
    let refused = batch(&plane, "b-1", "exported").await;
    assert!(refused["detail"].to_string().contains("1 more people must approve"), "{refused}");
    assert_eq!(lines(&plane, &plane.admin).await[0].standing, LineStanding::Unapproved);
    approve(&funder).await.ok();
    assert_eq!(lines(&plane, &plane.admin).await[0].standing, LineStanding::Payable);
    approve(&second).await.ok(); // one more does no harm
    let approvals: Vec<_> =
        record(&plane).await.into_iter().filter(|entry| entry.starts_with("approve ")).collect();
    assert_eq!(approvals, ["approve spring 1 2"]);
    assert_eq!(batch(&plane, "b-1", "exported").await["payouts"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_correction_is_a_line_of_the_next_statement_as_far_as_there_are_sats() {
    let (plane, mut north, mut south) = plane_with_grant(3, 5).await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    let first = closed(&plane, 1).await;
    let adjust = async |operator: &str, sats: i64, epoch: u64| {
        let body = json!({ "operator": operator, "sats": sats, "reason": "recount", "epoch": epoch });
        plane.post("/grants/spring/adjustments", body).await
    };
    adjust("nordlicht", 0, 1).await.problem(ProblemKind::InvalidRequest);
    adjust("nordlicht", 5, 2).await.problem(ProblemKind::InvalidRequest); // not closed yet
    adjust("nobody", 5, 1).await.problem(ProblemKind::NotFound);
    adjust("suedwind", 7_000, 1).await.ok();
    adjust("suedwind", 7_000, 1).await.ok(); // the same once more
    adjust("nordlicht", -900_000_000, 1).await.ok(); // more than they will have: it waits
    epoch(&plane, 2, &mut [(&mut north, MB), (&mut south, MB)]).await;
    let second = closed(&plane, 2).await;
    second.check_sums(Some(&first), sats(0)).unwrap();
    let adjusted: Vec<_> =
        second.adjustments.iter().map(|a| (a.operator.as_str(), a.sats, a.epoch)).collect();
    assert_eq!(adjusted, [("suedwind", 7_000, 1)]);
    let line = second.operators[&"suedwind".parse().unwrap()];
    assert_eq!(line.payable.get(), line.earned.get() + 7_000);
    let states: Value = plane.get("/grants/spring/adjustments").await.json();
    let taken: Vec<_> =
        states["items"].as_array().unwrap().iter().map(|a| a["statement_epoch"].clone()).collect();
    assert_eq!(taken, [json!(2), Value::Null]);
    epoch(&plane, 3, &mut [(&mut north, MB), (&mut south, MB)]).await;
    let third = closed(&plane, 3).await;
    third.check_sums(Some(&second), sats(0)).unwrap();
    adjust("suedwind", 1, 3).await.problem(ProblemKind::Conflict); // no statement comes any more
    ledger_holds(&plane).await;
}
