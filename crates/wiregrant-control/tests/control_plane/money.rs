//! From reports to sats: closing epochs, the arithmetic of statements, batches and what they pay.

use axum::http::Method;
use serde_json::{Value, json};
use transparency_log::{SigningKey, Verifier};
use wiregrant_control::jobs;
use wiregrant_core::Sats;
use wiregrant_core::api::{Batch, ProblemKind};
use wiregrant_core::credit::Reason;
use wiregrant_core::inputs::Inputs;
use wiregrant_core::note::Signed;
use wiregrant_core::statement::Statement;
use wiregrant_core::usage_report::{Class, PeersBucket};
use wiregrant_payout as payout;
use wiregrant_store::Log;

use crate::support::{ADDRESS, FakeNode, OTHER_ADDRESS, Plane, device_key, label};

pub const MB: u64 = 1_000_000;

/// Two operators with a node each in the grant `spring` of 1,000,000 sats, and `devices` people on each node.
pub async fn plane_with_grant(epochs: u64, devices: u64) -> (Plane, FakeNode, FakeNode) {
    plane_with_terms(epochs, devices, |_| {}).await
}

/// The same with other terms.
pub async fn plane_with_terms(
    epochs: u64,
    devices: u64,
    change: impl FnOnce(&mut Value),
) -> (Plane, FakeNode, FakeNode) {
    let plane = Plane::start().await;
    plane.location("de-fra").await;
    plane.location("is-rkv").await;
    for operator in ["nordlicht", "suedwind"] {
        plane.operator(operator).await;
    }
    let north = plane.node("nordlicht", "de-fra", 1).await;
    let south = plane.node("suedwind", "is-rkv", 2).await;
    let ngo = plane.distributor("ngo").await;
    for (n, location) in ["de-fra", "is-rkv"].into_iter().enumerate() {
        for device in 0..devices {
            let code = plane.codes(&ngo, 1, 1, 1_000 * MB).await.remove(0);
            let key = device_key(u8::try_from(20 + 100 * (n as u64) + device).unwrap());
            let body = json!({ "public_key": key, "location": location });
            plane.ask(Method::POST, "/devices", &code, body).await.ok();
        }
    }
    plane.grant("spring", epochs, 1_000_000, change).await;
    plane.admit("spring", &north).await;
    plane.admit("spring", &south).await;
    (plane, north, south)
}

/// Reports `megabytes` of assigned traffic in the epoch that is now, up to its end, and moves the clock there.
pub async fn epoch(plane: &Plane, number: u64, nodes: &mut [(&mut FakeNode, u64)]) {
    let grant: Value = plane.get("/grants/spring").await.json();
    let start: wiregrant_core::Timestamp = serde_json::from_value(grant["terms"]["start"].clone()).unwrap();
    let end = start.plus_seconds(60 * number);
    for (node, bytes) in nodes {
        node.serve(Class::Assigned, *bytes / 3, *bytes - *bytes / 3);
        node.report(plane, end, |r| {
            r.epoch = label("spring", number);
            r.peers = PeersBucket::TenTo24;
        })
        .await;
    }
    plane.clock.advance(end.unix_seconds() - plane.now().unix_seconds());
}

pub async fn begin(plane: &Plane, nodes: &mut [&mut FakeNode]) {
    // What was served before belongs to no epoch, and must not be paid.
    for node in nodes {
        node.serve(Class::Assigned, 500 * MB, 0);
        node.report(plane, plane.now(), |_| {}).await;
    }
    plane.clock.advance(61);
}

pub async fn closed(plane: &Plane, epoch: u64) -> Statement {
    let note: Value = plane.close("spring", epoch).await.json();
    let signed = Signed::<Statement>::parse(note["note"].as_str().unwrap()).unwrap();
    signed.verified_by(&plane.plane.keys.statement.verifier()).unwrap();
    assert_eq!(note["hash"], signed.hash().to_hex());
    signed.into_content()
}

