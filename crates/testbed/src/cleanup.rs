//! Taking hosts down: one's own, and those that a dead testbed has left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::{clock, process};

/// Where `ip netns` keeps its namespaces.
const NAMESPACES: &str = "/run/netns";
/// Where userspace WireGuard opens its sockets, for all namespaces together.
const SOCKETS: &str = "/var/run/wireguard";
/// How long processes may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// `wgt<pid>-<number>`: tells who must be alive for the host to be wanted.
#[must_use]
pub fn host_name(pid: u32, number: u32) -> String {
    format!("wgt{pid}-{number}")
}

/// The process that made a host of this name, if it is one of ours.
fn owner(name: &str) -> Option<u32> {
    let (pid, number) = name.strip_prefix("wgt")?.split_once('-')?;
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

/// Names of hosts in the file system, by namespace or socket.
fn left_names(folder: &str, suffix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(suffix).map(str::to_owned))
        .filter(|name| owner(name).is_some())
        .collect()
}

/// All hosts, and sockets of hosts, that a process made which is this one or is gone.
fn names_of(wanted: impl Fn(u32) -> bool) -> Vec<String> {
    let mut names = left_names(NAMESPACES, "");
    names.extend(left_names(SOCKETS, ".sock"));
    names.retain(|name| owner(name).is_some_and(&wanted));
    names.sort();
    names.dedup();
    names
}

/// What a process has made and not removed: for tests that say that nothing is left.
#[must_use]
pub fn left_by(pid: u32) -> Vec<String> {
    names_of(|owner| owner == pid)
}

/// Removes what dead testbeds have left behind and gives the names.
pub fn remove_leftovers() -> Vec<String> {
    let names = names_of(|owner| !Path::new("/proc").join(owner.to_string()).exists());
    for name in &names {
        remove_host(name);
    }
    names
}

/// Ends all processes of a host and removes its namespace and its WireGuard socket. Says on standard error what it could not
/// do, because it also runs while panicking.
pub fn remove_host(name: &str) {
    end_processes(name);
    if Path::new(NAMESPACES).join(name).exists()
        && let Err(error) = process::run(Command::new("ip").args(["netns", "delete", name]))
    {
        eprintln!("the host {name} could not be removed: {error:#}");
    }
    // A wireguard-go that had to be killed leaves its socket behind.
    let _ = fs::remove_file(PathBuf::from(SOCKETS).join(format!("{name}.sock")));
}

/// SIGTERM first: wireguard-go then removes its socket, and the agent closes its journal.
fn end_processes(name: &str) {
    for signal in [Signal::TERM, Signal::KILL] {
        let processes = processes_in(name);
        if processes.is_empty() {
            return;
        }
        for pid in processes {
            process::signal(pid, signal);
        }
        let asked = clock::now();
        while !processes_in(name).is_empty() && asked.elapsed() < STOP_LIMIT {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn processes_in(name: &str) -> Vec<u32> {
    let output = Command::new("ip").args(["netns", "pids", name]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_form_are_ours() {
        assert_eq!(owner(&host_name(4_194_304, 12)), Some(4_194_304));
        for foreign in ["wgt", "wgt1", "wg0", "wgt1-", "wgt-1", "wgtx-1", "mullvad", "wgt1-2-3"] {
            assert_eq!(owner(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_name_fits_an_interface_also_with_the_largest_process_id() {
        assert!(host_name(4_194_304, 999).len() <= 15);
    }
}
