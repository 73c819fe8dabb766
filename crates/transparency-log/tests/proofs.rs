//! Proofs against an independent implementation (the crate `tlog_tiles`), and against those who tamper with them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use transparency_log::{
    EMPTY_ROOT, Hash, HashSource, LogError, LogProof, MAX_TREE_SIZE, MemoryTree, TileId, consistency_proof,
    consistency_tiles, encode_tile, inclusion_proof, inclusion_tiles, leaf_hash, log_proofs, proven_old_root,
    root_tiles, tiles_between, tiles_for, tree_root, verify_consistency, verify_inclusion,
};

fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

fn tree(size: u64) -> MemoryTree {
    let mut tree = MemoryTree::new();
    (0..size).for_each(|index| tree.push(leaf(index)));
    tree
}

/// Hashes in the order in which `tlog_tiles` numbers them.
struct Oracle(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Oracle {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[usize::try_from(*index).expect("small")]).collect())
    }
}

fn oracle(size: u64) -> Oracle {
    let mut oracle = Oracle(Vec::new());
    for index in 0..size {
        let hashes = tlog_tiles::stored_hashes(index, &index.to_be_bytes(), &oracle).expect("all are there");
        oracle.0.extend(hashes);
    }
    oracle
}

fn ours(hashes: Vec<tlog_tiles::Hash>) -> Vec<Hash> {
    hashes.into_iter().map(|hash| Hash(hash.0)).collect()
}

fn held(tree: &MemoryTree, tiles: impl IntoIterator<Item = TileId>) -> BTreeMap<TileId, Vec<Hash>> {
    tiles.into_iter().map(|id| (id, tree.tile(id).expect("the tree has it"))).collect()
}

/// Two sizes or an index and a size, `0 <= first < second`.
fn below(limit: u64) -> impl Strategy<Value = (u64, u64)> {
    (1..limit).prop_flat_map(|second| (0..second, Just(second)))
}

const GROWN: u64 = 1_100;
/// Proofs are put before it as it is.
const CHECKPOINT: &str = "example.com/log\n";

#[test]
fn proofs_of_a_batch_are_those_of_its_entries_one_by_one_and_read_each_tile_once() {
    let tree = tree(GROWN);
    for (entries, size) in [
        (0..0, 1),
        (0..1, 1),
        (0..40, 40),
        (250..262, 262),
        (7..700, 700),
        (1_000..GROWN, GROWN),
        (0..GROWN, GROWN),
    ] {
        let proof = |index| {
            let hashes = inclusion_proof(index, size, &tree).unwrap();
            LogProof { index, hashes, checkpoint: CHECKPOINT.to_owned(), extra: None }.to_string()
        };
        let one_by_one: Vec<_> = entries.clone().map(proof).collect();
        let tiles: Vec<TileId> =
            entries.clone().flat_map(|index| inclusion_tiles(index, size).unwrap()).collect();
        let once = ReadOnce { held: held(&tree, tiles), read: RefCell::default() };
        assert_eq!(log_proofs(entries, size, CHECKPOINT, &once).unwrap(), one_by_one);
    }
    assert!(matches!(
        log_proofs(3..8, 7, CHECKPOINT, &tree),
        Err(LogError::IndexOutsideTree { index: 7, size: 7 })
    ));
    assert!(matches!(log_proofs(0..1, 2, CHECKPOINT, &BTreeMap::new()), Err(LogError::MissingTile { .. })));
}

/// Tiles that are asked for once at most.
struct ReadOnce {
    held: BTreeMap<TileId, Vec<Hash>>,
    read: RefCell<BTreeSet<TileId>>,
}

impl HashSource for ReadOnce {
    type Error = LogError;

    fn tile(&self, tile: TileId) -> Result<Vec<Hash>, LogError> {
        assert!(self.read.borrow_mut().insert(tile), "{tile} is read again");
        self.held.tile(tile)
    }
}

