//! What stands around every page, and what is done for every request of a page.

use askama::Template;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use wiregrant_core::api::{Problem, ProblemKind};
use wiregrant_core::note::Network;
use wiregrant_payout::{Pay, PayoutError};

use super::language::{self, Language};
use super::problem::{KeptForm, ProblemPage};
use super::sheet::Typed;
use super::staff::{self, Link};
use super::words::{FrameWords, Words};
use super::{assets, cookie, person};
use crate::control_plane::Shared;
use crate::error::Failure;
use crate::extract;
use crate::forms;
use crate::sign_in::Who;

/// A year: how long the choice of a language is remembered, in seconds.
const LANGUAGE_SECONDS: u64 = 31_536_000;
/// The longest problem that is read back to be told in words.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;

/// The longest form that is kept to be sent again: more than any that people type.
const MAX_KEPT_BYTES: usize = 64 * 1024;
/// What browsers call a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// What stands around a page.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The control plane's title.
    pub site: String,
    /// The page's language.
    pub language: Language,
    /// Its texts.
    pub words: &'static FrameWords,
    /// Where the root of the site is, seen from the page; ends with `/`.
    pub root: &'static str,
    /// Which of the navigation's links leads here.
    pub here: &'static str,
    /// Whether an access code was given.
    pub signed_in: bool,
    /// The navigation of pages for staff.
    pub links: Vec<Link>,
}

impl Frame {
    /// The frame of a static page in English, `root` away from the root of the site.
    #[must_use]
    pub fn public(site: &str, root: &'static str) -> Self {
        let words = FrameWords::of(Language::English);
        Self {
            site: site.to_owned(),
            language: Language::English,
            words,
            root,
            here: "",
            signed_in: false,
            links: Vec::new(),
        }
    }

    /// Where an asset lies.
    #[must_use]
    pub fn asset(&self, name: &str) -> String {
        format!("{}{}", self.root, assets::path(name))
    }

    /// Every language.
    #[must_use]
    pub fn languages(&self) -> [Language; 4] {
        Language::ALL
    }

    /// What the tests and the designer look at.
    #[must_use]
    pub fn sample(language: Language, here: &'static str) -> Self {
        Self {
            language,
            words: FrameWords::of(language),
            here,
            root: "/",
            ..Self::public("Free <networks>", "/")
        }
    }
}

/// Who looks at a page: their language, and how they reached us.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The page's language.
    pub language: Language,
    /// Texts in it.
    pub words: Words,
    /// Whether the address they use is one of ours with TLS.
    pub secure: bool,
    /// Whether a module asked, not the browser for a page.
    pub wants_json: bool,
    site: String,
    signed_in: bool,
}

impl Visitor {
    fn of(plane: &Shared, request: &Request) -> Self {
        let headers = request.headers();
        let language = Language::of_request(request.uri(), headers);
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let secure =
            plane.config.public_urls.iter().any(|url| {
                url.strip_prefix("https://").and_then(|rest| rest.split('/').next()) == Some(host)
            });
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        Self {
            language,
            words: Words::of(language),
            secure,
            wants_json: accept.starts_with("application/json"),
            site: plane.config.title.clone(),
            signed_in: person::cookie_sent(headers),
        }
    }

    /// The frame of a page for them.
    #[must_use]
    pub fn frame(&self, here: &'static str) -> Frame {
        Frame {
            site: self.site.clone(),
            language: self.language,
            words: self.words.frame,
            root: "/",
            here,
            signed_in: self.signed_in,
            links: Vec::new(),
        }
    }

    /// The same visitor, once the access code was given or taken back.
    #[must_use]
    pub fn signed(self, signed_in: bool) -> Self {
        Self { signed_in, ..self }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get().cloned().ok_or_else(|| Failure::internal("a page outside of its frame"))
    }
}

/// A page as an answer.
///
/// # Errors
/// `internal` where the template fails, which none does.
pub fn page(status: StatusCode, page: &impl Template) -> Result<Response, Failure> {
    let html = page.render().map_err(Failure::internal)?;
    Ok((status, Html(html)).into_response())
}

