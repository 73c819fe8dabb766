//! The configuration: one TOML file, whose doc comments below are its manual.

mod chain;
mod environment;
mod witness;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use wiregrant_core::note::{Network, Origin};

use crate::file;
use crate::tls::TlsFiles;

pub use chain::{ChainConfig, ChainFile, ChainSourceConfig};
pub use environment::{CONFIG_VARIABLE, PREFIX as ENVIRONMENT_PREFIX, from_environment};
pub use witness::WitnessAddress;

/// The name `init` gives the file.
pub const FILE_NAME: &str = "wiregrant-control.toml";
const MAX_CONFIG_BYTES: u64 = 64 * 1024;
/// The most addresses an invitation may carry.
const MAX_PUBLIC_URLS: usize = 8;
const MAX_RESOLVERS: usize = 4;
const MAX_TITLE_CHARS: usize = 100;
/// Three days: time to notice a destination that somebody else has changed.
const DESTINATION_DELAY_HOURS: u64 = 72;
const MAX_DESTINATION_DELAY_HOURS: u64 = 8_760;
/// A node takes a /22 of the IPv4 pool.
pub const NODE_PREFIX_V4: u8 = 22;
/// A node takes a /64 of the IPv6 pool.
pub const NODE_PREFIX_V6: u8 = 64;

