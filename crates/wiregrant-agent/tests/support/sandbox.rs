//! What a service manager makes for the units in `systemd/`, without one: users without rights, one capability, and a file
//! system of which little is seen and less can be written.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::Host;

/// `User=`; a number is enough, nobody has to have a name.
pub const USER: u32 = 64_321;
/// The service manager's own, see systemd.exec(5).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// No wait in these tests is longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// `RuntimeDirectory=wireguard`, `StateDirectory=`, `ProtectSystem=strict` and `ProtectProc=invisible`, as mounts that
/// nobody outside sees. Then it says so, and keeps them until it is killed.
const MOUNTS: &str = r#"
set -e
# As udev makes it, which does not run on every machine that runs these tests.
mknod -m 666 "$2/tun" c 10 200
mount --bind "$2/tun" /dev/net/tun
mount -t tmpfs -o mode=0700,uid=$1,gid=$1 wireguard /run/wireguard
mount -t tmpfs -o mode=0700,uid=$1,gid=$1 state "$2/state"
mount -o remount,bind,ro /
mount -t proc -o hidepid=invisible proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
echo ready
exec sleep infinity
"#;

/// The file system that the services of one host see.
pub struct Sandbox {
    holder: Child,
    folder: tempfile::TempDir,
}

impl Sandbox {
    /// Made in the network namespace it is called in.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let readable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), readable).expect("one's own");
        fs::create_dir_all("/run/wireguard").expect("these tests need root");
        for name in ["state", "bin"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", MOUNTS, "sh", &USER.to_string()])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is there");
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("it speaks");
        assert_eq!(line, "ready\n", "these tests need root");
        let sandbox = Self { holder, folder };
        sandbox.install();
        sandbox
    }

    /// A file or folder of the sandbox.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts the agent's binary into its place, as an upgrade does: another file under the same name.
    pub fn install(&self) {
        let (fresh, place) = (self.path("bin/fresh"), self.path("bin/wiregrant-agent"));
        fs::copy(env!("CARGO_BIN_EXE_wiregrant-agent"), &fresh).expect("copied");
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).expect("one's own");
        fs::rename(&fresh, &place).expect("renamed");
    }

    /// A program run by root, who sees what the services see.
    pub fn as_root(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id())).arg(program.as_ref());
        command.env_clear().env("PATH", PATH).current_dir("/").stdin(Stdio::null());
        command
    }

    /// A program run as a unit's `ExecStart=` says, for an instance, with the unit's user and capabilities.
    pub fn as_service(&self, unit: &str, instance: &str) -> Command {
        let unit = unit_file(unit);
        assert_eq!(setting(&unit, "CapabilityBoundingSet"), "CAP_NET_ADMIN");
        assert_eq!(setting(&unit, "AmbientCapabilities"), "CAP_NET_ADMIN");
        let mut words = setting(&unit, "ExecStart").split(' ');
        let program = match words.next().expect("a program") {
            "wiregrant-agent" => self.path("bin/wiregrant-agent"),
            program => program.into(),
        };
        let mut command = self.as_root("setpriv");
        command.arg(format!("--reuid={USER}")).arg(format!("--regid={USER}")).arg("--clear-groups");
        for set in ["inh", "ambient", "bounding"] {
            let caps = if set == "bounding" { "--bounding-set".to_owned() } else { format!("--{set}-caps") };
            command.arg(format!("{caps}=-all,+net_admin"));
        }
        command.args(["--no-new-privs", "--"]).arg(program);
        command.args(words.map(|word| word.replace("%i", instance)));
        command
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The text of a unit of this repository.
pub fn unit_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a unit sets, where it does so once.
pub fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let mut lines = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = lines.next().unwrap_or_else(|| panic!("{name} is set"));
    assert_eq!(lines.next(), None, "{name} is set once");
    value
}

/// The ear of a service manager.
pub struct Notifications {
    socket: UnixDatagram,
    /// For `NOTIFY_SOCKET`.
    pub name: String,
}

impl Notifications {
    /// An abstract address of the host's network namespace.
    pub fn new(host: &Host) -> Self {
        let name = format!("wiregrant-{}", host.namespace);
        let address = SocketAddr::from_abstract_name(&name).expect("a short name");
        let socket = host.inside(|| UnixDatagram::bind_addr(&address)).expect("free");
        Self { socket, name: format!("@{name}") }
    }

    /// Waits for a message that begins so.
    pub fn wait_for(&self, beginning: &str) {
        let mut heard = Vec::new();
        while let Some(message) = self.next_within(PATIENCE) {
            if message.starts_with(beginning) {
                return;
            }
            heard.push(message);
        }
        panic!("{beginning} did not come, but {heard:?}");
    }

    /// The next message, if one comes in time.
    pub fn next_within(&self, patience: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(patience)).expect("a timeout");
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).expect("text"))
    }
}
