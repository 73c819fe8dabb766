//! The same chain through an Esplora server's questions. No such server can be had here, so one is played, which answers
//! from the real node; what it says is the node's, and the Merkle proofs are of real blocks.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;

use bitcoin::hashes::Hash as _;
use bitcoin::{TxMerkleNode, Txid};
use serde_json::{Value, json};
use wiregrant_chain::{CoreRpc, Esplora};
use wiregrant_core::api::BatchState;
use wiregrant_core::note::Network;

use crate::payments::Chain;

/// A server that answers for as long as the test runs.
fn serve(node_url: &str, cookie_file: PathBuf) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let node = CoreRpc::open(node_url, cookie_file, Network::Regtest).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that went away needs no answer.
            let _ = answer(&node, stream.unwrap());
        }
    });
    url
}

fn answer(node: &CoreRpc, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match told(node, path) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", "not there".to_owned()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn told(node: &CoreRpc, path: &str) -> Option<String> {
    let words: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let text = |method: &str, parameters: Value| node.call::<String>(method, &parameters).ok();
    let wallet = |txid: &str| node.call_at::<Value>("/wallet/funder", "gettransaction", &json!([txid])).ok();
    match words[..] {
        ["blocks", "tip", "hash"] => text("getbestblockhash", json!([])),
        ["block-height", height] => text("getblockhash", json!([height.parse::<u32>().ok()?])),
        ["block", hash, "header"] => text("getblockheader", json!([hash, false])),
        ["block", hash] => {
            let header: Value = node.call("getblockheader", &json!([hash, true])).ok()?;
            Some(json!({ "id": header["hash"], "height": header["height"] }).to_string())
        }
        ["tx", txid, "hex"] => wallet(txid)?["hex"].as_str().map(str::to_owned),
        ["tx", txid, "status"] => {
            let block = &wallet(txid)?["blockhash"];
            Some(json!({ "confirmed": block.is_string(), "block_hash": block }).to_string())
        }
        ["tx", txid, "merkle-proof"] => {
            let block: Value = node.call("getblock", &json!([wallet(txid)?["blockhash"], 1])).ok()?;
            Some(merkle_proof(txid, &block).to_string())
        }
        ["tx", txid, "outspend", vout] => Some(outspend(node, txid, vout.parse().ok()?)),
        _ => None,
    }
}

/// What spends an output, of all that the wallet has ever sent.
fn outspend(node: &CoreRpc, txid: &str, vout: u32) -> String {
    let sent: Vec<Value> = node.call_at("/wallet/funder", "listtransactions", &json!(["*", 1_000])).unwrap();
    let spends = |candidate: &str| {
        let raw: Value =
            node.call_at("/wallet/funder", "gettransaction", &json!([candidate, true, true])).unwrap();
        let gone = raw["confirmations"].as_i64().is_some_and(|depth| depth < 0);
        let inputs = raw["decoded"]["vin"].as_array().unwrap().clone();
        !gone && inputs.iter().any(|input| input["txid"] == txid && input["vout"] == vout)
    };
    let spender = sent.iter().filter_map(|entry| entry["txid"].as_str()).find(|candidate| spends(candidate));
    json!({ "spent": spender.is_some(), "txid": spender }).to_string()
}

/// The way from a transaction up to the header of its block, which is given as `getblock` shows it.
pub fn merkle_proof(txid: &str, block: &Value) -> Value {
    let ids = block["tx"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().parse::<Txid>().unwrap());
    let mut level: Vec<[u8; 32]> = ids.map(Txid::to_byte_array).collect();
    let leaf = txid.parse::<Txid>().unwrap().to_byte_array();
    let place = level.iter().position(|id| *id == leaf).unwrap();
    let (mut at, mut merkle) = (place, Vec::new());
    while level.len() > 1 {
        if level.len() % 2 == 1 {
            level.push(*level.last().unwrap());
        }
        merkle.push(Txid::from_byte_array(level[at ^ 1]).to_string());
        level = level.chunks(2).map(|pair| TxMerkleNode::hash(&pair.concat()).to_byte_array()).collect();
        at /= 2;
    }
    json!({ "merkle": merkle, "pos": place })
}

#[test]
fn a_payment_and_a_reorganisation_are_followed_by_known_transactions_alone() {
    let mut chain = Chain::start();
    let url = serve(&chain.node.url, chain.node.cookie_file.clone());
    chain.source = Box::new(Esplora::open(&url).unwrap());
    let paying = chain.batch("spring-1", &[60_000, 40_000]);
    chain.watch(vec![paying.watched]);
    assert_eq!(chain.state("spring-1"), BatchState::Exported);
    let txid = chain.node.broadcast(&chain.node.sign(&paying.psbt.to_base64()).unwrap()).unwrap();
    chain.look();
    assert_eq!(chain.state("spring-1"), BatchState::Seen);
    // More transactions in the block, so that the proof has steps.
    for _ in 0..4 {
        let address = chain.node.address("bech32").unwrap();
        let _: String = chain.node.wallet("sendtoaddress", &json!([address, "0.1"])).unwrap();
    }
    chain.mine(6);
    assert_eq!(chain.verdict("spring-1").settled_by().unwrap().to_string(), txid);
    let height = chain.watch.tip() - 5;
    let block: String = chain.node.rpc.call("getblockhash", &json!([height])).unwrap();
    let _: Value = chain.node.rpc.call("invalidateblock", &json!([block])).unwrap();
    chain.look();
    assert_eq!(chain.state("spring-1"), BatchState::Seen);
    chain.mine(6);
    assert_eq!(chain.state("spring-1"), BatchState::Settled);
}

#[test]
fn a_coin_spent_elsewhere_is_seen_though_nobody_named_what_spends_it() {
    let mut chain = Chain::start();
    let url = serve(&chain.node.url, chain.node.cookie_file.clone());
    chain.source = Box::new(Esplora::open(&url).unwrap());
    let paying = chain.batch("spring-1", &[60_000, 40_000]);
    let mut watched = paying.watched.clone();
    watched.decisions.cancel_asked = true;
    chain.watch(vec![watched]);
    let home = chain.node.address("bech32").unwrap();
    let elsewhere = chain.send_instead(&paying.psbt, &[(home, 1_090_000)]);
    chain.mine(6);
    assert_eq!(chain.verdict("spring-1").impossible_by(), Some(elsewhere));
}