pub async fn inputs(plane: &Plane, epoch: u64) -> Inputs {
    let grant = "spring".parse().unwrap();
    let note = plane.plane.store.read().await.unwrap().inputs(&grant, epoch).await.unwrap().unwrap();
    Signed::<Inputs>::parse(&note).unwrap().into_content()
}

pub fn sats(sats: u64) -> Sats {
    Sats::new(sats).unwrap()
}

#[tokio::test]
async fn a_grant_is_split_by_what_was_served_in_its_epochs_and_every_sat_stands_somewhere() {
    let (plane, mut north, mut south) = plane_with_grant(2, 5).await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 3 * MB + 700_000), (&mut south, MB + 300_000)]).await;
    let first = closed(&plane, 1).await;
    assert_eq!((first.contributed, first.pot, first.epochs_left), (sats(1_000_000), sats(500_000), 2));
    assert_eq!(first.nodes[&north.id].units.unwrap().get(), 3);
    assert_eq!(first.nodes[&south.id].units.unwrap().get(), 1);
    let line = |statement: &Statement, operator: &str| statement.operators[&operator.parse().unwrap()];
    assert_eq!(line(&first, "nordlicht").payable, sats(375_000));
    assert_eq!(line(&first, "suedwind").payable, sats(125_000));
    assert_eq!(first.unspent, Sats::ZERO);
    assert_eq!(first.issued.get(), 10_000); // ten codes of 1,000 MB
    assert_ne!(first.nodes[&north.id].site, first.nodes[&south.id].site);

    // 700,000 and 300,000 bytes were carried: with 300,000 and 700,000 more, both have one unit.
    epoch(&plane, 2, &mut [(&mut north, 300_000), (&mut south, 700_000)]).await;
    let second = closed(&plane, 2).await;
    second.check_sums(Some(&first), wiregrant_core::Sats::ZERO).unwrap();
    payout::check_statement(&second).unwrap();
    assert_eq!((second.allotted, second.pot), (sats(500_000), sats(500_000)));
    assert_eq!(line(&second, "nordlicht").payable, sats(250_000));
    assert_eq!(line(&second, "suedwind").payable, sats(250_000));
    let inputs = inputs(&plane, 2).await;
    let node = &inputs.nodes[&north.id];
    assert_eq!((node.brought.get(), node.eligible.get(), node.carried.get()), (700_000, 300_000, 0));
    assert_eq!((node.baseline_sequence, node.closing_sequence), (2, Some(3)));
}

#[tokio::test]
async fn an_epoch_is_closed_in_its_time_in_order_and_once() {
    let (plane, mut north, mut south) = plane_with_grant(3, 1).await;
    let problem = plane.close("spring", 1).await.problem(ProblemKind::EpochNotOver);
    assert_eq!(problem.figures["opens_at"], json!(plane.now().plus_seconds(120)));
    assert_eq!(problem.retry_after_seconds(), Some(120));
    plane.close("spring", 4).await.problem(ProblemKind::NotFound);
    plane.close("winter", 1).await.problem(ProblemKind::NotFound);
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, MB), (&mut south, MB)]).await;
    let first = closed(&plane, 1).await;
    assert_eq!(closed(&plane, 1).await, first);
    plane.clock.advance(119);
    plane.close("spring", 3).await.problem(ProblemKind::EpochNotOver);
    assert!(closed(&plane, 2).await.previous.is_some());
    let statements: Value = plane.ask(Method::GET, "/grants/spring/statements", "", Value::Null).await.json();
    assert_eq!(statements["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_report_that_comes_too_late_counts_in_the_next_statement() {
    let (plane, mut north, mut south) = plane_with_grant(2, 5).await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut south, 2 * MB)]).await;
    let first = closed(&plane, 1).await;
    assert_eq!(first.nodes[&north.id].units.unwrap().get(), 0);
    assert_eq!(first.operators[&"suedwind".parse().unwrap()].earned, first.pot);
    epoch(&plane, 1, &mut [(&mut north, 5 * MB)]).await; // labelled with the first epoch, after its statement
    epoch(&plane, 2, &mut [(&mut north, MB), (&mut south, 0)]).await;
    let second = closed(&plane, 2).await;
    assert_eq!(second.nodes[&north.id].units.unwrap().get(), 6);
}

