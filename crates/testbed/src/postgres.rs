//! `Postgres`: a PostgreSQL server of the testbed's own, reachable by a socket in its folder only, gone when it is dropped.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::process::{self, Process};
use crate::wait::eventually;

/// PostgreSQL refuses to run as root, so root lends it to the user that the Debian package makes.
const USER: &str = "postgres";
/// Recovery after a kill included, on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Whether what is committed is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// As in production: for measuring.
    Durable,
    /// In the operating system's memory: it outlives a process, which is all that a test can kill.
    InMemory,
}

/// A running server.
pub struct Postgres {
    folder: TempDir,
    sync: Sync,
    process: Option<Process>,
}

impl Postgres {
    /// Makes a cluster and starts its server.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or what it says.
    pub fn start(sync: Sync) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wgt-postgres-").tempdir_in("/tmp")?;
        let data = folder.path().join("data");
        if geteuid().is_root() {
            std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
            process::run(Command::new("install").args(["-d", "-m", "700", "-o", USER]).arg(&data))?;
        }
        let words = ["--username=wiregrant", "--auth=trust", "--locale=C", "--encoding=UTF8", "--no-sync"];
        process::run(as_server_user("initdb")?.args(words).arg("--pgdata").arg(&data))?;
        let mut server = Self { folder, sync, process: None };
        server.restart()?;
        Ok(server)
    }

    /// Starts the server on its cluster, and waits until it answers.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub fn restart(&mut self) -> Result<()> {
        let data = self.data();
        let mut command = as_server_user("postgres")?;
        command.arg("-D").arg(&data).arg("-k").arg(&data).args(["-c", "listen_addresses="]);
        if self.sync == Sync::InMemory {
            command.arg("-F");
        }
        let mut question = self.psql("postgres")?;
        question.args(["-c", "select 1"]);
        let process = self.process.insert(Process::spawn("postgres", &mut command, self.folder.path())?);
        let log = process.log().to_owned();
        eventually("PostgreSQL's first answer", START_LIMIT, &[&log], || {
            process.still_runs()?;
            Ok(process::run(&mut question).ok().map(drop))
        })?;
        Ok(())
    }

    /// Ends the server as a crash would: at once, without a checkpoint, with all its sessions. It recovers when it is started again.
    ///
    /// # Errors
    /// When it was gone already.
    pub fn crash(&mut self) -> Result<()> {
        let mut process = self.process.take().context("PostgreSQL is not running")?;
        process.still_runs()?;
        // Its immediate shutdown. SIGKILL would leave its children, which hold the shared memory that the next server needs.
        process::signal(process.id(), Signal::QUIT);
        process.stop();
        Ok(())
    }

    /// Makes an empty database and says where it is.
    ///
    /// # Errors
    /// What the server says.
    pub fn new_database(&self, name: &str) -> Result<String> {
        process::run(self.psql("postgres")?.args(["-c", &format!("create database {name}")]))?;
        Ok(format!("postgres://wiregrant@localhost/{name}?host={}", self.data().display()))
    }

    /// The server's own client, signed in to a database.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn psql(&self, database: &str) -> Result<Command> {
        let mut command = Command::new(find("psql")?);
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "wiregrant", "-d", database]);
        command.arg("-h").arg(self.data());
        Ok(command)
    }

    /// One of the server's own tools, such as `pg_dump`, signed in to a database.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn tool(&self, program: &str, database: &str) -> Result<Command> {
        let mut command = Command::new(find(program)?);
        command.args(["-U", "wiregrant", "-d", database, "-h"]).arg(self.data());
        Ok(command)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            // SIGINT is the fast shutdown: it ends its sessions and its children. SIGKILL would leave them.
            process::signal(process.id(), Signal::INT);
            process.stop();
        }
    }
}

fn as_server_user(program: &str) -> Result<Command> {
    let program = find(program)?;
    if !geteuid().is_root() {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--init-groups", "--"]).arg(program).current_dir("/");
    Ok(command)
}

/// The program, from where Debian and Ubuntu keep each version's own, the newest one, or from PATH.
fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort_by_key(|bin| {
        let version = bin.parent().and_then(Path::file_name).and_then(OsStr::to_str);
        version.and_then(|version| version.parse::<u32>().ok()).unwrap_or(0)
    });
    let folders = versions.into_iter().rev().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(program)).find(|candidate| candidate.is_file()).with_context(|| {
        format!("there is no `{program}` here: install PostgreSQL's server (Debian: apt install postgresql)")
    })
}
