//! Keys of nodes that were replaced by others.

use transparency_log::Hash;
use wiregrant_core::usage_report::Backend;
use wiregrant_core::{NodeId, Timestamp, WireGuardPublicKey};

use crate::column::row;
use crate::nodes::expect_node;
use crate::session::db;
use crate::{Read, StoreError, Write};

row! {
    /// One identity key in place of another.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Rekey {
        /// The note that says so.
        pub note_hash: Hash,
        /// Whose keys.
        pub node: NodeId,
        /// The key that ended, 32 bytes.
        pub former_key: [u8; 32],
        /// The key that followed, 32 bytes.
        pub identity_key: [u8; 32],
        /// When.
        pub rekeyed_at: Timestamp,
    }
}

/// A node that was set up anew.
#[derive(Debug, Clone)]
pub struct NodeSetUpAnew {
    /// Its WireGuard key.
    pub wireguard_public_key: WireGuardPublicKey,
    /// Where clients reach it.
    pub endpoint: String,
    /// The agent's version.
    pub agent: String,
    /// Which WireGuard it has.
    pub backend: Backend,
}

impl Read {
    /// What became of a key that was replaced; `None` for one that was not.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn rekey_of(&mut self, former_key: &[u8; 32]) -> Result<Option<Rekey>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select note_hash, node, former_key, identity_key, rekeyed_at
               from rekeys
              where former_key = $1",
        )
        .bind(former_key.as_slice())
        .fetch_optional(connection)
        .await)?)
    }
}

impl Read {
    /// The keys of a node that were replaced, in no order.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn rekeys_of_node(&mut self, node: &NodeId) -> Result<Vec<Rekey>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select note_hash, node, former_key, identity_key, rekeyed_at
               from rekeys
              where node = $1",
        )
        .bind(node.as_str())
        .fetch_all(connection)
        .await)?)
    }
}

impl Write {
    /// Replaces the node's identity key, and moves its revision up.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for a key that a node has, or a former one that was replaced before; [`StoreError::NotFound`].
    pub async fn rekey_node(&mut self, rekey: &Rekey, vkey: &str) -> Result<(), StoreError> {
        let replaced = db!(self, connection => sqlx::query(
            "update nodes
                set vkey = $2, identity_key = $3, revision = revision + 1
              where node = $1
                and identity_key = $4",
        )
        .bind(rekey.node.as_str())
        .bind(vkey)
        .bind(rekey.identity_key.as_slice())
        .bind(rekey.former_key.as_slice())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        expect_node(&rekey.node, (replaced > 0).then_some(()))?;
        db!(self, connection => sqlx::query(
            "insert into rekeys (note_hash, node, former_key, identity_key, rekeyed_at)
             values ($1, $2, $3, $4, $5)",
        )
        .bind(rekey.note_hash.0.as_slice())
        .bind(rekey.node.as_str())
        .bind(rekey.former_key.as_slice())
        .bind(rekey.identity_key.as_slice())
        .bind(rekey.rekeyed_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Takes up what a node that was set up anew says of itself, and moves its revision up. It has to be reached again before a
    /// device is placed on it.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for a WireGuard key that another node has; [`StoreError::NotFound`].
    pub async fn set_up_anew(&mut self, node: &NodeId, anew: &NodeSetUpAnew) -> Result<(), StoreError> {
        let set = db!(self, connection => sqlx::query(
            "update nodes
                set wireguard_public_key = $2, endpoint = $3, agent = $4, backend = $5, reached_endpoint = null,
                    revision = revision + 1
              where node = $1",
        )
        .bind(node.as_str())
        .bind(anew.wireguard_public_key.as_bytes().as_slice())
        .bind(anew.endpoint.as_str())
        .bind(anew.agent.as_str())
        .bind(anew.backend.as_str())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        expect_node(node, (set > 0).then_some(()))
    }
}
