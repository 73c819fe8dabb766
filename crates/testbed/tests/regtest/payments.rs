//! The chain against a real node on a network of its own: what its wallet signs, its mempool holds and its blocks bury is
//! what a watch sees.

use std::collections::BTreeMap;

use bitcoin::{ScriptBuf, Transaction, Txid};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::bitcoind::{Bitcoind, bitcoins};
use transparency_log::Hash;
use wiregrant_chain::follow::Progress;
use wiregrant_chain::{ChainSource, CoreRpc, Followed, follow};
use wiregrant_core::Sats;
use wiregrant_core::api::{BatchState, LineState};
use wiregrant_core::note::{Network, Salt};
use wiregrant_payout::export::{Form, export};
use wiregrant_payout::matching::{Decisions, Role, Verdict};
use wiregrant_payout::psbt::parse_coin_line;
use wiregrant_payout::{
    Batch, BatchLine, Coin, PayoutAddress, UnsignedPsbt, Watch, WatchedBatch, build, check_psbt,
};

/// A node with a filled wallet, and a watch that follows it.
pub struct Chain {
    pub node: Bitcoind,
    pub source: Box<dyn ChainSource>,
    followed: Followed,
    pub watch: Watch,
    _folder: TempDir,
}

impl Chain {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = Bitcoind::start(folder.path()).unwrap();
        node.fill_wallet().unwrap();
        let source = CoreRpc::open(&node.url, node.cookie_file.clone(), Network::Regtest).unwrap();
        Self::of(node, Box::new(source), folder)
    }

    /// The same of a node with a filled wallet that runs in a folder, seen through another source.
    pub fn of(node: Bitcoind, source: Box<dyn ChainSource>, folder: TempDir) -> Self {
        Self { node, source, followed: Followed::default(), watch: Watch::default(), _folder: folder }
    }

    /// Watches for these batches from now on.
    pub fn watch(&mut self, batches: Vec<WatchedBatch>) {
        self.watch = Watch::new(batches, [], 0);
        self.look();
    }

    pub fn look(&mut self) -> Progress {
        let progress = follow(&mut *self.source, &mut self.followed, &mut self.watch, None).unwrap();
        assert!(progress.up_to_date);
        progress
    }

    pub fn mine(&mut self, blocks: u32) -> Vec<String> {
        let mined = self.node.mine(blocks).unwrap();
        self.look();
        mined
    }

    pub fn verdict(&self, batch: &str) -> Verdict {
        self.watch.verdicts().remove(&batch.parse().unwrap()).unwrap()
    }

    pub fn state(&self, batch: &str) -> BatchState {
        self.verdict(batch).state
    }

    fn coin(&self, kind: &str, sats: u64) -> Coin {
        let coin = self.node.coin(kind, sats).unwrap();
        let text = |field: &str| coin[field].as_str().unwrap().to_owned();
        let line = format!("{}:{}:{sats}:{}", text("txid"), coin["vout"], text("address"));
        let coin_of_line = parse_coin_line(&line, Network::Regtest).unwrap();
        if kind == "legacy" {
            let previous: Value = self.node.wallet("gettransaction", &json!([text("txid")])).unwrap();
            return coin_of_line.with_previous_tx(previous["hex"].as_str().unwrap()).unwrap();
        }
        coin_of_line
    }

    fn change(&self) -> PayoutAddress {
        PayoutAddress::parse(&self.node.address("bech32").unwrap(), Network::Regtest).unwrap()
    }

    /// A batch to fresh addresses, its transaction from one coin of the wallet, and the batch as it is watched.
    pub fn batch(&self, id: &str, sums: &[u64]) -> Paying {
        let addresses = sums.iter().map(|_| self.node.address("bech32").unwrap()).collect::<Vec<_>>();
        let lines = sums.iter().zip(addresses).map(|(sats, address)| (address, *sats)).collect();
        self.batch_of(id, lines, "bech32")
    }

    fn batch_of(&self, id: &str, lines: Vec<(String, u64)>, kind: &str) -> Paying {
        let batch = batch(id, lines);
        let change = self.change();
        let coin = self.coin(kind, batch.total.get() + 1_000_000);
        let psbt = build(&batch, &[coin], &change, 5).unwrap();
        check_psbt(&psbt.to_base64(), &batch, std::slice::from_ref(&change)).unwrap();
        let mut watched = WatchedBatch::new(&batch, Decisions::default()).unwrap();
        watched.add_psbt(&psbt.to_base64()).unwrap();
        Paying { batch, psbt, watched }
    }

    /// Signs and broadcasts a transaction with the same input and other outputs, or with one more input.
    pub fn send_instead(&self, psbt: &UnsignedPsbt, outputs: &[(String, u64)]) -> Txid {
        let spent = psbt.psbt().unsigned_tx.input[0].previous_output;
        let inputs =
            json!([{ "txid": spent.txid.to_string(), "vout": spent.vout, "sequence": 0xffff_fffd_u32 }]);
        let outputs: Vec<Value> =
            outputs.iter().map(|(address, sats)| json!({ address: bitcoins(*sats) })).collect();
        let psbt: String = self.node.rpc.call("createpsbt", &json!([inputs, outputs])).unwrap();
        let txid = self.node.broadcast(&self.node.sign(&psbt).unwrap()).unwrap();
        txid.parse().unwrap()
    }
}

