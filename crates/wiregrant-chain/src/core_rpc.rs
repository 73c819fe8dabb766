//! `CoreRpc`: a Bitcoin Core node (or one that speaks its JSON-RPC), asked for blocks and for what waits.
//!
//! Only what every node can answer is asked: no wallet, no transaction index, and a pruned node is enough, because each
//! new block is read as it comes. Of the RPC's amounts, which are floats, none is ever looked at: blocks and transactions
//! come in Bitcoin's own form.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::{Block, BlockHash, OutPoint, Transaction, Txid};
use data_encoding::BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use ureq::Agent;
use wiregrant_core::note::Network;
use wiregrant_payout::{Watch, WatchedBatch};

use crate::http;
use crate::{BlockRef, ChainError, ChainSource};

/// Bitcoin Core's `RPC_INVALID_ADDRESS_OR_KEY`: no such block or transaction.
const NOT_FOUND: i64 = -5;
/// `RPC_INVALID_PARAMETER`: among others, a height above the tip.
const INVALID_PARAMETER: i64 = -8;
/// `RPC_MISC_ERROR`: among others, a block that was pruned.
const MISC: i64 = -1;
/// The most bytes of a cookie file.
const MAX_COOKIE_BYTES: usize = 1_000;
/// The most outpoints asked about in one question.
const OUTPOINTS_AT_ONCE: usize = 500;

/// A node.
pub struct CoreRpc {
    agent: Agent,
    url: String,
    cookie_file: PathBuf,
}

/// A JSON-RPC answer.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
struct ChainInfo {
    chain: String,
}

#[derive(Deserialize)]
struct Header {
    hash: String,
    height: u32,
    time: u32,
    /// The first block has none.
    previousblockhash: Option<String>,
}

#[derive(Deserialize)]
struct Located {
    hex: String,
    /// Absent while it waits.
    #[serde(default)]
    confirmations: u32,
}

#[derive(Deserialize)]
struct SpendingPrevout {
    spendingtxid: Option<String>,
}

impl CoreRpc {
    /// The node at `url`, which must be on `network`; who holds its cookie file may ask it.
    ///
    /// # Errors
    /// [`ChainError::Url`], [`ChainError::OtherNetwork`], or it cannot be reached.
    pub fn open(url: &str, cookie_file: PathBuf, network: Network) -> Result<Self, ChainError> {
        let node = Self { agent: http::agent(), url: http::checked_url(url)?, cookie_file };
        let info: ChainInfo = node.call("getblockchaininfo", &json!([]))?;
        let expected = match network {
            Network::Bitcoin => "main",
            Network::Testnet4 => "testnet4",
            Network::Signet => "signet",
            Network::Regtest => "regtest",
        };
        if info.chain != expected {
            return Err(ChainError::OtherNetwork { expected: network, found: info.chain });
        }
        Ok(node)
    }

    /// Asks one question. Public for those who run a node of their own for tests; a control plane asks only what
    /// [`ChainSource`] has.
    ///
    /// # Errors
    /// [`ChainError::Refused`] with the node's own words, or no answer of the expected form.
    pub fn call<T: DeserializeOwned>(&self, method: &str, parameters: &Value) -> Result<T, ChainError> {
        self.call_at("", method, parameters)
    }

