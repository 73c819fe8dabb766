//! What the writer of reports must know of many nodes at once: one query each, however many there are.

use wiregrant_core::NodeId;
use wiregrant_core::api::NodeState;

use crate::column::row;
use crate::session::Transaction;
use crate::{Read, Report, StoreError};

/// Nodes asked about in one query.
const NODES_PER_QUERY: usize = 500;

row! {
    /// What decides whether a node's report is taken, besides the report before it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct NodeStanding {
        /// The node.
        pub node: NodeId,
        /// Its identity key, 32 bytes.
        pub identity_key: [u8; 32],
        /// Where it is in its life.
        pub state: NodeState,
        /// Rises with each change of its state and its memberships.
        pub revision: u64,
    }
}

/// The rows of a query whose condition on nodes stands between its two halves. Its text is the same however many there are, so
/// each connection prepares it once. The dialects differ: SQLite has no arrays, but reads JSON.
macro_rules! among {
    ($session:expr, $nodes:expr, $before:literal, $after:literal) => {
        match &mut $session.transaction {
            Transaction::Sqlite(transaction) => {
                sqlx::query_as(concat!($before, " in (select value from json_each($1))", $after))
                    .bind(as_json($nodes))
                    .fetch_all(&mut **transaction)
                    .await
            }
            Transaction::Postgres(transaction) => {
                sqlx::query_as(concat!($before, " = any($1)", $after))
                    .bind($nodes.iter().map(|node| node.as_str()).collect::<Vec<_>>())
                    .fetch_all(&mut **transaction)
                    .await
            }
        }
    };
}

/// Nodes as a list in JSON. An id has no character that JSON would have to escape.
fn as_json(nodes: &[&NodeId]) -> String {
    let nodes: Vec<_> = nodes.iter().map(|node| format!("\"{node}\"")).collect();
    format!("[{}]", nodes.join(","))
}

impl Read {
    /// How these nodes stand; who is not known is left out.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn node_standings(&mut self, nodes: &[&NodeId]) -> Result<Vec<NodeStanding>, StoreError> {
        let mut standings = Vec::with_capacity(nodes.len());
        for nodes in nodes.chunks(NODES_PER_QUERY) {
            let found: Vec<NodeStanding> = among!(
                self,
                nodes,
                "select node, identity_key, state, revision
                   from nodes
                  where node",
                ""
            )?;
            standings.extend(found);
        }
        Ok(standings)
    }

    /// The last accepted report of each of these nodes; who has none is left out.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn head_reports(&mut self, nodes: &[&NodeId]) -> Result<Vec<Report>, StoreError> {
        let mut heads = Vec::with_capacity(nodes.len());
        for nodes in nodes.chunks(NODES_PER_QUERY) {
            let found: Vec<Report> = among!(
                self,
                nodes,
                "select r.node, r.sequence, r.note, r.note_hash, r.log_index, r.acked_size, r.epoch_grant,
                        r.epoch_number, r.start_at, r.end_at, r.received_at
                   from reports r
                   join (select node, max(sequence) as sequence
                           from reports
                          where node",
                "
                          group by node) h on h.node = r.node and h.sequence = r.sequence"
            )?;
            heads.extend(found);
        }
        Ok(heads)
    }
}
