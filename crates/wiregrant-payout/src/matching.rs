//! `Watch`: which transactions of the chain pay which batch, and where each batch stands by them.
//!
//! A watch holds facts only: the batches, the transactions that have to do with them, and where each of these is now.
//! What follows from the facts is judged anew each time ([`Watch::verdicts`]), so that a block taken back, a
//! replacement with a higher fee or a payment that came in parts need no rule of their own: the facts change, and
//! states go forward or back with them.
//!
//! A transaction counts for one batch at most, so that no output settles two. It counts for the batch
//!
//! 1. that names it: as its unsigned transaction once signed, or because the funder declared it;
//! 2. or one of whose coins it spends, and some of whose addresses it pays (a replacement, a payment cut short);
//! 3. or of which it pays two open sums or more to the satoshi, and none in excess (a payment from elsewhere).
//!
//! Among equals a live batch goes before a void one, and an older before a newer. Anything else, such as a donation to an operator's public address, counts
//! for nothing.

mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{BlockHash, OutPoint, ScriptBuf, Transaction, Txid};
use wiregrant_core::{BatchId, Sats};

use crate::psbt::{decode, txid_once_signed};
use crate::{Batch, PayoutError};

pub use verdict::{Paid, Payment, Role, Verdict};

/// A payment this many blocks deep is settled: its block counts as the first.
pub const SETTLED_DEPTH: u32 = 6;

/// A settled payment is looked at again until it is this deep.
pub const RECHECKED_DEPTH: u32 = 100;

/// What people have decided about a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    /// Neither its transaction nor a list of what to pay was handed out, so that no signed copy can exist.
    pub kept_back: bool,
    /// Another batch stands in for it.
    pub replaced: bool,
    /// A PSBT of a wallet was shown that pays exactly this batch.
    pub verified: bool,
    /// It was asked to be cancelled.
    pub cancel_asked: bool,
    /// The record says that it will not be paid.
    pub void: bool,
    /// The record says that this transaction paid it.
    pub paid: Option<Txid>,
}

/// A batch, as far as the chain can show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedBatch {
    /// Its id.
    pub batch: BatchId,
    /// What was decided about it.
    pub decisions: Decisions,
    /// What each script is owed: the sums of its lines.
    owed: BTreeMap<ScriptBuf, Sats>,
    /// What its transactions spend. A transaction that spends one of these elsewhere makes them impossible.
    coins: BTreeSet<OutPoint>,
    /// The scripts that hold these coins, as far as they are known.
    coin_scripts: BTreeSet<ScriptBuf>,
    /// Transactions that are known to be meant for it.
    named: BTreeSet<Txid>,
}

impl WatchedBatch {
    /// Watches for `batch`, with nothing known of how it is paid.
    ///
    /// # Errors
    /// As [`Batch::checked`].
    pub fn new(batch: &Batch, decisions: Decisions) -> Result<Self, PayoutError> {
        let named = decisions.paid.into_iter().collect();
        let owed = batch.payees()?.into_iter().map(|(script, payee)| (script, payee.sats)).collect();
        let (coins, coin_scripts) = (BTreeSet::new(), BTreeSet::new());
        Ok(Self { batch: batch.batch.clone(), decisions, owed, coins, coin_scripts, named })
    }

    /// Takes up what a PSBT for this batch spends, and the id its transaction will have where signing cannot change it.
    ///
    /// # Errors
    /// The text is no PSBT.
    pub fn add_psbt(&mut self, psbt_base64: &str) -> Result<(), PayoutError> {
        let psbt = decode(psbt_base64)?;
        self.coins.extend(psbt.unsigned_tx.input.iter().map(|input| input.previous_output));
        self.coin_scripts
            .extend(psbt.iter_funding_utxos().flatten().map(|spent| spent.script_pubkey.clone()));
        self.named.extend(txid_once_signed(&psbt));
        Ok(())
    }

