//! Enrolling a node: one line to copy, then waiting for it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use serde::Deserialize;
use transparency_log::Hash;
use wiregrant_core::api::NewInvitation;
use wiregrant_core::invitation::Invitation;
use wiregrant_core::{LocationId, OperatorId, Timestamp};
use wiregrant_store::{Location, Read};

use super::frame::{self, Frame, Visitor};
use super::staff;
use crate::api::invitations;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Form, Json, Path};
use crate::keys::Purpose;
use crate::sign_in::Caller;

/// An invitation that was made, and what became of it.
#[derive(Debug)]
struct Made {
    /// The invitation, shown this once; none on the page that is loaded again.
    invitation: Option<String>,
    /// Where it is asked whether the node has joined.
    watch: String,
    expires: Timestamp,
    node: Option<String>,
}

/// `operator_enrol.html`.
#[derive(Debug, Template)]
#[template(path = "operator_enrol.html")]
pub struct OperatorEnrolPage {
    frame: Frame,
    operator: OperatorId,
    places: Vec<Location>,
    problem: Option<String>,
    made: Option<Made>,
}

impl OperatorEnrolPage {
    fn of(plane: &ControlPlane, operator: OperatorId, places: Vec<Location>) -> Self {
        let frame = staff::operators_frame(&plane.config.title, &operator, "Enrol a node");
        Self { frame, operator, places, problem: None, made: None }
    }

    /// What the tests and the designer look at: the form.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let operator: OperatorId = "nordlicht".parse().expect(fixed);
        let place = |location: &str, name: &str| Location {
            location: location.parse().expect(fixed),
            name: name.to_owned(),
        };
        Self {
            frame: staff::operators_frame("Free <networks>", &operator, "Enrol a node"),
            operator,
            places: vec![place("de-fra", "Frankfurt, Germany"), place("is-rkv", "Reykjavík <Iceland>")],
            problem: None,
            made: None,
        }
    }

    /// The same once an invitation was made.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample_made() -> Self {
        let made = Made {
            invitation: Some(format!("wiregrant1.{}", "eyJ1cmxzIjpb".repeat(16))),
            watch: format!("/operators/nordlicht/invitations/{}", "ab".repeat(32)),
            expires: "2026-07-07T12:00:00Z".parse().expect("a fixed value of its form"),
            node: None,
        };
        Self { made: Some(made), ..Self::sample() }
    }
}

async fn places(read: &mut Read, operator: &OperatorId) -> Answer<Vec<Location>> {
    if read.operator(operator).await?.is_none() {
        return Err(Failure::not_found("operator", operator));
    }
    Ok(read.locations().await?)
}

/// `GET /operators/{operator}/enrol`
///
/// # Errors
/// `forbidden`, `not-found`.
pub async fn show(
    State(plane): State<Shared>,
    caller: Caller,
    Path(operator): Path<OperatorId>,
) -> Answer<Response> {
    caller.acts_for(&operator)?;
    let places = places(&mut plane.store.read().await?, &operator).await?;
    frame::page(StatusCode::OK, &OperatorEnrolPage::of(&plane, operator, places))
}

/// What the form sends.
#[derive(Deserialize)]
pub struct EnrolForm {
    #[serde(default)]
    location: String,
    #[serde(default)]
    understood: String,
}

/// `POST /operators/{operator}/enrol`: an invitation, shown this once.
///
/// # Errors
/// `forbidden`, `not-found`; what the form lacks is told on the page.
pub async fn invite(
    State(plane): State<Shared>,
    caller: Caller,
    Path(operator): Path<OperatorId>,
    Form(form): Form<EnrolForm>,
) -> Answer<Response> {
    caller.acts_for(&operator)?;
    let places = places(&mut plane.store.read().await?, &operator).await?;
    let page = OperatorEnrolPage::of(&plane, operator.clone(), places);
    let location: Result<LocationId, _> = form.location.parse();
    let problem = match (&location, form.understood.is_empty()) {
        (Err(_), _) => Some("Choose where the node stands."),
        (_, true) => Some("Say that you have read the notice on safety."),
        _ => None,
    };
    if let Some(problem) = problem {
        let page = OperatorEnrolPage { problem: Some(problem.to_owned()), ..page };
        return frame::page(StatusCode::UNPROCESSABLE_ENTITY, &page);
    }
    let new = NewInvitation { operator: operator.clone(), location: location? };
    let (status, made) = invitations::create(State(plane.clone()), caller, Json(new)).await?;
    let invitation: Invitation = made.0.invitation.parse().map_err(Failure::internal)?;
    let hash = plane.keys.hash(Purpose::Invitation, &invitation.secret);
    let made = Made {
        invitation: Some(made.0.invitation),
        watch: format!("/operators/{operator}/invitations/{}", hash.to_hex()),
        expires: made.0.expires,
        node: None,
    };
    frame::page(status, &OperatorEnrolPage { made: Some(made), ..page })
}

/// `GET /operators/{operator}/invitations/{hash}`: whether a node has joined by it. The hash is keyed, and opens nothing.
///
/// # Errors
/// `forbidden`, `not-found`.
pub async fn watch(
    State(plane): State<Shared>,
    caller: Caller,
    visitor: Visitor,
    Path((operator, hash)): Path<(OperatorId, String)>,
) -> Answer<Response> {
    caller.acts_for(&operator)?;
    let mut read = plane.store.read().await?;
    let absent = || Failure::not_found("invitation", &hash);
    let known = HEXLOWER.decode(hash.as_bytes()).ok().and_then(|hash| <[u8; 32]>::try_from(hash).ok());
    let known = known.map(Hash).ok_or_else(absent)?;
    let invitation = read.invitation(known).await?.filter(|invitation| invitation.operator == operator);
    let invitation = invitation.ok_or_else(absent)?;
    // Heard of is more than enrolled: from then on it is given people.
    let node = match &invitation.node {
        Some(node) => read.node(node).await?.filter(|node| node.last_seen.is_some()),
        None => None,
    };
    let node = node.map(|node| node.node.to_string());
    if visitor.wants_json {
        return Ok(axum::Json(serde_json::json!({ "node": node })).into_response());
    }
    let places = places(&mut read, &operator).await?;
    let watch = format!("/operators/{operator}/invitations/{hash}");
    let made = Made { invitation: None, watch, expires: invitation.expires, node };
    let page = OperatorEnrolPage { made: Some(made), ..OperatorEnrolPage::of(&plane, operator, places) };
    frame::page(StatusCode::OK, &page)
}
