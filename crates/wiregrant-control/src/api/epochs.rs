//! Epochs and their statements.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use wiregrant_core::GrantId;
use wiregrant_core::api::StatementNote;
use wiregrant_store as store;

use super::grants;
use crate::answer::Listed;
use crate::closing;
use crate::control_plane::Shared;
use crate::error::Answer;
use crate::extract::{Page, Path};

/// The path of an epoch.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Epoch {
    grant: GrantId,
    epoch: u64,
}

/// `POST /grants/{grant}/epochs/{epoch}/close`: closing it once more gives the same statement.
///
/// # Errors
/// `not-found`, `epoch-not-over`.
pub async fn close(
    State(plane): State<Shared>,
    Path(Epoch { grant, epoch }): Path<Epoch>,
) -> Answer<Json<StatementNote>> {
    closing::close(&plane, &grant, epoch).await.map(shown).map(Json)
}

/// `GET /grants/{grant}/statements`
///
/// # Errors
/// `not-found`.
pub async fn statements(
    State(plane): State<Shared>,
    Path(grant): Path<GrantId>,
    page: Page,
) -> Answer<Listed<StatementNote>> {
    let mut read = plane.store.read().await?;
    grants::known(&mut read, &grant).await?;
    let statements = read.statements(&grant).await?.into_iter().map(shown).collect();
    page.of(statements, |row: &StatementNote| row.epoch.to_string())
}

fn shown(row: store::Statement) -> StatementNote {
    StatementNote { epoch: row.epoch, hash: row.note_hash.to_hex(), note: row.note }
}
