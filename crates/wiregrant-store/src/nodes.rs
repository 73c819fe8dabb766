//! Nodes: their keys, their state, their place in the address pools.

use sqlx::QueryBuilder;
use wiregrant_core::api::{NodeState, Pause};
use wiregrant_core::usage_report::Backend;
use wiregrant_core::{LocationId, NodeId, OperatorId, Timestamp, WireGuardPublicKey};

use crate::column::{bigint, node_state_word, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

/// Nodes of one update.
const NODES_PER_UPDATE: usize = 500;

row! {
    /// A node.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Node {
        /// The id.
        pub node: NodeId,
        /// Whose it is.
        pub operator: OperatorId,
        /// Where it stands.
        pub location: LocationId,
        /// Its identity key as a signed-note verifier key.
        pub vkey: String,
        /// The same key, 32 bytes.
        pub identity_key: [u8; 32],
        /// Its WireGuard key.
        pub wireguard_public_key: WireGuardPublicKey,
        /// Where clients reach it.
        pub endpoint: String,
        /// Its part of the address pools, from 0.
        pub number: u32,
        /// Where it is in its life.
        pub state: NodeState,
        /// Rises with each change of its peers, its membership or its state.
        pub revision: u64,
        /// The agent's version.
        pub agent: String,
        /// Which WireGuard it has.
        pub backend: Backend,
        /// Where clients reach its SOCKS5 service.
        pub socks5_endpoint: Option<String>,
        /// Why it serves nobody for now.
        pub paused: Option<Pause>,
        /// What its operator gives at most, each way, in megabits a second.
        pub megabits_per_second: Option<u64>,
        /// What its operator gives at most in a calendar month, in gigabytes.
        pub gigabytes_per_month: Option<u64>,
        /// Since when.
        pub enrolled_at: Timestamp,
        /// When its agent last asked for anything.
        pub last_seen: Option<Timestamp>,
    }
}

/// What a node brings when it joins.
#[derive(Debug, Clone)]
pub struct NewNode {
    /// The id.
    pub node: NodeId,
    /// Whose it is.
    pub operator: OperatorId,
    /// Where it stands.
    pub location: LocationId,
    /// Its identity key as a signed-note verifier key.
    pub vkey: String,
    /// The same key, 32 bytes.
    pub identity_key: [u8; 32],
    /// Its WireGuard key.
    pub wireguard_public_key: WireGuardPublicKey,
    /// Where clients reach it.
    pub endpoint: String,
    /// The agent's version.
    pub agent: String,
    /// Which WireGuard it has.
    pub backend: Backend,
}

/// What a node says about itself; each one overwrites the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The agent's version.
    pub agent: String,
    /// Which WireGuard it has.
    pub backend: Backend,
    /// Where clients reach it.
    pub endpoint: String,
    /// Where clients reach its SOCKS5 service.
    pub socks5_endpoint: Option<String>,
    /// Why it serves nobody for now.
    pub paused: Option<Pause>,
    /// What its operator gives at most, each way, in megabits a second.
    pub megabits_per_second: Option<u64>,
    /// What its operator gives at most in a calendar month, in gigabytes.
    pub gigabytes_per_month: Option<u64>,
}

row! {
    /// A node as its operator sees it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct NodeOverview {
        /// The id.
        pub node: NodeId,
        /// Whose it is.
        pub operator: OperatorId,
        /// Where it stands.
        pub location: LocationId,
        /// Where clients reach it.
        pub endpoint: String,
        /// Where clients reach its SOCKS5 service.
        pub socks5_endpoint: Option<String>,
        /// The agent's version.
        pub agent: String,
        /// Which WireGuard it has.
        pub backend: Backend,
        /// Where the control plane has completed a handshake with it.
        pub reached_endpoint: Option<String>,
        /// Why it serves nobody for now.
        pub paused: Option<Pause>,
        /// What its operator gives at most, each way, in megabits a second.
        pub megabits_per_second: Option<u64>,
        /// What its operator gives at most in a calendar month, in gigabytes.
        pub gigabytes_per_month: Option<u64>,
        /// Where it is in its life.
        pub state: NodeState,
        /// When its agent last asked for anything.
        pub last_seen: Option<Timestamp>,
        /// Devices it serves now.
        pub devices: u64,
        /// The last accepted report's number; 0 without one.
        pub sequence: u64,
        /// The last accepted report.
        pub head_note: Option<String>,
        /// Where that report ends.
        pub reported_until: Option<Timestamp>,
    }
}

