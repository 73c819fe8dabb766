//! The control plane, as seen by a client of its API.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use data_encoding::HEXLOWER;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};
use wiregrant_core::api::{HEADER_IDEMPOTENCY_KEY, PREFIX, Problem};
use zeroize::Zeroizing;

use crate::command::random;
use crate::failure::{Refused, Usage};
use crate::private_file::{MAX_SECRET_BYTES, read_text};

/// The most bytes an answer may have: a list of a long grant's statements.
const MAX_ANSWER_BYTES: u64 = 256 * 1024 * 1024;
/// Long enough to close an epoch or build a batch of a large grant.
const TIMEOUT: Duration = Duration::from_secs(120);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
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
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .user_agent(concat!("wiregrant/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// Checks and trims the address of a control plane.
///
/// # Errors
/// Says what is taken.
pub fn base_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let good = rest.is_some_and(|rest| !rest.trim_matches('/').is_empty())
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"?#".contains(&b));
    if good {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("give an address such as https://grants.example".to_owned())
    }
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

    /// Creates or changes.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn post<I: Serialize, T: DeserializeOwned>(&self, path: &str, body: &I) -> Result<T> {
        self.read(path, self.send(path, &serde_json::to_vec(body)?, None))
    }

    /// As [`Self::post`], for what the control plane answers alike however often it is sent under one name: an answer lost on
    /// the way is asked for again, and so is one that was refused for a moment only.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn post_repeatable<I: Serialize, T: DeserializeOwned>(&self, path: &str, body: &I) -> Result<T> {
        let body = serde_json::to_vec(body)?;
        let name = HEXLOWER.encode(&random::<16>()?);
        for _ in 1..ATTEMPTS {
            let Ok(answer) = self.send(path, &body, Some(&name)) else { continue };
            let answer = self.read(path, Ok(answer));
            match answer.as_ref().err().and_then(soon) {
                Some(wait) => std::thread::sleep(wait),
                None => return answer,
            }
        }
        self.read(path, self.send(path, &body, Some(&name)))
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

    fn send(&self, path: &str, body: &[u8], name: Option<&str>) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.agent.post(self.address(path)).header("Content-Type", "application/json");
        if let Some(credential) = self.bearer() {
            request = request.header("Authorization", credential.as_str());
        }
        if let Some(name) = name {
            request = request.header(HEADER_IDEMPOTENCY_KEY, name);
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
        let body = read_body(answer.body_mut(), MAX_ANSWER_BYTES)
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

/// The body, or `None` where it is longer than `limit` bytes.
///
/// # Errors
/// Those of the connection.
pub fn read_body(body: &mut Body, limit: u64) -> io::Result<Option<Vec<u8>>> {
    use io::Read as _;
    let mut bytes = Vec::new();
    // The client's own limit is set just above ours, so that ours is the one that speaks.
    let limited = body.with_config().limit(limit.saturating_add(2));
    limited.reader().take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
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

    proptest::proptest! {
        #[test]
        fn an_address_that_is_taken_is_taken_again_unchanged(text in "(https?://)?[a-z./?# :0-9]{0,20}|\\PC{0,30}") {
            if let Ok(address) = base_url(&text) {
                proptest::prop_assert_eq!(base_url(&address), Ok(address));
            }
        }
    }
}
