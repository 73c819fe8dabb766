//! `CompactFilters`: peers of the Bitcoin network, asked for headers, for a small filter of each block (BIP 157 and 158),
//! and for the few blocks whose filter matches. For those who have no node: no peer learns what is looked for.
//!
//! Peers are not trusted: headers carry their work, filters are compared among peers, and a block must hold what its header
//! commits to. They could keep a new block back, as any network can. What waits for a block is not seen.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bip157::chain::ChainState;
use bip157::chain::checkpoints::HashCheckpoint;
use bip157::{Builder, Client, Event, IndexedFilter, Requester, TrustedPeer};
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Transaction};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use wiregrant_core::note::Network;
use wiregrant_payout::Watch;

use crate::{BlockRef, ChainError, ChainSource};

/// Filters that are kept, some 20 kB each on the main network: a week of them. The blocks before are read whole.
const MAX_FILTERS: usize = 1_008;
/// The longest wait for peers: the first time, headers and filters since the start are fetched.
const FIRST_SYNC: Duration = Duration::from_secs(600);
/// The longest wait for a peer's first words, and for any answer of its; peers are far, and may be busy.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest wait for a block.
const BLOCK_TIMEOUT: Duration = Duration::from_secs(120);

/// Where to begin: a block that is known to be in the chain, by its height and hash.
pub type Start = (u32, BlockHash);

/// Peers, and what came of them.
pub struct CompactFilters {
    /// Present until it is dropped.
    runtime: Option<Runtime>,
    requester: Requester,
    filters: Arc<Mutex<Filters>>,
    /// The newest block up to which every filter has come.
    tip: watch::Receiver<Option<HashCheckpoint>>,
    start: HashCheckpoint,
    peers: String,
}

/// The newest filters.
#[derive(Default)]
struct Filters {
    by_block: BTreeMap<BlockHash, IndexedFilter>,
    order: VecDeque<BlockHash>,
}

impl Filters {
    fn keep(&mut self, filter: IndexedFilter) {
        let hash = filter.block_hash();
        if self.by_block.insert(hash, filter).is_none() {
            self.order.push_back(hash);
        }
        if self.order.len() > MAX_FILTERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_block.remove(&oldest);
        }
    }
}

impl CompactFilters {
    /// Connects to `peers` (`host:port`), and to no others; without any, to those that the network's seeds name. Blocks up to
    /// `start` are taken for granted; without it the chain is read from its first.
    ///
    /// # Errors
    /// [`ChainError::Url`] for a peer that is none.
    pub fn open(peers: &[String], network: Network, start: Option<Start>) -> Result<Self, ChainError> {
        let network = match network {
            Network::Bitcoin => bip157::Network::Bitcoin,
            Network::Testnet4 => bip157::Network::Testnet4,
            Network::Signet => bip157::Network::Signet,
            Network::Regtest => bip157::Network::Regtest,
        };
        let start = start.map_or_else(
            || HashCheckpoint::from_genesis(network),
            |(height, hash)| HashCheckpoint::new(height, hash),
        );
        let trusted = peers.iter().map(|peer| trusted_peer(peer)).collect::<Result<Vec<_>, _>>()?;
        let mut builder = Builder::new(network)
            .chain_state(ChainState::Checkpoint(start))
            .fetch_witness_data()
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .response_timeout(RESPONSE_TIMEOUT);
        if !trusted.is_empty() {
            builder = builder.add_peers(trusted).whitelist_only();
        }
        let (node, client) = builder.build();
        let peers = if peers.is_empty() { "the network's peers".to_owned() } else { peers.join(", ") };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| unreachable(&peers, error.to_string()))?;
        let filters = Arc::new(Mutex::new(Filters::default()));
        let (told, tip) = watch::channel(None);
        let Client { requester, event_rx, info_rx, warn_rx } = client;
        // Its hints to developers; dropping them makes it stop sending.
        drop((info_rx, warn_rx));
        runtime.spawn(async move {
            // Whoever waits for it learns of its end by the channels that it drops.
            let _ = node.run().await;
        });
        runtime.spawn(take_in(event_rx, Arc::clone(&filters), told));
        Ok(Self { runtime: Some(runtime), requester, filters, tip, start, peers })
    }

    fn wait<T>(
        &self,
        at_most: Duration,
        what: &str,
        answer: impl Future<Output = Option<T>>,
    ) -> Result<T, ChainError> {
        let runtime = self.runtime.as_ref().expect("it is there until this is dropped");
        let answered = runtime.block_on(async { tokio::time::timeout(at_most, answer).await });
        match answered {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => {
                Err(unreachable(&self.peers, format!("{what}: no peer is left that has block filters")))
            }
            Err(_) => Err(unreachable(&self.peers, format!("{what}: none came in {} s", at_most.as_secs()))),
        }
    }

    /// The block that everything before is taken for granted up to.
    fn first(&self) -> BlockRef {
        BlockRef {
            height: self.start.height,
            hash: self.start.hash,
            previous: BlockHash::all_zeros(),
            time: 0,
        }
    }
}

