//! Sentences about what a batch's payment may go through, by the numbers of the invariants in `docs/payouts.md`.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{Amount, Sequence, TxIn, TxOut, Witness};
use wiregrant_core::api::{BatchState, LineState};
use wiregrant_core::note::Network;

use super::*;
use crate::batch::tests::{ADDRESSES, batch, line};
use crate::{Coin, PayoutAddress, build};

pub(super) fn script(address: &str) -> ScriptBuf {
    PayoutAddress::parse(address, Network::Regtest).unwrap().script_pubkey()
}

pub(super) fn coin(n: u8) -> OutPoint {
    OutPoint::new(Txid::from_byte_array([n; 32]), 0)
}

fn block(n: u32) -> BlockHash {
    let mut bytes = [0xb1; 32];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    BlockHash::from_byte_array(bytes)
}

pub(super) fn tx(coins: &[OutPoint], outputs: &[(&ScriptBuf, u64)]) -> Transaction {
    let input = |coin: &OutPoint| TxIn {
        previous_output: *coin,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::new(),
    };
    let output = |(script, sats): &(&ScriptBuf, u64)| TxOut {
        value: Amount::from_sat(*sats),
        script_pubkey: (*script).clone(),
    };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: coins.iter().map(input).collect(),
        output: outputs.iter().map(output).collect(),
    }
}

/// 60,000 sats to the first address and 40,000 to the second, from coin 1, with the change to the third.
fn built(id: &str, decisions: Decisions) -> (WatchedBatch, Transaction) {
    let lines = vec![line("nordlicht", 60_000, ADDRESSES[0]), line("polaris", 40_000, ADDRESSES[1])];
    let batch = Batch { batch: id.parse().unwrap(), ..batch(lines) };
    let from = Coin::new(coin(1), Sats::new(500_000).unwrap(), script(ADDRESSES[1]));
    let change = PayoutAddress::parse(ADDRESSES[2], Network::Regtest).unwrap();
    let psbt = build(&batch, &[from], &change, 2).unwrap();
    let mut watched = WatchedBatch::new(&batch, decisions).unwrap();
    watched.add_psbt(&psbt.to_base64()).unwrap();
    (watched, psbt.psbt().unsigned_tx.clone())
}

struct Chain {
    watch: Watch,
}

impl Chain {
    fn watching(batches: Vec<WatchedBatch>) -> Self {
        Self { watch: Watch::new(batches, [], 100) }
    }

    fn mine(&mut self, transactions: &[&Transaction]) -> u32 {
        let height = self.watch.tip() + 1;
        let transactions: Vec<(u32, Transaction)> =
            (0u32..).zip(transactions.iter().copied().cloned()).collect();
        self.watch.connect(height, block(height), &transactions);
        height
    }

    fn bury(&mut self, blocks: u32) {
        for _ in 0..blocks {
            self.mine(&[]);
        }
    }

    fn wait(&mut self, transactions: &[&Transaction]) {
        let transactions: Vec<Transaction> = transactions.iter().copied().cloned().collect();
        self.watch.waiting(&transactions);
    }

    fn verdict(&self, id: &str) -> Verdict {
        self.watch.verdicts().remove(&id.parse().unwrap()).unwrap()
    }

    fn state(&self, id: &str) -> BatchState {
        self.verdict(id).state
    }
}

fn one() -> (Chain, Transaction) {
    let (watched, tx) = built("b-1", Decisions::default());
    (Chain::watching(vec![watched]), tx)
}

#[test]
fn a_batch_is_seen_confirmed_and_settled_at_six_blocks_and_not_before() {
    let (mut chain, tx) = one();
    assert_eq!(chain.state("b-1"), BatchState::Exported);
    chain.wait(&[&tx]);
    assert_eq!(chain.state("b-1"), BatchState::Seen);
    chain.mine(&[&tx]);
    assert_eq!(chain.state("b-1"), BatchState::Confirmed);
    chain.bury(4);
    assert_eq!((chain.state("b-1"), chain.verdict("b-1").settled_by()), (BatchState::Confirmed, None));
    chain.bury(1);
    let verdict = chain.verdict("b-1");
    assert_eq!((verdict.state, verdict.settled_by()), (BatchState::Settled, Some(tx.compute_txid())));
    assert_eq!((verdict.missing(), verdict.excess()), (Sats::ZERO, Sats::ZERO));
    assert!(verdict.paid.values().all(|paid| paid.state() == LineState::Settled));
}

