//! The same chain through compact block filters, from a real node as a peer.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::bitcoind::{Bitcoind, program};
use wiregrant_chain::{ChainError, ChainSource as _, CompactFilters, Followed, follow};
use wiregrant_core::Timestamp;
use wiregrant_core::api::BatchState;
use wiregrant_core::note::Network;
use wiregrant_payout::Watch;

use crate::payments::Chain;

/// A peer tells of a new block when it pleases.
const MOST_LOOKS: u32 = 3_600;
const PAUSE: Duration = Duration::from_millis(50);

/// Another process may take a free port before the node does.
const MOST_STARTS: u32 = 3;

/// A node that keeps every block and serves peers with filters of them, and where they reach it.
fn node_with_filters(folder: &Path) -> (Bitcoind, String) {
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let start = || {
        let peer = format!("127.0.0.1:{}", free());
        // Of an option that is given twice the last one holds, so that these stand behind all others.
        let more = "-prune=0 -listen=1 -blockfilterindex=1 -peerblockfilters=1";
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$0\" \"$@\" {more} -bind={peer}")]).arg(program().unwrap());
        let port = free();
        Bitcoind::spawn(command, folder, port, format!("http://127.0.0.1:{port}")).map(|node| (node, peer))
    };
    let mut started = start();
    for _ in 1..MOST_STARTS {
        if started.is_err() {
            started = start();
        }
    }
    started.unwrap()
}

fn start() -> (Chain, String) {
    let folder = tempfile::tempdir().unwrap();
    let (node, peer) = node_with_filters(folder.path());
    // A node without a block of today answers no peer.
    node.fill_wallet().unwrap();
    let source = filters_of(&peer);
    (Chain::of(node, source, folder), peer)
}

/// The peer, and no other.
fn filters_of(peer: &str) -> Box<CompactFilters> {
    Box::new(CompactFilters::open(&[peer.to_owned()], Network::Regtest, None).unwrap())
}

/// Looks until the watch has come to the node's tip. A source that has lost its last peer is opened anew, as the control plane
/// does it: the library lets go of a peer whose answers a reorganisation has overtaken.
fn catch_up(chain: &mut Chain, peer: &str) {
    let mut last = None;
    for _ in 0..MOST_LOOKS {
        let tip: String = chain.node.rpc.call("getbestblockhash", &json!([])).unwrap();
        let seen = chain.source.tip();
        match &seen {
            Ok(seen) if seen.hash.to_string() == tip => {
                chain.look();
                return;
            }
            Err(ChainError::Unreachable { .. }) => chain.source = filters_of(peer),
            _ => {}
        }
        last = Some(seen);
        std::thread::sleep(PAUSE);
    }
    panic!("the peer's blocks have not come: {last:?}");
}

#[test]
fn a_payment_and_a_reorganisation_are_followed_without_a_node() {
    let (mut chain, peer) = start();
    let paying = chain.batch("spring-1", &[60_000, 40_000]);
    catch_up(&mut chain, &peer);
    chain.watch(vec![paying.watched.clone()]);
    assert_eq!(chain.state("spring-1"), BatchState::Exported);
    let txid = chain.node.broadcast(&chain.node.sign(&paying.psbt.to_base64()).unwrap()).unwrap();
    chain.look();
    assert_eq!(chain.state("spring-1"), BatchState::Exported, "what waits is not seen by filters");
    chain.node.mine(6).unwrap();
    catch_up(&mut chain, &peer);
    assert_eq!(chain.verdict("spring-1").settled_by().unwrap().to_string(), txid);
    // Six blocks go, seven come, and the payment is in the first of them again.
    let height = chain.watch.tip() - 5;
    let block: String = chain.node.rpc.call("getblockhash", &json!([height])).unwrap();
    let _: Value = chain.node.rpc.call("invalidateblock", &json!([block])).unwrap();
    let before = chain.watch.tip();
    chain.node.mine(7).unwrap();
    catch_up(&mut chain, &peer);
    assert_eq!(chain.watch.tip(), before + 1);
    assert_eq!(chain.state("spring-1"), BatchState::Settled);
    // Who begins later, from a block that is known, sees the same.
    let hash: String = chain.node.rpc.call("getblockhash", &json!([height - 1])).unwrap();
    let start = Some((height - 1, hash.parse().unwrap()));
    let mut later = CompactFilters::open(&[peer], Network::Regtest, start).unwrap();
    let mut watch = Watch::new(vec![paying.watched], [], 0);
    let since = Some(Timestamp::from_unix_seconds(0).unwrap());
    let progress = follow(&mut later, &mut Followed::default(), &mut watch, since).unwrap();
    assert_eq!((progress.taken_in, progress.up_to_date), (7, true), "the seven blocks above it");
    assert_eq!(watch.verdicts().into_values().next().unwrap().state, BatchState::Settled);
}

#[test]
fn without_a_peer_that_has_filters_there_is_an_error_and_no_state() {
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().to_string();
    let mut source = CompactFilters::open(&[nobody], Network::Regtest, None).unwrap();
    let error = source.tip().unwrap_err().to_string();
    assert!(error.contains("no peer is left"), "{error}");
}
