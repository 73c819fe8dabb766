//! A difference between what a document should say and what it says; where it stands is added by whoever asked.

use std::fmt::Display;

use wiregrant_core::FactError;
use wiregrant_payout::PayoutError;

use super::finding::Finding;

/// What should be, and what is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    what: String,
    expected: String,
    found: String,
}

impl Difference {
    /// A difference.
    pub fn new(what: impl Into<String>, expected: impl Display, found: impl Display) -> Self {
        Self { what: what.into(), expected: expected.to_string(), found: found.to_string() }
    }

    /// A difference, unless both print alike.
    pub fn unless_equal(what: &str, expected: impl Display, found: impl Display) -> Option<Self> {
        let difference = Self::new(what, expected, found);
        (difference.expected != difference.found).then_some(difference)
    }

    /// The finding at a place.
    pub fn at(self, place: &str) -> Finding {
        Finding::new(self.what, place, self.expected, self.found)
    }
}

impl From<FactError> for Difference {
    fn from(error: FactError) -> Self {
        match error {
            FactError::Mismatch { what, expected, found } => Self { what, expected, found },
            FactError::Signature(reason) => Self::new("signature", "one that holds", reason),
            other => Self::new("form", "the form of such a note", other),
        }
    }
}

impl From<PayoutError> for Difference {
    fn from(error: PayoutError) -> Self {
        match error {
            PayoutError::Mismatch { what, expected, found } => Self { what, expected, found },
            PayoutError::Fact(fact) => fact.into(),
            other => Self::new("sats", "sums that follow from the lines above", other),
        }
    }
}
