//! `Edge`: the right edge of a tree, which is all that an appender must remember.

use crate::error::LogError;
use crate::hash::{EMPTY_ROOT, Hash, join_right_to_left, perfect_root, perfect_roots};
use crate::tile::{MAX_TILE_LEVELS, MAX_TREE_SIZE, TILE_WIDTH, TileId, edge_width, level_size};

/// The hashes of the partial tile of every level. A writer clones it, appends, stores, and swaps the clone in once
/// that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// `levels[l]` holds `floor(size / 256^l) mod 256` hashes; the topmost level is the last that has had any.
    levels: Vec<Vec<Hash>>,
}

/// A tile that an append completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullTile {
    /// Tile level.
    pub level: u8,
    /// Position in the level.
    pub index: u64,
    /// Its 256 hashes.
    pub hashes: Vec<Hash>,
}

impl FullTile {
    /// Which tile it is.
    #[must_use]
    pub fn id(&self) -> TileId {
        TileId { level: self.level, index: self.index, width: TILE_WIDTH }
    }
}

impl Edge {
    /// The edge of the tree without leaves.
    #[must_use]
    pub fn empty() -> Self {
        Self { size: 0, levels: Vec::new() }
    }

    /// The edge of a stored tree. `levels[l]` is the partial tile of level `l`, empty where there is none; levels
    /// missing at the end count as empty. Compare [`Edge::root`] with the stored root before appending to it.
    ///
    /// # Errors
    /// [`LogError::EdgeLength`] when a level has not the number of hashes that `size` asks for;
    /// [`LogError::TreeTooLarge`].
    pub fn load(size: u64, mut levels: Vec<Vec<Hash>>) -> Result<Self, LogError> {
        if size > MAX_TREE_SIZE {
            return Err(LogError::TreeTooLarge { size });
        }
        let height = (0..MAX_TILE_LEVELS).filter(|level| level_size(size, *level) > 0).count();
        levels.resize_with(levels.len().max(height), Vec::new);
        for (level, hashes) in levels.iter().enumerate() {
            let expected = u8::try_from(level).map_or(0, |level| edge_width(level_size(size, level)));
            if hashes.len() != usize::from(expected) {
                let (found, expected) = (hashes.len(), u64::from(expected));
                return Err(LogError::EdgeLength { size, level, found, expected });
            }
        }
        levels.truncate(height);
        Ok(Self { size, levels })
    }

    /// Leaves of the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The partial tile of every level, from the leaves; empty where a level ends in a full tile.
    #[must_use]
    pub fn levels(&self) -> &[Vec<Hash>] {
        &self.levels
    }

    /// The partial tiles that a log of this size serves, with their names.
    pub fn partial_tiles(&self) -> impl Iterator<Item = (TileId, &[Hash])> {
        (0..MAX_TILE_LEVELS).zip(&self.levels).filter(|(_, hashes)| !hashes.is_empty()).map(
            |(level, hashes)| {
                let level_size = level_size(self.size, level);
                let index = level_size / u64::from(TILE_WIDTH);
                (TileId { level, index, width: edge_width(level_size) }, hashes.as_slice())
            },
        )
    }

    /// Root of the tree (RFC 9162, 2.1.1).
    #[must_use]
    pub fn root(&self) -> Hash {
        let roots: Vec<_> = self.levels.iter().rev().flat_map(|hashes| perfect_roots(hashes)).collect();
        join_right_to_left(&roots).unwrap_or(EMPTY_ROOT)
    }

    /// Appends a leaf hash and returns the tiles that are full now, lowest level first: none for 255 appends of 256.
    pub fn append(&mut self, leaf: Hash) -> Vec<FullTile> {
        self.size += 1;
        let mut completed = Vec::new();
        let mut hash = leaf;
        for level in 0..MAX_TILE_LEVELS {
            let position = usize::from(level);
            if self.levels.len() == position {
                self.levels.push(Vec::new());
            }
            let edge = &mut self.levels[position];
            edge.push(hash);
            if edge.len() < usize::from(TILE_WIDTH) {
                break;
            }
            let hashes = std::mem::take(edge);
            hash = perfect_root(&hashes);
            let index = level_size(self.size, level) / u64::from(TILE_WIDTH) - 1;
            completed.push(FullTile { level, index, hashes });
        }
        completed
    }
}

impl Default for Edge {
    fn default() -> Self {
        Self::empty()
    }
}
