//! The control plane, as seen by a client of its API.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use data_encoding::HEXLOWER;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};
use wiregrant_chain::http;
use wiregrant_core::api::{HEADER_IDEMPOTENCY_KEY, List, PREFIX, Problem};
use zeroize::Zeroizing;

use crate::command::random;
use crate::failure::{Refused, Usage};
use crate::private_file::{MAX_SECRET_BYTES, read_text};

/// The most bytes an answer may have: a list of a long grant's statements.
const MAX_ANSWER_BYTES: u64 = 256 * 1024 * 1024;
/// Long enough to close an epoch or build a batch of a large grant.
const TIMEOUT: Duration = Duration::from_secs(120);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Pages of one list: with a thousand things each, more than a control plane holds.
const MAX_PAGES: usize = 10_000;
/// How often a request is sent that may be repeated without harm.
const ATTEMPTS: usize = 3;

/// How long a person at a terminal waits for a control plane that asks for a moment, each time.
const PATIENCE: Duration = Duration::from_secs(5);

/// A control plane and who we are to it.
pub struct ControlPlane {
    agent: Agent,
    base: String,
    credential: Option<Zeroizing<String>>,
}

/// An HTTP client with this program's limits. A status is an answer and not an error; redirects are not followed, so that
/// a token goes only where its owner sent it.
pub fn http_agent() -> Agent {
    http::client(TIMEOUT, CONNECT_TIMEOUT)
}

/// Checks and trims the address of a control plane.
///
/// # Errors
/// Says what is taken.
pub fn base_url(text: &str) -> Result<String, String> {
    http::checked_url(text).map_err(|_| "give an address such as https://grants.example".to_owned())
}

impl ControlPlane {
    /// The control plane at `url`, signing in with the token in `token_file` where one is given.
    ///
    /// # Errors
    /// [`Usage`] without an address; a token file that cannot be read or holds no token.
    pub fn open(url: Option<&str>, token_file: Option<&Path>) -> Result<Self> {
        let token = |path: &Path| {
            let text = Zeroizing::new(read_text(path, MAX_SECRET_BYTES)?);
            let token = text.trim();
            if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
                bail!("--token-file: {} does not hold a token (one line without spaces)", path.display());
            }
            Ok(Zeroizing::new(token.to_owned()))
        };
        Self::with_credential(url, token_file.map(token).transpose()?)
    }

    /// The control plane at `url`, signing in with a token or an access code.
    ///
    /// # Errors
    /// [`Usage`] without an address.
    pub fn with_credential(url: Option<&str>, credential: Option<Zeroizing<String>>) -> Result<Self> {
        let base = url.ok_or_else(|| {
            Usage("--url: no control plane is named; give --url or set WIREGRANT_URL".to_owned())
        })?;
        Ok(Self { agent: http_agent(), base: base.to_owned(), credential })
    }

    /// Reads.
    ///
    /// # Errors
    /// [`Refused`], or no answer, or none that can be read.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let mut request = self.agent.get(self.address(path));
        if let Some(credential) = self.bearer() {
            request = request.header("Authorization", credential.as_str());
        }
        self.read(path, request.call())
    }

    /// Reads a whole list, page by page.
    ///
    /// # Errors
    /// As [`Self::get`], and more pages than there may be.
    pub fn list<T: DeserializeOwned>(&self, path: &str) -> Result<List<T>> {
        let mut items = Vec::new();
        let mut next = Some(path.to_owned());
        for _ in 0..MAX_PAGES {
            let Some(path) = next else { return Ok(List { items }) };
            let mut request = self.agent.get(self.address(&path));
            if let Some(credential) = self.bearer() {
                request = request.header("Authorization", credential.as_str());
            }
            let answer = request.call();
            next = answer.as_ref().ok().and_then(|answer| {
                next_page(answer.headers().get("link")?.to_str().ok()?).map(str::to_owned)
            });
            let List { items: more } = self.read(&path, answer)?;
            items.extend::<Vec<T>>(more);
        }
        bail!("{} has more than {MAX_PAGES} pages", self.address(path))
    }

    /// Creates or changes. What is asked has a name of its own, under which the control plane does nothing twice and answers
    /// alike: an answer lost on the way is asked for again, and so is one that was refused for a moment only.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn post<I: Serialize, T: DeserializeOwned>(&self, path: &str, body: &I) -> Result<T> {
        let body = serde_json::to_vec(body)?;
        let name = HEXLOWER.encode(&random::<16>()?);
        for _ in 1..ATTEMPTS {
            let Ok(answer) = self.send(path, &body, &name) else { continue };
            let answer = self.read(path, Ok(answer));
            match answer.as_ref().err().and_then(soon) {
                Some(wait) => std::thread::sleep(wait),
                None => return answer,
            }
        }
        self.read(path, self.send(path, &body, &name))
    }

    /// Puts something in the place of what was there; twice is as good as once.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn put<I: Serialize, T: DeserializeOwned>(&self, path: &str, body: &I) -> Result<T> {
        let body = serde_json::to_vec(body)?;
        let mut request = self.agent.put(self.address(path)).header("Content-Type", "application/json");
        if let Some(credential) = self.bearer() {
            request = request.header("Authorization", credential.as_str());
        }
        self.read(path, request.send(&body[..]))
    }

    /// Removes, and reads what is answered.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.read(path, self.send_delete(path))
    }

    /// Removes; there is nothing to read.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn remove(&self, path: &str) -> Result<()> {
        self.accepted(path, self.send_delete(path)).map(|_| ())
    }

    fn address(&self, path: &str) -> String {
        format!("{}{PREFIX}{path}", self.base)
    }

    fn bearer(&self) -> Option<Zeroizing<String>> {
        self.credential.as_ref().map(|credential| Zeroizing::new(format!("Bearer {}", credential.as_str())))
    }

    fn send(&self, path: &str, body: &[u8], name: &str) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.agent.post(self.address(path)).header("Content-Type", "application/json");
        request = request.header(HEADER_IDEMPOTENCY_KEY, name);
        if let Some(credential) = self.bearer() {
            request = request.header("Authorization", credential.as_str());
        }
        request.send(body)
    }

    fn send_delete(&self, path: &str) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.agent.delete(self.address(path));
        if let Some(credential) = self.bearer() {
            request = request.header("Authorization", credential.as_str());
        }
        request.call()
    }

    fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<T> {
        let body = self.accepted(path, answer)?;
        serde_json::from_slice(&body).with_context(|| {
            format!(
                "{} answered with something else than this version of wiregrant reads",
                self.address(path)
            )
        })
    }

    /// The body of an answer that is a success.
    fn accepted(&self, path: &str, answer: Result<Response<Body>, ureq::Error>) -> Result<Vec<u8>> {
        let address = self.address(path);
        let mut answer = answer.map_err(|e| anyhow!("{address} cannot be reached: {e}"))?;
        let body = http::read_body(answer.body_mut(), MAX_ANSWER_BYTES)
            .with_context(|| format!("the answer of {address} broke off"))?
            .with_context(|| format!("{address} answered with more than {MAX_ANSWER_BYTES} bytes"))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(body);
        }
        if let Ok(problem) = serde_json::from_slice::<Problem>(&body) {
            return Err(Refused(problem).into());
        }
        bail!(unexplained(&address, status, answer.headers().get("location").and_then(|l| l.to_str().ok())))
    }
}

