//! `Sheet`: a form of the pages for staff. It shows again what was typed, and says beside the field what is wrong with it: refusals
//! of the API begin with the name of their field, and a field of a sheet has that very name.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;
use wiregrant_core::api::ProblemKind;

use crate::error::{Answer, Failure};

/// What a form sent, as it was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Typed(Vec<(String, String)>);

impl Typed {
    /// Every field that was sent, in its order.
    #[must_use]
    pub fn into_fields(self) -> Vec<(String, String)> {
        self.0
    }

    /// What was typed into a field, without the spaces around it; nothing where the form has no such field.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(named, _)| named == name).map_or("", |(_, value)| value.trim())
    }

    /// A text of several lines, with the line feeds that the record and people's tools use.
    #[must_use]
    pub fn lines(&self, name: &str) -> String {
        self.text(name).replace("\r\n", "\n")
    }

    /// Everything that was chosen in a field of which several can be.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(named, _)| named == name).map(|(_, value)| value.as_str())
    }

    /// What was typed, read.
    ///
    /// # Errors
    /// `invalid-request`, which names the field.
    pub fn read<T: FromStr>(&self, name: &str, expected: &str) -> Answer<T> {
        let text = self.text(name);
        text.parse().map_err(|_| Failure::field(name, text, expected))
    }

    /// The same, where an empty field means that there is none.
    ///
    /// # Errors
    /// As [`Typed::read`].
    pub fn read_if_any<T: FromStr>(&self, name: &str, expected: &str) -> Answer<Option<T>> {
        if self.text(name).is_empty() { Ok(None) } else { self.read(name, expected).map(Some) }
    }

    /// What was typed, read by a parser that says what it takes.
    ///
    /// # Errors
    /// As [`Typed::read`].
    pub fn quantity<T, E: Display>(&self, name: &str, parse: impl Fn(&str) -> Result<T, E>) -> Answer<T> {
        let text = self.text(name);
        parse(text).map_err(|takes| {
            let detail = format!("{name}: {text:?} is not one: {takes}");
            Failure::new(ProblemKind::InvalidRequest, detail)
        })
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Typed {
    fn from(typed: [(&str, &str); N]) -> Self {
        Self(typed.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }
}

/// How a field is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A line of text.
    Line,
    /// Several lines of text.
    Lines,
    /// One of these, each with what it says.
    One(Vec<(String, String)>),
    /// Any number of these.
    Any(Vec<String>),
    /// Yes or no.
    Tick,
}

/// A field of a sheet.
#[derive(Debug, Clone)]
pub struct Field {
    /// What it is called in the form that is sent.
    pub name: &'static str,
    /// What people read.
    pub label: &'static str,
    /// More of it, where that helps.
    pub hint: &'static str,
    /// How it is filled in.
    pub kind: Kind,
    /// What stands in it.
    pub values: Vec<String>,
    /// What is wrong with it.
    pub told: Option<String>,
}

impl Field {
    fn new(name: &'static str, label: &'static str, kind: Kind) -> Self {
        Self { name, label, hint: "", kind, values: Vec::new(), told: None }
    }

    /// A line of text.
    #[must_use]
    pub fn line(name: &'static str, label: &'static str) -> Self {
        Self::new(name, label, Kind::Line)
    }

    /// Several lines of text.
    #[must_use]
    pub fn lines(name: &'static str, label: &'static str) -> Self {
        Self::new(name, label, Kind::Lines)
    }

    /// One of several, which say what they are.
    #[must_use]
    pub fn one(name: &'static str, label: &'static str, choices: &[impl Display]) -> Self {
        let choices = choices.iter().map(|choice| (choice.to_string(), choice.to_string()));
        Self::new(name, label, Kind::One(choices.collect()))
    }

    /// One of several, each with a text of its own.
    #[must_use]
    pub fn named(name: &'static str, label: &'static str, choices: &[(&str, &str)]) -> Self {
        let choices = choices.iter().map(|(value, says)| ((*value).to_owned(), (*says).to_owned()));
        Self::new(name, label, Kind::One(choices.collect()))
    }

    /// Any number of these.
    #[must_use]
    pub fn any(name: &'static str, label: &'static str, choices: &[impl Display]) -> Self {
        Self::new(name, label, Kind::Any(choices.iter().map(ToString::to_string).collect()))
    }

    /// Yes or no.
    #[must_use]
    pub fn tick(name: &'static str, label: &'static str) -> Self {
        Self::new(name, label, Kind::Tick)
    }

    /// The same with more words.
    #[must_use]
    pub fn hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    /// The same with this in it.
    #[must_use]
    pub fn value(self, value: impl Display) -> Self {
        Self { values: vec![value.to_string()], ..self }
    }

    /// What stands in it.
    #[must_use]
    pub fn text(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }

    /// Whether this choice is made.
    #[must_use]
    pub fn has(&self, value: &str) -> bool {
        self.values.iter().any(|chosen| chosen == value)
    }
}

/// A form.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// What the ids of its fields begin with; one of its own for each sheet of a page.
    pub id: String,
    /// Its fields, in their order.
    pub fields: Vec<Field>,
    /// What is wrong with it as a whole.
    pub told: Option<String>,
}