#[test]
fn every_root_and_proof_of_small_trees_is_that_of_the_other_implementation() {
    let (tree, oracle) = (tree(40), oracle(40));
    for size in 1..=40 {
        let root = tlog_tiles::tree_hash(size, &oracle).unwrap();
        assert_eq!(tree.root_at(size).unwrap(), Hash(root.0), "root of {size}");
        for index in 0..size {
            let theirs = tlog_tiles::prove_record(size, index, &oracle).unwrap();
            assert_eq!(inclusion_proof(index, size, &tree).unwrap(), ours(theirs), "{index} in {size}");
            let theirs = tlog_tiles::prove_tree(size, index + 1, &oracle).unwrap();
            assert_eq!(
                consistency_proof(index + 1, size, &tree).unwrap(),
                ours(theirs),
                "{} to {size}",
                index + 1
            );
        }
    }
}

#[test]
fn roots_and_proofs_across_tile_borders_are_those_of_the_other_implementation() {
    const SIZES: [u64; 8] = [255, 256, 257, 511, 65_535, 65_536, 65_537, 65_800];
    let (tree, oracle) = (tree(65_800), oracle(65_800));
    for size in SIZES {
        let root = tlog_tiles::tree_hash(size, &oracle).unwrap();
        assert_eq!(tree.root_at(size).unwrap(), Hash(root.0), "root of {size}");
        for index in [0, 1, 254, size / 2, size - 2, size - 1] {
            let theirs = tlog_tiles::prove_record(size, index, &oracle).unwrap();
            assert_eq!(inclusion_proof(index, size, &tree).unwrap(), ours(theirs), "{index} in {size}");
        }
        for old in SIZES.into_iter().filter(|old| *old <= size) {
            let theirs = tlog_tiles::prove_tree(size, old, &oracle).unwrap();
            assert_eq!(consistency_proof(old, size, &tree).unwrap(), ours(theirs), "{old} to {size}");
        }
    }
}

#[test]
fn tiles_and_their_growth_are_those_of_the_other_implementation() {
    let (tree, oracle) = (tree(66_000), oracle(66_000));
    for (old, new) in [(0, 1), (0, 256), (255, 257), (300, 66_000), (65_535, 65_536), (65_536, 65_537)] {
        let ours: Vec<_> = tiles_between(old, new).collect();
        let theirs = tlog_tiles::Tile::new_tiles(8, old, new);
        let named = theirs.iter().map(|tile| (tile.level(), tile.level_index(), tile.width()));
        assert!(ours.iter().map(|id| (id.level, id.index, u32::from(id.width))).eq(named), "{old} to {new}");
        for (id, theirs) in ours.into_iter().zip(theirs).rev().take(20) {
            assert_eq!(encode_tile(&tree.tile(id).unwrap()), theirs.read_data(&oracle).unwrap(), "{id}");
        }
    }
}

#[test]
fn the_empty_tree_is_continued_by_every_tree_and_by_nothing_else() {
    let some = leaf(1);
    assert_eq!(tree_root(0, &tree(0)).unwrap(), EMPTY_ROOT);
    assert_eq!(consistency_proof(0, 9, &tree(9)).unwrap(), []);
    assert_eq!(verify_consistency(0, &EMPTY_ROOT, 9, &some, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &EMPTY_ROOT, 0, &EMPTY_ROOT, &[]), Ok(()));
    assert!(verify_consistency(0, &some, 9, &some, &[]).is_err());
    assert!(verify_consistency(0, &some, 0, &some, &[]).is_err());
    assert!(verify_consistency(0, &EMPTY_ROOT, 0, &some, &[]).is_err());
    assert!(verify_consistency(0, &EMPTY_ROOT, 9, &some, &[some]).is_err());
}

#[test]
fn a_tree_is_consistent_with_itself_only_under_the_same_root() {
    let (root, other) = (leaf(1), leaf(2));
    assert_eq!(verify_consistency(7, &root, 7, &root, &[]), Ok(()));
    assert!(verify_consistency(7, &root, 7, &other, &[]).is_err());
    assert!(verify_consistency(7, &root, 7, &root, &[root]).is_err());
    assert_eq!(verify_consistency(8, &root, 7, &root, &[]), Err(LogError::TreeShrank { old: 8, new: 7 }));
}

