//! The terms of an open grant, version by version.

use axum::Json;
use axum::extract::State;
use transparency_log::Hash;
use wiregrant_core::GrantId;
use wiregrant_core::api::{NewTerms, TermsVersion};
use wiregrant_core::note::Signed;
use wiregrant_core::record::RecordEntry;
use wiregrant_core::terms::{Terms, TermsNote};
use wiregrant_store::{self as store, Write};

use super::grants;
use crate::answer::Listed;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Page, Path};
use crate::membership;
use crate::recording::Recording;

/// `GET /grants/{grant}/terms`
///
/// # Errors
/// `not-found`.
pub async fn list(
    State(plane): State<Shared>,
    Path(grant): Path<GrantId>,
    page: Page,
) -> Answer<Listed<TermsVersion>> {
    let mut read = plane.store.read().await?;
    grants::known(&mut read, &grant).await?;
    let versions = read.terms_versions(&grant).await?;
    page.of(versions.into_iter().map(shown).collect::<Answer<_>>()?, |terms: &TermsVersion| {
        terms.version.to_string()
    })
}

/// `POST /grants/{grant}/terms`: they act from the next epoch that begins. The newest ones again are no error.
///
/// # Errors
/// `not-found`; `invalid-request` for terms that may not follow; `conflict` once the last epoch has begun.
pub async fn change(
    State(plane): State<Shared>,
    Path(grant): Path<GrantId>,
    Body(NewTerms { terms }): Body<NewTerms>,
) -> Answer<Json<TermsVersion>> {
    put_in_force(&plane, &grant, |_, _| terms).await.map(Json)
}

/// `POST /grants/{grant}/close`: the next epoch that begins is the last one, and splits what is left.
///
/// # Errors
/// `not-found`; `conflict` once the last epoch has begun.
pub async fn close(State(plane): State<Shared>, Path(grant): Path<GrantId>) -> Answer<Json<TermsVersion>> {
    put_in_force(&plane, &grant, |before, next| Terms { epochs: next, ..before.clone() }).await.map(Json)
}

/// Signs and logs terms that act from the next epoch.
async fn put_in_force(
    plane: &ControlPlane,
    grant: &GrantId,
    make: impl FnOnce(&Terms, u64) -> Terms,
) -> Answer<TermsVersion> {
    let now = plane.clock.now();
    let mut recording = Recording::begin(plane).await?;
    grants::known(&mut recording.write, grant).await?;
    let versions = recording.write.terms_versions(grant).await?;
    let newest = versions.last().ok_or_else(|| Failure::internal(format!("{grant} has no terms")))?;
    let before = membership::parsed(&newest.note)?;
    let first_epoch = grants::next_epoch(grant, &before, now)?;
    let terms = make(&before, first_epoch).checked()?;
    if terms == before {
        return shown(newest.clone());
    }
    terms.may_follow(&before, first_epoch)?;
    let (note, hash) = signed(plane, grant, newest.note_hash, terms)?;
    let version = newest.version.saturating_add(1);
    let row = store::TermsVersion { version, first_epoch, note, note_hash: hash, logged_at: now };
    recording.write.insert_terms(grant, &row).await?;
    recording.write.put_public_note(&row.note).await?;
    recording.log(RecordEntry::Terms { grant: grant.clone(), note: hash, first_epoch });
    let members = tell_members(&mut recording.write, grant).await?;
    recording.commit().await?;
    members.iter().for_each(|node| plane.changes.of(node));
    shown(row)
}

fn signed(plane: &ControlPlane, grant: &GrantId, previous: Hash, terms: Terms) -> Answer<(String, Hash)> {
    let note = TermsNote {
        log: plane.config.origin.clone(),
        network: plane.config.network,
        grant: grant.clone(),
        previous: Some(previous),
        terms,
    };
    let signed = Signed::sign(note, &plane.keys.statement).map_err(Failure::internal)?;
    Ok((signed.note().to_owned(), signed.hash()))
}

/// Agents label their reports by the grant's epochs and count by its cap, so that members must hear of both.
async fn tell_members(write: &mut Write, grant: &GrantId) -> Answer<Vec<wiregrant_core::NodeId>> {
    let members = write.memberships_of_grant(grant).await?.into_iter();
    let mut open: Vec<_> =
        members.filter(|member| member.end_epoch.is_none()).map(|member| member.node).collect();
    open.dedup();
    for node in &open {
        write.bump_revision(node).await?;
    }
    Ok(open)
}

fn shown(row: store::TermsVersion) -> Answer<TermsVersion> {
    Ok(TermsVersion {
        terms: membership::parsed(&row.note)?,
        version: row.version,
        first_epoch: row.first_epoch,
        hash: row.note_hash.to_hex(),
        logged_at: row.logged_at,
    })
}
