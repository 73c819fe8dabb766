//! The monitor's listener, on loopback and apart from the one for the world: liveness, readiness and figures.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::api::health;
use crate::control_plane::Shared;

/// `/healthz`, `/readyz` and `/metrics`.
pub fn router(plane: &Shared) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics))
        .with_state(plane.clone())
}

/// The figures in the text format of Prometheus.
async fn metrics(State(plane): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], plane.figures.text())
}
