//! `Electrum`: an Electrum server, asked for known transactions by their ids, and for nothing else.
//!
//! Like [`crate::Esplora`] it is opt-in and learns which transactions somebody waits for, never an address; a block holds a
//! transaction only by a Merkle proof under a header. By id alone it cannot be asked what spends a coin, so a replacement
//! must be declared, and a cancelled batch becomes void once the transaction that spends its coin elsewhere is.
//!
//! The protocol is lines of JSON over TCP or TLS (<https://electrum-protocol.readthedocs.io>, version 1.4).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{BlockHash, Transaction, Txid};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use wiregrant_payout::Watch;

use crate::core_rpc::read_answer;
use crate::http::MAX_ANSWER_BYTES;
use crate::merkle::merkle_root;
use crate::{BlockRef, ChainError, ChainSource};

/// The version of the protocol that is spoken.
const PROTOCOL: &str = "1.4";
const TIMEOUT: Duration = Duration::from_secs(30);
/// Notices that a server may send between question and answer, one for each new block.
const MAX_NOTICES: usize = 100;

trait Line: std::io::Read + Write + Send {}
impl<T: std::io::Read + Write + Send> Line for T {}

/// A server.
pub struct Electrum {
    stream: BufReader<Box<dyn Line>>,
    url: String,
    asked: u64,
    /// What it told in this look.
    told: Option<Told>,
    tip: u32,
}

#[derive(Default)]
struct Told {
    in_blocks: BTreeMap<BlockHash, Vec<(u32, Transaction)>>,
    waiting: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Tip {
    height: u32,
}

#[derive(Deserialize)]
struct Found {
    hex: String,
    #[serde(default)]
    confirmations: u32,
}

#[derive(Deserialize)]
struct MerkleProof {
    merkle: Vec<String>,
    pos: u32,
}

/// A line of the server's: an answer has the number of its question, a notice has none.
#[derive(Deserialize)]
struct Numbered<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

impl Electrum {
    /// Connects to `tcp://host:port`, or to `ssl://host:port` with a certificate that the web's authorities have signed.
    ///
    /// # Errors
    /// [`ChainError::Url`]; it cannot be reached, or speaks another version.
    pub fn open(url: &str) -> Result<Self, ChainError> {
        let bad = || ChainError::Url { url: url.rsplit('@').next().unwrap_or_default().to_owned() };
        let (secure, place) = match url.split_once("://") {
            Some(("ssl", place)) => (true, place),
            Some(("tcp", place)) => (false, place),
            _ => return Err(bad()),
        };
        let place = place.trim_end_matches('/');
        let host = match place.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => host,
            _ => return Err(bad()),
        };
        if place.contains('@') {
            return Err(bad());
        }
        let stream = connect(url, place)?;
        let stream: Box<dyn Line> = match secure {
            true => Box::new(encrypted(url, host, stream)?),
            false => Box::new(stream),
        };
        let mut server =
            Self { stream: BufReader::new(stream), url: url.to_owned(), asked: 0, told: None, tip: 0 };
        let name = concat!("wiregrant/", env!("CARGO_PKG_VERSION"));
        let _: Value = server.ask("server.version", &json!([name, PROTOCOL]))?;
        Ok(server)
    }

    fn ask<T: DeserializeOwned>(&mut self, method: &str, parameters: &Value) -> Result<T, ChainError> {
        self.asked += 1;
        let number = self.asked;
        let question = json!({ "jsonrpc": "2.0", "id": number, "method": method, "params": parameters });
        let failed = |url: &str, problem: String| ChainError::Unreachable { url: url.to_owned(), problem };
        let sent = self.stream.get_mut().write_all(format!("{question}\n").as_bytes());
        sent.and_then(|()| self.stream.get_mut().flush()).map_err(|e| failed(&self.url, e.to_string()))?;
        for _ in 0..MAX_NOTICES {
            let mut line = Vec::new();
            let read = (&mut self.stream).take(MAX_ANSWER_BYTES).read_until(b'\n', &mut line);
            read.map_err(|e| failed(&self.url, e.to_string()))?;
            if line.last() != Some(&b'\n') {
                return Err(failed(&self.url, "the answer ends before its line does".to_owned()));
            }
            if is_answer_to(&line, number) {
                return read_answer(method, &line);
            }
        }
        Err(ChainError::form(method, "did not come among a hundred notices"))
    }

    fn header(&mut self, height: u32) -> Result<Header, ChainError> {
        const METHOD: &str = "blockchain.block.header";
        let hex: String = self.ask(METHOD, &json!([height]))?;
        deserialize_hex(&hex).map_err(|error| ChainError::form(METHOD, error))
    }

    fn block(&mut self, height: u32) -> Result<BlockRef, ChainError> {
        let header = self.header(height)?;
        let (hash, previous) = (header.block_hash(), header.prev_blockhash);
        Ok(BlockRef { height, hash, previous, time: header.time })
    }

    fn locate(&mut self, watch: &Watch) -> Result<Told, ChainError> {
        let mut told = Told::default();
        for txid in watch.sought().collect::<BTreeSet<_>>() {
            let Some((tx, confirmations)) = self.transaction(txid)? else { continue };
            match self.tip.checked_add(1).and_then(|next| next.checked_sub(confirmations)) {
                Some(height) if confirmations > 0 => {
                    let (hash, place) = self.place(txid, height)?;
                    told.in_blocks.entry(hash).or_default().push((place, tx));
                }
                _ => told.waiting.push(tx),
            }
        }
        Ok(told)
    }

