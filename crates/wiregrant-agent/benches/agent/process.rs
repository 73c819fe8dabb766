//! The agent as a process over wireguard-go, whose own memory and time are not counted.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use wiregrant_agent::state_dir::StateDir;
use wiregrant_agent::wireguard::{InterfaceName, delete_interface};

use crate::control_plane::ControlPlane;
use crate::node::{interface, stranger, strangers};
use crate::row::{Row, run};

const ADDITIONS: u32 = 50;
/// Long enough that what a sample costs does not stand out by chance.
const WATCHED_SECONDS: u64 = 60;
/// A tick of `/proc/<pid>/stat`: `USER_HZ` is 100 on every Linux that this runs on.
const TICK_MICROSECONDS: u64 = 10_000;

pub fn rows() {
    run("ip link set lo up");
    ten_thousand_peers();
    a_thousand_peers();
}

fn ten_thousand_peers() {
    let agent = Agent::start(1, 10_000);
    // Through a few samples, which need memory of their own.
    sleep(Duration::from_secs(10));
    let resident = agent.kibibytes("VmRSS");
    memory("resident at 10,000 peers", resident, 30_000);
    eprintln!("the most it ever was: {} KiB", agent.kibibytes("VmHWM"));

    agent.configure(3600);
    let signal = format!("kill -HUP {}", agent.process.id());
    run(&signal);
    sleep(Duration::from_secs(2));
    let before = agent.cpu_microseconds();
    for number in 0..ADDITIONS {
        agent.control_plane.change(|script| script.peers.push(stranger(10_000 + number)));
        agent.until_it_asks_again();
    }
    let each = (agent.cpu_microseconds() - before) / u64::from(ADDITIONS);
    assert_eq!(agent.live(), 10_000 + ADDITIONS as usize);
    Row {
        case: "add a peer to 10,000, the agent's processor time from the answer to the live peer",
        value: each,
        unit: "us",
        against: "limit, us",
        against_value: 5_000,
        bar_permille: 1_000,
        less_is_better: true,
    }
    .print();
}

fn a_thousand_peers() {
    let agent = Agent::start(10, 1_000);
    sleep(Duration::from_secs(5));
    let before = agent.cpu_microseconds();
    sleep(Duration::from_secs(WATCHED_SECONDS));
    Row {
        case: "processor time at 1,000 peers, a sample every 10 s, in a minute",
        value: agent.cpu_microseconds() - before,
        unit: "us",
        against: "0.5 % of a core, us",
        against_value: WATCHED_SECONDS * 1_000_000 / 200,
        bar_permille: 1_000,
        less_is_better: true,
    }
    .print();
}

fn memory(case: &'static str, kibibytes: u64, limit_kilobytes: u64) {
    Row {
        case,
        value: kibibytes * 1_024 / 1_000,
        unit: "kB",
        against: "limit, kB",
        against_value: limit_kilobytes,
        bar_permille: 1_000,
        less_is_better: true,
    }
    .print();
}

/// An agent with its control plane; both end with it, and the interface too.
struct Agent {
    process: Child,
    control_plane: ControlPlane,
    name: InterfaceName,
    folder: tempfile::TempDir,
}

impl Agent {
    /// Joins, starts, and waits until the peers are live.
    fn start(sample_seconds: u64, peers: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let control_plane = ControlPlane::start();
        let name: InterfaceName = format!("wgbench{}", std::process::id()).parse().expect("a name");
        let command = |name: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_wiregrant-agent"));
            command.arg(name).arg("--state-dir").arg(folder.path()).stdin(Stdio::null());
            command
        };
        let joined = command("join")
            .arg(control_plane.invitation().to_string())
            .args([
                "--endpoint",
                "192.0.2.1:51820",
                "--backend",
                "wireguard-go",
                "--interface",
                name.as_str(),
            ])
            .status();
        assert!(joined.expect("it runs").success());
        control_plane.change(|script| script.peers = strangers(peers));
        configure(&folder, sample_seconds);
        let process = command("run").arg("--config").arg(folder.path().join("agent.toml")).spawn();
        let agent = Self { process: process.expect("it runs"), control_plane, name, folder };
        agent.until_it_asks_again();
        assert_eq!(agent.live(), peers as usize);
        agent
    }

    fn configure(&self, sample_seconds: u64) {
        configure(&self.folder, sample_seconds);
    }

    /// It asks for the next revision when it has converged to the last.
    fn until_it_asks_again(&self) {
        self.control_plane.until("the agent has what is wanted", |script| script.known == script.revision);
    }

    fn live(&self) -> usize {
        interface(&self.name, "wireguard-go").peers().expect("read").len()
    }

    fn kibibytes(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Of all its threads, those that have ended too.
    fn cpu_microseconds(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
        let ticks = |field: usize| fields[field].parse::<u64>().expect("a number");
        // Fields 14 and 15 of proc(5), `utime` and `stime`; the first here is the third there.
        (ticks(11) + ticks(12)) * TICK_MICROSECONDS
    }
}

fn configure(folder: &tempfile::TempDir, sample_seconds: u64) {
    let text = format!("sample_seconds = {sample_seconds}\n[firewall]\nenabled = false\n");
    fs::write(folder.path().join("agent.toml"), text).expect("written");
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let key = StateDir::new(self.folder.path()).wireguard_key().expect("the key");
        if let Err(error) = delete_interface(&self.name, &key) {
            eprintln!("{error}");
        }
    }
}
