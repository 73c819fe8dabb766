//! A node that goes on under another key: announced by the former one, or by an invitation for that node.

use axum::http::{Method, StatusCode};
use data_encoding::BASE64;
use serde_json::{Value, json};
use transparency_log::{Hash, LogProof, SigningKey};
use wiregrant_core::api::{Join, Joined, ProblemKind};
use wiregrant_core::note::Signed;
use wiregrant_core::rekey::Rekey;
use wiregrant_core::usage_report::Class;
use wiregrant_store::Log;

use crate::support::{Answered, FakeNode, Plane, join_body};

fn key(node: &FakeNode, seed: u8) -> SigningKey {
    SigningKey::new(node.id.as_str(), [seed; 32]).unwrap()
}

/// The note by which the key of one seed says that another's follows; `change` may spoil it before it is signed.
fn announced(plane: &Plane, node: &FakeNode, seeds: [u8; 2], change: impl FnOnce(&mut Rekey)) -> Value {
    let [former, next] = seeds.map(|seed| key(node, seed));
    let mut rekey = Rekey {
        log: node.joined.log.clone(),
        node: node.id.clone(),
        operator: node.operator.clone(),
        former: former.verifier(),
        vkey: next.verifier(),
        time: plane.now(),
    };
    change(&mut rekey);
    let signed = Signed::sign(rekey, &former).unwrap();
    json!({ "note": signed.note(), "signature": BASE64.encode(&next.sign_bytes(signed.note().as_bytes())) })
}

async fn rekey(plane: &Plane, node: &FakeNode, body: Value) -> Answered {
    plane.ask(Method::POST, &format!("/nodes/{}/rekey", node.id), "", body).await
}

async fn last_entry(plane: &Plane) -> String {
    let mut read = plane.plane.store.read().await.unwrap();
    let (size, _) = read.newest_checkpoint(Log::Record).await.unwrap().unwrap();
    read.entries(Log::Record, size - 1, 1).await.unwrap().pop().unwrap()
}

#[tokio::test]
async fn a_node_announces_its_next_key_itself_and_its_chain_goes_on() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let mut node = plane.node("nordlicht", "de-fra", 1).await;
    node.serve(Class::Assigned, 1_000, 2_000);
    let (note, acknowledged) = node.report(&plane, plane.now(), |_| {}).await;

    let body = announced(&plane, &node, [1, 2], |_| {});
    assert_eq!(rekey(&plane, &node, body.clone()).await.ok().status, StatusCode::NO_CONTENT);
    let hash = Hash::of(body["note"].as_str().unwrap().as_bytes());
    let logged = format!("rekey {} {} {hash}", node.id, key(&node, 2).verifier());
    assert_eq!(last_entry(&plane).await, logged);
    // An answer that was lost costs nothing, however late it is asked for again, and nothing is logged twice.
    plane.clock.advance(600);
    rekey(&plane, &node, body).await.ok();
    rekey(&plane, &node, announced(&plane, &node, [1, 2], |_| {})).await.ok();
    assert_eq!(last_entry(&plane).await, logged);

    node.desired(&plane, "").await.problem(ProblemKind::RequestSignature);
    let by_old_key = node.next_report(plane.now(), |_| {});
    node.send(&plane, by_old_key.note()).await.problem(ProblemKind::RequestSignature);
    node.key = key(&node, 2);
    node.desired(&plane, "").await.ok();
    node.send(&plane, by_old_key.note()).await.problem(ProblemKind::ReportSignature);
    node.serve(Class::Assigned, 1_000, 2_000);
    node.report(&plane, plane.now(), |_| {}).await;
    assert_eq!(node.sequence, 2);
    assert_ne!(note, acknowledged);

    // Whoever finds the old key, or any other, has no say any more; and no key comes back.
    for (seeds, kind) in [
        ([1, 3], ProblemKind::Conflict),
        ([5, 3], ProblemKind::Conflict),
        ([2, 1], ProblemKind::AlreadyExists),
    ] {
        rekey(&plane, &node, announced(&plane, &node, seeds, |_| {})).await.problem(kind);
    }
    let other = plane.node("nordlicht", "de-fra", 9).await;
    rekey(&plane, &node, announced(&plane, &node, [2, 9], |_| {})).await.problem(ProblemKind::AlreadyExists);
    rekey(&plane, &other, announced(&plane, &node, [2, 3], |_| {}))
        .await
        .problem(ProblemKind::InvalidRequest);
}

