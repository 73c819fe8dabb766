//! Answers of the API that are more than JSON: lists in pages, plain text, and what has not changed since it was asked for.

use axum::Json;
use axum::body::{self, Body};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};
use wiregrant_core::api::List;

/// The longest answer that gets a tag, in bytes; nothing that the API answers with comes near it.
const MAX_TAGGED_BYTES: usize = 64 * 1024 * 1024;

/// One page of a list.
#[derive(Debug)]
pub struct Listed<T> {
    /// The things.
    pub list: List<T>,
    /// Where the next page is, if there is one.
    pub next: Option<String>,
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.list).into_response();
        let link = self.next.and_then(|next| HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")).ok());
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

/// A text.
#[derive(Debug)]
pub struct PlainText(pub String);

impl IntoResponse for PlainText {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], self.0).into_response()
    }
}

/// Gives what is read a tag, the hash of its bytes, and answers 304 to whoever has these already (RFC 9110, 13.1.2).
pub async fn tagged(request: Request, next: Next) -> Response {
    let is_read = request.method() == Method::GET;
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    if !is_read || response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match body::to_bytes(body, MAX_TAGGED_BYTES).await {
        Ok(bytes) => bytes,
        Err(error) => return crate::error::Failure::internal(error).into_response(),
    };
    let tag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(&bytes)));
    if known.is_some_and(|known| is_among(&known, &tag)) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        let mut response = Response::from_parts(parts, Body::empty());
        response.headers_mut().extend(HeaderValue::from_str(&tag).map(|tag| (header::ETAG, tag)));
        return response;
    }
    let mut response = Response::from_parts(parts, Body::from(bytes));
    response.headers_mut().extend(HeaderValue::from_str(&tag).map(|tag| (header::ETAG, tag)));
    response
}

/// Whether a tag is in a list of tags; weak ones compare alike here.
fn is_among(known: &HeaderValue, tag: &str) -> bool {
    known.to_str().is_ok_and(|known| {
        known.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tag_is_found_among_others() {
        for (known, found) in [
            ("\"a\"", true),
            ("\"b\", W/\"a\"", true),
            ("*", true),
            ("a", false),
            ("\"b\"", false),
            ("", false),
        ] {
            assert_eq!(is_among(&HeaderValue::from_static(known), "\"a\""), found, "{known}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(value in proptest::collection::vec(32u8..=255, 0..100)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let _ = is_among(&value, "\"a\"");
            }
        }
    }
}
