//! Names of the parties and things: one newtype each, so that no function can confuse two of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::FactError;

/// Longest id, in characters.
pub const MAX_ID_CHARS: usize = 40;

const EXPECTED: &str = "an id: 1 to 40 of a-z, 0-9 and '-', beginning with a letter or digit";

fn is_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=MAX_ID_CHARS).contains(&bytes.len())
        && bytes[0] != b'-'
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

macro_rules! id {
    ($name:ident, $field:literal, $doc:literal) => {
        #[doc = $doc]
        ///
        /// Form: `[a-z0-9][a-z0-9-]{0,39}`.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = FactError;
            fn from_str(text: &str) -> Result<Self, FactError> {
                if is_id(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(FactError::value($field, text, EXPECTED))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = FactError;
            fn try_from(text: String) -> Result<Self, FactError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(OperatorId, "operator", "A person or organisation that runs nodes and has a payout destination.");
id!(NodeId, "node", "One machine with an agent.");
id!(GrantId, "grant", "A pot of sats with terms.");
id!(DistributorId, "distributor", "Someone independent of operators who hands out access codes.");
id!(LocationId, "location", "Where a node stands, as users choose it.");
id!(BatchId, "batch", "A set of payout lines paid by one transaction.");
id!(FunderId, "funder", "Who puts up grants.");
id!(AuditorId, "auditor", "Whom a funder lets look behind a grant's statements.");
id!(TokenId, "token", "One named person's token, of whatever organisation; not the token itself.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_lower_case_and_does_not_begin_with_a_dash() {
        for good in ["a", "0", "nord-licht-7", &"x".repeat(40)] {
            assert_eq!(good.parse::<OperatorId>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "A", "ä", "a b", "a_b", &"x".repeat(41)] {
            let error = bad.parse::<OperatorId>().unwrap_err().to_string();
            assert!(error.contains("operator") && error.contains("a-z"), "{error}");
        }
    }
}
