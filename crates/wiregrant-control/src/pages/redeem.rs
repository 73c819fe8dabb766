//! Where an access code is typed.

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;
use wiregrant_core::access_code::AccessCode;

use super::frame::{self, Frame, Visitor};
use super::language::Language;
use super::person;
use super::words::{PeopleWords, Words};
use crate::control_plane::Shared;
use crate::error::Answer;
use crate::extract::Form;

/// `redeem.html`.
#[derive(Debug, Template)]
#[template(path = "redeem.html")]
pub struct RedeemPage {
    frame: Frame,
    w: &'static PeopleWords,
    /// What was typed; it is kept when it is refused.
    code: String,
    problem: Option<&'static str>,
}

impl RedeemPage {
    /// What the tests and the designer look at.
    #[must_use]
    pub fn sample(language: Language) -> Self {
        let words = Words::of(language);
        let code = "7k3qf <on2bx>".to_owned();
        Self {
            frame: Frame::sample(language, "redeem"),
            w: words.people,
            code,
            problem: Some(words.problems.code),
        }
    }
}

/// What the form sends.
#[derive(Deserialize)]
pub struct RedeemForm {
    #[serde(default)]
    code: String,
}

/// `GET /redeem`
///
/// # Errors
/// None of its own.
pub async fn show(visitor: Visitor) -> Answer<Response> {
    let w = visitor.words.people;
    frame::page(
        StatusCode::OK,
        &RedeemPage { frame: visitor.frame("redeem"), w, code: String::new(), problem: None },
    )
}

/// `POST /redeem`
///
/// # Errors
/// Those of the database; a code that is refused is told on the page.
pub async fn redeem(
    State(plane): State<Shared>,
    visitor: Visitor,
    Form(form): Form<RedeemForm>,
) -> Answer<Response> {
    let problems = visitor.words.problems;
    let problem = match form.code.parse::<AccessCode>() {
        Err(_) => (StatusCode::UNPROCESSABLE_ENTITY, problems.code),
        Ok(code) => match person::known(&plane, &code).await? {
            None => (StatusCode::NOT_FOUND, problems.code),
            Some(known) if known.expires <= plane.clock.now() => (StatusCode::GONE, problems.code_expired),
            Some(_) => {
                let cookie = [(header::SET_COOKIE, person::remember(&visitor, &code))];
                return Ok((AppendHeaders(cookie), Redirect::to("/devices")).into_response());
            }
        },
    };
    let w = visitor.words.people;
    let page = RedeemPage { frame: visitor.frame("redeem"), w, code: form.code, problem: Some(problem.1) };
    frame::page(problem.0, &page)
}

/// `POST /redeem/forget`
pub async fn forget() -> Response {
    let cookies = person::forget().map(|cookie| (header::SET_COOKIE, cookie));
    (AppendHeaders(cookies), Redirect::to("/redeem")).into_response()
}
