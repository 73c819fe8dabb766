//! `ChainSource`: what payouts ask of the chain, and no more.

use bitcoin::{BlockHash, Transaction};
use wiregrant_payout::Watch;

use crate::ChainError;

/// A block's place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    /// Blocks before it.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// The hash of the block before it; all zeros for the first.
    pub previous: BlockHash,
    /// The time in its header, in Unix seconds. Miners choose it: it may be two hours off, and may fall.
    pub time: u32,
}

/// A view of the chain.
pub trait ChainSource: Send {
    /// The newest block of the chain with the most work.
    ///
    /// # Errors
    /// The source cannot be reached, or answers what cannot be.
    fn tip(&mut self) -> Result<BlockRef, ChainError>;

    /// The block at a height of that chain; `None` above its tip.
    ///
    /// # Errors
    /// As [`Self::tip`].
    fn block_at(&mut self, height: u32) -> Result<Option<BlockRef>, ChainError>;

    /// The transactions of a block, each with its place in it: at least those that concern `watch`, as far as the source
    /// can see them.
    ///
    /// # Errors
    /// As [`Self::tip`]; [`ChainError::Pruned`].
    fn transactions(
        &mut self,
        block: &BlockRef,
        watch: &Watch,
    ) -> Result<Vec<(u32, Transaction)>, ChainError>;

    /// What waits for a block and concerns `watch`, as far as its transactions and coins are known; `None` where the
    /// source sees blocks only.
    ///
    /// # Errors
    /// As [`Self::tip`].
    fn waiting(&mut self, watch: &Watch) -> Result<Option<Vec<Transaction>>, ChainError>;
}
