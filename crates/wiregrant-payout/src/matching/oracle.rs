//! Random histories of a chain, compared with a naive reading of the chain as it is in the end.

use bitcoin::hashes::Hash as _;
use proptest::prelude::*;
use wiregrant_core::api::BatchState;

use super::tests::{coin, script, tx};
use super::*;
use crate::batch::tests::{ADDRESSES, batch, line};

/// What a transaction pays: places in `ADDRESSES`, and sats.
type Outputs = Vec<(usize, u64)>;

/// One of a few transactions over few coins, so that they often conflict and often pay what is owed.
#[derive(Debug, Clone)]
struct Spending {
    coins: Vec<u8>,
    outputs: Outputs,
}

#[derive(Debug, Clone)]
struct OwedBatch {
    lines: Outputs,
    coins: Vec<u8>,
    named: Option<usize>,
    void: bool,
    cancel: bool,
}

#[derive(Debug, Clone)]
enum Event {
    Mine(Vec<usize>),
    TakeBack(usize),
    Wait(Vec<usize>),
}

fn sats() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(1_000u64), 4 => Just(2_000), 1 => Just(1_999), 1 => Just(3_000)]
}

fn spending() -> impl Strategy<Value = Spending> {
    let outputs = proptest::collection::vec((0usize..4, sats()), 1..4);
    (proptest::collection::vec(1u8..6, 1..3), outputs).prop_map(|(mut coins, outputs)| {
        coins.sort_unstable();
        coins.dedup();
        Spending { coins, outputs }
    })
}

fn owed_batch() -> impl Strategy<Value = OwedBatch> {
    let lines = proptest::collection::vec((0usize..3, prop_oneof![Just(1_000u64), Just(2_000)]), 1..4);
    let coins = proptest::collection::vec(1u8..6, 0..3);
    (lines, coins, proptest::option::of(0usize..8), proptest::bool::weighted(0.2), any::<bool>())
        .prop_map(|(lines, coins, named, void, cancel)| OwedBatch { lines, coins, named, void, cancel })
}

fn event() -> impl Strategy<Value = Event> {
    let some = || proptest::collection::vec(0usize..8, 0..3);
    prop_oneof![
        5 => some().prop_map(Event::Mine),
        1 => (0usize..8).prop_map(Event::TakeBack),
        2 => some().prop_map(Event::Wait),
    ]
}

/// The chain as it truly is: blocks of transactions, and what waits.
#[derive(Default)]
struct Truth {
    blocks: Vec<Vec<usize>>,
    waits: Vec<usize>,
}

impl Truth {
    /// Those that may stand together with what is mined, the first of any that conflict.
    fn possible(&self, wanted: &[usize], all: &[Spending]) -> Vec<usize> {
        let mut spent: Vec<u8> = self.blocks.iter().flatten().flat_map(|n| all[*n].coins.clone()).collect();
        let mut taken = Vec::new();
        for n in wanted {
            if all[*n].coins.iter().all(|coin| !spent.contains(coin)) {
                spent.extend(&all[*n].coins);
                taken.push(*n);
            }
        }
        taken
    }

    /// Transactions with their depths, in the chain's order; what waits is 0 deep and ordered by id.
    fn in_order(&self, all: &[Transaction]) -> Vec<(usize, u32)> {
        let count = u32::try_from(self.blocks.len()).unwrap();
        let mut order = Vec::new();
        for (height, block) in (0u32..).zip(&self.blocks) {
            order.extend(block.iter().map(|n| (*n, count - height)));
        }
        let mut waits = self.waits.clone();
        waits.sort_by_key(|n| all[*n].compute_txid());
        order.extend(waits.into_iter().map(|n| (n, 0)));
        order
    }
}

/// Sats of `outputs` that go to an address.
fn to(outputs: &Outputs, address: usize) -> u64 {
    outputs.iter().filter(|(place, _)| *place == address).map(|(_, sats)| sats).sum()
}

/// Which batch a transaction counts for, by the three rules read out one after the other.
fn naive_batch(n: usize, spending: &Spending, batches: &[OwedBatch], seen: &[[u64; 4]]) -> Option<usize> {
    let live_first = |mut found: Vec<usize>| {
        found.sort_by_key(|b| (batches[*b].void, *b));
        found.first().copied()
    };
    let every = || 0..batches.len();
    let named = live_first(every().filter(|b| batches[*b].named == Some(n)).collect());
    if named.is_some() {
        return named;
    }
    let exact = |b: usize| {
        let pays = |a: &usize| to(&batches[b].lines, *a) > 0 && to(&spending.outputs, *a) > 0;
        (0..4).filter(pays).filter(|a| to(&batches[b].lines, *a) == to(&spending.outputs, *a)).count()
    };
    let spends: Vec<usize> = every()
        .filter(|b| spending.coins.iter().any(|coin| batches[*b].coins.contains(coin)))
        .filter(|b| (0..4).any(|a| to(&batches[*b].lines, a) > 0 && to(&spending.outputs, a) > 0))
        .collect();
    if let Some(most) = spends.iter().map(|b| exact(*b)).max() {
        return live_first(spends.into_iter().filter(|b| exact(*b) == most).collect());
    }
    every().filter(|b| !batches[*b].void && exact(*b) >= 2).find(|b| {
        (0..4).all(|a| {
            let (owed, got) = (to(&batches[*b].lines, a), to(&spending.outputs, a));
            owed == 0 || got == 0 || (got <= owed && seen[*b][a] == 0)
        })
    })
}

