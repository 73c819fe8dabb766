//! From a batch to settled lines, on a real Bitcoin network of its own: the funder's wallet is the node's.

use axum::http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use wiregrant_chain::CoreRpc;
use wiregrant_control::settlement::{self, Source};
use wiregrant_core::Timestamp;
use wiregrant_core::api::{Batch, BatchState, LineState, ProblemKind};
use wiregrant_core::note::{Network, Signed};
use wiregrant_core::usage_report::{Class, PeersBucket};
use wiregrant_payout as payout;
use wiregrant_store::Log;

use crate::bitcoind::{Bitcoind, bitcoins};
use crate::support::{FakeNode, Plane, device_key, label};

const MB: u64 = 1_000_000;
/// What each operator is owed by the grant's one epoch.
pub const EACH_SATS: u64 = 250_000;

/// A control plane that owes two operators 250,000 sats each, and a Bitcoin node whose wallet is the funder's.
pub struct Story {
    pub plane: Plane,
    pub node: Bitcoind,
    source: Option<Source>,
    _folder: TempDir,
}

impl Story {
    pub async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = Bitcoind::start(folder.path()).unwrap();
        node.fill_wallet().unwrap();
        let plane = owing_two_operators(&node).await;
        let source = CoreRpc::open(&node.url, node.cookie_file.clone(), Network::Regtest).unwrap();
        let mut story = Self { plane, node, source: Some(Box::new(source)), _folder: folder };
        story.look().await;
        story
    }

    pub async fn look(&mut self) {
        loop {
            let source = self.source.take().unwrap();
            let (source, up_to_date) = settlement::look(&self.plane.plane, source).await.unwrap();
            self.source = Some(source);
            if up_to_date {
                return;
            }
        }
    }

    pub async fn mine(&mut self, blocks: u32) {
        self.node.mine(blocks).unwrap();
        self.look().await;
    }

    /// A batch from a fresh coin of the wallet.
    pub async fn batch(&self, id: &str) -> Batch {
        let coin = self.node.coin("bech32", 1_000_000).unwrap();
        let outpoint = format!("{}:{}", coin["txid"].as_str().unwrap(), coin["vout"]);
        let body = json!({
            "batch": id, "grant": "spring",
            "coins": [{ "outpoint": outpoint, "sats": "1000000", "address": coin["address"] }],
            "change": self.node.address("bech32").unwrap(), "fee_rate_sat_per_vb": 5,
        });
        self.plane.post("/batches", body).await.json()
    }

    pub async fn shown(&self, id: &str) -> Batch {
        self.plane.get(&format!("/batches/{id}")).await.json()
    }

    pub async fn state(&self, id: &str) -> BatchState {
        self.shown(id).await.state
    }

    pub async fn entries(&self, of: &str) -> Vec<String> {
        let entries =
            self.plane.plane.store.read().await.unwrap().entries(Log::Record, 0, 100).await.unwrap();
        entries.into_iter().filter(|entry| entry.starts_with(of)).collect()
    }

    async fn note_is_public(&self, batch: &Batch) -> bool {
        let hash = Signed::<payout::Batch>::parse(&batch.note).unwrap().hash();
        self.plane.plane.store.read().await.unwrap().public_note(hash).await.unwrap().is_some()
    }
}

/// A grant of one epoch, in which both operators served the same, is closed.
async fn owing_two_operators(node: &Bitcoind) -> Plane {
    let plane = Plane::start().await;
    let ngo = plane.distributor("ngo").await;
    let mut nodes = Vec::new();
    for (seed, operator, location) in [(1, "nordlicht", "de-fra"), (2, "suedwind", "is-rkv")] {
        plane.location(location).await;
        plane.operator(operator).await;
        let address = node.address("bech32m").unwrap();
        plane.post(&format!("/operators/{operator}/destination"), json!({ "pay": address })).await.ok();
        nodes.push(plane.node(operator, location, seed).await);
        let code = plane.codes(&ngo, 1, 1, 1_000 * MB).await.remove(0);
        let body = json!({ "public_key": device_key(20 + seed), "location": location });
        plane.ask(Method::POST, "/devices", &code, body).await.ok();
    }
    plane.grant("spring", 1, 2 * EACH_SATS, |_| {}).await;
    for node in &mut nodes {
        plane.admit("spring", node).await;
        node.report(&plane, plane.now(), |_| {}).await;
    }
    plane.clock.advance(60);
    let end = plane.now().plus_seconds(60);
    for node in &mut nodes {
        serve(&plane, node, end).await;
    }
    plane.clock.advance(61);
    plane.close("spring", 1).await.ok();
    plane
}

