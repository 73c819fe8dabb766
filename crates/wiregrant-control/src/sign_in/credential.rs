//! What stands in the header `Authorization`: a token, or an access code.

use axum::http::{HeaderMap, header};
use wiregrant_core::access_code::AccessCode;
use wiregrant_core::api::ProblemKind;
use wiregrant_core::{FactError, Timestamp};
use wiregrant_store as store;

use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::keys::Purpose;

fn bearer(headers: &HeaderMap) -> Answer<&str> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")))
        .map(str::trim)
        .filter(|token| !token.is_empty())
        .ok_or_else(|| {
            Failure::new(
                ProblemKind::Unauthorized,
                "send the header `Authorization: Bearer <token or access code>`",
            )
        })
}

/// The token in the header, which signs in now.
///
/// # Errors
/// `unauthorized`.
pub async fn token(plane: &ControlPlane, headers: &HeaderMap) -> Answer<store::Token> {
    let hash = plane.keys.hash(Purpose::Token, bearer(headers)?);
    usable(plane.store.read().await?.token_of_hash(hash).await?, plane.clock.now())
}

/// The token, if it signs in at this moment.
///
/// # Errors
/// `unauthorized`, saying why.
pub fn usable(found: Option<store::Token>, now: Timestamp) -> Answer<store::Token> {
    let refuse = |detail: String| Err(Failure::new(ProblemKind::Unauthorized, detail));
    match found {
        None => refuse("the token is not known here; check that it is whole".to_owned()),
        Some(token) if token.revoked_at.is_some() => {
            refuse(format!("{} was revoked; ask its organisation for another", token.token))
        }
        Some(token) if token.spent_at.is_some() => {
            refuse(format!("{} has signed in once already", token.token))
        }
        Some(token) if token.valid_from > now => {
            refuse(format!("{} is valid from {} on", token.token, token.valid_from))
        }
        Some(token) => Ok(token),
    }
}

/// The access code in the header. Looking it up takes one of a few seats, so that guessing keeps nothing else waiting.
///
/// # Errors
/// `unauthorized`, `access-code`, `busy`.
pub async fn access_code(plane: &ControlPlane, headers: &HeaderMap) -> Answer<store::AccessCode> {
    let code: AccessCode = bearer(headers)?
        .parse()
        .map_err(|error: FactError| Failure::new(ProblemKind::AccessCode, error.to_string()))?;
    let hash = plane.keys.hash(Purpose::AccessCode, code.reveal());
    let _seat = plane.redemptions.seat().await?;
    let found = plane.store.read().await?.access_code(hash).await?;
    found.ok_or_else(|| {
        Failure::new(ProblemKind::AccessCode, "code: no such code was issued; check for typing errors")
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(value in proptest::collection::vec(32u8..=255, 0..100)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert(header::AUTHORIZATION, value);
            }
            let _ = bearer(&headers);
        }
    }
}
