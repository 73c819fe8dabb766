//! `Coin`: an unspent output of the funder's, and the texts that funders hand them over in.

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::InputWeightPrediction;
use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use serde::Deserialize;
use serde_json::value::RawValue;
use wiregrant_core::Sats;
use wiregrant_core::api::CoinInput;
use wiregrant_core::note::Network;
use wiregrant_core::units::parse_number;

use super::wraps_witness_program;
use crate::{PayoutAddress, PayoutError, secret};

/// The most coins taken at once.
pub const MAX_COINS: usize = 10_000;

/// The longest text of coins, in bytes.
const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;

/// An unspent output that the funder pays from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coin {
    /// Where it is.
    pub outpoint: OutPoint,
    /// What it holds.
    pub sats: Sats,
    /// What locks it.
    pub script_pubkey: ScriptBuf,
    /// For P2SH around P2WPKH: the script that the address is the hash of.
    pub redeem_script: Option<ScriptBuf>,
    /// The transaction it is an output of. P2PKH needs it, because its signatures do not commit to the amount.
    pub previous_tx: Option<Transaction>,
    /// Whether it is spent whatever the others hold: a transaction that replaces another must spend a coin of that one.
    pub must_be_spent: bool,
}

impl Coin {
    /// A coin of a type that needs nothing else: P2WPKH or P2TR.
    #[must_use]
    pub fn new(outpoint: OutPoint, sats: Sats, script_pubkey: ScriptBuf) -> Self {
        let (redeem_script, previous_tx, must_be_spent) = (None, None, false);
        Self { outpoint, sats, script_pubkey, redeem_script, previous_tx, must_be_spent }
    }

    /// Adds the transaction that made the coin, as `getrawtransaction` prints it.
    ///
    /// # Errors
    /// [`PayoutError::Coin`] when it is no transaction, or not the one.
    pub fn with_previous_tx(mut self, hex: &str) -> Result<Self, PayoutError> {
        let tx = deserialize_hex(hex.trim()).map_err(|e| {
            PayoutError::coin(self.outpoint, format!("previous transaction: not a raw transaction ({e})"))
        })?;
        self.previous_tx = Some(tx);
        self.check_previous_tx()?;
        Ok(self)
    }

    /// Adds the script that a P2SH coin's address is the hash of, as `listunspent` prints it.
    ///
    /// # Errors
    /// [`PayoutError::Coin`] when it is no script in hexadecimal, or not the one.
    pub fn with_redeem_script(mut self, hex: &str) -> Result<Self, PayoutError> {
        let refuse = |problem: &str| PayoutError::coin(self.outpoint, problem);
        let redeem =
            ScriptBuf::from_hex(hex.trim()).map_err(|_| refuse("redeemScript is not hexadecimal"))?;
        if redeem.to_p2sh() != self.script_pubkey {
            return Err(refuse("its redeemScript is another address's; copy the node's answer unchanged"));
        }
        self.redeem_script = Some(redeem);
        Ok(self)
    }

    /// The coin as it is sent to a control plane; a P2PKH one with the transaction, of those given (raw, hexadecimal), that made it.
    ///
    /// # Errors
    /// [`PayoutError::Coin`] for a script without an address, and where that transaction is not given.
    pub fn as_input(&self, network: Network, made: &[&str]) -> Result<CoinInput, PayoutError> {
        let refuse = |problem: &str| PayoutError::coin(self.outpoint, problem);
        let address = PayoutAddress::from_script(&self.script_pubkey, network)
            .ok_or_else(|| refuse("held by a script without an address; leave it out"))?;
        let is_legacy = self.script_pubkey.is_p2pkh();
        let previous_tx = made.iter().find(|hex| is_legacy && self.clone().with_previous_tx(hex).is_ok());
        if is_legacy && previous_tx.is_none() {
            return Err(refuse(
                "a P2PKH coin needs the transaction that made it; give what getrawtransaction prints",
            ));
        }
        Ok(CoinInput {
            outpoint: self.outpoint.to_string(),
            sats: self.sats,
            address: address.to_string(),
            previous_tx: previous_tx.map(|hex| (*hex).to_owned()),
            redeem_script: self.redeem_script.as_ref().map(|script| script.to_hex_string()),
        })
    }

