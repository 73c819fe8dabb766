//! The facts of settlement between the database and the types that judge them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{BlockHash, Transaction, Txid};
use wiregrant_chain::{BlockRef, Followed};
use wiregrant_core::note::Signed;
use wiregrant_core::{BatchId, Timestamp};
use wiregrant_payout::matching::{Decisions, Place, Sighting};
use wiregrant_payout::{Batch, Watch, WatchedBatch};
use wiregrant_store::{self as store, FollowedBlock, Read, Write};

use crate::error::{Answer, Failure};

/// Everything that is known of batches that are still looked at.
pub async fn watch(read: &mut Read) -> Answer<Watch> {
    let mut decisions: BTreeMap<BatchId, store::BatchDecisions> =
        read.batch_decisions().await?.into_iter().map(|row| (row.batch.clone(), row)).collect();
    let mut batches = Vec::new();
    for row in read.watched_batches().await? {
        let decided = decisions.remove(&row.batch).map(|row| decided(&row)).transpose()?.unwrap_or_default();
        let note = Signed::<Batch>::parse(&row.note).map_err(Failure::internal)?;
        let mut watched = WatchedBatch::new(note.content(), decided).map_err(Failure::internal)?;
        if !row.psbt.is_empty() {
            watched.add_psbt(&row.psbt).map_err(Failure::internal)?;
        }
        batches.push(watched);
    }
    for declared in read.watched_declarations().await? {
        if let Some(watched) = batches.iter_mut().find(|watched| watched.batch == declared.batch) {
            take_up(watched, &declared)?;
        }
    }
    let seen = read.watched_sightings().await?;
    let seen = seen.iter().map(sighting).collect::<Answer<Vec<_>>>()?;
    let tip = followed(read).await?.tip().map_or(0, |tip| tip.height);
    Ok(Watch::new(batches, seen, tip))
}

fn decided(row: &store::BatchDecisions) -> Answer<Decisions> {
    Ok(Decisions {
        kept_back: row.exported_at.is_none(),
        replaced: row.replaced_by.is_some(),
        verified: row.verified_at.is_some(),
        cancel_asked: row.cancel_asked_at.is_some(),
        void: row.void_at.is_some(),
        paid: row.paid_txid.as_deref().map(parsed).transpose()?,
    })
}

/// Lets a batch be recognised by what was declared for it.
fn take_up(watched: &mut WatchedBatch, declared: &store::Declaration) -> Answer<()> {
    match declared.kind.as_str() {
        "txid" => watched.declare(parsed(&declared.content)?),
        "transaction" => watched.declare_transaction(&transaction(&declared.content)?),
        _ => watched.add_psbt(&declared.content).map_err(Failure::internal)?,
    }
    Ok(())
}

fn sighting(row: &store::Sighting) -> Answer<Sighting> {
    let place = match (row.height, row.block_index, &row.block_hash) {
        (Some(height), Some(index), Some(hash)) => Place::Block { height, index, hash: parsed(hash)? },
        _ if row.waiting => Place::Mempool,
        _ => Place::Gone,
    };
    Ok(Sighting { tx: transaction(&row.tx)?, place })
}

fn transaction(hex: &str) -> Answer<Transaction> {
    deserialize_hex(hex).map_err(Failure::internal)
}

/// A hash of Bitcoin as it is kept.
fn parsed<T: FromStr<Err: Display>>(text: &str) -> Answer<T> {
    text.parse().map_err(|error: T::Err| Failure::internal(error))
}

/// The chain that was followed.
pub async fn followed(read: &mut Read) -> Answer<Followed> {
    let block = |row: FollowedBlock| -> Answer<BlockRef> {
        Ok(BlockRef {
            height: row.height,
            hash: parsed(&row.hash)?,
            previous: parsed(&row.previous)?,
            time: row.header_time,
        })
    };
    let blocks = read.followed_blocks().await?.into_iter().map(block).collect::<Answer<Vec<_>>>()?;
    Ok(Followed::new(blocks))
}

/// Keeps how far the chain was followed; whether anything changed.
pub async fn keep_followed(write: &mut Write, before: &Followed, now: &Followed) -> Answer<bool> {
    if before == now {
        return Ok(false);
    }
    let Some(first) = now.blocks().next() else { return Ok(false) };
    let known: BTreeMap<u32, BlockHash> = before.blocks().map(|block| (block.height, block.hash)).collect();
    let new: Vec<&BlockRef> =
        now.blocks().skip_while(|block| known.get(&block.height) == Some(&block.hash)).collect();
    let from = match new.first() {
        Some(block) => block.height,
        None => now.tip().map_or(0, |tip| tip.height.saturating_add(1)),
    };
    write.forget_followed_blocks(from, first.height).await?;
    for block in new {
        let row = FollowedBlock {
            height: block.height,
            hash: block.hash.to_string(),
            previous: block.previous.to_string(),
            header_time: block.time,
        };
        write.insert_followed_block(&row).await?;
    }
    Ok(true)
}

/// Keeps where a transaction is now; whether the watch knows it.
pub async fn keep_sighting(write: &mut Write, watch: &Watch, txid: Txid, now: Timestamp) -> Answer<bool> {
    let Some(seen) = watch.sighting(txid) else { return Ok(false) };
    let (height, block_index, block_hash) = match seen.place {
        Place::Block { height, index, hash } => (Some(height), Some(index), Some(hash.to_string())),
        Place::Mempool | Place::Gone => (None, None, None),
    };
    let row = store::Sighting {
        txid: txid.to_string(),
        tx: serialize_hex(&seen.tx),
        batch: None,
        height,
        block_hash,
        block_index,
        waiting: seen.place == Place::Mempool,
        seen_at: now,
    };
    write.put_sighting(&row).await?;
    Ok(true)
}
