//! `Host`: one network namespace with everything that runs in it, removed on drop.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};

use crate::{cleanup, process};

/// Counts the hosts of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A host. Its name is also the name of its WireGuard interface: unique on the machine, because `/var/run/wireguard` is one
/// for all namespaces, and within the kernel's 15 characters.
pub struct Host {
    name: String,
}

impl Host {
    /// A host without any link but its loopback.
    ///
    /// # Errors
    /// Without root, or without `ip`.
    pub fn new() -> Result<Self> {
        let name = cleanup::host_name(std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        process::run(Command::new("ip").args(["netns", "add", &name]))
            .context("the testbed needs root, and `ip` of iproute2")?;
        let host = Self { name };
        host.ip("link set dev lo up")?;
        Ok(host)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run in this host.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a command line in this host and gives what it prints; words are split at spaces.
    ///
    /// # Errors
    /// Any exit status but 0.
    pub fn exec(&self, command_line: &str) -> Result<String> {
        let mut words = command_line.split_whitespace();
        let program = words.next().context("an empty command line")?;
        process::run(self.command(program).args(words))
    }

    /// Runs `ip` on this host's network.
    ///
    /// # Errors
    /// As [`Host::exec`].
    pub fn ip(&self, arguments: &str) -> Result<String> {
        process::run(Command::new("ip").args(["-n", &self.name]).args(arguments.split_whitespace()))
    }

    /// Lets this host pass packets on, IPv4 and IPv6.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn forward(&self) -> Result<()> {
        self.exec("sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1").map(drop)
    }

    /// A cable between two hosts.
    ///
    /// # Errors
    /// When an interface of that name is there already.
    pub fn cable(a: (&Self, &str), b: (&Self, &str)) -> Result<()> {
        let ((a, a_interface), (b, b_interface)) = (a, b);
        let line = format!(
            "link add name {a_interface} netns {} type veth peer name {b_interface} netns {}",
            a.name, b.name
        );
        process::run(Command::new("ip").args(line.split_whitespace()))?;
        for (host, interface) in [(a, a_interface), (b, b_interface)] {
            host.ip(&format!("link set dev {interface} up"))?;
        }
        Ok(())
    }

    /// Fails, naming what is missing, unless hosts can be made here.
    ///
    /// # Errors
    /// Without root or a program.
    pub fn possible() -> Result<()> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "the testbed makes network namespaces, which needs root"
        );
        for (program, package) in [
            ("ip", "iproute2"),
            ("nft", "nftables"),
            ("sysctl", "procps"),
            ("wg", "wireguard-tools"),
            ("wg-quick", "wireguard-tools"),
            ("wireguard-go", "wireguard-go"),
        ] {
            let found = std::env::var_os("PATH").is_some_and(|path| {
                std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
            });
            ensure!(found, "`{program}` is not on PATH: apt-get install {package}");
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        cleanup::remove_host(&self.name);
    }
}
