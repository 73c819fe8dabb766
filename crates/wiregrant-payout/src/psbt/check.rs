//! The check of a PSBT against the batch it should pay: what a funder runs before signing, with nothing but both texts.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::base64::Engine as _;
use bitcoin::base64::engine::general_purpose::STANDARD;
use bitcoin::psbt::{Input, Psbt, PsbtSighashType};
use bitcoin::{OutPoint, ScriptBuf, TxOut, Txid};
use wiregrant_core::{OperatorId, Sats};

use super::{PaidOutput, fee_limit, txid_once_signed, wraps_witness_program};
use crate::address::dust_limit;
use crate::batch::{Batch, Payee};
use crate::{PayoutAddress, PayoutError};

/// The longest PSBT, in base64 characters.
const MAX_CHARS: usize = 16 * 1024 * 1024;

/// What a PSBT that passed does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PsbtCheck {
    /// The payouts: the batch's sums by address, in the order of their scripts.
    pub outputs: Vec<PaidOutput>,
    /// What goes back to the funder's own addresses.
    pub change: Vec<PaidOutput>,
    /// The whole fee.
    pub fee: Sats,
    /// The id it will have once signed; `None` where a signature changes it.
    pub txid: Option<Txid>,
    /// What it spends, in the transaction's order.
    pub coins: Vec<OutPoint>,
}

/// Passes only a PSBT that pays exactly `batch`, gives the rest to the `change` addresses and a bounded fee, and is not
/// signed yet: outputs are the sums by address and known change, nothing is dust, sighash is unset, ALL or DEFAULT.
///
/// # Errors
/// Names the first input or output that does not fit, with what was expected and found.
pub fn check_psbt(
    psbt_base64: &str,
    batch: &Batch,
    change: &[PayoutAddress],
) -> Result<PsbtCheck, PayoutError> {
    let payees = batch.payees()?;
    for address in change {
        if address.network() != batch.network {
            return Err(PayoutError::mismatch("change address: network", batch.network, address.network()));
        }
        if payees.contains_key(&address.script_pubkey()) {
            return Err(PayoutError::ChangeIsPaid { address: address.to_string() });
        }
    }
    let psbt = decode(psbt_base64)?;
    let spent = check_inputs(&psbt)?;
    let change = check_outputs(&psbt, batch, &payees, change)?;
    let paid = psbt.unsigned_tx.output.iter().map(|output| Sats::new(output.value.to_sat()));
    let paid = Sats::total(paid.collect::<Result<Vec<_>, _>>()?)?;
    let fee = spent.minus(paid).ok_or_else(|| {
        PayoutError::psbt("fee", format!("outputs ({paid} sats) exceed inputs ({spent} sats)"))
    })?;
    let limit = fee_limit(batch.total);
    if fee > limit {
        return Err(PayoutError::FeeTooHigh { fee, limit });
    }
    let outputs =
        payees.into_values().map(|payee| PaidOutput { address: payee.address, sats: payee.sats }).collect();
    let coins = psbt.unsigned_tx.input.iter().map(|input| input.previous_output).collect();
    Ok(PsbtCheck { outputs, change, fee, txid: txid_once_signed(&psbt), coins })
}

/// A PSBT that can be a payment: it has inputs.
pub(crate) fn decode(text: &str) -> Result<Psbt, PayoutError> {
    let psbt = parse(text)?;
    if psbt.inputs.is_empty() {
        return Err(PayoutError::psbt("inputs", "there is none; let the wallet fund it, then check again"));
    }
    Ok(psbt)
}

/// Any PSBT of version 0 in base64, with spaces and line breaks or without.
pub(super) fn parse(text: &str) -> Result<Psbt, PayoutError> {
    if text.len() > MAX_CHARS {
        return Err(PayoutError::TooMany {
            what: "characters of a PSBT",
            found: text.len(),
            limit: MAX_CHARS,
        });
    }
    let packed: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(packed).map_err(|_| {
        PayoutError::psbt("text", "not base64; export the PSBT as text, it begins with cHNidP")
    })?;
    let mut rest = bytes.as_slice();
    let psbt = Psbt::deserialize_from_reader(&mut rest).map_err(|e| {
        PayoutError::psbt("form", format!("{e}; export it again as a PSBT of version 0 (BIP 174)"))
    })?;
    if !rest.is_empty() {
        return Err(PayoutError::psbt(
            "form",
            format!("{} byte(s) follow its end; export it again", rest.len()),
        ));
    }
    Ok(psbt)
}

