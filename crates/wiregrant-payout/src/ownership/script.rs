//! Whether a spending satisfies the script it spends from, by the rules that BIP 322 requires of signed messages.
//!
//! It understands what wallets' scripts are made of (the fragments of miniscript, bare multisignature) and refuses every
//! other script as not understood: whatever is accepted holds by consensus, and not the other way round. Stricter than
//! consensus: SIGHASH_ALL (or DEFAULT) alone, low-S strictly encoded signatures, a failed signature must be empty,
//! minimal pushes, IF by exactly 1 or nothing, one element left; no CODESEPARATOR, no reserved NOP, no unknown witness version.

mod element;
mod run;
mod signatures;

use bitcoin::script::Instruction;
use bitcoin::secp256k1::Secp256k1;
use bitcoin::taproot::{ControlBlock, LeafVersion, TapLeafHash};
use bitcoin::{Script, ScriptBuf, Transaction, TxOut, Witness, XOnlyPublicKey};

use self::element::small_number;
use self::run::{Rules, Run};

const NOT_SATISFIED: &str = "the signature is another address's, or of another message";
const NOT_UNDERSTOOD: &str = "its script is of a kind that is not understood; prove another address";

type Stack = Vec<Vec<u8>>;

/// Whether the first input of `to_sign` satisfies `spent`.
pub(super) fn satisfied(to_sign: &Transaction, spent: &TxOut) -> Result<(), &'static str> {
    let (script, input) = (&spent.script_pubkey, &to_sign.input[0]);
    if script.is_witness_program() {
        if !input.script_sig.is_empty() {
            return Err("a segwit address has no scriptSig");
        }
        return witness_program(to_sign, spent, script);
    }
    let mut stack = pushes(&input.script_sig)?;
    if script.is_p2pkh() && input.witness.is_empty() {
        return Run::new(to_sign, spent, Rules::Legacy, script)?.run(stack);
    }
    let redeem = ScriptBuf::from_bytes(stack.pop().ok_or(NOT_SATISFIED)?);
    if !script.is_p2sh() || redeem.to_p2sh() != *script {
        return Err(NOT_SATISFIED);
    }
    if redeem.is_witness_program() {
        return match stack.is_empty() {
            true => witness_program(to_sign, spent, &redeem),
            false => Err("more than its script is in the scriptSig"),
        };
    }
    if !input.witness.is_empty() {
        return Err("an address without segwit has no witness");
    }
    Run::new(to_sign, spent, Rules::Legacy, &redeem)?.run(stack)
}

/// The parts of a scriptSig, which may hold nothing but minimal pushes.
fn pushes(script: &Script) -> Result<Stack, &'static str> {
    script
        .instructions_minimal()
        .map(|instruction| match instruction {
            Ok(Instruction::PushBytes(bytes)) => Ok(bytes.as_bytes().to_vec()),
            Ok(Instruction::Op(op)) => small_number(op).ok_or("its scriptSig holds more than pushes"),
            Err(_) => Err("its scriptSig has a push that is not minimal"),
        })
        .collect()
}

fn witness_program(to_sign: &Transaction, spent: &TxOut, program: &Script) -> Result<(), &'static str> {
    let witness = &to_sign.input[0].witness;
    if program.is_p2wpkh() {
        // BIP 143: the script of a P2WPKH output is the P2PKH script of the same hash.
        let script = program.p2wpkh_script_code().ok_or(NOT_UNDERSTOOD)?;
        return match witness.len() {
            2 => Run::new(to_sign, spent, Rules::V0, &script)?.run(witness.to_vec()),
            _ => Err(NOT_SATISFIED),
        };
    }
    if program.is_p2wsh() {
        let mut stack = witness.to_vec();
        let script = ScriptBuf::from_bytes(stack.pop().ok_or(NOT_SATISFIED)?);
        if script.to_p2wsh() != *program {
            return Err(NOT_SATISFIED);
        }
        return Run::new(to_sign, spent, Rules::V0, &script)?.run(stack);
    }
    if program.is_p2tr() {
        return taproot_program(to_sign, spent, program, witness);
    }
    Err(NOT_UNDERSTOOD)
}

fn taproot_program(
    to_sign: &Transaction,
    spent: &TxOut,
    program: &Script,
    witness: &Witness,
) -> Result<(), &'static str> {
    let key = XOnlyPublicKey::from_slice(&program.as_bytes()[2..]).map_err(|_| NOT_UNDERSTOOD)?;
    let mut stack = witness.to_vec();
    match stack.as_slice() {
        [] => return Err(NOT_SATISFIED),
        [signature] => {
            let by_key = Run::new(to_sign, spent, Rules::KeyPath, Script::new())?.schnorr(signature, key)?;
            return if by_key { Ok(()) } else { Err(NOT_SATISFIED) };
        }
        [.., last] if last.first() == Some(&0x50) => {
            return Err("its witness has an annex, which has no meaning yet");
        }
        _ => {}
    }
    let control = ControlBlock::decode(&stack.pop().unwrap_or_default()).map_err(|_| NOT_SATISFIED)?;
    let script = ScriptBuf::from_bytes(stack.pop().unwrap_or_default());
    let secp = Secp256k1::verification_only();
    if !control.verify_taproot_commitment(&secp, key, &script) {
        return Err(NOT_SATISFIED);
    }
    if control.leaf_version != LeafVersion::TapScript {
        return Err(NOT_UNDERSTOOD);
    }
    let leaf = TapLeafHash::from_script(&script, LeafVersion::TapScript);
    Run::new(to_sign, spent, Rules::Tapscript(leaf), &script)?.run(stack)
}
