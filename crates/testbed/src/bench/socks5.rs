//! The SOCKS5 service against microsocks and dante: throughput, and the processor time that a byte takes.
//!
//! Proxy and load stand on two hosts with a cable between them, because the service reaches nothing of its own host. All three
//! take turns, so that what else the machine does falls on all of them alike.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Row, per_second};
use crate::host::Host;
use crate::process::{self, Process};
use crate::programs::Programs;
use crate::socks5_load::{Load, PASSWORD, USERNAME};
use crate::wait::eventually;

/// The host of the proxies, and of clients and server together.
const PROXY: &str = "192.0.2.1";
const LOAD: &str = "192.0.2.2";
/// How often each proxy has its turn.
const TURNS: u32 = 4;
/// How long a turn takes.
const TURN: Duration = Duration::from_secs(2);
/// How long a proxy may take to listen.
const START_LIMIT: Duration = Duration::from_secs(10);
/// A processor's time in `/proc/<pid>/stat` is in hundredths of a second on every Linux that this runs on.
const TICKS_A_SECOND: u64 = 100;
const GIGABYTE: u64 = 1_000_000_000;

/// A proxy and what it did in all its turns.
struct Contender {
    name: &'static str,
    port: u16,
    /// Whether it wants the username and password.
    login: bool,
    process: Process,
    load: Load,
    ticks: u64,
}

impl Contender {
    /// Millions of bits a second.
    fn megabits(&self) -> u64 {
        per_second(self.load.bytes.saturating_mul(8), Duration::from_micros(self.load.micros)) / 1_000_000
    }

    /// Milliseconds of processor time for each gigabyte.
    fn cpu_ms(&self) -> u64 {
        let ms = u128::from(self.ticks) * 1_000 / u128::from(TICKS_A_SECOND);
        u64::try_from(ms * u128::from(GIGABYTE) / u128::from(self.load.all_bytes.max(1))).unwrap_or(u64::MAX)
    }
}

pub fn rows() -> Result<Vec<Row>> {
    let programs = Programs::beside(&std::env::current_exe()?)?;
    let folder = tempfile::tempdir()?;
    let (proxy, load) = (Host::new()?, Host::new()?);
    Host::cable((&proxy, "eth0"), (&load, "eth0"))?;
    proxy.ip(&format!("address add {PROXY}/24 dev eth0"))?;
    load.ip(&format!("address add {LOAD}/24 dev eth0"))?;
    let mut rows = Vec::new();
    for (connections, cases) in [
        (
            1,
            [
                "1 connection: throughput, to dante's",
                "1 connection: throughput, to microsocks'",
                "1 connection: CPU, to dante's",
            ],
        ),
        (
            64,
            [
                "64 connections: throughput, to dante's",
                "64 connections: throughput, to microsocks'",
                "64 connections: CPU, to dante's",
            ],
        ),
    ] {
        let [ours, dante, microsocks] = measured(&programs, folder.path(), (&proxy, &load), connections)?;
        let [to_dante, to_microsocks, cpu] = cases;
        // At one connection microsocks has no bar; it is shown.
        let bar = if connections == 1 { 1_000 } else { 3_000 };
        let speed = |other: &Contender| (ours.megabits(), other.megabits());
        rows.push(Row::new("socks5", to_dante, "Mbit/s", speed(&dante), "dante, Mbit/s", 1_000));
        rows.push(Row::new("socks5", to_microsocks, "Mbit/s", speed(&microsocks), "microsocks, Mbit/s", bar));
        let cost = (ours.cpu_ms(), dante.cpu_ms());
        rows.push(Row::at_most("socks5", cpu, "ms of CPU a GB", cost, "dante, ms of CPU a GB", 1_000));
    }
    Ok(rows)
}

/// Starts the three, gives each its turns, and ends them.
fn measured(
    programs: &Programs,
    folder: &Path,
    (proxy, load): (&Host, &Host),
    connections: usize,
) -> Result<[Contender; 3]> {
    let mut contenders = [ours(programs, folder, proxy)?, dante(folder, proxy)?, microsocks(folder, proxy)?];
    for contender in &contenders {
        listens(proxy, contender)?;
    }
    for turn in 1..=TURNS {
        eprintln!("socks5: {connections} connections, turn {turn} of {TURNS}");
        for contender in &mut contenders {
            let before = ticks_of_family(contender.process.id())?;
            let moved = one_turn(programs, load, contender, connections)?;
            let after = ticks_of_family(contender.process.id())?;
            contender.process.still_runs()?;
            contender.ticks += after.saturating_sub(before);
            contender.load.bytes += moved.bytes;
            contender.load.micros += moved.micros;
            contender.load.all_bytes += moved.all_bytes;
        }
    }
    Ok(contenders)
}

