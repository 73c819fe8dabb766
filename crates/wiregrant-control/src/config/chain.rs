//! Where payments are looked for: the table `[chain]` of the configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wiregrant_core::note::Network;

use super::{ConfigError, refused, required};

/// Blocks come every ten minutes; a payment that waits is seen within this, in seconds.
const POLL_SECONDS: u64 = 10;
/// A server is somebody else's.
const SERVER_POLL_SECONDS: u64 = 60;
const LONGEST_POLL_SECONDS: u64 = 3_600;

/// The table as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct ChainFile {
    /// Where payments are looked for: `core-rpc` for a Bitcoin Core node (a pruned one is enough), `esplora` for a server that
    /// then learns which transactions are waited for, or `none` [default: none].
    #[arg(long = "chain-source", id = "chain_source", value_name = "SOURCE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The node's RPC [default: on this machine, at the network's usual port], or the server's API.
    #[arg(long = "chain-url", id = "chain_url", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The cookie file that the node writes into its data folder when it starts.
    #[arg(long = "chain-cookie-file", id = "chain_cookie_file", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie_file: Option<PathBuf>,
    /// Seconds between two looks, 1 to 3600 [default: 10; 60 for a server].
    #[arg(long = "chain-poll-seconds", id = "chain_poll_seconds", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_seconds: Option<u64>,
}

/// Where to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainConfig {
    /// Whom.
    pub source: ChainSourceConfig,
    /// Where it listens.
    pub url: String,
    /// Seconds between two looks.
    pub poll_seconds: u64,
}

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainSourceConfig {
    /// A Bitcoin Core node.
    CoreRpc {
        /// The file with its cookie.
        cookie_file: PathBuf,
    },
    /// An Esplora server.
    Esplora,
}

impl ChainFile {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These values, and those of `other` where there is none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            source: self.source.or(other.source),
            url: self.url.or(other.url),
            cookie_file: self.cookie_file.or(other.cookie_file),
            poll_seconds: self.poll_seconds.or(other.poll_seconds),
        }
    }

    /// Checks every value; `None` where the chain is not looked at.
    ///
    /// # Errors
    /// The first field that is missing or not of its form.
    pub(super) fn checked(self, network: Network) -> Result<Option<ChainConfig>, ConfigError> {
        let core_rpc = match self.source.as_deref() {
            None if self == Self::default() => return Ok(None),
            Some("none") => return Ok(None),
            Some("core-rpc") => true,
            Some("esplora") => false,
            None => return Err(refused("chain.source", "", "said: name core-rpc, esplora or none")),
            Some(other) => return Err(refused("chain.source", other, "core-rpc, esplora or none")),
        };
        let default_seconds = if core_rpc { POLL_SECONDS } else { SERVER_POLL_SECONDS };
        let poll_seconds = self.poll_seconds.unwrap_or(default_seconds);
        if !(1..=LONGEST_POLL_SECONDS).contains(&poll_seconds) {
            return Err(refused("chain.poll_seconds", &poll_seconds.to_string(), "1 to 3600 seconds"));
        }
        if !core_rpc {
            let url = required(
                "chain.url",
                self.url,
                "name the server's API, such as https://blockstream.info/api",
            )?;
            return Ok(Some(ChainConfig { source: ChainSourceConfig::Esplora, url, poll_seconds }));
        }
        let port = match network {
            Network::Bitcoin => 8332,
            Network::Testnet4 => 48332,
            Network::Signet => 38332,
            Network::Regtest => 18443,
        };
        let cookie_file = required(
            "chain.cookie_file",
            self.cookie_file,
            "name the file `.cookie` in the node's data folder, such as /var/lib/bitcoind/.cookie",
        )?;
        Ok(Some(ChainConfig {
            source: ChainSourceConfig::CoreRpc { cookie_file },
            url: self.url.unwrap_or_else(|| format!("http://127.0.0.1:{port}")),
            poll_seconds,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> ChainFile {
        ChainFile {
            source: Some("core-rpc".into()),
            cookie_file: Some("/var/lib/bitcoind/.cookie".into()),
            ..ChainFile::default()
        }
    }

    #[test]
    fn a_node_needs_its_cookie_and_the_rest_has_defaults() {
        let config = node().checked(Network::Bitcoin).unwrap().unwrap();
        assert_eq!((config.url.as_str(), config.poll_seconds), ("http://127.0.0.1:8332", 10));
        assert_eq!(node().checked(Network::Signet).unwrap().unwrap().url, "http://127.0.0.1:38332");
        assert_eq!(ChainFile::default().checked(Network::Bitcoin).unwrap(), None);
        let none = ChainFile { source: Some("none".into()), ..node() };
        assert_eq!(none.checked(Network::Bitcoin).unwrap(), None);
    }

    #[test]
    fn every_refusal_names_field_value_and_way_out() {
        let refused = |file: ChainFile| file.checked(Network::Regtest).unwrap_err().to_string();
        for (message, names) in [
            (refused(ChainFile { source: None, ..node() }), ["chain.source", "core-rpc"]),
            (
                refused(ChainFile { source: Some("electrum".into()), ..node() }),
                ["electrum", "core-rpc, esplora or none"],
            ),
            (refused(ChainFile { source: Some("esplora".into()), ..node() }), ["chain.url", "blockstream"]),
            (refused(ChainFile { cookie_file: None, ..node() }), ["chain.cookie_file", ".cookie"]),
            (refused(ChainFile { poll_seconds: Some(0), ..node() }), ["chain.poll_seconds", "1 to 3600"]),
        ] {
            assert!(names.iter().all(|name| message.contains(name)), "{message}");
        }
    }
}
