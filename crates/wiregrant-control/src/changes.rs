//! Which nodes' desired states have changed: what wakes the requests that wait for it.

use tokio::sync::broadcast;
use wiregrant_core::NodeId;

/// Changes that a slow waiter may miss before it has to look for itself, which costs it one query.
const BACKLOG: usize = 1_024;

/// Tells waiting requests of changes.
#[derive(Debug, Clone)]
pub struct Changes(broadcast::Sender<Option<NodeId>>);

impl Default for Changes {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl Changes {
    /// This node's desired state has changed; call it after the commit.
    pub fn of(&self, node: &NodeId) {
        let _ = self.0.send(Some(node.clone())); // nobody waits: nobody to tell
    }

    /// Everyone is to look: we are about to stop.
    pub fn of_all(&self) {
        let _ = self.0.send(None);
    }

    /// Begins to listen; take it before looking at the present state, so that no change falls in between.
    #[must_use]
    pub fn listen(&self, node: NodeId) -> Listener {
        Listener { node, changes: self.0.subscribe() }
    }
}

/// Waits for changes of one node.
#[derive(Debug)]
pub struct Listener {
    node: NodeId,
    changes: broadcast::Receiver<Option<NodeId>>,
}

impl Listener {
    /// Resolves when the node may have changed since the last call.
    pub async fn changed(&mut self) {
        loop {
            match self.changes.recv().await {
                Ok(Some(node)) if node != self.node => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => {
                    return;
                }
            }
        }
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
    async fn a_waiter_that_missed_some_looks_for_itself() {
        let changes = Changes::default();
        let mut listener = changes.listen("node-1".parse().unwrap());
        for _ in 0..=BACKLOG {
            changes.of(&"node-2".parse().unwrap());
        }
        listener.changed().await;
    }
}
