//! What several replicas of one control plane need of their database: who does the jobs, and who is told of changes.

use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{ConnectOptions, Connection, PgConnection};
use wiregrant_core::NodeId;

use crate::store::Pools;
use crate::{Store, StoreError};

/// The advisory lock of whoever does the jobs, in PostgreSQL's space of 64-bit numbers: `wgjobs` in ASCII.
const JOBS_LOCK: i64 = 0x7767_6a6f_6273;
/// How long PostgreSQL may take to say that the lock is still held.
const HELD_WAIT: Duration = Duration::from_secs(3);
/// So that PostgreSQL ends the session of a leader whose machine vanished, and with it the lock: probed after 5 s of silence,
/// every 2 s, given up after 3 without an answer. The last is for what was sent and not acknowledged, in milliseconds.
const LEADER_SETTINGS: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "11000"),
];

/// The right to do the jobs, as long as it is held.
pub struct Lead(Held);

enum Held {
    /// SQLite has one process.
    Alone,
    /// The session that holds the lock; it goes with the session.
    Session(Box<PgConnection>),
}

impl Lead {
    /// Whether it is still held. Once it is not, another replica may have it.
    pub async fn is_held(&mut self) -> bool {
        match &mut self.0 {
            Held::Alone => true,
            Held::Session(session) => {
                matches!(tokio::time::timeout(HELD_WAIT, session.ping()).await, Ok(Ok(())))
            }
        }
    }

    /// Lets another replica have it at once.
    pub async fn give_up(self) {
        if let Held::Session(session) = self.0 {
            let _ = tokio::time::timeout(HELD_WAIT, session.close()).await; // it is gone with the session in any case
        }
    }
}

/// What another replica, or this one, has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A node's desired state.
    Node(NodeId),
    /// The record grew.
    Record,
    /// Nobody knows what: the connection was lost for a while, so look at everything.
    Anything,
}

/// Hears of changes.
pub struct Changes(PgListener);

impl Changes {
    /// The next change. Reconnects by itself, and says [`Change::Anything`] when it has.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while it cannot reconnect; call it again in a while.
    pub async fn next(&mut self) -> Result<Change, StoreError> {
        loop {
            let Some(notification) = self.0.try_recv().await? else {
                return Ok(Change::Anything);
            };
            match notification.channel() {
                LOGS => return Ok(Change::Record),
                // A trigger of ours wrote it, so it is a node's id.
                _ => {
                    if let Ok(node) = notification.payload().parse() {
                        return Ok(Change::Node(node));
                    }
                }
            }
        }
    }
}

/// The channels of the triggers in `migrations/postgres`.
const NODES: &str = "wiregrant_nodes";
const LOGS: &str = "wiregrant_logs";

impl Store {
    /// Whether other processes may share the database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.pools, Pools::Postgres { .. })
    }

    /// Tries to get the right to do the jobs; `None` while another replica has it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn try_to_lead(&self) -> Result<Option<Lead>, StoreError> {
        let Pools::Postgres { writer, .. } = &self.pools else {
            return Ok(Some(Lead(Held::Alone)));
        };
        let options = writer.connect_options().as_ref().clone().options(LEADER_SETTINGS);
        let mut session = options.connect().await?;
        let is_ours: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
            .bind(JOBS_LOCK)
            .fetch_one(&mut session)
            .await?;
        if is_ours {
            return Ok(Some(Lead(Held::Session(Box::new(session)))));
        }
        session.close().await?;
        Ok(None)
    }

    /// Begins to hear of changes; `None` where this process is the only one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn changes(&self) -> Result<Option<Changes>, StoreError> {
        let Pools::Postgres { readers, .. } = &self.pools else { return Ok(None) };
        let mut listener = PgListener::connect_with(readers).await?;
        listener.listen_all([NODES, LOGS]).await?;
        Ok(Some(Changes(listener)))
    }
}
