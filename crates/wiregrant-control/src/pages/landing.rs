//! The landing page: what this is, and the grants it has.

use askama::Template;

use super::frame::Frame;

/// One grant on the landing page.
#[derive(Debug, Clone)]
pub struct GrantSummary {
    /// Its id, which is in the address of its report.
    pub grant: String,
    /// For people.
    pub title: String,
    /// How many epochs have a statement, and of how many.
    pub epochs_closed: usize,
    /// How many epochs it has.
    pub epochs: u64,
    /// Sats earned so far, for people.
    pub earned: String,
    /// Credited traffic so far, in decimal GB.
    pub traffic: String,
    /// Whether its terms are for showing, not for paying.
    pub demonstration: bool,
}

/// `landing.html`.
#[derive(Debug, Clone, Template)]
#[template(path = "landing.html")]
pub struct Landing {
    /// What stands around it; the site's title among it.
    pub frame: Frame,
    /// The record log's origin.
    pub origin: String,
    /// Where `wiregrant verify` finds all this.
    pub url: String,
    /// The grants.
    pub grants: Vec<GrantSummary>,
}

impl Landing {
    /// What the tests and the designer look at.
    #[must_use]
    pub fn sample() -> Self {
        Self {
            frame: Frame::public("Grants <for> free networks", "./"),
            origin: "grants.example/record".to_owned(),
            url: "https://grants.example".to_owned(),
            grants: vec![GrantSummary {
                grant: "spring".to_owned(),
                title: "Spring & summer".to_owned(),
                epochs_closed: 2,
                epochs: 12,
                earned: "1\u{202f}000\u{202f}000".to_owned(),
                traffic: "412.00 GB".to_owned(),
                demonstration: true,
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_landing_page_names_its_grants_and_escapes_their_titles() {
        let page = Landing::sample().render().unwrap();
        for part in ["r/spring/", "Spring &#38; summer", "2 of 12", "wiregrant verify https://grants.example"]
        {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
        assert!(!page.contains("<for>") && !page.contains("<script"));
    }

    #[test]
    fn a_landing_page_without_grants_says_so() {
        let page = Landing { grants: vec![], ..Landing::sample() }.render().unwrap();
        assert!(page.contains("No grant is open yet"), "{page}");
    }
}
