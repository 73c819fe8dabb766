//! Grants, their epochs, and the batches that pay them.

use serde::{Deserialize, Serialize};

use super::{BatchState, BatchTransaction, LineState};
use crate::epoch::{EpochLabel, Schedule};
use crate::terms::Terms;
use crate::{BatchId, GrantId, NodeId, OperatorId, Sats, Timestamp};

/// A new grant, open from its terms' start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// Its id, for good; it is in the address of its public report.
    pub grant: GrantId,
    /// For people.
    pub title: String,
    /// Its terms.
    pub terms: Terms,
}

/// A grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grant {
    /// Its id.
    pub grant: GrantId,
    /// For people.
    pub title: String,
    /// Its terms.
    pub terms: Terms,
    /// Sats contributed so far.
    pub contributed: Sats,
    /// Nodes admitted.
    pub members: Vec<Membership>,
    /// How many epochs have a statement.
    pub epochs_closed: u64,
}

/// Sats for a grant, acting from the next epoch that begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewContribution {
    /// How many.
    pub sats: Sats,
}

/// Admits a node to a grant from the next epoch that begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admit {
    /// The node.
    pub node: NodeId,
}

/// A node's part in a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The grant.
    pub grant: GrantId,
    /// The node.
    pub node: NodeId,
    /// Its epochs.
    pub schedule: Schedule,
    /// The first epoch the node takes part in.
    pub first_epoch: u64,
    /// The first epoch it no longer takes part in.
    pub end_epoch: Option<u64>,
}

impl Membership {
    /// The epoch a reading at `now` belongs to, if the node takes part in it.
    #[must_use]
    pub fn label_at(&self, now: Timestamp) -> Option<EpochLabel> {
        let number = self.schedule.epoch_at(now)?;
        let takes_part = number >= self.first_epoch && self.end_epoch.is_none_or(|end| number < end);
        takes_part.then(|| EpochLabel { grant: self.grant.clone(), number })
    }
}

/// A statement with its hash.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatementNote {
    /// The epoch.
    pub epoch: u64,
    /// SHA-256 of the note, hexadecimal: its name under `/log/note/`.
    pub hash: String,
    /// The whole note.
    pub note: String,
}

/// A coin the funder wants to spend.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoinInput {
    /// `txid:vout`.
    pub outpoint: String,
    /// Its value.
    pub sats: Sats,
    /// The address that holds it.
    pub address: String,
    /// The whole transaction that made it, hexadecimal; needed for P2PKH coins.
    #[serde(default)]
    pub previous_tx: Option<String>,
}

/// Pays all payable lines of a grant that no other batch holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBatch {
    /// Its id, for good.
    pub batch: BatchId,
    /// The grant.
    pub grant: GrantId,
    /// The funder's coins.
    pub coins: Vec<CoinInput>,
    /// Where the change goes.
    pub change: String,
    /// 1 to 1,000.
    pub fee_rate_sat_per_vb: u64,
}

/// One line of a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Payout {
    /// Whose sats.
    pub operator: OperatorId,
    /// Of which epoch.
    pub epoch: u64,
    /// How many.
    pub sats: Sats,
    /// Where they go.
    pub address: String,
    /// Whether the operator's own key signed that destination.
    pub destination_signed_by_operator: bool,
    /// Where it stands. Lines of one address stand together.
    pub state: LineState,
}

/// A frozen batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Batch {
    /// Its id.
    pub batch: BatchId,
    /// The grant.
    pub grant: GrantId,
    /// Where it stands.
    pub state: BatchState,
    /// Why it was asked to be cancelled.
    pub cancel_reason: Option<String>,
    /// Transactions that have to do with it, in the order of the chain.
    pub transactions: Vec<BatchTransaction>,
    /// The transaction that the record names as its payment.
    pub paid_by: Option<String>,
    /// What is owed and was not seen anywhere.
    pub missing: Sats,
    /// What was paid beyond what is owed.
    pub excess: Sats,
    /// Its lines.
    pub payouts: Vec<Payout>,
    /// Their sum.
    pub total: Sats,
    /// The fee, on top.
    pub fee: Sats,
    /// What goes back to the funder.
    pub change: Option<Sats>,
    /// The `wiregrant/batch/v1` note.
    pub note: String,
    /// The unsigned transaction, BIP 174, base64.
    pub psbt: String,
    /// The destination notes that its addresses follow from, for whoever signs to check.
    pub destinations: Vec<String>,
    /// Lines left out, and why: below the minimum nothing is payable; without a destination it waits.
    pub left_out: Vec<String>,
}
