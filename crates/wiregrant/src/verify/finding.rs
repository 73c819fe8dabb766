//! A finding: something public that does not hold.

use std::fmt::{self, Display};

use serde::Serialize;

/// The most findings that are listed; one cause can break everything that follows from it.
const MAX_FINDINGS: usize = 1_000;
/// The most characters of a stranger's text that a finding repeats.
const MAX_CHARS: usize = 300;

/// What is found where nothing is.
pub const NO_SUCH_FILE: &str = "no such file";

/// What does not hold, where, what should be there and what is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What does not hold.
    pub what: String,
    /// Where it stands.
    #[serde(rename = "where")]
    pub place: String,
    /// What follows from the rest.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Finding {
    /// A finding.
    pub fn new(
        what: impl Into<String>,
        place: impl Into<String>,
        expected: impl Display,
        found: impl Display,
    ) -> Self {
        Self {
            what: what.into(),
            place: place.into(),
            expected: shortened(&expected),
            found: shortened(&found),
        }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, place, expected, found } = self;
        write!(f, "{what}: {place}: expected {expected}, found {found}")
    }
}

fn shortened(text: &impl Display) -> String {
    let text = text.to_string();
    match text.char_indices().nth(MAX_CHARS) {
        None => text,
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

/// The findings of one check, bounded.
#[derive(Debug, Default)]
pub struct Findings {
    all: Vec<Finding>,
    more: usize,
}

impl Findings {
    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        if self.all.len() < MAX_FINDINGS {
            self.all.push(finding);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Adds many.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }

    /// All of them; what passed the bound is counted in one last finding.
    pub fn into_list(mut self) -> Vec<Finding> {
        if self.more > 0 {
            let found = format!("{} more", self.more);
            self.all.push(Finding::new("findings", "the list above", "the end of the list", found));
        }
        self.all
    }
}