    /// Takes up a transaction that the funder says pays this batch, by its id alone.
    pub fn declare(&mut self, txid: Txid) {
        self.named.insert(txid);
    }

    /// The same with the transaction at hand, so that its replacements are recognised too.
    pub fn declare_transaction(&mut self, tx: &Transaction) {
        self.named.insert(tx.compute_txid());
        self.coins.extend(tx.input.iter().map(|input| input.previous_output));
    }

    /// The transactions that are known to be meant for it.
    pub fn named(&self) -> impl Iterator<Item = Txid> {
        self.named.iter().copied()
    }

    /// What its transactions spend.
    pub fn coins(&self) -> impl Iterator<Item = OutPoint> {
        self.coins.iter().copied()
    }

    /// What a transaction pays to this batch's addresses.
    #[must_use]
    pub fn sats_from(&self, tx: &Transaction) -> Sats {
        self.paid_by(tx).into_values().fold(Sats::ZERO, |sum, more| sum.plus(more).unwrap_or(Sats::MAX))
    }

    fn spends_a_coin(&self, tx: &Transaction) -> bool {
        tx.input.iter().any(|input| self.coins.contains(&input.previous_output))
    }

    /// What a transaction pays to each of this batch's scripts.
    fn paid_by(&self, tx: &Transaction) -> BTreeMap<&ScriptBuf, Sats> {
        let mut paid: BTreeMap<&ScriptBuf, Sats> = BTreeMap::new();
        for output in &tx.output {
            if let Some((script, _)) = self.owed.get_key_value(&output.script_pubkey) {
                let sum = paid.entry(script).or_default();
                // A chain's outputs never sum to more than all sats there are; a made-up transaction's sum stays there.
                let more = Sats::new(output.value.to_sat()).unwrap_or(Sats::MAX);
                *sum = sum.plus(more).unwrap_or(Sats::MAX);
            }
        }
        paid
    }

    /// Whether it pays two sums or more to the satoshi and none in excess, of those that `is_open` lets through.
    fn is_paid_exactly(&self, tx: &Transaction, is_open: impl Fn(&ScriptBuf) -> bool) -> bool {
        let paid = self.paid_by(tx);
        let fits = paid.iter().all(|(script, sats)| is_open(script) && *sats <= self.owed[*script]);
        fits && self.exactly_paid(tx) >= 2
    }

    /// How many scripts get from it just what they are owed.
    fn exactly_paid(&self, tx: &Transaction) -> usize {
        self.paid_by(tx).into_iter().filter(|(script, sats)| self.owed[*script] == *sats).count()
    }

    /// Whether the transaction has to do with it at all.
    fn concerns(&self, tx: &Transaction, txid: Txid) -> bool {
        self.named.contains(&txid)
            || self.spends_a_coin(tx)
            || (!self.decisions.void && self.is_paid_exactly(tx, |_| true))
    }
}

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a block.
    Block {
        /// The block's height.
        height: u32,
        /// The transaction's place among the block's transactions.
        index: u32,
        /// The block's hash.
        hash: BlockHash,
    },
    /// Waiting in the memory of the node that is asked.
    Mempool,
    /// It was seen once, and is neither in a block nor waiting: replaced, evicted, or in a block that was taken back.
    Gone,
}

/// A transaction that has to do with a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The transaction.
    pub tx: Transaction,
    /// Where it is now.
    pub place: Place,
}

/// All batches that are watched, and what was seen of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    /// Oldest first.
    batches: Vec<WatchedBatch>,
    sightings: BTreeMap<Txid, Sighting>,
    tip: u32,
}

impl Watch {
    /// A watch over `batches`, oldest first, with what was seen before, when the chain's tip was at height `tip`.
    #[must_use]
    pub fn new(batches: Vec<WatchedBatch>, seen: impl IntoIterator<Item = Sighting>, tip: u32) -> Self {
        let sightings = seen.into_iter().map(|seen| (seen.tx.compute_txid(), seen)).collect();
        Self { batches, sightings, tip }
    }

