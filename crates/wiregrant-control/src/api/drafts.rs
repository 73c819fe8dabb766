//! Grants that are not open yet: nothing of them is signed or logged.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use wiregrant_core::api::{Grant, GrantState, NewGrant, ProblemKind};
use wiregrant_core::terms::Terms;
use wiregrant_core::{GrantId, Sats};
use wiregrant_store as store;

use super::grants;
use crate::answer::Listed;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Page, Path};
use crate::recording::Recording;

/// Keeps a draft, or changes it.
///
/// # Errors
/// `already-exists` where a grant of this id is open.
pub async fn keep(plane: &ControlPlane, new: NewGrant) -> Answer<Grant> {
    let mut write = plane.store.write().await?;
    if write.grant(&new.grant).await?.is_some() {
        let detail = format!("grant: {} is open; change its terms, or choose another id", new.grant);
        return Err(Failure::new(ProblemKind::AlreadyExists, detail));
    }
    let row = store::Draft {
        grant_id: new.grant,
        title: new.title,
        terms: serde_json::to_string(&new.terms).map_err(Failure::internal)?,
        created_at: plane.clock.now(),
    };
    write.put_draft(&row).await?;
    write.commit().await?;
    shown(row)
}

/// `GET /drafts`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>, page: Page) -> Answer<Listed<Grant>> {
    let drafts = plane.store.read().await?.drafts().await?;
    page.of(drafts.into_iter().map(shown).collect::<Answer<_>>()?, |draft: &Grant| draft.grant.to_string())
}

/// `POST /drafts/{grant}/open`: its terms are signed and logged, for good.
///
/// # Errors
/// `not-found`; `invalid-request` where its first epoch would begin in the past.
pub async fn open(
    State(plane): State<Shared>,
    Path(grant): Path<GrantId>,
) -> Answer<(StatusCode, Json<Grant>)> {
    let mut recording = Recording::begin(&plane).await?;
    let draft = recording.write.draft(&grant).await?.ok_or_else(|| Failure::not_found("draft", &grant))?;
    recording.write.delete_draft(&grant).await?;
    let terms = terms(&draft)?;
    let new = NewGrant { grant, title: draft.title, terms, state: GrantState::Open };
    let grant = grants::put_on_record(&plane, recording, new).await?;
    Ok((StatusCode::CREATED, Json(grant)))
}

/// `DELETE /drafts/{grant}`
///
/// # Errors
/// `not-found`.
pub async fn discard(State(plane): State<Shared>, Path(grant): Path<GrantId>) -> Answer<StatusCode> {
    let mut write = plane.store.write().await?;
    if !write.delete_draft(&grant).await? {
        return Err(Failure::not_found("draft", &grant));
    }
    write.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn terms(draft: &store::Draft) -> Answer<Terms> {
    serde_json::from_str(&draft.terms).map_err(Failure::internal)
}

/// A draft as the API shows it.
///
/// # Errors
/// `internal`: only drafts that were checked are kept.
pub fn shown(draft: store::Draft) -> Answer<Grant> {
    Ok(Grant {
        terms: terms(&draft)?,
        grant: draft.grant_id,
        title: draft.title,
        state: GrantState::Draft,
        contributed: Sats::ZERO,
        members: Vec::new(),
        epochs_closed: 0,
    })
}