async fn serve(plane: &Plane, node: &mut FakeNode, end: Timestamp) {
    node.serve(Class::Assigned, MB, 2 * MB);
    node.report(plane, end, |report| {
        report.epoch = label("spring", 1);
        report.peers = PeersBucket::TenTo24;
    })
    .await;
}

#[tokio::test]
async fn a_batch_is_signed_by_the_funders_wallet_mined_and_settled() {
    let mut story = Story::begin().await;
    let batch = story.batch("b-1").await;
    assert_eq!((batch.payouts.len(), batch.total.get()), (2, 2 * EACH_SATS));
    assert_eq!((batch.state, batch.destinations.len()), (BatchState::Exported, 2));
    let txid = story.node.broadcast(&story.node.sign(&batch.psbt).unwrap()).unwrap();
    story.look().await;
    assert_eq!(story.state("b-1").await, BatchState::Seen);
    story.mine(1).await;
    let confirmed = story.shown("b-1").await;
    assert_eq!((confirmed.state, confirmed.transactions[0].depth), (BatchState::Confirmed, 1));
    story.mine(4).await;
    assert_eq!(story.entries("paid ").await, Vec::<String>::new());
    assert!(!story.note_is_public(&batch).await, "an unpaid batch is nobody's business");
    story.mine(1).await;
    let settled = story.shown("b-1").await;
    assert_eq!((settled.state, settled.paid_by.as_ref()), (BatchState::Settled, Some(&txid)));
    assert!(settled.payouts.iter().all(|payout| payout.state == LineState::Settled));
    assert_eq!(story.entries("paid ").await, [format!("paid b-1 {txid}")]);
    assert!(story.note_is_public(&batch).await);

    // What is paid can neither be cancelled nor paid again.
    let cancel = json!({ "reason": "typo", "unsigned": true });
    story.plane.post("/batches/b-1/cancel", cancel).await.problem(ProblemKind::Conflict);
    let again = json!({
        "batch": "b-2", "grant": "spring", "coins": [], "change": story.node.address("bech32").unwrap(),
        "fee_rate_sat_per_vb": 5,
    });
    story.plane.post("/batches", again).await.problem(ProblemKind::NothingPayable);

    // Looked at until it is a hundred deep, and not beyond.
    story.mine(94).await;
    assert_eq!(story.shown("b-1").await.transactions.len(), 1);
    story.mine(1).await;
    let closed = story.shown("b-1").await;
    assert_eq!(
        (closed.state, closed.paid_by, closed.transactions.len()),
        (BatchState::Settled, Some(txid), 0)
    );
}

#[tokio::test]
async fn a_reorganisation_takes_states_back_also_over_a_restart() {
    let mut story = Story::begin().await;
    let batch = story.batch("b-1").await;
    story.node.broadcast(&story.node.sign(&batch.psbt).unwrap()).unwrap();
    story.mine(3).await;
    assert_eq!(story.state("b-1").await, BatchState::Confirmed);
    let height: u32 = story.node.rpc.call("getblockcount", &json!([])).unwrap();
    let hash: String = story.node.rpc.call("getblockhash", &json!([height - 2])).unwrap();
    let _: Value = story.node.rpc.call("invalidateblock", &json!([hash])).unwrap();
    story.plane = story.plane.restart().await;
    story.look().await;
    assert_eq!(story.state("b-1").await, BatchState::Seen);
    story.mine(6).await;
    assert_eq!(story.state("b-1").await, BatchState::Settled);
    assert_eq!(story.entries("paid ").await.len(), 1);
}

#[tokio::test]
async fn a_cancelled_batch_is_void_once_double_spent_and_its_lines_are_paid_by_the_next() {
    let mut story = Story::begin().await;
    let batch = story.batch("b-1").await;
    let signed = story.node.sign(&batch.psbt).unwrap();
    let cancel = json!({ "reason": "wrong-fee" });
    story.plane.post("/batches/b-1/cancel", cancel).await.ok();
    assert_eq!(story.state("b-1").await, BatchState::CancelPending);
    let inputs: Value = story.node.rpc.call("decoderawtransaction", &json!([signed])).unwrap();
    let input = &inputs["vin"][0];
    let home = story.node.address("bech32").unwrap();
    let elsewhere: String = story
        .node
        .rpc
        .call(
            "createpsbt",
            &json!([[{ "txid": input["txid"], "vout": input["vout"] }], [{ home: bitcoins(990_000) }]]),
        )
        .unwrap();
    story.node.broadcast(&story.node.sign(&elsewhere).unwrap()).unwrap();
    story.mine(5).await;
    assert_eq!(story.state("b-1").await, BatchState::CancelPending);
    story.mine(1).await;
    let void = story.shown("b-1").await;
    assert_eq!(void.state, BatchState::Void);
    assert!(void.payouts.iter().all(|payout| payout.state == LineState::Released));
    assert_eq!(story.entries("void ").await, ["void b-1 wrong-fee"]);

    let next = story.batch("b-2").await;
    assert_eq!(next.total, batch.total);
    story.node.broadcast(&story.node.sign(&next.psbt).unwrap()).unwrap();
    story.mine(6).await;
    assert_eq!((story.state("b-1").await, story.state("b-2").await), (BatchState::Void, BatchState::Settled));
}

