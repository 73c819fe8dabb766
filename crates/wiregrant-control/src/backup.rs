//! The commands `backup` and `restore`: the database as of one moment, taken while the control plane serves, and put in its place
//! again. Keys are no part of it: they are copied offline, once and when the statement key was replaced.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use wiregrant_store::{BackedUp, back_up_sqlite, check_backup};

use crate::config::Config;

/// Copies the database to a new file.
///
/// # Errors
/// PostgreSQL, whose own tool does it; a file that exists; whatever the database refuses.
pub async fn back_up(config: &Config, to: &Path) -> anyhow::Result<()> {
    let from = sqlite_file(config, || {
        format!("pg_dump --format=custom --file={} {:?}", to.display(), "<the database's address>")
    })?;
    ensure!(from.is_file(), "database: {}: there is nothing to back up yet", from.display());
    let backed_up = back_up_sqlite(&from, to).await.context("backup")?;
    tell(to, &backed_up);
    println!("keys     not in it: keep a copy of {} offline", config.data_dir.join("keys").display());
    Ok(())
}

/// Puts a backup where the database was, which must be gone: nothing is overwritten. It says of itself that it is one, and nothing
/// is signed before it has caught up ([`crate::catch_up`]).
///
/// # Errors
/// PostgreSQL; a database that is there; a backup that is damaged or of another control plane.
pub async fn restore(config: &Config, from: &Path) -> anyhow::Result<()> {
    let to = sqlite_file(config, || {
        format!("pg_restore --clean --if-exists --dbname={:?} {}", "<the database's address>", from.display())
    })?;
    for suffix in ["", "-wal", "-shm"] {
        let there = PathBuf::from(format!("{}{suffix}", to.display()));
        ensure!(
            !there.exists(),
            "database: {}: there is one already; stop the control plane and move it away first, with its -wal and -shm",
            there.display()
        );
    }
    let backed_up = check_backup(from).await.context("restore")?;
    for (name, ours) in [("origin", config.origin.to_string()), ("network", config.network.to_string())] {
        let theirs =
            backed_up.settings.iter().find(|(named, _)| named == name).map(|(_, value)| value.as_str());
        if theirs != Some(ours.as_str()) {
            bail!("{name}: the backup is of {:?}, this is {ours:?}", theirs.unwrap_or("nothing"));
        }
    }
    back_up_sqlite(from, &to).await.context("restore")?;
    tell(&to, &backed_up);
    println!(
        "next     wiregrant-control catch-up; nothing is signed before it has what was signed after the backup"
    );
    Ok(())
}

fn tell(file: &Path, backed_up: &BackedUp) {
    println!("database {}", file.display());
    println!("record   {} entries", backed_up.record_size);
    println!("reports  {} entries", backed_up.reports_size);
}

/// The file of the database; for PostgreSQL, which tool to use.
fn sqlite_file(config: &Config, other_tool: impl Fn() -> String) -> anyhow::Result<PathBuf> {
    match config.database.strip_prefix("sqlite:") {
        Some(path) => Ok(PathBuf::from(path.strip_prefix("//").unwrap_or(path))),
        None => bail!("database: this is for SQLite; PostgreSQL has its own tools: {}", other_tool()),
    }
}
