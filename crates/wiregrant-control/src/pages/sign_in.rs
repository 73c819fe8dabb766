//! The page one signs in at. It works without scripts.

use askama::Template;

use super::frame::Frame;
use super::staff;

/// `sign_in.html`.
#[derive(Debug, Clone, Template)]
#[template(path = "sign_in.html")]
pub struct SignIn {
    /// What stands around it.
    pub frame: Frame,
    /// The path to go on to.
    pub next: String,
    /// Who is signed in already.
    pub holder: Option<String>,
    /// Why a token was refused.
    pub refused: Option<String>,
}

impl SignIn {
    /// What the tests and the designer look at.
    #[must_use]
    pub fn sample() -> Self {
        Self {
            frame: staff::frame("Grants <for> free networks", Vec::new(), ""),
            next: "/operator?a=\"b\"".to_owned(),
            holder: Some("Anna <A.>".to_owned()),
            refused: Some("the token is not known here; check that it is whole".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_carries_on_where_one_was_going_and_escapes_everything() {
        let page = SignIn::sample().render().unwrap();
        for part in [
            "action=\"/sign-in\"",
            "value=\"/operator?a=&#34;b&#34;\"",
            "Anna &#60;A.&#62;",
            "check that it is whole",
            "action=\"/sign-out\"",
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
        assert!(!page.contains("<script") && !page.contains("<for>"));
    }

    #[test]
    fn who_is_not_signed_in_cannot_sign_out() {
        let page = SignIn { holder: None, refused: None, ..SignIn::sample() }.render().unwrap();
        assert!(!page.contains("/sign-out") && !page.contains("role=\"alert\""), "{page}");
    }
}