    /// As [`Self::call`], at a path below the node's address: `/wallet/<name>` has a wallet's methods.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn call_at<T: DeserializeOwned>(
        &self,
        path: &str,
        method: &str,
        parameters: &Value,
    ) -> Result<T, ChainError> {
        let body = json!({ "jsonrpc": "1.0", "id": 0, "method": method, "params": parameters }).to_string();
        let request = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("Authorization", format!("Basic {}", self.credentials()?))
            .header("Content-Type", "application/json");
        let (status, bytes) = http::read(&self.url, request.send(body))?;
        if status == 401 || status == 403 {
            return Err(ChainError::Unauthorized { url: self.url.clone() });
        }
        read_answer(method, &bytes)
    }

    /// Read for each question, because the node writes a new cookie each time it starts.
    fn credentials(&self) -> Result<String, ChainError> {
        let failed = |problem: String| {
            let path = self.cookie_file.display().to_string();
            ChainError::Cookie { path, problem }
        };
        let cookie = std::fs::read(&self.cookie_file).map_err(|error| failed(error.to_string()))?;
        let cookie = cookie.trim_ascii();
        if cookie.is_empty() || cookie.len() > MAX_COOKIE_BYTES || !cookie.contains(&b':') {
            return Err(failed("it is no cookie (`user:password`)".to_owned()));
        }
        Ok(BASE64.encode(cookie))
    }

    fn header(&self, hash: &str) -> Result<BlockRef, ChainError> {
        const METHOD: &str = "getblockheader";
        let header: Header = self.call(METHOD, &json!([hash, true]))?;
        if header.hash != hash {
            return Err(ChainError::form(METHOD, format!("is of {}, not {hash}", header.hash)));
        }
        let previous = header.previousblockhash.map(|previous| parsed(METHOD, &previous)).transpose()?;
        Ok(BlockRef {
            height: header.height,
            hash: parsed(METHOD, hash)?,
            previous: previous.unwrap_or_else(BlockHash::all_zeros),
            time: header.time,
        })
    }

    /// A transaction that waits; without an index of all transactions the node knows no other.
    fn waiting_transaction(&self, txid: Txid) -> Result<Option<Transaction>, ChainError> {
        let hex: String = match self.call("getrawtransaction", &json!([txid.to_string(), false])) {
            Err(ChainError::Refused { code: NOT_FOUND, .. }) => return Ok(None),
            answer => answer?,
        };
        let tx: Transaction = deserialize_hex(&hex).map_err(|e| ChainError::form("getrawtransaction", e))?;
        if tx.compute_txid() == txid {
            return Ok(Some(tx));
        }
        Err(ChainError::form("getrawtransaction", format!("is of {}, not {txid}", tx.compute_txid())))
    }

    /// A transaction that is in a block, and how many blocks deep; `None` where it is in none. The node must keep an index of
    /// all transactions.
    ///
    /// # Errors
    /// [`ChainError::NoIndex`]; as [`Self::call`].
    pub fn buried(&self, txid: Txid) -> Result<Option<(Transaction, u32)>, ChainError> {
        const METHOD: &str = "getrawtransaction";
        let found: Located = match self.call(METHOD, &json!([txid.to_string(), true])) {
            // The node says so only where it has none: with an index it knows that there is no such transaction.
            Err(ChainError::Refused { code: NOT_FOUND, message, .. }) if message.contains("-txindex") => {
                return Err(ChainError::NoIndex { url: self.url.clone() });
            }
            Err(ChainError::Refused { code: NOT_FOUND, .. }) => return Ok(None),
            answer => answer?,
        };
        let tx: Transaction = deserialize_hex(&found.hex).map_err(|e| ChainError::form(METHOD, e))?;
        if tx.compute_txid() != txid {
            return Err(ChainError::form(METHOD, format!("is of {}, not {txid}", tx.compute_txid())));
        }
        Ok((found.confirmations > 0).then_some((tx, found.confirmations)))
    }

    /// The waiting transactions that spend any of these outpoints.
    fn spenders(&self, outpoints: &[OutPoint]) -> Result<Vec<Txid>, ChainError> {
        let mut spenders = Vec::new();
        for some in outpoints.chunks(OUTPOINTS_AT_ONCE) {
            let asked: Vec<Value> =
                some.iter().map(|o| json!({ "txid": o.txid.to_string(), "vout": o.vout })).collect();
            let answers: Vec<SpendingPrevout> = self.call("gettxspendingprevout", &json!([asked]))?;
            for spender in answers.into_iter().filter_map(|answer| answer.spendingtxid) {
                spenders.push(parsed("gettxspendingprevout", &spender)?);
            }
        }
        Ok(spenders)
    }
}

/// A hash as the node writes it.
fn parsed<T: FromStr<Err: Display>>(method: &str, text: &str) -> Result<T, ChainError> {
    text.parse().map_err(|error| ChainError::form(method, error))
}

/// Reads the JSON-RPC answer to `method`.
///
/// # Errors
/// [`ChainError::Refused`] where it is an error, [`ChainError::Form`] where it is no answer, or one of another shape.
pub fn read_answer<T: DeserializeOwned>(method: &str, bytes: &[u8]) -> Result<T, ChainError> {
    let answer: Answer<'_> = serde_json::from_slice(bytes).map_err(|_| {
        ChainError::form(method, "is no JSON-RPC; see that the address is a Bitcoin node's RPC")
    })?;
    if let Some(RpcError { code, message }) = answer.error {
        return Err(ChainError::Refused { question: method.to_owned(), code, message });
    }
    let result = answer.result.map_or("null", RawValue::get);
    serde_json::from_str(result).map_err(|error| ChainError::form(method, error))
}

