//! Where operators are paid: what may be named, what is refused, and what follows from it when a batch is frozen.

use axum::http::Method;
use serde_json::{Value, json};
use transparency_log::Hash;
use wiregrant_core::api::{Batch, ProblemKind};
use wiregrant_core::record::RecordEntry;
use wiregrant_core::usage_report::{Class, PeersBucket};
use wiregrant_payout::Pay;

use crate::resolver;
use crate::support::browser::Browser;
use crate::support::{ADDRESS, FakeNode, OTHER_ADDRESS, Plane, device_key, label};

const MB: u64 = 1_000_000;
/// The account key of BIP 84's test vector, for test networks.
const TPUB: &str = "tpubDCxX2sYFS5bDkSe5GKKYHjBW7tgyN1R3UchpLJvdbf54ohxeGRtd8MbDUe1cguVHe4vnK68DsuD5MXjxi9EXx16rb9EnNsaF5KT99CinaJz";

async fn set(plane: &Plane, pay: &str) -> crate::support::Answered {
    plane.post("/operators/nordlicht/destination", json!({ "pay": pay })).await
}

#[tokio::test]
async fn every_type_of_address_a_descriptor_a_link_and_a_name_are_taken_and_shown() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    let descriptor = format!("wpkh({TPUB}/0/*)");
    let link = format!("bitcoin:{ADDRESS}?label=node");
    for pay in [
        ADDRESS,
        OTHER_ADDRESS,
        "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry",
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
        &descriptor,
        &link,
        "nordlicht@example.org",
    ] {
        let shown: Value = set(&plane, pay).await.json();
        assert_eq!((shown["pay"].as_str().unwrap(), &shown["ownership_proven"]), (pay, &json!(false)));
    }
}

#[tokio::test]
async fn what_cannot_be_paid_or_looks_like_a_secret_is_refused_and_not_repeated() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    for (pay, hint) in [
        (format!("wpkh({TPUB}/0/7)"), "no range"),
        (format!("wpkh({TPUB}/0/*h)"), "hardened"),
        (format!("bitcoin:{ADDRESS}?amount=1"), "amount"),
        ("bitcoin:?lno=lno1pg".to_owned(), "no address"),
        ("nordlicht@example".to_owned(), "name"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4".to_owned(), "regtest"),
    ] {
        let detail = set(&plane, &pay).await.problem(ProblemKind::Address).detail;
        assert!(detail.contains(hint), "{pay}: {detail}");
    }
    let key = "cTpB4YiyKiBcPxnefsDpbnDxFDffjqJob8wGCEDXxgQ7zQoMXJdH";
    for body in [json!({ "pay": format!("wpkh({key})") }), json!({ "pay": ADDRESS, "proof": key })] {
        let refused = plane.post("/operators/nordlicht/destination", body).await;
        assert!(!refused.body.contains("cTpB"), "{}", refused.body);
        refused.problem(ProblemKind::LooksLikeASecret);
    }
}

#[tokio::test]
async fn who_signs_with_the_address_has_proven_that_it_is_theirs() {
    let plane = Plane::start().await;
    let token = plane.operator("nordlicht").await;
    // The key of 32 bytes 0x01, in the old form of a signed message.
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let key = bitcoin::secp256k1::SecretKey::from_slice(&[1; 32]).unwrap();
    let public = bitcoin::PublicKey::new(key.public_key(&secp));
    let address = bitcoin::Address::p2pkh(public, bitcoin::Network::Regtest).to_string();
    let sign = |text: &str| {
        let digest = bitcoin::sign_message::signed_msg_hash(text);
        let digest = bitcoin::secp256k1::Message::from_digest(*AsRef::<[u8; 32]>::as_ref(&digest));
        bitcoin::sign_message::MessageSignature::new(secp.sign_ecdsa_recoverable(&digest, &key), true)
            .to_base64()
    };
    let text = format!("wiregrant: nordlicht is paid at {address} by grants.example/record");
    let body = |proof: String| json!({ "pay": address, "proof": proof });
    let other = plane.post("/operators/nordlicht/destination", body(sign("something else"))).await;
    assert!(other.problem(ProblemKind::Address).detail.contains(&text), "it says what is to be signed");
    let shown: Value = plane.post("/operators/nordlicht/destination", body(sign(&text))).await.json();
    assert_eq!(shown["ownership_proven"], true);
    // The same by a browser's form.
    let mut browser = Browser::new(&plane);
    browser.sign_in(&token).await;
    let (path, proof) = ("/operators/nordlicht/destination", sign(&text));
    let answer = browser.post(path, &[("destination", &address), ("proof", &proof)]).await;
    assert_eq!(answer.headers["location"], path, "{}", answer.body);
    let page = browser.get(path).await.ok();
    assert!(page.body.contains("proven by the address") && page.body.contains("<dd>2</dd>"), "{}", page.body);
}

