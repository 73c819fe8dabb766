//! What a replayed record is asked for.

use transparency_log::{Hash, Verifier};
use wiregrant_core::{BatchId, GrantId, OperatorId, Sats};

use super::Record;
use crate::verify::log_keys::LogKeys;
use crate::verify::logged::Logged;

impl Record {
    /// The keys that have signed it.
    pub fn log_keys(&self) -> &LogKeys {
        &self.log_keys
    }

    /// The key that signs statements and batches now.
    pub fn statement_key(&self) -> Option<&Verifier> {
        self.statement_keys.last()
    }

    /// All keys that signed statements and batches, in the order in which they came into use: what was logged under an earlier one
    /// stays as it was signed.
    pub fn statement_keys(&self) -> &[Verifier] {
        &self.statement_keys
    }

    /// The hash under which a batch was logged.
    pub fn batch(&self, batch: &BatchId) -> Option<Hash> {
        self.batches.hash(batch)
    }

    /// Whether a batch is neither paid nor void.
    pub fn is_open(&self, batch: &BatchId) -> bool {
        self.batches.is_open(batch)
    }

    /// Whether a batch will not be paid.
    pub fn is_void(&self, batch: &BatchId) -> bool {
        self.batches.is_void(batch)
    }

    /// Whether an operator's sats of an epoch must not be paid now, or never.
    pub fn is_held(&self, grant: &GrantId, epoch: u64, operator: &OperatorId) -> bool {
        self.decisions.is_held(&(grant.clone(), epoch, operator.clone()))
    }

    /// How many people must still approve a statement, by its terms and what the control plane logged.
    pub fn approvals_missing(&self, grant: &GrantId, epoch: u64) -> u64 {
        self.decisions.approvals_missing(grant, epoch)
    }

    /// The key an operator signs with, if they have one.
    pub fn operator_key(&self, operator: &OperatorId) -> Option<&Verifier> {
        self.operators.get(operator)?.key.as_ref()
    }

    /// How many batches are neither paid nor void.
    pub fn unpaid_batches(&self) -> usize {
        self.batches.open()
    }

    /// What batches that are paid have given to an operator for an epoch.
    pub fn paid(&self, grant: &GrantId, epoch: u64, operator: &OperatorId) -> Sats {
        self.lines.paid(grant, epoch, operator)
    }

    /// Where the record names what a payout depends on.
    pub fn logged(&self) -> &Logged {
        &self.logged
    }

    /// What the statement of an epoch allows to be paid to an operator.
    pub fn payable(&self, grant: &GrantId, epoch: u64, operator: &OperatorId) -> Sats {
        self.lines.payable(grant, epoch, operator)
    }
}
