//! The units in `systemd/`, installed as the handbook says and started by a real systemd: one that is booted for these tests.

#[path = "support/control_plane.rs"]
mod control_plane;
#[path = "support/node.rs"]
mod node;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use control_plane::ControlPlane;
use node::{desired, open, reported};
use support::{Wire, run};
use wiregrant_core::counter::Reading;

const BOOT: &str = include_str!("support/boot.sh");
/// Bit 12 is `CAP_NET_ADMIN`.
const NET_ADMIN: &str = "0000000000001000";
const NONE: &str = "0000000000000000";

/// A systemd with the units of this repository, on a host of the tests; all of it ends with this.
struct Machine {
    /// Waits for the systemd, and takes it along.
    holder: Child,
    /// The systemd as this machine numbers it.
    systemd: u32,
    cgroups: Vec<PathBuf>,
    _folder: tempfile::TempDir,
}

impl Machine {
    /// Booted in the network namespace it is called in.
    fn boot(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd");
        let agent = Path::new(env!("CARGO_BIN_EXE_wiregrant-agent"));
        let socks5 = agent.with_file_name("wiregrant-socks5");
        assert!(socks5.is_file(), "{} is not there: cargo build --workspace --bins", socks5.display());
        let cgroups = own_cgroups(name);
        let mut holder = Command::new("sh");
        // Into the cgroups first: they are the roots of what systemd sees.
        let enter =
            r#"while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec unshare "$@""#;
        holder.args(["-c", enter, "sh"]).args(&cgroups).arg("--");
        holder.args([
            "--pid",
            "--fork",
            "--kill-child",
            "--mount",
            "--uts",
            "--ipc",
            "--cgroup",
            "sh",
            "-c",
            BOOT,
            "sh",
        ]);
        holder.arg(folder.path()).arg(units).arg(agent).arg(socks5);
        let holder = holder.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("unshare is there");
        let mut machine = Self { holder, systemd: 0, cgroups, _folder: folder };
        machine.systemd = machine.child_of_holder();
        machine.until("systemd is up", |machine| {
            let state =
                machine.command("systemctl").arg("is-system-running").output().expect("nsenter is there");
            ["running", "degraded"].contains(&said(&state).trim())
        });
        machine
    }

    fn child_of_holder(&mut self) -> u32 {
        let children = format!("/proc/{0}/task/{0}/children", self.holder.id());
        loop {
            let ended = self.holder.try_wait().expect("one's own");
            assert_eq!(ended, None, "it ended before it had booted; these tests need root");
            if let Ok(child) = std::fs::read_to_string(&children).unwrap_or_default().trim().parse() {
                return child;
            }
            std::thread::yield_now();
        }
    }

    /// A program of the booted system, run by its root.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--root", "--wd", "--target", &self.systemd.to_string(), program]);
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command line in its shell, which must succeed, and gives what it printed.
    fn run(&self, command_line: &str) -> String {
        let output = self.command("sh").args(["-c", command_line]).output().expect("nsenter is there");
        assert!(output.status.success(), "`{command_line}`: {}{}", said(&output), self.log());
        said(&output)
    }

    fn property(&self, unit: &str, name: &str) -> String {
        self.run(&format!("systemctl show --value --property={name} {unit}")).trim().to_owned()
    }

    /// What the kernel says of a unit's main process.
    fn process_status(&self, unit: &str, field: &str) -> String {
        let status = self.run(&format!("cat /proc/{}/status", self.property(unit, "MainPID")));
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.expect("a field").trim().to_owned()
    }

    fn log(&self) -> String {
        let log = self.command("journalctl").args(["--no-pager", "--lines=60"]).output();
        said(&log.expect("nsenter is there"))
    }

    fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        // Looks, and not a time, so that a slow machine has as many.
        for _ in 0..600 {
            if condition(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("waited in vain until {what}\n{}", self.log());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.systemd.to_string()]).status();
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        for cgroup in &self.cgroups {
            // What was killed leaves them one by one; the deepest go first, and only empty ones can.
            for _ in 0..100 {
                let deepest_first = ["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"];
                let _ = Command::new("find").arg(cgroup).args(deepest_first).output();
                if !cgroup.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// New cgroups of this name: in the one hierarchy of version 2, or in systemd's own of version 1 and the one beside it.
fn own_cgroups(name: &str) -> Vec<PathBuf> {
    let all = Path::new("/sys/fs/cgroup");
    let parents = if all.join("cgroup.controllers").exists() {
        vec![all.to_owned()]
    } else {
        vec![all.join("systemd"), all.join("unified")]
    };
    let made = parents.into_iter().map(|parent| parent.join(name));
    made.inspect(|cgroup| std::fs::create_dir(cgroup).expect("these tests need root")).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// The client's own count, told from the node's side.
fn by_client(wire: &Wire) -> Reading {
    let seen = wire.seen_by_wg(&wire.client);
    Reading { received: seen.sent, sent: seen.received }
}

#[test]
fn a_real_systemd_starts_reloads_restarts_and_stops_the_units_and_the_tunnel_outlives_the_agent() {
    let wire = Wire::new("S");
    let (host, interface) = (&wire.node, &wire.node.interface);
    run(&format!("ip -n {} route add default via 192.0.2.2", host.namespace));
    let control_plane = host.inside(ControlPlane::start);
    let machine = host.inside(|| Machine::boot(&host.namespace));
    // As the handbook says; these tests talk to the node's own address inside the tunnel, which the firewall is there to prevent.
    machine.run("systemd-sysusers wiregrant.conf");
    machine.run("systemd-tmpfiles --create wiregrant.conf");
    for line in [
        "sample_seconds = 1",
        "report_seconds = 1",
        "firewall.enabled = false",
        "socks5.socket = \"/run/wiregrant-socks5/agent.sock\"",
    ] {
        machine.run(&format!("echo '{line}' >>/etc/wiregrant/agent.toml"));
    }
    let invitation = control_plane.invitation();
    machine.run(&format!(
        "wiregrant-agent join {invitation} --endpoint 192.0.2.1:51820 --backend wireguard-go --interface {interface}"
    ));
    machine.run(&format!("systemctl enable --now wiregrant-wireguard-go@{interface} wiregrant-socks5"));
    // Returns when the agent has said that it is ready.
    machine.run("systemctl enable --now wiregrant-agent");
    for (unit, capabilities) in [
        ("wiregrant-agent".to_owned(), NET_ADMIN),
        (format!("wiregrant-wireguard-go@{interface}"), NET_ADMIN),
        ("wiregrant-socks5".to_owned(), NONE),
    ] {
        assert_eq!(machine.property(&unit, "ActiveState"), "active", "{unit}\n{}", machine.log());
        for set in ["CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(machine.process_status(&unit, set), capabilities, "{unit} {set}");
        }
        assert_eq!(machine.process_status(&unit, "NoNewPrivs"), "1", "{unit}");
        assert_eq!(machine.process_status(&unit, "Seccomp"), "2", "{unit}");
        assert_ne!(machine.process_status(&unit, "Uid").split('\t').next(), Some("0"), "{unit}");
    }
    assert!(!machine.property("wiregrant-agent", "StatusText").is_empty());

    let client = desired(wire.client_public_key(), wire.client_allowed_ips());
    control_plane.change(|script| script.peers = vec![client]);
    // What a client says to a node that does not know it yet is counted by the client alone.
    machine.until("the node knows the client", |machine| {
        !machine.run(&format!("wg show {interface} peers")).trim().is_empty()
    });
    let key = machine.run("wg pubkey </var/lib/wiregrant-agent/wireguard.key");
    wire.connect_client_to(key.trim(), open);
    let moves_and_is_reported = || {
        wire.echo(10, "10.9.0.1");
        control_plane
            .until("the reports say what the client moved", |script| reported(script) == by_client(&wire));
    };
    moves_and_is_reported();

    let process = || machine.property("wiregrant-agent", "MainPID");
    let first = process();
    machine.run("systemctl reload wiregrant-agent");
    assert_eq!(process(), first, "a reload is no restart");
    machine.run("systemctl kill --signal=KILL --kill-who=main wiregrant-agent");
    machine.until("the agent is started anew", |machine| {
        machine.property("wiregrant-agent", "ActiveState") == "active" && process() != first
    });
    moves_and_is_reported();
    machine.run("systemctl restart wiregrant-agent");
    moves_and_is_reported();
    machine.run("systemctl stop wiregrant-agent");
    assert_eq!(machine.property("wiregrant-agent", "Result"), "success");
    wire.echo(10, "10.9.0.1");
    machine.run("systemctl start wiregrant-agent");
    moves_and_is_reported();
    assert_eq!(machine.run("systemctl list-units --failed --plain --no-legend 'wiregrant*'"), "");
}
