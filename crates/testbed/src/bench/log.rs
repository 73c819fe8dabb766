//! The transparency log against the hash function that it cannot do without.

use std::hint::black_box;

use anyhow::{Result, ensure};
use transparency_log::{Edge, Hash, MemoryTree, leaf_hash, verify_inclusion};

use super::{Row, rate};

/// 256 x 256 x 4 leaves: two levels of full tiles, and a third with one of four hashes.
const LEAVES: u64 = 1 << 18;
/// Interior nodes hashed while growing to [`LEAVES`]: 255 for each of 1,024 and 4 full tiles.
const NODES: u64 = 255 * (1024 + 4);
/// Proofs made and checked, each of another entry.
const PROOFS: u64 = 1 << 12;
/// Hashes of a proof at this size: its logarithm.
const PROOF_HASHES: u64 = 18;
/// Interior nodes hashed to make a proof from tiles: siblings of 1, 2, .. 128 leaves in each of two full tiles, 247 each, and
/// of 1 and 2 in the third.
const NODES_FOR_A_PROOF: u64 = 247 * 2 + 1;
/// A log's entry: `report ` and a hash in base64.
const ENTRY_BYTES: usize = 51;
/// An interior node: a byte and two hashes.
const NODE_BYTES: usize = 65;

pub fn rows() -> Result<Vec<Row>> {
    Ok(vec![append()?, make_proofs()?, check_proofs()?])
}

fn entry(index: u64) -> [u8; ENTRY_BYTES] {
    let mut entry = [b'.'; ENTRY_BYTES];
    entry[..8].copy_from_slice(&index.to_be_bytes());
    entry
}

/// Hashes `count` messages of a length, each of another content.
fn hash_raw<const BYTES: usize>(count: u64) {
    let mut message = [0; BYTES];
    for index in 0..count {
        message[..8].copy_from_slice(&index.to_be_bytes());
        black_box(Hash::of(&message));
    }
}

fn append() -> Result<Row> {
    let mut edge = Edge::empty();
    let appends = rate(LEAVES, || {
        for index in 0..LEAVES {
            black_box(edge.append(leaf_hash(&entry(index))));
        }
    });
    ensure!(edge.size() == LEAVES, "the edge has {} leaves", edge.size());
    let raw = rate(LEAVES, || {
        hash_raw::<{ ENTRY_BYTES + 1 }>(LEAVES);
        hash_raw::<NODE_BYTES>(NODES);
    });
    Ok(Row::new("log", "append", "entries/s", (appends, raw), "SHA-256 of the same messages, entries/s", 800))
}

/// A tree, and the entries whose proofs are wanted: spread over it, none twice.
fn tree() -> (MemoryTree, impl Iterator<Item = u64> + Clone) {
    let mut tree = MemoryTree::new();
    for index in 0..LEAVES {
        tree.push(leaf_hash(&entry(index)));
    }
    (tree, (0..PROOFS).map(|number| number * (LEAVES / PROOFS)))
}

fn make_proofs() -> Result<Row> {
    let (tree, wanted) = tree();
    let mut hashes = 0;
    let made = rate(PROOFS, || {
        for index in wanted {
            hashes += tree.inclusion_proof(index, LEAVES).map_or(0, |proof| proof.len() as u64);
        }
    });
    ensure!(hashes == PROOFS * PROOF_HASHES, "{hashes} hashes in {PROOFS} proofs");
    let raw = rate(PROOFS, || hash_raw::<NODE_BYTES>(PROOFS * NODES_FOR_A_PROOF));
    Ok(Row::new(
        "log",
        "make a proof from tiles",
        "proofs/s",
        (made, raw),
        "SHA-256 of the same messages, proofs/s",
        800,
    ))
}

fn check_proofs() -> Result<Row> {
    let (tree, wanted) = tree();
    let root = tree.root_at(LEAVES)?;
    let proofs: Vec<_> = wanted
        .map(|index| Ok((index, tree.inclusion_proof(index, LEAVES)?)))
        .collect::<Result<_, transparency_log::LogError>>()?;
    let mut good = 0;
    let checked = rate(PROOFS, || {
        for (index, proof) in &proofs {
            let leaf = leaf_hash(&entry(*index));
            good += u64::from(verify_inclusion(&leaf, *index, LEAVES, proof, &root).is_ok());
        }
    });
    ensure!(good == PROOFS, "{good} of {PROOFS} proofs are good");
    let raw = rate(PROOFS, || {
        hash_raw::<{ ENTRY_BYTES + 1 }>(PROOFS);
        hash_raw::<NODE_BYTES>(PROOFS * PROOF_HASHES);
    });
    Ok(Row::new(
        "log",
        "check a proof",
        "proofs/s",
        (checked, raw),
        "SHA-256 of the same messages, proofs/s",
        800,
    ))
}
