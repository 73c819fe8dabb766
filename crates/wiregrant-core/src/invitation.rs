//! What an operator pastes on a new node: `wiregrant1.` and base64url of JSON.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::{FactError, Timestamp};

/// The most characters an invitation may have.
pub const MAX_INVITATION_CHARS: usize = 4_096;
const PREFIX: &str = "wiregrant1.";
const EXPECTED: &str = "an invitation: `wiregrant1.` and base64url, copied whole from the control plane";

/// A single-use permission to enrol one node, with all that the node has to know beforehand. A field that this version does not know
/// is passed over: one that must be heeded comes with another prefix.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Where the control plane answers; each is tried in turn. 1 to 8.
    pub urls: Vec<String>,
    /// The record log's key, pinned from here on.
    pub vkey: String,
    /// SHA-256, in padded base64, of the TLS key that `https://` addresses answer with (its SubjectPublicKeyInfo in DER), where it is
    /// pinned; then no authority has to vouch for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// Spent on use.
    pub secret: String,
    /// Not valid from here on.
    pub expires: Timestamp,
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("urls", &self.urls)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).expect("strings and times serialise");
        write!(f, "{PREFIX}{}", BASE64URL_NOPAD.encode(&json))
    }
}

impl FromStr for Invitation {
    type Err = FactError;
    /// The error never repeats the secret.
    fn from_str(text: &str) -> Result<Self, FactError> {
        if text.len() > MAX_INVITATION_CHARS {
            return Err(FactError::TooLong {
                what: "invitation",
                bytes: text.len(),
                limit: MAX_INVITATION_CHARS,
            });
        }
        let refuse = |expected| FactError::value("invitation", "…", expected);
        let body = text.trim().strip_prefix(PREFIX).ok_or_else(|| refuse(EXPECTED))?;
        let json = BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| refuse(EXPECTED))?;
        let invitation: Self = serde_json::from_slice(&json).map_err(|_| refuse(EXPECTED))?;
        let web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        if invitation.urls.is_empty() || invitation.urls.len() > 8 || !invitation.urls.iter().all(web) {
            return Err(refuse("an invitation with 1 to 8 http(s) addresses; ask for a new one"));
        }
        invitation
            .vkey
            .parse::<transparency_log::Verifier>()
            .map_err(|_| refuse("an invitation with the log's key"))?;
        let is_hash = |pin: &String| pin.parse::<transparency_log::Hash>().is_ok();
        if !invitation.pin.as_ref().is_none_or(is_hash) {
            return Err(refuse("an invitation whose pin is SHA-256 in padded base64; ask for a new one"));
        }
        Ok(invitation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn invitation() -> Invitation {
        Invitation {
            urls: vec!["https://grants.example".into()],
            vkey: transparency_log::SigningKey::new("grants.example/record", [5; 32])
                .unwrap()
                .verifier()
                .to_string(),
            pin: None,
            secret: "s3cret".into(),
            expires: Timestamp::from_unix_seconds(1_783_339_200).unwrap(),
        }
    }

    #[test]
    fn an_invitation_survives_being_copied() {
        let text = invitation().to_string();
        assert!(text.starts_with("wiregrant1.ey"));
        assert_eq!(format!(" {text}\n").parse::<Invitation>().unwrap(), invitation());
    }

    #[test]
    fn a_damaged_invitation_is_refused_without_its_secret() {
        let text = invitation().to_string();
        for bad in [&text[1..], &text[..text.len() - 9], "", "wiregrant1.", "wiregrant2.e30"] {
            assert!(bad.parse::<Invitation>().unwrap_err().to_string().contains("invitation"), "{bad}");
        }
        assert!(!format!("{:?}", invitation()).contains("s3cret"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(wiregrant1\\.)?[A-Za-z0-9_-]{0,200}") {
            let _ = text.parse::<Invitation>();
        }
    }
}
