//! What a witness answers: `POST /add-checkpoint`, `GET /vkey`, and `GET /checkpoint/<hex of SHA-256(origin)>`, which is no
//! part of c2sp.org/tlog-witness and lets anybody compare what two witnesses were shown.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use transparency_log::{Hash, KnownSize, MAX_ADD_CHECKPOINT_BYTES};

use super::{Refusal, Witness};
use crate::clock::Clock;

/// Requests at a time; more are told to come back. Each may bring a body of a megabyte.
pub const MAX_REQUESTS: usize = 64;
/// How long a body may take to arrive.
const BODY_SECONDS: u64 = 20;
const RETRY_AFTER_SECONDS: &str = "1";

#[derive(Clone)]
struct Service {
    witness: Arc<Witness>,
    clock: Clock,
    room: Arc<Semaphore>,
}

/// All that a witness serves.
pub fn router(witness: Arc<Witness>, clock: Clock) -> Router {
    let service = Service { witness, clock, room: Arc::new(Semaphore::new(MAX_REQUESTS)) };
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/vkey", get(vkey))
        .route("/checkpoint/{origin}", get(checkpoint))
        .with_state(service)
}

async fn add_checkpoint(State(service): State<Service>, request: Request) -> Response {
    let Ok(seat) = Arc::clone(&service.room).try_acquire_owned() else {
        return busy(StatusCode::SERVICE_UNAVAILABLE, format!("{MAX_REQUESTS} requests are under way\n"));
    };
    let body = to_bytes(request.into_body(), MAX_ADD_CHECKPOINT_BYTES);
    let body = match tokio::time::timeout(Duration::from_secs(BODY_SECONDS), body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let why = format!("no body, or one of more than {MAX_ADD_CHECKPOINT_BYTES} bytes\n");
            return (StatusCode::PAYLOAD_TOO_LARGE, why).into_response();
        }
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the body took too long\n").into_response(),
    };
    let answered = tokio::task::spawn_blocking(move || {
        let _seat = seat; // kept until the disk has it
        service.witness.add_checkpoint(&body, service.clock.now())
    });
    match answered.await {
        Ok(Ok(cosignature)) => cosignature.into_response(),
        Ok(Err(refusal)) => refused(&refusal),
        Err(error) => {
            tracing::error!(%error, "a request ended by a panic");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn refused(refusal: &Refusal) -> Response {
    if let Some(known) = refusal.known_size() {
        let headers = [(header::CONTENT_TYPE, KnownSize::CONTENT_TYPE)];
        return (StatusCode::CONFLICT, headers, known.to_string()).into_response();
    }
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match refusal {
        Refusal::TooOften { .. } => busy(status, format!("{refusal}\n")),
        Refusal::State(_) | Refusal::Sign(_) => {
            tracing::error!("{refusal}");
            busy(status, "the witness cannot write or sign; its log says why\n".to_owned())
        }
        Refusal::Protocol(_) => (status, format!("{refusal}\n")).into_response(),
    }
}

fn busy(status: StatusCode, why: String) -> Response {
    (status, [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)], why).into_response()
}

async fn vkey(State(service): State<Service>) -> String {
    format!("{}\n", service.witness.verifier())
}

async fn checkpoint(State(service): State<Service>, Path(hex): Path<String>) -> Response {
    let origins = service.witness.logs.keys();
    let origin = { origins }.find(|origin| Hash::of(origin.as_bytes()).to_hex() == hex).cloned();
    // The lock of a log is held while the disk is written to.
    let newest = tokio::task::spawn_blocking(move || service.witness.newest(&origin?)).await;
    match newest {
        Ok(Some(note)) => Body::from(note).into_response(),
        Ok(None) => {
            (StatusCode::NOT_FOUND, "no such log, or nothing of it was cosigned yet\n").into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
