//! Batches in all their stages and ways of being paid, on a real Bitcoin network.

use serde_json::{Value, json};
use wiregrant_core::api::{Batch, BatchState, LineState, ProblemKind};
use wiregrant_core::note::Signed;
use wiregrant_payout as payout;
use wiregrant_payout::export::{Form, export};

use crate::bitcoind::bitcoins;
use crate::regtest::{EACH_SATS, Story};

impl Story {
    /// A coin of the wallet as the API takes it.
    fn coin_input(&self, kind: &str, sats: u64) -> Value {
        let coin = self.node.coin(kind, sats).unwrap();
        let mut input = json!({
            "outpoint": format!("{}:{}", coin["txid"].as_str().unwrap(), coin["vout"]),
            "sats": sats.to_string(), "address": coin["address"],
        });
        if kind == "p2sh-segwit" {
            input["redeem_script"] = coin["redeemScript"].clone();
        }
        if kind == "legacy" {
            let made: Value = self.node.wallet("gettransaction", &json!([coin["txid"]])).unwrap();
            input["previous_tx"] = made["hex"].clone();
        }
        input
    }

    fn request(&self, id: &str, coins: &[Value]) -> Value {
        json!({
            "batch": id, "grant": "spring", "coins": coins,
            "change": self.node.address("bech32").unwrap(), "fee_rate_sat_per_vb": 5,
        })
    }
}

fn note(batch: &Batch) -> payout::Batch {
    Signed::<payout::Batch>::parse(&batch.note).unwrap().into_content()
}

#[tokio::test]
async fn a_batch_goes_from_draft_to_frozen_to_exported_and_can_be_dropped_before_it_leaves() {
    let story = Story::begin().await;
    let mut request = story.request("b-1", &[story.coin_input("bech32", 1_000_000)]);
    request["stage"] = json!("draft");
    let draft: Batch = story.plane.post("/batches", request.clone()).await.json();
    assert_eq!((draft.state, draft.payouts.len(), draft.note.as_str()), (BatchState::Draft, 2, ""));
    assert!(story.entries("batch ").await.is_empty(), "a draft is nobody's business");
    assert_eq!(story.state("b-1").await, BatchState::Draft);

    let nothing = json!([]);
    let frozen: Batch = story.plane.post("/batches/b-1/freeze", nothing.clone()).await.json();
    assert_eq!((frozen.state, frozen.psbt.as_str()), (BatchState::Frozen, ""), "nothing to sign has left");
    assert_eq!(story.entries("batch ").await.len(), 1);
    story.plane.post("/batches/b-1/freeze", nothing.clone()).await.problem(ProblemKind::NotFound);
    story.plane.post("/batches", request).await.problem(ProblemKind::AlreadyExists);

    let exported: Batch = story.plane.post("/batches/b-1/export", nothing.clone()).await.json();
    assert_eq!(exported.state, BatchState::Exported);
    assert_eq!((&exported.note, exported.psbt.is_empty()), (&frozen.note, false));
    let cancel = json!({ "reason": "typo" });
    story.plane.post("/batches/b-1/cancel", cancel.clone()).await.ok();
    assert_eq!(story.state("b-1").await, BatchState::CancelPending, "it may be signed somewhere");

    let story = Story::begin().await;
    let mut request = story.request("b-1", &[story.coin_input("bech32", 1_000_000)]);
    request["stage"] = json!("frozen");
    story.plane.post("/batches", request).await.ok();
    story.plane.post("/batches/b-1/cancel", cancel).await.ok();
    assert_eq!(story.state("b-1").await, BatchState::Void, "it never left, so nobody can have signed it");
}

#[tokio::test]
async fn invariant_11_of_a_batch_and_the_one_that_replaces_it_the_mined_one_counts() {
    let mut story = Story::begin().await;
    let first = story.batch("b-1").await;
    let signed_first = story.node.sign(&first.psbt).unwrap();
    let spent = payout::psbt::coins_of(&first.psbt).unwrap()[0].to_string();
    let mut request = story.request("b-2", &[story.coin_input("bech32", 3_000_000)]);
    request["replaces"] = json!("b-1");
    let refused = story.plane.post("/batches", request.clone()).await.problem(ProblemKind::Coins);
    assert!(refused.detail.contains(&spent), "{}", refused.detail);

    // With a coin of the first among larger ones, that one is spent.
    let old: Value = serde_json::from_str(&format!("[\"{spent}\"]")).unwrap();
    let old = json!({ "outpoint": old[0], "sats": "1000000", "address": address_of(&story, &first) });
    request["coins"].as_array_mut().unwrap().push(old);
    let second: Batch = story.plane.post("/batches", request).await.json();
    assert_eq!(
        (second.state, second.total, second.replaces.as_ref()),
        (BatchState::Exported, first.total, Some(&first.batch))
    );
    assert!(payout::psbt::coins_of(&second.psbt).unwrap().iter().any(|coin| coin.to_string() == spent));
    let replaced = story.shown("b-1").await;
    assert_eq!((replaced.state, replaced.replaced_by.as_ref()), (BatchState::Replaced, Some(&second.batch)));
    assert!(replaced.payouts.iter().all(|line| line.state == LineState::Released));
    let cancel = json!({ "reason": "typo", "unsigned": true });
    story.plane.post("/batches/b-1/cancel", cancel).await.problem(ProblemKind::Conflict);

    // The first was signed and is mined all the same: the second cannot be any more, and says so.
    story.node.broadcast(&signed_first).unwrap();
    story.mine(6).await;
    assert_eq!((story.state("b-1").await, story.state("b-2").await), (BatchState::Settled, BatchState::Void));
    assert_eq!(story.entries("void ").await, ["void b-2 replaced-one-was-paid"]);
    assert_eq!(story.entries("paid ").await.len(), 1);
    let again = story.request("b-3", &[story.coin_input("bech32", 1_000_000)]);
    story.plane.post("/batches", again).await.problem(ProblemKind::NothingPayable);
}

