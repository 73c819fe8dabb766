//! The network link under a live WireGuard interface: its kind, addresses, MTU and state, through iproute2.
//!
//! `ip` is called rather than the library that makes new links, because that loses the reason of a refusal, takes any link of the
//! right name for its own, and sets addresses only after removing all.

use std::io;
use std::process::{Command, Output};

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{InterfaceName, InterfaceSettings, WireGuardError};

/// A link as `ip -json -details link show` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// `wireguard`, `tun`, `veth`, … or `physical` for a device that is of no virtual kind.
    pub kind: String,
    mtu: u32,
    up: bool,
}

/// The link of this name in this network namespace, if there is one.
pub fn find(name: &InterfaceName) -> Result<Option<Link>, WireGuardError> {
    let arguments = ["-json", "-details", "link", "show", "dev", name.as_str()];
    let output = ip(&arguments)?;
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("does not exist") {
        return Ok(None);
    }
    let report: Vec<LinkReport> = understood(&arguments, output)?;
    Ok(report.into_iter().next().map(|link| Link {
        kind: link.linkinfo.info_kind.unwrap_or_else(|| "physical".to_owned()),
        mtu: link.mtu,
        up: link.flags.iter().any(|flag| flag == "UP"),
    }))
}

/// Makes a WireGuard link of the kernel's. A link of this name that appeared meanwhile is an error, never adopted here.
fn add_wireguard(name: &str) -> Result<(), WireGuardError> {
    run(&["link", "add", "dev", name, "type", "wireguard"])
}

/// Deletes a link.
pub fn delete(name: &str) -> Result<(), WireGuardError> {
    run(&["link", "delete", "dev", name])
}

/// Sets the MTU if it differs, adds the addresses that are missing and brings the link up. Addresses that the settings
/// do not name stay: somebody may have put them there for a reason.
pub fn converge(name: &InterfaceName, settings: &InterfaceSettings) -> Result<(), WireGuardError> {
    let link = find(name)?.ok_or_else(|| WireGuardError::Gone { name: name.to_string() })?;
    // The MTU comes first: below 1280 bytes Linux takes the IPv6 addresses off a link.
    if link.mtu != u32::from(settings.mtu) {
        run(&["link", "set", "dev", name.as_str(), "mtu", &settings.mtu.to_string()])?;
    }
    let present = addresses(name)?;
    for address in settings.addresses.iter().filter(|address| !present.contains(address)) {
        run(&["address", "add", &address.to_string(), "dev", name.as_str()])?;
    }
    if !link.up {
        run(&["link", "set", "dev", name.as_str(), "up"])?;
    }
    Ok(())
}

/// Whether the kernel can make a WireGuard link: it makes one, which loads the module too, and deletes it.
pub fn kernel_has_wireguard() -> Result<bool, WireGuardError> {
    let probe = format!("wgprobe{}", std::process::id());
    match add_wireguard(&probe) {
        Ok(()) => delete(&probe).map(|()| true),
        Err(WireGuardError::Command { message, .. })
            if message.contains("Unknown device type") || message.contains("not supported") =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn addresses(name: &InterfaceName) -> Result<Vec<IpNet>, WireGuardError> {
    let arguments = ["-json", "address", "show", "dev", name.as_str()];
    let report: Vec<AddressReport> = understood(&arguments, ip(&arguments)?)?;
    let infos = report.into_iter().flat_map(|link| link.addr_info);
    Ok(infos.filter_map(|info| IpNet::new(info.local?, info.prefixlen?).ok()).collect())
}

#[derive(Deserialize)]
struct LinkReport {
    mtu: u32,
    flags: Vec<String>,
    #[serde(default)]
    linkinfo: LinkInfo,
}

#[derive(Deserialize, Default)]
struct LinkInfo {
    info_kind: Option<String>,
}

#[derive(Deserialize)]
struct AddressReport {
    #[serde(default)]
    addr_info: Vec<AddressInfo>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AddressInfo {
    local: Option<std::net::IpAddr>,
    prefixlen: Option<u8>,
}

fn ip(arguments: &[&str]) -> Result<Output, WireGuardError> {
    let output = Command::new("ip").args(arguments).env("LC_ALL", "C").output();
    output.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => WireGuardError::MissingProgram { program: "ip", package: "iproute2" },
        _ => WireGuardError::Io { what: command_line(arguments), source },
    })
}

fn run(arguments: &[&str]) -> Result<(), WireGuardError> {
    succeeded(arguments, ip(arguments)?).map(drop)
}

fn succeeded(arguments: &[&str], output: Output) -> Result<Vec<u8>, WireGuardError> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let mut message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if message.contains("Operation not permitted") {
        message.push_str(" (run the agent as root or with CAP_NET_ADMIN)");
    }
    Err(WireGuardError::Command { command: command_line(arguments), message })
}

fn understood<T: DeserializeOwned>(arguments: &[&str], output: Output) -> Result<T, WireGuardError> {
    let stdout = succeeded(arguments, output)?;
    serde_json::from_slice(&stdout)
        .map_err(|source| WireGuardError::LinkReport { command: command_line(arguments), source })
}

fn command_line(arguments: &[&str]) -> String {
    format!("ip {}", arguments.join(" "))
}
