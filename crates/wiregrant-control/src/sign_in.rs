//! Signing in: who may ask what, checked in one place before any handler runs.
//!
//! Administrators, operators and distributors send a bearer token, people send their access code in its place, nodes sign
//! each request with their identity key. Tokens and codes are looked up by their keyed hash, so neither the database nor
//! the time a look-up takes tells anything about them.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use wiregrant_core::access_code::AccessCode;
use wiregrant_core::api::ProblemKind;
use wiregrant_core::{DistributorId, NodeId, OperatorId};
use wiregrant_store as store;
use wiregrant_store::Party;

use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::ingest::Sender;
use crate::keys::Purpose;
use crate::node_request;
use crate::random;

/// Who may ask for a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anyone. What is secret is in the body, if at all.
    Everyone,
    /// The administrator.
    Administrator,
    /// The administrator or an operator; the handler holds operators to what is theirs.
    OperatorToo,
    /// A distributor or an operator.
    Issuer,
    /// Whoever holds an access code.
    CodeHolder,
    /// A node, by its signature.
    Node,
}

/// Who asks, once that is known.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Nobody in particular.
    Anyone,
    /// The administrator.
    Administrator,
    /// An operator.
    Operator(OperatorId),
    /// A distributor.
    Distributor(DistributorId),
    /// The holder of this access code.
    CodeHolder(store::AccessCode),
    /// A node.
    Node(Sender),
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get().cloned().ok_or_else(|| Failure::internal("a handler outside of the gate"))
    }
}

impl Caller {
    /// Holds an operator to what is theirs; the administrator may act for all.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn acts_for(&self, operator: &OperatorId) -> Answer<()> {
        match self {
            Self::Administrator => Ok(()),
            Self::Operator(own) if own == operator => Ok(()),
            Self::Operator(own) => Err(Failure::new(
                ProblemKind::Forbidden,
                format!("operator: {operator} is not {own}, whose token this is"),
            )),
            _ => Err(wrong_role()),
        }
    }

    /// The node that asks, which must be the one in the path.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn node(self, path: &NodeId) -> Answer<Sender> {
        match self {
            Self::Node(sender) if sender.node == *path => Ok(sender),
            Self::Node(sender) => Err(Failure::new(
                ProblemKind::Forbidden,
                format!("node: {path} is not {}, which signed", sender.node),
            )),
            _ => Err(wrong_role()),
        }
    }

    /// The access code that was sent.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn access_code(self) -> Answer<store::AccessCode> {
        match self {
            Self::CodeHolder(code) => Ok(code),
            _ => Err(wrong_role()),
        }
    }
}

/// The gate before every handler of the API.
///
/// # Errors
/// `unauthorized`, `forbidden`, `access-code`, and those of [`node_request::signed_by_a_node`].
pub async fn admit(
    State((plane, who, body_bytes)): State<(Shared, Who, usize)>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let (caller, mut request) = match who {
        Who::Everyone => (Caller::Anyone, request),
        Who::Administrator | Who::OperatorToo | Who::Issuer => {
            let caller = by_token(&plane, request.headers()).await?;
            let allowed = matches!(
                (who, &caller),
                (Who::Administrator | Who::OperatorToo, Caller::Administrator)
                    | (Who::OperatorToo | Who::Issuer, Caller::Operator(_))
                    | (Who::Issuer, Caller::Distributor(_))
            );
            if !allowed {
                return Err(wrong_role());
            }
            (caller, request)
        }
        Who::CodeHolder => (by_access_code(&plane, request.headers()).await?, request),
        Who::Node => {
            let (sender, request) = node_request::signed_by_a_node(&plane, request, body_bytes).await?;
            (Caller::Node(sender), request)
        }
    };
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// A new bearer token: its role, so that people (and scanners for leaked secrets) recognise it, and 256 random bits.
#[must_use]
pub fn new_token(party: &Party) -> String {
    let role = match party {
        Party::Administrator => "administrator",
        Party::Operator(_) => "operator",
        Party::Distributor(_) => "distributor",
    };
    format!("wiregrant-{role}-{}", BASE64URL_NOPAD.encode(&random::bytes::<32>()))
}

fn wrong_role() -> Failure {
    Failure::new(ProblemKind::Forbidden, "this address is for another role than this token's")
}

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

async fn by_token(plane: &ControlPlane, headers: &HeaderMap) -> Answer<Caller> {
    let hash = plane.keys.hash(Purpose::Token, bearer(headers)?);
    match plane.store.read().await?.party_of_token(hash).await? {
        Some(Party::Administrator) => Ok(Caller::Administrator),
        Some(Party::Operator(operator)) => Ok(Caller::Operator(operator)),
        Some(Party::Distributor(distributor)) => Ok(Caller::Distributor(distributor)),
        None => Err(Failure::new(
            ProblemKind::Unauthorized,
            "the token is not known here; check that it is whole",
        )),
    }
}

async fn by_access_code(plane: &ControlPlane, headers: &HeaderMap) -> Answer<Caller> {
    let code: AccessCode = bearer(headers)?.parse().map_err(|error: wiregrant_core::FactError| {
        Failure::new(ProblemKind::AccessCode, error.to_string())
    })?;
    let hash = plane.keys.hash(Purpose::AccessCode, code.reveal());
    let found = plane.store.read().await?.access_code(hash).await?;
    let unknown =
        || Failure::new(ProblemKind::AccessCode, "code: no such code was issued; check for typing errors");
    found.map(Caller::CodeHolder).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_says_whose_kind_it_is_and_is_never_the_same() {
        let party = Party::Operator("nordlicht".parse().unwrap());
        assert!(new_token(&party).starts_with("wiregrant-operator-"));
        assert_ne!(new_token(&party), new_token(&party));
    }

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