/// Reads a block in hexadecimal: it must hash to `hash`, and hold the transactions its header commits to.
///
/// # Errors
/// [`ChainError::Form`].
pub fn read_block(hex: &str, hash: BlockHash) -> Result<Block, ChainError> {
    let block: Block = deserialize_hex(hex).map_err(|error| ChainError::form("getblock", error))?;
    if block.block_hash() != hash {
        return Err(ChainError::form("getblock", format!("is block {}, not {hash}", block.block_hash())));
    }
    if !block.check_merkle_root() {
        return Err(ChainError::form(
            "getblock",
            format!("has transactions that block {hash} does not hold"),
        ));
    }
    Ok(block)
}

impl ChainSource for CoreRpc {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        let hash: String = self.call("getbestblockhash", &json!([]))?;
        self.header(&hash)
    }

    fn block_at(&mut self, height: u32) -> Result<Option<BlockRef>, ChainError> {
        match self.call::<String>("getblockhash", &json!([height])) {
            Err(ChainError::Refused { code: INVALID_PARAMETER, .. }) => Ok(None),
            answer => self.header(&answer?).map(Some),
        }
    }

    fn transactions(&mut self, block: &BlockRef, _: &Watch) -> Result<Vec<(u32, Transaction)>, ChainError> {
        let hash = block.hash;
        let hex: String = match self.call("getblock", &json!([hash.to_string(), 0])) {
            Err(ChainError::Refused { code: MISC, message, .. }) if message.contains("pruned") => {
                return Err(ChainError::Pruned { hash });
            }
            answer => answer?,
        };
        Ok((0u32..).zip(read_block(&hex, hash)?.txdata).collect())
    }

    fn waiting(&mut self, watch: &Watch) -> Result<Option<Vec<Transaction>>, ChainError> {
        let mut sought: BTreeSet<Txid> = watch.sought().collect();
        let coins: BTreeSet<OutPoint> = watch.batches().iter().flat_map(WatchedBatch::coins).collect();
        sought.extend(self.spenders(&coins.into_iter().collect::<Vec<_>>())?);
        let mut waiting = Vec::new();
        for txid in sought {
            waiting.extend(self.waiting_transaction(txid)?);
        }
        Ok(Some(waiting))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_error_of_the_node_keeps_its_code_and_words() {
        let answer = br#"{"result":null,"error":{"code":-8,"message":"Block height out of range"},"id":0}"#;
        let error = read_answer::<String>("getblockhash", answer).unwrap_err();
        assert!(matches!(error, ChainError::Refused { code: INVALID_PARAMETER, .. }));
        assert_eq!(error.to_string(), "getblockhash: the source answers Block height out of range (-8)");
    }

    #[test]
    fn an_answer_of_another_shape_is_refused_with_its_question() {
        let number = read_answer::<String>("getblock", br#"{"result":7,"error":null,"id":0}"#).unwrap_err();
        assert!(number.to_string().starts_with("getblock: the answer"), "{number}");
        let page = read_answer::<String>("getblock", b"<html>").unwrap_err();
        assert!(page.to_string().contains("no JSON-RPC"), "{page}");
        assert_eq!(read_answer::<Option<u32>>("x", br#"{"result":null,"error":null}"#).unwrap(), None);
    }

    /// The first block of the network for tests.
    fn genesis() -> Block {
        bitcoin::constants::genesis_block(bitcoin::Network::Regtest)
    }

    #[test]
    fn a_block_must_be_the_one_asked_for_and_whole() {
        let block = genesis();
        let hex = bitcoin::consensus::encode::serialize_hex(&block);
        assert_eq!(read_block(&hex, block.block_hash()).unwrap(), block);
        let other = bitcoin::constants::genesis_block(bitcoin::Network::Signet).block_hash();
        assert!(read_block(&hex, other).unwrap_err().to_string().contains("not"));
        let mut forged = block.clone();
        forged.txdata[0].output[0].value = bitcoin::Amount::from_sat(1);
        let hex = bitcoin::consensus::encode::serialize_hex(&forged);
        assert!(read_block(&hex, block.block_hash()).unwrap_err().to_string().contains("does not hold"));
    }

    #[test]
    fn a_cookie_file_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let cookie = folder.path().join(".cookie");
        let open = || CoreRpc::open("http://127.0.0.1:1", cookie.clone(), Network::Regtest).map(drop);
        assert!(open().unwrap_err().to_string().starts_with("cookie_file: "));
        std::fs::write(&cookie, "no cookie").unwrap();
        assert!(open().unwrap_err().to_string().contains("user:password"));
        std::fs::write(&cookie, "__cookie__:0123").unwrap();
        assert!(matches!(open(), Err(ChainError::Unreachable { .. })));
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_fail_in_any_other_way(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_answer::<Value>("getblock", &bytes);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let _ = read_block(&text, genesis().block_hash());
        }
    }
}