/// For whom a page is, which decides how its problems are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// People with an access code: in their language, what to do.
    People,
    /// Operators, funders, administrators: as the API says it, field and value named.
    Staff,
}

impl Audience {
    /// Of a page.
    #[must_use]
    pub fn of(who: Who, path: &str) -> Self {
        let signs_in = [forms::SIGN_IN, forms::SIGN_OUT].contains(&path);
        if who == Who::Everyone && !signs_in { Self::People } else { Self::Staff }
    }
}

/// Around every page: finds out the language, tells problems in words, and lets nobody keep what was shown.
pub async fn around(
    State((plane, audience)): State<(Shared, Audience)>,
    mut request: Request,
    next: Next,
) -> Response {
    let visitor = Visitor::of(&plane, &request);
    let chosen = Language::asked_for(request.uri());
    let method = request.method().clone();
    request.extensions_mut().insert(visitor.clone());
    let (kept, request) = match kept(plane.config.network, request).await {
        Ok(kept) => kept,
        Err(failure) => return failure.into_response(),
    };
    let mut response = next.run(request).await;
    if is_problem(&response) {
        response = told(&visitor, audience, (&method, kept), response).await;
    }
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Some(language) = chosen {
        let attributes = format!("; Max-Age={LANGUAGE_SECONDS}; SameSite=Lax");
        headers.append(header::SET_COOKIE, cookie::set(language::COOKIE, language.tag(), &attributes));
    }
    response
}

/// A form that is sent, and the request as it was. Tokens and keys of wallets are repeated in no answer, and what is longer than people
/// type is not kept either.
async fn kept(network: Network, request: Request) -> Result<(Option<KeptForm>, Request), Failure> {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let is_form = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == FORM);
    let is_short = length.is_none_or(|length: usize| length <= MAX_KEPT_BYTES);
    if *request.method() != Method::POST || !is_form || !is_short || request.uri().path() == forms::SIGN_IN {
        return Ok((None, request));
    }
    let address = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_KEPT_BYTES).await.map_err(|_| extract::too_large())?;
    let copy = Request::from_parts(parts.clone(), Body::from(body.clone()));
    let typed = axum::Form::<Typed>::from_request(copy, &()).await.ok();
    let kept = typed.map(|axum::Form(typed)| KeptForm { address, fields: typed.into_fields() });
    let is_secret = |(_, value): &(String, String)| {
        matches!(Pay::parse(value.trim(), network), Err(PayoutError::LooksLikeASecret { .. }))
    };
    let kept = kept.filter(|kept| !kept.fields.iter().any(is_secret));
    Ok((kept, Request::from_parts(parts, Body::from(body))))
}

fn is_problem(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json")
}

/// The problem of an answer in the visitor's words.
async fn told(
    visitor: &Visitor,
    audience: Audience,
    (method, kept): (&Method, Option<KeptForm>),
    response: Response<Body>,
) -> Response {
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, MAX_PROBLEM_BYTES).await.unwrap_or_default();
    let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
        return Response::from_parts(parts, Body::from(body));
    };
    let (heading, told) = match audience {
        Audience::People if problem.is(ProblemKind::Unauthorized) && *method == Method::GET => {
            return Redirect::to("/redeem").into_response();
        }
        Audience::People => (visitor.words.problems.heading, visitor.words.problems.told(&problem)),
        Audience::Staff => (problem.title.as_str(), problem.detail.as_str()),
    };
    let mut response = if visitor.wants_json {
        (parts.status, axum::Json(serde_json::json!({ "message": told }))).into_response()
    } else {
        let frame = match audience {
            Audience::People => visitor.frame(""),
            Audience::Staff => staff::frame(&visitor.site, Vec::new(), ""),
        };
        // What is refused stays refused; what could not be done just now is offered again.
        let kept = kept.filter(|_| problem.status >= 500 || problem.is(ProblemKind::TooMany));
        let shown = ProblemPage::new(frame, heading, told, kept);
        page(parts.status, &shown).unwrap_or_else(IntoResponse::into_response)
    };
    if let Some(seconds) = parts.headers.get(header::RETRY_AFTER) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.clone());
    }
    response
}
