//! Serving the public folder, with the headers that each kind of file asks for. Any other web server may do the same.

mod memory;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{self, Body};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeDir;
use wiregrant_core::manifest::MANIFEST_PATH;

use crate::clock::Clock;
use crate::error::Failure;
use crate::figures::Figures;
use crate::pages::assets;
use memory::{Answer, Identity, MAX_FILE_BYTES, Memory};

/// Pages load nothing but their own stylesheet, icon and modules, send to this site alone, and nothing may frame them. No text
/// becomes markup or script (<https://www.w3.org/TR/trusted-types/>).
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";
/// What never changes: full tiles and bundles, notes and assets, which are named by their hash, and the last checkpoints of former keys.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// How the names of former keys' last checkpoints begin.
const LAST_CHECKPOINT: &str = "checkpoint.";
/// What grows.
const FOR_A_MOMENT: &str = "public, max-age=5";
/// What carries a secret or depends on who asks.
const NEVER: &str = "no-store";

/// Serves the files below `folder`, each read anew.
#[must_use]
pub fn service(folder: &Path) -> ServeDir {
    ServeDir::new(folder)
}

/// The public folder, and what was read of it lately.
#[derive(Debug)]
pub struct PublicFiles {
    folder: PathBuf,
    service: ServeDir,
    memory: Memory,
    clock: Clock,
    figures: Arc<Figures>,
}

impl PublicFiles {
    /// Serves the files below `folder`, and counts what is answered from memory.
    #[must_use]
    pub fn new(folder: &Path, clock: Clock, figures: Arc<Figures>) -> Self {
        let (folder, service) = (folder.to_owned(), service(folder));
        Self { folder, service, memory: Memory::default(), clock, figures }
    }

    /// The answer to a request from memory, if the file is the one that was read.
    ///
    /// The look at the file blocks. The kernel has the folder's entries at hand for what was just read, and going to another thread
    /// for so little would take longer.
    fn remembered(&self, request: &Request) -> Option<Response> {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return None;
        }
        let path = request.uri().path();
        let answer = self.memory.find(path)?;
        if Identity::at(&answer.file) != Some(answer.identity) {
            self.memory.forget(path);
            return None;
        }
        let mut response = match asked(request.headers(), &answer.headers) {
            Asked::Elsewhere => return None,
            Asked::Unchanged => StatusCode::NOT_MODIFIED.into_response(),
            Asked::Whole if request.method() == Method::HEAD => StatusCode::OK.into_response(),
            Asked::Whole => Body::from(answer.body.clone()).into_response(),
        };
        response.headers_mut().clone_from(&answer.headers);
        if response.status() == StatusCode::NOT_MODIFIED {
            for name in [header::ACCEPT_RANGES, header::CONTENT_LENGTH, header::CONTENT_TYPE] {
                response.headers_mut().remove(name);
            }
        }
        Some(response)
    }

    /// The answer to a request from the folder. A whole small file is remembered.
    async fn read(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let is_plain = request.method() == Method::GET
            && matches!(asked(request.headers(), &HeaderMap::new()), Asked::Whole);
        let file = if is_plain { file_below(&self.folder, &path) } else { None };
        let before = file.as_deref().and_then(Identity::at);
        let response = match self.service.clone().try_call(request).await {
            Ok(response) => with_headers(&path, response.map(Body::new)),
            Err(error) if is_absent(error.kind()) => {
                return with_headers(&path, StatusCode::NOT_FOUND.into_response());
            }
            Err(error) => return Failure::internal(error).into_response(),
        };
        let (Some(file), Some(identity)) = (file, before) else { return response };
        let is_whole = response.status() == StatusCode::OK && identity.bytes() <= MAX_FILE_BYTES;
        if !is_whole || !identity.is_settled(self.clock.now()) {
            return response;
        }
        let (parts, body) = response.into_parts();
        let limit = usize::try_from(MAX_FILE_BYTES).unwrap_or(usize::MAX);
        let body = match body::to_bytes(body, limit).await {
            Ok(body) => body,
            Err(error) => return Failure::internal(error).into_response(),
        };
        // What was read was this file, and not one that took its place meanwhile.
        if Identity::at(&file) == Some(identity) && u64::try_from(body.len()) == Ok(identity.bytes()) {
            let headers = parts.headers.clone();
            self.memory.keep(path, Answer { file, identity, headers, body: body.clone() });
        }
        Response::from_parts(parts, Body::from(body))
    }
}

