//! A person with an access code, as a browser shows it: the code itself is the session.
//!
//! Architecture invariant: there is no row about a person's browser. The cookie holds the code, the database its keyed hash, and
//! when the browser is closed nothing is left on either side.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use wiregrant_core::access_code::AccessCode;
use wiregrant_core::api::ProblemKind;
use wiregrant_store as store;

use super::cookie;
use super::frame::Visitor;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::keys::Purpose;

/// Over TLS, so that no other host of the domain and no page without TLS can set it (RFC 6265bis, section 4.1.3.2).
const SECURE_COOKIE: &str = "__Host-wiregrant-code";
/// Without TLS, as behind an onion address, browsers refuse the other name.
const COOKIE: &str = "wiregrant-code";
/// It goes with the browser, no script can read it, and no other site makes the browser send it.
const ATTRIBUTES: &str = "; HttpOnly; SameSite=Strict";

/// Whoever holds an access code that was issued here.
#[derive(Debug, Clone)]
pub struct Person {
    /// Their code, as the store knows it. It may have expired.
    pub code: store::AccessCode,
}

impl FromRequestParts<Shared> for Person {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, plane: &Shared) -> Result<Self, Failure> {
        let absent = || Failure::new(ProblemKind::Unauthorized, "no access code was given in this browser");
        let text = sent(&parts.headers).ok_or_else(absent)?;
        let code: AccessCode = text.parse().map_err(|_| absent())?;
        known(plane, &code).await?.map(|code| Self { code }).ok_or_else(absent)
    }
}

/// The code with this text, where it was issued here.
///
/// # Errors
/// `busy`, and those of the database.
pub async fn known(plane: &ControlPlane, code: &AccessCode) -> Answer<Option<store::AccessCode>> {
    let _seat = plane.redemptions.seat().await?;
    let hash = plane.keys.hash(Purpose::AccessCode, code.reveal());
    Ok(plane.store.read().await?.access_code(hash).await?)
}

/// Whether this browser was given a code, good or not.
#[must_use]
pub fn cookie_sent(headers: &HeaderMap) -> bool {
    sent(headers).is_some()
}

fn sent(headers: &HeaderMap) -> Option<&str> {
    [SECURE_COOKIE, COOKIE]
        .iter()
        .find_map(|name| cookie::value(headers, name))
        .filter(|code| !code.is_empty())
}

/// The cookie that keeps a code in this browser until it is closed.
#[must_use]
pub fn remember(visitor: &Visitor, code: &AccessCode) -> HeaderValue {
    if visitor.secure {
        cookie::set(SECURE_COOKIE, code.reveal(), &format!("; Secure{ATTRIBUTES}"))
    } else {
        cookie::set(COOKIE, code.reveal(), ATTRIBUTES)
    }
}

/// The cookies that take a code out of this browser again.
#[must_use]
pub fn forget() -> [HeaderValue; 2] {
    let over = format!("; Max-Age=0{ATTRIBUTES}");
    [cookie::set(SECURE_COOKIE, "", &format!("; Secure{over}")), cookie::set(COOKIE, "", &over)]
}
