//! Proof that whoever names an address can sign for it: a message signed as BIP 322 says (`simple` and `full`), or, for
//! P2PKH alone, as wallets did before it (`signmessage`).
//!
//! The message is [`message`], one line that names record, operator and address, so that a proof made for one of them says
//! nothing about another. What is signed is no payment: its only input does not exist.

mod script;

use bitcoin::absolute::LockTime;
use bitcoin::base64::Engine as _;
use bitcoin::base64::engine::general_purpose::STANDARD;
use bitcoin::consensus::deserialize;
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::Builder;
use bitcoin::secp256k1::Secp256k1;
use bitcoin::sign_message::{MessageSignature, signed_msg_hash};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, OutPoint, PubkeyHash, Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
};
use wiregrant_core::note::Origin;
use wiregrant_core::{OperatorId, Timestamp};

use crate::{PayoutAddress, PayoutError, secret};

/// The longest signature, in base64 characters: a `full` one of the largest script there can be.
const MAX_CHARS: usize = 64 * 1024;

/// A signature of the old form: a byte that says how to recover the key, and two numbers of 32 bytes.
const LEGACY_BYTES: usize = 65;

/// When the key that signed may spend: BIP 322's "valid at time T and age S". Both are 0 where nothing is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locks {
    /// Not before this height or time.
    pub time: LockTime,
    /// Not before a coin is this old.
    pub age: Sequence,
}

/// The line an operator signs with the wallet that the address is of.
#[must_use]
pub fn message(log: &Origin, operator: &OperatorId, address: &PayoutAddress) -> String {
    message_of(log, operator, &address.to_string())
}

/// The same line around whatever stands for the address.
#[must_use]
pub fn message_of(log: &Origin, operator: &OperatorId, address: &str) -> String {
    format!("wiregrant: {operator} is paid at {address} by {log}")
}

/// The line an operator signs with that wallet to recover a token, at a time: good for an hour, and once.
#[must_use]
pub fn recovery_message(log: &Origin, operator: &OperatorId, time: Timestamp) -> String {
    format!("wiregrant: {operator} recovers a token of {log} at {time}")
}

/// Checks that `signature` is one of `text` by whoever can spend from `address`.
///
/// # Errors
/// [`PayoutError::Ownership`] with what is wrong; also where the script is of a kind that is not understood here.
/// [`PayoutError::LooksLikeASecret`] where a key was pasted.
pub fn check(address: &PayoutAddress, text: &str, signature: &str) -> Result<Locks, PayoutError> {
    if let Some(kind) = secret::kind(signature) {
        return Err(PayoutError::LooksLikeASecret { field: "proof", kind });
    }
    let script = address.script_pubkey();
    let checked = match Form::of(signature, &script) {
        Ok(Form::Legacy(bytes)) => check_legacy(&script, text, &bytes),
        Ok(Form::Simple(witness)) => check_witness(&script, text, witness),
        Ok(Form::Full(to_sign)) => check_full(&script, text, &to_sign),
        Err(problem) => Err(problem),
    };
    checked.map_err(|problem| PayoutError::Ownership { address: address.to_string(), problem })
}

/// The forms, decoded.
enum Form {
    Legacy(Vec<u8>),
    Simple(Witness),
    Full(Box<Transaction>),
}

