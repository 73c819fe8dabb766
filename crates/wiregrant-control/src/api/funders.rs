//! Funders: who puts up grants.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use wiregrant_core::api::{Created, Funder, NewFunder, ProblemKind};
use wiregrant_store::{Party, StoreError};

use super::check_grants;
use crate::answer::Listed;
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Page};
use crate::sign_in::Holder;
use crate::tokens;

/// `POST /funders`
///
/// # Errors
/// `already-exists`, `not-found` for a grant, `invalid-request`.
pub async fn create(
    State(plane): State<Shared>,
    maker: Holder,
    Body(NewFunder { funder, grants }): Body<NewFunder>,
) -> Answer<(StatusCode, Json<Created>)> {
    let now = plane.clock.now();
    let mut write = plane.store.write().await?;
    check_grants(&mut write, &grants).await?;
    match write.insert_funder(&funder, &grants, now).await {
        Err(StoreError::Exists { .. }) => {
            let detail = format!("funder: there is one called {funder} already; choose another id");
            return Err(Failure::new(ProblemKind::AlreadyExists, detail));
        }
        other => other?,
    }
    let party = Party::Funder(funder.clone());
    let issued = tokens::issue_first(&plane.keys, &mut write, party, maker.token, now).await?;
    write.commit().await?;
    Ok((StatusCode::CREATED, Json(Created { id: funder.to_string(), token: issued.token })))
}

/// `GET /funders`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>, page: Page) -> Answer<Listed<Funder>> {
    let funders = plane.store.read().await?.funders().await?;
    let funders = funders.into_iter().map(|(funder, grants)| Funder { funder, grants }).collect();
    page.of(funders, |row: &Funder| row.funder.to_string())
}