#[tokio::test]
async fn a_void_batch_that_is_paid_after_all_is_disputed() {
    let mut story = Story::begin().await;
    let batch = story.batch("b-1").await;
    let signed = story.node.sign(&batch.psbt).unwrap();
    let cancel = json!({ "reason": "typo", "unsigned": true });
    story.plane.post("/batches/b-1/cancel", cancel.clone()).await.ok();
    story.plane.post("/batches/b-1/cancel", cancel).await.ok(); // its answer got lost
    assert_eq!(story.entries("void ").await, ["void b-1 typo"]);
    story.node.broadcast(&signed).unwrap();
    story.mine(1).await;
    assert_eq!(story.state("b-1").await, BatchState::Disputed);
}

#[tokio::test]
async fn what_another_wallet_pays_is_declared_also_after_its_block_has_passed() {
    let mut story = Story::begin().await;
    let batch = story.batch("b-1").await;
    // Two payments, one line each: by themselves they are donations.
    let mut txids: Vec<String> = Vec::new();
    for payout in &batch.payouts {
        let amount = bitcoins(payout.sats.get());
        txids.push(story.node.wallet("sendtoaddress", &json!([payout.address, amount])).unwrap());
    }
    story.mine(3).await;
    assert_eq!(story.state("b-1").await, BatchState::Exported);
    let declare = async |body: Value| story.plane.post("/batches/b-1/transaction", body).await;
    declare(json!({ "txid": txids[0] })).await.ok();
    story.look().await;
    let half = story.shown("b-1").await;
    assert_eq!((half.state, half.missing.get()), (BatchState::Partial, EACH_SATS));
    let declare = async |body: Value| story.plane.post("/batches/b-1/transaction", body).await;
    let hex: Value = story.node.wallet("gettransaction", &json!([txids[1]])).unwrap();
    declare(json!({ "transaction": hex["hex"] })).await.ok();
    story.mine(3).await;
    assert_eq!(story.state("b-1").await, BatchState::Settled);
}

#[tokio::test]
async fn a_declaration_that_does_not_fit_is_refused_with_why() {
    let story = Story::begin().await;
    let batch = story.batch("b-1").await;
    let declare = async |body: Value| story.plane.post("/batches/b-1/transaction", body).await;
    declare(json!({})).await.problem(ProblemKind::InvalidRequest);
    declare(json!({ "txid": "00" })).await.problem(ProblemKind::InvalidRequest);
    declare(json!({ "txid": "00".repeat(32), "psbt": batch.psbt }))
        .await
        .problem(ProblemKind::InvalidRequest);
    declare(json!({ "transaction": "0200" })).await.problem(ProblemKind::Payment);
    let coin = story.node.coin("bech32", 5_000).unwrap();
    let stray: Value = story.node.wallet("gettransaction", &json!([coin["txid"]])).unwrap();
    let refused = declare(json!({ "transaction": stray["hex"] })).await.problem(ProblemKind::Payment);
    assert!(refused.detail.contains("pays nothing to any address of b-1"), "{}", refused.detail);
    let outputs = json!([{ batch.payouts[0].address.clone(): "0.0025" }]);
    let other: Value = story.node.wallet("walletcreatefundedpsbt", &json!([[], outputs])).unwrap();
    declare(json!({ "psbt": other["psbt"] })).await.problem(ProblemKind::Payment);
    assert_eq!(story.state("b-1").await, BatchState::Exported);
    declare(json!({ "psbt": batch.psbt })).await.ok();
    assert_eq!(story.state("b-1").await, BatchState::Verified);
    let nobody = story.plane.ask(Method::POST, "/batches/b-1/cancel", "", json!({ "reason": "x" })).await;
    nobody.problem(ProblemKind::Unauthorized);
    story.plane.post("/batches/b-9/cancel", json!({ "reason": "x" })).await.problem(ProblemKind::NotFound);
    story
        .plane
        .post("/batches/b-1/cancel", json!({ "reason": "a whole sentence" }))
        .await
        .problem(ProblemKind::InvalidRequest);
}