fn at(seconds: i64) -> wiregrant_core::Timestamp {
    wiregrant_core::Timestamp::from_unix_seconds(seconds).unwrap()
}

/// A control plane with an operator who earns in each of `epochs` epochs.
async fn earning(epochs: u64) -> (Plane, FakeNode) {
    earning_on(Plane::start().await, epochs).await
}

async fn earning_on(plane: Plane, epochs: u64) -> (Plane, FakeNode) {
    plane.location("de-fra").await;
    plane.operator("nordlicht").await;
    let node = plane.node("nordlicht", "de-fra", 1).await;
    let ngo = plane.distributor("ngo").await;
    let code = plane.codes(&ngo, 1, 1, 1_000 * MB).await.remove(0);
    plane.ask(Method::POST, "/devices", &code, json!({ "public_key": device_key(20) })).await.ok();
    plane.grant("spring", epochs, epochs * 100_000, |_| {}).await;
    plane.admit("spring", &node).await;
    (plane, node)
}

async fn earn(plane: &Plane, node: &mut FakeNode, epoch: u64) {
    let grant: Value = plane.get("/grants/spring").await.json();
    let start: wiregrant_core::Timestamp =
        serde_json::from_value(grant["terms"]["start"].clone()).expect("a time");
    if epoch == 1 {
        node.report(plane, plane.now(), |_| {}).await;
        plane.clock.advance(60);
    }
    let end = start.plus_seconds(60 * epoch);
    node.serve(Class::Assigned, MB, 2 * MB);
    node.report(plane, end, |report| {
        report.epoch = label("spring", epoch);
        report.peers = PeersBucket::TenTo24;
    })
    .await;
    plane.clock.advance((end.unix_seconds() - plane.now().unix_seconds() + 1).max(0));
    plane.close("spring", epoch).await.ok();
}

async fn pay(plane: &Plane, id: &str) -> Batch {
    plane.post("/batches", json!({ "batch": id, "grant": "spring" })).await.json()
}

#[tokio::test]
async fn a_descriptor_gives_each_batch_a_fresh_address_and_never_one_twice() {
    let (plane, mut node) = earning(3).await;
    let text = format!("wpkh({TPUB}/<0;1>/*)");
    set(&plane, &text).await.ok();
    let Pay::Descriptor(descriptor) = Pay::parse(&text, plane.plane.config.network).unwrap() else {
        panic!("a descriptor")
    };
    let address = |index| descriptor.address(index).unwrap().to_string();
    earn(&plane, &mut node, 1).await;
    earn(&plane, &mut node, 2).await;
    let first = pay(&plane, "b-1").await;
    assert_eq!(first.payouts.len(), 2);
    assert!(first.payouts.iter().all(|line| line.address == address(1)), "one payout, one address");
    // Also one that nobody ever paid has used its index.
    plane.post("/batches/b-1/cancel", json!({ "reason": "typo", "unsigned": true })).await.ok();
    let second = pay(&plane, "b-2").await;
    assert_eq!(second.payouts[0].address, address(2));
    // Named once more in another form, it goes on.
    set(&plane, ADDRESS).await.ok();
    set(&plane, &format!("wpkh([73c5da0a/84h/1h/0h]{TPUB}/0/*)")).await.ok();
    // Earned before: an epoch that is so long over closes by itself.
    earn(&plane, &mut node, 3).await;
    plane.clock.advance(72 * 3_600);
    assert_eq!(pay(&plane, "b-3").await.payouts[0].address, address(3));
    plane.post("/batches/b-3/cancel", json!({ "reason": "typo", "unsigned": true })).await.ok();

    // A restored database has the record, and not the rows of what was frozen after the backup.
    let mut write = plane.plane.store.write().await.unwrap();
    let lost = |id: &str| RecordEntry::Batch { batch: id.parse().unwrap(), note: Hash::of(id.as_bytes()) };
    let entries = ["lost-1", "lost-2"].map(|id| lost(id).to_string());
    write.append(wiregrant_store::Log::Record, &entries).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(pay(&plane, "b-4").await.payouts[0].address, address(6), "two may be used that are not known");
}

