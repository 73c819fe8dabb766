//! A SOCKS5 login, shown once.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use wiregrant_core::api::Socks5Access;

use super::devices::of_person;
use super::frame::{self, Frame, Visitor};
use super::language::Language;
use super::person::Person;
use super::words::{PeopleWords, Words};
use crate::control_plane::Shared;
use crate::error::Answer;
use crate::extract::{Form, IdempotencyKey, Path};
use crate::random;
use crate::socks5_login;

/// `socks5.html`.
#[derive(Debug, Template)]
#[template(path = "socks5.html")]
pub struct Socks5Page {
    frame: Frame,
    w: &'static PeopleWords,
    access: Socks5Access,
}

/// A login for samples.
///
/// # Panics
/// Never: its values are fixed.
pub(super) fn sample_access() -> Socks5Access {
    let username = "k7d2m9x0a1b2".parse().expect("a fixed value of its form");
    Socks5Access::new("2001:db8::7", 1080, username, "0a1b2c3d4e5f6g7h8j9k0m1n2p".to_owned())
}

impl Socks5Page {
    /// What the tests and the designer look at.
    #[must_use]
    pub fn sample(language: Language) -> Self {
        let frame = Frame { signed_in: true, ..Frame::sample(language, "devices") };
        Self { frame, w: Words::of(language).people, access: sample_access() }
    }
}

/// What the form sends.
#[derive(Deserialize)]
pub struct Socks5Form {
    /// Names the request, so that a page that is loaded again shows the same login again.
    #[serde(default)]
    request: String,
}

/// `POST /devices/{key}/socks5`: a login with a new password; the old one stops.
///
/// # Errors
/// `not-found` for a device of another code or one that was removed, `conflict` where its node has no SOCKS5 service.
pub async fn give(
    State(plane): State<Shared>,
    visitor: Visitor,
    person: Person,
    Path(path): Path<String>,
    Form(form): Form<Socks5Form>,
) -> Answer<Response> {
    let request = match form.request.len() {
        16..=128 => form.request,
        _ => random::word(&random::bytes::<20>()),
    };
    let mut write = plane.store.write().await?;
    let device = of_person(&mut write, &person.code, &path).await?;
    let access = socks5_login::give(&plane, &mut write, &device.public_key, &IdempotencyKey(request)).await?;
    write.commit().await?;
    plane.changes.of(&device.node);
    let frame = visitor.clone().signed(true).frame("devices");
    frame::page(StatusCode::OK, &Socks5Page { frame, w: visitor.words.people, access })
}
