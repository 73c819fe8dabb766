//! How a node signs what it asks of the control plane.
//!
//! A request carries four headers: [`HEADER_NODE`], [`HEADER_TIME`], [`HEADER_NONCE`] and [`HEADER_SIGNATURE`], the last
//! an Ed25519 signature (padded base64) by the node's identity key over this text, which begins unlike any note:
//!
//! ```text
//! wiregrant/request/v1
//! log grants.example/record
//! node node-3kq8
//! method POST
//! path /api/v1/nodes/node-3kq8/reports
//! body <SHA-256 of the body>
//! time 2026-07-06T12:00:00Z
//! nonce <16 random bytes>
//! ```
//!
//! The path carries the query, if any.

use transparency_log::Hash;

use crate::note::{Origin, Salt};
use crate::{NodeId, Timestamp};

/// The node that asks.
pub const HEADER_NODE: &str = "wiregrant-node";
/// When it asked, RFC 3339.
pub const HEADER_TIME: &str = "wiregrant-time";
/// 16 random bytes, padded base64.
pub const HEADER_NONCE: &str = "wiregrant-nonce";
/// The signature, padded base64.
pub const HEADER_SIGNATURE: &str = "wiregrant-signature";

/// How far a request's time may lie from the control plane's, in seconds.
pub const MAX_CLOCK_DISTANCE_SECONDS: u64 = 120;

/// What a node signs when it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The record log of the control plane that is asked.
    pub log: &'a Origin,
    /// The node.
    pub node: &'a NodeId,
    /// The HTTP method, upper case.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// The body, empty if there is none.
    pub body: &'a [u8],
    /// The node's clock.
    pub time: Timestamp,
    /// Never used twice.
    pub nonce: Salt,
}

impl Request<'_> {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let body = Hash::of(self.body);
        let Self { log, node, method, path, time, nonce, .. } = self;
        format!(
            "wiregrant/request/v1\nlog {log}\nnode {node}\nmethod {method}\npath {path}\nbody {body}\ntime {time}\nnonce {nonce}\n"
        )
    }
}
