//! Issuing tokens: 256 random bits each, shown once, kept as a keyed hash under a name that is not secret.

use data_encoding::BASE64URL_NOPAD;
use wiregrant_core::{Timestamp, TokenId};
use wiregrant_store::{self as store, Party, StoreError, Write};

use crate::keys::{Keys, Purpose};
use crate::random;

/// What a token is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// For whom.
    pub party: Party,
    /// The person who will hold it.
    pub holder: String,
    /// The token of whoever asks; none where the control plane makes it by itself.
    pub made_by: Option<TokenId>,
    /// Signs in from here on.
    pub valid_from: Timestamp,
}

/// A token that was issued.
pub struct Issued {
    /// What it is called.
    pub id: TokenId,
    /// The token itself; nobody sees it again.
    pub token: String,
}

/// A token's text: its role, so that people (and scanners for leaked secrets) recognise it, and 256 random bits.
#[must_use]
pub fn text(party: &Party) -> String {
    format!("wiregrant-{}-{}", party.role(), BASE64URL_NOPAD.encode(&random::bytes::<32>()))
}

/// A new name for a token.
///
/// # Panics
/// Never: what is drawn has the form of an id.
#[must_use]
pub fn name() -> TokenId {
    format!("token-{}", random::word(&random::bytes::<5>()))
        .parse()
        .expect("small letters and digits are an id")
}

/// Issues a token that signs in until it is revoked.
///
/// # Errors
/// Those of the database.
pub async fn issue(
    keys: &Keys,
    write: &mut Write,
    asked: Asked,
    now: Timestamp,
) -> Result<Issued, StoreError> {
    let issued = Issued { id: name(), token: text(&asked.party) };
    let Asked { party, holder, made_by, valid_from } = asked;
    let hash = keys.hash(Purpose::Token, &issued.token);
    let new = store::NewToken {
        token: issued.id.clone(),
        hash,
        party,
        holder,
        made_by,
        one_time: false,
        valid_from,
    };
    write.insert_token(&new, now).await?;
    Ok(issued)
}

/// An organisation's first token, whose holder is the organisation itself until its people ask for their own.
///
/// # Errors
/// Those of the database.
pub async fn issue_first(
    keys: &Keys,
    write: &mut Write,
    party: Party,
    made_by: TokenId,
    now: Timestamp,
) -> Result<Issued, StoreError> {
    let holder = party.id().unwrap_or_default().to_owned();
    issue(keys, write, Asked { party, holder, made_by: Some(made_by), valid_from: now }, now).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_whose_kind_it_is_and_is_never_the_same() {
        let party = Party::Operator("nordlicht".parse().unwrap());
        assert!(text(&party).starts_with("wiregrant-operator-"));
        assert_ne!(text(&party), text(&party));
        assert_ne!(name(), name());
    }
}