#[tokio::test]
async fn nobody_joins_under_a_key_that_a_node_has_or_had() {
    let plane = Plane::start().await;
    let token = plane.operator("nordlicht").await;
    plane.operator("polaris").await;
    plane.location("de-fra").await;
    let node = plane.node("nordlicht", "de-fra", 1).await;
    rekey(&plane, &node, announced(&plane, &node, [1, 2], |_| {})).await.ok();
    let before = last_entry(&plane).await;
    // Seed 2 is the node's now and seed 1 was, for another operator as for its own; 5 is nobody's.
    let join = async |operator: &str, identity: u8| {
        let new = json!({ "operator": operator, "location": "de-fra" });
        let created: Value = plane.post("/invitations", new).await.json();
        let mut body = join_body(created["invitation"].as_str().unwrap(), 5, "198.51.100.9:51820");
        let mut join: Join = serde_json::from_value(body.clone()).unwrap();
        let key = SigningKey::new("join", [identity; 32]).unwrap();
        join.identity_public_key = BASE64.encode(&key.verifier().public_key());
        let text = join.text(&node.joined.log);
        body["identity_public_key"] = json!(join.identity_public_key);
        body["signature"] = json!(BASE64.encode(&key.sign_bytes(text.as_bytes())));
        plane.ask(Method::POST, "/nodes", "", body).await
    };
    for (operator, identity, hint) in [
        ("nordlicht", 1, "was replaced"),
        ("polaris", 1, "was replaced"),
        ("polaris", 2, "has this key already"),
    ] {
        let detail = join(operator, identity).await.problem(ProblemKind::AlreadyExists).detail;
        assert!(detail.contains(hint) && detail.contains("join anew"), "{detail}");
    }
    // Nor does another node go on under it by an invitation.
    let other = plane.node("nordlicht", "de-fra", 9).await;
    let path = format!("/nodes/{}/invitation", other.id);
    let created: Value = plane.ask(Method::POST, &path, &token, Value::Null).await.json();
    let body = join_body(created["invitation"].as_str().unwrap(), 1, "198.51.100.9:51820");
    plane.ask(Method::POST, "/nodes", "", body).await.problem(ProblemKind::AlreadyExists);
    assert!(last_entry(&plane).await.contains(other.id.as_str()), "nothing was logged since it joined");
    assert_ne!(last_entry(&plane).await, before);
    join("polaris", 5).await.ok();
}

#[tokio::test]
async fn a_note_that_is_old_or_of_another_log_or_signed_by_one_key_alone_changes_nothing() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    plane.location("de-fra").await;
    let node = plane.node("nordlicht", "de-fra", 1).await;
    let before = last_entry(&plane).await;
    let changed = |change: &dyn Fn(&mut Rekey)| announced(&plane, &node, [1, 2], change);
    let old = changed(&|rekey| rekey.time = plane.now().plus_seconds(121));
    assert!(rekey(&plane, &node, old).await.problem(ProblemKind::RequestClock).detail.contains("time"));
    let elsewhere = changed(&|rekey| rekey.log = "other.example/record".parse().unwrap());
    rekey(&plane, &node, elsewhere).await.problem(ProblemKind::InvalidRequest);
    let whose = changed(&|rekey| rekey.operator = "polaris".parse().unwrap());
    rekey(&plane, &node, whose).await.problem(ProblemKind::InvalidRequest);
    let mut by_one = announced(&plane, &node, [1, 2], |_| {});
    by_one["signature"] = announced(&plane, &node, [1, 3], |_| {})["signature"].clone();
    rekey(&plane, &node, by_one).await.problem(ProblemKind::RequestSignature);
    let mut by_other = announced(&plane, &node, [3, 2], |rekey| rekey.former = key(&node, 1).verifier());
    rekey(&plane, &node, by_other.clone()).await.problem(ProblemKind::RequestSignature);
    by_other["note"] = json!("wiregrant/rekey/v1\n");
    rekey(&plane, &node, by_other).await.problem(ProblemKind::InvalidRequest);
    node.desired(&plane, "").await.ok();
    assert_eq!(last_entry(&plane).await, before);
    plane.post(&format!("/nodes/{}/retire", node.id), Value::Null).await.ok();
    rekey(&plane, &node, announced(&plane, &node, [1, 2], |_| {})).await.problem(ProblemKind::Conflict);
}

