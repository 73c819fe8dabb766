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
