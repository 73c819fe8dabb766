//! Grants: their terms, the sats contributed to them, the nodes admitted to them.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use wiregrant_core::api::{
    Admit, Grant, GrantState, Membership, NewContribution, NewGrant, NodeState, ProblemKind,
};
use wiregrant_core::note::Signed;
use wiregrant_core::record::RecordEntry;
use wiregrant_core::terms::{ADMISSION_BY_APPLICATION, Terms, TermsNote};
use wiregrant_core::{GrantId, NodeId, Sats, Timestamp, ledger};
use wiregrant_store::{self as store, Read, StoreError};

use super::{applications, check_name, drafts};
use crate::answer::Listed;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Page, Path};
use crate::membership;
use crate::recording::Recording;
use crate::sign_in::Caller;

/// `POST /grants`: the same again is no error; a draft is replaced.
///
/// # Errors
/// `already-exists` with other terms, `invalid-request`.
pub async fn create(
    State(plane): State<Shared>,
    Body(new): Body<NewGrant>,
) -> Answer<(StatusCode, Json<Grant>)> {
    check_name("title", &new.title)?;
    let new = NewGrant { terms: new.terms.checked()?, ..new };
    if new.state == GrantState::Draft {
        return Ok((StatusCode::CREATED, Json(drafts::keep(&plane, new).await?)));
    }
    if new.state == GrantState::Closed {
        return Err(Failure::field("state", new.state, "draft or open"));
    }
    let mut recording = Recording::begin(&plane).await?;
    if let Some(known) = recording.write.grant(&new.grant).await? {
        if membership::terms(&known)? == new.terms && known.title == new.title {
            return Ok((StatusCode::OK, Json(shown(&mut recording.write, known).await?)));
        }
        let detail =
            format!("grant: there is one called {} already, with other terms; choose another id", new.grant);
        return Err(Failure::new(ProblemKind::AlreadyExists, detail));
    }
    if recording.write.draft(&new.grant).await?.is_some() {
        let detail = format!("grant: {} is a draft; open it, or discard it first", new.grant);
        return Err(Failure::new(ProblemKind::AlreadyExists, detail));
    }
    Ok((StatusCode::CREATED, Json(put_on_record(&plane, recording, new).await?)))
}

/// Signs and logs the first terms of a grant.
///
/// # Errors
/// `invalid-request` where its first epoch would begin in the past.
pub async fn put_on_record(
    plane: &ControlPlane,
    mut recording: Recording<'_>,
    new: NewGrant,
) -> Answer<Grant> {
    let now = plane.clock.now();
    if new.terms.start <= now {
        let expected = "a moment to come: terms are logged before the first epoch in which they act";
        return Err(Failure::field("start", new.terms.start, expected));
    }
    let note = TermsNote {
        log: plane.config.origin.clone(),
        network: plane.config.network,
        grant: new.grant.clone(),
        previous: None,
        terms: new.terms,
    };
    let note = Signed::sign(note, &plane.keys.statement).map_err(Failure::internal)?;
    let row = store::Grant {
        grant_id: new.grant.clone(),
        title: new.title,
        terms_note: note.note().to_owned(),
        terms_hash: note.hash(),
        created_at: now,
    };
    recording.write.insert_grant(&row).await?;
    recording.write.put_public_note(note.note()).await?;
    recording.log(RecordEntry::Terms { grant: new.grant, note: note.hash(), first_epoch: 1 });
    let grant = shown(&mut recording.write, row).await?;
    recording.commit().await?;
    Ok(grant)
}

/// `GET /grants`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>, page: Page) -> Answer<Listed<Grant>> {
    let mut read = plane.store.read().await?;
    let mut grants = Vec::new();
    for row in read.grants().await? {
        grants.push(shown(&mut read, row).await?);
    }
    page.of(grants, |row| row.grant.to_string())
}

