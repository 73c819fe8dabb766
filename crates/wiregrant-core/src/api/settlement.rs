//! Where a batch and its lines stand on the way to being paid, as the chain shows it.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
        /// Its unsigned transaction has left the control plane: a signed copy may exist anywhere.
        Exported "exported",
        /// A PSBT that a wallet made or signed was shown, and pays exactly this batch.
        Verified "verified",
        /// Transactions that pay all of it are known to the network; not all of them are in a block.
        Seen "seen",
        /// All of it is in blocks.
        Confirmed "confirmed",
        /// All of it is six blocks deep.
        Settled "settled",
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
