//! Batches: what is paid by one transaction.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use wiregrant_core::BatchId;
use wiregrant_core::api::{Batch, List, NewBatch};

use super::list as as_list;
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Path};
use crate::payout_batch;

/// `POST /batches`
///
/// # Errors
/// See [`payout_batch::create`].
pub async fn create(
    State(plane): State<Shared>,
    Body(new): Body<NewBatch>,
) -> Answer<(StatusCode, Json<Batch>)> {
    Ok((StatusCode::CREATED, Json(payout_batch::create(&plane, &new).await?)))
}

/// `GET /batches`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>) -> Answer<Json<List<Batch>>> {
    let mut read = plane.store.read().await?;
    let mut batches = Vec::new();
    for row in read.batches().await? {
        batches.push(payout_batch::shown(&mut read, row).await?);
    }
    Ok(as_list(batches))
}

/// `GET /batches/{batch}`
///
/// # Errors
/// `not-found`.
pub async fn show(State(plane): State<Shared>, Path(batch): Path<BatchId>) -> Answer<Json<Batch>> {
    let mut read = plane.store.read().await?;
    let row = read.batch(&batch).await?.ok_or_else(|| Failure::not_found("batch", batch))?;
    Ok(Json(payout_batch::shown(&mut read, row).await?))
}
