//! Elements of a script's stack: truth, numbers, hashes.

use bitcoin::hashes::{Hash as _, hash160, ripemd160, sha256, sha256d};
use bitcoin::opcodes::Opcode;
use bitcoin::opcodes::all as op;

pub(super) fn hashed(operation: Opcode, bytes: &[u8]) -> Vec<u8> {
    match operation {
        op::OP_HASH160 => hash160::Hash::hash(bytes).to_byte_array().to_vec(),
        op::OP_SHA256 => sha256::Hash::hash(bytes).to_byte_array().to_vec(),
        op::OP_HASH256 => sha256d::Hash::hash(bytes).to_byte_array().to_vec(),
        _ => ripemd160::Hash::hash(bytes).to_byte_array().to_vec(),
    }
}
/// What OP_1NEGATE and OP_1 to OP_16 push.
pub(super) fn small_number(operation: Opcode) -> Option<Vec<u8>> {
    let (code, first) = (operation.to_u8(), op::OP_PUSHNUM_1.to_u8());
    match code {
        _ if operation == op::OP_PUSHNUM_NEG1 => Some(vec![0x81]),
        _ if (first..=op::OP_PUSHNUM_16.to_u8()).contains(&code) => Some(vec![code - first + 1]),
        _ => None,
    }
}

/// Everything but zero, and the zero with a sign.
pub(super) fn is_true(bytes: &[u8]) -> bool {
    match bytes.split_last() {
        None => false,
        Some((last, rest)) => rest.iter().any(|byte| *byte != 0) || (*last != 0 && *last != 0x80),
    }
}

/// A number of the script: little-endian, a sign in the highest bit, minimal, at most `most` bytes.
pub(super) fn number(bytes: &[u8], most: usize) -> Result<i64, &'static str> {
    let Some((last, rest)) = bytes.split_last() else { return Ok(0) };
    let is_minimal = last & 0x7f != 0 || rest.last().is_some_and(|before| before & 0x80 != 0);
    if bytes.len() > most || !is_minimal {
        return Err("a number of its script is not minimal");
    }
    let magnitude =
        rest.iter().chain([&(last & 0x7f)]).rev().fold(0i64, |number, byte| (number << 8) | i64::from(*byte));
    Ok(if last & 0x80 == 0 { magnitude } else { -magnitude })
}

/// The same the other way round.
pub(super) fn of_number(number: i64) -> Vec<u8> {
    let mut bytes: Vec<u8> = number.unsigned_abs().to_le_bytes().to_vec();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    if bytes.last().is_some_and(|last| last & 0x80 != 0) {
        bytes.push(0);
    }
    if number < 0
        && let Some(last) = bytes.last_mut()
    {
        *last |= 0x80;
    }
    bytes
}
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_reads_back(value in -0x7fff_ffffi64..=0x7fff_ffff) {
            prop_assert_eq!(number(&of_number(value), 4).unwrap(), value);
        }
    }

    #[test]
    fn a_number_that_is_not_minimal_is_refused() {
        for bytes in [&[0u8][..], &[0x80], &[1, 0], &[1, 0, 0, 0, 0]] {
            assert!(number(bytes, 4).is_err(), "{bytes:?}");
        }
        assert_eq!(number(&[0xff, 0], 4), Ok(255));
        assert_eq!(number(&[0x81], 4), Ok(-1));
    }
}
