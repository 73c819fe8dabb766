//! Epochs and their statements.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use wiregrant_core::GrantId;
use wiregrant_core::api::{List, StatementNote};
use wiregrant_store as store;

use super::{grants, list as as_list};
use crate::closing;
use crate::control_plane::Shared;
use crate::error::Answer;
use crate::extract::Path;

/// The path of an epoch.
#[derive(Debug, Deserialize)]
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
) -> Answer<Json<List<StatementNote>>> {
    let mut read = plane.store.read().await?;
    grants::known(&mut read, &grant).await?;
    Ok(as_list(read.statements(&grant).await?.into_iter().map(shown).collect()))
}

fn shown(row: store::Statement) -> StatementNote {
    StatementNote { epoch: row.epoch, hash: row.note_hash.to_hex(), note: row.note }
}
