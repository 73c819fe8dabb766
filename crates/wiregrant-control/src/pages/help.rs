//! Instructions for each platform, and what the server can and cannot see.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::frame::{self, Frame, Visitor};
use super::language::Language;
use super::words::{PeopleWords, Words};
use crate::error::Answer;

/// `help.html`.
#[derive(Debug, Template)]
#[template(path = "help.html")]
pub struct HelpPage {
    frame: Frame,
    w: &'static PeopleWords,
}

impl HelpPage {
    /// What the tests and the designer look at.
    #[must_use]
    pub fn sample(language: Language) -> Self {
        Self { frame: Frame::sample(language, "help"), w: Words::of(language).people }
    }
}

/// `GET /help`
///
/// # Errors
/// None of its own.
pub async fn show(visitor: Visitor) -> Answer<Response> {
    frame::page(StatusCode::OK, &HelpPage { frame: visitor.frame("help"), w: visitor.words.people })
}
