//! What handlers take out of a request: body, path and query, refused as problems that name the field.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use data_encoding::BASE64URL_NOPAD;
use serde::de::DeserializeOwned;
use wiregrant_core::api::{HEADER_IDEMPOTENCY_KEY, List, ProblemKind};

use crate::answer::Listed;
use crate::error::{Answer, Failure};
use crate::random;

/// A JSON body.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let body = Bytes::from_request(request, state).await.map_err(|error| unread(&error))?;
        parse_json(&body).map(Self)
    }
}

/// A body as text.
#[derive(Debug)]
pub struct Text(pub String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let body = Bytes::from_request(request, state).await.map_err(|error| unread(&error))?;
        String::from_utf8(body.to_vec())
            .map(Self)
            .map_err(|error| Failure::new(ProblemKind::InvalidRequest, format!("body: not UTF-8: {error}")))
    }
}

/// A form, as browsers send it.
#[derive(Debug)]
pub struct Form<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match axum::extract::Form::from_request(request, state).await {
            Ok(axum::extract::Form(form)) => Ok(Self(form)),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
            Err(error) => {
                Err(Failure::new(ProblemKind::InvalidRequest, format!("form: {}", error.body_text())))
            }
        }
    }
}

/// The variables of the path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(error) => {
                Err(Failure::new(ProblemKind::InvalidRequest, format!("path: {}", error.body_text())))
            }
        }
    }
}

/// The variables of the query.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(error) => {
                Err(Failure::new(ProblemKind::InvalidRequest, format!("query: {}", error.body_text())))
            }
        }
    }
}

/// Which page of a list: `?limit=<things>&cursor=<from the link to the next page>`.
#[derive(Debug)]
pub struct Page {
    path: String,
    /// What else was asked, so that the next page is one of the same list: `name=value&` for each.
    asked: String,
    limit: usize,
    after: Option<String>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Query(PageQuery { limit, cursor }) = Query::from_request_parts(parts, state).await?;
        Self::new(parts.uri.path(), limit, cursor)
    }
}

impl Page {
    /// The most things of one page, and how many there are when it is not said.
    pub const MAX_LIMIT: usize = 1_000;

    /// The page of a list at `path` that a query asks for.
    ///
    /// # Errors
    /// `invalid-request` for a limit outside of 1 to [`Self::MAX_LIMIT`], or a cursor that no link had.
    pub fn new(path: &str, limit: Option<usize>, cursor: Option<String>) -> Answer<Self> {
        let limit = limit.unwrap_or(Self::MAX_LIMIT);
        if !(1..=Self::MAX_LIMIT).contains(&limit) {
            return Err(Failure::field("limit", limit, "1 to 1000 things"));
        }
        let decoded = |cursor: String| {
            let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(|| Failure::field("cursor", cursor, "one that a link to a next page had"))
        };
        let (path, asked) = (path.to_owned(), String::new());
        Ok(Self { path, asked, limit, after: cursor.map(decoded).transpose()? })
    }

    /// The same page of a list that also depends on these: names and values that need no escaping in a query.
    #[must_use]
    pub fn asked_for(mut self, asked: &[(&str, Option<String>)]) -> Self {
        for (name, value) in asked {
            if let Some(value) = value {
                self.asked.push_str(&format!("{name}={value}&"));
            }
        }
        self
    }

    /// This page of a list in its stable order, in which `key` tells one thing from another.
    ///
    /// # Errors
    /// `invalid-request` when the thing that the page before ended with is not there any more.
    pub fn of<T>(&self, items: Vec<T>, key: impl Fn(&T) -> String) -> Answer<Listed<T>> {
        let start = match &self.after {
            None => 0,
            Some(after) => match items.iter().position(|item| key(item) == *after) {
                Some(at) => at.saturating_add(1),
                None => {
                    return Err(Failure::field(
                        "cursor",
                        after,
                        "in the list any more; begin again without one",
                    ));
                }
            },
        };
        let is_last = items.len().saturating_sub(start) <= self.limit;
        let items: Vec<_> = items.into_iter().skip(start).take(self.limit).collect();
        let next = items.last().filter(|_| !is_last).map(|last| {
            let cursor = BASE64URL_NOPAD.encode(key(last).as_bytes());
            format!("{}?{}limit={}&cursor={cursor}", self.path, self.asked, self.limit)
        });
        Ok(Listed { list: List { items }, next })
    }
}

/// What a client calls its request, so that sending it again does nothing twice; random for a client that gives none.
#[derive(Clone)]
pub struct IdempotencyKey(pub String);

/// At least so long that nobody guesses what another client's is.
const IDEMPOTENCY_KEY_CHARS: std::ops::RangeInclusive<usize> = 16..=128;

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let Some(given) = parts.headers.get(HEADER_IDEMPOTENCY_KEY) else {
            return Ok(Self(random::word(&random::bytes::<20>())));
        };
        let text = given.to_str().ok().filter(|text| IDEMPOTENCY_KEY_CHARS.contains(&text.len()));
        text.map(|text| Self(text.to_owned())).ok_or_else(|| {
            let detail = format!("header {HEADER_IDEMPOTENCY_KEY}: not 16 to 128 printable ASCII characters");
            Failure::new(ProblemKind::InvalidRequest, detail)
        })
    }
}

/// Reads JSON; a refusal says at which field.
///
/// # Errors
/// `invalid-request`, with the field's path and what is wrong there.
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let refuse = |at: String, message: String| {
        let at = if at == "." { "body".to_owned() } else { at };
        Failure::new(ProblemKind::InvalidRequest, format!("{at}: {message}"))
    };
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| refuse(error.path().to_string(), error.inner().to_string()))?;
    json.end().map_err(|error| refuse(".".to_owned(), error.to_string()))?;
    Ok(value)
}

/// Why a body could not be read.
#[must_use]
pub fn unread(error: &BytesRejection) -> Failure {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    Failure::new(ProblemKind::InvalidRequest, format!("body: {}", error.body_text()))
}

/// The answer to a body beyond its limit.
#[must_use]
pub fn too_large() -> Failure {
    Failure::new(ProblemKind::TooLarge, "body: longer than this address takes; send less at a time")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wiregrant_core::api::{NewAccessCodes, NewOperator};

    use super::*;

    fn refusal(body: &str) -> String {
        parse_json::<NewAccessCodes>(body.as_bytes()).unwrap_err().problem().detail.clone()
    }

    #[test]
    fn a_refused_body_names_the_field_and_what_it_takes() {
        let rest = r#""devices": 1, "quota_bytes": "5", "expires": "2026-07-06T12:00:00Z"}"#;
        for (body, names) in [
            (format!(r#"{{"count": "x", {rest}"#), ["count", "u64"]),
            (format!(r#"{{"colour": 1, {rest}"#), ["colour", "unknown field"]),
            (format!("{{{rest}"), ["count", "missing field"]),
            (String::new(), ["body", "EOF"]),
            (format!(r#"{{"count": 1, {rest} x"#), ["body", "trailing"]),
        ] {
            let message = refusal(&body);
            assert!(names.iter().all(|name| message.contains(name)), "{message}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_json::<NewOperator>(&body);
        }
    }
}