#[test]
fn invariant_6_an_output_settles_one_batch_though_two_owe_its_address_the_same() {
    let (first, tx_of_first) = built("b-1", Decisions::default());
    let (mut second, _) = built("b-2", Decisions::default());
    second.coins.clear();
    second.named.clear();
    let mut chain = Chain::watching(vec![first, second]);
    chain.mine(&[&tx_of_first]);
    chain.bury(5);
    assert_eq!((chain.state("b-1"), chain.state("b-2")), (BatchState::Settled, BatchState::Exported));
    // A second payment of the same sums from elsewhere is the second batch's.
    let again = tx(&[coin(7)], &[(&script(ADDRESSES[0]), 60_000), (&script(ADDRESSES[1]), 40_000)]);
    chain.mine(&[&again]);
    chain.bury(5);
    assert_eq!((chain.state("b-1"), chain.state("b-2")), (BatchState::Settled, BatchState::Settled));
    assert_eq!(chain.verdict("b-1").excess(), Sats::ZERO);
}

#[test]
fn invariant_7_the_fee_is_nobodys_line_and_change_settles_nothing() {
    let (mut chain, tx) = one();
    assert_eq!(tx.output.len(), 3, "two payouts and the change");
    chain.mine(&[&tx]);
    let verdict = chain.verdict("b-1");
    assert_eq!(verdict.payments[0].sats, Sats::new(100_000).unwrap());
    assert_eq!(verdict.paid.len(), 2);
}

#[test]
fn invariant_9_an_exported_batch_is_void_only_once_its_coin_is_spent_elsewhere_for_good() {
    let (watched, tx_of_batch) = built("b-1", Decisions { cancel_asked: true, ..Decisions::default() });
    let mut chain = Chain::watching(vec![watched]);
    let elsewhere = tx(&[coin(1)], &[(&script(ADDRESSES[3]), 499_000)]);
    chain.mine(&[&elsewhere]);
    chain.bury(4);
    assert_eq!((chain.state("b-1"), chain.verdict("b-1").impossible_by()), (BatchState::CancelPending, None));
    chain.bury(1);
    assert_eq!(chain.verdict("b-1").impossible_by(), Some(elsewhere.compute_txid()));
    // The block is taken back: the signed copy may be mined after all, and pays it.
    chain.watch.disconnect_above(100);
    assert_eq!(chain.verdict("b-1").impossible_by(), None);
    chain.mine(&[&tx_of_batch]);
    assert_eq!(chain.state("b-1"), BatchState::Confirmed, "a payment goes before a wish to cancel");
}

#[test]
fn invariant_9_a_void_batch_that_is_paid_after_all_is_disputed() {
    let (watched, tx) = built("b-1", Decisions { void: true, ..Decisions::default() });
    let mut chain = Chain::watching(vec![watched]);
    assert_eq!(chain.state("b-1"), BatchState::Void);
    chain.wait(&[&tx]);
    assert_eq!(chain.state("b-1"), BatchState::Disputed);
}

#[test]
fn a_batch_with_the_very_transaction_of_a_void_one_is_paid_by_it() {
    let (void, _) = built("b-1", Decisions { void: true, ..Decisions::default() });
    let (live, tx) = built("b-2", Decisions::default());
    let mut chain = Chain::watching(vec![void, live]);
    chain.mine(&[&tx]);
    assert_eq!((chain.state("b-1"), chain.state("b-2")), (BatchState::Void, BatchState::Confirmed));
}

#[test]
fn invariant_10_a_donation_settles_nothing() {
    let (mut chain, _) = one();
    let (north, polar) = (script(ADDRESSES[0]), script(ADDRESSES[1]));
    let exact = tx(&[coin(7)], &[(&north, 60_000)]);
    let one_of_two = tx(&[coin(8)], &[(&north, 60_000), (&polar, 39_999)]);
    let in_excess = tx(&[coin(9)], &[(&north, 60_000), (&polar, 40_001)]);
    chain.mine(&[&exact, &one_of_two, &in_excess]);
    chain.bury(5);
    let verdict = chain.verdict("b-1");
    assert_eq!((verdict.state, verdict.payments.len()), (BatchState::Exported, 0));
}

