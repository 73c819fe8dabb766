//! Where an operator is paid, how it is changed, and how to sign it with one's own key.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use wiregrant_core::api::NewDestination;
use wiregrant_core::{OperatorId, Timestamp};
use wiregrant_payout::ownership;
use wiregrant_store::Destination;

use super::frame::{self, Frame};
use super::{show, staff};
use crate::api::operators;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Form, Json, Path};
use crate::sign_in::Caller;

/// `operator_destination.html`.
#[derive(Debug, Template)]
#[template(path = "operator_destination.html")]
pub struct OperatorDestinationPage {
    frame: Frame,
    operator: OperatorId,
    /// Whether they have a key of their own to sign with.
    has_key: bool,
    current: Option<Destination>,
    /// Since when, or from when on, payments follow the newest destination, and whether that is still to come.
    in_force: Option<(Timestamp, bool)>,
    /// How long a change waits before payments follow it, in seconds.
    delay_seconds: u64,
    log: String,
    network: String,
    /// The line that the wallet of an address signs, with a place for the address.
    message: String,
    /// What was typed; it is kept when it is refused, unless it looks like a secret.
    typed: String,
    proof: String,
    problem: Option<String>,
}

impl OperatorDestinationPage {
    async fn of(plane: &ControlPlane, operator: OperatorId) -> Answer<Self> {
        let mut read = plane.store.read().await?;
        let row = read.operator(&operator).await?.ok_or_else(|| Failure::not_found("operator", &operator))?;
        let current = read.newest_destination(&operator).await?;
        let in_force = current.as_ref().map(|current| {
            let from = operators::in_force_from(plane, current);
            (from, from > plane.clock.now())
        });
        Ok(Self {
            frame: staff::operators_frame(&plane.config.title, &operator, "Where you are paid"),
            current,
            in_force,
            delay_seconds: plane.config.destination_delay_seconds,
            message: ownership::message_of(&plane.config.origin, &operator, "YOUR-ADDRESS"),
            operator,
            has_key: row.vkey.is_some(),
            log: plane.config.origin.to_string(),
            network: plane.config.network.to_string(),
            typed: String::new(),
            proof: String::new(),
            problem: None,
        })
    }

    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let operator: OperatorId = "nordlicht".parse().expect(fixed);
        Self {
            frame: staff::operators_frame("Free <networks>", &operator, "Where you are paid"),
            has_key: true,
            current: Some(Destination {
                operator: operator.clone(),
                sequence: 2,
                note: String::new(),
                note_hash: transparency_log::Hash::of(b"a note"),
                pay: "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080".to_owned(),
                signed_by_operator: true,
                ownership: None,
                created_at: "2026-07-06T12:00:00Z".parse().expect(fixed),
            }),
            in_force: Some(("2026-07-09T12:00:00Z".parse().expect(fixed), true)),
            delay_seconds: 259_200,
            message: ownership::message_of(
                &"grants.example/record".parse().expect(fixed),
                &operator,
                "YOUR-ADDRESS",
            ),
            operator,
            log: "grants.example/record".to_owned(),
            network: "regtest".to_owned(),
            typed: "typed <here>".to_owned(),
            proof: "signed <here>".to_owned(),
            problem: Some("note: that is no destination note; sign it again".to_owned()),
        }
    }
}

/// `GET /operators/{operator}/destination`
///
/// # Errors
/// `forbidden`, `not-found`.
pub async fn show(
    State(plane): State<Shared>,
    caller: Caller,
    Path(operator): Path<OperatorId>,
) -> Answer<Response> {
    caller.acts_for(&operator)?;
    frame::page(StatusCode::OK, &OperatorDestinationPage::of(&plane, operator).await?)
}

/// What the form sends: a signed note, or a plain address from whoever has no key; and the wallet's signature, if there is one.
#[derive(Deserialize)]
pub struct DestinationForm {
    #[serde(default)]
    destination: String,
    #[serde(default)]
    proof: String,
}

/// `POST /operators/{operator}/destination`
///
/// # Errors
/// `forbidden`, `not-found`; what is refused is told on the page.
pub async fn change(
    State(plane): State<Shared>,
    caller: Caller,
    Path(operator): Path<OperatorId>,
    Form(form): Form<DestinationForm>,
) -> Answer<Response> {
    caller.acts_for(&operator)?;
    let page = OperatorDestinationPage::of(&plane, operator.clone()).await?;
    // Browsers send CR LF for a line's end; notes are signed with LF.
    let given = form.destination.replace("\r\n", "\n");
    let proof = Some(form.proof.trim().to_owned()).filter(|proof| !proof.is_empty());
    let new = if page.has_key {
        // What was copied from a terminal may have lost its last line's end.
        NewDestination { note: Some(format!("{}\n", given.trim())), pay: None, proof: proof.clone() }
    } else {
        NewDestination { note: None, pay: Some(given.trim().to_owned()), proof: proof.clone() }
    };
    match operators::set_destination(State(plane.clone()), caller, Path(operator.clone()), Json(new)).await {
        Ok(_) => Ok(Redirect::to(&format!("/operators/{operator}/destination")).into_response()),
        Err(failure) if failure.problem().status < 500 => {
            let problem = failure.problem();
            let secret = problem.is(wiregrant_core::api::ProblemKind::LooksLikeASecret);
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            let (typed, proof) = match secret {
                true => (String::new(), String::new()),
                false => (given, proof.unwrap_or_default()),
            };
            let problem = Some(problem.detail.clone());
            frame::page(status, &OperatorDestinationPage { typed, proof, problem, ..page })
        }
        Err(failure) => Err(failure),
    }
}
