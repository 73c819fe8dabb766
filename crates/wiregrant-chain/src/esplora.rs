//! `Esplora`: an Esplora server, asked for known transactions and for what spends known coins, and for nothing else.
//!
//! For those without a node, and only where it is chosen: the server learns which transactions somebody waits for (never
//! which addresses are watched). It cannot make up a payment: a transaction must have the id it was asked by, and is taken to
//! be in a block only with a Merkle proof under a header that hashes to the block. It can hide one, and could show headers
//! of a chain of its own making; whoever pays much should ask a node of their own.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{BlockHash, OutPoint, Transaction, Txid};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use wiregrant_payout::{Watch, WatchedBatch};

use crate::http;
use crate::merkle::merkle_root;
use crate::{BlockRef, ChainError, ChainSource};

/// A server.
pub struct Esplora {
    agent: Agent,
    url: String,
    /// What it told in this look: asked once, however many blocks there are.
    told: Option<Told>,
}

#[derive(Default)]
struct Told {
    in_blocks: BTreeMap<BlockHash, Vec<(u32, Transaction)>>,
    waiting: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Block {
    id: String,
    height: u32,
}

#[derive(Deserialize)]
struct Status {
    confirmed: bool,
    block_hash: Option<String>,
}

#[derive(Deserialize)]
struct Outspend {
    spent: bool,
    txid: Option<String>,
}

/// The way from a transaction up to its block's header.
#[derive(Deserialize)]
struct MerkleProof {
    merkle: Vec<String>,
    pos: u32,
}

impl Esplora {
    /// The server at `url`, with the path its API lies under, such as `https://blockstream.info/api`.
    ///
    /// # Errors
    /// [`ChainError::Url`].
    pub fn open(url: &str) -> Result<Self, ChainError> {
        Ok(Self { agent: http::agent(), url: http::checked_url(url)?, told: None })
    }

    /// The answer's text; `None` where there is no such thing.
    fn ask(&self, path: &str) -> Result<Option<String>, ChainError> {
        let (status, bytes) = http::read(&self.url, self.agent.get(format!("{}{path}", self.url)).call())?;
        match status {
            200 => String::from_utf8(bytes)
                .map(|text| Some(text.trim().to_owned()))
                .map_err(|_| ChainError::form(path, "is no text")),
            404 => Ok(None),
            code => Err(ChainError::Refused {
                question: path.to_owned(),
                code: i64::from(code),
                message: String::from_utf8_lossy(&bytes).chars().take(200).collect(),
            }),
        }
    }

