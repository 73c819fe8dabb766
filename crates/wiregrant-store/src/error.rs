//! `StoreError`: what a database can answer with instead of what was asked for.

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::postgres::PgDatabaseError;
use thiserror::Error;
use transparency_log::LogError;

/// Why the store did not do it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database's address cannot be used.
    #[error(
        "database: {url:?} {why}; use `sqlite:/path/to/file.db` or `postgres://user@host/name` (a password belongs into ~/.pgpass)"
    )]
    Url {
        /// The address, without what may be a password.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file of the database cannot be made or opened.
    #[error("database: {path}: {source}; the folder must exist and be writable by this user")]
    File {
        /// Where.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The tables could not be brought to this version's form.
    #[error(
        "database: its tables cannot be brought to this version's form: {0}; a newer wiregrant may have opened it"
    )]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The database is busy or not reachable now. The same call may succeed later.
    #[error("database: not available at the moment: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// There is one already with this key.
    #[error("{table}: there is one already with this {columns}")]
    Exists {
        /// The table.
        table: String,
        /// The key's columns, joined with `_`, such as `node_host_number`.
        columns: String,
    },
    /// What is written refers to something that is not there.
    #[error("the database does not know what this refers to: {detail}")]
    UnknownReference {
        /// The database's own words.
        detail: String,
    },
    /// A bound of a table, or the rule that signed things never change.
    #[error("the database refuses it: {detail}")]
    Refused {
        /// The database's own words.
        detail: String,
    },
    /// A number or text is outside of what can be stored.
    #[error("{what}: {found} is more than {limit}")]
    TooLarge {
        /// Which.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        limit: u64,
    },
    /// What was to be changed is not there.
    #[error("{what} {id}: there is none")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Which one.
        id: String,
    },
    /// What is stored contradicts itself: the database was changed by something else, or restored in part.
    #[error("the database is damaged: {what}: {found}; restore it from a backup")]
    Corrupt {
        /// What was read.
        what: String,
        /// What is wrong with it.
        found: String,
    },
    /// Anything else that the database answers.
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether the same call may succeed later without anything being changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    pub(crate) fn corrupt(what: impl Into<String>, found: impl std::fmt::Display) -> Self {
        Self::Corrupt { what: what.into(), found: found.to_string() }
    }

    pub(crate) fn damaged_log(log: crate::Log) -> impl Fn(LogError) -> Self {
        move |error| Self::corrupt(format!("log {log}"), error)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            sqlx::Error::ColumnDecode { index, source } => Self::corrupt(format!("column {index}"), source),
            sqlx::Error::Database(answer) => from_answer(answer.as_ref()).unwrap_or_else(|| {
                let passing = is_passing(answer.as_ref());
                let error = sqlx::Error::Database(answer);
                if passing { Self::Unavailable(error) } else { Self::Database(error) }
            }),
            other => Self::Database(other),
        }
    }
}

/// SQLITE_CONSTRAINT_TRIGGER: a trigger called `raise(abort, …)`.
const SQLITE_CONSTRAINT_TRIGGER: &str = "1811";

fn from_answer(answer: &dyn DatabaseError) -> Option<StoreError> {
    let detail = || answer.message().to_owned();
    match answer.kind() {
        ErrorKind::UniqueViolation => {
            let (table, columns) = violated_key(answer);
            Some(StoreError::Exists { table, columns })
        }
        ErrorKind::ForeignKeyViolation => Some(StoreError::UnknownReference { detail: detail() }),
        ErrorKind::CheckViolation | ErrorKind::NotNullViolation => {
            Some(StoreError::Refused { detail: detail() })
        }
        _ if answer.code().is_some_and(|code| code == SQLITE_CONSTRAINT_TRIGGER) => {
            Some(StoreError::Refused { detail: detail() })
        }
        _ => None,
    }
}

/// Table and columns of a violated key. SQLite names them (`UNIQUE constraint failed: t.a, t.b`); PostgreSQL names the
/// constraint, which the migrations call `<table>_<columns>_key`.
fn violated_key(answer: &dyn DatabaseError) -> (String, String) {
    if let Some(answer) = answer.try_downcast_ref::<PgDatabaseError>() {
        let table = answer.table().unwrap_or_default();
        let key = answer.constraint().unwrap_or_default();
        let columns = key.strip_prefix(table).unwrap_or(key).trim_start_matches('_');
        return (table.to_owned(), columns.strip_suffix("_key").unwrap_or(columns).to_owned());
    }
    let named = answer.message().rsplit(": ").next().unwrap_or_default();
    let columns: Vec<_> = named.split(", ").filter_map(|column| column.split_once('.')).collect();
    let table = columns.first().map_or("", |(table, _)| table);
    (table.to_owned(), columns.iter().map(|(_, column)| *column).collect::<Vec<_>>().join("_"))
}

/// Whether the answer is one that passes: a lock that was not got, a server that starts, stops or is full.
fn is_passing(answer: &dyn DatabaseError) -> bool {
    let code = answer.code().unwrap_or_default();
    if answer.try_downcast_ref::<PgDatabaseError>().is_some() {
        // Classes 08 (connection), 40 (rollback), 53 (resources), 57 (operator intervention), and lock_not_available;
        // https://www.postgresql.org/docs/15/errcodes-appendix.html
        return ["08", "40", "53", "57", "55P03", "25P03"].iter().any(|class| code.starts_with(class));
    }
    // SQLITE_BUSY and SQLITE_LOCKED with all their extended codes, whose low byte is the primary one.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6))
}
