//! The same chain through an Electrum server's questions. Such a server can be had only with a database in C++, so one is
//! played, which answers from the real node, a line a question; the Merkle proofs are of real blocks.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;

use serde_json::{Value, json};
use wiregrant_chain::{ChainSource as _, CoreRpc, Electrum};
use wiregrant_core::api::BatchState;
use wiregrant_core::note::Network;

use crate::esplora::merkle_proof;
use crate::payments::Chain;

/// A server that answers for as long as the test runs.
fn serve(node_url: &str, cookie_file: PathBuf) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let node = CoreRpc::open(node_url, cookie_file, Network::Regtest).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that went away needs no answer.
            let _ = converse(&node, stream.unwrap());
        }
    });
    url
}

fn converse(node: &CoreRpc, mut stream: TcpStream) -> std::io::Result<()> {
    for line in BufReader::new(stream.try_clone()?).lines() {
        let question: Value = serde_json::from_str(&line?)?;
        let method = question["method"].as_str().unwrap_or_default();
        let answer = match told(node, method, &question["params"]) {
            Some(result) => json!({ "jsonrpc": "2.0", "id": question["id"], "result": result }),
            None => {
                let error = json!({ "code": 2, "message": "No such mempool or blockchain transaction" });
                json!({ "jsonrpc": "2.0", "id": question["id"], "error": error })
            }
        };
        // A notice of a new block may stand before any answer.
        let notice = json!({ "jsonrpc": "2.0", "method": "blockchain.headers.subscribe", "params": [] });
        write!(stream, "{notice}\n{answer}\n")?;
    }
    Ok(())
}

fn told(node: &CoreRpc, method: &str, parameters: &Value) -> Option<Value> {
    let block_hash = |height: &Value| node.call::<String>("getblockhash", &json!([height])).ok();
    let wallet =
        |txid: &Value| node.call_at::<Value>("/wallet/funder", "gettransaction", &json!([txid])).ok();
    match method {
        "server.version" => Some(json!(["played 1", parameters[1]])),
        "blockchain.headers.subscribe" => {
            let height: u32 = node.call("getblockcount", &json!([])).ok()?;
            Some(json!({ "height": height }))
        }
        "blockchain.block.header" => {
            node.call("getblockheader", &json!([block_hash(&parameters[0])?, false])).ok()
        }
        "blockchain.transaction.get" => {
            let found = wallet(&parameters[0])?;
            // The wallet counts downwards for what another transaction has displaced.
            let depth = found["confirmations"].as_i64().filter(|depth| *depth >= 0)?;
            Some(json!({ "hex": found["hex"], "confirmations": depth }))
        }
        "blockchain.transaction.get_merkle" => {
            let block: Value = node.call("getblock", &json!([block_hash(&parameters[1])?, 1])).ok()?;
            Some(merkle_proof(parameters[0].as_str()?, &block))
        }
        _ => None,
    }
}

#[test]
fn a_payment_and_a_reorganisation_are_followed_by_their_ids_alone() {
    let mut chain = Chain::start();
    let url = serve(&chain.node.url, chain.node.cookie_file.clone());
    chain.source = Box::new(Electrum::open(&url).unwrap());
    let paying = chain.batch("spring-1", &[60_000, 40_000]);
    chain.watch(vec![paying.watched]);
    assert_eq!(chain.state("spring-1"), BatchState::Exported);
    let txid = chain.node.broadcast(&chain.node.sign(&paying.psbt.to_base64()).unwrap()).unwrap();
    chain.look();
    assert_eq!(chain.state("spring-1"), BatchState::Seen);
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
fn a_server_that_is_gone_is_an_error_and_no_state() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let one = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        (&stream).write_all(b"{\"id\":1,\"result\":[\"played 1\",\"1.4\"]}\n").unwrap();
    });
    let mut server = Electrum::open(&url).unwrap();
    one.join().unwrap();
    assert!(server.tip().is_err());
}
