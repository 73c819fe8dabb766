//! A script that runs: its stack, its branches, its operations.

use bitcoin::opcodes::Opcode;
use bitcoin::opcodes::all as op;
use bitcoin::script::{Instruction, PushBytes};
use bitcoin::secp256k1::{Secp256k1, VerifyOnly};
use bitcoin::taproot::TapLeafHash;
use bitcoin::{Script, Transaction, TxOut};

use super::element::{hashed, is_true, number, of_number, small_number};
use super::{NOT_SATISFIED, NOT_UNDERSTOOD, Stack};

/// The longest script before Taproot (consensus, `MAX_SCRIPT_SIZE`).
const MAX_SCRIPT_BYTES: usize = 10_000;
/// The most parts of a stack (consensus, `MAX_STACK_SIZE`).
const MAX_STACK: usize = 1_000;
/// The most bytes of a part (consensus, `MAX_SCRIPT_ELEMENT_SIZE`).
const MAX_ELEMENT_BYTES: usize = 520;

/// Whose rules a script runs by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    Legacy,
    V0,
    KeyPath,
    Tapscript(TapLeafHash),
}

/// A script that runs.
pub(super) struct Run<'a> {
    pub(super) to_sign: &'a Transaction,
    pub(super) spent: &'a TxOut,
    pub(super) rules: Rules,
    pub(super) script: &'a Script,
    stack: Stack,
    apart: Stack,
    pub(super) signatures: usize,
    pub(super) secp: Secp256k1<VerifyOnly>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        to_sign: &'a Transaction,
        spent: &'a TxOut,
        rules: Rules,
        script: &'a Script,
    ) -> Result<Self, &'static str> {
        if !matches!(rules, Rules::Tapscript(_)) && script.len() > MAX_SCRIPT_BYTES {
            return Err(NOT_UNDERSTOOD);
        }
        let (stack, apart, secp) = (Stack::new(), Stack::new(), Secp256k1::verification_only());
        Ok(Self { to_sign, spent, rules, script, stack, apart, signatures: 0, secp })
    }

    /// Whether it ends with one element, which is true.
    pub(super) fn run(mut self, stack: Stack) -> Result<(), &'static str> {
        if stack.iter().any(|part| part.len() > MAX_ELEMENT_BYTES) {
            return Err(NOT_UNDERSTOOD);
        }
        self.stack = stack;
        // Which branches of the IFs around are taken.
        let mut taken: Vec<bool> = Vec::new();
        let script = self.script;
        for instruction in script.instructions_minimal() {
            let instruction = instruction.map_err(|_| "its script has a push that is not minimal")?;
            let runs = !taken.contains(&false);
            match instruction {
                Instruction::PushBytes(bytes) if runs => self.push(bytes)?,
                Instruction::PushBytes(_) => {}
                Instruction::Op(op::OP_IF | op::OP_NOTIF) if !runs => taken.push(false),
                Instruction::Op(operation @ (op::OP_IF | op::OP_NOTIF)) => {
                    let yes = match self.pop()?.as_slice() {
                        [] => false,
                        [1] => true,
                        _ => return Err("an IF takes exactly 1 or nothing"),
                    };
                    taken.push(yes == (operation == op::OP_IF));
                }
                Instruction::Op(op::OP_ELSE) => {
                    let branch = taken.last_mut().ok_or(NOT_UNDERSTOOD)?;
                    *branch = !*branch;
                }
                Instruction::Op(op::OP_ENDIF) => drop(taken.pop().ok_or(NOT_UNDERSTOOD)?),
                Instruction::Op(operation) if runs => self.step(operation)?,
                Instruction::Op(operation) if is_understood(operation) => {}
                Instruction::Op(_) => return Err(NOT_UNDERSTOOD),
            }
            if self.stack.len() + self.apart.len() > MAX_STACK {
                return Err(NOT_UNDERSTOOD);
            }
        }
        match self.stack.as_slice() {
            [only] if taken.is_empty() && is_true(only) => Ok(()),
            _ => Err(NOT_SATISFIED),
        }
    }

    fn push(&mut self, bytes: &PushBytes) -> Result<(), &'static str> {
        if bytes.len() > MAX_ELEMENT_BYTES {
            return Err(NOT_UNDERSTOOD);
        }
        self.stack.push(bytes.as_bytes().to_vec());
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Result<Vec<u8>, &'static str> {
        self.stack.pop().ok_or(NOT_SATISFIED)
    }

    fn top(&self) -> Result<&Vec<u8>, &'static str> {
        self.stack.last().ok_or(NOT_SATISFIED)
    }

    fn pop_number(&mut self) -> Result<i64, &'static str> {
        number(&self.pop()?, 4)
    }

    fn put(&mut self, yes: bool) {
        self.stack.push(if yes { vec![1] } else { vec![] });
    }

    fn verify(&mut self) -> Result<(), &'static str> {
        if is_true(&self.pop()?) { Ok(()) } else { Err(NOT_SATISFIED) }
    }

    fn step(&mut self, operation: Opcode) -> Result<(), &'static str> {
        if let Some(bytes) = small_number(operation) {
            self.stack.push(bytes);
            return Ok(());
        }
        match operation {
            op::OP_VERIFY => self.verify()?,
            op::OP_DUP => self.stack.push(self.top()?.clone()),
            op::OP_IFDUP if is_true(self.top()?) => self.stack.push(self.top()?.clone()),
            op::OP_IFDUP => {}
            op::OP_DROP => drop(self.pop()?),
            op::OP_SWAP => {
                let (upper, lower) = (self.pop()?, self.pop()?);
                self.stack.extend([upper, lower]);
            }
            op::OP_TOALTSTACK => {
                let part = self.pop()?;
                self.apart.push(part);
            }
            op::OP_FROMALTSTACK => self.stack.push(self.apart.pop().ok_or(NOT_SATISFIED)?),
            op::OP_SIZE => {
                let length = i64::try_from(self.top()?.len()).map_err(|_| NOT_UNDERSTOOD)?;
                self.stack.push(of_number(length));
            }
            op::OP_EQUAL | op::OP_EQUALVERIFY => {
                let equal = self.pop()? == self.pop()?;
                self.put(equal);
            }
            op::OP_HASH160 | op::OP_SHA256 | op::OP_HASH256 | op::OP_RIPEMD160 => {
                let hashed = hashed(operation, &self.pop()?);
                self.stack.push(hashed);
            }
            op::OP_CLTV => self.check_time()?,
            op::OP_CSV => self.check_age()?,
            op::OP_CHECKSIG | op::OP_CHECKSIGVERIFY => {
                let (key, signature) = (self.pop()?, self.pop()?);
                let holds = self.check_signature(&signature, &key)?;
                self.put(holds);
            }
            op::OP_CHECKSIGADD if matches!(self.rules, Rules::Tapscript(_)) => {
                let (key, sum, signature) = (self.pop()?, self.pop_number()?, self.pop()?);
                let holds = self.check_signature(&signature, &key)?;
                self.stack.push(of_number(sum + i64::from(holds)));
            }
            op::OP_CHECKMULTISIG | op::OP_CHECKMULTISIGVERIFY
                if matches!(self.rules, Rules::Legacy | Rules::V0) =>
            {
                let holds = self.check_signatures()?;
                self.put(holds);
            }
            _ => self.arithmetic(operation)?,
        }
        match operation {
            op::OP_EQUALVERIFY
            | op::OP_CHECKSIGVERIFY
            | op::OP_CHECKMULTISIGVERIFY
            | op::OP_NUMEQUALVERIFY => self.verify(),
            _ => Ok(()),
        }
    }

    fn arithmetic(&mut self, operation: Opcode) -> Result<(), &'static str> {
        match operation {
            op::OP_NOT => {
                let zero = self.pop_number()? == 0;
                self.put(zero);
            }
            op::OP_0NOTEQUAL => {
                let zero = self.pop_number()? == 0;
                self.put(!zero);
            }
            op::OP_ADD => {
                let sum = self.pop_number()? + self.pop_number()?;
                self.stack.push(of_number(sum));
            }
            op::OP_BOOLAND | op::OP_BOOLOR | op::OP_NUMEQUAL | op::OP_NUMEQUALVERIFY => {
                let (b, a) = (self.pop_number()?, self.pop_number()?);
                self.put(match operation {
                    op::OP_BOOLAND => a != 0 && b != 0,
                    op::OP_BOOLOR => a != 0 || b != 0,
                    _ => a == b,
                });
            }
            _ => return Err(NOT_UNDERSTOOD),
        }
        Ok(())
    }

    /// CHECKLOCKTIMEVERIFY (BIP 65).
    fn check_time(&self) -> Result<(), &'static str> {
        const BY_HEIGHT_BELOW: i64 = 500_000_000;
        let wanted = number(self.top()?, 5)?;
        let (time, input) = (i64::from(self.to_sign.lock_time.to_consensus_u32()), &self.to_sign.input[0]);
        let same_kind = (wanted < BY_HEIGHT_BELOW) == (time < BY_HEIGHT_BELOW);
        if wanted >= 0 && same_kind && wanted <= time && !input.sequence.is_final() {
            return Ok(());
        }
        Err("its time lock is not met")
    }

    /// CHECKSEQUENCEVERIFY (BIP 112).
    fn check_age(&self) -> Result<(), &'static str> {
        const DISABLED: i64 = 1 << 31;
        const BY_TIME: i64 = 1 << 22;
        const VALUE: i64 = 0xffff;
        let wanted = number(self.top()?, 5)?;
        let age = i64::from(self.to_sign.input[0].sequence.to_consensus_u32());
        // A disabled lock would be a NOP that upgrades may give a meaning.
        if wanted < 0 || wanted & DISABLED != 0 {
            return Err(NOT_UNDERSTOOD);
        }
        let enabled = self.to_sign.version.0 >= 2 && age & DISABLED == 0;
        if enabled && wanted & BY_TIME == age & BY_TIME && wanted & VALUE <= age & VALUE {
            return Ok(());
        }
        Err("its age lock is not met")
    }

    /// A number, and as many elements, the topmost first.
    pub(super) fn pop_counted(&mut self, most: usize) -> Result<Stack, &'static str> {
        let count = usize::try_from(self.pop_number()?).map_err(|_| NOT_UNDERSTOOD)?;
        if count > most {
            return Err(NOT_UNDERSTOOD);
        }
        (0..count).map(|_| self.pop()).collect()
    }
}

/// Whether an operation in a branch that is not taken is one of those known here.
fn is_understood(operation: Opcode) -> bool {
    const KNOWN: [Opcode; 27] = [
        op::OP_VERIFY,
        op::OP_DUP,
        op::OP_IFDUP,
        op::OP_DROP,
        op::OP_SWAP,
        op::OP_TOALTSTACK,
        op::OP_FROMALTSTACK,
        op::OP_SIZE,
        op::OP_EQUAL,
        op::OP_EQUALVERIFY,
        op::OP_HASH160,
        op::OP_SHA256,
        op::OP_HASH256,
        op::OP_RIPEMD160,
        op::OP_CLTV,
        op::OP_CSV,
        op::OP_CHECKSIG,
        op::OP_CHECKSIGVERIFY,
        op::OP_CHECKMULTISIG,
        op::OP_CHECKMULTISIGVERIFY,
        op::OP_NOT,
        op::OP_0NOTEQUAL,
        op::OP_ADD,
        op::OP_BOOLAND,
        op::OP_BOOLOR,
        op::OP_NUMEQUAL,
        op::OP_NUMEQUALVERIFY,
    ];
    small_number(operation).is_some() || operation == op::OP_CHECKSIGADD || KNOWN.contains(&operation)
}
