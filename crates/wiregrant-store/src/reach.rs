//! Reach: with which endpoints of nodes a WireGuard handshake was completed. Only the last is kept.

use wiregrant_core::{NodeId, Timestamp, WireGuardPublicKey};

use crate::column::row;
use crate::nodes::expect_node;
use crate::session::db;
use crate::{Read, StoreError, Write};

/// The most nodes given at once.
const MOST_NODES: i64 = 1000;

row! {
    /// A node whose endpoint nobody has reached yet.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Unreached {
        /// The id.
        pub node: NodeId,
        /// Its WireGuard key.
        pub wireguard_public_key: WireGuardPublicKey,
        /// Where clients shall reach it.
        pub endpoint: String,
    }
}

impl Read {
    /// Active nodes that were seen at `seen_since` or later and whose endpoint was not reached since they named it, at most a
    /// thousand, by id.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn unreached_nodes(&mut self, seen_since: Timestamp) -> Result<Vec<Unreached>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select node, wireguard_public_key, endpoint
               from nodes
              where state = 'active'
                and last_seen >= $1
                and (reached_endpoint is null or reached_endpoint <> endpoint)
              order by node
              limit $2",
        )
        .bind(seen_since.unix_seconds())
        .bind(MOST_NODES)
        .fetch_all(connection)
        .await)?)
    }
}

impl Write {
    /// Notes that a handshake with the node was completed at this endpoint.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_reached(&mut self, node: &NodeId, endpoint: &str) -> Result<(), StoreError> {
        let set = db!(self, connection => sqlx::query(
            "update nodes
                set reached_endpoint = $2
              where node = $1",
        )
        .bind(node.as_str())
        .bind(endpoint)
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        expect_node(node, (set > 0).then_some(()))
    }
}
