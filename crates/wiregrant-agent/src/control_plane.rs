//! The control plane as the node reaches it: signed requests over HTTPS, each address tried in turn.
//!
//! The table of addresses and shapes is `wiregrant_core::api`; how a request is signed, `wiregrant_core::request`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use data_encoding::BASE64;
use serde::de::DeserializeOwned;
use thiserror::Error;
use transparency_log::{MAX_PROOF_BYTES, SigningKey};
use wiregrant_core::api::{
    Condition, Desired, Join, Joined, NewNodeKey, NewReceipts, PREFIX, Problem, ReportHead,
};
use wiregrant_core::note::{Origin, Salt};
use wiregrant_core::request::{HEADER_NODE, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIME, Request};
use wiregrant_core::{NodeId, Timestamp};

use crate::backoff::CAP;
use crate::pinned::{self, Pin};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take, beyond what it asks the control plane to wait.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest JSON answer: 65,536 desired peers take under 16 MiB.
const MAX_JSON_BYTES: u64 = 32 << 20;
/// The status of a control plane that asks to come back later.
const BUSY: u16 = 503;
/// The longest problem that is read.
const MAX_PROBLEM_BYTES: u64 = 64 << 10;

/// Why a request has no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlPlaneError {
    /// No address answered; the last one's reason.
    #[error("no control plane answers at {urls}: {reason}")]
    Unreachable {
        /// All addresses.
        urls: String,
        /// Why the last one did not.
        reason: String,
    },
    /// The control plane refused.
    #[error("{}: {} ({})", .0.title, .0.detail, .0.kind)]
    Problem(Box<Problem>),
    /// The answer is none of the control plane's.
    #[error("{url}: {reason}")]
    Answer {
        /// Who answered.
        url: String,
        /// What was wrong with it.
        reason: String,
    },
    /// No nonce could be drawn.
    #[error("the system has no randomness: {0}")]
    Randomness(getrandom::Error),
}

impl ControlPlaneError {
    /// How long the control plane asks to wait before the next request, where it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem(problem) => problem.retry_after_seconds().map(Duration::from_secs),
            _ => None,
        }
    }
}

/// What the control plane asks to wait, at most [`CAP`]. A wait drawn by chance comes on top, so that not all nodes return at
/// once.
#[must_use]
pub fn asked_to_wait(error: &anyhow::Error) -> Duration {
    let refusal = error.chain().find_map(|cause| cause.downcast_ref::<ControlPlaneError>());
    refusal.and_then(ControlPlaneError::retry_after).unwrap_or_default().min(CAP)
}

/// Who signs requests.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    /// The record log of the control plane.
    pub log: Origin,
    /// The node.
    pub node: NodeId,
    /// Its key.
    pub key: SigningKey,
}

/// One control plane under several addresses.
#[derive(Debug)]
pub struct ControlPlane {
    urls: Vec<String>,
    /// The address that answered last, tried first.
    preferred: AtomicUsize,
    http: ureq::Agent,
}

/// What is asked.
struct Question<'a> {
    method: &'static str,
    path: &'a str,
    content_type: &'static str,
    body: &'a [u8],
    wait: Duration,
    limit: u64,
}

impl ControlPlane {
    /// A control plane at these addresses, `http://` or `https://`; the latter with the pinned TLS key, where there is one.
    #[must_use]
    pub fn new(urls: &[String], pin: Option<Pin>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // The signature covers the path: a redirected request would be signed for another place.
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .user_agent(concat!("wiregrant-agent/", env!("CARGO_PKG_VERSION")))
            .build();
        let http = pinned::client(config, pin);
        let urls = urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
        Self { urls, preferred: AtomicUsize::new(0), http }
    }

    /// Redeems an invitation.
    ///
    /// # Errors
    /// When nobody answers or the control plane refuses.
    pub fn join(&self, join: &Join) -> Result<Joined, ControlPlaneError> {
        let body = serde_json::to_vec(join).expect("texts and keys serialise");
        let path = format!("{PREFIX}/nodes");
        let content_type = "application/json";
        self.ask_json(
            None,
            &Question {
                method: "POST",
                path: &path,
                content_type,
                body: &body,
                wait: Duration::ZERO,
                limit: MAX_JSON_BYTES,
            },
        )
    }

