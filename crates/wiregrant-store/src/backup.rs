//! Backups of SQLite's one file, taken while the control plane runs, and checked before one is put in its place. PostgreSQL has
//! `pg_dump` and `pg_restore` for both.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::StoreError;
use crate::catching_up::{BEHIND_RESTORED, SETTING_BEHIND};
use crate::store::create_private_file;

/// What a backup says it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// The settings of the control plane it is of, by name.
    pub settings: Vec<(String, String)>,
    /// Entries of the record log.
    pub record_size: u64,
    /// Entries of the reports log.
    pub reports_size: u64,
}

/// Copies the database at `from` into a new file `to`, readable by its owner only, as of one moment; whoever uses it meanwhile goes
/// on. What was committed when it began is in it.
///
/// # Errors
/// [`StoreError::File`] when `to` exists, or cannot be written; those of the database.
pub async fn back_up_sqlite(from: &Path, to: &Path) -> Result<BackedUp, StoreError> {
    let file = |source| StoreError::File { path: to.display().to_string(), source };
    if to.exists() {
        return Err(file(std::io::ErrorKind::AlreadyExists.into()));
    }
    create_private_file(to).map_err(file)?;
    let mut connection = open(from).await?;
    // An online copy: one read transaction from the first page to the last (https://www.sqlite.org/lang_vacuum.html).
    sqlx::query("vacuum into $1").bind(to.display().to_string()).execute(&mut connection).await?;
    connection.close().await?;
    // However it is put back, it says that it is a backup.
    let mut copy = open(to).await?;
    sqlx::query(
        "insert into settings (name, value)
         values ($1, $2)
         on conflict (name) do update set value = excluded.value",
    )
    .bind(SETTING_BEHIND)
    .bind(BEHIND_RESTORED)
    .execute(&mut copy)
    .await?;
    copy.close().await?;
    let written = std::fs::File::open(to).and_then(|copy| copy.sync_all());
    written.map_err(file)?;
    check_backup(to).await
}

/// Reads every page of a backup and says what it is of.
///
/// # Errors
/// [`StoreError::Corrupt`] when a page, a key or a reference is not whole; those of the database.
pub async fn check_backup(path: &Path) -> Result<BackedUp, StoreError> {
    let mut connection = open(path).await?;
    let found: Vec<String> =
        sqlx::query_scalar("pragma integrity_check(10)").fetch_all(&mut connection).await?;
    if found != ["ok"] {
        return Err(StoreError::corrupt(path.display().to_string(), found.join("; ")));
    }
    let settings =
        sqlx::query_as("select name, value from settings order by name").fetch_all(&mut connection).await?;
    let sizes: Vec<i64> =
        sqlx::query_scalar("select size from log_heads order by log").fetch_all(&mut connection).await?;
    connection.close().await?;
    let size = |position: usize| sizes.get(position).map_or(0, |size| size.unsigned_abs());
    Ok(BackedUp { settings, record_size: size(0), reports_size: size(1) })
}

async fn open(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
    Ok(options.disable_statement_logging().connect().await?)
}
