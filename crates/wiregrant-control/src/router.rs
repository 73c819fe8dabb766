//! What is served: every URL of the lists in [`endpoints`] and [`pages()`], the public files, and what surrounds them all.

mod api;
mod endpoint;
mod pages;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::handler::Handler as _;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing;
use wiregrant_core::api::{MAX_WAIT_SECONDS, PREFIX, ProblemKind};

use crate::answer;
use crate::api::health;
use crate::control_plane::Shared;
use crate::error::Failure;
use crate::idempotency;
use crate::openapi;
use crate::pages::frame::{self, Audience};
use crate::public_files::{self, PublicFiles};
use crate::sign_in::{self, Who};

pub use api::endpoints;
pub use endpoint::Endpoint;
pub use pages::pages;

/// The longest body of a request, in bytes, where its URL allows no more.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long a request may take in all, the longest wait for a change included, in seconds.
const REQUEST_SECONDS: u64 = MAX_WAIT_SECONDS + 25;

/// Everything that is served: the API, its health, pages, and the public files.
pub fn router(plane: &Shared) -> Router {
    let mut router = Router::new()
        .route("/healthz", routing::get(health::alive))
        .route("/readyz", routing::get(health::ready))
        .route(openapi::PATH, routing::get(openapi::serve))
        .route(&format!("{PREFIX}/{{*rest}}"), routing::any(unknown));
    for Endpoint { method, path, who, handler, body_bytes, .. } in endpoints() {
        let gate = from_fn_with_state((plane.clone(), who, body_bytes), sign_in::admit);
        let mut handler = handler.layer(DefaultBodyLimit::max(body_bytes));
        if idempotency::applies(&method, who) {
            let once = from_fn_with_state((plane.clone(), body_bytes), idempotency::at_most_once);
            handler = handler.route_layer(once);
        }
        let mut handler = handler.route_layer(gate);
        if who != Who::Node {
            handler = handler.route_layer(from_fn(answer::tagged));
        }
        router = router.route(&format!("{PREFIX}{path}"), handler);
    }
    for Endpoint { path, who, handler, body_bytes, .. } in pages() {
        let gate = from_fn_with_state((plane.clone(), who), sign_in::admit_to_page);
        let frame = from_fn_with_state((plane.clone(), Audience::of(who, path)), frame::around);
        let handler = handler.layer(DefaultBodyLimit::max(body_bytes)).route_layer(gate).route_layer(frame);
        router = router.route(path, handler);
    }
    let (clock, figures) = (plane.clock.clone(), Arc::clone(&plane.figures));
    let files = Arc::new(PublicFiles::new(&plane.config.public_dir, clock, figures));
    router
        .method_not_allowed_fallback(unknown)
        .with_state(plane.clone())
        .fallback_service(public_files::from_folder.with_state(Arc::clone(&files)))
        .layer(from_fn(public_files::headers))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn(in_time))
        .layer(from_fn_with_state(plane.clone(), caught))
        .layer(from_fn_with_state(files, public_files::from_memory))
}

async fn unknown(request: Request) -> Failure {
    let (method, path) = (request.method(), request.uri().path());
    Failure::new(ProblemKind::NotFound, format!("{method} {path}: there is no such address"))
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(Duration::from_secs(REQUEST_SECONDS), next.run(request)).await {
        Ok(response) => response,
        Err(_) => Failure::new(
            ProblemKind::Busy,
            format!("the request took longer than {REQUEST_SECONDS} seconds; try again"),
        )
        .into_response(),
    }
}

/// Runs a request as a task of its own, so that a client that goes away cannot stop it half way, and a panic answers
/// one request instead of ending a connection in silence.
async fn caught(State(plane): State<Shared>, request: Request, next: Next) -> Response {
    let response = match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => Failure::internal(error).into_response(),
    };
    let figures = &plane.figures;
    let counter = if response.status().is_server_error() {
        &figures.requests_failed
    } else {
        &figures.requests_answered
    };
    counter.fetch_add(1, Ordering::Relaxed);
    response
}
