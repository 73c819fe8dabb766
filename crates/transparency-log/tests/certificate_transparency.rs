//! The known answers that implementations of RFC 6962 share: eight leaves, their roots and their proofs, as published
//! with the Certificate Transparency reference code.

use data_encoding::HEXLOWER;
use transparency_log::{
    EMPTY_ROOT, Edge, Hash, MemoryTree, consistency_proof, inclusion_proof, leaf_hash, tree_root,
    verify_consistency, verify_inclusion,
};

const ENTRIES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Index, size, proof.
const INCLUSION: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// Old size, new size, proof.
const CONSISTENCY: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).expect("the vectors are hexadecimal")
}

fn hash(hex: &str) -> Hash {
    Hash(bytes(hex).try_into().expect("a hash has 32 bytes"))
}

fn root(size: u64) -> Hash {
    let position = usize::try_from(size).expect("at most 8");
    if position == 0 { EMPTY_ROOT } else { hash(ROOTS[position - 1]) }
}

fn leaf(index: u64) -> Hash {
    leaf_hash(&bytes(ENTRIES[usize::try_from(index).expect("at most 7")]))
}

fn tree() -> MemoryTree {
    let mut tree = MemoryTree::new();
    (0..8).for_each(|index| tree.push(leaf(index)));
    tree
}

#[test]
fn the_published_roots_follow() {
    let mut edge = Edge::empty();
    for size in 0..=8 {
        assert_eq!(edge.root(), root(size), "edge of {size}");
        assert_eq!(tree_root(size, &tree()).unwrap(), root(size), "tree of {size}");
        if size < 8 {
            edge.append(leaf(size));
        }
    }
}

#[test]
fn the_published_inclusion_proofs_are_made_and_hold() {
    for (index, size, proof) in INCLUSION {
        let proof: Vec<_> = proof.iter().map(|hex| hash(hex)).collect();
        assert_eq!(inclusion_proof(index, size, &tree()).unwrap(), proof, "{index} in {size}");
        assert_eq!(verify_inclusion(&leaf(index), index, size, &proof, &root(size)), Ok(()));
    }
}

#[test]
fn the_published_consistency_proofs_are_made_and_hold() {
    for (old, new, proof) in CONSISTENCY {
        let proof: Vec<_> = proof.iter().map(|hex| hash(hex)).collect();
        assert_eq!(consistency_proof(old, new, &tree()).unwrap(), proof, "{old} to {new}");
        assert_eq!(verify_consistency(old, &root(old), new, &root(new), &proof), Ok(()));
    }
}
