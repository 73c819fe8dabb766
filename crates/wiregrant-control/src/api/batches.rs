//! Batches: what is paid by one transaction.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use wiregrant_core::api::{Batch, CancelBatch, DeclareTransaction, NewBatch, ProblemKind};
use wiregrant_core::{BatchId, GrantId};
use wiregrant_store::Read;

use crate::answer::Listed;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Page, Path};
use crate::sign_in::Caller;
use crate::{payout_batch, settlement};

/// `POST /batches`: by the administrator, or by a funder for grants that are theirs.
///
/// # Errors
/// `forbidden`; see [`payout_batch::create`].
pub async fn create(
    State(plane): State<Shared>,
    caller: Caller,
    Body(new): Body<NewBatch>,
) -> Answer<(StatusCode, Json<Batch>)> {
    if !is_theirs(&mut plane.store.read().await?, &caller, &new.grant).await? {
        let detail = format!("grant: {} is not funded by whose token this is", new.grant);
        return Err(Failure::new(ProblemKind::Forbidden, detail));
    }
    Ok((StatusCode::CREATED, Json(payout_batch::create(&plane, &new).await?)))
}

/// `GET /batches`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>, caller: Caller, page: Page) -> Answer<Listed<Batch>> {
    let mut read = plane.store.read().await?;
    let verdicts = settlement::verdicts(&mut read).await?;
    let mut batches = Vec::new();
    for draft in payout_batch::drafts(&plane).await? {
        if is_theirs(&mut read, &caller, &draft.grant).await? {
            batches.push(draft);
        }
    }
    for row in read.batches().await? {
        if !is_theirs(&mut read, &caller, &row.grant_id).await? {
            continue;
        }
        batches.push(payout_batch::shown(&mut read, row, &verdicts).await?);
    }
    page.of(batches, |row| row.batch.to_string())
}

/// `GET /batches/{batch}`
///
/// # Errors
/// `not-found`.
pub async fn show(
    State(plane): State<Shared>,
    caller: Caller,
    Path(batch): Path<BatchId>,
) -> Answer<Json<Batch>> {
    held_to_their_grants(&plane, &caller, &batch).await?;
    shown(&plane, &batch).await
}

/// `POST /batches/{batch}/freeze`
///
/// # Errors
/// See [`payout_batch::freeze_draft`].
pub async fn freeze(
    State(plane): State<Shared>,
    caller: Caller,
    Path(batch): Path<BatchId>,
) -> Answer<Json<Batch>> {
    held_to_their_grants(&plane, &caller, &batch).await?;
    Ok(Json(payout_batch::freeze_draft(&plane, &batch).await?))
}

/// `POST /batches/{batch}/export`
///
/// # Errors
/// See [`payout_batch::hand_out`].
pub async fn export(
    State(plane): State<Shared>,
    caller: Caller,
    Path(batch): Path<BatchId>,
) -> Answer<Json<Batch>> {
    held_to_their_grants(&plane, &caller, &batch).await?;
    Ok(Json(payout_batch::hand_out(&plane, &batch).await?))
}

/// `POST /batches/{batch}/transaction`
///
/// # Errors
/// See [`settlement::declare`].
pub async fn declare(
    State(plane): State<Shared>,
    caller: Caller,
    Path(batch): Path<BatchId>,
    Body(given): Body<DeclareTransaction>,
) -> Answer<Json<Batch>> {
    held_to_their_grants(&plane, &caller, &batch).await?;
    settlement::declare(&plane, &batch, &given).await?;
    shown(&plane, &batch).await
}

/// `POST /batches/{batch}/cancel`
///
/// # Errors
/// See [`settlement::cancel`].
pub async fn cancel(
    State(plane): State<Shared>,
    caller: Caller,
    Path(batch): Path<BatchId>,
    Body(asked): Body<CancelBatch>,
) -> Answer<Json<Batch>> {
    held_to_their_grants(&plane, &caller, &batch).await?;
    settlement::cancel(&plane, &batch, &asked).await?;
    shown(&plane, &batch).await
}

/// Lets a funder ask about batches of their grants only: another grant's is no more than one that is not there.
async fn held_to_their_grants(plane: &ControlPlane, caller: &Caller, batch: &BatchId) -> Answer<()> {
    let mut read = plane.store.read().await?;
    let grant = match read.batch(batch).await? {
        Some(row) => row.grant_id,
        None => {
            let draft = read.draft_batch(batch).await?;
            draft.ok_or_else(|| Failure::not_found("batch", batch))?.grant_id
        }
    };
    match is_theirs(&mut read, caller, &grant).await? {
        true => Ok(()),
        false => Err(Failure::not_found("batch", batch)),
    }
}

/// Whether who asks may see the batches of this grant: a funder those they fund, the administrator all.
///
/// # Errors
/// `busy` or `internal`.
pub async fn is_theirs(read: &mut Read, caller: &Caller, grant: &GrantId) -> Answer<bool> {
    match caller {
        Caller::Funder(funder) => Ok(read.funds(funder, grant).await?),
        _ => Ok(true),
    }
}

async fn shown(plane: &ControlPlane, batch: &BatchId) -> Answer<Json<Batch>> {
    let mut read = plane.store.read().await?;
    let Some(row) = read.batch(batch).await? else {
        let draft = read.draft_batch(batch).await?.ok_or_else(|| Failure::not_found("batch", batch))?;
        return Ok(Json(payout_batch::shown_draft(plane, draft).await?));
    };
    let verdicts = settlement::verdicts(&mut read).await?;
    Ok(Json(payout_batch::shown(&mut read, row, &verdicts).await?))
}