impl Sheet {
    /// A sheet to fill in.
    #[must_use]
    pub fn new(id: impl Into<String>, fields: Vec<Field>) -> Self {
        Self { id: id.into(), fields, told: None }
    }

    /// The same as it was sent: nothing that was typed is lost.
    #[must_use]
    pub fn typed(mut self, typed: &Typed) -> Self {
        for field in &mut self.fields {
            field.values = typed.all(field.name).map(str::to_owned).collect();
        }
        self
    }

    /// The same with why it was refused: beside the field that the refusal names, or above all of them.
    #[must_use]
    pub fn refused(mut self, failure: &Failure) -> Self {
        let detail = &failure.problem().detail;
        let (named, says) = detail.split_once(": ").unwrap_or(("", detail));
        // `quota_bytes, count: …` is about the first that the sheet has.
        let field = named.split(", ").find_map(|name| {
            let name = name.split(['[', '.']).next().unwrap_or(name);
            self.fields.iter().position(|field| field.name == name)
        });
        match field {
            Some(at) => {
                self.fields[at].told = Some(says.to_owned());
                // What looks like a key of a wallet is kept nowhere, not even on the page that it was typed into.
                if failure.problem().is(ProblemKind::LooksLikeASecret) {
                    self.fields[at].values.clear();
                }
            }
            None => self.told = Some(detail.clone()),
        }
        self
    }

    /// Whether anything in it was refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.told.is_some() || self.fields.iter().any(|field| field.told.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        Sheet::new("new", vec![Field::line("operator", "Id"), Field::line("vkey", "Key")])
    }

    #[test]
    fn a_refusal_stands_beside_the_field_it_names_and_what_was_typed_is_kept() {
        let typed = Typed::from([("operator", " Nord licht "), ("vkey", "<key>")]);
        let refused =
            sheet().typed(&typed).refused(&typed.read::<u64>("operator", "an id").expect_err("no number"));
        assert_eq!(refused.fields[0].text(), " Nord licht ");
        assert_eq!(refused.fields[0].told.as_deref(), Some("\"Nord licht\" is not an id"));
        assert_eq!(
            (refused.fields[1].text(), &refused.fields[1].told, &refused.told),
            ("<key>", &None, &None)
        );
        assert!(refused.is_refused());
    }

    #[test]
    fn what_names_no_field_of_the_sheet_stands_above_it() {
        for detail in ["the database is busy; try again", "grant: there is no \"x\""] {
            let refused = sheet().refused(&Failure::new(ProblemKind::Busy, detail));
            assert_eq!(refused.told.as_deref(), Some(detail));
        }
        let both = Failure::new(ProblemKind::Budget, "count, vkey: too many");
        assert_eq!(sheet().refused(&both).fields[1].told.as_deref(), Some("too many"));
    }

    #[test]
    fn what_looks_like_a_key_of_a_wallet_is_not_shown_again() {
        let typed = Typed::from([("operator", "nordlicht"), ("vkey", "xprv9s21Z")]);
        let failure = Failure::new(ProblemKind::LooksLikeASecret, "vkey: that is a private key");
        let refused = sheet().typed(&typed).refused(&failure);
        assert_eq!((refused.fields[0].text(), refused.fields[1].text()), ("nordlicht", ""));
    }
}