impl Drop for CompactFilters {
    fn drop(&mut self) {
        let _ = self.requester.shutdown();
        // Where it is dropped, blocking may not be allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn unreachable(peers: &str, problem: String) -> ChainError {
    ChainError::Unreachable { url: peers.to_owned(), problem }
}

fn trusted_peer(peer: &str) -> Result<TrustedPeer, ChainError> {
    if let Ok(address) = peer.parse::<std::net::SocketAddr>() {
        return Ok(address.into());
    }
    let parts = peer.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match parts {
        Some((host, port))
            if !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/@?#".contains(&b)) =>
        {
            Ok(TrustedPeer::from_hostname(host, port))
        }
        _ => Err(ChainError::Peer { peer: peer.to_owned() }),
    }
}

async fn take_in(
    mut events: tokio::sync::mpsc::UnboundedReceiver<Event>,
    filters: Arc<Mutex<Filters>>,
    told: watch::Sender<Option<HashCheckpoint>>,
) {
    while let Some(event) = events.recv().await {
        match event {
            Event::IndexedFilter(filter) => {
                filters.lock().unwrap_or_else(PoisonError::into_inner).keep(filter);
            }
            Event::FiltersSynced(update) => drop(told.send_replace(Some(update.tip()))),
            Event::ChainUpdate(_) => {}
        }
    }
}

impl ChainSource for CompactFilters {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        let mut tip = self.tip.clone();
        let synced = async move { tip.wait_for(Option::is_some).await.ok().and_then(|tip| *tip) };
        let synced = self.wait(FIRST_SYNC, "headers and filters", synced)?;
        // After a reorganisation the block may be gone before its filters' successors have come.
        match self.block_at(synced.height)? {
            Some(block) => Ok(block),
            None => Err(ChainError::form(
                "tip",
                "is of a block that is no longer in the chain; it is asked again",
            )),
        }
    }

    fn block_at(&mut self, height: u32) -> Result<Option<BlockRef>, ChainError> {
        if height <= self.start.height {
            return Ok((height == self.start.height).then(|| self.first()));
        }
        let requester = self.requester.clone();
        let asked = async move { requester.get_header(height).await.ok() };
        let header = self.wait(BLOCK_TIMEOUT, "a header", asked)?;
        Ok(header.map(|indexed| BlockRef {
            height,
            hash: indexed.block_hash(),
            previous: indexed.header.prev_blockhash,
            time: indexed.header.time,
        }))
    }

    fn transactions(
        &mut self,
        block: &BlockRef,
        watch: &Watch,
    ) -> Result<Vec<(u32, Transaction)>, ChainError> {
        let scripts = watch.scripts();
        let filter = self
            .filters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_block
            .get(&block.hash)
            .map(|filter| filter.contains_any(scripts.iter()));
        // A block whose filter is not kept any more is read whole.
        if scripts.is_empty() || filter == Some(false) {
            return Ok(Vec::new());
        }
        let (requester, hash) = (self.requester.clone(), block.hash);
        let asked = async move { requester.get_block(hash).await.ok() };
        let found = self.wait(BLOCK_TIMEOUT, "a block", asked)?.block;
        if found.block_hash() != hash || !found.check_merkle_root() {
            return Err(ChainError::form("block", format!("is not the one of {hash}, or not whole")));
        }
        Ok((0u32..).zip(found.txdata).collect())
    }

    fn waiting(&mut self, _: &Watch) -> Result<Option<Vec<Transaction>>, ChainError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_host_and_a_port() {
        for peer in ["127.0.0.1:8333", "[::1]:8333", "node.example.org:8333", "abc.onion:8333"] {
            assert!(trusted_peer(peer).is_ok(), "{peer}");
        }
        for peer in ["", "127.0.0.1", "node.example.org:port", ":8333", "http://a:1", "a b:1"] {
            let refusal = trusted_peer(peer).unwrap_err().to_string();
            assert!(refusal.contains("host:port"), "{refusal}");
        }
    }
}
