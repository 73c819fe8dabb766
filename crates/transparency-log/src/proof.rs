//! Proofs that an entry is in a tree and that a tree continues an older one: made from tiles, checked without them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::error::LogError;
use crate::hash::{EMPTY_ROOT, Hash, join_right_to_left, node_hash, perfect_root};
use crate::tile::{MAX_TREE_SIZE, TILE_WIDTH, TileId, level_size};

/// Where the tiles of a log are read from: a folder, a web server, memory.
///
/// Tiles that were fetched beforehand (over an asynchronous connection, say: [`inclusion_tiles`] and
/// [`consistency_tiles`] tell which) are a source as a `BTreeMap<TileId, Vec<Hash>>`.
pub trait HashSource {
    /// Why a tile could not be had.
    type Error: From<LogError>;

    /// The hashes of a tile of exactly this width.
    ///
    /// # Errors
    /// Whatever reading can meet; a tile that is not there is an error.
    fn tile(&self, tile: TileId) -> Result<Vec<Hash>, Self::Error>;
}

impl HashSource for BTreeMap<TileId, Vec<Hash>> {
    type Error = LogError;

    fn tile(&self, tile: TileId) -> Result<Vec<Hash>, LogError> {
        self.get(&tile).cloned().ok_or_else(|| LogError::MissingTile { tile: tile.path() })
    }
}

/// Root of the tree of the first `size` leaves, when the source is that of a tree of exactly that size.
///
/// # Errors
/// Those of the source; [`LogError::TileWidth`] when it gives a tile of another width; [`LogError::TreeTooLarge`].
pub fn tree_root<S: HashSource>(size: u64, source: &S) -> Result<Hash, S::Error> {
    check_size(size)?;
    let whole = 0..size;
    Ok(range_hashes(std::slice::from_ref(&whole), size, source)?.pop().expect("one range, one hash"))
}

/// The inclusion proof of entry `index` in the tree of `size` leaves, from the leaf's sibling upwards (RFC 9162,
/// 2.1.3.1).
///
/// # Errors
/// [`LogError::IndexOutsideTree`], and as [`tree_root`].
pub fn inclusion_proof<S: HashSource>(index: u64, size: u64, source: &S) -> Result<Vec<Hash>, S::Error> {
    range_hashes(&inclusion_ranges(index, size)?, size, source)
}

/// The proof that the tree of `new` leaves continues the one of `old` (RFC 9162, 2.1.4.1), read from the tiles of the
/// tree of `new` leaves. Empty when `old` is 0 or equals `new`.
///
/// # Errors
/// [`LogError::TreeShrank`], and as [`tree_root`].
pub fn consistency_proof<S: HashSource>(old: u64, new: u64, source: &S) -> Result<Vec<Hash>, S::Error> {
    range_hashes(&consistency_ranges(old, new)?, new, source)
}

/// The tiles that [`tree_root`] reads.
///
/// # Errors
/// As [`tree_root`].
pub fn root_tiles(size: u64) -> Result<BTreeSet<TileId>, LogError> {
    check_size(size)?;
    let whole = 0..size;
    Ok(tiles_of(std::slice::from_ref(&whole), size))
}

/// The tiles that [`inclusion_proof`] reads.
///
/// # Errors
/// As [`inclusion_proof`].
pub fn inclusion_tiles(index: u64, size: u64) -> Result<BTreeSet<TileId>, LogError> {
    Ok(tiles_of(&inclusion_ranges(index, size)?, size))
}

/// The tiles that [`consistency_proof`] reads.
///
/// # Errors
/// As [`consistency_proof`].
pub fn consistency_tiles(old: u64, new: u64) -> Result<BTreeSet<TileId>, LogError> {
    Ok(tiles_of(&consistency_ranges(old, new)?, new))
}

/// Checks that `leaf` is entry `index` of the tree of `size` leaves under `root` (RFC 9162, 2.1.3.2).
///
/// # Errors
/// [`LogError::IndexOutsideTree`], [`LogError::ProofLength`] or [`LogError::RootMismatch`].
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), LogError> {
    if index >= size {
        return Err(LogError::IndexOutsideTree { index, size });
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(LogError::ProofLength { hashes: proof.len() });
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(LogError::ProofLength { hashes: proof.len() });
    }
    check_root(size, hash, root)
}

