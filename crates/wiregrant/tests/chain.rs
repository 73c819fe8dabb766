//! `wiregrant verify --chain`: a paid batch's transaction is looked up and held against the batch's lines.

#![allow(clippy::unwrap_used, reason = "what cannot be had in a test fails it, in its helpers too")]

#[cfg(test)]
mod support;

use std::collections::BTreeMap;

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Address, Amount, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, Witness,
};
use serde_json::json;
use support::record::{ADDRESS, Entry, Story};
use support::server::{Answer, Server};
use support::{Run, wiregrant};

fn transaction(sats: u64) -> Transaction {
    let address: Address<bitcoin::address::NetworkUnchecked> = ADDRESS.parse().unwrap();
    let script_pubkey = address.assume_checked().script_pubkey();
    let coin = TxIn {
        previous_output: OutPoint::new(Txid::from_byte_array([7; 32]), 0),
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    let output = |sats, script_pubkey| TxOut { value: Amount::from_sat(sats), script_pubkey };
    Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![coin],
        output: vec![output(sats, script_pubkey), output(5_000, ScriptBuf::new())],
    }
}

fn header(previous: BlockHash, root: TxMerkleNode) -> Header {
    let bits = CompactTarget::from_consensus(0);
    Header { version: Version::TWO, prev_blockhash: previous, merkle_root: root, time: 0, bits, nonce: 0 }
}

/// A server that shows one transaction, so many blocks deep.
fn esplora(tx: &Transaction, depth: u32) -> Server {
    let txid = tx.compute_txid();
    let block = header(BlockHash::all_zeros(), TxMerkleNode::from_raw_hash(txid.to_raw_hash()));
    let tip = header(block.block_hash(), TxMerkleNode::all_zeros());
    let mut answers = BTreeMap::from([
        (format!("/tx/{txid}/hex"), serialize_hex(tx)),
        (
            format!("/tx/{txid}/status"),
            json!({ "confirmed": true, "block_hash": block.block_hash().to_string() }).to_string(),
        ),
        (
            format!("/tx/{txid}/merkle-proof"),
            json!({ "merkle": [], "pos": 0, "block_height": 100 }).to_string(),
        ),
        ("/blocks/tip/hash".to_owned(), tip.block_hash().to_string()),
    ]);
    for (header, height) in [(block, 100), (tip, 99 + depth)] {
        let hash = header.block_hash();
        answers.insert(
            format!("/block/{hash}"),
            json!({ "id": hash.to_string(), "height": height }).to_string(),
        );
        answers.insert(format!("/block/{hash}/header"), serialize_hex(&header));
    }
    Server::start(move |request| match answers.get(request.line.trim_start_matches("GET ")) {
        Some(answer) => Answer::Body(200, answer.clone().into_bytes()),
        None => Answer::Body(404, b"not found".to_vec()),
    })
}

/// The record in which this transaction paid the batch, verified against the chain that the server shows.
fn verified(paid: &Transaction, url: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let mut story = Story::honest();
    story.entries[16] = Entry::Line(format!("paid spring-1 {}", paid.compute_txid()));
    let public = folder.path().join("public");
    story.publish(&public);
    let state = folder.path().join("state");
    let (state, public) = (state.to_str().unwrap(), public.to_str().unwrap());
    wiregrant(["verify", "--json", "--state-dir", state, "--chain", url, public])
}

fn owed() -> u64 {
    Story::honest().statement(1).operators.values().next().unwrap().payable.get()
}

#[test]
fn a_transaction_that_pays_what_the_lines_say_and_is_deep_holds() {
    let tx = transaction(owed());
    let run = verified(&tx, &esplora(&tx, 6).url());
    assert_eq!((run.code, &run.json()["transactions"]), (0, &1.into()), "{run:?}");
    assert!(!run.json()["not_checked"].to_string().contains("on the chain"), "{run:?}");
}

#[test]
fn one_that_pays_another_sum_or_is_shallow_or_is_nowhere_is_found() {
    let (tx, less) = (transaction(owed()), transaction(owed() - 1));
    let finds = |run: &Run, words: &str| {
        assert!(run.code == 1 && run.json()["findings"].to_string().contains(words), "{words}: {run:?}");
    };
    finds(&verified(&less, &esplora(&less, 6).url()), &format!("sats to {ADDRESS}"));
    finds(&verified(&tx, &esplora(&tx, 5).url()), "6 blocks deep or more");
    finds(&verified(&tx, &esplora(&less, 6).url()), "none in a block");
}

#[test]
fn a_chain_that_cannot_be_seen_is_no_finding() {
    let tx = transaction(owed());
    let server = Server::start(|_| Answer::Break);
    let run = verified(&tx, &server.url());
    assert!(run.code == 2 && run.json()["reason"].to_string().contains("--chain"), "{run:?}");
}