#[test]
fn invariant_10_two_exact_sums_from_elsewhere_are_the_payment() {
    let (mut chain, _) = one();
    let outputs = [
        (&script(ADDRESSES[3]), 5),
        (&script(ADDRESSES[1]), 40_000),
        (&script(ADDRESSES[2]), 7),
        (&script(ADDRESSES[0]), 60_000),
    ];
    chain.mine(&[&tx(&[coin(7)], &outputs)]);
    assert_eq!(chain.state("b-1"), BatchState::Confirmed);
}

#[test]
fn invariant_10_a_payment_short_by_a_satoshi_stays_open_until_the_rest_is_declared() {
    let (mut chain, _) = one();
    let (north, polar) = (script(ADDRESSES[0]), script(ADDRESSES[1]));
    chain.mine(&[&tx(&[coin(1)], &[(&north, 60_000), (&polar, 39_999)])]);
    chain.bury(5);
    let verdict = chain.verdict("b-1");
    assert_eq!((verdict.state, verdict.missing()), (BatchState::Partial, Sats::new(1).unwrap()));
    assert_eq!(verdict.paid[&north].state(), LineState::Settled);
    assert_eq!(verdict.paid[&polar].state(), LineState::Short);

    let rest = tx(&[coin(7)], &[(&polar, 1)]);
    let mut batches = chain.watch.batches.clone();
    batches[0].declare(rest.compute_txid());
    let seen: Vec<Sighting> = chain.watch.sightings.values().cloned().collect();
    let mut chain = Chain { watch: Watch::new(batches, seen, chain.watch.tip()) };
    chain.mine(&[&rest]);
    chain.bury(5);
    let verdict = chain.verdict("b-1");
    assert_eq!((verdict.state, verdict.missing()), (BatchState::Settled, Sats::ZERO));
    assert_eq!(verdict.payments[0].sats, Sats::new(99_999).unwrap());
    assert_eq!(verdict.settled_by(), Some(verdict.payments[0].txid), "named by the one that paid most");
}

#[test]
fn invariant_10_a_missing_output_stays_owed_and_one_too_large_is_said() {
    let (north, polar) = (script(ADDRESSES[0]), script(ADDRESSES[1]));
    let (mut chain, _) = one();
    chain.mine(&[&tx(&[coin(1)], &[(&north, 60_000)])]);
    let verdict = chain.verdict("b-1");
    assert_eq!((verdict.state, verdict.missing()), (BatchState::Partial, Sats::new(40_000).unwrap()));
    assert_eq!(verdict.paid[&polar].state(), LineState::Reserved);

    let (mut chain, _) = one();
    chain.mine(&[&tx(&[coin(1)], &[(&north, 60_002), (&polar, 40_000)])]);
    let verdict = chain.verdict("b-1");
    assert_eq!((verdict.state, verdict.excess()), (BatchState::Confirmed, Sats::new(2).unwrap()));
}

#[test]
fn invariant_11_of_replacements_the_mined_one_counts_and_lines_are_judged_on_it() {
    let (mut chain, original) = one();
    let (north, polar) = (script(ADDRESSES[0]), script(ADDRESSES[1]));
    let bumped = tx(&[coin(1), coin(5)], &[(&polar, 40_000), (&north, 60_000)]);
    chain.wait(&[&original]);
    chain.wait(&[&bumped]);
    assert_eq!(chain.state("b-1"), BatchState::Seen);
    assert_eq!(chain.watch.sighting(original.compute_txid()).unwrap().place, Place::Gone);
    // The one with the lower fee is mined all the same.
    chain.mine(&[&original]);
    chain.wait(&[]);
    chain.bury(5);
    let verdict = chain.verdict("b-1");
    assert_eq!((verdict.state, verdict.settled_by()), (BatchState::Settled, Some(original.compute_txid())));
    let roles: Vec<Role> = verdict.payments.iter().map(|payment| payment.role).collect();
    assert_eq!(roles, [Role::Pays, Role::Replaced]);
    assert_eq!(verdict.excess(), Sats::ZERO, "both together would be twice");
}

