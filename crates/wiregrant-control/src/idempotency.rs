//! Requests that carry a name of their own, so that sending one again does nothing twice.
//!
//! The name, and whose it is, are kept as a keyed hash for 24 hours, with the request's hash and the answer. Answers hold tokens
//! and access codes, which lie nowhere in the clear: an answer is sealed under a key that follows from the server's secret and
//! the name, so that neither the database nor a client that guesses gets at it.
//!
//! A request is noted before it is begun. Is the control plane killed in between, nobody knows whether it was done, and it is
//! not done again under that name: at most once, never twice.

use axum::body::{self, Body, Bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chacha20poly1305::aead::Aead;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use transparency_log::Hash;
use wiregrant_core::Timestamp;
use wiregrant_core::api::{HEADER_IDEMPOTENCY_KEY, ProblemKind};
use wiregrant_store::{self as store, StoreError, Write};

use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{self, IdempotencyKey};
use crate::keys::Purpose;
use crate::sign_in::{Caller, Holder, Who};

/// How long an answer is kept, in seconds.
pub const KEPT_SECONDS: u64 = 24 * 3_600;
/// The longest answer that is kept: a thousand access codes take a twentieth of it.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// When a request under way should be over, in seconds.
const UNDER_WAY_SECONDS: u64 = 5;

/// Whether requests like this may carry a name: whatever creates or pays, by someone who is known. Nodes' requests and
/// invitations bear repetition by themselves.
#[must_use]
pub fn applies(method: &Method, who: Who) -> bool {
    *method == Method::POST && !matches!(who, Who::Everyone | Who::Node)
}

/// One named request.
struct Named {
    hash: Hash,
    /// Of method, address and body.
    request_hash: Hash,
    /// Whose it is and what it is called, which the sealing key follows from.
    name: String,
}

/// Runs a request that carries a name at most once, and answers like the first time afterwards.
///
/// # Errors
/// `invalid-request`, `too-large`, `idempotency-key`, `busy`.
pub async fn at_most_once(
    State((plane, body_bytes)): State<(Shared, usize)>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    if !request.headers().contains_key(HEADER_IDEMPOTENCY_KEY) {
        return Ok(next.run(request).await);
    }
    let (mut parts, body) = request.into_parts();
    let IdempotencyKey(key) = IdempotencyKey::from_request_parts(&mut parts, &()).await?;
    let body = body::to_bytes(body, body_bytes).await.map_err(|_| extract::too_large())?;
    let name = format!("{} {key}", owner(&parts.extensions)?);
    let address = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let asked = [parts.method.as_str().as_bytes(), b" ", address.as_bytes(), b"\n", &body].concat();
    let named =
        Named { hash: plane.keys.hash(Purpose::IdempotencyKey, &name), request_hash: Hash::of(&asked), name };
    let now = plane.clock.now();
    if let Some(answer) = begin(&plane, &named, now).await? {
        return Ok(answer);
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    finish(&plane, &named, now, response).await
}

/// Whose name it is: two clients may choose the same.
fn owner(extensions: &axum::http::Extensions) -> Answer<String> {
    match (extensions.get::<Holder>(), extensions.get::<Caller>()) {
        (Some(holder), _) => Ok(holder.token.to_string()),
        (None, Some(Caller::CodeHolder(code))) => Ok(format!("code {}", code.number)),
        _ => Err(Failure::internal("a named request of nobody")),
    }
}

/// Notes the request, or answers as before.
async fn begin(plane: &ControlPlane, named: &Named, now: Timestamp) -> Answer<Option<Response>> {
    let mut write = plane.store.write().await?;
    delete_ended(&mut write, now).await?;
    if let Some(known) = write.idempotent_request(named.hash).await? {
        return repeated(plane, named, known).map(Some);
    }
    match write.insert_idempotent_request(named.hash, named.request_hash, now).await {
        Err(StoreError::Exists { .. }) => return Err(under_way()),
        other => other?,
    }
    write.commit().await?;
    Ok(None)
}

/// Deletes the requests whose names may be used for others. How many.
///
/// # Errors
/// `busy`.
pub async fn delete_ended(write: &mut Write, now: Timestamp) -> Answer<u64> {
    let kept = i64::try_from(KEPT_SECONDS).unwrap_or(i64::MAX);
    let before = now.unix_seconds().saturating_sub(kept).saturating_add(1).max(0);
    Ok(write.delete_idempotent_requests(Timestamp::from_unix_seconds(before)?).await?)
}

fn repeated(plane: &ControlPlane, named: &Named, known: store::IdempotentRequest) -> Answer<Response> {
    let refuse = |detail: &str| Failure::new(ProblemKind::IdempotencyKey, detail);
    if known.request_hash != named.request_hash {
        let detail =
            "header idempotency-key: another request was sent under it; choose a new one for each request";
        return Err(refuse(detail));
    }
    let (Some(status), Some(sealed)) = (known.status, known.answer) else {
        let age = plane.clock.now().seconds_since(known.created_at);
        return Err(if age <= UNDER_WAY_SECONDS.saturating_mul(20) {
            under_way()
        } else {
            let detail = "header idempotency-key: the request under it was cut off; look whether it was done, then send it \
                          under a new one if it was not";
            refuse(detail)
        });
    };
    let plain = cipher(plane, named, known.created_at)
        .decrypt(&Nonce::default(), sealed.as_slice())
        .map_err(|_| Failure::internal("a kept answer does not open"))?;
    let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.ok_or_else(|| Failure::internal("a kept answer has no status"))?;
    let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
    let mut response = (status, Body::from(plain)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    Ok(response)
}

fn under_way() -> Failure {
    let detail = "header idempotency-key: the request under it is under way; wait for its answer";
    Failure::new(ProblemKind::IdempotencyKey, detail).retry_after(UNDER_WAY_SECONDS)
}

/// Keeps the answer, unless it is one that another try may change.
async fn finish(
    plane: &ControlPlane,
    named: &Named,
    began: Timestamp,
    response: Response,
) -> Answer<Response> {
    let (parts, body) = response.into_parts();
    let body: Bytes = body::to_bytes(body, MAX_ANSWER_BYTES).await.map_err(Failure::internal)?;
    let may_change = parts.status.is_server_error()
        || parts.status == StatusCode::TOO_MANY_REQUESTS
        || parts.headers.contains_key(header::RETRY_AFTER);
    let mut write = plane.store.write().await?;
    if may_change {
        write.delete_idempotent_request(named.hash).await?;
    } else {
        let sealed = cipher(plane, named, began)
            .encrypt(&Nonce::default(), &body[..])
            .map_err(|_| Failure::internal("an answer cannot be sealed"))?;
        write.put_idempotent_answer(named.hash, parts.status.as_u16().into(), &sealed).await?;
    }
    write.commit().await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Each key seals one answer: it follows from the name and the moment, so the nonce may be the same.
fn cipher(plane: &ControlPlane, named: &Named, moment: Timestamp) -> ChaCha20Poly1305 {
    let key = plane.keys.hash(Purpose::SealedAnswer, &format!("{} {moment}", named.name));
    ChaCha20Poly1305::new(&key.0.into())
}
