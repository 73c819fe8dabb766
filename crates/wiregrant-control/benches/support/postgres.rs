//! A PostgreSQL server for one measurement, in a folder of its own, durable as in production.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// PostgreSQL refuses to run as root, so root lends it to the user that the Debian package makes.
const USER: &str = "postgres";

/// The server; it ends when this is dropped.
pub struct Postgres {
    process: Child,
    folder: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts its server.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("wgt-close-").tempdir_in("/tmp").expect("a folder");
        let data = folder.path().join("data");
        if is_root() {
            let everyone = PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(folder.path(), everyone).expect("its own folder");
            run(Command::new("install").args(["-d", "-m", "700", "-o", USER]).arg(&data));
        }
        let words = ["--username=wiregrant", "--auth=trust", "--locale=C", "--encoding=UTF8"];
        run(as_server_user("initdb").args(words).arg("--pgdata").arg(&data));
        let mut command = as_server_user("postgres");
        command.arg("-D").arg(&data).arg("-k").arg(&data).args(["-c", "listen_addresses="]);
        let mut process =
            command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("PostgreSQL is installed");
        let mut log = BufReader::new(process.stderr.take().expect("it was asked for")).lines();
        let ready = log.any(|line| line.is_ok_and(|line| line.contains("ready to accept connections")));
        assert!(ready, "PostgreSQL ended before it was ready");
        std::thread::spawn(move || log.for_each(drop));
        Self { process, folder }
    }

    /// Where its database is.
    pub fn url(&self) -> String {
        let socket = self.folder.path().join("data");
        format!("postgres://wiregrant@localhost/postgres?host={}", socket.display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown: it ends its sessions and its children.
        run(Command::new("kill").arg("-INT").arg(self.process.id().to_string()));
        self.process.wait().expect("it ends");
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
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

/// The program from where Debian keeps each version's own, the newest one, or from PATH.
fn find(program: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions.map(|version| version.path().join("bin").join(program)).collect();
    found.sort();
    found.into_iter().rfind(|candidate| candidate.is_file()).unwrap_or_else(|| program.into())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