pub struct Paying {
    batch: Batch,
    pub psbt: UnsignedPsbt,
    pub watched: WatchedBatch,
}

fn batch(id: &str, lines: Vec<(String, u64)>) -> Batch {
    let lines: Vec<BatchLine> = (1..)
        .zip(lines)
        .map(|(number, (address, sats))| BatchLine {
            operator: format!("op-{number}").parse().unwrap(),
            grant: "spring".parse().unwrap(),
            epoch: 1,
            sats: Sats::new(sats).unwrap(),
            address,
            destination_sequence: 1,
        })
        .collect();
    let batch = Batch {
        log: "grants.example/record".parse().unwrap(),
        network: Network::Regtest,
        batch: id.parse().unwrap(),
        replaces: None,
        record_size: 41,
        record_root: Hash::of(b"record"),
        salt: Salt([0; 16]),
        total: Sats::total(lines.iter().map(|line| line.sats)).unwrap(),
        lines,
    };
    batch.checked().unwrap()
}

/// Fresh addresses of all five kinds, by turns: the node derives a witness script's by itself.
fn addresses(node: &Bitcoind, count: usize) -> Vec<String> {
    let kinds = ["bech32", "bech32m", "legacy", "p2sh-segwit"];
    (0..count).map(|n| node.address(kinds[n % kinds.len()]).unwrap()).collect()
}

fn all_lines(verdict: &Verdict, state: LineState) -> bool {
    verdict.paid.values().all(|paid| paid.state() == state)
}

#[test]
fn five_hundred_lines_are_signed_mined_and_settled_by_a_pruned_node() {
    let mut chain = Chain::start();
    let lines = addresses(&chain.node, 500).into_iter().zip((0..).map(|n| 10_000 + n)).collect();
    let paying = chain.batch_of("spring-1", lines, "bech32m");
    chain.watch(vec![paying.watched]);
    let signed = chain.node.sign(&paying.psbt.to_base64()).unwrap();
    let size: Value = chain.node.rpc.call("decoderawtransaction", &json!([signed])).unwrap();
    assert_eq!(size["vsize"].as_u64().unwrap(), paying.psbt.vbytes(), "the estimate is exact for Taproot");
    assert_eq!(chain.state("spring-1"), BatchState::Exported);

    let txid = chain.node.broadcast(&signed).unwrap();
    chain.look();
    assert_eq!(chain.state("spring-1"), BatchState::Seen);
    chain.mine(1);
    assert_eq!(chain.state("spring-1"), BatchState::Confirmed);
    chain.mine(4);
    assert_eq!(chain.state("spring-1"), BatchState::Confirmed);
    chain.mine(1);
    let verdict = chain.verdict("spring-1");
    assert_eq!(verdict.state, BatchState::Settled);
    assert_eq!(verdict.settled_by().map(|txid| txid.to_string()), Some(txid));
    assert_eq!((verdict.paid.len(), all_lines(&verdict, LineState::Settled)), (500, true));
    assert_eq!(paying.psbt.txid(), verdict.settled_by(), "known before it was signed");
}

