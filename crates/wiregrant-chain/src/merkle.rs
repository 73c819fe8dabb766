//! The way from a transaction up to the header of its block, as servers prove that a block holds it.

use bitcoin::hashes::{Hash as _, HashEngine as _};
use bitcoin::{TxMerkleNode, Txid};

/// The deepest Merkle tree of a block: 4 MB hold fewer than 2^17 transactions of the least size.
const MAX_PROOF: usize = 17;

/// The root that a leaf at a place leads to, with the siblings from below; `None` where the place is outside of the tree.
pub fn merkle_root(leaf: Txid, place: u32, siblings: &[Txid]) -> Option<TxMerkleNode> {
    if siblings.len() > MAX_PROOF || place.checked_shr(u32::try_from(siblings.len()).ok()?)? != 0 {
        return None;
    }
    let mut node = leaf.to_raw_hash();
    for (level, sibling) in (0u32..).zip(siblings) {
        let sibling = sibling.to_raw_hash();
        let (left, right) = if (place >> level) & 1 == 0 { (node, sibling) } else { (sibling, node) };
        let mut engine = TxMerkleNode::engine();
        engine.input(left.as_ref());
        engine.input(right.as_ref());
        node = TxMerkleNode::from_engine(engine).to_raw_hash();
    }
    Some(TxMerkleNode::from_raw_hash(node))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaf(n: u8) -> Txid {
        Txid::from_byte_array([n; 32])
    }

    /// The proof that a full Merkle tree has for a place, computed level by level (an odd last node is its own sibling).
    fn proof(leaves: &[Txid], mut place: usize) -> Vec<Txid> {
        let (mut level, mut siblings) = (leaves.to_vec(), Vec::new());
        while level.len() > 1 {
            if level.len() % 2 == 1 {
                level.push(*level.last().unwrap());
            }
            siblings.push(level[place ^ 1]);
            let pair = |pair: &[Txid]| {
                let root = merkle_root(pair[0], 0, &[pair[1]]).unwrap();
                Txid::from_raw_hash(root.to_raw_hash())
            };
            level = level.chunks(2).map(pair).collect();
            place /= 2;
        }
        siblings
    }

    proptest! {
        #[test]
        fn every_place_leads_to_the_root_and_no_other_leaf_does(count in 1usize..40, place in 0usize..40, other in any::<u8>()) {
            let leaves: Vec<Txid> = (0..count).map(|n| leaf(u8::try_from(n).unwrap())).collect();
            let place = place % count;
            let root = bitcoin::merkle_tree::calculate_root(leaves.iter().map(|leaf| leaf.to_raw_hash())).unwrap();
            let siblings = proof(&leaves, place);
            let found = |leaf| merkle_root(leaf, u32::try_from(place).unwrap(), &siblings).map(TxMerkleNode::to_raw_hash);
            prop_assert_eq!(found(leaves[place]), Some(root));
            if leaf(other) != leaves[place] {
                prop_assert_ne!(found(leaf(other)), Some(root));
            }
        }
    }

    #[test]
    fn a_place_outside_of_the_tree_is_refused() {
        assert_eq!(merkle_root(leaf(1), 1, &[]), None);
        assert_eq!(merkle_root(leaf(1), 2, &[leaf(2)]), None);
        assert_eq!(merkle_root(leaf(1), 0, &[leaf(2); MAX_PROOF + 1]), None);
        assert_eq!(merkle_root(leaf(1), u32::MAX, &[leaf(2); MAX_PROOF]), None);
    }
}
