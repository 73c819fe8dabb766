//! Distributors: who hands out access codes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use wiregrant_core::DistributorId;
use wiregrant_core::api::{Budget, Created, Distributor, NewDistributor, ProblemKind};
use wiregrant_store::{DistributorOverview, Party, StoreError};

use crate::answer::Listed;
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Page, Path};
use crate::sign_in::Holder;
use crate::tokens;

/// `POST /distributors`
///
/// # Errors
/// `already-exists`, `invalid-request`.
pub async fn create(
    State(plane): State<Shared>,
    maker: Holder,
    Body(NewDistributor { distributor }): Body<NewDistributor>,
) -> Answer<(StatusCode, Json<Created>)> {
    let party = Party::Distributor(distributor.clone());
    let now = plane.clock.now();
    let mut write = plane.store.write().await?;
    match write.insert_distributor(&distributor, now).await {
        Err(StoreError::Exists { .. }) => {
            let detail = format!("distributor: there is one called {distributor} already; choose another id");
            return Err(Failure::new(ProblemKind::AlreadyExists, detail));
        }
        other => other?,
    }
    let issued = tokens::issue_first(&plane.keys, &mut write, party, maker.token, now).await?;
    write.commit().await?;
    Ok((StatusCode::CREATED, Json(Created { id: distributor.to_string(), token: issued.token })))
}

/// `PUT /distributors/{distributor}/budget`: what was issued already counts towards it.
///
/// # Errors
/// `not-found`, `invalid-request`.
pub async fn set_budget(
    State(plane): State<Shared>,
    Path(distributor): Path<DistributorId>,
    Body(Budget { codes, bytes }): Body<Budget>,
) -> Answer<Json<Distributor>> {
    if let Some(codes) = codes.filter(|codes| i64::try_from(*codes).is_err()) {
        return Err(Failure::field("codes", codes, "a number up to 2^63-1"));
    }
    let mut write = plane.store.write().await?;
    write.set_budget(&distributor, codes, bytes).await?;
    let row = write.distributors().await?.into_iter().find(|row| row.distributor == distributor);
    let row = row.ok_or_else(|| Failure::not_found("distributor", &distributor))?;
    write.commit().await?;
    Ok(Json(shown(row)))
}

/// `GET /distributors`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>, page: Page) -> Answer<Listed<Distributor>> {
    let rows = plane.store.read().await?.distributors().await?;
    page.of(rows.into_iter().map(shown).collect(), |row| row.distributor.to_string())
}

fn shown(row: DistributorOverview) -> Distributor {
    let budget = Budget { codes: row.codes_budget, bytes: row.bytes_budget };
    Distributor { distributor: row.distributor, codes_issued: row.codes_issued, budget }
}
