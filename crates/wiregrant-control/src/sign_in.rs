//! Signing in: who may ask what, checked in one place before any handler runs, for the API and for pages alike.
//!
//! Administrators, operators, distributors, funders and auditors send a bearer token, or the cookie that their browser got for
//! one; people send their access code in its place, nodes sign each request with their identity key. Tokens, codes and
//! cookies are looked up by their keyed hash, so neither the database nor the time a look-up takes tells anything about them.
//!
//! Handlers take [`Caller`] for what may be done, and [`Holder`] for which person does it: two tokens of one organisation are
//! two people.
//!
//! Architecture invariant: nothing here reads, keeps or logs a client's address.

mod cookie;
mod credential;
mod cross_site;
mod session;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use wiregrant_core::api::ProblemKind;
use wiregrant_core::{AuditorId, DistributorId, FunderId, NodeId, OperatorId, TokenId};
use wiregrant_store as store;
use wiregrant_store::Party;

use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::ingest::Sender;
use crate::node_request;

pub use session::{Opened, SESSIONS_PER_TOKEN, close, delete_ended, lifetime, open};

/// Who may ask for a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anyone. What is secret is in the body, if at all.
    Everyone,
    /// The administrator.
    Administrator,
    /// The administrator or an operator; the handler holds operators to what is theirs.
    OperatorToo,
    /// The administrator or a funder; the handler holds funders to their grants.
    FunderToo,
    /// A distributor or an operator.
    Issuer,
    /// An auditor; the handler holds them to their grants.
    Auditor,
    /// Whoever has a token.
    SignedIn,
    /// Whoever has a token, or the one that signs in once.
    Claimant,
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
    /// A funder.
    Funder(FunderId),
    /// An auditor.
    Auditor(AuditorId),
    /// Whoever has the token that signs in once, and then only asks for another.
    Bootstrap,
    /// The holder of this access code.
    CodeHolder(store::AccessCode),
    /// A node.
    Node(Sender),
}

/// The person who asks, as far as that is known: the one who holds this token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// What their token is called. Two people have two.
    pub token: TokenId,
    /// Their name, as it was given for the token.
    pub name: String,
    /// For whom they act.
    pub party: Party,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get().cloned().ok_or_else(|| Failure::internal("a handler outside of the gate"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Holder {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts
            .extensions
            .get()
            .cloned()
            .ok_or_else(|| Failure::internal("a holder where nobody signs in by token"))
    }
}

impl<S: Send + Sync> axum::extract::OptionalFromRequestParts<S> for Holder {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get().cloned())
    }
}

