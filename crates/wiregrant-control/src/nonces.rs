//! Nonces: which signed requests were taken lately, so that none is taken twice.
//!
//! A request is good while its time lies within [`MAX_CLOCK_DISTANCE_SECONDS`] of this clock; so long its nonce is remembered,
//! and no longer. This memory is the process's: right after a restart on SQLite, what was taken just before it would be taken
//! again, and all that a node can ask for twice is answered alike. Replicas on PostgreSQL keep nonces in the database besides
//! ([`crate::visits`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use wiregrant_core::api::ProblemKind;
use wiregrant_core::note::Salt;
use wiregrant_core::request::{HEADER_NONCE, MAX_CLOCK_DISTANCE_SECONDS};
use wiregrant_core::{NodeId, Timestamp};

use crate::error::{Answer, Failure};

/// The most nonces that are remembered of one node: 17 requests a second for as long as a nonce is remembered at most. A node
/// that asks more is told to come back later.
pub const MAX_NONCES_PER_NODE: usize = 4_096;

/// A request's time, in Unix seconds, and its nonce.
type Taken = (i64, [u8; 16]);

/// What was taken lately.
#[derive(Debug, Default)]
pub struct Nonces(Mutex<BTreeMap<NodeId, BTreeSet<Taken>>>);

impl Nonces {
    /// Takes a request of a node, whose signature and time have been checked.
    ///
    /// # Errors
    /// `request-replayed` for one that was taken before, `busy` for a node that asks too much.
    pub fn take(&self, node: &NodeId, time: Timestamp, nonce: Salt, now: Timestamp) -> Answer<()> {
        // What panicked holding it left a set of nonces, whole or not: none that is good is missing.
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = nodes.entry(node.clone()).or_default();
        let oldest = now.unix_seconds().saturating_sub_unsigned(MAX_CLOCK_DISTANCE_SECONDS);
        *taken = taken.split_off(&(oldest, [0; 16]));
        let request = (time.unix_seconds(), nonce.0);
        if taken.contains(&request) {
            let detail =
                format!("{HEADER_NONCE}: a request with {nonce} was taken before; draw a new one for each");
            return Err(Failure::new(ProblemKind::RequestReplayed, detail));
        }
        if taken.len() >= MAX_NONCES_PER_NODE {
            let detail = format!(
                "{node} has sent {MAX_NONCES_PER_NODE} requests within {} s; try again later",
                MAX_CLOCK_DISTANCE_SECONDS.saturating_mul(2)
            );
            return Err(Failure::new(ProblemKind::Busy, detail).retry_after(MAX_CLOCK_DISTANCE_SECONDS));
        }
        taken.insert(request);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    fn nonce(n: u16) -> Salt {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        Salt(bytes)
    }

    fn kind(taken: Answer<()>) -> Option<String> {
        taken.err().map(|failure| failure.problem().kind.clone())
    }

    #[test]
    fn a_request_is_taken_once_for_as_long_as_its_time_is_good() {
        let (nonces, node) = (Nonces::default(), "node-1".parse().unwrap());
        let replayed = Some("urn:wiregrant:problem:request-replayed".to_owned());
        // Its time is as far ahead as it may be, so it stays good for twice that.
        let time = at(1_120);
        assert_eq!(kind(nonces.take(&node, time, nonce(1), at(1_000))), None);
        for later in [1_000, 1_120, 1_240] {
            assert_eq!(kind(nonces.take(&node, time, nonce(1), at(later))), replayed);
        }
        assert_eq!(kind(nonces.take(&node, time, nonce(2), at(1_000))), None, "another request");
        assert_eq!(
            kind(nonces.take(&"node-2".parse().unwrap(), time, nonce(1), at(1_000))),
            None,
            "another node"
        );
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten_in_time() {
        let (nonces, node) = (Nonces::default(), "node-1".parse().unwrap());
        for n in 0..4_096 {
            assert_eq!(kind(nonces.take(&node, at(1_000), nonce(n), at(1_000))), None);
        }
        let busy = Some("urn:wiregrant:problem:busy".to_owned());
        assert_eq!(kind(nonces.take(&node, at(1_120), nonce(5_000), at(1_120))), busy);
        assert_eq!(kind(nonces.take(&node, at(1_121), nonce(5_000), at(1_121))), None);
        let remembered: Vec<_> = nonces.0.lock().unwrap().values().map(BTreeSet::len).collect();
        assert_eq!(remembered, [1]);
    }
}