    fn check_previous_tx(&self) -> Result<(), PayoutError> {
        let Some(tx) = &self.previous_tx else { return Ok(()) };
        let refuse = |problem: String| Err(PayoutError::coin(self.outpoint, problem));
        if tx.compute_txid() != self.outpoint.txid {
            return refuse(format!("the previous transaction given is {}, another one", tx.compute_txid()));
        }
        match usize::try_from(self.outpoint.vout).ok().and_then(|vout| tx.output.get(vout)) {
            None => refuse(format!("the previous transaction has only {} output(s)", tx.output.len())),
            Some(out) if out.value.to_sat() != self.sats.get() || out.script_pubkey != self.script_pubkey => {
                refuse(format!(
                    "the previous transaction says {} sats or another script; take both from it",
                    out.value.to_sat()
                ))
            }
            Some(_) => Ok(()),
        }
    }

    /// What a signature for it weighs, at most. Sizes: a DER signature with its sighash byte 72 bytes, a compressed key
    /// 33, a Schnorr signature of the default sighash 64.
    pub(super) fn spending(&self) -> Result<InputWeightPrediction, PayoutError> {
        self.check_previous_tx()?;
        let script = &self.script_pubkey;
        let problem = if script.is_p2wpkh() {
            return Ok(InputWeightPrediction::P2WPKH_MAX);
        } else if script.is_p2tr() {
            return Ok(InputWeightPrediction::P2TR_KEY_DEFAULT_SIGHASH);
        } else if script.is_p2pkh() && self.previous_tx.is_some() {
            return Ok(InputWeightPrediction::P2PKH_COMPRESSED_MAX);
        } else if script.is_p2pkh() {
            "a P2PKH coin needs the transaction that made it (getrawtransaction); give it, or leave this coin out"
        } else if script.is_p2sh() {
            match &self.redeem_script {
                Some(redeem) if redeem.is_p2wpkh() && wraps_witness_program(script, redeem) => {
                    return Ok(InputWeightPrediction::new(23, [72, 33]));
                }
                Some(_) => {
                    "a P2SH coin that does not wrap P2WPKH: the size of its signature is not known; leave it out"
                }
                None => {
                    "a P2SH coin without its redeem script; give `listunspent`'s JSON, or leave this coin out"
                }
            }
        } else if script.is_p2wsh() {
            "a P2WSH coin: the size of its signature is not known; leave it out, or let the wallet fund the payment"
        } else {
            "no coin of type P2PKH, P2SH-P2WPKH, P2WPKH or P2TR; leave it out"
        };
        Err(PayoutError::coin(self.outpoint, problem))
    }
}

/// Reads the funder's coins: the JSON that `bitcoin-cli listunspent` prints, or lines `txid:vout:sats:address` (empty
/// lines and lines that begin with `#` are skipped).
///
/// # Errors
/// [`PayoutError::Coin`] names the coin; [`PayoutError::LooksLikeASecret`] where a wallet's secret part was pasted.
pub fn parse_coins(text: &str, network: Network) -> Result<Vec<Coin>, PayoutError> {
    if text.trim_start().starts_with('[') {
        return parse_listunspent(text, network);
    }
    check_text(text)?;
    let coins: Vec<Coin> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .take(MAX_COINS.saturating_add(1))
        .map(|line| parse_coin_line(line, network))
        .collect::<Result<_, _>>()?;
    within_bound(coins)
}

/// Reads one coin, `txid:vout:sats:address`.
///
/// # Errors
/// [`PayoutError::Coin`] with the part that is wrong.
pub fn parse_coin_line(line: &str, network: Network) -> Result<Coin, PayoutError> {
    if let Some(kind) = secret::kind_of_key(line) {
        return Err(PayoutError::LooksLikeASecret { field: "coins", kind });
    }
    let &[txid, vout, sats, address] = line.split(':').collect::<Vec<_>>().as_slice() else {
        return Err(PayoutError::coin(
            "line",
            "each is `txid:vout:sats:address`, or all are `listunspent`'s JSON",
        ));
    };
    let outpoint = outpoint(txid, parse_number("vout", vout)?)?;
    let address = PayoutAddress::parse(address, network)?;
    Ok(Coin::new(outpoint, sats.parse()?, address.script_pubkey()))
}

fn outpoint(txid: &str, vout: u64) -> Result<OutPoint, PayoutError> {
    let shown = || txid.chars().take(64).collect::<String>();
    let txid_read =
        txid.parse::<Txid>().map_err(|_| PayoutError::coin(shown(), "a txid is 64 hexadecimal digits"))?;
    let vout = u32::try_from(vout).map_err(|_| PayoutError::coin(shown(), "vout does not fit 32 bits"))?;
    if txid_read == Txid::all_zeros() {
        return Err(PayoutError::coin(shown(), "no transaction has this id"));
    }
    Ok(OutPoint::new(txid_read, vout))
}