    /// The batches, oldest first.
    #[must_use]
    pub fn batches(&self) -> &[WatchedBatch] {
        &self.batches
    }

    /// What was seen of a transaction.
    #[must_use]
    pub fn sighting(&self, txid: Txid) -> Option<&Sighting> {
        self.sightings.get(&txid)
    }

    /// Transactions that are known to be meant for a batch, or were seen before, and are in no block.
    pub fn sought(&self) -> impl Iterator<Item = Txid> {
        let named = self.batches.iter().flat_map(WatchedBatch::named);
        let sought: BTreeSet<Txid> = named.chain(self.sightings.keys().copied()).collect();
        let in_a_block = |txid: &Txid| {
            self.sightings.get(txid).is_some_and(|seen| matches!(seen.place, Place::Block { .. }))
        };
        sought.into_iter().filter(move |txid| !in_a_block(txid))
    }

    /// The height of the newest block taken in.
    #[must_use]
    pub fn tip(&self) -> u32 {
        self.tip
    }

    /// Whether the transaction has to do with any batch.
    #[must_use]
    pub fn concerns(&self, tx: &Transaction) -> bool {
        let txid = tx.compute_txid();
        self.batches.iter().any(|batch| batch.concerns(tx, txid))
    }

    /// Every script whose appearance in a block matters: those that are owed, and those that hold coins.
    #[must_use]
    pub fn scripts(&self) -> BTreeSet<ScriptBuf> {
        let of =
            |batch: &WatchedBatch| batch.owed.keys().chain(&batch.coin_scripts).cloned().collect::<Vec<_>>();
        self.batches.iter().flat_map(of).collect()
    }

    /// The chain has one more block, with these transactions at their places in it; those that concern no batch may be
    /// left out. Which transactions were seen or moved.
    pub fn connect(
        &mut self,
        height: u32,
        hash: BlockHash,
        transactions: &[(u32, Transaction)],
    ) -> Vec<Txid> {
        self.tip = height;
        let mut moved = Vec::new();
        for (index, tx) in transactions {
            if self.concerns(tx) {
                moved.extend(self.put(tx, Place::Block { height, index: *index, hash }));
            }
        }
        moved
    }

    /// The blocks above `height` are no longer in the chain. Which transactions were in them.
    pub fn disconnect_above(&mut self, height: u32) -> Vec<Txid> {
        self.tip = self.tip.min(height);
        let mut moved = Vec::new();
        for (txid, seen) in &mut self.sightings {
            if matches!(seen.place, Place::Block { height: at, .. } if at > height) {
                seen.place = Place::Gone;
                moved.push(*txid);
            }
        }
        moved
    }

    /// What waits now of all that concerns a batch, as the node that is asked has it. Which transactions were seen or
    /// moved; one in a block stays there.
    pub fn waiting(&mut self, transactions: &[Transaction]) -> Vec<Txid> {
        let now: BTreeSet<Txid> = transactions.iter().map(Transaction::compute_txid).collect();
        let mut moved = Vec::new();
        for (txid, seen) in &mut self.sightings {
            if seen.place == Place::Mempool && !now.contains(txid) {
                seen.place = Place::Gone;
                moved.push(*txid);
            }
        }
        for tx in transactions {
            let in_a_block = self
                .sightings
                .get(&tx.compute_txid())
                .is_some_and(|seen| matches!(seen.place, Place::Block { .. }));
            if !in_a_block && self.concerns(tx) {
                moved.extend(self.put(tx, Place::Mempool));
            }
        }
        moved
    }

    fn put(&mut self, tx: &Transaction, place: Place) -> Option<Txid> {
        let txid = tx.compute_txid();
        let before = self.sightings.insert(txid, Sighting { tx: tx.clone(), place });
        before.is_none_or(|before| before.place != place).then_some(txid)
    }

    /// Where each batch stands.
    #[must_use]
    pub fn verdicts(&self) -> BTreeMap<BatchId, Verdict> {
        verdict::judge(self)
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
