//! Invitations: what an agent redeems to become a node, once.

use transparency_log::Hash;
use wiregrant_core::{LocationId, NodeId, OperatorId, Timestamp};

use crate::column::row;
use crate::session::db;
use crate::{Read, StoreError, Write};

row! {
    /// An invitation.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Invitation {
        /// Keyed hash of its secret.
        pub secret_hash: Hash,
        /// Whose node it will be.
        pub operator: OperatorId,
        /// Where it stands.
        pub location: LocationId,
        /// Not valid from here on.
        pub expires: Timestamp,
        /// The node it became.
        pub node: Option<NodeId>,
        /// The node that goes on by it under other keys; absent where it is for a new one.
        pub for_node: Option<NodeId>,
    }
}

impl Read {
    /// The invitation whose secret has this keyed hash.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn invitation(&mut self, secret_hash: Hash) -> Result<Option<Invitation>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select secret_hash, operator, location, expires, node, for_node
               from invitations
              where secret_hash = $1",
        )
        .bind(secret_hash.0.as_slice())
        .fetch_optional(connection)
        .await)?)
    }
}

impl Write {
    /// Keeps a new invitation.
    ///
    /// # Errors
    /// [`StoreError::Exists`]; [`StoreError::UnknownReference`] for an unknown operator or location.
    pub async fn insert_invitation(&mut self, invitation: &Invitation) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into invitations (secret_hash, operator, location, expires, node, for_node)
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(invitation.secret_hash.0.as_slice())
        .bind(invitation.operator.as_str())
        .bind(invitation.location.as_str())
        .bind(invitation.expires.unix_seconds())
        .bind(invitation.node.as_ref().map(NodeId::as_str))
        .bind(invitation.for_node.as_ref().map(NodeId::as_str))
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Marks an invitation as used by a node that was inserted before.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none, or a node has used it.
    pub async fn use_invitation(&mut self, secret_hash: Hash, node: &NodeId) -> Result<(), StoreError> {
        let used = db!(self, connection => sqlx::query(
            "update invitations
                set node = $2
              where secret_hash = $1
                and node is null",
        )
        .bind(secret_hash.0.as_slice())
        .bind(node.as_str())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        if used == 0 {
            return Err(StoreError::NotFound { what: "unused invitation", id: format!("for {node}") });
        }
        Ok(())
    }

    /// Forgets invitations that expired before a moment and were used by nobody, and says how many.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn forget_invitations(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        let forgotten = db!(self, connection => sqlx::query(
            "delete from invitations
              where node is null
                and expires < $1",
        )
        .bind(before.unix_seconds())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(forgotten)
    }
}
