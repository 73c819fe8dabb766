//! The one error of this crate: what was wrong, where, and the way out.

use thiserror::Error;

/// Why a fact was refused. Every message names the field, the value and what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FactError {
    /// A single value does not have the form its field asks for.
    #[error("{field}: {value:?} is not {expected}")]
    Value {
        /// The field, as the format names it.
        field: &'static str,
        /// What was given, cut to 80 characters.
        value: String,
        /// What the field takes.
        expected: &'static str,
    },
    /// A note's text stops or goes on where its form says otherwise.
    #[error("line {line}: found {found:?}, but {expected}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The line as it stands, cut to 80 characters; empty at the end of the text.
        found: String,
        /// What should stand there.
        expected: String,
    },
    /// A number left the range its unit allows.
    #[error("{what}: the result does not fit ({limit} at most)")]
    Overflow {
        /// The sum or product.
        what: &'static str,
        /// The greatest value the unit holds.
        limit: u64,
    },
    /// Two parts of one document contradict each other.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// The part that does not hold.
        what: String,
        /// What follows from the rest of the document.
        expected: String,
        /// What is written.
        found: String,
    },
    /// A signature or the envelope around it was refused.
    #[error("signature: {0}")]
    Signature(String),
    /// The text is longer than its format allows.
    #[error("{what}: {bytes} bytes, at most {limit} are allowed")]
    TooLong {
        /// The kind of text.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

impl FactError {
    /// A refusal of `value` in `field`, which takes `expected`.
    #[must_use]
    pub fn value(field: &'static str, value: &str, expected: &'static str) -> Self {
        Self::Value { field, value: shortened(value), expected }
    }

    /// A contradiction inside one document.
    #[must_use]
    pub fn mismatch(
        what: impl Into<String>,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::Mismatch { what: what.into(), expected: expected.to_string(), found: found.to_string() }
    }
}

/// At most 80 characters of `value`, so that an error never repeats a whole document.
pub(crate) fn shortened(value: &str) -> String {
    match value.char_indices().nth(80) {
        None => value.to_owned(),
        Some((at, _)) => format!("{}…", &value[..at]),
    }
}
