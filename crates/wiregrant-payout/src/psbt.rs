//! `UnsignedPsbt`: the transaction that pays a batch from the funder's coins, without a signature (BIP 174).
//!
//! The same batch, coins, change address and fee rate always give the same bytes, in whatever order the coins and lines
//! came: coins largest first, outputs as BIP 69 orders them. The fee is on top of the lines, never taken from them.

mod check;
mod coin;

use std::collections::BTreeSet;
use std::fmt;

use bitcoin::absolute::LockTime;
use bitcoin::psbt::Psbt;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::transaction::{Version, predict_weight};
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Weight, Witness};
use miniscript::psbt::PsbtExt as _;
use wiregrant_core::Sats;

use crate::batch::Batch;
use crate::{PayoutAddress, PayoutDescriptor, PayoutError};

pub(crate) use check::decode;
pub use check::{PsbtCheck, check_psbt};
pub use coin::{Coin, MAX_COINS, parse_coin_line, parse_coins, parse_listunspent};

/// The fee rates taken, in sat/vB.
pub const FEE_RATES: std::ops::RangeInclusive<u64> = 1..=1_000;

/// The heaviest transaction that nodes relay (Bitcoin Core, `MAX_STANDARD_TX_WEIGHT`), in weight units.
pub const MAX_WEIGHT: u64 = 400_000;

/// The indexes of a descriptor that coins and change are looked for under, from 0.
pub const MAX_ORIGINS: u32 = 1_000;

/// Any fee up to this is in proportion, whatever the payout.
const SMALL_FEE: u64 = 10_000;

/// The most a payout's fee may be: a tenth of it, or 10,000 sats, whichever is greater.
#[must_use]
pub fn fee_limit(payout: Sats) -> Sats {
    Sats::new((payout.get() / 10).max(SMALL_FEE)).expect("a tenth of a payout is within its range")
}

/// An output that pays an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidOutput {
    /// Where to.
    pub address: PayoutAddress,
    /// How much.
    pub sats: Sats,
}

impl PaidOutput {
    fn to_tx_out(&self) -> TxOut {
        TxOut { value: Amount::from_sat(self.sats.get()), script_pubkey: self.address.script_pubkey() }
    }
}

/// A transaction that pays exactly one batch, without signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedPsbt {
    psbt: Psbt,
    outputs: Vec<PaidOutput>,
    change: Option<PaidOutput>,
    fee: Sats,
    weight: Weight,
}

impl UnsignedPsbt {
    /// The same with what a signing device needs to find its keys: where a coin, or the change, is one of the first
    /// [`MAX_ORIGINS`] of the funder's descriptor, its scripts and the origins of its keys.
    #[must_use]
    pub fn with_origins(mut self, descriptor: &PayoutDescriptor) -> Self {
        for definite in (0..MAX_ORIGINS).flat_map(|index| descriptor.definite(index)) {
            let script = definite.script_pubkey();
            let of_inputs: Vec<usize> = (0..self.psbt.inputs.len())
                .filter(|at| self.psbt.spend_utxo(*at).is_ok_and(|spent| spent.script_pubkey == script))
                .collect();
            // What cannot be filled in is left to the wallet, which knows its own keys.
            for at in of_inputs {
                let _ = self.psbt.update_input_with_descriptor(at, &definite);
            }
            let outputs = &self.psbt.unsigned_tx.output;
            let of_outputs: Vec<usize> =
                (0..outputs.len()).filter(|at| outputs[*at].script_pubkey == script).collect();
            for at in of_outputs {
                let _ = self.psbt.update_output_with_descriptor(at, &definite);
            }
        }
        self
    }

    /// The PSBT as wallets import it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        self.psbt.to_string()
    }

    /// The PSBT itself.
    #[must_use]
    pub fn psbt(&self) -> &Psbt {
        &self.psbt
    }

    /// The payouts, one for each script, in the transaction's order and without the change.
    #[must_use]
    pub fn outputs(&self) -> &[PaidOutput] {
        &self.outputs
    }

    /// What goes back to the funder.
    #[must_use]
    pub fn change(&self) -> Option<&PaidOutput> {
        self.change.as_ref()
    }

    /// The whole fee, in sats.
    #[must_use]
    pub fn fee(&self) -> Sats {
        self.fee
    }

    /// The size once signed, in virtual bytes. Exact for Taproot; an ECDSA signature may come out one or two bytes
    /// shorter, so that the true fee rate is never below the one asked for.
    #[must_use]
    pub fn vbytes(&self) -> u64 {
        self.weight.to_vbytes_ceil()
    }

    /// The id the transaction will have once signed; `None` where a signature changes it (a P2PKH coin).
    #[must_use]
    pub fn txid(&self) -> Option<Txid> {
        txid_once_signed(&self.psbt)
    }
}

