//! `MemoryTree`: a whole tree in memory, for those who check a log from its first entry.

use crate::error::LogError;
use crate::hash::{Hash, perfect_root};
use crate::proof::{HashSource, consistency_proof, inclusion_proof, tree_root};
use crate::tile::{TILE_WIDTH, TileId};

/// All hashes of all tiles: 32 bytes a leaf and 1/255 more. Answers for every size that it has had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryTree {
    /// `levels[l]` are the hashes of all tiles of level `l`, one after the other.
    levels: Vec<Vec<Hash>>,
}

impl MemoryTree {
    /// The tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves of the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            let (tiles, partial) = hashes.as_chunks::<{ TILE_WIDTH as usize }>();
            match tiles.last() {
                Some(completed) if partial.is_empty() => hash = perfect_root(completed),
                _ => break,
            }
        }
    }

    /// Root of the tree of the first `size` leaves.
    ///
    /// # Errors
    /// [`LogError::MissingTile`] when the tree has fewer leaves.
    pub fn root_at(&self, size: u64) -> Result<Hash, LogError> {
        tree_root(size, self)
    }

    /// The inclusion proof of entry `index` in the tree of the first `size` leaves.
    ///
    /// # Errors
    /// As [`inclusion_proof`]; [`LogError::MissingTile`] when the tree has fewer leaves.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        inclusion_proof(index, size, self)
    }

    /// The proof that the tree of the first `new` leaves continues that of the first `old`.
    ///
    /// # Errors
    /// As [`consistency_proof`]; [`LogError::MissingTile`] when the tree has fewer leaves.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, LogError> {
        consistency_proof(old, new, self)
    }
}

impl HashSource for MemoryTree {
    type Error = LogError;

    fn tile(&self, tile: TileId) -> Result<Vec<Hash>, LogError> {
        let missing = || LogError::MissingTile { tile: tile.path() };
        let hashes = self.levels.get(usize::from(tile.level)).ok_or_else(missing)?;
        let start =
            tile.index.checked_mul(u64::from(TILE_WIDTH)).and_then(|start| usize::try_from(start).ok());
        let row = start.and_then(|start| hashes.get(start..)?.get(..usize::from(tile.width)));
        row.map(<[Hash]>::to_vec).ok_or_else(missing)
    }
}
