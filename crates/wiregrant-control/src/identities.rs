//! What is remembered of nodes to know their requests: each has to be checked before anything else, and reading the row each time
//! would cost more than the check. A copy is used for a few seconds at most, and forgotten as soon as the node changes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use transparency_log::Verifier;
use wiregrant_core::{NodeId, OperatorId, Timestamp};
use wiregrant_store::Store;

use crate::error::{Answer, Failure};
use crate::turns::Turns;

/// How long a copy is good, in seconds: so long may a replica that lost its connection for changes take an old key for the node's.
/// What is written in a node's name is checked against the row itself, in the transaction that writes it.
const FRESH_SECONDS: u64 = 5;
/// Nodes remembered at a time, some 300 bytes each.
const MAX_NODES: usize = 65_536;

/// Who a node is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Whose it is.
    pub operator: OperatorId,
    /// Its identity key.
    pub vkey: Verifier,
    /// When its agent last asked for anything, as written.
    pub last_seen: Option<Timestamp>,
    read_at: Timestamp,
}

/// Who the nodes are that asked lately.
#[derive(Debug, Default)]
pub struct Identities {
    nodes: Mutex<BTreeMap<NodeId, Identity>>,
    turns: Turns,
}

impl Identities {
    /// Who the node is; `None` for one that is not known. One that has retired may ask still: that is how it hears of it.
    ///
    /// # Errors
    /// `busy` or `internal`.
    pub async fn of(&self, store: &Store, node: &NodeId, now: Timestamp) -> Answer<Option<Identity>> {
        if let Some(identity) = self.remembered(node, now) {
            return Ok(Some(identity));
        }
        let _turn = self.turns.take().await?;
        // Another request of the node may have looked it up meanwhile.
        if let Some(identity) = self.remembered(node, now) {
            return Ok(Some(identity));
        }
        let Some(row) = store.read().await?.node(node).await? else { return Ok(None) };
        let vkey = row.vkey.parse().map_err(Failure::internal)?;
        let identity = Identity { operator: row.operator, vkey, last_seen: row.last_seen, read_at: now };
        let mut all = self.all();
        if all.len() >= MAX_NODES {
            all.clear();
        }
        all.insert(node.clone(), identity.clone());
        Ok(Some(identity))
    }

    fn remembered(&self, node: &NodeId, now: Timestamp) -> Option<Identity> {
        let remembered = self.all().get(node).cloned();
        remembered.filter(|known| known.read_at.distance_seconds(now) < FRESH_SECONDS)
    }

    /// Notes when a node was seen, after that was written.
    pub fn seen(&self, node: &NodeId, now: Timestamp) {
        if let Some(identity) = self.all().get_mut(node) {
            identity.last_seen = Some(now);
        }
    }

    /// The node has changed.
    pub fn forget(&self, node: &NodeId) {
        self.all().remove(node);
    }

    /// Any node may have changed.
    pub fn forget_all(&self) {
        self.all().clear();
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<NodeId, Identity>> {
        // Whoever panicked holding it left a whole map.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
