//! Hearing: what other replicas commit wakes whoever waits here. Notifications may be lost with the connection, so after each
//! reconnection everyone looks for themselves; nothing depends on one having come.

use std::time::Duration;

use wiregrant_store::{Change, Changes};

use crate::control_plane::{ControlPlane, Shared};

/// How long to wait before the database is asked again that could not be reached, in seconds.
const RETRY_SECONDS: u64 = 1;

/// Hears of changes until told to stop. Not for SQLite, which has no other process.
pub async fn run(plane: Shared) {
    let mut stopped = std::pin::pin!(plane.stopped());
    let mut changes: Option<Changes> = None;
    loop {
        tokio::select! {
            () = &mut stopped => return,
            heard = turn(&plane, changes.take()) => changes = heard,
        }
    }
}

async fn turn(plane: &ControlPlane, changes: Option<Changes>) -> Option<Changes> {
    let mut changes = match changes {
        Some(changes) => changes,
        None => match plane.store.changes().await {
            Ok(Some(changes)) => {
                // Whatever was committed before it listened was not heard.
                heard(plane, &Change::Anything);
                changes
            }
            Ok(None) => return std::future::pending().await,
            Err(error) => return wait(&error).await,
        },
    };
    match changes.next().await {
        Ok(change) => {
            heard(plane, &change);
            Some(changes)
        }
        Err(error) => wait(&error).await,
    }
}

async fn wait(error: &wiregrant_store::StoreError) -> Option<Changes> {
    tracing::debug!(%error, "changes of other replicas cannot be heard");
    tokio::time::sleep(Duration::from_secs(RETRY_SECONDS)).await;
    None
}

fn heard(plane: &ControlPlane, change: &Change) {
    match change {
        Change::Node(node) => plane.changes.of(node),
        Change::Record => plane.publish.notify_one(),
        Change::Anything => {
            plane.changes.of_all();
            plane.publish.notify_one();
        }
    }
}
