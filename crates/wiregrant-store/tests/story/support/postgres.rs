//! A PostgreSQL server of the tests' own: fresh, reachable by a socket in its folder only, gone with the last test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

/// PostgreSQL refuses to run as root, so root lends it to the user that the Debian package makes.
const USER: &str = "postgres";

pub struct Server {
    process: Child,
    folder: TempDir,
    databases: AtomicU32,
}

/// The server while any test holds it: starting one takes longer than most tests.
static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    pub fn running() -> Arc<Self> {
        let mut running = RUNNING.lock().unwrap();
        running.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *running = Arc::downgrade(&server);
            server
        })
    }

    /// Makes an empty database and says where it is.
    pub async fn new_database(&self) -> String {
        let name = format!("wiregrant_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("create database {name}"))).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        let socket = self.folder.path().join("data");
        format!("postgres://wiregrant@localhost/{database}?host={}", socket.display())
    }

    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("wiregrant-postgres-").tempdir_in("/tmp").unwrap();
        let data = folder.path().join("data");
        if is_root() {
            std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
            run(Command::new("install").args(["-d", "-m", "700", "-o", USER]).arg(&data));
        }
        let arguments =
            ["--username=wiregrant", "--auth=trust", "--locale=C", "--encoding=UTF8", "--no-sync"];
        run(as_server_user("initdb").args(arguments).arg("--pgdata").arg(&data));

        let mut process = as_server_user("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&data)
            // Durability across a loss of power is not what a test can see; each fsync costs it milliseconds.
            .args(["-F", "-c", "listen_addresses="])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        loop {
            match log.next() {
                Some(line) => said.push(line.unwrap()),
                None => panic!("PostgreSQL ended before it was ready: {said:#?}"),
            }
            if said.last().is_some_and(|line| line.contains("ready to accept connections")) {
                break;
            }
        }
        // Whoever stops reading a server's log stops the server once the pipe is full.
        std::thread::spawn(move || log.for_each(drop));
        Self { process, folder, databases: AtomicU32::new(0) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown: it ends its sessions and its children. SIGKILL would leave them.
        let pid = Pid::from_child(&self.process);
        if kill_process(pid, Signal::INT).is_ok() {
            self.process.wait().ok();
        }
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn as_server_user(program: &str) -> Command {
    let program = find(program);
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--init-groups", "--"]).arg(program).current_dir("/");
    command
}

/// The program, from PATH or from where Debian and Ubuntu keep each version's own; the newest one.
fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort_by_key(|bin| version_number(bin));
    versions
        .into_iter()
        .rev()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!(
                "there is no `{program}` here: install PostgreSQL's server (Debian: apt install postgresql)"
            )
        })
}

fn version_number(bin: &Path) -> u32 {
    let version = bin.parent().and_then(Path::file_name).and_then(OsStr::to_str);
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