#[test]
fn a_bumped_fee_and_a_block_taken_back_are_followed() {
    let mut chain = Chain::start();
    let paying = chain.batch("spring-1", &[60_000, 40_000]);
    chain.watch(vec![paying.watched]);
    let original = chain.node.broadcast(&chain.node.sign(&paying.psbt.to_base64()).unwrap()).unwrap();
    let original: Txid = original.parse().unwrap();
    chain.look();
    let bumped: Value =
        chain.node.wallet("bumpfee", &json!([original.to_string(), { "fee_rate": 25 }])).unwrap();
    let bumped: Txid = bumped["txid"].as_str().unwrap().parse().unwrap();
    chain.look();
    assert_eq!(chain.state("spring-1"), BatchState::Seen);
    let by_id = |verdict: &Verdict| -> BTreeMap<Txid, Role> {
        verdict.payments.iter().map(|payment| (payment.txid, payment.role)).collect()
    };
    let roles = by_id(&chain.verdict("spring-1"));
    assert_eq!((roles[&original], roles[&bumped]), (Role::Replaced, Role::Pays));
    chain.mine(6);
    assert_eq!(chain.verdict("spring-1").settled_by(), Some(bumped));

    // The sixth block is taken back, then all six: the payment waits again, and is mined again.
    let hash = |chain: &Chain, above: u32| -> String {
        let height = chain.watch.tip() - above;
        chain.node.rpc.call("getblockhash", &json!([height])).unwrap()
    };
    let take_back = |chain: &mut Chain, above: u32| {
        let block = hash(chain, above);
        let _: Value = chain.node.rpc.call("invalidateblock", &json!([block])).unwrap();
        chain.look()
    };
    assert_eq!(take_back(&mut chain, 0).taken_back, 1);
    assert_eq!(chain.state("spring-1"), BatchState::Confirmed);
    assert_eq!(take_back(&mut chain, 4).taken_back, 5);
    assert_eq!(chain.state("spring-1"), BatchState::Seen);
    chain.mine(6);
    assert_eq!(chain.verdict("spring-1").settled_by(), Some(bumped));
}

#[test]
fn a_cancelled_batch_is_void_for_good_once_its_coin_is_spent_elsewhere() {
    let mut chain = Chain::start();
    let paying = chain.batch("spring-1", &[60_000, 40_000]);
    let mut watched = paying.watched.clone();
    watched.decisions.cancel_asked = true;
    chain.watch(vec![watched]);
    let signed = chain.node.sign(&paying.psbt.to_base64()).unwrap();
    let home = chain.node.address("bech32").unwrap();
    let elsewhere = chain.send_instead(&paying.psbt, &[(home, 1_090_000)]);
    chain.look();
    assert_eq!(chain.state("spring-1"), BatchState::CancelPending);
    chain.mine(5);
    assert_eq!(chain.verdict("spring-1").impossible_by(), None);
    chain.mine(1);
    assert_eq!(chain.verdict("spring-1").impossible_by(), Some(elsewhere));
    let refusal = chain.node.broadcast(&signed).unwrap_err().to_string();
    assert!(refusal.contains("missing") || refusal.contains("spent"), "{refusal}");
}

#[test]
fn one_address_of_two_operators_is_paid_by_one_output() {
    let mut chain = Chain::start();
    let address = chain.node.address("bech32m").unwrap();
    let other = chain.node.address("p2sh-segwit").unwrap();
    let lines = vec![(address.clone(), 10_000), (address, 20_000), (other, 30_000)];
    let paying = chain.batch_of("spring-1", lines, "legacy");
    assert_eq!((paying.batch.lines.len(), paying.psbt.outputs().len()), (3, 2));
    assert_eq!(paying.psbt.txid(), None, "a legacy coin's signature changes the id");
    chain.watch(vec![paying.watched]);
    chain.node.broadcast(&chain.node.sign(&paying.psbt.to_base64()).unwrap()).unwrap();
    chain.look();
    assert_eq!(chain.state("spring-1"), BatchState::Seen, "known by the coin it spends");
    chain.mine(6);
    assert_eq!(chain.state("spring-1"), BatchState::Settled);
}

