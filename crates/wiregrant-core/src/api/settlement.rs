//! Where a batch and its lines stand on the way to being paid, as the chain shows it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Sats;

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $word),+ })
            }
        }
    };
}

states! {
    /// Where a batch stands.
    BatchState {
        /// It is asked for, and holds no line yet.
        Draft "draft",
        /// Its lines and addresses are fixed and signed; nothing that could be paid has left the control plane.
        Frozen "frozen",
        /// Its unsigned transaction, or a list to pay, has left the control plane: a signed copy may exist anywhere.
        Exported "exported",
        /// A PSBT that a wallet made or signed was shown, and pays exactly this batch.
        Verified "verified",
        /// Transactions that pay all of it are known to the network; not all of them are in a block.
        Seen "seen",
        /// All of it is in blocks.
        Confirmed "confirmed",
        /// All of it is six blocks deep.
        Settled "settled",
        /// Another batch stands in for it and holds its lines; the two spend a coin in common, so that one is paid at most.
        Replaced "replaced",
        /// Something of it is paid, and something is missing.
        Partial "partial",
        /// The record and the chain contradict each other: a void batch was paid, or a paid one no longer is.
        Disputed "disputed",
        /// It was asked to be cancelled; until one of its coins is spent elsewhere, six blocks deep, it may still be paid.
        CancelPending "cancel-pending",
        /// It will not be paid, and its lines are payable again.
        Void "void",
    }
}

states! {
    /// Where a line stands.
    LineState {
        /// It was in a batch that is void, and may be paid by another.
        Released "released",
        /// Its batch holds it.
        Reserved "reserved",
        /// Its address got something, and less than it is owed.
        Short "short",
        /// The network knows of its payment.
        Seen "seen",
        /// Its payment is in a block.
        Confirmed "confirmed",
        /// Its payment is six blocks deep.
        Settled "settled",
    }
}

/// Says which transaction pays a batch; exactly one of the three.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeclareTransaction {
    /// A transaction's id. It is looked for in the last hundred blocks, and in those to come.
    #[serde(default)]
    pub txid: Option<String>,
    /// The whole transaction, hexadecimal: then its replacements are recognised too.
    #[serde(default)]
    pub transaction: Option<String>,
    /// A PSBT that a wallet made, base64, not signed yet. It is checked against the batch.
    #[serde(default)]
    pub psbt: Option<String>,
    /// With a PSBT for which the wallet chose the coins: where its change goes.
    #[serde(default)]
    pub change: Vec<String>,
}

/// How far a new batch goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BatchStage {
    /// It is kept as it was asked for, and shows what it would pay.
    Draft,
    /// Its lines and addresses are fixed and signed.
    Frozen,
    /// Its unsigned transaction is handed out with the answer.
    #[default]
    Exported,
}

/// Cancels a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CancelBatch {
    /// Why: a short word, which is public once the batch is void.
    pub reason: String,
    /// Whoever asks knows that nobody has signed its transaction: it is void at once. Otherwise it is void once one of its
    /// coins is spent elsewhere, six blocks deep.
    #[serde(default)]
    pub unsigned: bool,
}

states! {
    /// What a transaction does for a batch.
    TransactionRole {
        /// It pays it.
        Pays "pays",
        /// It would pay it, and cannot any more: another one spent its coins, or nobody knows it now.
        Replaced "replaced",
        /// It spends a coin of the batch on something else.
        SpendsElsewhere "spends-elsewhere",
    }
}

/// A transaction that has to do with a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BatchTransaction {
    /// Its id.
    pub txid: String,
    /// What it does.
    pub role: TransactionRole,
    /// The height of its block.
    pub height: Option<u32>,
    /// How many blocks deep; 0 while it is in none.
    pub depth: u32,
    /// What it pays to the batch's addresses.
    pub sats: Sats,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_shown_as_json_writes_it() {
        for state in [BatchState::CancelPending, BatchState::Void, BatchState::Settled] {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
        }
        assert_eq!(serde_json::to_string(&LineState::Short).unwrap(), "\"short\"");
    }
}