impl fmt::Display for UnsignedPsbt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.psbt, f)
    }
}

/// Builds the transaction that pays `batch` from as few of `coins` as it takes, largest first. What is left goes to
/// `change`, or to the fee where it would be dust.
///
/// # Errors
/// Names the line, coin, output or bound that stands in the way, and how to get past it.
pub fn build(
    batch: &Batch,
    coins: &[Coin],
    change: &PayoutAddress,
    fee_rate_sat_per_vb: u64,
) -> Result<UnsignedPsbt, PayoutError> {
    if !FEE_RATES.contains(&fee_rate_sat_per_vb) {
        return Err(PayoutError::FeeRate { sat_per_vb: fee_rate_sat_per_vb });
    }
    let outputs = payouts(batch, change)?;
    let usable = usable(coins, fee_rate_sat_per_vb)?;
    let funding = fund(&usable, &outputs, change, fee_rate_sat_per_vb, batch.total)?;
    let limit = fee_limit(batch.total);
    if funding.fee > limit {
        return Err(PayoutError::FeeTooHigh { fee: funding.fee, limit });
    }
    if funding.weight.to_wu() > MAX_WEIGHT {
        return Err(PayoutError::TooHeavy { weight: funding.weight.to_wu(), limit: MAX_WEIGHT });
    }
    let change = funding.change.map(|sats| PaidOutput { address: change.clone(), sats });
    Ok(UnsignedPsbt {
        psbt: assemble(&usable[..funding.coins], outputs.iter().chain(&change)),
        outputs,
        change,
        fee: funding.fee,
        weight: funding.weight,
    })
}

/// One output for each script, in BIP 69's order.
fn payouts(batch: &Batch, change: &PayoutAddress) -> Result<Vec<PaidOutput>, PayoutError> {
    let payees = batch.payees()?;
    if change.network() != batch.network {
        return Err(PayoutError::mismatch("change address: network", batch.network, change.network()));
    }
    if payees.contains_key(&change.script_pubkey()) {
        return Err(PayoutError::ChangeIsPaid { address: change.to_string() });
    }
    let mut outputs = Vec::with_capacity(payees.len());
    for (_, payee) in payees {
        let limit = payee.address.dust_limit();
        if payee.sats < limit {
            return Err(PayoutError::Dust { address: payee.address.to_string(), sats: payee.sats, limit });
        }
        outputs.push(PaidOutput { address: payee.address, sats: payee.sats });
    }
    // Scripts came in order and the sort is stable: by amount, then by script.
    outputs.sort_by_key(|output| output.sats);
    Ok(outputs)
}

/// The coins that are worth more than they cost to spend, largest first, equals by outpoint; before them those that must
/// be spent.
fn usable(coins: &[Coin], fee_rate: u64) -> Result<Vec<&Coin>, PayoutError> {
    if coins.len() > MAX_COINS {
        return Err(PayoutError::TooMany { what: "coins", found: coins.len(), limit: MAX_COINS });
    }
    let mut seen = BTreeSet::new();
    let mut usable = Vec::with_capacity(coins.len());
    for coin in coins {
        if !seen.insert(coin.outpoint) {
            return Err(PayoutError::coin(coin.outpoint, "given twice; give each coin once"));
        }
        // Outpoint and sequence are 40 bytes, 4 weight units each.
        let weight = coin.spending()?.weight() + Weight::from_wu(160);
        if coin.must_be_spent || coin.sats.get() > weight.to_vbytes_ceil().saturating_mul(fee_rate) {
            usable.push(coin);
        }
    }
    usable.sort_by_key(|coin| (!coin.must_be_spent, std::cmp::Reverse(coin.sats), coin.outpoint));
    Ok(usable)
}

/// How many of the coins are spent, and where the sats go that are not paid out.
struct Funding {
    coins: usize,
    weight: Weight,
    fee: Sats,
    change: Option<Sats>,
}