/// Checks that the tree of `new_size` leaves under `new_root` continues the one of `old_size` leaves under `old_root`
/// (RFC 9162, 2.1.4.2). The tree without leaves is continued by every tree, with an empty proof.
///
/// # Errors
/// [`LogError::TreeShrank`], [`LogError::ProofLength`] or [`LogError::RootMismatch`].
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), LogError> {
    let wrong_length = LogError::ProofLength { hashes: proof.len() };
    if old_size > new_size {
        return Err(LogError::TreeShrank { old: old_size, new: new_size });
    }
    if old_size == 0 || old_size == new_size {
        if !proof.is_empty() {
            return Err(wrong_length);
        }
        let expected = if old_size == 0 { EMPTY_ROOT } else { *new_root };
        check_root(old_size, expected, old_root)?;
        return if new_size == 0 { check_root(0, EMPTY_ROOT, new_root) } else { Ok(()) };
    }
    // Where the old tree is a perfect subtree of the new one, its root is the first node of the path and not sent.
    let (first, rest) = if old_size.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(wrong_length)?
    };
    let (old_hash, new_hash) = climb(old_size, new_size, first, rest)?;
    check_root(old_size, old_hash, old_root)?;
    check_root(new_size, new_hash, new_root)
}

/// The root of the first `old_size` leaves of the tree of `new_size` leaves under `new_root`, as a consistency proof shows it.
/// `None` where the proof does not lead to `new_root`, or does not say: it holds nothing of the old tree where that is empty, or
/// a perfect tree within a larger one.
///
/// A witness that is shown another history than the one it knows gets evidence from this.
#[must_use]
pub fn proven_old_root(old_size: u64, new_size: u64, new_root: &Hash, proof: &[Hash]) -> Option<Hash> {
    if old_size == new_size && proof.is_empty() {
        return Some(*new_root);
    }
    if old_size == 0 || old_size >= new_size || old_size.is_power_of_two() {
        return None;
    }
    let (first, rest) = proof.split_first()?;
    let (old_root, found) = climb(old_size, new_size, first, rest).ok()?;
    (found == *new_root).then_some(old_root)
}