fn contender(name: &'static str, port: u16, login: bool, process: Process) -> Contender {
    Contender { name, port, login, process, load: Load::default(), ticks: 0 }
}

/// The service, with the login that the load will show.
fn ours(programs: &Programs, folder: &Path, proxy: &Host) -> Result<Contender> {
    let socket = folder.join("socks5.sock");
    let program = programs.testbed.with_file_name("wiregrant-socks5");
    ensure!(program.is_file(), "{} is not there: cargo build --workspace --bins", program.display());
    let mut command = proxy.command(&program);
    command.args(["--listen", &format!("{PROXY}:1080"), "--allowed-network", &format!("{LOAD}/32")]);
    command.args(["--final-seconds", "0", "--grace-seconds", "0", "--socket"]).arg(&socket);
    let process = Process::spawn("wiregrant-socks5", &mut command, folder)?;
    let log = process.log().to_owned();
    eventually("wiregrant-socks5 to listen", START_LIMIT, &[&log], || {
        Ok(crate::socks5_load::serve(&socket).ok())
    })?;
    Ok(contender("wiregrant-socks5", 1080, true, process))
}

/// Debian's `dante-server`, which relays in child processes.
fn dante(folder: &Path, proxy: &Host) -> Result<Contender> {
    let file = folder.join("danted.conf");
    fs::write(
        &file,
        format!(
            "logoutput: {}\ninternal: {PROXY} port = 1081\nexternal: eth0\nsocksmethod: none\nclientmethod: none\n\
             user.privileged: root\nuser.unprivileged: nobody\n\
             client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\nsocks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n",
            folder.join("danted.out").display()
        ),
    )?;
    let mut command = proxy.command("danted");
    command.arg("-f").arg(&file).arg("-p").arg(folder.join("danted.pid"));
    Ok(contender("danted", 1081, false, Process::spawn("danted", &mut command, folder)?))
}

/// Debian's `microsocks`: a thread for each connection.
fn microsocks(folder: &Path, proxy: &Host) -> Result<Contender> {
    let mut command = proxy.command("microsocks");
    command.args(["-i", PROXY, "-p", "1082"]);
    Ok(contender("microsocks", 1082, false, Process::spawn("microsocks", &mut command, folder)?))
}

fn listens(proxy: &Host, contender: &Contender) -> Result<()> {
    let wanted = format!(":{:04X} 00000000:0000 0A", contender.port);
    eventually(&format!("{} to listen", contender.name), START_LIMIT, &[contender.process.log()], || {
        Ok(proxy.exec("cat /proc/net/tcp")?.contains(&wanted).then_some(()))
    })
}

fn one_turn(programs: &Programs, load: &Host, contender: &Contender, connections: usize) -> Result<Load> {
    let mut command: Command = load.command(&programs.testbed);
    command.args(["socks5-load", "--proxy", &format!("{PROXY}:{}", contender.port), "--target", LOAD]);
    command.args(["--connections", &connections.to_string(), "--millis", &TURN.as_millis().to_string()]);
    if contender.login {
        command.args(["--username", USERNAME, "--password", PASSWORD]);
    }
    let printed = process::run(&mut command).with_context(|| format!("the load on {}", contender.name))?;
    let moved: Load = serde_json::from_str(&printed)?;
    ensure!(moved.bytes > 0, "nothing went through {}", contender.name);
    Ok(moved)
}

/// The processor time of a process and of all that it has begun, those that have ended and were waited for included, in ticks.
fn ticks_of_family(root: u32) -> Result<u64> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may end meanwhile.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        processes.extend(parent_and_ticks(&stat).map(|(parent, ticks)| (pid, parent, ticks)));
    }
    let (mut family, mut sum, mut begin) = (vec![root], 0, 0);
    sum += processes.iter().find(|(pid, ..)| *pid == root).map_or(0, |(.., ticks)| *ticks);
    while let Some(parent) = family.get(begin).copied() {
        begin += 1;
        for (pid, _, ticks) in processes.iter().filter(|(_, of, _)| *of == parent) {
            family.push(*pid);
            sum += ticks;
        }
    }
    Ok(sum)
}

/// From `/proc/<pid>/stat` (proc(5)): the parent, and user and system time of the process and of children it waited for.
fn parent_and_ticks(stat: &str) -> Option<(u32, u64)> {
    // The name before may hold spaces and brackets.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some((fields.get(1)?.parse().ok()?, ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_line_is_read_behind_its_name() {
        let stat = "7 (a ) b) S 3 7 7 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 5";
        assert_eq!(parent_and_ticks(stat), Some((3, 110)));
        assert_eq!(parent_and_ticks("7 (a) S"), None);
    }
}
