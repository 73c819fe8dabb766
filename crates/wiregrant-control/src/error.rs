//! `Failure`: the one error of the HTTP side. It becomes an RFC 9457 problem, and what the client may not see is logged, once,
//! here.

use std::fmt::Display;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use wiregrant_core::FactError;
use wiregrant_core::api::{Problem, ProblemKind};
use wiregrant_store::StoreError;

/// What `Retry-After` says where more is asked than can be done at once, in seconds.
const BUSY_SECONDS: u64 = 2;
/// What it says where no node has room: until one is freed, joins or serves again.
const NO_NODE_SECONDS: u64 = 60;

/// Why a request was not fulfilled.
#[derive(Debug, Clone)]
pub struct Failure {
    problem: Box<Problem>,
    /// For the administrator's log alone.
    cause: Option<String>,
}

/// What a handler returns.
pub type Answer<T> = Result<T, Failure>;

impl Failure {
    /// A problem of this kind.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        let failure = Self { problem: Box::new(Problem::new(kind, detail)), cause: None };
        match kind {
            ProblemKind::Busy => failure.retry_after(BUSY_SECONDS),
            ProblemKind::NoNode => failure.retry_after(NO_NODE_SECONDS),
            _ => failure,
        }
    }

    /// A fault of ours: the client learns that there was one, the log learns which.
    #[must_use]
    pub fn internal(cause: impl Display) -> Self {
        let detail = "nothing was changed; try again, and tell the administrator if it stays";
        let problem = Box::new(Problem::new(ProblemKind::Internal, detail));
        Self { problem, cause: Some(cause.to_string()) }
    }

    /// A field that is not of its form.
    #[must_use]
    pub fn field(field: &str, value: impl Display, expected: &str) -> Self {
        Self::new(ProblemKind::InvalidRequest, format!("{field}: {:?} is not {expected}", value.to_string()))
    }

    /// A thing that is not there.
    #[must_use]
    pub fn not_found(what: &str, id: impl Display) -> Self {
        Self::new(ProblemKind::NotFound, format!("{what}: there is no {:?}", id.to_string()))
    }

    /// The same with one more figure for programs.
    #[must_use]
    pub fn with(mut self, name: &str, figure: impl Into<serde_json::Value>) -> Self {
        self.problem = Box::new(self.problem.with(name, figure));
        self
    }

    /// The same, which may be over in so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.problem = Box::new(self.problem.retry_after(seconds));
        self
    }

    /// The same failure for one more client; its cause is logged by whoever met it.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { problem: self.problem.clone(), cause: None }
    }

    /// The problem as the client sees it.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                let failure = Self::new(ProblemKind::Busy, "the database is busy; try again");
                Self { cause: Some(error.to_string()), ..failure }
            }
            other => Self::internal(other),
        }
    }
}

impl From<FactError> for Failure {
    fn from(error: FactError) -> Self {
        Self::new(ProblemKind::InvalidRequest, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if let Some(cause) = &self.cause {
            tracing::error!(kind = %self.problem.kind, cause, "a request failed");
        }
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&*self.problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.problem.retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Problem { title, detail, .. } = &*self.problem;
        write!(f, "{title}: {detail}")?;
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, " ({cause})"))
    }
}
