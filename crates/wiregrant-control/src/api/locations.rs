//! Places that nodes stand in.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use wiregrant_core::api::{Location, ProblemKind};
use wiregrant_store as store;

use super::check_name;
use crate::answer::Listed;
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Page};

/// `POST /locations`: the same again is no error.
///
/// # Errors
/// `already-exists` under another name, `invalid-request`.
pub async fn create(
    State(plane): State<Shared>,
    Body(new): Body<Location>,
) -> Answer<(StatusCode, Json<Location>)> {
    check_name("name", &new.name)?;
    let mut write = plane.store.write().await?;
    match write.location(&new.location).await? {
        Some(known) if known.name == new.name => return Ok((StatusCode::OK, Json(new))),
        Some(known) => {
            let detail =
                format!("location: {} is {:?} already; choose another id", known.location, known.name);
            return Err(Failure::new(ProblemKind::AlreadyExists, detail));
        }
        None => {}
    }
    let row = store::Location { location: new.location.clone(), name: new.name.clone() };
    write.insert_location(&row, plane.clock.now()).await?;
    write.commit().await?;
    Ok((StatusCode::CREATED, Json(new)))
}

/// `GET /locations`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>, page: Page) -> Answer<Listed<Location>> {
    let locations = plane.store.read().await?.locations().await?;
    let shown = |row: store::Location| Location { location: row.location, name: row.name };
    page.of(locations.into_iter().map(shown).collect(), |row| row.location.to_string())
}