/// Why a configuration was refused: the field, the value and the way out.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config: {0}")]
    File(#[from] std::io::Error),
    /// There is no file there.
    #[error("config: {path}: there is no such file; make one with `wiregrant-control init`")]
    Missing {
        /// Where it was looked for.
        path: String,
    },
    /// It is not TOML, or has a field that is not known.
    #[error("config: {path}: {message}")]
    Form {
        /// The file.
        path: String,
        /// Line, column, and what is wrong there.
        message: String,
    },
    /// A field is missing.
    #[error("config: {field} is missing; {expected}")]
    Absent {
        /// The field.
        field: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// A value is not of its field's form.
    #[error("config: {field}: {value:?} is not {expected}")]
    Value {
        /// The field.
        field: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
}

/// The file as it is written; command-line flags of the same names go before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Name of the record log, for good, such as `grants.example/record`; the reports log is `<origin>/reports`.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Bitcoin network that payouts use: bitcoin, testnet4, signet or regtest. For good.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Address and port to listen on [default: 127.0.0.1:8080].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Address and port, on loopback, for health, readiness and figures [default: none].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor_listen: Option<String>,
    /// The certificate that `listen` answers with, and those above it, PEM; SIGHUP reads it again [default: none, plain HTTP for a
    /// proxy or an onion service before it].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// The certificate, PEM, whose key nodes are to find at `https://` addresses: invitations pin it, and no authority has to vouch
    /// for it [default: none].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_pin: Option<PathBuf>,
    /// Where nodes and people reach it; invitations carry these. 1 to 8 [default: `listen`, with http].
    #[arg(long = "public-url")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_urls: Option<Vec<String>>,
    /// Keys, the administrator's token, the database and public files lie here.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// `sqlite:<file>` or `postgres://...` [default: sqlite:<data_dir>/wiregrant.db].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Public files, which any web server may serve too [default: <data_dir>/public].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_dir: Option<PathBuf>,
    /// Inner IPv4 addresses; each node takes a /22 [default: 10.64.0.0/10].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_v4: Option<String>,
    /// Inner IPv6 addresses; each node takes a /64 [default: fd77:6772::/32].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_v6: Option<String>,
    /// Resolvers that clients use inside the tunnel, 1 to 4 [default: 9.9.9.9 2620:fe::fe].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Vec<String>>,
    /// Title of the public pages [default: the origin].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether a node must answer a WireGuard handshake at its endpoint before devices are placed on it; `false` where the control
    /// plane cannot send UDP, as behind an onion service [default: true].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_endpoints: Option<bool>,
    /// A witness that is asked to cosign both logs' checkpoints before they are published: its key and its address, such as
    /// `witness.example/w1+1a2b3c4d+BH... https://witness.example`. Up to 16.
    #[arg(long = "witness", value_name = "VKEY URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<Vec<String>>,
    /// Hours until a new payout destination of an operator comes into force; their first one does at once [default: 72].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_delay_hours: Option<u64>,
    /// A DNS resolver that answers over TCP, such as 127.0.0.53:53, for operators who are paid at a name (BIP 353); what it
    /// says counts only with DNSSEC proof [default: none, and names are not paid].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_resolver: Option<String>,
    /// Where payments are looked for.
    #[command(flatten)]
    #[serde(default, skip_serializing_if = "ChainFile::is_empty")]
    pub chain: ChainFile,
}

/// A configuration that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is explained where it is written, in `ConfigFile`")]
pub struct Config {
    pub origin: Origin,
    pub network: Network,
    pub listen: SocketAddr,
    pub monitor_listen: Option<SocketAddr>,
    pub tls: Option<TlsFiles>,
    pub tls_pin: Option<PathBuf>,
    pub public_urls: Vec<String>,
    pub data_dir: PathBuf,
    pub database: String,
    pub public_dir: PathBuf,
    pub pool_v4: Ipv4Net,
    pub pool_v6: Ipv6Net,
    pub dns: Vec<IpAddr>,
    pub title: String,
    pub check_endpoints: bool,
    pub witnesses: Vec<WitnessAddress>,
    pub destination_delay_seconds: u64,
    pub name_resolver: Option<SocketAddr>,
    pub chain: Option<ChainConfig>,
}

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    /// The file is not there, cannot be read, is not TOML or has an unknown field.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = file::read_if_there(path, MAX_CONFIG_BYTES)?
            .ok_or_else(|| ConfigError::Missing { path: shown.clone() })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Form { path: shown, message: error.to_string().trim().to_owned() })
    }

    /// These values, and those of `other` where there is none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            origin: self.origin.or(other.origin),
            network: self.network.or(other.network),
            listen: self.listen.or(other.listen),
            monitor_listen: self.monitor_listen.or(other.monitor_listen),
            tls_certificate: self.tls_certificate.or(other.tls_certificate),
            tls_key: self.tls_key.or(other.tls_key),
            tls_pin: self.tls_pin.or(other.tls_pin),
            public_urls: self.public_urls.or(other.public_urls),
            data_dir: self.data_dir.or(other.data_dir),
            database: self.database.or(other.database),
            public_dir: self.public_dir.or(other.public_dir),
            pool_v4: self.pool_v4.or(other.pool_v4),
            pool_v6: self.pool_v6.or(other.pool_v6),
            dns: self.dns.or(other.dns),
            title: self.title.or(other.title),
            check_endpoints: self.check_endpoints.or(other.check_endpoints),
            witnesses: self.witnesses.or(other.witnesses),
            destination_delay_hours: self.destination_delay_hours.or(other.destination_delay_hours),
            name_resolver: self.name_resolver.or(other.name_resolver),
            chain: self.chain.or(other.chain),
        }
    }

    /// Checks every value and fills in the defaults.
    ///
    /// # Errors
    /// The first field that is missing or not of its form.
    pub fn checked(self) -> Result<Config, ConfigError> {
        let origin: Origin = value(
            "origin",
            &required(
                "origin",
                self.origin,
                "name the record log, for good, such as \"grants.example/record\"",
            )?,
            "a log's name: 1 to 180 printable ASCII characters without spaces and '+'",
        )?;
        if origin.as_str().len() > 180 {
            return Err(refused("origin", origin.as_str(), "at most 180 characters long"));
        }
        let network = required("network", self.network, "choose bitcoin, testnet4, signet or regtest")?;
        let network = value("network", &network, "bitcoin, testnet4, signet or regtest")?;
        let listen = self.listen.unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let listen: SocketAddr =
            value("listen", &listen, "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080")?;
        let tls = tls(self.tls_certificate, self.tls_key)?;
        let data_dir = required("data_dir", self.data_dir, "name a folder for keys and data")?;
        Ok(Config {
            public_urls: public_urls(self.public_urls, own_url(listen, tls.as_ref()))?,
            monitor_listen: monitor_listen(self.monitor_listen)?,
            tls,
            tls_pin: self.tls_pin,
            database: database(self.database, &data_dir)?,
            check_endpoints: self.check_endpoints.unwrap_or(true),
            public_dir: self.public_dir.unwrap_or_else(|| data_dir.join("public")),
            pool_v4: pool_v4(&self.pool_v4.unwrap_or_else(|| "10.64.0.0/10".to_owned()))?,
            pool_v6: pool_v6(&self.pool_v6.unwrap_or_else(|| "fd77:6772::/32".to_owned()))?,
            dns: resolvers(self.dns)?,
            title: title(self.title, &origin)?,
            witnesses: witness::checked(self.witnesses.unwrap_or_default())?,
            destination_delay_seconds: destination_delay(self.destination_delay_hours)?,
            name_resolver: name_resolver(self.name_resolver)?,
            chain: self.chain.checked(network)?,
            origin,
            network,
            listen,
            data_dir,
        })
    }
}

