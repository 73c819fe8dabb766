//! `wiregrant-agent doctor`: what a host has and lacks for a node, one line each, and how to get what is missing. Nothing is
//! changed, so what could only be found out by trying (whether a kernel module loads) is read from where it is written.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::bail;
use rustix::fs::Access;
use serde::{Deserialize, Serialize};

use super::default_route::Egress;
use super::{accounting, forwarding, nft, on_path};
use crate::clock::ClockState;
use crate::config::Config;
use crate::endpoint::DEFAULT_PORT;
use crate::enrolment::Enrolment;
use crate::health::Health;
use crate::pinned;
use crate::state_dir::StateDir;
use crate::wireguard::InterfaceName;

/// The interface that `join` makes unless told otherwise.
const INTERFACE: &str = "wg-grant0";
/// Journal and desired peers take less; what the disk needs for other things is not ours to judge.
const LEAST_DISK_BYTES: u64 = 64 << 20;
/// People's packets of 1280 bytes, the 80 that WireGuard over IPv6 puts around them.
const LEAST_MTU: u32 = 1280 + 80;
/// How long one address of the control plane may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// `CAP_NET_ADMIN` of `linux/capability.h`.
const NET_ADMIN: u32 = 12;
/// What shows that something keeps the clock: systemd-timesyncd after its first success, chrony, ntpsec.
const CLOCK_KEEPERS: [&str; 4] = [
    "/run/systemd/timesync/synchronized",
    "/run/chrony/chronyd.pid",
    "/run/chrony/chronyd.sock",
    "/run/ntpd.pid",
];

/// One thing that a node needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it is there.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// How to get it, where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, ok: true, found: found.into(), way_out: None }
    }

    fn missing(name: &'static str, found: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { name, ok: false, found: found.into(), way_out: Some(way_out.into()) }
    }
}

/// Looks at everything.
///
/// # Errors
/// When what `join` has written cannot be read.
pub fn examine(dir: &StateDir, config: &Config) -> anyhow::Result<Vec<Check>> {
    let enrolment = dir.enrolment()?;
    let interface = enrolment.as_ref().map_or(INTERFACE, |enrolment| &enrolment.interface);
    let interface: InterfaceName = interface.parse()?;
    let may = capable("/proc/self/status");
    let mut checks = vec![capability(may), wireguard(), tun(), program("ip", "iproute2")];
    if config.firewall.enabled {
        checks.push(nftables(may));
        let egress = Egress::find(interface.as_str(), config.firewall.egress.as_deref());
        match &egress {
            Ok(egress) => {
                checks.push(Check::ok("way out", egress.interfaces().collect::<Vec<_>>().join(", ")));
                checks.extend(forwarding::needed(egress).iter().map(forwards));
                checks.extend(egress.interfaces().map(mtu));
            }
            Err(error) => {
                checks.push(Check::missing(
                    "way out",
                    error.to_string(),
                    "ip route add default via <gateway>",
                ));
            }
        }
        checks.push(others_rules(may, &interface));
    } else {
        checks
            .push(Check::ok("firewall", "turned off in agent.toml: rules and forwarding are the operator's"));
    }
    checks
        .push(port(&interface, enrolment.as_ref().map_or(DEFAULT_PORT, |enrolment| enrolment.listen_port))?);
    checks.push(clock(dir)?);
    checks.push(disk(dir));
    checks.push(state(dir));
    checks.extend(control_plane(enrolment.as_ref()));
    Ok(checks)
}

/// For people.
#[must_use]
pub fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { name, ok, found, way_out } in checks {
        let word = if *ok { "ok" } else { "missing" };
        let way_out = way_out.as_ref().map(|way_out| format!("; {way_out}")).unwrap_or_default();
        let _ = writeln!(text, "{word:<9}{name:<16}{found}{way_out}");
    }
    text
}

/// # Errors
/// When something is missing.
pub fn verdict(checks: &[Check]) -> anyhow::Result<()> {
    match checks.iter().filter(|check| !check.ok).count() {
        0 => Ok(()),
        missing => bail!("{missing} of {} are missing, with what helps behind each", checks.len()),
    }
}

/// Whether a process' effective capabilities, as its `status` tells them, have `CAP_NET_ADMIN`.
fn capable(status: &str) -> bool {
    let status = fs::read_to_string(status).unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set >> NET_ADMIN & 1 == 1)
}

fn capability(may: bool) -> Check {
    if may {
        return Check::ok("CAP_NET_ADMIN", "this process has it");
    }
    Check::missing(
        "CAP_NET_ADMIN",
        "this process has it not",
        "run as root, or by systemd/wiregrant-agent.service",
    )
}