/// The path below [`PREFIX`] that a link leads on to. Only ever there: a token goes nowhere else.
fn next_page(link: &str) -> Option<&str> {
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').any(|parameter| parameter.trim() == "rel=\"next\"");
    target.strip_prefix(PREFIX).filter(|path| is_next && path.starts_with('/'))
}

/// How long until what was refused may succeed, where that is soon enough to wait for.
fn soon(error: &anyhow::Error) -> Option<Duration> {
    let Refused(problem) = error.downcast_ref()?;
    problem.retry_after_seconds().map(Duration::from_secs).filter(|wait| *wait <= PATIENCE)
}

fn unexplained(address: &str, status: StatusCode, location: Option<&str>) -> String {
    match location {
        Some(location) => {
            format!("{address} answered {status}: it points to {location}; give that address to --url")
        }
        None => format!("{address} answered {status} and no reason: is --url a wiregrant control plane?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_and_loses_its_last_slash() {
        assert_eq!(base_url("http://127.0.0.1:8080/").unwrap(), "http://127.0.0.1:8080");
        for bad in ["", "grants.example", "ftp://x", "https://", "https:///", "https://a b", "https://a?x"] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_link_leads_on_to_the_same_api_and_nowhere_else() {
        assert_eq!(
            next_page("</api/v1/nodes?limit=2&cursor=YQ>; rel=\"next\""),
            Some("/nodes?limit=2&cursor=YQ")
        );
        for other in [
            "<https://evil.example/api/v1/nodes>; rel=\"next\"",
            "</api/v1/nodes>; rel=\"prev\"",
            "</api/v1@evil.example>; rel=\"next\"",
            "/api/v1/nodes",
            "",
        ] {
            assert_eq!(next_page(other), None, "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_link_makes_the_parser_panic(link in "[<>;/ a-z0-9=\"]{0,40}|\\PC{0,40}") {
            let _ = next_page(&link);
        }

        #[test]
        fn an_address_that_is_taken_is_taken_again_unchanged(text in "(https?://)?[a-z./?# :0-9]{0,20}|\\PC{0,30}") {
            if let Ok(address) = base_url(&text) {
                proptest::prop_assert_eq!(base_url(&address), Ok(address));
            }
        }
    }
}
