//! Serving the public folder, with the headers that each kind of file asks for. Any other web server may do the same.

use std::path::Path;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeDir;

/// Pages load nothing but their own stylesheet, and nothing may frame them or be sent from them.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What never changes: full tiles and bundles, and notes, which are named by their hash.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// What grows.
const FOR_A_MOMENT: &str = "public, max-age=5";
/// What carries a secret or depends on who asks.
const NEVER: &str = "no-store";

/// Serves the files below `folder`.
#[must_use]
pub fn service(folder: &Path) -> ServeDir {
    ServeDir::new(folder)
}

/// Sets the headers of every answer by its path.
pub async fn headers(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let is_api = path.starts_with("/api/");
    if response.status() == StatusCode::NOT_FOUND && !is_api && is_empty(&response) {
        response = (StatusCode::NOT_FOUND, "There is nothing at this address.\n").into_response();
    }
    let found = response.status().is_success();
    let headers = response.headers_mut();
    let cache = match () {
        () if is_api => NEVER,
        () if found && never_changes(&path) => FOR_EVER,
        () => FOR_A_MOMENT,
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if found && let Some(kind) = content_type(&path) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_empty(response: &Response<Body>) -> bool {
    use axum::body::HttpBody as _;
    response.body().size_hint().exact() == Some(0)
}

fn below_a_log(path: &str) -> Option<&str> {
    path.strip_prefix("/log/").or_else(|| path.strip_prefix("/reports/"))
}

fn never_changes(path: &str) -> bool {
    below_a_log(path)
        .is_some_and(|path| path.starts_with("note/") || path.starts_with("tile/") && !path.contains(".p/"))
}

/// Files without an extension that are text (c2sp.org/tlog-tiles asks for it in a checkpoint).
fn content_type(path: &str) -> Option<&'static str> {
    let path = below_a_log(path)?;
    if path == "checkpoint" || path == "vkey" || path.starts_with("note/") {
        return Some("text/plain; charset=utf-8");
    }
    path.starts_with("tile/").then_some("application/octet-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_never_change_is_kept_for_ever() {
        for path in ["/log/tile/0/000", "/reports/tile/entries/x001/002", "/log/note/00ff"] {
            assert!(never_changes(path), "{path}");
        }
        for path in ["/log/checkpoint", "/log/tile/0/000.p/3", "/", "/tile/0/000", "/log/vkey"] {
            assert!(!never_changes(path), "{path}");
        }
    }

    #[test]
    fn a_checkpoint_is_text_and_a_tile_is_bytes() {
        assert_eq!(content_type("/reports/checkpoint"), Some("text/plain; charset=utf-8"));
        assert_eq!(content_type("/log/tile/0/000.p/3"), Some("application/octet-stream"));
        assert_eq!(content_type("/style.css"), None);
    }
}
