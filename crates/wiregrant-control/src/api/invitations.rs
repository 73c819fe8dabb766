//! Invitations: permission to enrol one node.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::BASE64URL_NOPAD;
use wiregrant_core::api::{InvitationCreated, NewInvitation};
use wiregrant_core::invitation::Invitation;
use wiregrant_store as store;

use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::Json as Body;
use crate::keys::Purpose;
use crate::random;
use crate::sign_in::Caller;

/// How long an invitation may be used, in seconds: long enough to set up a machine, short enough to be forgotten.
pub const INVITATION_SECONDS: u64 = 24 * 3600;

/// `POST /invitations`
///
/// # Errors
/// `forbidden`, `not-found`.
pub async fn create(
    State(plane): State<Shared>,
    caller: Caller,
    Body(new): Body<NewInvitation>,
) -> Answer<(StatusCode, Json<InvitationCreated>)> {
    let NewInvitation { operator, location } = new;
    caller.acts_for(&operator)?;
    let secret = BASE64URL_NOPAD.encode(&random::bytes::<32>());
    let expires = plane.clock.now().plus_seconds(INVITATION_SECONDS);
    let mut write = plane.store.write().await?;
    if write.operator(&operator).await?.is_none() {
        return Err(Failure::not_found("operator", operator));
    }
    if write.location(&location).await?.is_none() {
        return Err(Failure::not_found("location", location));
    }
    let secret_hash = plane.keys.hash(Purpose::Invitation, &secret);
    write
        .insert_invitation(&store::Invitation { secret_hash, operator, location, expires, node: None })
        .await?;
    write.commit().await?;
    let invitation = Invitation {
        urls: plane.config.public_urls.clone(),
        vkey: plane.keys.record.verifier().to_string(),
        pin: None,
        secret,
        expires,
    };
    Ok((StatusCode::CREATED, Json(InvitationCreated { invitation: invitation.to_string(), expires })))
}
