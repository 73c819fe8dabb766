//! Operators who apply to a grant, and whether they are taken in.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use wiregrant_core::api::{Application, ApplicationState, Apply};
use wiregrant_core::{GrantId, OperatorId};
use wiregrant_store::{self as store, Read};

use super::grants;
use crate::answer::Listed;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Page, Path};
use crate::sign_in::Caller;

/// `GET /grants/{grant}/operators`
///
/// # Errors
/// `not-found`.
pub async fn list(
    State(plane): State<Shared>,
    caller: Caller,
    Path(grant): Path<GrantId>,
    page: Page,
) -> Answer<Listed<Application>> {
    let mut read = plane.store.read().await?;
    grants::known(&mut read, &grant).await?;
    let all = read.applications(&grant).await?.into_iter();
    let seen = all.filter(|row| caller.acts_for(&row.operator).is_ok()).map(shown).collect();
    page.of(seen, |row: &Application| row.operator.to_string())
}

/// `POST /grants/{grant}/operators`: the same again changes nothing; who was rejected may not apply again.
///
/// # Errors
/// `not-found`, `forbidden` for another operator.
pub async fn apply(
    State(plane): State<Shared>,
    caller: Caller,
    Path(grant): Path<GrantId>,
    Body(Apply { operator }): Body<Apply>,
) -> Answer<Json<Application>> {
    caller.acts_for(&operator)?;
    let mut write = plane.store.write().await?;
    grants::known(&mut write, &grant).await?;
    if write.operator(&operator).await?.is_none() {
        return Err(Failure::not_found("operator", &operator));
    }
    if let Some(known) = application(&mut write, &grant, &operator).await? {
        return Ok(Json(shown(known)));
    }
    let row = store::Application {
        grant_id: grant,
        operator,
        state: ApplicationState::Applied,
        applied_at: plane.clock.now(),
        decided_at: None,
    };
    write.put_application(&row).await?;
    write.commit().await?;
    Ok(Json(shown(row)))
}

/// The path of an application.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Applicant {
    pub(crate) grant: GrantId,
    pub(crate) operator: OperatorId,
}

/// `POST /grants/{grant}/operators/{operator}/approve`: also without an application.
///
/// # Errors
/// `not-found`.
pub async fn approve(
    State(plane): State<Shared>,
    Path(applicant): Path<Applicant>,
) -> Answer<Json<Application>> {
    decide(&plane, applicant, ApplicationState::Approved).await
}

/// `POST /grants/{grant}/operators/{operator}/reject`: nodes that take part stay until they leave.
///
/// # Errors
/// `not-found`.
pub async fn reject(
    State(plane): State<Shared>,
    Path(applicant): Path<Applicant>,
) -> Answer<Json<Application>> {
    decide(&plane, applicant, ApplicationState::Rejected).await
}

async fn decide(
    plane: &ControlPlane,
    Applicant { grant, operator }: Applicant,
    state: ApplicationState,
) -> Answer<Json<Application>> {
    let now = plane.clock.now();
    let mut write = plane.store.write().await?;
    grants::known(&mut write, &grant).await?;
    if write.operator(&operator).await?.is_none() {
        return Err(Failure::not_found("operator", &operator));
    }
    let known = application(&mut write, &grant, &operator).await?;
    let applied_at = known.map_or(now, |known| known.applied_at);
    let row = store::Application { grant_id: grant, operator, state, applied_at, decided_at: Some(now) };
    write.put_application(&row).await?;
    write.commit().await?;
    Ok(Json(shown(row)))
}

/// Whether an operator was approved for a grant.
///
/// # Errors
/// `busy` or `internal`.
pub async fn is_approved(read: &mut Read, grant: &GrantId, operator: &OperatorId) -> Answer<bool> {
    let application = application(read, grant, operator).await?;
    Ok(application.is_some_and(|application| application.state == ApplicationState::Approved))
}

async fn application(
    read: &mut Read,
    grant: &GrantId,
    operator: &OperatorId,
) -> Answer<Option<store::Application>> {
    Ok(read.applications(grant).await?.into_iter().find(|row| row.operator == *operator))
}

fn shown(row: store::Application) -> Application {
    Application {
        operator: row.operator,
        state: row.state,
        applied_at: row.applied_at,
        decided_at: row.decided_at,
    }
}