fn wireguard() -> Check {
    if Path::new("/sys/module/wireguard").is_dir() {
        return Check::ok("WireGuard", "the kernel's");
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let modules = PathBuf::from("/lib/modules").join(release.trim());
    for list in ["modules.dep", "modules.builtin"] {
        if fs::read_to_string(modules.join(list)).is_ok_and(|text| text.contains("/wireguard.ko")) {
            return Check::ok("WireGuard", "the kernel's, a module that is loaded when it is asked for");
        }
    }
    if on_path("wireguard-go") {
        return Check::ok("WireGuard", "wireguard-go; this kernel has none");
    }
    Check::missing("WireGuard", "neither the kernel's nor wireguard-go", "apt-get install wireguard-go")
}

fn tun() -> Check {
    if Path::new("/dev/net/tun").exists() {
        return Check::ok("/dev/net/tun", "there");
    }
    if Path::new("/sys/module/wireguard").is_dir() {
        return Check::ok("/dev/net/tun", "not there, and not needed with the kernel's WireGuard");
    }
    Check::missing("/dev/net/tun", "not there", "modprobe tun, or let the container have the device")
}

fn program(name: &'static str, package: &str) -> Check {
    if on_path(name) {
        return Check::ok(name, "there");
    }
    Check::missing(name, "not on PATH", format!("apt-get install {package}"))
}

fn nftables(may: bool) -> Check {
    if !nft::is_installed() {
        return Check::missing("nft", "not on PATH", "apt-get install nftables");
    }
    match nft::chains() {
        Ok(_) => Check::ok("nft", "there, and the kernel answers it"),
        Err(_) if !may => Check::ok("nft", "there; whether the kernel answers it is seen with CAP_NET_ADMIN"),
        Err(error) => Check::missing("nft", format!("{error:#}"), "modprobe nf_tables"),
    }
}

/// A setting that is off is none that is missing, where the agent may switch it on.
fn forwards(setting: &forwarding::Setting) -> Check {
    let forwarding::Setting { name, value } = setting;
    let by_hand = format!("install systemd/sysctl.d/50-wiregrant.conf, or sysctl -w {name}={value}");
    match setting.now() {
        Ok(now) if now == *value => Check::ok("forwarding", format!("{name} is {now}")),
        Ok(now) if rustix::fs::access(format!("/proc/sys/{name}"), Access::WRITE_OK).is_ok() => {
            Check::ok("forwarding", format!("{name} is {now}; the agent sets it while it runs"))
        }
        Ok(now) => Check::missing("forwarding", format!("{name} is {now}"), by_hand),
        Err(error) => Check::missing("forwarding", format!("{error:#}"), by_hand),
    }
}

#[derive(Deserialize)]
struct Link {
    mtu: u32,
}

fn mtu(interface: &str) -> Check {
    let output = Command::new("ip").args(["-json", "link", "show", "dev", interface]).output();
    let links: Option<Vec<Link>> = output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok());
    match links.and_then(|links| links.into_iter().next()) {
        Some(Link { mtu }) if mtu >= LEAST_MTU => Check::ok("MTU", format!("{interface} takes {mtu} bytes")),
        Some(Link { mtu }) => {
            let found = format!("{interface} takes {mtu} bytes, {LEAST_MTU} are needed");
            Check::missing(
                "MTU",
                found,
                format!("ip link set dev {interface} mtu 1500, if its network carries that"),
            )
        }
        None => Check::missing("MTU", format!("{interface} is no link"), "name another in firewall.egress"),
    }
}

#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    chain: Option<Chain>,
}

#[derive(Deserialize)]
struct Chain {
    family: String,
    table: String,
    name: String,
    hook: Option<String>,
    policy: Option<String>,
}

/// Other tables' chains that drop what is forwarded unless a rule of theirs lets it pass.
fn dropping(listing: &str, own: &str) -> Vec<String> {
    let listing: Listing = serde_json::from_str(listing).unwrap_or(Listing { nftables: Vec::new() });
    let chains = listing.nftables.into_iter().filter_map(|entry| entry.chain);
    let dropping = chains.filter(|chain| {
        chain.table != own
            && chain.hook.as_deref() == Some("forward")
            && chain.policy.as_deref() == Some("drop")
    });
    dropping.map(|chain| format!("{} {} {}", chain.family, chain.table, chain.name)).collect()
}

fn others_rules(may: bool, tunnel: &InterfaceName) -> Check {
    if !may || !nft::is_installed() {
        return Check::ok("others' rules", "seen with nft and CAP_NET_ADMIN only");
    }
    let listing = nft::chains().unwrap_or_default();
    let Some(chain) = dropping(&listing, &super::policy::table(tunnel)).into_iter().next() else {
        return Check::ok("others' rules", "none drops all that is forwarded");
    };
    Check::missing(
        "others' rules",
        format!("{chain} drops what it does not know; if it does not let {tunnel} pass already"),
        format!("nft insert rule {chain} iifname {tunnel} accept, and oifname likewise"),
    )
}

fn port(tunnel: &InterfaceName, port: u16) -> anyhow::Result<Check> {
    if accounting::link_is_there(tunnel)? {
        return Ok(Check::ok("UDP port", format!("{port}, of {tunnel} that is there")));
    }
    // For a moment, and nothing is sent.
    let free = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).is_ok()
        || (UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err()
            && UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok());
    Ok(if free {
        Check::ok("UDP port", format!("{port} is free"))
    } else {
        let way_out = format!("ss -lunp 'sport = {port}' shows whose it is; or join with another --endpoint");
        Check::missing("UDP port", format!("{port} is another program's"), way_out)
    })
}

