//! `PayoutState`: what became of an operator's sats of one epoch, as everyone may know it.

use serde::Serialize;
use wiregrant_core::BatchId;

/// What became of an operator's sats of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum PayoutState {
    /// Less than the least payout, or nothing: it is brought to the next epoch.
    Nothing,
    /// Waits for a batch.
    Payable,
    /// It is held: the record says why.
    Held,
    /// It was forfeited: its sats are back in the grant.
    Forfeited,
    /// A batch holds it.
    InBatch {
        /// Which.
        batch: BatchId,
    },
    /// A batch has paid it: its transaction is six blocks deep.
    Paid {
        /// Which.
        batch: BatchId,
        /// By this transaction.
        txid: String,
    },
}

impl std::fmt::Display for PayoutState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing to pay"),
            Self::Payable => f.write_str("payable"),
            Self::Held => f.write_str("held"),
            Self::Forfeited => f.write_str("forfeited, back in the grant"),
            Self::InBatch { batch } => write!(f, "in batch {batch}"),
            Self::Paid { batch, .. } => write!(f, "paid by batch {batch}"),
        }
    }
}

impl PayoutState {
    /// The class of its mark.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Nothing => "idle",
            Self::Held | Self::Forfeited => "bad",
            Self::Payable | Self::InBatch { .. } => "warn",
            Self::Paid { .. } => "good",
        }
    }

    /// The transaction that paid.
    #[must_use]
    pub fn txid(&self) -> Option<&str> {
        match self {
            Self::Paid { txid, .. } => Some(txid),
            _ => None,
        }
    }
}