fn destination_delay(hours: Option<u64>) -> Result<u64, ConfigError> {
    let hours = hours.unwrap_or(DESTINATION_DELAY_HOURS);
    if hours > MAX_DESTINATION_DELAY_HOURS {
        return Err(refused("destination_delay_hours", &hours.to_string(), "0 to 8760 hours"));
    }
    Ok(hours * 3_600)
}

fn name_resolver(given: Option<String>) -> Result<Option<SocketAddr>, ConfigError> {
    let expected = "an IP address and a port, such as 127.0.0.53:53";
    given.map(|given| value("name_resolver", &given, expected)).transpose()
}

fn required<T>(field: &'static str, given: Option<T>, expected: &'static str) -> Result<T, ConfigError> {
    given.ok_or(ConfigError::Absent { field, expected })
}

fn refused(field: &'static str, given: &str, expected: &'static str) -> ConfigError {
    ConfigError::Value { field, value: given.to_owned(), expected }
}

fn value<T: FromStr>(field: &'static str, given: &str, expected: &'static str) -> Result<T, ConfigError> {
    given.parse().map_err(|_| refused(field, given, expected))
}

fn monitor_listen(given: Option<String>) -> Result<Option<SocketAddr>, ConfigError> {
    let Some(given) = given else { return Ok(None) };
    let expected =
        "an address on loopback and a port, such as 127.0.0.1:9464: what it tells is for this machine alone";
    let address: SocketAddr = value("monitor_listen", &given, expected)?;
    if address.ip().is_loopback() {
        Ok(Some(address))
    } else {
        Err(refused("monitor_listen", &given, expected))
    }
}

fn tls(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, ConfigError> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (Some(_), None) => Err(ConfigError::Absent {
            field: "tls_key",
            expected: "name the file with the certificate's private key",
        }),
        (None, Some(_)) => Err(ConfigError::Absent {
            field: "tls_certificate",
            expected: "name the file with the key's certificate",
        }),
    }
}

fn own_url(listen: SocketAddr, tls: Option<&TlsFiles>) -> String {
    let scheme = if tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{listen}")
}

fn public_urls(given: Option<Vec<String>>, own: String) -> Result<Vec<String>, ConfigError> {
    let urls = given.unwrap_or_else(|| vec![own]);
    if urls.is_empty() || urls.len() > MAX_PUBLIC_URLS {
        return Err(refused("public_urls", &urls.len().to_string(), "1 to 8 addresses"));
    }
    let good = |url: &str| {
        url.strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"))
            .is_some_and(|host| !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic()))
    };
    urls.into_iter()
        .map(|url| {
            if good(&url) {
                Ok(url.trim_end_matches('/').to_owned())
            } else {
                Err(refused("public_urls", &url, "an address that begins with http:// or https://"))
            }
        })
        .collect()
}

fn database(given: Option<String>, data_dir: &Path) -> Result<String, ConfigError> {
    let url = given.unwrap_or_else(|| format!("sqlite:{}", data_dir.join("wiregrant.db").display()));
    let known = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    if known {
        Ok(url)
    } else {
        // Only the scheme is repeated: the rest may hold a password.
        let scheme = url.split(':').next().unwrap_or_default();
        Err(refused("database", scheme, "sqlite:<file> or postgres://<user>@<host>/<database>"))
    }
}

fn pool_v4(given: &str) -> Result<Ipv4Net, ConfigError> {
    let expected = "an IPv4 network of at least one /22, such as 10.64.0.0/10";
    let pool: Ipv4Net = value("pool_v4", given, expected)?;
    if pool.prefix_len() <= NODE_PREFIX_V4 && pool.trunc() == pool {
        Ok(pool)
    } else {
        Err(refused("pool_v4", given, expected))
    }
}

fn pool_v6(given: &str) -> Result<Ipv6Net, ConfigError> {
    let expected = "an IPv6 network of at least one /64, such as fd77:6772::/32";
    let pool: Ipv6Net = value("pool_v6", given, expected)?;
    if pool.prefix_len() <= NODE_PREFIX_V6 && pool.trunc() == pool {
        Ok(pool)
    } else {
        Err(refused("pool_v6", given, expected))
    }
}