/// `GET /grants/{grant}`
///
/// # Errors
/// `not-found`.
pub async fn show(State(plane): State<Shared>, Path(grant): Path<GrantId>) -> Answer<Json<Grant>> {
    let mut read = plane.store.read().await?;
    let row = known(&mut read, &grant).await?;
    Ok(Json(shown(&mut read, row).await?))
}

/// `POST /grants/{grant}/contributions`
///
/// # Errors
/// `not-found`, `invalid-request`, `conflict` once the last epoch has begun.
pub async fn contribute(
    State(plane): State<Shared>,
    Path(grant): Path<GrantId>,
    Body(NewContribution { sats }): Body<NewContribution>,
) -> Answer<Json<Grant>> {
    let now = plane.clock.now();
    if sats == Sats::ZERO {
        return Err(Failure::field("sats", sats, "at least 1"));
    }
    let mut recording = Recording::begin(&plane).await?;
    let row = known(&mut recording.write, &grant).await?;
    next_epoch(&row.grant_id, &membership::terms(&row)?, now)?;
    match recording.write.insert_contribution(&grant, sats, now).await {
        Err(error @ StoreError::TooLarge { .. }) => {
            return Err(Failure::new(ProblemKind::InvalidRequest, error.to_string()));
        }
        other => other?,
    }
    recording.write.enter(&ledger::of_contribution(&grant, sats), now).await?;
    recording.log(RecordEntry::Contribute { grant, sats });
    let answer = shown(&mut recording.write, row).await?;
    recording.commit().await?;
    Ok(Json(answer))
}

/// `POST /grants/{grant}/nodes`
///
/// # Errors
/// `not-found`, `conflict` for a node that is in a grant, or once the last epoch has begun; `forbidden` for the node of an
/// operator who is not approved, where the terms let operators apply.
pub async fn admit(
    State(plane): State<Shared>,
    caller: Caller,
    Path(grant): Path<GrantId>,
    Body(Admit { node }): Body<Admit>,
) -> Answer<Json<Membership>> {
    let now = plane.clock.now();
    let mut recording = Recording::begin(&plane).await?;
    let row = known(&mut recording.write, &grant).await?;
    let terms = membership::terms(&row)?;
    let found = recording.write.node(&node).await?.ok_or_else(|| Failure::not_found("node", &node))?;
    caller.acts_for(&found.operator)?;
    let is_by_application = terms.admission == ADMISSION_BY_APPLICATION;
    let may_admit = match caller {
        Caller::Administrator if !is_by_application => true,
        _ => {
            is_by_application
                && applications::is_approved(&mut recording.write, &grant, &found.operator).await?
        }
    };
    if !may_admit {
        let detail = match is_by_application {
            true => format!("operator: {} is not approved for {grant}; apply, and wait", found.operator),
            false => format!("grant: whoever administers admits the nodes of {grant}"),
        };
        return Err(Failure::new(ProblemKind::Forbidden, detail));
    }
    if found.state == NodeState::Retired {
        let detail = format!("node: {node} has retired for good");
        return Err(Failure::new(ProblemKind::Conflict, detail));
    }
    let memberships = membership::all_of_node(&mut recording.write, &node).await?;
    if let Some(present) = memberships.iter().find(|membership| !membership::is_over(membership, now)) {
        return already_in(present, &grant);
    }
    let first_epoch = next_epoch(&grant, &terms, now)?;
    // A membership whose grant is over has no end of its own; the database knows one open membership a node.
    for over in memberships.iter().filter(|membership| membership.end_epoch.is_none()) {
        recording.write.leave(&over.grant, &node, over.schedule.epochs.saturating_add(1)).await?;
    }
    recording.write.admit(&grant, &node, first_epoch, now).await?;
    recording.log(RecordEntry::Admit { grant: grant.clone(), node: node.clone(), first_epoch });
    recording.commit().await?;
    plane.changes.of(&node);
    let schedule = terms.schedule();
    Ok(Json(Membership { grant, node, schedule, first_epoch, end_epoch: None, peer_caps: BTreeMap::new() }))
}

