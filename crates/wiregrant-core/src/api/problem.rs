//! Errors as RFC 9457 problem details, with a stable type for each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

macro_rules! problems {
    ($($(#[$doc:meta])* $variant:ident $slug:literal $status:literal $title:literal),+ $(,)?) => {
        /// What went wrong. The type is stable; titles may change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum ProblemKind { $($(#[$doc])* $variant),+ }

        impl ProblemKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The last part of the type.
            #[must_use]
            pub fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug),+ }
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// A few words for people.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

problems! {
    /// A field is missing, unknown or not of its form.
    InvalidRequest "invalid-request" 400 "The request is not of the form this address takes",
    /// No token, code or signature, or none that is known.
    Unauthorized "unauthorized" 401 "A valid token is needed",
    /// A browser says that another site is behind the request.
    CrossSite "cross-site" 403 "The request comes from another site",
    /// The token is for something else.
    Forbidden "forbidden" 403 "This token does not allow that",
    /// There is no such thing.
    NotFound "not-found" 404 "There is no such thing",
    /// It exists already, and differs.
    AlreadyExists "already-exists" 409 "It exists already",
    /// It contradicts what is.
    Conflict "conflict" 409 "It contradicts the present state",
    /// The body is longer than allowed.
    TooLarge "too-large" 413 "The body is too large",
    /// What was sent looks like a private key or a seed.
    LooksLikeASecret "looks-like-a-secret" 422 "That looks like a private key; it was not kept",
    /// The address is none that can be paid here.
    Address "address" 422 "The address cannot be paid",
    /// The invitation is unknown, used or expired.
    Invitation "invitation" 410 "The invitation is not valid",
    /// A distributor may not issue so much.
    Budget "budget" 409 "The distributor's budget does not allow that",
    /// The access code is unknown.
    AccessCode "access-code" 404 "The access code is not known",
    /// The access code has expired.
    AccessCodeExpired "access-code-expired" 410 "The access code has expired",
    /// The access code has all its devices.
    AccessCodeUsedUp "access-code-used-up" 409 "The access code has all its devices",
    /// No node has room.
    NoNode "no-node" 503 "No node has room there at the moment",
    /// A node's request is not signed by its key.
    RequestSignature "request-signature" 401 "The request's signature does not hold",
    /// A node's clock is too far off.
    RequestClock "request-clock" 401 "The request's time is too far off",
    /// A node's request was taken before.
    RequestReplayed "request-replayed" 401 "The request was taken before",
    /// The text is no usage report.
    ReportForm "report-form" 422 "That is no usage report",
    /// The report's signature does not hold.
    ReportSignature "report-signature" 422 "The report's signature does not hold",
    /// The report is for another log.
    ReportOtherLog "report-other-log" 422 "The report is for another control plane",
    /// The report is of another node or operator.
    ReportOtherNode "report-other-node" 422 "The report is of another node",
    /// The report's sequence number skips.
    ReportGap "report-gap" 409 "A report before this one is missing",
    /// The report follows another one.
    ReportPrevious "report-previous" 409 "The report follows another one than the last accepted",
    /// A total fell.
    ReportTotalFell "report-total-fell" 422 "A total fell",
    /// The report overlaps the last one in time.
    ReportOverlap "report-overlap" 422 "The report begins before the last one ended",
    /// The report's epoch is not one the node may report for.
    ReportEpoch "report-epoch" 422 "The report's epoch does not fit",
    /// The report ends in the future.
    ReportClock "report-clock" 422 "The report ends in the future",
    /// Another text stands under this sequence number; the node is frozen.
    ReportForked "report-forked" 409 "Another report stands under this sequence number",
    /// The node is frozen.
    NodeFrozen "node-frozen" 409 "The node is frozen until a person decides",
    /// The epoch cannot be closed yet.
    EpochNotOver "epoch-not-over" 409 "The epoch cannot be closed yet",
    /// Nothing can be paid.
    NothingPayable "nothing-payable" 409 "There is nothing to pay",
    /// The coins do not suffice, or cannot be used.
    Coins "coins" 422 "The coins cannot pay this batch",
    /// What was declared does not pay the batch.
    Payment "payment" 422 "That does not pay this batch",
    /// The request's own name was used for another one, or that one's answer is not known.
    IdempotencyKey "idempotency-key" 409 "The idempotency key stands for another request",
    /// Too many requests with the same credential.
    TooMany "too-many-requests" 429 "Too many requests; wait a little",
    /// The queue is full.
    Busy "busy" 503 "Too much is waiting; try again",
    /// The control plane was restored from a backup, and signs nothing yet.
    CatchingUp "catching-up" 503 "The control plane was restored and has to catch up first",
    /// The node signs for an origin that has ended; the log that continues it is shown.
    LogContinued "log-continued" 409 "This log goes on under another name",
    /// A fault of the control plane.
    Internal "internal" 500 "The control plane failed; the administrator's log says why",
}

/// An RFC 9457 problem.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// `urn:wiregrant:problem:<slug>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A few words for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What exactly, and the way out.
    pub detail: String,
    /// Figures a program can use.
    #[serde(flatten)]
    pub figures: BTreeMap<String, serde_json::Value>,
}

/// The figure that says after how many seconds the same request may succeed, as the header `Retry-After` does.
const RETRY_AFTER_SECONDS: &str = "retry_after_seconds";

impl Problem {
    /// A problem of this kind.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:wiregrant:problem:{}", kind.slug()),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.into(),
            figures: BTreeMap::new(),
        }
    }

    /// The same problem with one more figure.
    #[must_use]
    pub fn with(mut self, name: &str, figure: impl Into<serde_json::Value>) -> Self {
        self.figures.insert(name.to_owned(), figure.into());
        self
    }

    /// The same problem, which may be over in so many seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with(RETRY_AFTER_SECONDS, seconds)
    }

    /// In how many seconds it may be over, where that is said.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.figures.get(RETRY_AFTER_SECONDS)?.as_u64()
    }

    /// Whether it is of this kind.
    #[must_use]
    pub fn is(&self, kind: ProblemKind) -> bool {
        self.kind.strip_prefix("urn:wiregrant:problem:") == Some(kind.slug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_known_by_its_type_after_a_journey() {
        let problem = Problem::new(ProblemKind::ReportGap, "sequence: the next is 4").with("expected", 4);
        assert_eq!(problem.retry_after_seconds(), None);
        let problem = problem.retry_after(7);
        let json = serde_json::to_string(&problem).unwrap();
        let back: Problem = serde_json::from_str(&json).unwrap();
        assert!(back.is(ProblemKind::ReportGap) && !back.is(ProblemKind::ReportForked));
        assert_eq!(back.figures["expected"], 4);
        assert_eq!(back.retry_after_seconds(), Some(7));
    }

    #[test]
    fn every_kind_has_its_own_type() {
        let slugs: std::collections::BTreeSet<_> = ProblemKind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), ProblemKind::ALL.len());
    }

    #[test]
    fn the_manual_lists_every_type_with_its_status() {
        let manual = include_str!("../../../../docs/api.md");
        for kind in ProblemKind::ALL {
            let row = format!("| `{}` | {} |", kind.slug(), kind.status());
            assert!(manual.contains(&row), "docs/api.md has no row {row:?}");
        }
    }
}
