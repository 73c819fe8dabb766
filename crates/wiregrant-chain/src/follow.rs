//! Following the chain: a watch is taken from block to block, and back where the chain was reorganised.

use std::collections::{BTreeSet, VecDeque};

use bitcoin::Txid;
use wiregrant_core::Timestamp;
use wiregrant_payout::Watch;
use wiregrant_payout::matching::RECHECKED_DEPTH;

use crate::{BlockRef, ChainError, ChainSource};

/// Blocks that are remembered, to find where a reorganised chain parts from the one that was followed: what is rechecked,
/// twice over.
pub const REMEMBERED: usize = 2 * RECHECKED_DEPTH as usize;

/// Blocks taken in at most before what they changed is to be stored.
pub const BLOCKS_AT_ONCE: u32 = 100;

/// How far back the first look goes at most: a month of blocks. A batch that is older is declared by hand.
const FIRST_LOOK_BLOCKS: u32 = 4_320;

/// Block headers may be two hours off.
const HEADER_SLACK_SECONDS: u64 = 2 * 3_600;

/// The newest blocks of the chain that was followed, oldest first, without a gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Followed {
    blocks: VecDeque<BlockRef>,
}

impl Followed {
    /// Those that were remembered, oldest first.
    #[must_use]
    pub fn new(blocks: impl IntoIterator<Item = BlockRef>) -> Self {
        Self { blocks: blocks.into_iter().collect() }
    }

    /// The newest one.
    #[must_use]
    pub fn tip(&self) -> Option<&BlockRef> {
        self.blocks.back()
    }

    /// All of them, oldest first.
    pub fn blocks(&self) -> impl Iterator<Item = &BlockRef> {
        self.blocks.iter()
    }

    /// Forgets the newest blocks, all but one of what [`follow`] takes in at once, so that the next look reads them again:
    /// for a transaction that was declared after its block had passed.
    pub fn rewind(&mut self) {
        let kept = self.blocks.len().saturating_sub(BLOCKS_AT_ONCE as usize - 1).max(1);
        self.blocks.truncate(kept);
    }

    fn push(&mut self, block: BlockRef) {
        self.blocks.push_back(block);
        if self.blocks.len() > REMEMBERED {
            self.blocks.pop_front();
        }
    }
}

/// What one look at the chain has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Transactions that were seen for the first time, or moved.
    pub moved: BTreeSet<Txid>,
    /// Blocks taken back.
    pub taken_back: u32,
    /// Blocks taken in.
    pub taken_in: u32,
    /// Whether the tip was reached.
    pub up_to_date: bool,
}

/// Takes `watch` and `followed` along the chain: back to where it parts from what was followed, then forward, at most
/// [`BLOCKS_AT_ONCE`] blocks. At the tip, what waits for a block is looked at too. Where nothing was followed yet, it
/// begins at the tip, or before the time `since` that the oldest batch was made.
///
/// # Errors
/// Those of the source; then `watch` and `followed` may have gone part of the way, which is right as far as it goes.
pub fn follow(
    source: &mut dyn ChainSource,
    followed: &mut Followed,
    watch: &mut Watch,
    since: Option<Timestamp>,
) -> Result<Progress, ChainError> {
    let mut progress = Progress::default();
    let tip = source.tip()?;
    take_back(source, followed, watch, &tip, &mut progress)?;
    if followed.blocks.is_empty() {
        let first = first_block(source, tip, since)?;
        watch.connect(first.height, first.hash, &[]);
        followed.push(first);
    }
    // With nothing to watch for, the blocks between need not be read.
    if watch.batches().is_empty() && followed.tip().is_some_and(|known| known.height < tip.height) {
        *followed = Followed::new([tip]);
        watch.connect(tip.height, tip.hash, &[]);
    }
    while progress.taken_in < BLOCKS_AT_ONCE {
        let Some(last) = followed.tip().copied() else { break };
        let next = match last.height.checked_add(1) {
            Some(height) if height <= tip.height => source.block_at(height)?,
            _ => None,
        };
        match next {
            // The chain may be reorganised while it is read; the next look finds where.
            Some(next) if next.previous != last.hash => return Ok(progress),
            Some(next) => {
                let transactions = source.transactions(&next, watch)?;
                progress.moved.extend(watch.connect(next.height, next.hash, &transactions));
                followed.push(next);
                progress.taken_in += 1;
            }
            None => {
                progress.up_to_date = true;
                break;
            }
        }
    }
    if progress.up_to_date
        && let Some(waiting) = source.waiting(watch)?
    {
        progress.moved.extend(watch.waiting(&waiting));
    }
    Ok(progress)
}

/// Drops blocks that are no longer in the chain. Where all that are remembered are gone, the one below them is taken for
/// common.
fn take_back(
    source: &mut dyn ChainSource,
    followed: &mut Followed,
    watch: &mut Watch,
    tip: &BlockRef,
    progress: &mut Progress,
) -> Result<(), ChainError> {
    while let Some(last) = followed.tip().copied() {
        if source.block_at(last.height)?.is_some_and(|now| now.hash == last.hash) {
            return Ok(());
        }
        followed.blocks.pop_back();
        let below = last.height.saturating_sub(1);
        progress.moved.extend(watch.disconnect_above(below));
        progress.taken_back += 1;
        if followed.blocks.is_empty()
            && let Some(common) = source.block_at(below.min(tip.height))?
        {
            watch.disconnect_above(common.height);
            followed.push(common);
            return Ok(());
        }
    }
    Ok(())
}

/// Where to begin: the tip, or the block before the time `since`.
fn first_block(
    source: &mut dyn ChainSource,
    tip: BlockRef,
    since: Option<Timestamp>,
) -> Result<BlockRef, ChainError> {
    let Some(since) = since else { return Ok(tip) };
    let lowest = tip.height.saturating_sub(FIRST_LOOK_BLOCKS);
    let earliest = since.unix_seconds().saturating_sub_unsigned(HEADER_SLACK_SECONDS);
    let mut first = tip;
    while first.height > lowest && i64::from(first.time) >= earliest {
        match source.block_at(first.height - 1)? {
            Some(before) => first = before,
            None => break,
        }
    }
    Ok(first)
}

#[cfg(test)]
mod tests;