/// Both roots that a consistency proof leads to, from its first node upwards; `0 < old_size < new_size`.
fn climb(old_size: u64, new_size: u64, first: &Hash, rest: &[Hash]) -> Result<(Hash, Hash), LogError> {
    let wrong_length = LogError::ProofLength { hashes: rest.len() };
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    let levels = node.trailing_ones();
    (node, last) = (node >> levels, last >> levels);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for hash in rest {
        if last == 0 {
            return Err(wrong_length);
        }
        if node & 1 == 1 || node == last {
            (old_hash, new_hash) = (node_hash(hash, &old_hash), node_hash(hash, &new_hash));
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new_hash = node_hash(&new_hash, hash);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last == 0 { Ok((old_hash, new_hash)) } else { Err(wrong_length) }
}

fn check_root(size: u64, computed: Hash, expected: &Hash) -> Result<(), LogError> {
    if computed == *expected {
        Ok(())
    } else {
        Err(LogError::RootMismatch { size, computed, expected: *expected })
    }
}

pub(crate) fn check_size(size: u64) -> Result<(), LogError> {
    if size <= MAX_TREE_SIZE { Ok(()) } else { Err(LogError::TreeTooLarge { size }) }
}

/// Leaves of the left subtree: the largest power of two below `leaves`, which is at least 2.
pub(crate) fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// The subtrees beside the path to a leaf, from the leaf upwards: PATH of RFC 9162, 2.1.3.1, by ranges of leaves.
fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<Range<u64>>, LogError> {
    check_size(size)?;
    if index >= size {
        return Err(LogError::IndexOutsideTree { index, size });
    }
    let mut ranges = Vec::new();
    let mut within = 0..size;
    while within.end - within.start > 1 {
        let middle = within.start + split(within.end - within.start);
        if index < middle {
            ranges.push(middle..within.end);
            within.end = middle;
        } else {
            ranges.push(within.start..middle);
            within.start = middle;
        }
    }
    ranges.reverse();
    Ok(ranges)
}

/// SUBPROOF of RFC 9162, 2.1.4.1, by ranges of leaves.
fn consistency_ranges(old: u64, new: u64) -> Result<Vec<Range<u64>>, LogError> {
    check_size(new)?;
    if old > new {
        return Err(LogError::TreeShrank { old, new });
    }
    let mut ranges = Vec::new();
    if old == 0 {
        return Ok(ranges);
    }
    let mut within = 0..new;
    while within.end != old {
        let middle = within.start + split(within.end - within.start);
        if old <= middle {
            ranges.push(middle..within.end);
            within.end = middle;
        } else {
            ranges.push(within.start..middle);
            within.start = middle;
        }
    }
    // A range that still begins at 0 is the whole old tree, whose root the verifier has.
    if within.start != 0 {
        ranges.push(within);
    }
    ranges.reverse();
    Ok(ranges)
}

/// A perfect subtree of 2^height leaves that begins at leaf `start`.
struct Subtree {
    height: u32,
    start: u64,
}

impl Subtree {
    /// The tile that holds the subtree's lowest row within one tile, and where in it.
    fn in_tile(&self, size: u64) -> (TileId, Range<usize>) {
        let level = u8::try_from(self.height / 8).expect("heights are below 64");
        let first = level_size(self.start, level);
        let (index, offset) = (first / u64::from(TILE_WIDTH), first % u64::from(TILE_WIDTH));
        let width = level_size(size, level) - index * u64::from(TILE_WIDTH);
        let width = u16::try_from(width).map_or(TILE_WIDTH, |width| width.min(TILE_WIDTH));
        let offset = usize::try_from(offset).expect("an offset in a tile is below 256");
        (TileId { level, index, width }, offset..offset + (1 << (self.height % 8)))
    }
}

/// The perfect subtrees of a range that is a subtree of some tree, left to right.
fn subtrees(range: &Range<u64>) -> impl Iterator<Item = Subtree> + use<> {
    let mut rest = range.clone();
    std::iter::from_fn(move || {
        let height = (rest.end - rest.start).checked_ilog2()?;
        let start = rest.start;
        rest.start += 1 << height;
        Some(Subtree { height, start })
    })
}

/// Subtrees of a tree of `size` leaves, each hashed once, with the tiles that were read for them.
pub(crate) struct Subtrees<'a, S> {
    size: u64,
    source: &'a S,
    /// The rows of each tile, from its hashes upwards: each has the roots of the perfect subtrees of twice as many of them.
    tiles: BTreeMap<TileId, Vec<Vec<Hash>>>,
    /// Those that are not perfect, which only the right edge has, by the leaves where they begin and end.
    uneven: BTreeMap<(u64, u64), Hash>,
}

impl<'a, S: HashSource> Subtrees<'a, S> {
    /// None of them yet.
    pub(crate) fn new(size: u64, source: &'a S) -> Self {
        Self { size, source, tiles: BTreeMap::new(), uneven: BTreeMap::new() }
    }

    /// Merkle tree hash of a range that is a subtree (RFC 9162, 2.1.1). At most 63 deep.
    pub(crate) fn hash(&mut self, range: &Range<u64>) -> Result<Hash, S::Error> {
        let leaves = range.end - range.start;
        if leaves.is_power_of_two() {
            return self.perfect(&Subtree { height: leaves.ilog2(), start: range.start });
        }
        let key = (range.start, range.end);
        if let Some(hash) = self.uneven.get(&key) {
            return Ok(*hash);
        }
        let middle = range.start + split(leaves);
        let hash = node_hash(&self.hash(&(range.start..middle))?, &self.hash(&(middle..range.end))?);
        self.uneven.insert(key, hash);
        Ok(hash)
    }

    fn perfect(&mut self, subtree: &Subtree) -> Result<Hash, S::Error> {
        let (tile, hashes) = subtree.in_tile(self.size);
        let within = usize::try_from(subtree.height % 8).expect("below 8");
        if !self.tiles.contains_key(&tile) {
            let rows = rows(tile, self.source.tile(tile)?)?;
            self.tiles.insert(tile, rows);
        }
        Ok(self.tiles[&tile][within][hashes.start >> within])
    }
}

fn rows(tile: TileId, hashes: Vec<Hash>) -> Result<Vec<Vec<Hash>>, LogError> {
    if hashes.len() != usize::from(tile.width) {
        return Err(LogError::TileWidth { tile: tile.path(), found: hashes.len() });
    }
    let mut rows = vec![hashes];
    for height in 0..7 {
        let row = rows[height].chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        rows.push(row);
    }
    Ok(rows)
}

fn tiles_of(ranges: &[Range<u64>], size: u64) -> BTreeSet<TileId> {
    ranges.iter().flat_map(subtrees).map(|subtree| subtree.in_tile(size).0).collect()
}

/// Merkle tree hash of every range, reading each tile once.
fn range_hashes<S: HashSource>(ranges: &[Range<u64>], size: u64, source: &S) -> Result<Vec<Hash>, S::Error> {
    let mut tiles = BTreeMap::new();
    for tile in tiles_of(ranges, size) {
        let hashes = source.tile(tile)?;
        if hashes.len() != usize::from(tile.width) {
            return Err(LogError::TileWidth { tile: tile.path(), found: hashes.len() }.into());
        }
        tiles.insert(tile, hashes);
    }
    let range_hash = |range| {
        let roots: Vec<_> = subtrees(range)
            .map(|subtree| {
                let (tile, row) = subtree.in_tile(size);
                perfect_root(&tiles[&tile][row])
            })
            .collect();
        join_right_to_left(&roots).unwrap_or(EMPTY_ROOT)
    };
    Ok(ranges.iter().map(range_hash).collect())
}
