//! What a transaction pays of a batch, address by address.

use bitcoin::Transaction;
use wiregrant_core::Sats;

use crate::{Batch, PayoutError};

/// What one address of a batch is owed by it, and gets from a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidSum {
    /// The address.
    pub address: String,
    /// The sum of its lines.
    pub owed: Sats,
    /// The sum of the outputs that pay to it.
    pub paid: Sats,
}

/// What `tx` pays to each address of `batch`, in the order of their scripts.
///
/// # Errors
/// As [`Batch::checked`].
pub fn sums_paid(batch: &Batch, tx: &Transaction) -> Result<Vec<PaidSum>, PayoutError> {
    let sums = batch.payees()?.into_iter().map(|(script, payee)| {
        let outputs = tx.output.iter().filter(|output| output.script_pubkey == script);
        let paid = outputs.map(|output| Sats::new(output.value.to_sat()).unwrap_or(Sats::MAX));
        let paid = paid.fold(Sats::ZERO, |sum, more| sum.plus(more).unwrap_or(Sats::MAX));
        PaidSum { address: payee.address.to_string(), owed: payee.sats, paid }
    });
    Ok(sums.collect())
}