    fn there(&self, path: &str) -> Result<String, ChainError> {
        self.ask(path)?.ok_or_else(|| ChainError::form(path, "says there is none"))
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ChainError> {
        let read = |text: String| serde_json::from_str(&text).map_err(|error| ChainError::form(path, error));
        self.ask(path)?.map(read).transpose()
    }

    fn header(&self, hash: BlockHash) -> Result<Header, ChainError> {
        let path = format!("/block/{hash}/header");
        let header: Header =
            deserialize_hex(&self.there(&path)?).map_err(|error| ChainError::form(&*path, error))?;
        if header.block_hash() == hash {
            return Ok(header);
        }
        Err(ChainError::form(path, format!("is of {}", header.block_hash())))
    }

    fn block(&self, hash: BlockHash) -> Result<BlockRef, ChainError> {
        let path = format!("/block/{hash}");
        let block: Block = self.json(&path)?.ok_or_else(|| ChainError::form(&*path, "says there is none"))?;
        if block.id != hash.to_string() {
            return Err(ChainError::form(path, format!("is of {}", block.id)));
        }
        let header = self.header(hash)?;
        Ok(BlockRef { height: block.height, hash, previous: header.prev_blockhash, time: header.time })
    }

    /// Where every known transaction is now, and every one that spends a known coin.
    fn told(&mut self, watch: &Watch) -> Result<&Told, ChainError> {
        if self.told.is_none() {
            self.told = Some(self.locate(watch)?);
        }
        Ok(self.told.get_or_insert_default())
    }

    fn locate(&self, watch: &Watch) -> Result<Told, ChainError> {
        let mut sought: BTreeSet<Txid> = watch.sought().collect();
        let coins: BTreeSet<OutPoint> = watch.batches().iter().flat_map(WatchedBatch::coins).collect();
        for coin in coins {
            let path = format!("/tx/{}/outspend/{}", coin.txid, coin.vout);
            let outspend: Option<Outspend> = self.json(&path)?;
            if let Some(Outspend { spent: true, txid: Some(txid) }) = outspend {
                sought.insert(txid.parse().map_err(|error| ChainError::form(path, error))?);
            }
        }
        let mut told = Told::default();
        for txid in sought {
            let Some(tx) = self.transaction(txid)? else { continue };
            let path = format!("/tx/{txid}/status");
            match self.json::<Status>(&path)? {
                Some(Status { confirmed: true, block_hash: Some(hash) }) => {
                    let hash: BlockHash = hash.parse().map_err(|error| ChainError::form(path, error))?;
                    let place = self.place(txid, hash)?;
                    told.in_blocks.entry(hash).or_default().push((place, tx));
                }
                Some(Status { confirmed: false, .. }) => told.waiting.push(tx),
                _ => {}
            }
        }
        Ok(told)
    }

    fn transaction(&self, txid: Txid) -> Result<Option<Transaction>, ChainError> {
        let path = format!("/tx/{txid}/hex");
        let Some(hex) = self.ask(&path)? else { return Ok(None) };
        let tx: Transaction = deserialize_hex(&hex).map_err(|error| ChainError::form(&*path, error))?;
        if tx.compute_txid() == txid {
            return Ok(Some(tx));
        }
        Err(ChainError::form(path, format!("is of {}", tx.compute_txid())))
    }

    /// A transaction that is in a block, and how many blocks deep; `None` where it is in none.
    ///
    /// # Errors
    /// The server cannot be reached, or shows what cannot be.
    pub fn buried(&self, txid: Txid) -> Result<Option<(Transaction, u32)>, ChainError> {
        let Some(tx) = self.transaction(txid)? else { return Ok(None) };
        let path = format!("/tx/{txid}/status");
        let Some(Status { confirmed: true, block_hash: Some(hash) }) = self.json(&path)? else {
            return Ok(None);
        };
        let hash: BlockHash = hash.parse().map_err(|error| ChainError::form(path, error))?;
        self.place(txid, hash)?;
        let path = "/blocks/tip/hash";
        let tip = self.there(path)?.parse().map_err(|error| ChainError::form(path, error))?;
        let above = self.block(tip)?.height.saturating_sub(self.block(hash)?.height);
        Ok(Some((tx, above.saturating_add(1))))
    }

    /// The transaction's place in the block, proved.
    fn place(&self, txid: Txid, block: BlockHash) -> Result<u32, ChainError> {
        let path = format!("/tx/{txid}/merkle-proof");
        let proof: MerkleProof =
            self.json(&path)?.ok_or_else(|| ChainError::form(&*path, "says there is none"))?;
        let siblings = proof.merkle.iter().map(|hash| hash.parse());
        let siblings: Vec<Txid> =
            siblings.collect::<Result<_, _>>().map_err(|error| ChainError::form(&*path, error))?;
        let root = merkle_root(txid, proof.pos, &siblings)
            .ok_or_else(|| ChainError::form(&*path, "has a place outside of its tree"))?;
        if root == self.header(block)?.merkle_root {
            return Ok(proof.pos);
        }
        Err(ChainError::form(path, format!("does not lead to block {block}")))
    }
}

impl ChainSource for Esplora {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        self.told = None;
        let path = "/blocks/tip/hash";
        let hash = self.there(path)?.parse().map_err(|error| ChainError::form(path, error))?;
        self.block(hash)
    }

    fn block_at(&mut self, height: u32) -> Result<Option<BlockRef>, ChainError> {
        let path = format!("/block-height/{height}");
        let Some(hash) = self.ask(&path)? else { return Ok(None) };
        self.block(hash.parse().map_err(|error| ChainError::form(path, error))?).map(Some)
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