/// The node's own wallet funds and places the change at random; nothing of it is known but what it pays.
#[test]
fn a_transaction_of_a_wallet_is_found_wherever_its_change_stands() {
    let mut chain = Chain::start();
    let ids: Vec<String> = (0..4).map(|n| format!("spring-{n}")).collect();
    let payings: Vec<Paying> = ids.iter().map(|id| chain.batch(id, &[60_000, 40_000, 30_000])).collect();
    let without_psbt = |paying: &Paying| WatchedBatch::new(&paying.batch, Decisions::default()).unwrap();
    chain.watch(payings.iter().map(without_psbt).collect());
    for paying in &payings {
        let parameters: Value =
            serde_json::from_str(&export(&paying.batch, Form::FundedPsbt).unwrap()).unwrap();
        let funded: Value = chain.node.wallet("walletcreatefundedpsbt", &parameters).unwrap();
        let place = funded["changepos"].as_u64().unwrap();
        let hex = chain.node.sign(funded["psbt"].as_str().unwrap()).unwrap();
        let tx: Transaction = bitcoin::consensus::encode::deserialize_hex(&hex).unwrap();
        let change: &ScriptBuf = &tx.output[usize::try_from(place).unwrap()].script_pubkey;
        assert!(!paying.psbt.outputs().iter().any(|output| output.address.script_pubkey() == *change));
        chain.node.broadcast(&hex).unwrap();
    }
    chain.mine(6);
    for id in &ids {
        assert_eq!(chain.state(id), BatchState::Settled, "{id}");
    }
}

#[test]
fn what_is_exported_for_sendmany_pays_the_batch() {
    let mut chain = Chain::start();
    let address = chain.node.address("bech32").unwrap();
    let other = chain.node.address("legacy").unwrap();
    let batch = batch("spring-1", vec![(address.clone(), 10_001), (address, 20_002), (other, 30_003)]);
    chain.watch(vec![WatchedBatch::new(&batch, Decisions::default()).unwrap()]);
    let parameters: Value = serde_json::from_str(&export(&batch, Form::SendMany).unwrap()).unwrap();
    let _: String = chain.node.wallet("sendmany", &parameters).unwrap();
    chain.mine(6);
    assert_eq!(chain.state("spring-1"), BatchState::Settled);
}

#[test]
fn a_payment_short_by_a_satoshi_stays_open_until_the_rest_is_paid() {
    let mut chain = Chain::start();
    let paying = chain.batch("spring-1", &[60_000, 40_000]);
    chain.watch(vec![paying.watched.clone()]);
    let [first, second] = paying.psbt.outputs() else { panic!("two outputs") };
    let outputs = [
        (first.address.to_string(), first.sats.get()),
        (second.address.to_string(), second.sats.get() - 1),
        (chain.node.address("bech32").unwrap(), 990_000),
    ];
    chain.send_instead(&paying.psbt, &outputs);
    chain.mine(6);
    let verdict = chain.verdict("spring-1");
    assert_eq!((verdict.state, verdict.missing().get()), (BatchState::Partial, 1));

    // Nobody can send one satoshi; the rest is rounded up, and the surplus is said.
    let rest: String =
        chain.node.wallet("sendtoaddress", &json!([second.address.to_string(), bitcoins(1_000)])).unwrap();
    chain.mine(1);
    assert_eq!(chain.state("spring-1"), BatchState::Partial, "a payment that nobody declared is a donation");
    let mut watched = paying.watched.clone();
    watched.declare(rest.parse().unwrap());
    let short = chain.watch.sighting(verdict.payments[0].txid).unwrap().clone();
    chain.watch = Watch::new(vec![watched], [short], chain.watch.tip());
    chain.followed.rewind();
    chain.mine(5);
    let verdict = chain.verdict("spring-1");
    assert_eq!((verdict.state, verdict.excess().get()), (BatchState::Settled, 999));
}

#[test]
fn a_node_of_another_network_and_a_stranger_are_told_apart() {
    let chain = Chain::start();
    let open = |network, cookie: &std::path::Path| CoreRpc::open(&chain.node.url, cookie.to_owned(), network);
    let wrong = open(Network::Signet, &chain.node.cookie_file).map(drop).unwrap_err().to_string();
    assert_eq!(wrong, "the node is on regtest, payouts are on signet; name a node of signet");
    let folder = tempfile::tempdir().unwrap();
    let cookie = folder.path().join("cookie");
    std::fs::write(&cookie, "__cookie__:0000").unwrap();
    let stranger = open(Network::Regtest, &cookie).map(drop).unwrap_err().to_string();
    assert!(stranger.contains("refuses the cookie"), "{stranger}");
}