#[tokio::test]
async fn invariant_8_a_new_destination_acts_after_its_delay_and_a_frozen_batch_keeps_the_old_one() {
    let (plane, mut node) = earning(3).await;
    set(&plane, ADDRESS).await.ok();
    earn(&plane, &mut node, 1).await;
    let first = pay(&plane, "b-1").await;
    assert_eq!(first.payouts[0].address, ADDRESS, "the first destination acts at once");
    let changed: Value = set(&plane, OTHER_ADDRESS).await.json();
    assert_eq!(changed["in_force_from"], json!(plane.now().plus_seconds(72 * 3_600)));
    earn(&plane, &mut node, 2).await;
    assert_eq!(pay(&plane, "b-2").await.payouts[0].address, ADDRESS);
    // Earned before: an epoch that is so long over closes by itself.
    earn(&plane, &mut node, 3).await;
    plane.clock.advance(72 * 3_600);
    assert_eq!(pay(&plane, "b-3").await.payouts[0].address, OTHER_ADDRESS);
    let shown: Batch = plane.get("/batches/b-1").await.json();
    assert_eq!(shown.payouts[0].address, ADDRESS);
}

#[tokio::test]
async fn a_name_is_paid_at_the_address_that_its_zone_has_signed_and_the_proof_is_kept() {
    let plane = Plane::start_looking_names_up(resolver::serve(|_| {}), at(resolver::VALID_AT)).await;
    let (plane, mut node) = earning_on(plane, 1).await;
    set(&plane, resolver::NAME).await.ok();
    earn(&plane, &mut node, 1).await;
    let batch = pay(&plane, "b-1").await;
    assert_eq!(batch.payouts[0].address, resolver::ADDRESS, "{:?}", batch.left_out);
    let kept = batch.destinations.iter().find_map(|note| note.strip_prefix("proof nordlicht 1 ")).unwrap();
    let proof = data_encoding::BASE64.decode(kept.trim_end().as_bytes()).unwrap();
    let name = wiregrant_payout::PaymentName::parse(resolver::NAME, plane.plane.config.network).unwrap();
    let proved = name.resolved(&proof, plane.now()).unwrap();
    assert_eq!(proved.address().unwrap().to_string(), resolver::ADDRESS);
}

#[tokio::test]
async fn a_name_whose_resolver_lies_is_left_out_with_the_reason() {
    let lying = resolver::serve(|answer| *answer.last_mut().unwrap() ^= 1);
    let plane = Plane::start_looking_names_up(lying, at(resolver::VALID_AT)).await;
    let (plane, mut node) = earning_on(plane, 1).await;
    set(&plane, resolver::NAME).await.ok();
    earn(&plane, &mut node, 1).await;
    let refused = plane.post("/batches", json!({ "batch": "b-1", "grant": "spring" })).await;
    let detail = refused.problem(ProblemKind::NothingPayable).detail;
    assert!(detail.contains("nordlicht, epoch 1") && detail.contains("proof"), "{detail}");
}

#[tokio::test]
async fn a_name_is_not_paid_without_a_resolver() {
    let (plane, mut node) = earning(1).await;
    set(&plane, "nordlicht@example.org").await.ok();
    earn(&plane, &mut node, 1).await;
    let refused = plane.post("/batches", json!({ "batch": "b-1", "grant": "spring" })).await;
    let refused = refused.problem(ProblemKind::NothingPayable);
    assert!(refused.detail.contains("name_resolver"), "{}", refused.detail);
}