/// The address that the batch's only coin is held by.
fn address_of(story: &Story, batch: &Batch) -> Value {
    let decoded: Value = story.node.rpc.call("decodepsbt", &json!([batch.psbt])).unwrap();
    decoded["inputs"][0]["witness_utxo"]["scriptPubKey"]["address"].clone()
}

#[tokio::test]
async fn a_replacement_that_is_mined_settles_the_lines_and_voids_what_it_replaced() {
    let mut story = Story::begin().await;
    let first = story.batch("b-1").await;
    let spent = payout::psbt::coins_of(&first.psbt).unwrap()[0].to_string();
    let coin = json!({ "outpoint": spent, "sats": "1000000", "address": address_of(&story, &first) });
    let mut request = story.request("b-2", &[coin]);
    request["replaces"] = json!("b-1");
    request["fee_rate_sat_per_vb"] = json!(9);
    let second: Batch = story.plane.post("/batches", request).await.json();
    story.node.broadcast(&story.node.sign(&second.psbt).unwrap()).unwrap();
    story.mine(6).await;
    assert_eq!(
        (story.state("b-1").await, story.state("b-2").await),
        (BatchState::Replaced, BatchState::Settled)
    );
    assert_eq!(story.entries("void ").await, ["void b-1 replaced"]);
}

#[tokio::test]
async fn a_wallet_that_chooses_the_coins_itself_pays_by_each_of_the_exports() {
    for form in [Form::SendMany, Form::FundedPsbt] {
        let mut story = Story::begin().await;
        let batch: Batch =
            story.plane.post("/batches", json!({ "batch": "b-1", "grant": "spring" })).await.json();
        assert_eq!((batch.state, batch.psbt.as_str()), (BatchState::Exported, ""));
        let parameters: Value = serde_json::from_str(&export(&note(&batch), form).unwrap()).unwrap();
        if form == Form::SendMany {
            let _: String = story.node.wallet("sendmany", &parameters).unwrap();
        } else {
            let funded: Value = story.node.wallet("walletcreatefundedpsbt", &parameters).unwrap();
            let declare = async |body: Value| story.plane.post("/batches/b-1/transaction", body).await;
            let refused = declare(json!({ "psbt": funded["psbt"] })).await.problem(ProblemKind::Payment);
            assert!(refused.detail.contains("known change address"), "{}", refused.detail);
            let decoded: Value = story.node.rpc.call("decodepsbt", &json!([funded["psbt"]])).unwrap();
            let place = usize::try_from(funded["changepos"].as_u64().unwrap()).unwrap();
            let change = &decoded["tx"]["vout"][place]["scriptPubKey"]["address"];
            declare(json!({ "psbt": funded["psbt"], "change": [change] })).await.ok();
            assert_eq!(story.state("b-1").await, BatchState::Verified);
            story.node.broadcast(&story.node.sign(funded["psbt"].as_str().unwrap()).unwrap()).unwrap();
        }
        story.mine(6).await;
        assert_eq!(story.state("b-1").await, BatchState::Settled, "{form:?}");
    }
}

#[tokio::test]
async fn coins_of_every_type_a_wallet_has_travel_over_the_api() {
    for kind in ["p2sh-segwit", "legacy", "bech32m"] {
        let mut story = Story::begin().await;
        let request = story.request("b-1", &[story.coin_input(kind, 2 * EACH_SATS + 100_000)]);
        let batch: Batch = story.plane.post("/batches", request).await.json();
        story.node.broadcast(&story.node.sign(&batch.psbt).unwrap()).unwrap();
        story.mine(6).await;
        assert_eq!(story.state("b-1").await, BatchState::Settled, "{kind}");
    }
}

#[tokio::test]
async fn the_change_goes_to_a_fresh_address_of_the_funders_own_descriptor() {
    let story = Story::begin().await;
    let all: Value = story.node.wallet("listdescriptors", &json!([])).unwrap();
    let is_own =
        |found: &&Value| found["internal"] == true && found["desc"].as_str().unwrap().starts_with("wpkh(");
    let descriptor = all["descriptors"].as_array().unwrap().iter().find(is_own).unwrap()["desc"].clone();
    let mut request = story.request("b-1", &[story.coin_input("bech32", 1_000_000)]);
    request["change"] = descriptor.clone();
    let batch: Batch = story.plane.post("/batches", request).await.json();
    let decoded: Value = story.node.rpc.call("decodepsbt", &json!([batch.psbt])).unwrap();
    let change = batch.change.unwrap().get();
    let outputs = decoded["tx"]["vout"].as_array().unwrap();
    let place = outputs.iter().position(|output| amount(output) == bitcoins(change)).unwrap();
    let expected: Value = story.node.rpc.call("deriveaddresses", &json!([descriptor, [1, 1]])).unwrap();
    assert_eq!(outputs[place]["scriptPubKey"]["address"], expected[0]);
    assert!(decoded["outputs"][place]["bip32_derivs"].is_array(), "the wallet's device knows its own change");
    story.node.broadcast(&story.node.sign(&batch.psbt).unwrap()).unwrap();
}

/// An output's amount as the node writes it, with eight places.
fn amount(output: &Value) -> String {
    let text = output["value"].to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}.{part:0<8}")
}
