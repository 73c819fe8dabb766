//! Where payments are looked for: the table `[chain]` of the configuration.

use std::path::PathBuf;

use bitcoin::BlockHash;
use serde::{Deserialize, Serialize};
use wiregrant_core::note::Network;

use super::{ConfigError, refused, required};

/// Blocks come every ten minutes; a payment that waits is seen within this, in seconds.
const POLL_SECONDS: u64 = 10;
/// A server is somebody else's.
const SERVER_POLL_SECONDS: u64 = 60;
const LONGEST_POLL_SECONDS: u64 = 3_600;
/// Whom one may ask.
const SOURCES: &str = "core-rpc, filters, electrum, esplora or none";

/// The table as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct ChainFile {
    /// Where payments are looked for: `core-rpc` for a Bitcoin Core node (a pruned one is enough), `filters` for the network's
    /// own compact block filters where there is no node, `electrum` or `esplora` for a server that then learns which
    /// transactions are waited for, or `none` [default: none].
    #[arg(long = "chain-source", id = "chain_source", value_name = "SOURCE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The node's RPC [default: on this machine, at the network's usual port], or the server's API; an Electrum server's is
    /// `ssl://host:port` or `tcp://host:port`.
    #[arg(long = "chain-url", id = "chain_url", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The cookie file that the node writes into its data folder when it starts.
    #[arg(long = "chain-cookie-file", id = "chain_cookie_file", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie_file: Option<PathBuf>,
    /// Peers with block filters, `host:port`, separated by commas, for `filters` [default: those of the network's seeds].
    #[arg(long = "chain-peers", id = "chain_peers", value_name = "HOST:PORT,...")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<String>,
    /// A block from before the first payout, `height:hash`, up to which `filters` takes the chain for granted; needed on the
    /// main network, where reading it from its beginning would take days.
    #[arg(long = "chain-start", id = "chain_start", value_name = "HEIGHT:HASH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
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
    /// Seconds between two looks.
    pub poll_seconds: u64,
}

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainSourceConfig {
    /// A Bitcoin Core node.
    CoreRpc {
        /// Where its RPC listens.
        url: String,
        /// The file with its cookie.
        cookie_file: PathBuf,
    },
    /// Peers of the network, by compact block filters.
    Filters {
        /// `host:port`; none for those of the network's seeds.
        peers: Vec<String>,
        /// Height and hash of a block from before the first payout.
        start: Option<(u32, BlockHash)>,
    },
    /// An Electrum server.
    Electrum {
        /// `ssl://host:port` or `tcp://host:port`.
        url: String,
    },
    /// An Esplora server.
    Esplora {
        /// Where its API lies.
        url: String,
    },
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
            peers: self.peers.or(other.peers),
            start: self.start.or(other.start),
            poll_seconds: self.poll_seconds.or(other.poll_seconds),
        }
    }

    /// Checks every value; `None` where the chain is not looked at.
    ///
    /// # Errors
    /// The first field that is missing or not of its form.
    pub(super) fn checked(self, network: Network) -> Result<Option<ChainConfig>, ConfigError> {
        let word = match self.source.as_deref() {
            None if self.is_empty() => return Ok(None),
            Some("none") => return Ok(None),
            None => return Err(refused("chain.source", "", SOURCES)),
            Some(word) => word.to_owned(),
        };
        let is_server = matches!(word.as_str(), "electrum" | "esplora");
        let default_seconds = if is_server { SERVER_POLL_SECONDS } else { POLL_SECONDS };
        let poll_seconds = self.poll_seconds.unwrap_or(default_seconds);
        if !(1..=LONGEST_POLL_SECONDS).contains(&poll_seconds) {
            return Err(refused("chain.poll_seconds", &poll_seconds.to_string(), "1 to 3600 seconds"));
        }
        let source = match word.as_str() {
            "core-rpc" => self.core_rpc(network)?,
            "filters" => self.filters(network)?,
            "electrum" => ChainSourceConfig::Electrum {
                url: required(
                    "chain.url",
                    self.url,
                    "name the server, such as ssl://electrum.example.org:50002",
                )?,
            },
            "esplora" => ChainSourceConfig::Esplora {
                url: required(
                    "chain.url",
                    self.url,
                    "name the server's API, such as https://blockstream.info/api",
                )?,
            },
            other => return Err(refused("chain.source", other, SOURCES)),
        };
        Ok(Some(ChainConfig { source, poll_seconds }))
    }

    fn core_rpc(self, network: Network) -> Result<ChainSourceConfig, ConfigError> {
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
        let url = self.url.unwrap_or_else(|| format!("http://127.0.0.1:{port}"));
        Ok(ChainSourceConfig::CoreRpc { url, cookie_file })
    }

    fn filters(self, network: Network) -> Result<ChainSourceConfig, ConfigError> {
        let peers = self.peers.unwrap_or_default();
        let peers = peers.split(',').map(str::trim).filter(|peer| !peer.is_empty()).map(str::to_owned);
        let start = match self.start {
            None if network == Network::Bitcoin => {
                return Err(refused(
                    "chain.start",
                    "",
                    "said: the height and hash of a block from before the first payout, such as any wallet shows",
                ));
            }
            None => None,
            Some(text) => {
                let parts = text
                    .split_once(':')
                    .and_then(|(height, hash)| Some((height.parse().ok()?, hash.parse::<BlockHash>().ok()?)));
                let expected = "the height and hash of a block, height:hash";
                Some(parts.ok_or_else(|| refused("chain.start", &text, expected))?)
            }
        };
        Ok(ChainSourceConfig::Filters { peers: peers.collect(), start })
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
        let url = |config: ChainConfig| match config.source {
            ChainSourceConfig::CoreRpc { url, .. } => url,
            other => panic!("{other:?}"),
        };
        assert_eq!((url(config.clone()).as_str(), config.poll_seconds), ("http://127.0.0.1:8332", 10));
        assert_eq!(url(node().checked(Network::Signet).unwrap().unwrap()), "http://127.0.0.1:38332");
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
                refused(ChainFile { source: Some("neutrino".into()), ..node() }),
                ["neutrino", "core-rpc, filters, electrum, esplora or none"],
            ),
            (refused(ChainFile { source: Some("esplora".into()), ..node() }), ["chain.url", "blockstream"]),
            (refused(ChainFile { source: Some("electrum".into()), ..node() }), ["chain.url", "ssl://"]),
            (
                refused(ChainFile {
                    source: Some("filters".into()),
                    start: Some("7".into()),
                    ..ChainFile::default()
                }),
                ["chain.start", "height:hash"],
            ),
            (refused(ChainFile { cookie_file: None, ..node() }), ["chain.cookie_file", ".cookie"]),
            (refused(ChainFile { poll_seconds: Some(0), ..node() }), ["chain.poll_seconds", "1 to 3600"]),
        ] {
            assert!(names.iter().all(|name| message.contains(name)), "{message}");
        }
    }

    #[test]
    fn filters_need_a_start_on_the_main_network_and_nothing_else() {
        let file = || ChainFile { source: Some("filters".into()), ..ChainFile::default() };
        let source = |file: ChainFile, network| file.checked(network).map(|config| config.unwrap().source);
        let expected = ChainSourceConfig::Filters { peers: vec![], start: None };
        assert_eq!(source(file(), Network::Signet).unwrap(), expected);
        let refusal = source(file(), Network::Bitcoin).unwrap_err().to_string();
        assert!(refusal.contains("chain.start"), "{refusal}");
        let hash = "0000000000000000000000000000000000000000000000000000000000000007";
        let full =
            ChainFile { start: Some(format!("900000:{hash}")), peers: Some("a:1, b:2".into()), ..file() };
        let expected = ChainSourceConfig::Filters {
            peers: vec!["a:1".into(), "b:2".into()],
            start: Some((900_000, hash.parse().unwrap())),
        };
        assert_eq!(source(full, Network::Bitcoin).unwrap(), expected);
    }
}