impl Who {
    /// Whether this caller is meant.
    #[must_use]
    pub fn allows(self, caller: &Caller) -> bool {
        use Caller::{Administrator, Auditor, Bootstrap, CodeHolder, Distributor, Funder, Node, Operator};
        let has_token =
            matches!(caller, Administrator | Operator(_) | Distributor(_) | Funder(_) | Auditor(_));
        match self {
            Self::Everyone => true,
            Self::Administrator => matches!(caller, Administrator),
            Self::OperatorToo => matches!(caller, Administrator | Operator(_)),
            Self::FunderToo => matches!(caller, Administrator | Funder(_)),
            Self::Issuer => matches!(caller, Operator(_) | Distributor(_)),
            Self::Auditor => matches!(caller, Auditor(_)),
            Self::SignedIn => has_token,
            Self::Claimant => has_token || matches!(caller, Bootstrap),
            Self::CodeHolder => matches!(caller, CodeHolder(_)),
            Self::Node => matches!(caller, Node(_)),
        }
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

impl From<&Party> for Caller {
    fn from(party: &Party) -> Self {
        match party.clone() {
            Party::Administrator => Self::Administrator,
            Party::Operator(operator) => Self::Operator(operator),
            Party::Distributor(distributor) => Self::Distributor(distributor),
            Party::Funder(funder) => Self::Funder(funder),
            Party::Auditor(auditor) => Self::Auditor(auditor),
        }
    }
}

/// The gate before every handler of the API.
///
/// # Errors
/// `unauthorized`, `cross-site`, `forbidden`, `access-code`, `too-many-requests`, `busy`, and those of
/// [`node_request::signed_by_a_node`].
pub async fn admit(
    State((plane, who, body_bytes)): State<(Shared, Who, usize)>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    // In a box of its own: what looking a caller up takes, some ten KiB, would else be held for as long as an agent waits.
    let request = Box::pin(admitted(&plane, who, body_bytes, request)).await?;
    Ok(next.run(request).await)
}

/// The request with who sent it.
async fn admitted(plane: &ControlPlane, who: Who, body_bytes: usize, request: Request) -> Answer<Request> {
    let (caller, mut request) = match who {
        Who::Everyone => (Caller::Anyone, request),
        Who::CodeHolder => {
            let code = credential::access_code(plane, request.headers()).await?;
            if request.method() == Method::POST {
                plane.redemptions.admit(&code, plane.clock.now())?;
            }
            (Caller::CodeHolder(code), request)
        }
        Who::Node => {
            let (sender, request) = node_request::signed_by_a_node(plane, request, body_bytes).await?;
            (Caller::Node(sender), request)
        }
        _ => known(plane, request).await?,
    };
    if !who.allows(&caller) {
        return Err(wrong_role());
    }
    request.extensions_mut().insert(caller);
    Ok(request)
}

/// The gate before every page: who is not signed in is asked to, and a form is taken from this site's own pages only.
///
/// # Errors
/// `cross-site`, `forbidden`, `busy`.
pub async fn admit_to_page(
    State((plane, who)): State<(Shared, Who)>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    cross_site::check(&plane.config.public_urls, &Asked::of(&request))?;
    let here = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let is_read = request.method() == Method::GET;
    let (caller, mut request) = match known_by_cookie(&plane, request).await {
        Ok(known) => known,
        Err((_, mut request)) if who == Who::Everyone => {
            request.extensions_mut().insert(Caller::Anyone);
            return Ok(next.run(request).await);
        }
        Err((failure, _)) if failure.problem().is(ProblemKind::Unauthorized) => {
            return Ok(Redirect::to(&sign_in_address(&here, is_read)).into_response());
        }
        Err((failure, _)) => return Err(failure),
    };
    if !who.allows(&caller) {
        return Err(wrong_role());
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// What of a request says where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
}

impl<'a> Asked<'a> {
    /// Of a request.
    #[must_use]
    pub fn of(request: &'a Request) -> Self {
        Self { method: request.method(), uri: request.uri(), headers: request.headers() }
    }

    /// Of a request's head.
    #[must_use]
    pub fn of_head(parts: &'a Parts) -> Self {
        Self { method: &parts.method, uri: &parts.uri, headers: &parts.headers }
    }

    /// Host and port as the client wrote them: HTTP/2 has them in the address, HTTP/1 in a header.
    fn host(&self) -> Option<&'a str> {
        let in_uri = self.uri.authority().map(axum::http::uri::Authority::as_str);
        in_uri.or_else(|| self.headers.get(header::HOST)?.to_str().ok())
    }
}

/// The page to sign in at, which leads back to where one was going.
fn sign_in_address(here: &str, leads_back: bool) -> String {
    if !leads_back {
        return crate::forms::SIGN_IN.to_owned();
    }
    let encoded: String = here.bytes().map(percent_encoded).collect();
    format!("{}?next={encoded}", crate::forms::SIGN_IN)
}

fn percent_encoded(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    }
}

fn wrong_role() -> Failure {
    Failure::new(ProblemKind::Forbidden, "this address is for another role than this token's")
}

/// Whoever a token or a cookie stands for.
async fn known(plane: &ControlPlane, mut request: Request) -> Answer<(Caller, Request)> {
    if request.headers().contains_key(header::AUTHORIZATION) {
        let token = credential::token(plane, request.headers()).await?;
        let caller = if token.one_time { Caller::Bootstrap } else { Caller::from(&token.party) };
        request.extensions_mut().insert(holder(token));
        return Ok((caller, request));
    }
    // A browser sends its cookie whoever made it send the request.
    cross_site::check(&plane.config.public_urls, &Asked::of(&request))?;
    known_by_cookie(plane, request).await.map_err(|(failure, _)| failure)
}

async fn known_by_cookie(
    plane: &ControlPlane,
    mut request: Request,
) -> Result<(Caller, Request), (Failure, Request)> {
    match session::token(plane, &Asked::of(&request)).await {
        Ok(token) => {
            let caller = Caller::from(&token.party);
            request.extensions_mut().insert(holder(token));
            Ok((caller, request))
        }
        Err(failure) => Err((failure, request)),
    }
}

fn holder(token: store::Token) -> Holder {
    Holder { token: token.token, name: token.holder, party: token.party }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_to_sign_in_is_led_back_to_where_they_were_going() {
        assert_eq!(
            sign_in_address("/operator?a=b&c=\u{e4}", true),
            "/sign-in?next=/operator%3Fa%3Db%26c%3D%C3%A4"
        );
        assert_eq!(sign_in_address("/operator/destination", false), "/sign-in");
    }

    #[test]
    fn the_token_that_signs_in_once_opens_nothing_else() {
        for who in
            [Who::Administrator, Who::OperatorToo, Who::FunderToo, Who::Issuer, Who::SignedIn, Who::Node]
        {
            assert!(!who.allows(&Caller::Bootstrap), "{who:?}");
        }
        assert!(Who::Claimant.allows(&Caller::Bootstrap));
    }
}
