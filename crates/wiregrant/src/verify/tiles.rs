//! The published tiles as a source of hashes, so that roots of earlier sizes are known without holding the tree.
//!
//! What is read here is not trusted: [`PublicLog::root_at`] takes a root only with a proof that the signed checkpoint
//! continues it, so that it does not matter when a tile is read, or how often.

use std::cell::RefCell;
use std::collections::VecDeque;

use transparency_log::{Hash, inclusion_proof, leaf_hash, verify_inclusion};
use transparency_log::{
    HashSource, LogError, TILE_WIDTH, TileId, consistency_proof, decode_tile, tree_root, verify_consistency,
};

use super::CouldNotCheck;
use super::log::PublicLog;
use super::source::{Reading, Source};

/// Tiles kept in memory: those of a few paths from a leaf to the root.
const MAX_KEPT: usize = 64;
/// The bytes of a full tile.
pub const MAX_TILE_BYTES: u64 = (TILE_WIDTH as u64) * 32;

/// Why a tile could not be had.
pub enum Trouble {
    Cannot(CouldNotCheck),
    Log(LogError),
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// The tiles of a log of this size.
pub struct PublishedTiles<'a> {
    source: &'a Source,
    prefix: &'static str,
    size: u64,
    kept: RefCell<VecDeque<(TileId, Vec<Hash>)>>,
}

impl PublishedTiles<'_> {
    fn read(&self, tile: TileId) -> Result<Vec<Hash>, Trouble> {
        let level_size = self.size.checked_shr(8 * u32::from(tile.level)).unwrap_or(0);
        let left = level_size.saturating_sub(tile.index.saturating_mul(u64::from(TILE_WIDTH)));
        let width = u16::try_from(left.min(u64::from(TILE_WIDTH))).unwrap_or(TILE_WIDTH);
        let file = TileId { width, ..tile };
        let path = |file: TileId| format!("{}/{}", self.prefix, file.path());
        let mut reading = self.source.read(&path(file), MAX_TILE_BYTES).map_err(Trouble::Cannot)?;
        if matches!(reading, Reading::Absent) && !file.is_full() {
            // The log has grown since; the full tile begins with the same hashes.
            let full = TileId { width: TILE_WIDTH, ..tile };
            reading = self.source.read(&path(full), MAX_TILE_BYTES).map_err(Trouble::Cannot)?;
        }
        match reading {
            Reading::Bytes(bytes) => Ok(decode_tile(&bytes)?),
            _ => Err(LogError::MissingTile { tile: tile.path() }.into()),
        }
    }
}

impl HashSource for PublishedTiles<'_> {
    type Error = Trouble;

    fn tile(&self, tile: TileId) -> Result<Vec<Hash>, Trouble> {
        let whole = TileId { width: TILE_WIDTH, ..tile };
        let known =
            self.kept.borrow().iter().find(|(kept, _)| *kept == whole).map(|(_, hashes)| hashes.clone());
        let mut hashes = match known {
            Some(hashes) => hashes,
            None => {
                let hashes = self.read(tile)?;
                let mut kept = self.kept.borrow_mut();
                if kept.len() >= MAX_KEPT {
                    kept.pop_front();
                }
                kept.push_back((whole, hashes.clone()));
                hashes
            }
        };
        if hashes.len() < usize::from(tile.width) {
            return Err(LogError::MissingTile { tile: tile.path() }.into());
        }
        hashes.truncate(usize::from(tile.width));
        Ok(hashes)
    }
}

impl PublicLog {
    /// The published tiles.
    pub fn tiles<'a>(&self, source: &'a Source) -> PublishedTiles<'a> {
        let kept = RefCell::new(VecDeque::new());
        PublishedTiles { source, prefix: self.prefix, size: self.checkpoint.size, kept }
    }

    /// The root of the first `size` entries, at most all, proved under the checkpoint.
    ///
    /// # Errors
    /// When tiles cannot be read, or are no longer those of the checkpoint.
    pub fn root_at(&self, source: &Source, size: u64) -> Result<Hash, CouldNotCheck> {
        self.proved_root(source, size).map_err(|trouble| match trouble {
            Trouble::Cannot(reason) => reason,
            Trouble::Log(error) => CouldNotCheck(format!(
                "{source}/{}: tiles changed while they were read: {error}",
                self.prefix
            )),
        })
    }

    fn proved_root(&self, source: &Source, size: u64) -> Result<Hash, Trouble> {
        let tiles = self.tiles(source);
        let root = tree_root(size, &tiles)?;
        let proof = consistency_proof(size, self.checkpoint.size, &tiles)?;
        verify_consistency(size, &root, self.checkpoint.size, &self.checkpoint.root, &proof)?;
        Ok(root)
    }

    /// Whether the published level-0 tile that holds entry `index` is the one that the checkpoint commits to; its hashes.
    ///
    /// # Errors
    /// When tiles cannot be read.
    pub fn proved_leaves(&self, source: &Source, tile: TileId) -> Result<Option<Vec<Hash>>, CouldNotCheck> {
        let read = || -> Result<Vec<Hash>, Trouble> {
            let tiles = self.tiles(source);
            let leaves = tiles.tile(tile)?;
            let index = tile.index.saturating_mul(u64::from(TILE_WIDTH));
            let first = leaves.first().copied().unwrap_or_else(|| leaf_hash(&[]));
            // The proof of the first leaf is made of hashes of all the others.
            let proof = inclusion_proof(index, self.checkpoint.size, &tiles)?;
            verify_inclusion(&first, index, self.checkpoint.size, &proof, &self.checkpoint.root)?;
            Ok(leaves)
        };
        match read() {
            Ok(leaves) => Ok(Some(leaves)),
            Err(Trouble::Log(_)) => Ok(None),
            Err(Trouble::Cannot(reason)) => Err(reason),
        }
    }
}