#[test]
fn a_rewritten_history_has_no_consistency_proof() {
    let mut rewritten = MemoryTree::new();
    (0..300).for_each(|index| rewritten.push(leaf(if index == 17 { 999 } else { index })));
    let old_root = tree(200).root_at(200).unwrap();
    let new_root = rewritten.root_at(300).unwrap();
    let proof = rewritten.consistency_proof(200, 300).unwrap();
    let refused = verify_consistency(200, &old_root, 300, &new_root, &proof);
    assert!(matches!(refused, Err(LogError::RootMismatch { size: 200, .. })), "{refused:?}");
}

#[test]
fn a_source_that_lacks_or_stretches_a_tile_is_an_error() {
    let mut tiles = held(&tree(300), tiles_for(300));
    let edge = TileId { level: 0, index: 1, width: 44 };
    tiles.get_mut(&edge).unwrap().push(leaf(0));
    let stretched = LogError::TileWidth { tile: "tile/0/001.p/44".to_owned(), found: 45 };
    assert_eq!(tree_root(300, &tiles), Err(stretched));
    tiles.remove(&edge);
    assert_eq!(tree_root(300, &tiles), Err(LogError::MissingTile { tile: edge.path() }));
    assert_eq!(
        inclusion_proof(5, 400, &tree(300)),
        Err(LogError::MissingTile { tile: "tile/0/001.p/144".to_owned() })
    );
}

#[test]
fn what_no_tree_can_hold_is_refused() {
    let tree = tree(3);
    assert_eq!(inclusion_proof(3, 3, &tree), Err(LogError::IndexOutsideTree { index: 3, size: 3 }));
    assert_eq!(inclusion_tiles(0, 0), Err(LogError::IndexOutsideTree { index: 0, size: 0 }));
    assert_eq!(consistency_proof(4, 3, &tree), Err(LogError::TreeShrank { old: 4, new: 3 }));
    assert_eq!(root_tiles(MAX_TREE_SIZE + 1), Err(LogError::TreeTooLarge { size: MAX_TREE_SIZE + 1 }));
    assert!(verify_inclusion(&leaf(0), 0, 0, &[], &leaf(0)).is_err());
}

/// Ways to tamper with a list of hashes; every one changes it.
fn tampered(proof: &[Hash], way: usize, position: usize, bit: usize) -> Vec<Hash> {
    let mut proof = proof.to_vec();
    let position = position % proof.len().max(1);
    let next = (position + 1) % proof.len().max(1);
    match way % 4 {
        0 if !proof.is_empty() => proof[position].0[bit / 8] ^= 1 << (bit % 8),
        1 if !proof.is_empty() => drop(proof.remove(position)),
        2 if proof.len() > 1 => proof.swap(position, next),
        _ => proof.insert(position, leaf(u64::MAX)),
    }
    proof
}