    /// Announces that another key follows the node's present one.
    ///
    /// # Errors
    /// When nobody answers or the control plane refuses.
    pub fn rekey(&self, node: &NodeId, new: &NewNodeKey) -> Result<(), ControlPlaneError> {
        let body = serde_json::to_vec(new).expect("two texts serialise");
        let path = format!("{PREFIX}/nodes/{node}/rekey");
        let question = Question {
            method: "POST",
            path: &path,
            content_type: "application/json",
            body: &body,
            wait: Duration::ZERO,
            limit: MAX_PROBLEM_BYTES,
        };
        self.ask(None, &question).map(drop)
    }

    /// What the node should be doing; waits up to `wait_seconds` for it to be something else than revision `known`.
    ///
    /// # Errors
    /// When nobody answers or the control plane refuses.
    pub fn desired(
        &self,
        identity: &NodeIdentity,
        now: Timestamp,
        known: u64,
        wait_seconds: u64,
    ) -> Result<Desired, ControlPlaneError> {
        let path = format!(
            "{PREFIX}/nodes/{}/desired?known={known}&wait={wait_seconds}&changes=true",
            identity.node
        );
        self.ask_json(Some((identity, now)), &Question::get(&path, Duration::from_secs(wait_seconds)))
    }

    /// The last report that the control plane has accepted.
    ///
    /// # Errors
    /// When nobody answers or the control plane refuses.
    pub fn head(&self, identity: &NodeIdentity, now: Timestamp) -> Result<ReportHead, ControlPlaneError> {
        let path = format!("{PREFIX}/nodes/{}/head", identity.node);
        self.ask_json(Some((identity, now)), &Question::get(&path, Duration::ZERO))
    }

    /// Delivers a report; the answer is a C2SP tlog-proof, unchecked.
    ///
    /// # Errors
    /// When nobody answers or the control plane refuses.
    pub fn report(
        &self,
        identity: &NodeIdentity,
        now: Timestamp,
        note: &str,
    ) -> Result<String, ControlPlaneError> {
        let path = format!("{PREFIX}/nodes/{}/reports", identity.node);
        let question = Question {
            method: "POST",
            path: &path,
            content_type: "text/plain; charset=utf-8",
            body: note.as_bytes(),
            wait: Duration::ZERO,
            limit: MAX_PROOF_BYTES as u64,
        };
        let (url, answer) = self.ask(Some((identity, now)), &question)?;
        String::from_utf8(answer)
            .map_err(|_| ControlPlaneError::Answer { url, reason: "the acknowledgement is not text".into() })
    }

    /// Shows a restored control plane what it had acknowledged.
    ///
    /// # Errors
    /// When nobody answers or the control plane refuses.
    pub fn receipts(
        &self,
        identity: &NodeIdentity,
        now: Timestamp,
        shown: &NewReceipts,
    ) -> Result<(), ControlPlaneError> {
        let body = serde_json::to_vec(shown).expect("texts serialise");
        let path = format!("{PREFIX}/nodes/{}/receipts", identity.node);
        let question = Question {
            method: "POST",
            path: &path,
            content_type: "application/json",
            body: &body,
            wait: Duration::ZERO,
            limit: MAX_PROBLEM_BYTES,
        };
        self.ask(Some((identity, now)), &question).map(drop)
    }

    /// Says how the node is now.
    ///
    /// # Errors
    /// When nobody answers or the control plane refuses.
    pub fn condition(
        &self,
        identity: &NodeIdentity,
        now: Timestamp,
        condition: &Condition,
    ) -> Result<(), ControlPlaneError> {
        let body = serde_json::to_vec(condition).expect("texts and keys serialise");
        let path = format!("{PREFIX}/nodes/{}/condition", identity.node);
        let question = Question {
            method: "PUT",
            path: &path,
            content_type: "application/json",
            body: &body,
            wait: Duration::ZERO,
            limit: MAX_PROBLEM_BYTES,
        };
        self.ask(Some((identity, now)), &question).map(drop)
    }