#[tokio::test]
async fn bytes_beyond_what_the_assigned_codes_could_use_earn_nothing() {
    let (plane, mut north, mut south) = plane_with_grant(2, 1).await;
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 1_500 * MB), (&mut south, 10 * MB)]).await;
    let first = closed(&plane, 1).await;
    assert_eq!(first.nodes[&north.id].units.unwrap().get(), 1_000);
    let of_first = inputs(&plane, 1).await;
    assert_eq!(of_first.nodes[&north.id].disallowed[&Reason::Quota].get(), 500 * MB);
    epoch(&plane, 2, &mut [(&mut north, 10 * MB), (&mut south, 10 * MB)]).await;
    let second = closed(&plane, 2).await;
    assert_eq!(second.nodes[&north.id].units.unwrap().get(), 0);
    assert_eq!(inputs(&plane, 2).await.nodes[&north.id].allotted.get(), 0);
}

#[tokio::test]
async fn too_few_people_keep_a_number_back_until_more_stand_behind_it() {
    let plane = Plane::start().await;
    plane.location("de-fra").await;
    plane.operator("nordlicht").await;
    let ngo = plane.distributor("ngo").await;
    let mut north = plane.node("nordlicht", "de-fra", 1).await;
    for (code, n) in plane.codes(&ngo, 6, 1, 1_000 * MB).await.into_iter().zip(40..) {
        let key = device_key(n);
        plane.ask(Method::POST, "/devices", &code, json!({ "public_key": key })).await.ok();
    }
    plane.grant("spring", 2, 1_000_000, |terms| terms["floor"] = json!(10)).await;
    plane.admit("spring", &north).await;
    begin(&plane, &mut [&mut north]).await;
    epoch(&plane, 1, &mut [(&mut north, 4 * MB)]).await;
    let first = closed(&plane, 1).await;
    assert_eq!((first.nodes[&north.id].units, first.unspent), (None, first.pot));
    epoch(&plane, 2, &mut [(&mut north, 3 * MB)]).await;
    let second = closed(&plane, 2).await;
    assert_eq!(second.nodes[&north.id].units.unwrap().get(), 7); // six people twice: twelve
    assert_eq!(second.pot, sats(1_000_000)); // what was unspent came back
}

#[tokio::test]
async fn a_due_epoch_closes_by_itself_once_all_have_reported_or_patience_is_over() {
    let (plane, mut north, mut south) = plane_with_grant(2, 1).await;
    let closed = async || plane.get("/grants/spring").await.json::<Value>()["epochs_closed"].clone();
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, MB)]).await;
    jobs::close_due_epochs(&plane.plane).await.unwrap();
    assert_eq!(closed().await, 0); // the south's report is on its way
    epoch(&plane, 1, &mut [(&mut south, MB)]).await;
    jobs::close_due_epochs(&plane.plane).await.unwrap();
    assert_eq!(closed().await, 1);
    plane.clock.advance(60 + i64::try_from(jobs::STRAGGLER_SECONDS).unwrap());
    jobs::close_due_epochs(&plane.plane).await.unwrap();
    assert_eq!(closed().await, 2);
}

fn batch_request(id: &str) -> Value {
    let coin = |n: u8, sats: u64| {
        let txid = format!("{n:02x}").repeat(32);
        json!({ "outpoint": format!("{txid}:0"), "sats": sats.to_string(), "address": OTHER_ADDRESS })
    };
    json!({
        "batch": id, "grant": "spring", "coins": [coin(1, 400_000), coin(2, 900_000)],
        "change": OTHER_ADDRESS, "fee_rate_sat_per_vb": 5,
    })
}