/// For each batch its state, and what each address has got.
fn naive(
    truth: &Truth,
    spendings: &[Spending],
    all: &[Transaction],
    batches: &[OwedBatch],
) -> Vec<(BatchState, [u64; 4])> {
    let mut got = vec![[[0u64; 4]; 3]; batches.len()];
    for (n, depth) in truth.in_order(all) {
        let seen: Vec<[u64; 4]> = got.iter().map(|got| got[0]).collect();
        let Some(b) = naive_batch(n, &spendings[n], batches, &seen) else { continue };
        for (level, least) in [0, 1, SETTLED_DEPTH].into_iter().enumerate() {
            for (a, sum) in got[b][level].iter_mut().enumerate() {
                if depth >= least && to(&batches[b].lines, a) > 0 {
                    *sum += to(&spendings[n].outputs, a);
                }
            }
        }
    }
    let state = |batch: &OwedBatch, got: &[[u64; 4]; 3]| {
        let all = |level: usize| (0..4).all(|a| got[level][a] >= to(&batch.lines, a));
        let some = got[0].iter().any(|sats| *sats > 0);
        match batch {
            OwedBatch { void: true, .. } if some => BatchState::Disputed,
            OwedBatch { void: true, .. } => BatchState::Void,
            _ if all(2) => BatchState::Settled,
            _ if all(1) => BatchState::Confirmed,
            _ if all(0) => BatchState::Seen,
            _ if some => BatchState::Partial,
            OwedBatch { cancel: true, .. } => BatchState::CancelPending,
            _ => BatchState::Exported,
        }
    };
    batches.iter().zip(&got).map(|(batch, got)| (state(batch, got), got[0])).collect()
}

fn watched(number: usize, owed: &OwedBatch, all: &[Transaction]) -> WatchedBatch {
    let named_line =
        |(n, (address, sats)): (usize, &(usize, u64))| line(&format!("op-{n}"), *sats, ADDRESSES[*address]);
    let lines = owed.lines.iter().enumerate().map(named_line).collect();
    let batch = Batch { batch: format!("b-{number}").parse().unwrap(), ..batch(lines) };
    let decisions = Decisions { void: owed.void, cancel_asked: owed.cancel, ..Decisions::default() };
    let mut watched = WatchedBatch::new(&batch, decisions).unwrap();
    watched.coins = owed.coins.iter().map(|n| coin(*n)).collect();
    watched.named = owed.named.iter().map(|n| all[*n].compute_txid()).collect();
    watched
}

/// Heights count from 1, so that block `n` of the truth is at height `n + 1`.
fn run(
    watch: &mut Watch,
    truth: &mut Truth,
    event: &Event,
    spendings: &[Spending],
    all: &[Transaction],
    salt: u8,
) {
    let picked = |numbers: &[usize]| numbers.iter().map(|n| all[*n].clone()).collect::<Vec<_>>();
    match event {
        Event::Mine(wanted) => {
            let block = truth.possible(wanted, spendings);
            truth.blocks.push(block.clone());
            let height = u32::try_from(truth.blocks.len()).unwrap();
            let placed: Vec<(u32, Transaction)> = (0u32..).zip(picked(&block)).collect();
            watch.connect(height, BlockHash::from_byte_array([salt; 32]), &placed);
        }
        Event::TakeBack(count) => {
            let left = truth.blocks.len().saturating_sub(*count);
            truth.blocks.truncate(left);
            watch.disconnect_above(u32::try_from(left).unwrap());
        }
        Event::Wait(wanted) => truth.waits = wanted.clone(),
    }
    // The node tells after each event what waits; what conflicts with the chain does not.
    truth.waits = truth.possible(&truth.waits, spendings);
    watch.waiting(&picked(&truth.waits));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_before_only_the_chain_as_it_is_counts(
        spendings in proptest::collection::vec(spending(), 8),
        owed in proptest::collection::vec(owed_batch(), 1..4),
        events in proptest::collection::vec(event(), 1..24),
    ) {
        let scripts: Vec<ScriptBuf> = ADDRESSES.iter().map(|address| script(address)).collect();
        let all: Vec<Transaction> = spendings
            .iter()
            .map(|spending| {
                let coins: Vec<OutPoint> = spending.coins.iter().map(|n| coin(*n)).collect();
                let outputs: Vec<_> = spending.outputs.iter().map(|(a, sats)| (&scripts[*a], *sats)).collect();
                tx(&coins, &outputs)
            })
            .collect();
        // Two spendings that are equal are one transaction.
        let distinct: BTreeSet<Txid> = all.iter().map(Transaction::compute_txid).collect();
        prop_assume!(distinct.len() == all.len());
        let batches = owed.iter().enumerate().map(|(n, owed)| watched(n, owed, &all)).collect();
        let mut watch = Watch::new(batches, [], 0);
        let mut truth = Truth::default();
        for (salt, event) in (0u8..).zip(&events) {
            run(&mut watch, &mut truth, event, &spendings, &all, salt);
            let verdicts = watch.verdicts();
            for (n, (state, got)) in naive(&truth, &spendings, &all, &owed).into_iter().enumerate() {
                let verdict = &verdicts[&format!("b-{n}").parse::<BatchId>().unwrap()];
                prop_assert_eq!(verdict.state, state, "batch {} after {:?}", n, event);
                for (script, paid) in &verdict.paid {
                    let a = scripts.iter().position(|known| known == script).unwrap();
                    prop_assert_eq!(paid.seen.get(), got[a]);
                }
            }
            // Invariant 6: no output counts twice.
            let counted: u64 = verdicts.values().flat_map(|v| v.paid.values()).map(|paid| paid.seen.get()).sum();
            let present = truth.in_order(&all);
            let there: u64 = present.iter().flat_map(|(n, _)| &spendings[*n].outputs).map(|(_, sats)| sats).sum();
            prop_assert!(counted <= there);
        }
    }
}
