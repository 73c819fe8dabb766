//! Auditors: whom a funder lets look behind the statements of their grants.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use wiregrant_core::api::{Auditor, Created, NewAuditor, ProblemKind};
use wiregrant_core::{FunderId, GrantId};
use wiregrant_store::{Party, Read, StoreError};

use super::check_grants;
use crate::answer::Listed;
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Page};
use crate::sign_in::{Caller, Holder};
use crate::tokens;

/// `POST /auditors`: by the administrator, or by a funder for grants that are theirs.
///
/// # Errors
/// `already-exists`, `not-found` for a grant, `forbidden`, `invalid-request`.
pub async fn create(
    State(plane): State<Shared>,
    caller: Caller,
    maker: Holder,
    Body(NewAuditor { auditor, grants }): Body<NewAuditor>,
) -> Answer<(StatusCode, Json<Created>)> {
    if grants.is_empty() {
        return Err(Failure::field("grants", "", "at least one grant"));
    }
    let now = plane.clock.now();
    let mut write = plane.store.write().await?;
    check_grants(&mut write, &grants).await?;
    if let Caller::Funder(funder) = &caller {
        let own = grants_of(&mut write, funder).await?;
        if let Some(foreign) = grants.iter().find(|grant| !own.contains(grant)) {
            let detail = format!("grants: {foreign} is not funded by {funder}, whose token this is");
            return Err(Failure::new(ProblemKind::Forbidden, detail));
        }
    }
    match write.insert_auditor(&auditor, &grants, now).await {
        Err(StoreError::Exists { .. }) => {
            let detail = format!("auditor: there is one called {auditor} already; choose another id");
            return Err(Failure::new(ProblemKind::AlreadyExists, detail));
        }
        other => other?,
    }
    let party = Party::Auditor(auditor.clone());
    let issued = tokens::issue_first(&plane.keys, &mut write, party, maker.token, now).await?;
    write.commit().await?;
    Ok((StatusCode::CREATED, Json(Created { id: auditor.to_string(), token: issued.token })))
}

/// `GET /auditors`: all of them, or those who look behind a funder's grants.
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>, caller: Caller, page: Page) -> Answer<Listed<Auditor>> {
    let mut read = plane.store.read().await?;
    let own = match &caller {
        Caller::Funder(funder) => Some(grants_of(&mut read, funder).await?),
        _ => None,
    };
    let auditors = read.auditors().await?.into_iter().map(|(auditor, mut grants)| {
        grants.retain(|grant| own.as_ref().is_none_or(|own| own.contains(grant)));
        Auditor { auditor, grants }
    });
    let auditors = auditors.filter(|auditor| own.is_none() || !auditor.grants.is_empty()).collect();
    page.of(auditors, |row: &Auditor| row.auditor.to_string())
}

async fn grants_of(read: &mut Read, funder: &FunderId) -> Answer<Vec<GrantId>> {
    Ok(read.funders().await?.remove(funder).unwrap_or_default())
}
