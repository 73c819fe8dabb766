//! `Bitcoind`: a real Bitcoin node on a network of its own (regtest), with a wallet that plays the funder's.
//!
//! The control plane's tests include this file too, so it leans on nothing else of this crate.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wiregrant_chain::CoreRpc;
use wiregrant_core::note::Network;

/// Names the program to use; else the one in `PATH`, else the one that `cargo xtask test packages` unpacked.
pub const VARIABLE: &str = "BITCOIND_EXE";
/// Where that lies, below the target folder.
const UNPACKED: &str = "tools/bitcoin/bitcoind";
/// The funder's wallet.
const WALLET: &str = "funder";
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Two minutes' worth: a node starts within two seconds, on a loaded machine within thirty.
const MOST_POLLS: u32 = 2_400;
/// Five seconds' worth.
const POLLS_A_BLOCK: u32 = 100;
/// Another process may take a free port before the node does.
const MOST_STARTS: u32 = 3;
/// A block's reward may be spent a hundred blocks later.
const MATURITY: u32 = 101;

/// A node, gone when it is dropped.
pub struct Bitcoind {
    child: Child,
    /// Its questions and answers.
    pub rpc: CoreRpc,
    /// Where it listens for them.
    pub url: String,
    /// What it lets in.
    pub cookie_file: PathBuf,
}

/// The program.
///
/// # Errors
/// Says how to get one.
pub fn program() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&in_path).map(|folder| folder.join("bitcoind"));
    let executable = std::env::current_exe()?;
    let beside = executable.ancestors().map(|folder| folder.join(UNPACKED));
    in_path.chain(beside).find(|file| file.is_file()).with_context(|| {
        format!("there is no bitcoind: cargo xtask test packages, or name one in {VARIABLE}")
    })
}

