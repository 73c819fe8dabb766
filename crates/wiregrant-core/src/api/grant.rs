//! Grants, their epochs, and the batches that pay them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BatchStage, BatchState, BatchTransaction, GrantState, LineState};
use crate::epoch::{EpochLabel, Schedule};
use crate::terms::Terms;
use crate::{BatchId, Bytes, GrantId, NodeId, OperatorId, Sats, Timestamp};

/// A new grant, open from its terms' start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// Its id, for good; it is in the address of its public report.
    pub grant: GrantId,
    /// For people.
    pub title: String,
    /// Its terms.
    pub terms: Terms,
    /// `open`: its terms are signed and logged at once; `draft`: it can be changed by asking for it again, until it is opened.
    #[serde(default = "open")]
    pub state: GrantState,
}

fn open() -> GrantState {
    GrantState::Open
}

/// A grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Grant {
    /// Its id.
    pub grant: GrantId,
    /// For people.
    pub title: String,
    /// Where it stands.
    pub state: GrantState,
    /// Its newest terms.
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewContribution {
    /// How many.
    pub sats: Sats,
}

/// Admits a node to a grant from the next epoch that begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Admit {
    /// The node.
    pub node: NodeId,
}

/// A node's part in a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// What a peer can add to what is creditable in an epoch, by the first epoch in which that acts; 0 for no cap.
    #[serde(default)]
    pub peer_caps: BTreeMap<u64, Bytes>,
}

impl Membership {
    /// The cap that holds a peer in an epoch, if there is one.
    #[must_use]
    pub fn peer_cap_in(&self, epoch: &EpochLabel) -> Option<Bytes> {
        let in_force = self.peer_caps.range(..=epoch.number).next_back().map(|(_, cap)| *cap);
        in_force.filter(|cap| *cap > Bytes::ZERO && epoch.grant == self.grant)
    }

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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The script that a P2SH address is the hash of, hexadecimal; needed for P2SH-P2WPKH coins.
    #[serde(default)]
    pub redeem_script: Option<String>,
}

/// Pays all payable lines of a grant that no other batch holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewBatch {
    /// Its id, for good.
    pub batch: BatchId,
    /// The grant.
    pub grant: GrantId,
    /// The funder's coins. Without any there is no unsigned transaction: the batch is exported for a wallet that chooses
    /// them itself.
    #[serde(default)]
    pub coins: Vec<CoinInput>,
    /// Where the change goes, with coins: an address, or a public descriptor of the funder's, which then gives each batch
    /// an address of its own.
    #[serde(default)]
    pub change: Option<String>,
    /// 1 to 1,000, with coins.
    #[serde(default)]
    pub fee_rate_sat_per_vb: Option<u64>,
    /// The batch it stands in for: it takes over its lines and spends one of its coins.
    #[serde(default)]
    pub replaces: Option<BatchId>,
    /// How far it goes.
    #[serde(default)]
    pub stage: BatchStage,
}

/// One line of a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Whether the address itself signed that it is theirs (BIP 322).
    #[serde(default)]
    pub ownership_proven: bool,
    /// Where it stands. Lines of one address stand together.
    pub state: LineState,
}

/// A frozen batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The unsigned transaction, BIP 174, base64; empty before it is exported, and where a wallet chooses the coins.
    pub psbt: String,
    /// The batch it stands in for.
    pub replaces: Option<BatchId>,
    /// The batch that stands in for it.
    pub replaced_by: Option<BatchId>,
    /// The destination notes that its addresses follow from, for whoever signs to check.
    pub destinations: Vec<String>,
    /// Lines left out, and why: below the minimum nothing is payable; without a destination it waits.
    pub left_out: Vec<String>,
}
