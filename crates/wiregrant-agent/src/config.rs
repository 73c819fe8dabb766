//! The operator's choices: one TOML file, whose doc comments below are its manual. Without the file everything has its default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use transparency_log::{CosignerVerifier, WitnessPolicy};

use crate::budget::Hours;

use crate::endpoint;

/// Where it lies unless said otherwise.
pub const DEFAULT: &str = "/etc/wiregrant/agent.toml";
const MAX_CONFIG_BYTES: u64 = 64 * 1024;

/// All choices. SIGHUP has a running agent read them again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seconds between two readings of the counters, 1 to 3,600.
    pub sample_seconds: u64,
    /// Seconds between two reports, 1 to 86,400; each epoch's end has one besides.
    pub report_seconds: u64,
    /// A peer that moved nothing for so many seconds is removed and added again, so that WireGuard forgets where it was; at
    /// least 1. Under 180, a session that is still alive may be cut.
    pub idle_seconds: u64,
    /// Where clients reach the node, `host:port`, IPv6 hosts in brackets; when absent, where they did last. WireGuard listens
    /// on that port. Another one than before moves the node: people are offered new files.
    pub endpoint: Option<String>,
    /// What this machine gives.
    pub budget: Budget,
    /// The firewall of the tunnel.
    pub firewall: Firewall,
    /// The SOCKS5 service.
    pub socks5: Socks5,
    /// Figures for Prometheus.
    pub metrics: Metrics,
    /// Whose cosignatures are demanded of what the control plane publishes.
    pub witnesses: Witnesses,
}

/// Where the choices of a run come from: the file, and what the command line says instead of it, each time it is read.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The file; where it usually lies when absent.
    pub file: Option<PathBuf>,
    /// Instead of the file's.
    pub sample_seconds: Option<u64>,
    /// Instead of the file's.
    pub report_seconds: Option<u64>,
    /// Instead of the file's.
    pub endpoint: Option<String>,
}

impl Source {
    /// The choices as they stand now.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn read(&self) -> anyhow::Result<Config> {
        let mut config = Config::read(self.file.as_deref())?;
        config.sample_seconds = self.sample_seconds.unwrap_or(config.sample_seconds);
        config.report_seconds = self.report_seconds.unwrap_or(config.report_seconds);
        config.endpoint = self.endpoint.clone().or(config.endpoint);
        Ok(config)
    }
}

/// What the operator gives. Whoever gives less is not punished, only paid less.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Gigabytes (10^9 bytes) served in a calendar month, UTC, received and sent together; without limit when absent.
    pub gigabytes_per_month: Option<u64>,
    /// Megabits (10^6 bits) a second for all devices together, each way; without limit when absent. Where there is a SOCKS5
    /// service, it has a part of them.
    pub megabits_per_second: Option<u64>,
    /// Megabits a second for one device at each service, each way; without limit when absent.
    pub device_megabits_per_second: Option<u64>,
    /// The hours of the day, UTC, in which it serves, such as `"22:00-06:00"`; always when absent.
    pub hours: Option<Hours>,
}

/// The firewall: tables of our own, other people's rules are never touched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Firewall {
    /// Whether the agent keeps it. An operator who turns it off sees to forwarding, masquerading and blocking.
    pub enabled: bool,
    /// The interface to the Internet; found from the default route when absent.
    pub egress: Option<String>,
    /// TCP and UDP ports that people may not reach; 25 (mail) by default.
    pub blocked_ports: Vec<u16>,
    /// Networks that people may not reach besides the private, link-local and metadata ranges.
    pub blocked_networks: Vec<ipnet::IpNet>,
    /// Networks that people may reach although they lie in such a range.
    pub allowed_networks: Vec<ipnet::IpNet>,
}

/// The SOCKS5 service, a process of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Socks5 {
    /// The UNIX socket on which `wiregrant-socks5` is metered; no such service when absent.
    pub socket: Option<PathBuf>,
    /// Where people reach it, `host:port`.
    pub endpoint: Option<String>,
    /// How many of `budget.megabits_per_second` it may use, each way; the tunnel has the others. Half of them when absent; where
    /// the budget has no such limit, this one is the service's alone.
    pub megabits_per_second: Option<u64>,
}

/// Prometheus metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// The loopback address to serve them on; not served when absent.
    pub listen: Option<SocketAddr>,
}

/// The witnesses. Where one is named, the agent looks at both public logs as often as it reports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Witnesses {
    /// Their keys, from the witnesses themselves; none by default.
    pub keys: Vec<String>,
    /// How many of them must have cosigned; all when absent.
    pub required: Option<usize>,
}