row! {
    /// A node that may be given one more device, unless it is paused.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Candidate {
        /// The id.
        pub node: NodeId,
        /// Whose it is.
        pub operator: OperatorId,
        /// Where it stands.
        pub location: LocationId,
        /// Devices it serves now.
        pub devices: u64,
        /// When its agent last asked for anything.
        pub last_seen: Timestamp,
        /// Where clients reach its SOCKS5 service.
        pub socks5_endpoint: Option<String>,
        /// Where clients shall reach it.
        pub endpoint: String,
        /// Where the control plane has completed a handshake with it.
        pub reached_endpoint: Option<String>,
        /// Why it serves nobody for now.
        pub paused: Option<Pause>,
        /// What its operator gives at most, each way, in megabits a second.
        pub megabits_per_second: Option<u64>,
    }
}

impl Read {
    /// One node.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn node(&mut self, node: &NodeId) -> Result<Option<Node>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select node, operator, location, vkey, identity_key, wireguard_public_key, endpoint, number,
                    state, revision, agent, backend, socks5_endpoint, paused, megabits_per_second, gigabytes_per_month,
                    enrolled_at, last_seen
               from nodes
              where node = $1",
        )
        .bind(node.as_str())
        .fetch_optional(connection)
        .await)?)
    }

    /// The nodes of an operator, or all, by id, with the devices they serve at `now` and their last report.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn node_overviews(
        &mut self,
        operator: Option<&OperatorId>,
        now: Timestamp,
    ) -> Result<Vec<NodeOverview>, StoreError> {
        self.overviews(operator, None, now).await
    }

    /// One node with the devices it serves at `now` and its last report.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn node_overview(
        &mut self,
        node: &NodeId,
        now: Timestamp,
    ) -> Result<Option<NodeOverview>, StoreError> {
        Ok(self.overviews(None, Some(node), now).await?.pop())
    }

    async fn overviews(
        &mut self,
        operator: Option<&OperatorId>,
        node: Option<&NodeId>,
        now: Timestamp,
    ) -> Result<Vec<NodeOverview>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select n.node, n.operator, n.location, n.endpoint, n.socks5_endpoint, n.agent, n.backend,
                    n.reached_endpoint, n.paused, n.megabits_per_second, n.gigabytes_per_month,
                    n.state, n.last_seen,
                    (select count(*)
                       from devices d
                      where d.node = n.node
                        and d.removed_at is null
                        and d.expires > $3)  as devices,
                    coalesce(r.sequence, 0)  as sequence,
                    r.note                   as head_note,
                    r.end_at                 as reported_until
               from nodes n
               left join reports r
                 on r.node = n.node
                and r.sequence = (select max(sequence) from reports where node = n.node)
              where ($1 is null or n.operator = $1)
                and ($2 is null or n.node = $2)
              order by n.node",
        )
        .bind(operator.map(OperatorId::as_str))
        .bind(node.map(NodeId::as_str))
        .bind(now.unix_seconds())
        .fetch_all(connection)
        .await)?)
    }

    /// Active nodes that were seen at `seen_since` or later, fewest devices first, then by id; of one operator and at one
    /// place where these are given.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn candidates(
        &mut self,
        operator: Option<&OperatorId>,
        location: Option<&LocationId>,
        seen_since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Candidate>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select n.node, n.operator, n.location, n.last_seen, n.socks5_endpoint, n.endpoint,
                    n.reached_endpoint, n.paused, n.megabits_per_second,
                    (select count(*)
                       from devices d
                      where d.node = n.node
                        and d.removed_at is null
                        and d.expires > $4)  as devices
               from nodes n
              where n.state = 'active'
                and n.last_seen >= $3
                and ($1 is null or n.operator = $1)
                and ($2 is null or n.location = $2)
              order by devices, n.node",
        )
        .bind(operator.map(OperatorId::as_str))
        .bind(location.map(LocationId::as_str))
        .bind(seen_since.unix_seconds())
        .bind(now.unix_seconds())
        .fetch_all(connection)
        .await)?)
    }
}