    /// A transaction and how many blocks deep the server has it; `None` where it does not know it.
    fn transaction(&mut self, txid: Txid) -> Result<Option<(Transaction, u32)>, ChainError> {
        const METHOD: &str = "blockchain.transaction.get";
        let found: Found = match self.ask(METHOD, &json!([txid.to_string(), true])) {
            // Servers have no code for it in common; the connection itself is in order.
            Err(ChainError::Refused { .. }) => return Ok(None),
            answer => answer?,
        };
        let tx: Transaction = deserialize_hex(&found.hex).map_err(|error| ChainError::form(METHOD, error))?;
        if tx.compute_txid() == txid {
            return Ok(Some((tx, found.confirmations)));
        }
        Err(ChainError::form(METHOD, format!("is of {}, not {txid}", tx.compute_txid())))
    }

    /// The block at a height, and the transaction's place in it, proved.
    fn place(&mut self, txid: Txid, height: u32) -> Result<(BlockHash, u32), ChainError> {
        const METHOD: &str = "blockchain.transaction.get_merkle";
        let proof: MerkleProof = self.ask(METHOD, &json!([txid.to_string(), height]))?;
        let siblings = proof.merkle.iter().map(|hash| hash.parse());
        let siblings: Vec<Txid> =
            siblings.collect::<Result<_, _>>().map_err(|error| ChainError::form(METHOD, error))?;
        let root = merkle_root(txid, proof.pos, &siblings)
            .ok_or_else(|| ChainError::form(METHOD, "has a place outside of its tree"))?;
        let header = self.header(height)?;
        if root == header.merkle_root {
            return Ok((header.block_hash(), proof.pos));
        }
        Err(ChainError::form(METHOD, format!("does not lead to the block at {height}")))
    }

    fn told(&mut self, watch: &Watch) -> Result<&Told, ChainError> {
        if self.told.is_none() {
            self.told = Some(self.locate(watch)?);
        }
        Ok(self.told.get_or_insert_default())
    }
}

/// Whether a line is the answer to this question; what is no JSON at all is, so that its reader refuses it.
fn is_answer_to(line: &[u8], number: u64) -> bool {
    match serde_json::from_slice::<Numbered<'_>>(line) {
        Ok(read) => read.id.is_some_and(|id| id.get() == number.to_string()),
        Err(_) => true,
    }
}

fn connect(url: &str, place: &str) -> Result<TcpStream, ChainError> {
    let failed = |problem: String| ChainError::Unreachable { url: url.to_owned(), problem };
    let addresses = place.to_socket_addrs().map_err(|error| failed(error.to_string()))?;
    let mut last = "its name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => {
                let limited =
                    stream.set_read_timeout(Some(TIMEOUT)).and(stream.set_write_timeout(Some(TIMEOUT)));
                limited.map_err(|error| failed(error.to_string()))?;
                return Ok(stream);
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(failed(last))
}

fn encrypted(
    url: &str,
    host: &str,
    stream: TcpStream,
) -> Result<StreamOwned<ClientConnection, TcpStream>, ChainError> {
    let failed = |problem: String| ChainError::Unreachable { url: url.to_owned(), problem };
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(|e| failed(e.to_string()))?;
    Ok(StreamOwned::new(connection, stream))
}

impl ChainSource for Electrum {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        self.told = None;
        let tip: Tip = self.ask("blockchain.headers.subscribe", &json!([]))?;
        self.tip = tip.height;
        self.block(tip.height)
    }

    fn block_at(&mut self, height: u32) -> Result<Option<BlockRef>, ChainError> {
        if height > self.tip {
            return Ok(None);
        }
        self.block(height).map(Some)
    }

    fn transactions(
        &mut self,
        block: &BlockRef,
        watch: &Watch,
    ) -> Result<Vec<(u32, Transaction)>, ChainError> {
        Ok(self.told(watch)?.in_blocks.get(&block.hash).cloned().unwrap_or_default())
    }

    fn waiting(&mut self, watch: &Watch) -> Result<Option<Vec<Transaction>>, ChainError> {
        Ok(Some(self.told(watch)?.waiting.clone()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_a_port_and_its_password_is_not_repeated() {
        for url in ["127.0.0.1:50001", "http://a:1", "tcp://", "tcp://a", "ssl://:1", "tcp://a:b"] {
            assert!(matches!(Electrum::open(url), Err(ChainError::Url { .. })), "{url}");
        }
        let refused = Electrum::open("tcp://me:hunter2@127.0.0.1:1").map(drop).unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn notices_between_are_told_from_answers() {
        assert!(is_answer_to(br#"{"jsonrpc":"2.0","id":7,"result":1}"#, 7));
        assert!(!is_answer_to(br#"{"jsonrpc":"2.0","id":6,"result":1}"#, 7));
        assert!(!is_answer_to(br#"{"method":"blockchain.headers.subscribe","params":[]}"#, 7));
        assert!(is_answer_to(b"<html>", 7));
    }

    proptest! {
        #[test]
        fn no_line_makes_the_reader_fail_in_any_other_way(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = is_answer_to(&line, 1);
            let _ = read_answer::<MerkleProof>("blockchain.transaction.get_merkle", &line);
            let _ = read_answer::<Found>("blockchain.transaction.get", &line);
        }
    }
}
