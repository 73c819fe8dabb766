//! `Pay`: what an operator may name as the place to be paid at.
//!
//! | form | address |
//! |---|---|
//! | an address | always the same |
//! | a ranged public descriptor | a fresh one for each payout, by an index that is never used twice |
//! | a `bitcoin:` link (BIP 321) | the one in it |
//! | a name such as `name@example.org` (BIP 353) | the one in the link that the name has when a batch is frozen, by a DNSSEC proof |

mod descriptor;
mod name;
mod uri;

use std::fmt;

use wiregrant_core::Timestamp;
use wiregrant_core::note::Network;

use crate::{PayoutAddress, PayoutError, secret};

pub use descriptor::PayoutDescriptor;
pub use name::{MAX_PROOF_BYTES, PaymentName};
pub use uri::PaymentUri;

/// How many indexes of a descriptor are looked through for an address, from 0: two hundred years of weekly payouts.
pub const MAX_INDEXES_SEARCHED: u32 = 10_000;

/// Where an operator is paid, as they have named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pay {
    /// One address.
    Address(PayoutAddress),
    /// A descriptor with a range.
    Descriptor(PayoutDescriptor),
    /// A link.
    Uri(PaymentUri),
    /// A name.
    Name(PaymentName),
}

impl Pay {
    /// Reads what was named, for `network`.
    ///
    /// # Errors
    /// [`PayoutError::LooksLikeASecret`]; else what is wrong with what it was taken for.
    pub fn parse(text: &str, network: Network) -> Result<Self, PayoutError> {
        if let Some(kind) = secret::kind(text) {
            return Err(PayoutError::LooksLikeASecret { field: "pay", kind });
        }
        if text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("bitcoin:")) {
            return PaymentUri::parse(text, network).map(Self::Uri);
        }
        if text.contains('(') {
            return PayoutDescriptor::parse(text, network).map(Self::Descriptor);
        }
        if text.contains('@') {
            return PaymentName::parse(text, network).map(Self::Name);
        }
        PayoutAddress::parse(text, network).map(Self::Address)
    }

    /// The address that can sign for it, and is shown of it; `None` for a name, which has none of its own. Of a
    /// descriptor it is the first one, which is never paid to.
    ///
    /// # Errors
    /// A link without an address.
    pub fn first_address(&self) -> Result<Option<PayoutAddress>, PayoutError> {
        match self {
            Self::Address(address) => Ok(Some(address.clone())),
            Self::Descriptor(descriptor) => descriptor.address(0).map(Some),
            Self::Uri(uri) => uri.address().map(Some),
            Self::Name(_) => Ok(None),
        }
    }

    /// Checks that `address` is one that follows from it: for a name with the proof that was kept, as of `now`.
    ///
    /// # Errors
    /// Says what follows instead.
    pub fn gives(
        &self,
        address: &PayoutAddress,
        proof: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(), PayoutError> {
        let agree = |expected: PayoutAddress| match expected == *address {
            true => Ok(()),
            false => Err(PayoutError::mismatch("address", expected, address)),
        };
        match self {
            Self::Address(named) => agree(named.clone()),
            Self::Uri(uri) => agree(uri.address()?),
            Self::Name(name) => {
                let proof = proof.ok_or_else(|| {
                    PayoutError::mismatch(format!("name {name}"), "its DNSSEC proof", "none")
                })?;
                agree(name.resolved(proof, now)?.address()?)
            }
            Self::Descriptor(descriptor) => descriptor.index_of(address).map(drop).ok_or_else(|| {
                let expected = format!("one of the first {MAX_INDEXES_SEARCHED} of the descriptor");
                PayoutError::mismatch("address", expected, address)
            }),
        }
    }
}

impl fmt::Display for Pay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Descriptor(descriptor) => descriptor.fmt(f),
            Self::Uri(uri) => uri.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A refusal that shows what was named only in part: it may be a secret that does not look like one.
fn refused(field: &'static str, text: &str, problem: impl Into<String>) -> PayoutError {
    let shown: String = match text.char_indices().nth(24) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    };
    PayoutError::Pay { field, value: shown, problem: problem.into() }
}

#[cfg(test)]
mod tests;
