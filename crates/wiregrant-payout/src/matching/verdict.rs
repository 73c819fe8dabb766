//! The verdict: where a batch stands, and by which transactions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use wiregrant_core::api::{BatchState, LineState};
use wiregrant_core::{BatchId, Sats};

use super::{Place, SETTLED_DEPTH, Sighting, Watch, WatchedBatch};

/// What one script of a batch is owed and has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paid {
    /// The sum of its lines.
    pub owed: Sats,
    /// Got so far, what waits for a block included.
    pub seen: Sats,
    /// Got in blocks.
    pub confirmed: Sats,
    /// Got in blocks at least [`SETTLED_DEPTH`] deep.
    pub settled: Sats,
}

impl Paid {
    /// Where its lines stand.
    #[must_use]
    pub fn state(&self) -> LineState {
        match self.owed {
            owed if self.settled >= owed => LineState::Settled,
            owed if self.confirmed >= owed => LineState::Confirmed,
            owed if self.seen >= owed => LineState::Seen,
            _ if self.seen > Sats::ZERO => LineState::Short,
            _ => LineState::Reserved,
        }
    }
}

/// What a transaction does for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It pays it.
    Pays,
    /// It would pay it, and cannot any more: another one spent its coins, or it is gone.
    Replaced,
    /// It spends a coin of the batch on something else.
    SpendsElsewhere,
}

/// A transaction that has to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    /// Which.
    pub txid: Txid,
    /// Where it is.
    pub place: Place,
    /// How many blocks deep: 0 while it is in none.
    pub depth: u32,
    /// What it does.
    pub role: Role,
    /// What it pays to the batch's addresses.
    pub sats: Sats,
}

/// Where a batch stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// In a word.
    pub state: BatchState,
    /// By script.
    pub paid: BTreeMap<ScriptBuf, Paid>,
    /// In the order of the chain; what is in no block last.
    pub payments: Vec<Payment>,
}

impl Verdict {
    /// What is owed and not even seen.
    #[must_use]
    pub fn missing(&self) -> Sats {
        sum(self.paid.values().map(|paid| paid.owed.minus_or_zero(paid.seen)))
    }

    /// What was got beyond what is owed.
    #[must_use]
    pub fn excess(&self) -> Sats {
        sum(self.paid.values().map(|paid| paid.seen.minus_or_zero(paid.owed)))
    }

    /// The transaction that paid it: of those that are settled the one that paid most, of equals the first.
    #[must_use]
    pub fn settled_by(&self) -> Option<Txid> {
        let deep = |payment: &&Payment| payment.role == Role::Pays && payment.depth >= SETTLED_DEPTH;
        let settled: Vec<&Payment> = self.payments.iter().filter(deep).collect();
        let most = settled.iter().map(|payment| payment.sats).max()?;
        settled.into_iter().find(|payment| payment.sats == most).map(|payment| payment.txid)
    }

    /// The transaction that makes it impossible for good that the batch's own one is ever mined.
    #[must_use]
    pub fn impossible_by(&self) -> Option<Txid> {
        let found = self
            .payments
            .iter()
            .find(|payment| payment.role == Role::SpendsElsewhere && payment.depth >= SETTLED_DEPTH);
        found.map(|payment| payment.txid)
    }
}

fn sum(all: impl Iterator<Item = Sats>) -> Sats {
    all.fold(Sats::ZERO, |sum, more| sum.plus(more).unwrap_or(Sats::MAX))
}

/// Every batch's verdict, from the facts alone.
pub(super) fn judge(watch: &Watch) -> BTreeMap<BatchId, Verdict> {
    let mut paid: Vec<BTreeMap<ScriptBuf, Paid>> = watch.batches.iter().map(nothing_paid).collect();
    let mut payments: Vec<Vec<Payment>> = vec![Vec::new(); watch.batches.len()];
    let mut spent: BTreeSet<OutPoint> = BTreeSet::new();
    for (txid, seen) in in_order(watch) {
        // Of transactions that spend the same coin one can be mined at most: the one in a block, or else the one that
        // waits. What is gone stands for nothing, and is shown.
        let possible = seen.place != Place::Gone
            && !seen.tx.input.iter().any(|input| spent.contains(&input.previous_output));
        if possible {
            spent.extend(seen.tx.input.iter().map(|input| input.previous_output));
        }
        let depth = depth(seen.place, watch.tip);
        let counts_for = counts_for(&watch.batches, &seen.tx, txid, &paid);
        for (number, batch) in watch.batches.iter().enumerate() {
            let counts = counts_for == Some(number);
            let role = match (counts, possible) {
                (true, true) => Role::Pays,
                (true, false) => Role::Replaced,
                (false, true) if batch.spends_a_coin(&seen.tx) => Role::SpendsElsewhere,
                _ => continue,
            };
            let by_script = if counts { batch.paid_by(&seen.tx) } else { BTreeMap::new() };
            let sats = sum(by_script.values().copied());
            payments[number].push(Payment { txid, place: seen.place, depth, role, sats });
            if role == Role::Pays {
                for (script, sats) in by_script {
                    add(paid[number].get_mut(script).expect("a script of the batch"), sats, depth);
                }
            }
        }
    }
    let judged = watch.batches.iter().zip(paid).zip(payments).map(|((batch, paid), payments)| {
        (batch.batch.clone(), Verdict { state: state(batch, &paid), paid, payments })
    });
    judged.collect()
}

