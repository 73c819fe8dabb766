//! Which signed requests were taken lately, where several replicas share a database.

use std::collections::BTreeSet;

use sqlx::{QueryBuilder, Sqlite};
use wiregrant_core::{NodeId, Timestamp};

use crate::store::Pools;
use crate::{Store, StoreError};

/// Rows of one insert: three values each.
const ROWS_PER_INSERT: usize = 500;

/// A signed request: whose, when, and what makes it one of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestNonce {
    /// Who signed it.
    pub node: NodeId,
    /// The time in it.
    pub time: Timestamp,
    /// Its nonce.
    pub nonce: [u8; 16],
}

/// Node, time in Unix seconds, nonce.
type Row = (String, i64, Vec<u8>);

impl Store {
    /// Takes requests, and says of each whether nobody had taken it before; the first of two equal ones is. They need no turn to
    /// write.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn take_nonces(&self, requests: &[RequestNonce]) -> Result<Vec<bool>, StoreError> {
        let different: BTreeSet<&RequestNonce> = requests.iter().collect();
        let different: Vec<&RequestNonce> = different.into_iter().collect();
        let mut taken = BTreeSet::new();
        for requests in different.chunks(ROWS_PER_INSERT) {
            taken.extend(self.insert_nonces(requests).await?);
        }
        Ok(requests
            .iter()
            .map(|request| {
                let row = (request.node.to_string(), request.time.unix_seconds(), request.nonce.to_vec());
                taken.remove(&row)
            })
            .collect())
    }

    /// Inserts what is not there and gives back what was not. PostgreSQL takes columns as arrays, under one text that is prepared once;
    /// SQLite has one process, which remembers nonces by itself.
    ///
    /// No request waits for the disk here: every replica sees the rows at once, and a server that crashes forgets those of its last
    /// moments, as a process on SQLite forgets all of them. What a node can ask for twice is answered alike.
    async fn insert_nonces(&self, requests: &[&RequestNonce]) -> Result<Vec<Row>, StoreError> {
        let on_conflict = " on conflict (node, time, nonce) do nothing returning node, time, nonce";
        match &self.pools {
            Pools::Sqlite { writer, .. } => {
                let mut insert = QueryBuilder::<Sqlite>::new("insert into nonces (node, time, nonce) ");
                insert.push_values(requests, |mut row, request| {
                    row.push_bind(request.node.as_str())
                        .push_bind(request.time.unix_seconds())
                        .push_bind(request.nonce.as_slice());
                });
                insert.push(on_conflict);
                Ok(insert.build_query_as().persistent(false).fetch_all(writer).await?)
            }
            Pools::Postgres { readers, .. } => {
                let nodes: Vec<&str> = requests.iter().map(|request| request.node.as_str()).collect();
                let times: Vec<i64> = requests.iter().map(|request| request.time.unix_seconds()).collect();
                let nonces: Vec<&[u8]> = requests.iter().map(|request| request.nonce.as_slice()).collect();
                let insert = "insert into nonces (node, time, nonce)
                              select node, time, nonce
                                from set_config('synchronous_commit', 'off', true),
                                     unnest($1::text[], $2::bigint[], $3::bytea[]) as taken (node, time, nonce)
                                  on conflict (node, time, nonce) do nothing
                           returning node, time, nonce";
                Ok(sqlx::query_as(insert).bind(nodes).bind(times).bind(nonces).fetch_all(readers).await?)
            }
        }
    }

    /// Forgets requests whose time is before `end`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn forget_nonces(&self, end: Timestamp) -> Result<u64, StoreError> {
        let delete = "delete from nonces
                       where time < $1";
        let gone = match &self.pools {
            Pools::Sqlite { writer, .. } => {
                sqlx::query(delete).bind(end.unix_seconds()).execute(writer).await?.rows_affected()
            }
            Pools::Postgres { readers, .. } => {
                sqlx::query(delete).bind(end.unix_seconds()).execute(readers).await?.rows_affected()
            }
        };
        Ok(gone)
    }
}