fn clock(dir: &StateDir) -> anyhow::Result<Check> {
    let health = if dir.is_locked()? { Health::read(dir)? } else { None };
    match health.map(|health| health.clock) {
        Some(ClockState::Good) => return Ok(Check::ok("clock", "agrees with the control plane's")),
        Some(ClockState::Off) => {
            let way_out = "apt-get install systemd-timesyncd && timedatectl set-ntp true";
            return Ok(Check::missing("clock", "does not agree with the control plane's", way_out));
        }
        _ => {}
    }
    Ok(match CLOCK_KEEPERS.iter().find(|file| Path::new(file).exists()) {
        Some(file) => Check::ok("clock", format!("kept in step ({file})")),
        None => Check::missing(
            "clock",
            "nothing seems to keep it in step",
            "apt-get install systemd-timesyncd && timedatectl set-ntp true",
        ),
    })
}

fn disk(dir: &StateDir) -> Check {
    let path = dir.file("");
    let there = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let free = rustix::fs::statvfs(there).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    let (found, shown) = (free.map_or(0, |free| free >> 20), there.display());
    if free.is_ok_and(|free| free >= LEAST_DISK_BYTES) {
        return Check::ok("disk", format!("{found} MiB free at {shown}"));
    }
    let least = LEAST_DISK_BYTES >> 20;
    Check::missing(
        "disk",
        format!("{found} MiB free at {shown}"),
        format!("make room for {least} MiB at least"),
    )
}

fn state(dir: &StateDir) -> Check {
    let path = dir.file("");
    let shown = path.display();
    let Ok(metadata) = fs::metadata(&path) else {
        return Check::ok("state", format!("{shown} is made by `wiregrant-agent join`"));
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let way_out = format!("chmod 700 {shown}");
        return Check::missing(
            "state",
            format!("{shown} has mode {mode:03o}: others could read its keys"),
            way_out,
        );
    }
    Check::ok("state", format!("{shown} is for user {} alone", metadata.uid()))
}

fn control_plane(enrolment: Option<&Enrolment>) -> Vec<Check> {
    let Some(enrolment) = enrolment else {
        return vec![Check::ok("control plane", "none yet: this node has not joined")];
    };
    let configuration =
        ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(REQUEST_TIMEOUT));
    let http = pinned::client(configuration.build(), enrolment.pin);
    let ask = |url: &String| match http.get(format!("{}/healthz", url.trim_end_matches('/'))).call() {
        Ok(answer) if answer.status().is_success() => Check::ok("control plane", format!("{url} answers")),
        Ok(answer) => {
            let found = format!("{url} answers with {}", answer.status());
            Check::missing("control plane", found, "ask who runs it")
        }
        Err(error) => {
            let found = format!("{url}: {error}");
            Check::missing(
                "control plane",
                found,
                "see that this host may open connections to it, and that it runs",
            )
        }
    };
    enrolment.urls.iter().map(ask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn another_tables_chain_that_drops_what_is_forwarded_is_named() {
        let listing = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "handle": 2, "type": "filter",
                "hook": "forward", "prio": 0, "policy": "drop"}},
            {"chain": {"family": "ip", "table": "filter", "name": "INPUT", "handle": 1, "type": "filter",
                "hook": "input", "prio": 0, "policy": "drop"}},
            {"chain": {"family": "inet", "table": "own", "name": "f", "handle": 1, "type": "filter",
                "hook": "forward", "prio": 0, "policy": "drop"}},
            {"chain": {"family": "inet", "table": "x", "name": "plain", "handle": 1}}]}"#;
        assert_eq!(dropping(listing, "own"), ["ip filter FORWARD"]);
    }

    #[test]
    fn a_process_without_the_capability_is_known_by_its_status() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("status");
        for (set, may) in
            [("000001ffffffffff", true), ("0000000000001000", true), ("0000000000000800", false)]
        {
            fs::write(&file, format!("Name:\tx\nCapEff:\t{set}\n")).unwrap();
            assert_eq!(capable(file.to_str().unwrap()), may, "{set}");
        }
        assert!(!capable("/nonexistent"));
    }

    #[test]
    fn a_state_directory_that_others_can_read_is_missing_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
        let check = state(&StateDir::new(folder.path()));
        assert!(!check.ok && check.found.contains("750") && check.way_out.unwrap().starts_with("chmod 700"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(state(&StateDir::new(folder.path())).ok);
    }

    #[test]
    fn the_verdict_counts_what_is_missing() {
        let checks = [Check::ok("a", "x"), Check::missing("b", "y", "z")];
        assert!(verdict(&checks).unwrap_err().to_string().starts_with("1 of 2"));
        assert!(verdict(&checks[..1]).is_ok());
        assert_eq!(text(&checks), "ok       a               x\nmissing  b               y; z\n");
    }

    proptest! {
        #[test]
        fn no_listing_makes_it_panic(text in "\\PC{0,200}") {
            let _ = dropping(&text, "own");
        }
    }
}
