//! The one error of this crate: what was wrong with the money, where, and the way out.

use thiserror::Error;
use wiregrant_core::note::Network;
use wiregrant_core::{FactError, OperatorId, Sats};

/// Why a payout was refused. Every message names the field, the value and the way out.
///
/// [`PayoutError::LooksLikeASecret`] has no room for the value, so that neither its message nor its `Debug` can carry a
/// key into a log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PayoutError {
    /// Somebody pasted a private key or a seed.
    #[error(
        "{field}: this looks like {kind}, which must never leave its wallet; it is not repeated here and was not kept. \
         Give a receiving address, and if the secret was shown to anyone, move its coins"
    )]
    LooksLikeASecret {
        /// Where it was pasted.
        field: &'static str,
        /// What it looks like.
        kind: &'static str,
    },
    /// No address that this version pays.
    #[error("address {value:?}: {problem}")]
    Address {
        /// The address, shortened where it may be something else.
        value: String,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// An address of another network than the configured one.
    #[error(
        "address {value:?} looks like one for {looks_like}, but payouts go out on {network}: give an address for {network}"
    )]
    WrongNetwork {
        /// The address.
        value: String,
        /// The networks that write addresses this way.
        looks_like: &'static str,
        /// The configured network.
        network: Network,
    },
    /// A signature does not show that its maker can spend from an address.
    #[error("proof for {address}: {problem}")]
    Ownership {
        /// The address.
        address: String,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// No descriptor, link or name that this version pays.
    #[error("{field} {value:?}: {problem}")]
    Pay {
        /// What it was taken for.
        field: &'static str,
        /// It, shortened where it may be something else.
        value: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A document breaks its own form.
    #[error(transparent)]
    Fact(#[from] FactError),
    /// Two things that should agree do not.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// What was compared.
        what: String,
        /// What follows from the rest.
        expected: String,
        /// What is there.
        found: String,
    },
    /// An adjustment takes away more than the operator has.
    #[error(
        "operator {operator}: brought + earned + adjusted is {sats} sats, below zero; adjust by less, or spread it over \
         later epochs"
    )]
    BelowZero {
        /// Whose line it is.
        operator: OperatorId,
        /// The sum.
        sats: i128,
    },
    /// A bound of this crate was passed.
    #[error("{what}: {found}, at most {limit} are taken; split it")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// The named bound.
        limit: usize,
    },
    /// A funder's coin cannot be read or used.
    #[error("coin {coin}: {problem}")]
    Coin {
        /// Its outpoint, or its place in the text.
        coin: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The coins do not cover the payout and its fee.
    #[error(
        "coins: have {have} sats in {usable} usable coin(s), need {need} for the payout and its fee; add coins"
    )]
    NotEnough {
        /// What all usable coins hold.
        have: Sats,
        /// How many of them are worth more than they cost to spend.
        usable: usize,
        /// The payout and the fee with all of them spent.
        need: Sats,
    },
    /// A fee rate outside of the allowed range.
    #[error("fee rate: {sat_per_vb} sat/vB is not within 1 to 1,000 sat/vB")]
    FeeRate {
        /// What was asked for.
        sat_per_vb: u64,
    },
    /// The whole fee is out of proportion.
    #[error(
        "fee: {fee} sats is over the bound of {limit} sats (a tenth of the payout, or 10,000 sats): lower the fee rate, \
         use fewer and larger coins, or pay more lines at once"
    )]
    FeeTooHigh {
        /// The fee.
        fee: Sats,
        /// The bound for this payout.
        limit: Sats,
    },
    /// Nodes would not relay a transaction of this weight.
    #[error(
        "transaction: {weight} weight units, at most {limit} are relayed: join small coins into one first, or split the \
         batch"
    )]
    TooHeavy {
        /// Its estimated weight.
        weight: u64,
        /// The limit of standard transactions.
        limit: u64,
    },
    /// An output so small that nodes would not relay it.
    #[error(
        "output to {address}: {sats} sats is dust (at least {limit} sats are relayed); carry it to a later batch"
    )]
    Dust {
        /// The output's address, or its number.
        address: String,
        /// Its amount.
        sats: Sats,
        /// The least that is relayed.
        limit: Sats,
    },
    /// The change could not be told from a payout.
    #[error("change address {address}: the batch pays it too; give a fresh change address")]
    ChangeIsPaid {
        /// The address.
        address: String,
    },
    /// A PSBT cannot be read or must not be signed.
    #[error("PSBT: {what}: {problem}")]
    Psbt {
        /// The part: the whole, an input or an output by its number.
        what: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl PayoutError {
    pub(crate) fn mismatch(
        what: impl Into<String>,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::Mismatch { what: what.into(), expected: expected.to_string(), found: found.to_string() }
    }

    pub(crate) fn coin(coin: impl std::fmt::Display, problem: impl Into<String>) -> Self {
        Self::Coin { coin: coin.to_string(), problem: problem.into() }
    }

    pub(crate) fn psbt(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Psbt { what: what.into(), problem: problem.into() }
    }

    /// This refusal as one of a note's own, for parsers that speak [`FactError`].
    pub(crate) fn in_note(self, what: impl Into<String>, expected: &str) -> FactError {
        match self {
            Self::Fact(error) => error,
            other => FactError::mismatch(what, expected, other),
        }
    }
}
