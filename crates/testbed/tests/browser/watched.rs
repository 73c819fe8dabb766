//! A browser that is watched: where its requests go, and what it complains of.

use std::ops::Deref;

use testbed::browser::{Browser, Setup};
use testbed::control_plane;
use testbed::host::Host;
use testbed::world::World;

/// A browser in a person's host.
pub struct Watched {
    browser: Browser,
    requests: Vec<(String, String)>,
}

impl Deref for Watched {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.browser
    }
}

impl Watched {
    pub fn start(world: &World, host: &Host, setup: &Setup) -> Self {
        let browser = Browser::start(&world.programs, host, setup, &world.logs).expect("a browser");
        Self { browser, requests: Vec::new() }
    }

    /// Nothing went anywhere but to the control plane, nothing was refused by the policy, no script failed.
    #[track_caller]
    pub fn check(&mut self) {
        self.requests.extend(self.browser.requests().unwrap());
        assert!(!self.requests.is_empty());
        for (address, _) in &self.requests {
            let own = [control_plane::url().as_str(), "blob:", "data:", "chrome://", "about:"]
                .iter()
                .any(|start| address.starts_with(start));
            assert!(own, "a request to {address}");
        }
        let complaints = self.browser.complaints().unwrap();
        // A refused form is an answer of 4xx or 5xx, which the console mentions.
        let faults: Vec<_> = complaints
            .iter()
            .filter(|line| !line.contains("the server responded with a status of"))
            .collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    /// No request so far had this in its address or its body, in any of the forms that it might be sent in.
    #[track_caller]
    pub fn never_sent(&mut self, secret: &str) {
        self.check();
        let forms = [secret.to_owned(), secret.replace('=', "%3D").replace('+', "%2B").replace('/', "%2F")];
        for (address, body) in &self.requests {
            for form in &forms {
                assert!(!address.contains(form) && !body.contains(form), "the secret is in {address} {body}");
            }
        }
        let sent = self.requests.iter().any(|(_, body)| body.contains("public_key="));
        assert!(sent, "bodies are seen at all: {:?}", self.requests);
    }
}
