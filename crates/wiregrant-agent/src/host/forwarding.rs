//! Forwarding: the kernel's settings that let a machine pass packets on, set where they are missing and put back by `down`.
//!
//! `systemd/sysctl.d/50-wiregrant.conf` sets them at each start of the machine. Where it is installed nothing is left to do
//! here, and a service that may not write to `/proc/sys` needs it.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::default_route::Egress;
use crate::state_dir::StateDir;

/// What was found, kept in the state directory.
const FILE: &str = "sysctl.json";

/// The settings as they were before the agent set them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// The start of the machine in which they were found: each start forgets what was set before.
    pub boot_id: String,
    /// By name, as `sysctl` names them; only those that the agent set.
    pub values: BTreeMap<String, String>,
}

/// A setting that must have a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As `sysctl` names it, with slashes: the name of an interface may have dots.
    pub name: String,
    /// What it must be.
    pub value: &'static str,
}

/// What the way out needs, in the order in which it is to be set.
#[must_use]
pub fn needed(egress: &Egress) -> Vec<Setting> {
    let setting = |name: &str, value| Setting { name: name.to_owned(), value };
    let mut settings = Vec::new();
    if egress.v4.is_some() {
        settings.push(setting("net/ipv4/ip_forward", "1"));
    }
    if let Some(interface) = &egress.v6 {
        // A machine that forwards IPv6 ignores routers' advertisements and drops the route it has from one, unless this is 2.
        if egress.v6_by_advertisement {
            settings.push(Setting { name: format!("net/ipv6/conf/{interface}/accept_ra"), value: "2" });
        }
        settings.push(setting("net/ipv6/conf/all/forwarding", "1"));
    }
    settings
}

impl Setting {
    fn path(&self) -> String {
        format!("/proc/sys/{}", self.name)
    }

    /// What it is now.
    ///
    /// # Errors
    /// When the kernel has no such setting.
    pub fn now(&self) -> anyhow::Result<String> {
        let path = self.path();
        let text = fs::read_to_string(&path).with_context(|| format!("{path}: cannot be read"))?;
        Ok(text.trim().to_owned())
    }
}

/// Sets what is missing, after what was found is kept.
///
/// # Errors
/// When a setting is missing and cannot be set, with the way out.
pub fn ensure(egress: &Egress, dir: &StateDir, boot_id: &str) -> anyhow::Result<()> {
    for setting in needed(egress) {
        let found = setting.now()?;
        if found == setting.value {
            continue;
        }
        let mut kept = kept(dir, boot_id)?;
        kept.values.entry(setting.name.clone()).or_insert_with(|| found.clone());
        dir.write_json(FILE, &kept)?;
        let Setting { name, value } = &setting;
        fs::write(setting.path(), value).with_context(|| {
            format!(
                "{name} is {found} and has to be {value}: install systemd/sysctl.d/50-wiregrant.conf in /etc/sysctl.d and \
                 run `sysctl --system`, or `sysctl -w {name}={value}`"
            )
        })?;
        tracing::info!(setting = name, found, set = value, "the host forwards");
    }
    Ok(())
}

/// Puts back what the agent set and nobody has changed since.
///
/// # Errors
/// When the kernel refuses, or the state directory cannot be read.
pub fn restore(dir: &StateDir, boot_id: &str) -> anyhow::Result<Vec<String>> {
    let mut restored = Vec::new();
    for (name, found) in kept(dir, boot_id)?.values {
        let path = format!("/proc/sys/{name}");
        let set = if name.ends_with("accept_ra") { "2" } else { "1" };
        match fs::read_to_string(&path) {
            Ok(now) if now.trim() == set => {
                fs::write(&path, &found).with_context(|| format!("{name}: cannot be set back to {found}"))?;
                restored.push(format!("{name}={found}"));
            }
            // Somebody has set it since, or the interface is gone.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("{path}: cannot be read")),
        }
    }
    match fs::remove_file(dir.file(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{FILE}: cannot be removed"))
        }
        _ => Ok(restored),
    }
}

fn kept(dir: &StateDir, boot_id: &str) -> anyhow::Result<Found> {
    let kept: Option<Found> = dir.read_json(FILE)?;
    let of_now = kept.filter(|found| found.boot_id == boot_id);
    Ok(of_now.unwrap_or_else(|| Found { boot_id: boot_id.to_owned(), values: BTreeMap::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_versions_that_have_a_way_out_are_forwarded() {
        let names = |v4: Option<&str>, v6: Option<&str>, v6_by_advertisement| {
            let egress = Egress { v4: v4.map(str::to_owned), v6: v6.map(str::to_owned), v6_by_advertisement };
            needed(&egress).into_iter().map(|setting| setting.name).collect::<Vec<_>>()
        };
        assert_eq!(names(Some("eth0"), None, false), ["net/ipv4/ip_forward"]);
        assert_eq!(names(None, Some("eth0"), false), ["net/ipv6/conf/all/forwarding"]);
        let both = names(Some("eth0"), Some("ens3.7"), true);
        let expected =
            ["net/ipv4/ip_forward", "net/ipv6/conf/ens3.7/accept_ra", "net/ipv6/conf/all/forwarding"];
        assert_eq!(both, expected, "advertisements are kept before forwarding drops their route");
    }

    #[test]
    fn what_was_found_in_an_earlier_start_of_the_machine_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::new(folder.path());
        let values = BTreeMap::from([("net/ipv4/no_such_setting".to_owned(), "0".to_owned())]);
        dir.write_json(FILE, &Found { boot_id: "before".into(), values }).unwrap();
        assert_eq!(kept(&dir, "before").unwrap().values.len(), 1);
        assert_eq!(kept(&dir, "now").unwrap().values.len(), 0);
        assert_eq!(restore(&dir, "before").unwrap(), Vec::<String>::new(), "the interface is gone");
        assert!(!dir.file(FILE).exists());
        assert_eq!(restore(&dir, "now").unwrap(), Vec::<String>::new(), "again is the same");
    }
}
