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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::hash::leaf_hash;
    use crate::memory_tree::MemoryTree;
    use crate::proof::HashSource;
    use crate::tile::tiles_for;

    fn leaf(index: u64) -> Hash {
        leaf_hash(&index.to_be_bytes())
    }

    /// An edge of `size` leaves, the tiles it completed on the way, and the same leaves in memory.
    fn grown(size: u64) -> (Edge, BTreeMap<TileId, Vec<Hash>>, MemoryTree) {
        let (mut edge, mut full, mut tree) = (Edge::empty(), BTreeMap::new(), MemoryTree::new());
        for index in 0..size {
            full.extend(edge.append(leaf(index)).into_iter().map(|tile| (tile.id(), tile.hashes)));
            tree.push(leaf(index));
        }
        (edge, full, tree)
    }

    #[test]
    fn the_edge_has_the_root_and_the_tiles_of_the_whole_tree() {
        for size in [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 66_000] {
            let (edge, mut tiles, tree) = grown(size);
            assert_eq!(edge.size(), size);
            assert_eq!(edge.root(), tree.root_at(size).unwrap(), "root at {size}");
            tiles.extend(edge.partial_tiles().map(|(id, hashes)| (id, hashes.to_vec())));
            assert!(tiles.keys().copied().eq(tiles_for(size)), "tiles at {size}");
            for (id, hashes) in tiles {
                assert_eq!(tree.tile(id), Ok(hashes), "{id} at {size}");
            }
        }
    }

    #[test]
    fn a_loaded_edge_goes_on_where_it_stopped() {
        for size in [0, 255, 256, 257, 65_536] {
            let (mut edge, _, _) = grown(size);
            let mut loaded = Edge::load(size, edge.levels().to_vec()).unwrap();
            assert_eq!(loaded, edge);
            assert_eq!(loaded.append(leaf(size)), edge.append(leaf(size)));
            assert_eq!(loaded.root(), edge.root());
        }
    }

    #[test]
    fn empty_levels_at_the_end_may_be_left_out_or_written() {
        let (edge, _, _) = grown(300);
        let mut levels = edge.levels().to_vec();
        levels.resize(8, Vec::new());
        assert_eq!(Edge::load(300, levels), Ok(edge));
        assert_eq!(Edge::load(0, vec![Vec::new(); 9]), Ok(Edge::empty()));
    }

    #[test]
    fn an_edge_of_another_size_is_refused() {
        let (edge, _, _) = grown(300);
        for size in [0, 299, 301, 44, 300 + 256, 300 + 65_536] {
            let refused = Edge::load(size, edge.levels().to_vec());
            assert!(matches!(refused, Err(LogError::EdgeLength { .. })), "{size}: {refused:?}");
        }
        let mut extra_level = edge.levels().to_vec();
        extra_level.push(vec![leaf(0)]);
        assert!(Edge::load(300, extra_level).is_err());
        assert_eq!(Edge::load(1 << 63, Vec::new()), Err(LogError::TreeTooLarge { size: 1 << 63 }));
    }

    #[test]
    fn a_clone_that_is_dropped_leaves_no_trace() {
        let (edge, _, _) = grown(255);
        let before = edge.clone();
        let mut attempt = edge.clone();
        assert_eq!(attempt.append(leaf(255)).len(), 1);
        assert_eq!(edge, before);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn edge_and_tree_agree_at_every_size(size in 0_u64..2_000) {
            let (edge, _, tree) = grown(size);
            prop_assert_eq!(edge.root(), tree.root_at(size).unwrap());
        }

        #[test]
        fn loading_never_panics(size: u64, lengths in prop::collection::vec(0_usize..300, 0..12)) {
            let levels: Vec<_> = lengths.into_iter().map(|length| vec![leaf(0); length]).collect();
            if let Ok(mut edge) = Edge::load(size, levels) {
                prop_assert_eq!(edge.size(), size);
                edge.append(edge.root());
            }
        }
    }
}