#[tokio::test]
async fn invariant_5_a_batch_pays_what_is_due_once_and_says_what_it_left_out() {
    let (plane, mut north, mut south) = plane_with_grant(2, 5).await;
    plane.post("/operators/nordlicht/destination", json!({ "pay": ADDRESS })).await.ok();
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    plane.post("/batches", batch_request("b-0")).await.problem(ProblemKind::NothingPayable);
    closed(&plane, 1).await;
    let batch: Batch = plane.post("/batches", batch_request("b-1")).await.json();
    assert_eq!((batch.payouts.len(), batch.total), (1, sats(375_000)));
    assert!(!batch.payouts[0].destination_signed_by_operator);
    assert!(
        batch.left_out[0].contains("suedwind") && batch.left_out[0].contains("destination"),
        "{:?}",
        batch.left_out
    );
    let note = Signed::<payout::Batch>::parse(&batch.note).unwrap();
    note.verified_by(&plane.plane.keys.statement.verifier()).unwrap();
    let change = payout::PayoutAddress::parse(OTHER_ADDRESS, plane.plane.config.network).unwrap();
    let check = payout::check_psbt(&batch.psbt, note.content(), &[change]).unwrap();
    assert_eq!(check.outputs.iter().map(|output| output.sats).collect::<Vec<_>>(), [sats(375_000)]);
    assert_eq!(check.change.iter().map(|output| output.sats).collect::<Vec<_>>(), [batch.change.unwrap()]);

    // Asked for again, it is the same; its line is in no other; the one left out comes into the next.
    let again: Batch = plane.post("/batches", batch_request("b-1")).await.json();
    assert_eq!((again.psbt, again.note), (batch.psbt, batch.note));
    let mut other = batch_request("b-1");
    other["fee_rate_sat_per_vb"] = json!(6);
    plane.post("/batches", other).await.problem(ProblemKind::AlreadyExists);
    plane.post("/batches", batch_request("b-2")).await.problem(ProblemKind::NothingPayable);
    plane.post("/operators/suedwind/destination", json!({ "pay": ADDRESS })).await.ok();
    let next: Batch = plane.post("/batches", batch_request("b-2")).await.json();
    assert_eq!((next.payouts[0].operator.as_str(), next.total), ("suedwind", sats(125_000)));
    assert_eq!(plane.get("/batches").await.json::<Value>()["items"].as_array().unwrap().len(), 2);
    plane.grant("summer", 1, 1_000, |_| {}).await;
    for (funder, grant, seen) in [("fund", "spring", 2), ("other", "summer", 0)] {
        let token = plane.funder(funder, &[grant]).await;
        let ask = async |path: &str| plane.ask(Method::GET, path, &token, Value::Null).await;
        assert_eq!(ask("/batches").await.json::<Value>()["items"].as_array().unwrap().len(), seen);
        assert_eq!(ask("/batches/b-1").await.status.is_success(), seen > 0);
    }
    let entries = plane.plane.store.read().await.unwrap().entries(Log::Record, 0, 100).await.unwrap();
    assert_eq!(entries.iter().filter(|entry| entry.starts_with("batch ")).count(), 2);
}

