//! Tiles: where in the tree they lie, what they are called, and their bytes (c2sp.org/tlog-tiles).

use std::fmt;
use std::str::FromStr;

use crate::error::{LogError, excerpt};
use crate::hash::{HASH_BYTES, Hash};
use crate::number::parse_number;

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// Most leaves of a tree: 2^63-1, so that sizes fit the signed integers of databases.
pub const MAX_TREE_SIZE: u64 = (1 << 63) - 1;

/// Tile levels that a tree of [`MAX_TREE_SIZE`] leaves can have, 8 tree levels each.
pub(crate) const MAX_TILE_LEVELS: u8 = 8;

/// Highest level that a path may name.
const MAX_PATH_LEVEL: u64 = 63;

/// Which tile, and how much of it there is. The order is by level, index, width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0 for leaf hashes; one more for each 8 levels of the tree.
    pub level: u8,
    /// Position in the level, from 0, in tiles.
    pub index: u64,
    /// Hashes in the tile: 256 when full, 1 to 255 when partial.
    pub width: u16,
}

impl TileId {
    /// The tile's path below the log's prefix: `tile/<L>/<N>`, with `.p/<W>` when partial.
    #[must_use]
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, index_and_width(self.index, self.width))
    }

    /// Whether the tile will never change again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

impl FromStr for TileId {
    type Err = LogError;

    /// Reads [`TileId::path`]; accepts no other spelling.
    fn from_str(path: &str) -> Result<Self, LogError> {
        let refused = || LogError::TilePath { path: excerpt(path) };
        let (level, rest) =
            path.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or_else(refused)?;
        let level = parse_number("tile level", level).ok().filter(|level| *level <= MAX_PATH_LEVEL);
        let level = level.and_then(|level| u8::try_from(level).ok()).ok_or_else(refused)?;
        let (index, width) = parse_index_and_width(rest).ok_or_else(refused)?;
        Ok(Self { level, index, width })
    }
}

/// All tiles of a tree of `size` leaves, level by level from the leaves, left to right.
pub fn tiles_for(size: u64) -> impl Iterator<Item = TileId> {
    tiles_between(0, size)
}

/// The tiles that a tree of `new` leaves has and its beginning of `old` leaves had not: full tiles completed in
/// between, and partial tiles that are new or wider. Empty when the tree did not grow.
pub fn tiles_between(old: u64, new: u64) -> impl Iterator<Item = TileId> {
    (0..MAX_TILE_LEVELS)
        .map(move |level| (level, level_size(old, level), level_size(new, level)))
        .filter(|(_, old, new)| new > old)
        .flat_map(|(level, old, new)| {
            let full = old / u64::from(TILE_WIDTH)..new / u64::from(TILE_WIDTH);
            let edge = TileId { level, index: full.end, width: edge_width(new) };
            full.map(move |index| TileId { level, index, width: TILE_WIDTH })
                .chain((edge.width > 0).then_some(edge))
        })
}

/// The bytes of a tile: its hashes one after the other.
#[must_use]
pub fn encode_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Reads a tile.
///
/// # Errors
/// [`LogError::TileLength`] unless the bytes are 1 to 256 hashes. Compare the count with the width you asked for.
pub fn decode_tile(bytes: &[u8]) -> Result<Vec<Hash>, LogError> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    if !rest.is_empty() || hashes.is_empty() || hashes.len() > usize::from(TILE_WIDTH) {
        return Err(LogError::TileLength { bytes: bytes.len() });
    }
    Ok(hashes.iter().map(|hash| Hash(*hash)).collect())
}

/// Hashes that level `level` has in a tree of `size` leaves, over all its tiles: `floor(size / 256^level)`.
pub(crate) fn level_size(size: u64, level: u8) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

/// Width of the partial tile at the end of a level with so many hashes; 0 when there is none.
pub(crate) fn edge_width(level_size: u64) -> u16 {
    u16::try_from(level_size % u64::from(TILE_WIDTH)).expect("a remainder of 256 fits")
}

/// `x001/x234/067`, with `.p/<width>` when partial.
pub(crate) fn index_and_width(index: u64, width: u16) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width != TILE_WIDTH {
        path.push_str(&format!(".p/{width}"));
    }
    path
}

