//! The page that says what went wrong, and what to do.

use askama::Template;

use super::frame::Frame;
use super::language::Language;
use super::words::Words;

/// `problem.html`.
#[derive(Debug, Template)]
#[template(path = "problem.html")]
pub struct ProblemPage {
    frame: Frame,
    heading: String,
    told: String,
    /// What was typed, to be sent again.
    kept: Option<KeptForm>,
}

/// A form that was sent and could not be taken just now: nothing that was typed is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptForm {
    /// Where it goes.
    pub address: String,
    /// Its fields, as they were sent.
    pub fields: Vec<(String, String)>,
}

impl ProblemPage {
    /// What somebody is told.
    #[must_use]
    pub fn new(frame: Frame, heading: &str, told: &str, kept: Option<KeptForm>) -> Self {
        Self { frame, heading: heading.to_owned(), told: told.to_owned(), kept }
    }

    /// What the tests and the designer look at.
    #[must_use]
    pub fn sample(language: Language) -> Self {
        let words = Words::of(language).problems;
        let kept = KeptForm {
            address: "/redeem".to_owned(),
            fields: vec![("code".to_owned(), "7k3qf <on2bx>".to_owned())],
        };
        Self::new(Frame::sample(language, ""), words.heading, words.busy, Some(kept))
    }
}