impl Witnesses {
    /// The demand; `None` where no witness is named.
    ///
    /// # Errors
    /// By field, value and way out.
    pub fn policy(&self) -> anyhow::Result<Option<WitnessPolicy>> {
        if self.keys.is_empty() {
            ensure!(
                self.required.is_none(),
                "witnesses.required: {} of no witness; name their keys in witnesses.keys",
                self.required.unwrap_or_default()
            );
            return Ok(None);
        }
        let key = |key: &String| {
            let read = key.parse::<CosignerVerifier>();
            read.with_context(|| {
                format!("witnesses.keys: {key:?} is no witness's key; ask the witness for its `vkey`")
            })
        };
        let keys = self.keys.iter().map(key).collect::<anyhow::Result<Vec<_>>>()?;
        let required = self.required.unwrap_or(keys.len());
        Ok(Some(WitnessPolicy::new(keys, required).context("witnesses")?))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sample_seconds: 10,
            report_seconds: 3600,
            idle_seconds: 180,
            endpoint: None,
            budget: Budget::default(),
            firewall: Firewall::default(),
            socks5: Socks5::default(),
            metrics: Metrics::default(),
            witnesses: Witnesses::default(),
        }
    }
}

impl Default for Firewall {
    fn default() -> Self {
        Self {
            enabled: true,
            egress: None,
            blocked_ports: vec![25],
            blocked_networks: Vec::new(),
            allowed_networks: Vec::new(),
        }
    }
}

impl Config {
    /// Reads the file. A missing one is an error only when it was asked for by name.
    ///
    /// # Errors
    /// By field, value and way out.
    pub fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let file = path.unwrap_or(Path::new(DEFAULT));
        let shown = file.display();
        match std::fs::metadata(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.is_none() => {
                return Ok(Self::default());
            }
            Ok(metadata) if metadata.len() > MAX_CONFIG_BYTES => {
                bail!("{shown}: {} bytes, at most {MAX_CONFIG_BYTES} are read", metadata.len())
            }
            _ => {}
        }
        let text = std::fs::read_to_string(file).with_context(|| format!("{shown}: cannot be read"))?;
        Self::parse(&text).with_context(|| format!("{shown}"))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut config: Self = toml::from_str(text)?;
        config.endpoint = config.endpoint.as_deref().map(endpoint::parse).transpose()?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        in_range("sample_seconds", Some(self.sample_seconds), 1, 3600)?;
        in_range("report_seconds", Some(self.report_seconds), 1, 86_400)?;
        in_range("idle_seconds", Some(self.idle_seconds), 1, 86_400)?;
        in_range("budget.gigabytes_per_month", self.budget.gigabytes_per_month, 1, 1_000_000_000)?;
        in_range("budget.megabits_per_second", self.budget.megabits_per_second, 1, 1_000_000)?;
        in_range("budget.device_megabits_per_second", self.budget.device_megabits_per_second, 1, 1_000_000)?;
        in_range("socks5.megabits_per_second", self.socks5.megabits_per_second, 1, 1_000_000)?;
        if let (Some(all), Some(part)) = (self.budget.megabits_per_second, self.socks5.megabits_per_second) {
            ensure!(
                part < all,
                "socks5.megabits_per_second: {part} is to be less than budget.megabits_per_second, which is {all}: the tunnel \
                 has what is left"
            );
        }
        self.witnesses.policy()?;
        if let Some(listen) = self.metrics.listen {
            ensure!(
                listen.ip().is_loopback(),
                "metrics.listen: {listen} is not a loopback address; use 127.0.0.1 or [::1], and a proxy where others \
                 should read them"
            );
        }
        Ok(())
    }
}

fn in_range(field: &str, value: Option<u64>, least: u64, most: u64) -> anyhow::Result<()> {
    let Some(value) = value else { return Ok(()) };
    ensure!((least..=most).contains(&value), "{field}: {value} is not {least} to {most}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use transparency_log::CosignerKey;

    #[test]
    fn an_empty_file_is_the_default_and_port_25_is_blocked_in_it() {
        let config = Config::parse("").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.firewall.blocked_ports, [25]);
    }

    #[test]
    fn a_bad_value_is_named_with_its_field() {
        let witness = CosignerKey::new("witness.example/w1", [1; 32]).unwrap().verifier();
        for (text, named) in [
            ("sample_seconds = 0", "sample_seconds: 0 is not 1 to 3600"),
            ("[metrics]\nlisten = '0.0.0.0:9586'", "loopback"),
            ("[budget]\ngigabytes_per_month = 0", "budget.gigabytes_per_month"),
            ("[budget]\nhours = '22-06'", "budget.hours: \"22-06\""),
            ("[budgets]\n", "budgets"),
            (
                "[budget]\nmegabits_per_second = 8\n[socks5]\nmegabits_per_second = 8",
                "socks5.megabits_per_second: 8 is to be less",
            ),
            ("endpoint = 'vpn.example:0'", "endpoint: \"vpn.example:0\""),
            ("[firewall]\nblocked_ports = [70000]", "70000"),
            ("[witnesses]\nkeys = ['w1']", "witnesses.keys: \"w1\""),
            ("[witnesses]\nrequired = 2", "witnesses.required: 2 of no witness"),
            (&format!("[witnesses]\nkeys = ['{witness}']\nrequired = 2"), "witnesses: "),
        ] {
            let error = format!("{:#}", Config::parse(text).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn a_file_that_was_asked_for_must_be_there() {
        assert!(Config::read(Some(Path::new("/nowhere/agent.toml"))).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = Config::parse(&text);
        }
    }
}