/// Reads [`index_and_width`]; `None` for any other spelling.
pub(crate) fn parse_index_and_width(text: &str) -> Option<(u64, u16)> {
    let (groups, width) = match text.split_once(".p/") {
        Some((groups, width)) => {
            (groups, width.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?)
        }
        None => (text, TILE_WIDTH),
    };
    let mut index: u64 = 0;
    for group in groups.split('/') {
        let digits: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        index = index.checked_mul(1000)?.checked_add(digits)?;
    }
    // Printing back settles all that the loop lets through: signs, missing zeroes, a missing or an extra x.
    (index_and_width(index, width) == text).then_some((index, width))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tile(level: u8, index: u64, width: u16) -> TileId {
        TileId { level, index, width }
    }

    #[test]
    fn paths_are_those_of_the_spec() {
        for (id, path) in [
            (tile(0, 1_234_067, 256), "tile/0/x001/x234/067"),
            (tile(0, 273, 112), "tile/0/273.p/112"),
            (tile(1, 0, 256), "tile/1/000"),
            (tile(63, 1000, 1), "tile/63/x001/000.p/1"),
        ] {
            assert_eq!(id.path(), path);
            assert_eq!(path.parse(), Ok(id));
        }
    }

    #[test]
    fn a_tile_has_one_path() {
        for refused in [
            "",
            "tile/0",
            "tile/0/",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000/000",
            "tile/0/001/234",
            "tile/0/x001/x234",
            "tile/0/x001/+23",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/+1",
            "tile/0/000.p/",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0/../000",
            "tile/entries/000",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert!(refused.parse::<TileId>().is_err(), "{refused:?} must be refused");
        }
    }

    #[test]
    fn a_tree_of_70000_has_the_tiles_of_the_spec() {
        let tiles: Vec<_> = tiles_for(70_000).collect();
        assert_eq!(tiles.iter().filter(|id| id.level == 0 && id.is_full()).count(), 273);
        let others: Vec<_> = tiles.into_iter().filter(|id| id.level > 0 || !id.is_full()).collect();
        assert_eq!(others, [tile(0, 273, 112), tile(1, 0, 256), tile(1, 1, 17), tile(2, 0, 1)]);
        assert_eq!(tiles_for(256).collect::<Vec<_>>(), [tile(0, 0, 256), tile(1, 0, 1)]);
        assert_eq!(tiles_for(0).count(), 0);
    }

    #[test]
    fn growth_names_only_what_changed() {
        let grown = |old, new| tiles_between(old, new).collect::<Vec<_>>();
        assert_eq!(grown(255, 256), [tile(0, 0, 256), tile(1, 0, 1)]);
        assert_eq!(grown(256, 257), [tile(0, 1, 1)]);
        assert_eq!(grown(300, 300), []);
        assert_eq!(grown(300, 299), []);
        assert_eq!(grown(300, 600), [tile(0, 1, 256), tile(0, 2, 88), tile(1, 0, 2)]);
    }

    #[test]
    fn tile_bytes_are_1_to_256_hashes() {
        for length in [0, 1, 31, 33, 257 * 32] {
            assert_eq!(decode_tile(&vec![0; length]), Err(LogError::TileLength { bytes: length }));
        }
        assert_eq!(decode_tile(&[7; 256 * 32]), Ok(vec![Hash([7; 32]); 256]));
    }

    proptest! {
        #[test]
        fn a_printed_path_reads_back(level in 0_u8..=63, index: u64, width in 1_u16..=256) {
            let id = tile(level, index, width);
            prop_assert_eq!(id.path().parse(), Ok(id));
        }

        #[test]
        fn what_reads_as_a_path_prints_the_same(path in "tile/[0-9]{1,2}/(x?[0-9]{3}/){0,3}[0-9]{2,3}(\\.p/[0-9]{1,3})?|.*") {
            if let Ok(id) = path.parse::<TileId>() {
                prop_assert_eq!(id.path(), path);
            }
        }

        #[test]
        fn tile_bytes_read_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(hashes) = decode_tile(&bytes) {
                prop_assert_eq!(encode_tile(&hashes), bytes);
            }
        }

        #[test]
        fn growing_in_steps_leaves_the_tiles_of_the_end(sizes in prop::collection::vec(0_u64..200_000, 1..5)) {
            let mut sizes = sizes;
            sizes.sort_unstable();
            let mut held = std::collections::BTreeMap::new();
            let mut old = 0;
            for new in sizes {
                held.extend(tiles_between(old, new).map(|id| ((id.level, id.index), id)));
                old = new;
            }
            prop_assert_eq!(held.into_values().collect::<Vec<_>>(), tiles_for(old).collect::<Vec<_>>());
        }
    }
}
