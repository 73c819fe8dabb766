//! Distributors: who hands out access codes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use wiregrant_core::api::{Created, Distributor, List, NewDistributor, ProblemKind};
use wiregrant_store::{DistributorOverview, Party, StoreError};

use super::list as as_list;
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::Json as Body;
use crate::keys::Purpose;
use crate::sign_in;

/// `POST /distributors`
///
/// # Errors
/// `already-exists`, `invalid-request`.
pub async fn create(
    State(plane): State<Shared>,
    Body(NewDistributor { distributor }): Body<NewDistributor>,
) -> Answer<(StatusCode, Json<Created>)> {
    let party = Party::Distributor(distributor.clone());
    let token = sign_in::new_token(&party);
    let now = plane.clock.now();
    let mut write = plane.store.write().await?;
    match write.insert_distributor(&distributor, now).await {
        Err(StoreError::Exists { .. }) => {
            let detail = format!("distributor: there is one called {distributor} already; choose another id");
            return Err(Failure::new(ProblemKind::AlreadyExists, detail));
        }
        other => other?,
    }
    write.insert_token(plane.keys.hash(Purpose::Token, &token), &party, now).await?;
    write.commit().await?;
    Ok((StatusCode::CREATED, Json(Created { id: distributor.to_string(), token })))
}

/// `GET /distributors`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>) -> Answer<Json<List<Distributor>>> {
    let shown = |row: DistributorOverview| Distributor {
        distributor: row.distributor,
        codes_issued: row.codes_issued,
    };
    Ok(as_list(plane.store.read().await?.distributors().await?.into_iter().map(shown).collect()))
}