impl Bitcoind {
    /// A pruned node in `folder` that nobody connects to, with an empty wallet.
    ///
    /// # Errors
    /// What it says when it cannot start.
    pub fn start(folder: &Path) -> Result<Self> {
        let mut failure = None;
        for _ in 0..MOST_STARTS {
            match Self::on_free_ports(folder) {
                Ok(node) => return Ok(node),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.expect("it was tried"))
    }

    fn on_free_ports(folder: &Path) -> Result<Self> {
        let port = free_port()?;
        Self::spawn(Command::new(program()?), folder, port, format!("http://127.0.0.1:{port}"))
    }

    /// The same by a command that runs the program where it belongs, listening at a port there, which is reached from here
    /// at `url`.
    ///
    /// # Errors
    /// What it says when it cannot start.
    pub fn spawn(mut command: Command, folder: &Path, rpc_port: u16, url: String) -> Result<Self> {
        let log = folder.join("bitcoind.log");
        let output = File::create(&log)?;
        // What the command says already is not said a second time: of some options the last counts.
        let said: Vec<String> =
            command.get_args().map(|argument| option(&argument.to_string_lossy()).to_owned()).collect();
        let unsaid =
            arguments(folder, rpc_port).into_iter().filter(|it| !said.iter().any(|said| said == option(it)));
        let mut child = command
            .args(unsaid)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // A Ctrl-C in the terminal is for whoever started this, who then takes everything down in order.
            .process_group(0)
            .spawn()
            .context("bitcoind")?;
        let cookie_file = folder.join("regtest/.cookie");
        let mut polls = 0;
        let rpc = loop {
            match CoreRpc::open(&url, cookie_file.clone(), Network::Regtest) {
                Ok(rpc) => break rpc,
                Err(error) if child.try_wait()?.is_some() || polls == MOST_POLLS => {
                    let _ = child.kill();
                    let _ = child.wait();
                    bail!("bitcoind: {error}\n{}", std::fs::read_to_string(&log).unwrap_or_default());
                }
                Err(_) => std::thread::sleep(POLL_INTERVAL),
            }
            polls += 1;
        };
        let node = Self { child, rpc, url, cookie_file };
        let _: Value = node.rpc.call("createwallet", &json!([WALLET]))?;
        Ok(node)
    }

    /// Asks the wallet.
    ///
    /// # Errors
    /// The wallet's own words.
    pub fn wallet<T: DeserializeOwned>(&self, method: &str, parameters: &Value) -> Result<T> {
        Ok(self.rpc.call_at(&format!("/wallet/{WALLET}"), method, parameters)?)
    }

    /// A fresh address of the wallet, of a kind that `getnewaddress` names (`bech32`, `bech32m`, `legacy`, `p2sh-segwit`).
    ///
    /// # Errors
    /// The wallet's own words.
    pub fn address(&self, kind: &str) -> Result<String> {
        self.wallet("getnewaddress", &json!(["", kind]))
    }

    /// Mines blocks with all that waits, and gives their hashes.
    ///
    /// # Errors
    /// The node's own words.
    pub fn mine(&self, blocks: u32) -> Result<Vec<String>> {
        let address = self.address("bech32")?;
        Ok(self.rpc.call("generatetoaddress", &json!([blocks, address]))?)
    }

    /// Mines until the wallet has a coin of 50 bitcoin that may be spent.
    ///
    /// # Errors
    /// The node's own words.
    pub fn fill_wallet(&self) -> Result<()> {
        self.mine(MATURITY).map(drop)
    }

    /// Makes a coin of so many sats at a fresh address of the wallet, and mines it. The coin as `listunspent` shows it; the
    /// wallet spends it only where it is told to.
    ///
    /// # Errors
    /// The wallet's own words.
    pub fn coin(&self, kind: &str, sats: u64) -> Result<Value> {
        let address = self.address(kind)?;
        let txid: String = self.wallet("sendtoaddress", &json!([address, bitcoins(sats)]))?;
        let coin = self.mined(&address, &txid)?;
        let outpoint = json!([{ "txid": coin["txid"], "vout": coin["vout"] }]);
        let _: bool = self.wallet("lockunspent", &json!([false, outpoint]))?;
        Ok(coin)
    }

    /// Mines until this transaction has brought the address a coin. A block that is made right after it, on a busy machine, may be
    /// without it.
    fn mined(&self, address: &str, txid: &str) -> Result<Value> {
        for poll in 0..MOST_POLLS {
            if poll % POLLS_A_BLOCK == 0 {
                self.mine(1)?;
            }
            let coins: Vec<Value> = self.wallet("listunspent", &json!([1, 9_999_999, [address]]))?;
            if let Some(coin) = coins.into_iter().find(|coin| coin["txid"] == txid) {
                return Ok(coin);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        bail!("the wallet has no coin of transaction {txid}, which it has made itself")
    }

    /// Lets the wallet sign a PSBT, as a funder would; the signed transaction in hexadecimal.
    ///
    /// # Errors
    /// It is not the wallet's to sign, or not complete then.
    pub fn sign(&self, psbt: &str) -> Result<String> {
        let signed: Value = self.wallet("walletprocesspsbt", &json!([psbt]))?;
        if signed["complete"] != json!(true) {
            bail!("the wallet cannot sign all of it: {signed}");
        }
        let finished: Value = self.rpc.call("finalizepsbt", &json!([signed["psbt"]]))?;
        Ok(finished["hex"].as_str().context("a final transaction")?.to_owned())
    }

    /// Hands a transaction to the network; its id.
    ///
    /// # Errors
    /// The node does not take it.
    pub fn broadcast(&self, hex: &str) -> Result<String> {
        Ok(self.rpc.call("sendrawtransaction", &json!([hex]))?)
    }
}

impl Drop for Bitcoind {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The name of an option, without its value.
fn option(argument: &str) -> &str {
    argument.split_once('=').map_or(argument, |(name, _)| name)
}

/// What a node of its own network is started with.
fn arguments(folder: &Path, rpc_port: u16) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "-regtest",
        "-server",
        "-prune=550",
        "-listen=0",
        "-listenonion=0",
        "-dnsseed=0",
        "-fixedseeds=0",
        "-discover=0",
        "-natpmp=0",
        "-fallbackfee=0.00002",
        "-dbcache=4",
        "-par=1",
        "-rpcbind=127.0.0.1",
        "-rpcallowip=127.0.0.1",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("-datadir={}", folder.display()));
    arguments.push(format!("-rpcport={rpc_port}"));
    arguments
}

/// Sats as the RPC takes amounts: a decimal string of bitcoins.
#[must_use]
pub fn bitcoins(sats: u64) -> String {
    format!("{}.{:08}", sats / 100_000_000, sats % 100_000_000)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
