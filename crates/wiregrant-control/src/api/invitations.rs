//! Invitations: permission to enrol one node, or to take up one whose keys are lost.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::BASE64URL_NOPAD;
use wiregrant_core::api::{InvitationCreated, NewInvitation, NodeState, ProblemKind};
use wiregrant_core::invitation::Invitation;
use wiregrant_core::{LocationId, NodeId, OperatorId};
use wiregrant_store::{self as store, Write};

use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Path};
use crate::keys::Purpose;
use crate::random;
use crate::sign_in::Caller;
use crate::tls;

/// How long an invitation may be used, in seconds: long enough to paste a line into a terminal.
pub const INVITATION_SECONDS: u64 = 3600;

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
    let mut write = plane.store.write().await?;
    if write.operator(&operator).await?.is_none() {
        return Err(Failure::not_found("operator", operator));
    }
    if write.location(&location).await?.is_none() {
        return Err(Failure::not_found("location", location));
    }
    make(&plane, write, operator, location, None).await
}

/// `POST /nodes/{node}/invitation`: for a node whose keys are lost or in wrong hands. It goes on under others, and what it has
/// reported stays its own.
///
/// # Errors
/// `forbidden`, `not-found`, `conflict`.
pub async fn create_for_node(
    State(plane): State<Shared>,
    caller: Caller,
    Path(node): Path<NodeId>,
) -> Answer<(StatusCode, Json<InvitationCreated>)> {
    let mut write = plane.store.write().await?;
    let known = write.node(&node).await?.ok_or_else(|| Failure::not_found("node", &node))?;
    caller.acts_for(&known.operator)?;
    if known.state == NodeState::Retired {
        let detail = format!("node: {node} has retired for good; make an invitation for a new one");
        return Err(Failure::new(ProblemKind::Conflict, detail));
    }
    make(&plane, write, known.operator, known.location, Some(node)).await
}

async fn make(
    plane: &ControlPlane,
    mut write: Write,
    operator: OperatorId,
    location: LocationId,
    for_node: Option<NodeId>,
) -> Answer<(StatusCode, Json<InvitationCreated>)> {
    // Read each time: a certificate that was renewed has the same key, or nodes have to join anew.
    let pin = plane.config.tls_pin.as_deref().map(tls::pin).transpose();
    let pin = pin.map_err(|error| Failure::internal(format!("{error:#}")))?;
    let secret = BASE64URL_NOPAD.encode(&random::bytes::<32>());
    let expires = plane.clock.now().plus_seconds(INVITATION_SECONDS);
    let secret_hash = plane.keys.hash(Purpose::Invitation, &secret);
    let row = store::Invitation { secret_hash, operator, location, expires, node: None, for_node };
    write.insert_invitation(&row).await?;
    write.commit().await?;
    let invitation = Invitation {
        urls: plane.config.public_urls.clone(),
        vkey: plane.keys.record.verifier().to_string(),
        pin,
        secret,
        expires,
    };
    Ok((StatusCode::CREATED, Json(InvitationCreated { invitation: invitation.to_string(), expires })))
}