/// Whether there is nothing at an address, whatever the file system calls that.
fn is_absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied)
}

/// What a request asks of a file.
enum Asked {
    /// All of it.
    Whole,
    /// Nothing, because whoever asks has it.
    Unchanged,
    /// Something that [`ServeDir`] decides: a part, or whether another condition holds.
    Elsewhere,
}

/// Of a file whose answer has these headers. The two conditions that browsers and mirrors send are decided when they name what is
/// here exactly; a time says less than a tag, so it counts only alone (RFC 9110, 13.2.2).
fn asked(request: &HeaderMap, answer: &HeaderMap) -> Asked {
    let rare = [header::RANGE, header::IF_RANGE, header::IF_MATCH, header::IF_UNMODIFIED_SINCE];
    let condition = match (request.get(header::IF_NONE_MATCH), request.get(header::IF_MODIFIED_SINCE)) {
        (Some(tag), _) => Some((tag, header::ETAG)),
        (None, Some(time)) => Some((time, header::LAST_MODIFIED)),
        (None, None) => None,
    };
    match condition {
        _ if rare.iter().any(|name| request.contains_key(name)) => Asked::Elsewhere,
        None => Asked::Whole,
        Some((known, name)) if answer.get(&name) == Some(known) => Asked::Unchanged,
        Some(_) => Asked::Elsewhere,
    }
}

/// Where the file of a path lies, for paths without anything to decode or to resolve.
fn file_below(folder: &Path, path: &str) -> Option<PathBuf> {
    let is_plain_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_plain_byte);
    let index = if path.ends_with('/') { "index.html" } else { "" };
    let below = format!("{}{index}", path.strip_prefix('/')?);
    below.split('/').all(is_plain).then(|| folder.join(&below))
}

/// Answers from memory what can be, before anything else is done for a request.
pub async fn from_memory(State(files): State<Arc<PublicFiles>>, request: Request, next: Next) -> Response {
    let Some(response) = files.remembered(&request) else { return next.run(request).await };
    files.figures.requests_answered.fetch_add(1, Ordering::Relaxed);
    response
}

/// Answers from the folder.
pub async fn from_folder(State(files): State<Arc<PublicFiles>>, request: Request) -> Response {
    files.read(request).await
}

/// Sets the headers of every answer by its path.
pub async fn headers(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    with_headers(&path, next.run(request).await)
}

fn with_headers(path: &str, mut response: Response) -> Response {
    let is_api = path.starts_with("/api/");
    if response.status() == StatusCode::NOT_FOUND && !is_api && is_empty(&response) {
        response = (StatusCode::NOT_FOUND, "There is nothing at this address.\n").into_response();
    }
    let is_there = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    let cache = match () {
        () if is_api => NEVER,
        () if is_there && never_changes(path) => FOR_EVER,
        () => FOR_A_MOMENT,
    };
    // Pages that depend on who asks have said so themselves.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(cache));
    if is_there
        && headers.contains_key(header::CONTENT_TYPE)
        && let Some(kind) = content_type(path)
    {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
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
    let is_asset = path.strip_prefix('/').and_then(|path| path.split('/').next()) == Some(assets::FOLDER);
    is_asset
        || below_a_log(path).is_some_and(|path| {
            ["note/", LAST_CHECKPOINT].iter().any(|begin| path.starts_with(begin))
                || path.starts_with("tile/") && !path.contains(".p/")
        })
}

/// Files without an extension that are text (c2sp.org/tlog-tiles asks for it in a checkpoint).
fn content_type(path: &str) -> Option<&'static str> {
    if path.strip_prefix('/') == Some(MANIFEST_PATH) {
        return Some("text/plain; charset=utf-8");
    }
    if path.starts_with("/a/") && path.ends_with(".mjs") {
        return Some("text/javascript; charset=utf-8");
    }
    let path = below_a_log(path)?;
    if path == "checkpoint"
        || path == "vkey"
        || path.starts_with("note/")
        || path.starts_with(LAST_CHECKPOINT)
    {
        return Some("text/plain; charset=utf-8");
    }
    path.starts_with("tile/").then_some("application/octet-stream")
}

#[cfg(test)]
mod tests;
