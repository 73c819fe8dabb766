//! Wakes those who wait for a node's desired state to change, and forgets what is remembered of such a node. What has changed is
//! in the database; this only says that it is worth looking.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use wiregrant_core::NodeId;

use crate::identities::Identities;

/// One number for each node that ever waited here; it rises with each change. Nodes are enrolled, so they are bounded.
type Waiting = BTreeMap<NodeId, watch::Sender<u64>>;

/// Tells waiting requests of changes.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    waiting: Arc<Mutex<Waiting>>,
    identities: Arc<Identities>,
}

impl Changes {
    /// Tells also what remembers nodes' identities.
    #[must_use]
    pub fn with(identities: Arc<Identities>) -> Self {
        Self { waiting: Arc::default(), identities }
    }

    /// This node's desired state has changed; call it after the commit.
    pub fn of(&self, node: &NodeId) {
        self.identities.forget(node);
        if let Some(changes) = self.waiting().get(node) {
            tell(changes);
        }
    }

    /// Everyone is to look: nobody knows what has changed, or we are about to stop.
    pub fn of_all(&self) {
        self.identities.forget_all();
        self.waiting().values().for_each(tell);
    }

    /// Begins to listen; take it before looking at the present state, so that no change falls in between.
    #[must_use]
    pub fn listen(&self, node: NodeId) -> Listener {
        Listener(self.waiting().entry(node).or_insert_with(|| watch::Sender::new(0)).subscribe())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Whoever panicked holding it left a whole map.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(changes: &watch::Sender<u64>) {
    changes.send_modify(|count| *count = count.wrapping_add(1));
}

/// Waits for changes of one node.
#[derive(Debug)]
pub struct Listener(watch::Receiver<u64>);

impl Listener {
    /// Resolves when the node may have changed since the last call.
    pub async fn changed(&mut self) {
        let _ = self.0.changed().await; // an error: the control plane itself is gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_made_before_waiting_begins_is_not_missed() {
        let changes = Changes::default();
        let mut listener = changes.listen("node-1".parse().unwrap());
        changes.of(&"node-2".parse().unwrap());
        changes.of(&"node-1".parse().unwrap());
        listener.changed().await;
        changes.of_all();
        listener.changed().await;
    }

    #[tokio::test]
    async fn a_change_of_another_node_wakes_nobody() {
        let changes = Changes::default();
        let mut listener = changes.listen("node-1".parse().unwrap());
        changes.of(&"node-2".parse().unwrap());
        assert!(!listener.0.has_changed().unwrap());
        changes.of(&"node-1".parse().unwrap());
        listener.changed().await;
    }
}
