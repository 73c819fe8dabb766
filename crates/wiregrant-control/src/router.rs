//! The index of every URL: one line each, with who may ask.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};
use wiregrant_core::api::{MAX_WAIT_SECONDS, PREFIX, ProblemKind};

use crate::api::{
    access_codes, batches, condition, desired, devices, distributors, epochs, grants, health, invitations,
    locations, nodes, operators, reports,
};
use crate::control_plane::Shared;
use crate::error::Failure;
use crate::public_files;
use crate::sign_in::{self, Who};

/// The longest body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// The longest body of a batch: coins may come with the transactions that made them.
pub const MAX_BATCH_BODY_BYTES: usize = 4 * 1024 * 1024;
/// The longest body of a node's condition. A node has at most 1,021 devices, and a device's level takes under 100 bytes.
pub const MAX_CONDITION_BODY_BYTES: usize = 256 * 1024;
/// How long a request may take in all, the longest wait for a change included, in seconds.
const REQUEST_SECONDS: u64 = MAX_WAIT_SECONDS + 25;

/// One URL of the API.
pub struct Endpoint {
    /// Its method.
    pub method: Method,
    /// Its path below [`PREFIX`].
    pub path: &'static str,
    /// Who may ask.
    pub who: Who,
    /// The longest body, in bytes.
    body_bytes: usize,
    handler: MethodRouter<Shared>,
}

/// Every URL of the API. The table in `wiregrant_core::api` is the contract, this one what holds it.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    use Who::{Administrator, CodeHolder, Everyone, Issuer, Node, OperatorToo};
    vec![
        post("/operators", Administrator, operators::create),
        get("/operators", Administrator, operators::list),
        get("/operators/{operator}", OperatorToo, operators::show),
        post("/operators/{operator}/destination", OperatorToo, operators::set_destination),
        post("/locations", Administrator, locations::create),
        get("/locations", Everyone, locations::list),
        post("/invitations", OperatorToo, invitations::create),
        post("/nodes", Everyone, nodes::join),
        get("/nodes", OperatorToo, nodes::list),
        get("/nodes/{node}/desired", Node, desired::wait),
        put("/nodes/{node}/condition", Node, condition::tell).with_body(MAX_CONDITION_BODY_BYTES),
        get("/nodes/{node}/head", Node, reports::head),
        post("/nodes/{node}/reports", Node, reports::accept),
        post("/nodes/{node}/freeze", Administrator, nodes::freeze),
        post("/nodes/{node}/unfreeze", Administrator, nodes::unfreeze),
        get("/nodes/{node}/evidence", Administrator, nodes::evidence),
        post("/distributors", Administrator, distributors::create),
        get("/distributors", Administrator, distributors::list),
        post("/access-codes", Issuer, access_codes::create),
        get("/access-codes", Issuer, access_codes::list),
        post("/devices", CodeHolder, devices::create),
        get("/devices", CodeHolder, devices::list),
        delete("/devices/{public_key}", CodeHolder, devices::remove),
        post("/devices/{public_key}/socks5", CodeHolder, devices::socks5),
        post("/grants", Administrator, grants::create),
        get("/grants", Everyone, grants::list),
        get("/grants/{grant}", Everyone, grants::show),
        post("/grants/{grant}/contributions", Administrator, grants::contribute),
        post("/grants/{grant}/nodes", Administrator, grants::admit),
        delete("/grants/{grant}/nodes/{node}", Administrator, grants::leave),
        post("/grants/{grant}/epochs/{epoch}/close", Administrator, epochs::close),
        get("/grants/{grant}/statements", Everyone, epochs::statements),
        post("/batches", Administrator, batches::create).with_body(MAX_BATCH_BODY_BYTES),
        get("/batches", Administrator, batches::list),
        get("/batches/{batch}", Administrator, batches::show),
        post("/batches/{batch}/transaction", Administrator, batches::declare).with_body(MAX_BATCH_BODY_BYTES),
        post("/batches/{batch}/cancel", Administrator, batches::cancel),
    ]
}

/// Everything that is served: the API, its health, and the public files.
pub fn router(plane: &Shared) -> Router {
    let mut router = Router::new()
        .route("/healthz", routing::get(health::alive))
        .route("/readyz", routing::get(health::ready))
        .route(&format!("{PREFIX}/{{*rest}}"), routing::any(unknown));
    for Endpoint { path, who, handler, body_bytes, .. } in endpoints() {
        let gate = from_fn_with_state((plane.clone(), who, body_bytes), sign_in::admit);
        let handler = handler.layer(DefaultBodyLimit::max(body_bytes)).route_layer(gate);
        router = router.route(&format!("{PREFIX}{path}"), handler);
    }
    router
        .method_not_allowed_fallback(unknown)
        .with_state(plane.clone())
        .fallback_service(public_files::service(&plane.config.public_dir))
        .layer(from_fn(public_files::headers))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn(in_time))
        .layer(from_fn(caught))
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
async fn caught(request: Request, next: Next) -> Response {
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => Failure::internal(error).into_response(),
    }
}

impl Endpoint {
    fn new(method: Method, path: &'static str, who: Who, handler: MethodRouter<Shared>) -> Self {
        Self { method, path, who, body_bytes: MAX_BODY_BYTES, handler }
    }

    fn with_body(self, bytes: usize) -> Self {
        Self { body_bytes: bytes, ..self }
    }
}

fn get<H: Handler<T, Shared>, T: 'static>(path: &'static str, who: Who, handler: H) -> Endpoint {
    Endpoint::new(Method::GET, path, who, routing::get(handler))
}

fn post<H: Handler<T, Shared>, T: 'static>(path: &'static str, who: Who, handler: H) -> Endpoint {
    Endpoint::new(Method::POST, path, who, routing::post(handler))
}

fn put<H: Handler<T, Shared>, T: 'static>(path: &'static str, who: Who, handler: H) -> Endpoint {
    Endpoint::new(Method::PUT, path, who, routing::put(handler))
}

fn delete<H: Handler<T, Shared>, T: 'static>(path: &'static str, who: Who, handler: H) -> Endpoint {
    Endpoint::new(Method::DELETE, path, who, routing::delete(handler))
}