proptest! {
    #[test]
    fn every_inclusion_proof_verifies_and_no_other_does(
        (index, size) in below(GROWN),
        other in 0..GROWN,
        (way, position, bit) in (0_usize..4, 0_usize..12, 0_usize..256),
    ) {
        let tree = tree(size);
        let (leaf_hash, root) = (leaf(index), tree.root_at(size).unwrap());
        let proof = tree.inclusion_proof(index, size).unwrap();
        prop_assert_eq!(verify_inclusion(&leaf_hash, index, size, &proof, &root), Ok(()));

        let changed = tampered(&proof, way, position, bit);
        prop_assert!(verify_inclusion(&leaf_hash, index, size, &changed, &root).is_err());
        let mut wrong = root;
        wrong.0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify_inclusion(&leaf_hash, index, size, &proof, &wrong).is_err());
        if other != index {
            prop_assert!(verify_inclusion(&leaf(other), index, size, &proof, &root).is_err());
            prop_assert!(verify_inclusion(&leaf_hash, other, size, &proof, &root).is_err());
        }
    }

    #[test]
    fn a_consistency_proof_shows_the_old_root_or_nothing(
        (old, new) in below(GROWN),
        (way, position, bit) in (0_usize..4, 0_usize..12, 0_usize..256),
    ) {
        let tree = tree(new);
        let (old_root, new_root) = (tree.root_at(old).unwrap(), tree.root_at(new).unwrap());
        let proof = tree.consistency_proof(old, new).unwrap();
        let shown = proven_old_root(old, new, &new_root, &proof);
        prop_assert_eq!(shown, (old > 0 && !old.is_power_of_two()).then_some(old_root));
        prop_assert_eq!(proven_old_root(new, new, &new_root, &[]), Some(new_root));
        let changed = tampered(&proof, way, position, bit);
        if let Some(shown) = proven_old_root(old, new, &new_root, &changed) {
            // Whatever leads to the new root is a proof, and of the root that it shows.
            prop_assert_eq!(verify_consistency(old, &shown, new, &new_root, &changed), Ok(()));
            prop_assert_eq!(shown, old_root);
        }
    }

    #[test]
    fn every_consistency_proof_verifies_and_no_other_does(
        (old, new) in below(GROWN),
        (way, position, bit) in (0_usize..4, 0_usize..12, 0_usize..256),
    ) {
        let tree = tree(new);
        let (old_root, new_root) = (tree.root_at(old).unwrap(), tree.root_at(new).unwrap());
        let proof = tree.consistency_proof(old, new).unwrap();
        prop_assert_eq!(verify_consistency(old, &old_root, new, &new_root, &proof), Ok(()));

        let changed = tampered(&proof, way, position, bit);
        prop_assert!(verify_consistency(old, &old_root, new, &new_root, &changed).is_err());
        let mut wrong = old_root;
        wrong.0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify_consistency(old, &wrong, new, &new_root, &proof).is_err());
        if old > 0 {
            wrong = new_root;
            wrong.0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_consistency(old, &old_root, new, &wrong, &proof).is_err());
        }
    }

    #[test]
    fn a_proof_reads_the_named_tiles_of_the_newest_tree_and_no_other((first, size) in below(GROWN)) {
        let tree = tree(size);
        let published: std::collections::BTreeSet<_> = tiles_for(size).collect();
        for named in [inclusion_tiles(first, size).unwrap(), consistency_tiles(first, size).unwrap()] {
            prop_assert!(named.is_subset(&published));
        }
        let tiles = held(&tree, inclusion_tiles(first, size).unwrap());
        prop_assert_eq!(inclusion_proof(first, size, &tiles).unwrap(), tree.inclusion_proof(first, size).unwrap());
        let tiles = held(&tree, consistency_tiles(first, size).unwrap());
        prop_assert_eq!(consistency_proof(first, size, &tiles).unwrap(), tree.consistency_proof(first, size).unwrap());
        let tiles = held(&tree, root_tiles(size).unwrap());
        prop_assert_eq!(tree_root(size, &tiles).unwrap(), tree.root_at(size).unwrap());
    }

    #[test]
    fn numbers_from_outside_never_panic(
        first in prop_oneof![0_u64..9, any::<u64>()],
        second in prop_oneof![0_u64..9, any::<u64>()],
        hashes in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let proof: Vec<_> = hashes.into_iter().map(Hash).collect();
        let some = leaf(0);
        prop_assert!(verify_inclusion(&some, first, second, &proof, &some).is_err() || second == 1);
        prop_assert!(verify_consistency(first, &some, second, &some, &proof).is_err() || first == second);
        let named = [inclusion_tiles(first, second), consistency_tiles(first, second), root_tiles(second)];
        for tiles in named.into_iter().flatten() {
            prop_assert!(tiles.iter().all(|id| id.level < 8 && (1..=256).contains(&id.width)));
        }
        prop_assert!(tree_root(second, &BTreeMap::new()).is_err() || second == 0);
    }
}