/// Sightings in the order in which the chain has them, then what waits, then what is gone; each by id where nothing else
/// tells.
fn in_order(watch: &Watch) -> Vec<(Txid, &Sighting)> {
    let mut all: Vec<(Txid, &Sighting)> = watch.sightings.iter().map(|(txid, seen)| (*txid, seen)).collect();
    all.sort_by_key(|(txid, seen)| (seen.place, *txid));
    all
}

fn depth(place: Place, tip: u32) -> u32 {
    match place {
        Place::Block { height, .. } => tip.saturating_sub(height).saturating_add(1),
        Place::Mempool | Place::Gone => 0,
    }
}

fn nothing_paid(batch: &WatchedBatch) -> BTreeMap<ScriptBuf, Paid> {
    batch
        .owed
        .iter()
        .map(|(script, owed)| (script.clone(), Paid { owed: *owed, ..Paid::default() }))
        .collect()
}

fn add(paid: &mut Paid, sats: Sats, depth: u32) {
    let more = |sum: &mut Sats| *sum = sum.plus(sats).unwrap_or(Sats::MAX);
    more(&mut paid.seen);
    if depth >= 1 {
        more(&mut paid.confirmed);
    }
    if depth >= SETTLED_DEPTH {
        more(&mut paid.settled);
    }
}

/// How strongly a transaction is tied to a batch; the greatest wins.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Tie {
    rule: Rule,
    /// Whether the batch is not void: one that stands in for a void one may have the very same transaction.
    live: bool,
    /// The oldest of equals.
    age: Reverse<usize>,
}

/// The module's three rules, the strongest last.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    PaysOpenSums,
    /// With the number of sums it pays to the satoshi: batches may have been built from the same coins.
    SpendsACoin(usize),
    Named,
}

/// The one batch that the transaction counts for, by its number.
fn counts_for(
    batches: &[WatchedBatch],
    tx: &Transaction,
    txid: Txid,
    paid: &[BTreeMap<ScriptBuf, Paid>],
) -> Option<usize> {
    let tie = |number: usize| {
        let batch = &batches[number];
        let live = !batch.decisions.void;
        let rule = if batch.named.contains(&txid) {
            Rule::Named
        } else if batch.spends_a_coin(tx) && !batch.paid_by(tx).is_empty() {
            Rule::SpendsACoin(batch.exactly_paid(tx))
        } else if live && batch.is_paid_exactly(tx, |script| paid[number][script].seen == Sats::ZERO) {
            Rule::PaysOpenSums
        } else {
            return None;
        };
        Some((Tie { rule, live, age: Reverse(number) }, number))
    };
    (0..batches.len()).filter_map(tie).max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, number)| number)
}

fn state(batch: &WatchedBatch, paid: &BTreeMap<ScriptBuf, Paid>) -> BatchState {
    let all = |reached: LineState| paid.values().all(|paid| paid.state() >= reached);
    let some = paid.values().any(|paid| paid.seen > Sats::ZERO);
    let decisions = &batch.decisions;
    let on_chain = [
        (LineState::Settled, BatchState::Settled),
        (LineState::Confirmed, BatchState::Confirmed),
        (LineState::Seen, BatchState::Seen),
    ];
    if decisions.void {
        return match (some, decisions.replaced) {
            (true, _) => BatchState::Disputed,
            (false, true) => BatchState::Replaced,
            (false, false) => BatchState::Void,
        };
    }
    if let Some((_, state)) = on_chain.into_iter().find(|(reached, _)| all(*reached)) {
        return state;
    }
    match () {
        // The record cannot be taken back, and says that all of it was paid.
        () if decisions.paid.is_some() => BatchState::Disputed,
        () if some => BatchState::Partial,
        () if decisions.replaced => BatchState::Replaced,
        () if decisions.cancel_asked => BatchState::CancelPending,
        () if decisions.verified => BatchState::Verified,
        () if decisions.kept_back => BatchState::Frozen,
        () => BatchState::Exported,
    }
}
