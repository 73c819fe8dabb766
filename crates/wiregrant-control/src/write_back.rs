//! Has the database's write-ahead log moved into its file beside the requests, where the database needs that.

use std::time::Duration;

use crate::control_plane::Shared;

/// Does it again and again, until told to stop. Closing the database does it for the last time.
pub async fn run(plane: Shared, pause: Duration) {
    let mut stopped = std::pin::pin!(plane.stopped());
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = &mut stopped => return,
        }
        if let Err(error) = plane.store.write_back().await {
            tracing::warn!(%error, "the write-ahead log stays as long as it is; it is tried again");
        }
    }
}