fn fund(
    coins: &[&Coin],
    outputs: &[PaidOutput],
    change: &PayoutAddress,
    fee_rate: u64,
    payout: Sats,
) -> Result<Funding, PayoutError> {
    let mut scripts: Vec<usize> = outputs.iter().map(|output| output.address.script_pubkey().len()).collect();
    scripts.push(change.script_pubkey().len());
    let without_change = &scripts[..outputs.len()];
    let fee_of = |weight: Weight| Sats::new(weight.to_vbytes_ceil().saturating_mul(fee_rate));

    let mut spendings = Vec::with_capacity(coins.len());
    let mut have = Sats::ZERO;
    let mut need = payout;
    let must = coins.iter().filter(|coin| coin.must_be_spent).count();
    for coin in coins {
        spendings.push(coin.spending()?);
        have = have.plus(coin.sats)?;
        let weight = predict_weight(spendings.iter().copied(), without_change.iter().copied());
        need = payout.plus(fee_of(weight)?)?;
        if weight.to_wu() > MAX_WEIGHT {
            return Err(PayoutError::TooHeavy { weight: weight.to_wu(), limit: MAX_WEIGHT });
        }
        if have < need || spendings.len() < must {
            continue;
        }
        let heavier = predict_weight(spendings.iter().copied(), scripts.iter().copied());
        let fee = fee_of(heavier)?;
        let left = have.minus(payout.plus(fee)?).filter(|left| *left >= change.dust_limit());
        let coins = spendings.len();
        return Ok(match left {
            Some(change) => Funding { coins, weight: heavier, fee, change: Some(change) },
            None => Funding { coins, weight, fee: have.minus_or_zero(payout), change: None },
        });
    }
    Err(PayoutError::NotEnough { have, usable: coins.len(), need })
}

fn assemble<'a>(coins: &[&Coin], outputs: impl Iterator<Item = &'a PaidOutput>) -> Psbt {
    let mut outputs: Vec<TxOut> = outputs.map(PaidOutput::to_tx_out).collect();
    outputs.sort_by(|a, b| (a.value, &a.script_pubkey).cmp(&(b.value, &b.script_pubkey)));
    let input = |coin: &&Coin| TxIn {
        previous_output: coin.outpoint,
        script_sig: ScriptBuf::new(),
        // 0xfffffffd: replaceable by a higher fee (BIP 125), no relative lock.
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::new(),
    };
    let tx = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: coins.iter().map(input).collect(),
        output: outputs,
    };
    let mut psbt =
        Psbt::from_unsigned_tx(tx).expect("the inputs were just made without scripts and witnesses");
    for (input, coin) in psbt.inputs.iter_mut().zip(coins) {
        input.non_witness_utxo.clone_from(&coin.previous_tx);
        input.redeem_script.clone_from(&coin.redeem_script);
        if !coin.script_pubkey.is_p2pkh() {
            let value = Amount::from_sat(coin.sats.get());
            input.witness_utxo = Some(TxOut { value, script_pubkey: coin.script_pubkey.clone() });
        }
    }
    psbt
}

/// What a PSBT spends, in the transaction's order.
///
/// # Errors
/// The text is no PSBT.
pub fn coins_of(psbt_base64: &str) -> Result<Vec<OutPoint>, PayoutError> {
    let psbt = decode(psbt_base64)?;
    Ok(psbt.unsigned_tx.input.iter().map(|input| input.previous_output).collect())
}

/// The id of the transaction once signed, where no signature can change it: inputs of native segwit have no script of
/// their own, and P2SH around a witness program always has the same one.
pub(crate) fn txid_once_signed(psbt: &Psbt) -> Option<Txid> {
    let mut tx = psbt.unsigned_tx.clone();
    for ((input, spent), known) in tx.input.iter_mut().zip(psbt.iter_funding_utxos()).zip(&psbt.inputs) {
        let script = &spent.ok()?.script_pubkey;
        if script.is_witness_program() {
            continue;
        }
        let redeem = known.redeem_script.as_ref().filter(|redeem| wraps_witness_program(script, redeem))?;
        input.script_sig =
            Builder::new().push_slice(PushBytesBuf::try_from(redeem.to_bytes()).ok()?).into_script();
    }
    Some(tx.compute_txid())
}

fn wraps_witness_program(script: &ScriptBuf, redeem: &ScriptBuf) -> bool {
    redeem.is_witness_program() && redeem.to_p2sh() == *script
}

#[cfg(test)]
mod tests;