#[tokio::test]
async fn a_node_whose_keys_are_lost_is_invited_to_go_on_as_itself() {
    let plane = Plane::start().await;
    let token = plane.operator("nordlicht").await;
    let stranger = plane.operator("polaris").await;
    plane.location("de-fra").await;
    let mut node = plane.node("nordlicht", "de-fra", 1).await;
    node.serve(Class::Assigned, 5_000, 7_000);
    let (last, _) = node.report(&plane, plane.now(), |_| {}).await;
    plane.post(&format!("/nodes/{}/freeze", node.id), json!({ "reason": "stolen" })).await.ok();

    let path = format!("/nodes/{}/invitation", node.id);
    plane.ask(Method::POST, &path, &stranger, Value::Null).await.problem(ProblemKind::Forbidden);
    let created: Value = plane.ask(Method::POST, &path, &token, Value::Null).await.json();
    let invitation = created["invitation"].as_str().unwrap();
    let body = join_body(invitation, 2, "198.51.100.9:51820");
    let joined: Joined = plane.ask(Method::POST, "/nodes", "", body.clone()).await.json();
    assert_eq!((&joined.node, &joined.addresses), (&node.id, &node.joined.addresses));
    let [former] = &joined.former[..] else { panic!("{joined:?}") };
    assert_eq!(former.entry, format!("enrol {} nordlicht {}", node.id, key(&node, 1).verifier()));
    let proof: LogProof = former.proof.parse().unwrap();
    proof.verify(former.entry.as_bytes(), &plane.plane.keys.record.verifier()).unwrap();
    // Once, but the same again gets the same.
    let again: Joined = plane.ask(Method::POST, "/nodes", "", body).await.json();
    assert_eq!((again.node, again.former), (joined.node, joined.former));
    let other = join_body(invitation, 3, "198.51.100.9:51820");
    plane.ask(Method::POST, "/nodes", "", other).await.problem(ProblemKind::Invitation);

    // Everybody sees that it was not the old key that said so.
    let entry = last_entry(&plane).await;
    let hash: Hash = entry.rsplit(' ').next().unwrap().parse().unwrap();
    let note = plane.plane.store.read().await.unwrap().public_note(hash).await.unwrap().unwrap();
    let signed = Signed::<Rekey>::parse(&note).unwrap();
    signed.verified_by(&plane.plane.keys.statement.verifier()).unwrap();
    assert_eq!(signed.content().former, key(&node, 1).verifier());

    // It is the same node: frozen as it was, with its devices' addresses, and its last report is the one to go on from.
    node.desired(&plane, "").await.problem(ProblemKind::RequestSignature);
    node.key = key(&node, 2);
    let next = node.next_report(plane.now(), |_| {});
    node.send(&plane, next.note()).await.problem(ProblemKind::NodeFrozen);
    plane.post(&format!("/nodes/{}/unfreeze", node.id), Value::Null).await.ok();
    assert_eq!(node.head(&plane).await["note"], last);
    node.send(&plane, next.note()).await.ok();
    let shown: Value = plane.get("/nodes").await.json();
    assert_eq!(shown["items"][0]["endpoint"], "198.51.100.9:51820");

    plane.post(&format!("/nodes/{}/retire", node.id), Value::Null).await.ok();
    plane.ask(Method::POST, &path, &token, Value::Null).await.problem(ProblemKind::Conflict);
}