impl Form {
    fn of(signature: &str, script: &Script) -> Result<Self, &'static str> {
        let signature = signature.trim();
        if signature.len() > MAX_CHARS {
            return Err("the signature is longer than any; give the wallet's own text");
        }
        if signature.is_empty() {
            return Err("the signature is empty; sign the message in the wallet that the address is of");
        }
        if signature.starts_with("pof") {
            return Err("a proof of funds is not asked for; sign the message alone (`smp` or `ful`)");
        }
        if let Some(full) = signature.strip_prefix("ful") {
            let to_sign =
                deserialize(&decoded(full)?).map_err(|_| "after `ful` a transaction is expected")?;
            return Ok(Self::Full(Box::new(to_sign)));
        }
        let bytes = decoded(signature.strip_prefix("smp").unwrap_or(signature))?;
        // BIP 322: the old form is for P2PKH and nothing else.
        if bytes.len() == LEGACY_BYTES && script.is_p2pkh() {
            return Ok(Self::Legacy(bytes));
        }
        if !script.is_witness_program() {
            return Err("of P2PKH the old form is taken, of P2PKH and P2SH the `ful` form");
        }
        let witness = deserialize(&bytes).map_err(|_| "a list of a witness's parts is expected (`smp`)")?;
        Ok(Self::Simple(witness))
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, &'static str> {
    STANDARD.decode(text).map_err(|_| "the signature is not base64; copy it whole")
}

fn check_legacy(script: &Script, text: &str, bytes: &[u8]) -> Result<Locks, &'static str> {
    let signature = MessageSignature::from_slice(bytes).map_err(|_| "no signature of a message")?;
    let key = signature
        .recover_pubkey(&Secp256k1::verification_only(), signed_msg_hash(text))
        .map_err(|_| "the signature does not hold")?;
    if ScriptBuf::new_p2pkh(&PubkeyHash::from(key)) != *script {
        return Err("the signature is another address's, or of another message");
    }
    Ok(Locks { time: LockTime::ZERO, age: Sequence::ZERO })
}

fn check_witness(script: &Script, text: &str, witness: Witness) -> Result<Locks, &'static str> {
    let mut to_sign = to_sign(script, text);
    to_sign.input[0].witness = witness;
    check_full(script, text, &to_sign)
}

fn check_full(script: &Script, text: &str, to_sign: &Transaction) -> Result<Locks, &'static str> {
    let to_spend = to_spend(script, text);
    let [input] = to_sign.input.as_slice() else {
        return Err("one input is expected; further ones would be a proof of funds");
    };
    if input.previous_output != OutPoint::new(to_spend.compute_txid(), 0) {
        return Err("it was made for another message or another address");
    }
    if to_sign.output != [nothing_paid()] {
        return Err("one output is expected, which pays nothing to nobody");
    }
    if ![Version(0), Version::TWO].contains(&to_sign.version) {
        return Err("its version is neither 0 nor 2");
    }
    script::satisfied(to_sign, &to_spend.output[0])?;
    Ok(Locks { time: to_sign.lock_time, age: input.sequence })
}

/// The transaction whose output is spent; nobody can make it, because its own input does not exist (BIP 322).
fn to_spend(script: &Script, text: &str) -> Transaction {
    let commitment = Builder::new().push_int(0).push_slice(message_hash(text)).into_script();
    Transaction {
        version: Version(0),
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(Txid::all_zeros(), u32::MAX),
            script_sig: commitment,
            sequence: Sequence::ZERO,
            witness: Witness::new(),
        }],
        output: vec![TxOut { value: Amount::ZERO, script_pubkey: script.to_owned() }],
    }
}

/// The transaction that spends it, without a signature.
fn to_sign(script: &Script, text: &str) -> Transaction {
    Transaction {
        version: Version(0),
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(to_spend(script, text).compute_txid(), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ZERO,
            witness: Witness::new(),
        }],
        output: vec![nothing_paid()],
    }
}

fn nothing_paid() -> TxOut {
    TxOut { value: Amount::ZERO, script_pubkey: Builder::new().push_opcode(OP_RETURN).into_script() }
}

/// The tagged hash (BIP 340) of a message.
fn message_hash(text: &str) -> [u8; 32] {
    let tag = sha256::Hash::hash(b"BIP0322-signed-message").to_byte_array();
    let mut engine = sha256::Hash::engine();
    engine.input(&tag);
    engine.input(&tag);
    engine.input(text.as_bytes());
    sha256::Hash::from_engine(engine).to_byte_array()
}

#[cfg(test)]
mod tests;
