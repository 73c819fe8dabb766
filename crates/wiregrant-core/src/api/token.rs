//! Organisations, and the tokens that their people sign in with.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AuditorId, FactError, FunderId, GrantId, Timestamp, TokenId};

macro_rules! roles {
    ($($(#[$doc:meta])* $role:ident $word:literal),+ $(,)?) => {
        /// What an organisation is here for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "lowercase")]
        pub enum Role { $($(#[$doc])* $role),+ }

        impl Role {
            /// Every role.
            pub const ALL: &'static [Self] = &[$(Self::$role),+];

            /// The word for it, in tokens, in JSON and in the database.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$role => $word),+ }
            }
        }
    };
}

roles! {
    /// Runs the control plane.
    Administrator "administrator",
    /// Runs nodes and is paid.
    Operator "operator",
    /// Hands out access codes.
    Distributor "distributor",
    /// Puts up grants.
    Funder "funder",
    /// Looks behind the statements of a grant.
    Auditor "auditor",
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = FactError;

    fn from_str(text: &str) -> Result<Self, FactError> {
        let known = Self::ALL.iter().find(|role| role.as_str() == text);
        known.copied().ok_or_else(|| {
            FactError::value("role", text, "one of administrator, operator, distributor, funder, auditor")
        })
    }
}

/// Whose token it is: the organisation, not the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    /// What it is here for.
    pub role: Role,
    /// Its id; none for the administrators.
    #[serde(default)]
    pub id: Option<String>,
}

/// Asks for one more token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Who will hold it, a person: one line of 1 to 100 characters. Two people have two tokens.
    pub holder: String,
    /// For whom, where an administrator asks for another organisation than their own; never an operator, who has a recovery
    /// of their own.
    #[serde(default)]
    pub organisation: Option<Organisation>,
}

/// A new token, shown this once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenCreated {
    /// What it is called; not secret.
    pub id: TokenId,
    /// What its holder signs in with.
    pub token: String,
}

/// Asks for a token in the place of those that an operator lost.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRecovery {
    /// A `wiregrant/recovery/v1` note, signed by the operator's key less than an hour ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// For an operator without a key at hand: a message signed by the address they are paid at (BIP 322 `smp` or `ful`, or the old form of
    /// P2PKH), `wiregrant: <operator> recovers a token of <origin> at <signed_at>`; of a descriptor, by its address at index 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// The time in that message, less than an hour ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<Timestamp>,
    /// The person who will hold the token.
    pub holder: String,
}

/// A token that is valid after a delay, unless it is revoked before. It is shown this once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Recovered {
    /// What it is called.
    pub id: TokenId,
    /// What its holder will sign in with.
    pub token: String,
    /// Signs in from here on.
    pub valid_from: Timestamp,
}

/// A token as its organisation sees it afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Token {
    /// What it is called.
    pub id: TokenId,
    /// Whose it is.
    pub organisation: Organisation,
    /// The person who holds it.
    pub holder: String,
    /// The token that it was asked for with; none where the control plane made it by itself.
    pub made_by: Option<TokenId>,
    /// Made when.
    pub created: Timestamp,
    /// Signs in from here on.
    pub valid_from: Timestamp,
    /// Whether it signs in once only.
    pub one_time: bool,
    /// When it was used up, where it signs in once.
    pub spent: Option<Timestamp>,
    /// Since when it does not sign in any more.
    pub revoked: Option<Timestamp>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Me {
    /// The token.
    pub id: TokenId,
    /// Whose it is.
    pub organisation: Organisation,
    /// The person who holds it.
    pub holder: String,
}

/// A new funder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewFunder {
    /// Their id, for good.
    pub funder: FunderId,
    /// The grants that they fund.
    pub grants: Vec<GrantId>,
}

/// A funder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Funder {
    /// The id.
    pub funder: FunderId,
    /// The grants that they fund.
    pub grants: Vec<GrantId>,
}

/// A new auditor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewAuditor {
    /// Their id, for good.
    pub auditor: AuditorId,
    /// The grants that they may look behind, at least one.
    pub grants: Vec<GrantId>,
}

/// An auditor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Auditor {
    /// The id.
    pub auditor: AuditorId,
    /// The grants that they may look behind.
    pub grants: Vec<GrantId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_has_one_word_everywhere() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), *role);
            assert_eq!(serde_json::to_string(role).unwrap(), format!("\"{role}\""));
        }
        assert!("admin".parse::<Role>().unwrap_err().to_string().contains("administrator"));
    }
}