impl Write {
    /// Keeps a new node under the next free number below `capacity`, and returns that number.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] when no number is left; [`StoreError::Exists`] for a used id or key;
    /// [`StoreError::UnknownReference`] for an unknown operator or location.
    pub async fn insert_node(
        &mut self,
        node: &NewNode,
        capacity: u32,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        // Nodes are never deleted, so numbers have no gaps.
        let next: i64 = db!(self, connection => sqlx::query_scalar(
            "select coalesce(max(number) + 1, 0)
               from nodes",
        )
        .fetch_one(connection)
        .await)?;
        let number = u32::try_from(next).ok().filter(|number| *number < capacity);
        let number = number.ok_or_else(|| StoreError::TooLarge {
            what: "number of the next node in the address pools",
            found: next.unsigned_abs(),
            limit: u64::from(capacity).saturating_sub(1),
        })?;
        db!(self, connection => sqlx::query(
            "insert into nodes (node, operator, location, vkey, identity_key, wireguard_public_key, endpoint,
                                number, state, revision, agent, backend, enrolled_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $12)",
        )
        .bind(node.node.as_str())
        .bind(node.operator.as_str())
        .bind(node.location.as_str())
        .bind(node.vkey.as_str())
        .bind(node.identity_key.as_slice())
        .bind(node.wireguard_public_key.as_bytes().as_slice())
        .bind(node.endpoint.as_str())
        .bind(i64::from(number))
        .bind(node_state_word(NodeState::Active))
        .bind(node.agent.as_str())
        .bind(node.backend.as_str())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(number)
    }

    /// Notes that these nodes' agents asked for something. Only the last time is kept; who is not known is passed over.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn touch_last_seen(&mut self, nodes: &[NodeId], now: Timestamp) -> Result<(), StoreError> {
        for nodes in nodes.chunks(NODES_PER_UPDATE) {
            db!(self, connection, Driver => {
                let mut update = QueryBuilder::<Driver>::new("update nodes set last_seen = ");
                update.push_bind(now.unix_seconds()).push(" where node in (");
                let mut list = update.separated(", ");
                for node in nodes {
                    list.push_bind(node.as_str());
                }
                update.push(")");
                update.build().persistent(false).execute(connection).await.map(drop)
            })?;
        }
        Ok(())
    }

    /// Overwrites what the node says about itself.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_condition(&mut self, node: &NodeId, condition: &Condition) -> Result<(), StoreError> {
        let set = db!(self, connection => sqlx::query(
            "update nodes
                set agent = $2, backend = $3, endpoint = $4, socks5_endpoint = $5, paused = $6,
                    megabits_per_second = $7, gigabytes_per_month = $8
              where node = $1",
        )
        .bind(node.as_str())
        .bind(condition.agent.as_str())
        .bind(condition.backend.as_str())
        .bind(condition.endpoint.as_str())
        .bind(condition.socks5_endpoint.as_deref())
        .bind(condition.paused.map(Pause::as_str))
        .bind(condition.megabits_per_second.map(|number| bigint("megabits a second", number)).transpose()?)
        .bind(condition.gigabytes_per_month.map(|number| bigint("gigabytes a month", number)).transpose()?)
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        expect_node(node, (set > 0).then_some(()))
    }

    /// Moves the node to another state, and its revision up.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_node_state(&mut self, node: &NodeId, state: NodeState) -> Result<(), StoreError> {
        let moved = db!(self, connection => sqlx::query(
            "update nodes
                set state = $2, revision = revision + 1
              where node = $1",
        )
        .bind(node.as_str())
        .bind(node_state_word(state))
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        expect_node(node, (moved > 0).then_some(()))
    }

    /// Moves the node's revision up, because what it should be doing has changed, and returns it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn bump_revision(&mut self, node: &NodeId) -> Result<u64, StoreError> {
        let revision: Option<i64> = db!(self, connection => sqlx::query_scalar(
            "update nodes
                set revision = revision + 1
              where node = $1
             returning revision",
        )
        .bind(node.as_str())
        .fetch_optional(connection)
        .await)?;
        expect_node(node, revision.map(i64::unsigned_abs))
    }
}

pub(crate) fn expect_node<T>(node: &NodeId, found: Option<T>) -> Result<T, StoreError> {
    found.ok_or_else(|| StoreError::NotFound { what: "node", id: node.to_string() })
}
