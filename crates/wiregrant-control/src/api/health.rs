//! Whether the process lives, and whether it can do its work.

use axum::extract::State;

use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use wiregrant_core::api::ProblemKind;
use wiregrant_store::Log;

/// `GET /healthz`: the process answers.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the database answers, and nobody has asked us to stop.
///
/// # Errors
/// `busy` or `internal`.
pub async fn ready(State(plane): State<Shared>) -> Answer<&'static str> {
    if plane.is_stopping() {
        return Err(Failure::new(ProblemKind::Busy, "the control plane is about to stop"));
    }
    plane.store.read().await?.log_size(Log::Record).await?;
    Ok("ok\n")
}