    fn ask_json<T: DeserializeOwned>(
        &self,
        signer: Option<(&NodeIdentity, Timestamp)>,
        question: &Question<'_>,
    ) -> Result<T, ControlPlaneError> {
        let (url, answer) = self.ask(signer, question)?;
        serde_json::from_slice(&answer).map_err(|error| ControlPlaneError::Answer {
            url,
            reason: format!("{} is not understood: {error}", question.path),
        })
    }

    /// Asks one address after the other until one gives an answer of the control plane's own. One that is busy may have a
    /// neighbour that is not: what it says counts only where no other says more.
    fn ask(
        &self,
        signer: Option<(&NodeIdentity, Timestamp)>,
        question: &Question<'_>,
    ) -> Result<(String, Vec<u8>), ControlPlaneError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut reason = "it has no address".to_owned();
        let mut busy = None;
        for turn in 0..self.urls.len() {
            let index = (first + turn) % self.urls.len();
            match self.ask_at(&self.urls[index], signer, question)? {
                Attempt::Answer(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok((self.urls[index].clone(), answer));
                }
                Attempt::Refusal(problem) if problem.status == BUSY => busy = Some(problem),
                Attempt::Refusal(problem) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Err(ControlPlaneError::Problem(problem));
                }
                Attempt::None(why) => reason = format!("{}: {why}", self.urls[index]),
            }
        }
        Err(match busy {
            Some(problem) => ControlPlaneError::Problem(problem),
            None => ControlPlaneError::Unreachable { urls: self.urls.join(", "), reason },
        })
    }

    fn ask_at(
        &self,
        url: &str,
        signer: Option<(&NodeIdentity, Timestamp)>,
        question: &Question<'_>,
    ) -> Result<Attempt, ControlPlaneError> {
        let mut request = ureq::http::Request::builder()
            .method(question.method)
            .uri(format!("{url}{}", question.path))
            .header("content-type", question.content_type);
        if let Some((identity, now)) = signer {
            // A nonce of its own for each address: the first may have taken the request and lost the answer.
            for (name, value) in question.signature(identity, now)? {
                request = request.header(name, value);
            }
        }
        let request = match request.body(question.body) {
            Ok(request) => request,
            Err(error) => return Ok(Attempt::None(error.to_string())),
        };
        let timeout = REQUEST_TIMEOUT + question.wait;
        let request = self.http.configure_request(request).timeout_global(Some(timeout)).build();
        let mut response = match self.http.run(request) {
            Ok(response) => response,
            Err(error) => return Ok(Attempt::None(error.to_string())),
        };
        let status = response.status();
        let limit = if status.is_success() { question.limit } else { MAX_PROBLEM_BYTES };
        Ok(match response.body_mut().with_config().limit(limit).read_to_vec() {
            Ok(body) if status.is_success() => Attempt::Answer(body),
            Ok(body) => match serde_json::from_slice(&body) {
                Ok(problem) => Attempt::Refusal(Box::new(problem)),
                // Something before the control plane answered, or something that is none.
                Err(_) => Attempt::None(format!("status {status} without a problem in its body")),
            },
            Err(error) => Attempt::None(error.to_string()),
        })
    }
}

/// What came of asking at one address.
enum Attempt {
    Answer(Vec<u8>),
    Refusal(Box<Problem>),
    None(String),
}

impl<'a> Question<'a> {
    fn get(path: &'a str, wait: Duration) -> Self {
        Self { method: "GET", path, content_type: "application/json", body: &[], wait, limit: MAX_JSON_BYTES }
    }

    fn signature(
        &self,
        identity: &NodeIdentity,
        now: Timestamp,
    ) -> Result<[(&'static str, String); 4], ControlPlaneError> {
        let mut nonce = Salt([0; 16]);
        getrandom::fill(&mut nonce.0).map_err(ControlPlaneError::Randomness)?;
        let request = Request {
            log: &identity.log,
            node: &identity.node,
            method: self.method,
            path: self.path,
            body: self.body,
            time: now,
            nonce,
        };
        let signature = identity.key.sign_bytes(request.text().as_bytes());
        Ok([
            (HEADER_NODE, identity.node.to_string()),
            (HEADER_TIME, now.to_string()),
            (HEADER_NONCE, nonce.to_string()),
            (HEADER_SIGNATURE, BASE64.encode(&signature)),
        ])
    }
}

#[cfg(test)]
mod tests;
