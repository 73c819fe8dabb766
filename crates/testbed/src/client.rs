//! `Person`: somebody with an access code and a host of their own, from redeeming to being connected.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use wiregrant_core::client_file::CLIENT_MTU;

use crate::host::Host;
use crate::network;
use crate::process::Process;
use crate::programs::Programs;
use crate::traffic::{Order, Transfer};
use crate::wait::eventually;

/// wireguard-go opens its socket within a moment, also on a loaded machine.
const INTERFACE_LIMIT: Duration = Duration::from_secs(20);

/// A person's device: its client file, and its WireGuard once connected.
pub struct Person {
    name: String,
    client_file: PathBuf,
    folder: PathBuf,
    logs: PathBuf,
    wireguard: Option<Process>,
}

impl Person {
    /// A person without anything yet. What they keep lies below `folder`, keys among it, and what is logged in `logs`; the client
    /// file bears the interface's name, as `wg-quick` wants it.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(name: &str, host: &Host, folder: &Path, logs: &Path) -> Result<Self> {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("the folder {}", folder.display()))?;
        let client_file = folder.join(format!("{}.conf", host.name()));
        Ok(Self { name: name.to_owned(), client_file, folder, logs: logs.to_owned(), wireguard: None })
    }

    /// Redeems an access code: keys are made here, the client file is written here.
    ///
    /// # Errors
    /// What the CLI says.
    pub fn redeem(&self, programs: &Programs, host: &Host, control_plane: &str, code: &str) -> Result<()> {
        let code_file = self.folder.join("access-code");
        write_private(&code_file, code)?;
        let mut command = host.command(&programs.cli);
        command.args(["--url", control_plane, "redeem", "--code-file"]).arg(&code_file);
        command.arg("--out").arg(&self.client_file);
        crate::process::run(&mut command).with_context(|| format!("{} redeems an access code", self.name))?;
        Ok(())
    }

    /// Takes a client file that was made in another way.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn take_client_file(&self, text: &str) -> Result<()> {
        write_private(&self.client_file, text)
    }

    /// Loads the client file and sends everything but the tunnel itself through the tunnel: what `wg-quick up` does, without
    /// touching the machine's resolver and without packet marks.
    ///
    /// # Errors
    /// When WireGuard does not start or refuses the file.
    pub fn connect(&mut self, host: &Host) -> Result<()> {
        let interface = host.name();
        let mut command = host.command("wireguard-go");
        command.args(["-f", interface]);
        let process = Process::spawn(&format!("{}-wireguard", self.name), &mut command, &self.logs)?;
        let process = self.wireguard.insert(process);
        let log = process.log().to_owned();
        eventually(&format!("{}'s WireGuard", self.name), INTERFACE_LIMIT, &[&log], || {
            process.still_runs()?;
            Ok(userspace_answers(interface).then_some(()))
        })?;

        let file = fs::read_to_string(&self.client_file).context("the client file")?;
        let stripped = host.exec(&format!("wg-quick strip {}", self.client_file.display()))?;
        let settings = self.folder.join("setconf");
        write_private(&settings, &stripped)?;
        host.exec(&format!("wg setconf {interface} {}", settings.display()))?;

        // Without a link-local address the kernel has nothing to solicit routers with: the tunnel carries traffic only.
        host.ip(&format!("link set dev {interface} addrgenmode none"))?;
        for address in addresses(&file) {
            host.ip(&format!("address add {address} dev {interface}"))?;
        }
        host.ip(&format!("link set dev {interface} mtu {CLIENT_MTU} up"))?;
        let way_out = host.ip("route show default")?;
        let gateway = way_out.split_whitespace().nth(2).context("the host has a default route")?.to_owned();
        host.ip(&format!("route add {} via {gateway}", network::NODE))?;
        // Without this, WireGuard's own messages would go through the tunnel once the cable's route is gone, round and round.
        host.ip(&format!("route add unreachable {} metric 1000", network::NODE))?;
        for half in ["0.0.0.0/1", "128.0.0.0/1"] {
            host.ip(&format!("route add {half} dev {interface}"))?;
        }
        for half in ["::/1", "8000::/1"] {
            host.ip(&format!("-6 route add {half} dev {interface}"))?;
        }
        Ok(())
    }

    /// Starts a transfer with the web server; ask the process whether it has finished.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_transfer(
        &self,
        programs: &Programs,
        host: &Host,
        sink: SocketAddr,
        order: Order,
    ) -> Result<Process> {
        let mut command = host.command(&programs.testbed);
        command.args(["source", "--connect", &sink.to_string()]);
        command.args(["--up", &order.up.to_string(), "--down", &order.down.to_string()]);
        command.args(["--bytes-per-second", &order.bytes_per_second.to_string()]);
        Process::spawn_for_output(&format!("{}-source", self.name), &mut command, &self.logs)
    }

    /// What they are called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Whether a userspace WireGuard of this name takes connections. Not asked with `wg`, which deletes the socket of a WireGuard that
/// has bound it and does not listen yet.
#[must_use]
pub fn userspace_answers(interface: &str) -> bool {
    UnixStream::connect(format!("/var/run/wireguard/{interface}.sock")).is_ok()
}

/// Reads what a source printed.
///
/// # Errors
/// When it is not a transfer.
pub fn transfer(printed: &str) -> Result<Transfer> {
    serde_json::from_str(printed).with_context(|| format!("a source printed {printed:?}"))
}

/// The values of the `Address` line of a `wg-quick` file.
fn addresses(file: &str) -> Vec<&str> {
    let value = file.lines().find_map(|line| line.strip_prefix("Address = ")).unwrap_or_default();
    value.split(", ").filter(|address| !address.is_empty()).collect()
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    let write = || {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    };
    write().with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_file_names_its_addresses_on_one_line() {
        let file = "[Interface]\nPrivateKey = x\nAddress = 10.64.0.2/32, fd00::2/128\nDNS = 9.9.9.9\n";
        assert_eq!(addresses(file), ["10.64.0.2/32", "fd00::2/128"]);
        assert!(addresses("[Interface]\n").is_empty());
    }
}