#[tokio::test]
async fn a_batch_is_refused_for_what_is_wrong_with_it() {
    let (plane, mut north, mut south) = plane_with_grant(1, 5).await;
    plane.post("/operators/nordlicht/destination", json!({ "pay": ADDRESS })).await.ok();
    begin(&plane, &mut [&mut north, &mut south]).await;
    epoch(&plane, 1, &mut [(&mut north, 3 * MB), (&mut south, MB)]).await;
    closed(&plane, 1).await;
    let refused = async |kind, change: fn(&mut Value)| {
        let mut body = batch_request("b-1");
        change(&mut body);
        plane.post("/batches", body).await.problem(kind).detail
    };
    let coins = refused(ProblemKind::InvalidRequest, |b| b["coins"] = json!([])).await;
    assert!(coins.starts_with("coins: "), "{coins}");
    let few = refused(ProblemKind::Coins, |b| {
        b["coins"][0]["sats"] = json!("1000");
        b["coins"][1]["sats"] = json!("1000");
    })
    .await;
    assert!(few.contains("coins") && few.contains("750"), "{few}");
    refused(ProblemKind::Coins, |b| b["coins"][0]["outpoint"] = json!("abc:0")).await;
    refused(ProblemKind::Coins, |b| b["coins"][0]["outpoint"] = json!("00:0\n11:0")).await;
    refused(ProblemKind::Address, |b| b["change"] = json!("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"))
        .await;
    refused(ProblemKind::InvalidRequest, |b| b["fee_rate_sat_per_vb"] = json!(1_001)).await;
    refused(ProblemKind::NotFound, |b| b["grant"] = json!("winter")).await;
    plane.post("/batches", batch_request("b-1")).await.ok();
}

#[tokio::test]
async fn sats_wait_out_the_challenge_window() {
    let plane = Plane::start().await;
    plane.location("de-fra").await;
    plane.operator("nordlicht").await;
    plane.post("/operators/nordlicht/destination", json!({ "pay": ADDRESS })).await.ok();
    let ngo = plane.distributor("ngo").await;
    let mut north = plane.node("nordlicht", "de-fra", 1).await;
    let code = plane.codes(&ngo, 1, 1, 1_000 * MB).await.remove(0);
    plane.ask(Method::POST, "/devices", &code, json!({ "public_key": device_key(50) })).await.ok();
    plane.grant("spring", 1, 500_000, |terms| terms["challenge_seconds"] = json!(3_600)).await;
    plane.admit("spring", &north).await;
    begin(&plane, &mut [&mut north]).await;
    epoch(&plane, 1, &mut [(&mut north, MB)]).await;
    closed(&plane, 1).await;
    plane.clock.advance(3_599);
    let problem = plane.post("/batches", batch_request("b-1")).await.problem(ProblemKind::NothingPayable);
    assert!(problem.detail.contains("challenged until"), "{}", problem.detail);
    plane.clock.advance(1);
    plane.post("/batches", batch_request("b-1")).await.ok();
}

#[tokio::test]
async fn a_grant_takes_sats_and_nodes_until_its_last_epoch_begins() {
    let (plane, north, _) = plane_with_grant(2, 1).await;
    let third = plane.node("nordlicht", "de-fra", 3).await;
    plane.clock.advance(70); // in the first epoch
    plane.post("/grants/spring/contributions", json!({ "sats": "1" })).await.ok();
    let membership: Value = plane.post("/grants/spring/nodes", json!({ "node": third.id })).await.json();
    assert_eq!(membership["first_epoch"], 2);
    let left: Value = plane
        .ask(Method::DELETE, &format!("/grants/spring/nodes/{}", north.id), &plane.admin, Value::Null)
        .await
        .json();
    assert_eq!(left["end_epoch"], 2);
    plane.grant("autumn", 2, 1_000, |_| {}).await;
    let busy =
        plane.post("/grants/autumn/nodes", json!({ "node": north.id })).await.problem(ProblemKind::Conflict);
    assert!(busy.detail.contains("spring until"), "{}", busy.detail);
    plane.clock.advance(60); // in the last
    plane.post("/grants/spring/contributions", json!({ "sats": "1" })).await.problem(ProblemKind::Conflict);
    plane.post("/grants/autumn/nodes", json!({ "node": north.id })).await.ok();
    let desired: Value = north.desired(&plane, "").await.json();
    assert_eq!(desired["membership"]["grant"], "autumn");
    plane.clock.advance(600);
    plane.post("/grants/spring/nodes", json!({ "node": third.id })).await.problem(ProblemKind::Conflict);
    plane.grant("winter", 1, 1_000, |_| {}).await;
    plane.admit("winter", &third).await; // its grant is over, though nobody made it leave
}

