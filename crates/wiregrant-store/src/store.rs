//! `Store`: an open database, and the ways into it.

use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, PgPool, SqlitePool};
use transparency_log::Edge;

use crate::session::{Read, Transaction, Write};
use crate::write_back::LONGEST_PAGES;
use crate::{Log, StoreError};

/// How long anyone waits for a connection, a lock or their turn to write.
const WAIT: Duration = Duration::from_secs(5);
/// Connections that read at the same time from SQLite.
const SQLITE_READERS: u32 = 4;
/// Connections that read at the same time from PostgreSQL; with the writer, 16.
const POSTGRES_READERS: u32 = 15;
/// Pages that SQLite's writer keeps in memory, in KiB. The index of hashes is written all over, so the pages of one transaction are
/// many; beyond its default of 2 MiB they would be written twice, and read again by the next one.
const SQLITE_WRITER_CACHE_KIB: u32 = 32 * 1024;
/// Statements that a connection keeps prepared.
const PREPARED_STATEMENTS: usize = 256;
/// After this long without a word a session that holds the writers' lock is ended by PostgreSQL, in milliseconds.
const POSTGRES_IDLE_WRITER_MS: &str = "60000";

/// An open database. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) pools: Pools,
    edges: EdgeCache,
}

/// One writer and several readers. The pool of one connection is the queue in which this process's writers wait.
#[derive(Clone)]
pub(crate) enum Pools {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres { writer: PgPool, readers: PgPool },
}

/// The right edges of both logs as of this process's last commit. Only ever a hint: a [`Write`] compares it with the
/// heads that it holds.
#[derive(Clone, Default)]
pub(crate) struct EdgeCache(Arc<Mutex<[Edge; 2]>>);

impl EdgeCache {
    pub(crate) fn get(&self, log: Log) -> Edge {
        self.0.lock().expect("nothing panics while it holds the edges")[log.position()].clone()
    }

    pub(crate) fn put(&self, log: Log, edge: Edge) {
        self.0.lock().expect("nothing panics while it holds the edges")[log.position()] = edge;
    }
}

impl Store {
    /// Opens the database at `sqlite:<path>` (made with mode 0600 if it is not there) or `postgres://…`, and brings its
    /// tables to this version's form.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::File`], [`StoreError::Migration`], [`StoreError::Unavailable`].
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let pools = if let Some(path) = url.strip_prefix("sqlite:") {
            open_sqlite(url, path.strip_prefix("//").unwrap_or(path)).await?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            open_postgres(url).await?
        } else {
            return Err(refused(url, "is of no kind this program knows"));
        };
        Ok(Self { pools, edges: EdgeCache::default() })
    }

    /// Which database it is, for people.
    #[must_use]
    pub fn database(&self) -> &'static str {
        match self.pools {
            Pools::Sqlite { .. } => "SQLite",
            Pools::Postgres { .. } => "PostgreSQL",
        }
    }

    /// Begins to read: all of it as of one moment. Keep it short; there are only so many readers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn read(&self) -> Result<Read, StoreError> {
        let transaction = match &self.pools {
            Pools::Sqlite { readers, .. } => Transaction::Sqlite(readers.begin().await?),
            Pools::Postgres { readers, .. } => Transaction::Postgres(
                readers.begin_with("begin transaction isolation level repeatable read read only").await?,
            ),
        };
        Ok(Read { transaction })
    }

    /// Waits for its turn, then begins to write. There is one writer at a time, also among several processes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the turn does not come within five seconds.
    pub async fn write(&self) -> Result<Write, StoreError> {
        let transaction = match &self.pools {
            Pools::Sqlite { writer, .. } => Transaction::Sqlite(writer.begin_with("begin immediate").await?),
            Pools::Postgres { writer, .. } => Transaction::Postgres(writer.begin().await?),
        };
        Write::begin(Read { transaction }, self.edges.clone()).await
    }

    /// Closes all connections, once what goes on in them has ended.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

async fn open_sqlite(url: &str, path: &str) -> Result<Pools, StoreError> {
    if path.is_empty() || path.starts_with(':') || path.contains('?') {
        return Err(refused(url, "names no file"));
    }
    create_private_file(Path::new(path))
        .map_err(|source| StoreError::File { path: path.to_owned(), source })?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(WAIT)
        .statement_cache_capacity(PREPARED_STATEMENTS)
        .disable_statement_logging();
    // A connection to a file does not break, so none is tried before it is used.
    let pool = SqlitePoolOptions::new()
        .acquire_timeout(WAIT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false);
    let writing = options
        .clone()
        .pragma("cache_size", format!("-{SQLITE_WRITER_CACHE_KIB}"))
        .pragma("wal_autocheckpoint", LONGEST_PAGES);
    let writer = pool.clone().max_connections(1).connect_with(writing).await?;
    sqlx::migrate!("../../migrations/sqlite").run(&writer).await?;
    let readers =
        pool.max_connections(SQLITE_READERS).connect_with(options.pragma("query_only", "on")).await?;
    Ok(Pools::Sqlite { writer, readers })
}

/// SQLite would make the file readable for everyone; its journal files take the mode of this one.
pub(crate) fn create_private_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

async fn open_postgres(url: &str) -> Result<Pools, StoreError> {
    let lock_timeout_ms = WAIT.as_millis().to_string();
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| refused(url, "cannot be read"))?
        .application_name("wiregrant-control")
        .options([
            ("lock_timeout", lock_timeout_ms.as_str()),
            ("idle_in_transaction_session_timeout", POSTGRES_IDLE_WRITER_MS),
            // What was acknowledged is on disk, whatever the server's default says.
            ("synchronous_commit", "on"),
        ])
        .statement_cache_capacity(PREPARED_STATEMENTS)
        .disable_statement_logging();
    let pool = PgPoolOptions::new().acquire_timeout(WAIT);
    let writer = pool.clone().max_connections(1).connect_with(options.clone()).await?;
    sqlx::migrate!("../../migrations/postgres").run(&writer).await?;
    let readers = pool.max_connections(POSTGRES_READERS).connect_with(options).await?;
    Ok(Pools::Postgres { writer, readers })
}

/// The address may hold a password, so it is shown without all that lies between `://` and `@`.
fn refused(url: &str, why: &str) -> StoreError {
    let shown = match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://…@{place}"),
        _ => url.to_owned(),
    };
    StoreError::Url { url: shown, why: why.to_owned() }
}