#[test]
fn invariant_11_a_reorganisation_takes_states_back_and_forward_again() {
    let (mut chain, tx) = one();
    let height = chain.mine(&[&tx]);
    chain.bury(5);
    assert_eq!(chain.state("b-1"), BatchState::Settled);
    chain.watch.disconnect_above(height + 3);
    assert_eq!(chain.state("b-1"), BatchState::Confirmed);
    chain.watch.disconnect_above(height - 1);
    assert_eq!(chain.state("b-1"), BatchState::Exported);
    chain.wait(&[&tx]);
    assert_eq!(chain.state("b-1"), BatchState::Seen);
    chain.bury(2);
    chain.mine(&[&tx]);
    chain.bury(5);
    assert_eq!(chain.state("b-1"), BatchState::Settled);
}

#[test]
fn invariant_11_a_payment_in_the_record_that_the_chain_loses_is_disputed_and_walks_back_in() {
    let (mut watched, tx_of_batch) = built("b-1", Decisions::default());
    watched.decisions.paid = Some(tx_of_batch.compute_txid());
    let mut chain = Chain::watching(vec![watched]);
    chain.mine(&[&tx_of_batch]);
    chain.bury(5);
    assert_eq!(chain.state("b-1"), BatchState::Settled);
    chain.watch.disconnect_above(100);
    assert_eq!(chain.state("b-1"), BatchState::Disputed);
    chain.wait(&[&tx_of_batch]);
    assert_eq!(chain.state("b-1"), BatchState::Seen);
    chain.mine(&[&tx(&[coin(1)], &[(&script(ADDRESSES[3]), 1_000)])]);
    assert_eq!(chain.state("b-1"), BatchState::Disputed, "its coin is spent on something else");
}

#[test]
fn duplicate_addresses_are_one_sum_however_many_outputs_pay_it() {
    let lines = vec![
        line("nordlicht", 60_000, ADDRESSES[0]),
        line("polaris", 40_000, ADDRESSES[0]),
        line("suedwind", 5_000, ADDRESSES[1]),
    ];
    let mut watched = WatchedBatch::new(&batch(lines), Decisions::default()).unwrap();
    let (north, south) = (script(ADDRESSES[0]), script(ADDRESSES[1]));
    let split = tx(&[coin(1)], &[(&north, 1), (&south, 5_000), (&north, 99_999)]);
    watched.declare_transaction(&split);
    let mut chain = Chain::watching(vec![watched]);
    chain.mine(&[&split]);
    assert_eq!(chain.state("spring-1"), BatchState::Confirmed);
}

#[test]
fn change_may_stand_anywhere_among_the_outputs() {
    let (north, polar, change) = (script(ADDRESSES[0]), script(ADDRESSES[1]), script(ADDRESSES[2]));
    for place in 0..3 {
        let mut outputs = vec![(&north, 60_000), (&polar, 40_000)];
        outputs.insert(place, (&change, 399_000));
        let (mut chain, _) = one();
        chain.mine(&[&tx(&[coin(1)], &outputs)]);
        assert_eq!(chain.state("b-1"), BatchState::Confirmed, "{place}");
    }
}

#[test]
fn batches_from_the_same_coin_are_told_apart_by_what_is_paid() {
    let (first, _) = built("b-1", Decisions::default());
    let (north, polar) = (script(ADDRESSES[0]), script(ADDRESSES[1]));
    let lines = vec![line("nordlicht", 10_000, ADDRESSES[0]), line("polaris", 20_000, ADDRESSES[1])];
    let other = Batch { batch: "b-2".parse().unwrap(), ..batch(lines) };
    let mut second = WatchedBatch::new(&other, Decisions::default()).unwrap();
    second.coins = first.coins.clone();
    let mut chain = Chain::watching(vec![first, second]);
    chain.mine(&[&tx(&[coin(1)], &[(&north, 10_000), (&polar, 20_000)])]);
    chain.bury(5);
    assert_eq!((chain.state("b-1"), chain.state("b-2")), (BatchState::Exported, BatchState::Settled));
    assert!(chain.verdict("b-1").impossible_by().is_some(), "its coin went to the other");
}