/// The path of a member.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Member {
    pub(crate) grant: GrantId,
    pub(crate) node: NodeId,
}

/// `DELETE /grants/{grant}/nodes/{node}`: the node leaves with the next epoch.
///
/// # Errors
/// `not-found`, `conflict` once the last epoch has begun.
pub async fn leave(
    State(plane): State<Shared>,
    caller: Caller,
    Path(Member { grant, node }): Path<Member>,
) -> Answer<Json<Membership>> {
    let now = plane.clock.now();
    let mut recording = Recording::begin(&plane).await?;
    let row = known(&mut recording.write, &grant).await?;
    let terms = membership::terms(&row)?;
    let memberships = recording.write.memberships_of_node(&node).await?;
    let open = memberships.into_iter().find(|row| row.grant_id == grant && row.end_epoch.is_none());
    let open = open.ok_or_else(|| Failure::not_found("node", format!("{node} in {grant}")))?;
    let found = recording.write.node(&node).await?.ok_or_else(|| Failure::not_found("node", &node))?;
    caller.acts_for(&found.operator)?;
    let end_epoch = next_epoch(&grant, &terms, now)?.max(open.first_epoch);
    recording.write.leave(&grant, &node, end_epoch).await?;
    recording.log(RecordEntry::Leave { grant, node: node.clone(), first_epoch: end_epoch });
    recording.commit().await?;
    plane.changes.of(&node);
    let left = store::Membership { end_epoch: Some(end_epoch), ..open };
    Ok(Json(membership::with_schedule(left, &terms)))
}

/// The grant of this id.
///
/// # Errors
/// `not-found`.
pub async fn known(read: &mut Read, grant: &GrantId) -> Answer<store::Grant> {
    read.grant(grant).await?.ok_or_else(|| Failure::not_found("grant", grant))
}

/// A grant as the API shows it.
///
/// # Errors
/// `busy` or `internal`.
pub async fn shown(read: &mut Read, row: store::Grant) -> Answer<Grant> {
    let terms = membership::terms(&row)?;
    let members = read.memberships_of_grant(&row.grant_id).await?;
    let epochs_closed = read.epochs_closed(&row.grant_id).await?;
    let is_closed = epochs_closed >= terms.epochs;
    Ok(Grant {
        state: if is_closed { GrantState::Closed } else { GrantState::Open },
        contributed: read.contributed(&row.grant_id, None).await?,
        members: members.into_iter().map(|member| membership::with_schedule(member, &terms)).collect(),
        epochs_closed,
        grant: row.grant_id,
        title: row.title,
        terms,
    })
}

/// The next epoch that begins: what changes now, changes from there on.
///
/// # Errors
/// `conflict` once the last epoch has begun.
pub fn next_epoch(grant: &GrantId, terms: &Terms, now: Timestamp) -> Answer<u64> {
    let schedule = terms.schedule();
    let next =
        if now < schedule.start { Some(1) } else { schedule.epoch_at(now).map(|n| n.saturating_add(1)) };
    next.filter(|next| *next <= schedule.epochs).ok_or_else(|| {
        let detail = format!(
            "grant: the last of the {} epochs of {grant} has begun; open a new grant",
            schedule.epochs
        );
        Failure::new(ProblemKind::Conflict, detail)
    })
}

fn already_in(present: &Membership, wanted: &GrantId) -> Answer<Json<Membership>> {
    if present.grant == *wanted && present.end_epoch.is_none() {
        return Ok(Json(present.clone())); // asked for once more
    }
    let last = present.end_epoch.map_or(present.schedule.epochs, |end| end.saturating_sub(1));
    let until = present.schedule.bounds(last).map_or_else(String::new, |(_, end)| format!(" until {end}"));
    let detail =
        format!("node: {} is in grant {}{until}; let it leave first, and wait", present.node, present.grant);
    Err(Failure::new(ProblemKind::Conflict, detail))
}