/// An entry of `listunspent` (Bitcoin Core RPC); what is not named here is not needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unspent<'a> {
    txid: String,
    vout: u32,
    address: Option<String>,
    script_pub_key: Option<String>,
    redeem_script: Option<String>,
    /// The very text of the number: read as a float it could lose a satoshi.
    #[serde(borrow)]
    amount: &'a RawValue,
    #[serde(default = "default_safe")]
    safe: bool,
}

fn default_safe() -> bool {
    true
}

/// Reads the JSON array that `bitcoin-cli listunspent` prints. Coins that the node calls unsafe (unconfirmed, from
/// others) are left out: they may vanish before the payment confirms.
///
/// # Errors
/// As [`parse_coins`].
pub fn parse_listunspent(json: &str, network: Network) -> Result<Vec<Coin>, PayoutError> {
    check_text(json)?;
    // The parser's own message may repeat what it found, so only the place is passed on.
    let refused = |e: serde_json::Error| {
        let place = format!("at line {} column {}", e.line(), e.column());
        PayoutError::coin(
            place,
            "not as `bitcoin-cli listunspent` prints it: an array of objects with txid, vout and amount",
        )
    };
    let unspent: Vec<Unspent<'_>> = serde_json::from_str(json).map_err(refused)?;
    let coins = unspent.into_iter().filter(|unspent| unspent.safe).map(|unspent| coin(unspent, network));
    within_bound(coins.collect::<Result<_, _>>()?)
}

fn coin(unspent: Unspent<'_>, network: Network) -> Result<Coin, PayoutError> {
    let outpoint = outpoint(&unspent.txid, unspent.vout.into())?;
    let amount = unspent.amount.get();
    let sats = sats_of_bitcoin(amount).ok_or_else(|| {
        let shown: String = amount.chars().take(40).collect();
        PayoutError::coin(
            outpoint,
            format!("amount {shown} is not a whole number of satoshis up to 21 million bitcoin"),
        )
    })?;
    let script = |field: &str, hex: Option<String>| {
        hex.map(|hex| ScriptBuf::from_hex(&hex))
            .transpose()
            .map_err(|_| PayoutError::coin(outpoint, format!("{field} is not hexadecimal")))
    };
    let by_address = match &unspent.address {
        Some(address) => Some(PayoutAddress::parse(address, network)?.script_pubkey()),
        None => None,
    };
    let script_pubkey = match (script("scriptPubKey", unspent.script_pub_key)?, by_address) {
        (Some(script), Some(address)) if script != address => {
            return Err(PayoutError::coin(
                outpoint,
                "address and scriptPubKey differ; copy the node's answer unchanged",
            ));
        }
        (Some(script), _) | (None, Some(script)) => script,
        (None, None) => return Err(PayoutError::coin(outpoint, "has neither an address nor a scriptPubKey")),
    };
    let redeem_script = script("redeemScript", unspent.redeem_script)?;
    Ok(Coin { redeem_script, ..Coin::new(outpoint, sats, script_pubkey) })
}

fn check_text(text: &str) -> Result<(), PayoutError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(PayoutError::TooMany {
            what: "bytes of coins",
            found: text.len(),
            limit: MAX_TEXT_BYTES,
        });
    }
    match secret::kind_of_key(text) {
        Some(kind) => Err(PayoutError::LooksLikeASecret { field: "coins", kind }),
        None => Ok(()),
    }
}

fn within_bound(coins: Vec<Coin>) -> Result<Vec<Coin>, PayoutError> {
    if coins.len() > MAX_COINS {
        return Err(PayoutError::TooMany { what: "coins", found: coins.len(), limit: MAX_COINS });
    }
    Ok(coins)
}

/// The satoshis that a JSON number of bitcoin says, exactly, with or without an exponent; `None` for fractions of a
/// satoshi, negative amounts and anything above 21 million bitcoin.
fn sats_of_bitcoin(number: &str) -> Option<Sats> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i8>().ok()?),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || digits.len() > 30 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: u128 = digits.parse().ok()?;
    // One bitcoin is 10^8 satoshis.
    let shift = 8_i32.checked_add(exponent.into())?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10_u128.checked_pow(shift.unsigned_abs());
    let sats = match power {
        _ if digits == 0 => 0,
        Some(power) if shift >= 0 => digits.checked_mul(power)?,
        Some(power) if digits.is_multiple_of(power) => digits / power,
        _ => return None,
    };
    Sats::new(u64::try_from(sats).ok()?).ok()
}

#[cfg(test)]
mod tests;