/// What the inputs hold together. Each must show the output it spends, and carry no signature yet.
fn check_inputs(psbt: &Psbt) -> Result<Sats, PayoutError> {
    let mut seen: BTreeSet<OutPoint> = BTreeSet::new();
    let mut sum = Sats::ZERO;
    for (number, (tx_in, input)) in psbt.unsigned_tx.input.iter().zip(&psbt.inputs).enumerate() {
        let outpoint = tx_in.previous_output;
        let refuse = |problem: String| PayoutError::psbt(format!("input {number} ({outpoint})"), problem);
        if !seen.insert(outpoint) {
            return Err(refuse("spent twice; build it again".into()));
        }
        if is_signed(input) {
            return Err(refuse("already signed; check before signing, and sign only what passed".into()));
        }
        let sighash = input.sighash_type.map_or(0, PsbtSighashType::to_u32);
        if sighash > 1 {
            return Err(refuse(format!(
                "sighash {sighash:#04x} lets others change the payment; use ALL or DEFAULT"
            )));
        }
        let spent = spent_output(input, outpoint).map_err(|problem| refuse(problem.to_owned()))?;
        sum = sum.plus(Sats::new(spent.value.to_sat())?)?;
    }
    Ok(sum)
}

fn is_signed(input: &Input) -> bool {
    !input.partial_sigs.is_empty()
        || input.tap_key_sig.is_some()
        || !input.tap_script_sigs.is_empty()
        || input.final_script_sig.is_some()
        || input.final_script_witness.is_some()
}

/// The output an input spends. The amount is taken on trust only where the signature commits to it.
fn spent_output(input: &Input, outpoint: OutPoint) -> Result<&TxOut, &'static str> {
    let by_transaction = match &input.non_witness_utxo {
        None => None,
        Some(tx) if tx.compute_txid() != outpoint.txid => {
            return Err("its non_witness_utxo is another transaction; build it again");
        }
        Some(tx) => {
            let output = usize::try_from(outpoint.vout).ok().and_then(|vout| tx.output.get(vout));
            Some(output.ok_or("its non_witness_utxo has no such output; build it again")?)
        }
    };
    match (&input.witness_utxo, by_transaction) {
        (Some(witness), Some(output)) if witness != output => {
            Err("its witness_utxo and non_witness_utxo differ; build it again")
        }
        (_, Some(output)) => Ok(output),
        (Some(output), None) => {
            let script = &output.script_pubkey;
            let wrapped =
                input.redeem_script.as_ref().is_some_and(|redeem| wraps_witness_program(script, redeem));
            if script.is_witness_program() || wrapped {
                Ok(output)
            } else {
                Err(
                    "its signature would not commit to the amount; add the transaction it spends (non_witness_utxo)",
                )
            }
        }
        (None, None) => {
            Err("the output it spends is not shown, so the fee is unknown; update the PSBT in the wallet")
        }
    }
}

/// The change outputs. All others together must be the payees, to the satoshi.
fn check_outputs(
    psbt: &Psbt,
    batch: &Batch,
    payees: &BTreeMap<ScriptBuf, Payee>,
    change: &[PayoutAddress],
) -> Result<Vec<PaidOutput>, PayoutError> {
    let own: BTreeMap<ScriptBuf, &PayoutAddress> = change.iter().map(|a| (a.script_pubkey(), a)).collect();
    let mut paid: BTreeMap<&ScriptBuf, Sats> = BTreeMap::new();
    let mut returned = Vec::new();
    for (number, output) in psbt.unsigned_tx.output.iter().enumerate() {
        let script = &output.script_pubkey;
        let sats = Sats::new(output.value.to_sat())?;
        let shown = PayoutAddress::from_script(script, batch.network)
            .map_or_else(|| format!("script {script}"), |address| address.to_string());
        let limit = dust_limit(script);
        if let Some(address) = own.get(script) {
            returned.push(PaidOutput { address: (*address).clone(), sats });
        } else if payees.contains_key(script) {
            let sum = paid.entry(script).or_default();
            *sum = sum.plus(sats)?;
        } else {
            return Err(PayoutError::psbt(
                format!("output {number}, {sats} sats to {shown}"),
                "neither in the batch nor to a known change address; do not sign, or name it as change if it is yours",
            ));
        }
        if sats < limit {
            return Err(PayoutError::Dust { address: shown, sats, limit });
        }
    }
    for (script, payee) in payees {
        let found = paid.get(script).copied().unwrap_or_default();
        if found != payee.sats {
            let operators: Vec<&str> = payee.operators.iter().map(OperatorId::as_str).collect();
            let what = format!("output to {} ({})", payee.address, operators.join(", "));
            return Err(PayoutError::mismatch(what, format!("{} sats", payee.sats), format!("{found} sats")));
        }
    }
    Ok(returned)
}
