//! Batches: what is paid by one transaction.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use wiregrant_core::BatchId;
use wiregrant_core::api::{Batch, CancelBatch, DeclareTransaction, List, NewBatch};

use super::list as as_list;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Path};
use crate::{payout_batch, settlement};

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
    let verdicts = settlement::verdicts(&mut read).await?;
    let mut batches = Vec::new();
    for row in read.batches().await? {
        batches.push(payout_batch::shown(&mut read, row, &verdicts).await?);
    }
    Ok(as_list(batches))
}

/// `GET /batches/{batch}`
///
/// # Errors
/// `not-found`.
pub async fn show(State(plane): State<Shared>, Path(batch): Path<BatchId>) -> Answer<Json<Batch>> {
    shown(&plane, &batch).await
}

/// `POST /batches/{batch}/transaction`
///
/// # Errors
/// See [`settlement::declare`].
pub async fn declare(
    State(plane): State<Shared>,
    Path(batch): Path<BatchId>,
    Body(given): Body<DeclareTransaction>,
) -> Answer<Json<Batch>> {
    settlement::declare(&plane, &batch, &given).await?;
    shown(&plane, &batch).await
}

/// `POST /batches/{batch}/cancel`
///
/// # Errors
/// See [`settlement::cancel`].
pub async fn cancel(
    State(plane): State<Shared>,
    Path(batch): Path<BatchId>,
    Body(asked): Body<CancelBatch>,
) -> Answer<Json<Batch>> {
    settlement::cancel(&plane, &batch, &asked).await?;
    shown(&plane, &batch).await
}

async fn shown(plane: &ControlPlane, batch: &BatchId) -> Answer<Json<Batch>> {
    let mut read = plane.store.read().await?;
    let row = read.batch(batch).await?.ok_or_else(|| Failure::not_found("batch", batch))?;
    let verdicts = settlement::verdicts(&mut read).await?;
    Ok(Json(payout_batch::shown(&mut read, row, &verdicts).await?))
}
