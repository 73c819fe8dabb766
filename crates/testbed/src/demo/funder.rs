//! `Funder`: who pays. A Bitcoin node on a network of its own (regtest) with a wallet, in the control plane's host, so that
//! the control plane can look for payments there too.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::bitcoind::{self, Bitcoind};
use crate::host::Host;
use crate::programs::Programs;
use crate::relay::Relay;

/// The usual port of a node on regtest; the host is its own.
const PORT: u16 = 18443;
/// The coin's value: enough for a grant and a fee.
const COIN_SATS: u64 = 5_000_000;

/// A node with a wallet, and the way to it from here.
pub struct Funder {
    /// The node.
    pub node: Bitcoind,
    /// The funder's address for what is left over.
    pub change: String,
    relay: Relay,
}

impl Funder {
    /// Starts the node in `host`, with its files in `folder`, and mines the first coins.
    ///
    /// # Errors
    /// What it says when it cannot start.
    pub fn start(programs: &Programs, host: &Host, folder: &Path, logs: &Path) -> Result<Self> {
        let folder = folder.join("bitcoin");
        std::fs::create_dir_all(&folder).context("the Bitcoin node's folder")?;
        let relay = Relay::start(programs, host, &format!("127.0.0.1:{PORT}"), logs)?;
        let url = format!("http://{}", relay.address);
        let node = Bitcoind::spawn(host.command(bitcoind::program()?), &folder, PORT, url)?;
        node.fill_wallet()?;
        let change = node.address("bech32")?;
        Ok(Self { node, change, relay })
    }

    /// The node's address as seen from its host.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{PORT}")
    }

    /// What lets a program of the host ask the node.
    pub fn cookie_file(&self) -> PathBuf {
        self.node.cookie_file.clone()
    }

    /// A coin of the wallet, as `wiregrant batch create --coins` reads it: `txid:vout:sats:address`.
    ///
    /// # Errors
    /// The wallet's own words.
    pub fn coin(&self) -> Result<String> {
        let coin = self.node.coin("bech32", COIN_SATS)?;
        let text = |field: &str| coin[field].as_str().with_context(|| format!("{field} of {coin}"));
        Ok(format!("{}:{}:{COIN_SATS}:{}\n", text("txid")?, coin["vout"], text("address")?))
    }

    /// Fails when the way to the node is gone.
    ///
    /// # Errors
    /// Exit status and log.
    pub fn still_runs(&mut self) -> Result<()> {
        self.relay.still_runs()
    }
}