#[tokio::test]
async fn an_operator_with_a_key_signs_where_they_are_paid() {
    let plane = Plane::start().await;
    let key = SigningKey::new("nordlicht", [3; 32]).unwrap();
    let vkey = key.verifier().to_string();
    let body = json!({ "operator": "nordlicht", "vkey": vkey });
    let created: Value = plane.post("/operators", body).await.json();
    let token = created["token"].as_str().unwrap();
    let destination = |sequence, previous| payout::Destination {
        log: plane.plane.config.origin.clone(),
        network: plane.plane.config.network,
        operator: "nordlicht".parse().unwrap(),
        sequence,
        previous,
        salt: wiregrant_core::note::Salt([1; 16]),
        pay: ADDRESS.to_owned(),
    };
    let send = async |note: &str| {
        plane.ask(Method::POST, "/operators/nordlicht/destination", token, json!({ "note": note })).await
    };
    let first = Signed::sign(destination(1, None), &key).unwrap();
    let shown: Value = send(first.note()).await.json();
    assert_eq!((&shown["sequence"], &shown["signed_by_operator"]), (&json!(1), &json!(true)));
    send(first.note()).await.ok(); // its answer got lost
    send(Signed::sign(destination(3, Some(first.hash())), &key).unwrap().note())
        .await
        .problem(ProblemKind::Conflict);
    send(Signed::sign(destination(2, None), &key).unwrap().note()).await.problem(ProblemKind::InvalidRequest);
    let stranger = SigningKey::new("nordlicht", [4; 32]).unwrap();
    let forged = Signed::sign(destination(2, Some(first.hash())), &stranger).unwrap();
    send(forged.note()).await.problem(ProblemKind::InvalidRequest);
    send(Signed::sign(destination(2, Some(first.hash())), &key).unwrap().note()).await.ok();
    let pay = json!({ "pay": ADDRESS });
    plane
        .ask(Method::POST, "/operators/nordlicht/destination", token, pay)
        .await
        .problem(ProblemKind::InvalidRequest);
    let _: Verifier = vkey.parse().unwrap();
}

#[tokio::test]
async fn a_monthly_allotment_is_credited_once_for_each_month_that_has_begun() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let mut node = plane.node("nordlicht", "de-fra", 1).await;
    let ngo = plane.distributor("ngo").await;
    let expires = plane.now().plus_seconds(90 * 24 * 3_600);
    let new = json!({ "count": 1, "devices": 1, "quota_bytes": (10 * MB).to_string(), "period": "month", "expires": expires });
    let created: Value = plane.ask(Method::POST, "/access-codes", &ngo, new).await.json();
    let device = json!({ "public_key": device_key(20) });
    plane.ask(Method::POST, "/devices", created["codes"][0].as_str().unwrap(), device).await.ok();
    plane.clock.advance(30 * 24 * 3_600); // from the 6th of July into August
    plane.grant("spring", 1, 1_000_000, |_| {}).await;
    plane.admit("spring", &node).await;
    begin_without_past(&plane, &mut node).await;
    epoch(&plane, 1, &mut [(&mut node, 25 * MB)]).await;
    let statement = closed(&plane, 1).await;
    assert_eq!(statement.issued.get(), 20);
    assert_eq!(statement.nodes[&node.id].units.unwrap().get(), 20);
    let inputs = inputs(&plane, 1).await;
    assert_eq!(inputs.nodes[&node.id].disallowed[&Reason::Quota].get(), 5 * MB);
}

/// The epoch begins; nothing was served before.
async fn begin_without_past(plane: &Plane, node: &mut FakeNode) {
    node.report(plane, plane.now(), |_| {}).await;
    plane.clock.advance(61);
}