fn resolvers(given: Option<Vec<String>>) -> Result<Vec<IpAddr>, ConfigError> {
    // Quad9: a foundation under Swiss law that keeps no client addresses; a resolver of the node's own would need one more
    // service on it, and would show its operator what people look up.
    let given = given.unwrap_or_else(|| vec!["9.9.9.9".to_owned(), "2620:fe::fe".to_owned()]);
    if given.is_empty() || given.len() > MAX_RESOLVERS {
        return Err(refused("dns", &given.len().to_string(), "1 to 4 resolvers"));
    }
    given.iter().map(|address| value("dns", address, "an IP address, such as 9.9.9.9")).collect()
}

fn title(given: Option<String>, origin: &Origin) -> Result<String, ConfigError> {
    let title = given.unwrap_or_else(|| origin.to_string());
    let good = (1..=MAX_TITLE_CHARS).contains(&title.chars().count()) && !title.chars().any(char::is_control);
    if good { Ok(title) } else { Err(refused("title", &title, "one line of 1 to 100 characters")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smallest() -> ConfigFile {
        ConfigFile {
            origin: Some("grants.example/record".into()),
            network: Some("regtest".into()),
            data_dir: Some("/var/lib/wiregrant".into()),
            ..ConfigFile::default()
        }
    }

    #[test]
    fn three_fields_suffice_and_the_rest_has_defaults() {
        let config = smallest().checked().unwrap();
        assert_eq!(config.database, "sqlite:/var/lib/wiregrant/wiregrant.db");
        assert_eq!(config.public_urls, ["http://127.0.0.1:8080"]);
        assert_eq!(config.public_dir, Path::new("/var/lib/wiregrant/public"));
        assert_eq!(config.title, "grants.example/record");
    }

    #[test]
    fn what_is_written_reads_back_and_flags_go_before_it() {
        let text = toml::to_string(&smallest()).unwrap();
        assert_eq!(toml::from_str::<ConfigFile>(&text).unwrap(), smallest());
        let flags = ConfigFile { network: Some("signet".into()), ..ConfigFile::default() };
        let config = flags.or(smallest()).checked().unwrap();
        assert_eq!((config.network, config.origin.as_str()), (Network::Signet, "grants.example/record"));
    }

    #[test]
    fn every_refusal_names_field_value_and_way_out() {
        let change = |change: fn(&mut ConfigFile)| {
            let mut file = smallest();
            change(&mut file);
            file.checked().unwrap_err().to_string()
        };
        for (message, names) in [
            (change(|f| f.origin = None), ["origin", "grants.example/record"]),
            (change(|f| f.origin = Some("a b".into())), ["origin", "a b"]),
            (change(|f| f.network = Some("mainnet".into())), ["mainnet", "bitcoin, testnet4"]),
            (change(|f| f.listen = Some("localhost".into())), ["listen", "localhost"]),
            (change(|f| f.public_urls = Some(vec!["ftp://x".into()])), ["public_urls", "ftp://x"]),
            (change(|f| f.public_urls = Some(vec![])), ["public_urls", "1 to 8"]),
            (change(|f| f.data_dir = None), ["data_dir", "folder"]),
            (change(|f| f.monitor_listen = Some("0.0.0.0:9464".into())), ["monitor_listen", "loopback"]),
            (change(|f| f.tls_key = Some("key.pem".into())), ["tls_certificate", "missing"]),
            (change(|f| f.tls_certificate = Some("cert.pem".into())), ["tls_key", "missing"]),
            (change(|f| f.pool_v4 = Some("10.0.0.0/24".into())), ["pool_v4", "/22"]),
            (change(|f| f.pool_v4 = Some("10.0.0.1/8".into())), ["pool_v4", "10.0.0.1/8"]),
            (change(|f| f.pool_v6 = Some("fd00::/65".into())), ["pool_v6", "/64"]),
            (change(|f| f.dns = Some(vec!["one".into()])), ["dns", "one"]),
            (change(|f| f.title = Some("a\nb".into())), ["title", "one line"]),
        ] {
            assert!(names.iter().all(|name| message.contains(name)), "{message}");
        }
    }

    #[test]
    fn a_refused_database_does_not_show_its_password() {
        let file = ConfigFile { database: Some("mysql://me:hunter2@host/db".into()), ..smallest() };
        let message = file.checked().unwrap_err().to_string();
        assert!(message.contains("mysql") && !message.contains("hunter2"), "{message}");
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        assert!(ConfigFile::read(&path).unwrap_err().to_string().contains("init"));
        std::fs::write(&path, "orign = \"x\"\n").unwrap();
        let message = ConfigFile::read(&path).unwrap_err().to_string();
        assert!(message.contains("orign") && message.contains("line 1"), "{message}");
    }
}
