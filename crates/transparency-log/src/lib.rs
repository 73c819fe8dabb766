//! Append-only Merkle log of opaque bytes, as C2SP describes it.
//!
//! **In scope**: RFC 6962 hashing, tiles and entry bundles ([tlog-tiles]), the right edge an appender keeps,
//! inclusion and consistency proofs made from tiles and checked without them, signed notes with Ed25519
//! ([signed-note]), checkpoints ([tlog-checkpoint]), witnesses' cosignatures on them ([tlog-cosignature]), what
//! a witness is asked and when it cosigns ([tlog-witness]), evidence of a split view, and a proof that travels as one
//! text ([tlog-proof]).
//!
//! **Out of scope**: files, sockets, databases, clocks, randomness, and what an entry means. Bytes and seeds come in
//! as arguments. Signatures of other types (ML-DSA-44 cosignatures) are carried along, not verified.
//!
//! A proof that an entry is in a log, holding the log's checkpoint, which is a signed note:
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! index 2
//! lhKyBvyEeKIoKZN2hxbIUAMQt+v7kpv4yFj1dEoVGHs=
//! <one line a hash, from the leaf's sibling up to the root's child>
//!
//! example.com/log
//! 4
//! <root hash, base64>
//!
//! — example.com/log <base64 of key id and signature>
//! ```
//!
//! Appending, publishing and checking:
//!
//! ```
//! use transparency_log::{Checkpoint, Edge, LogProof, MemoryTree, SigningKey, inclusion_proof, leaf_hash};
//!
//! let key = SigningKey::new("example.com/log", [7; 32])?;
//! let (mut edge, mut tree) = (Edge::empty(), MemoryTree::new());
//! for entry in [b"one".as_slice(), b"two", b"three"] {
//!     edge.append(leaf_hash(entry));
//!     tree.push(leaf_hash(entry));
//! }
//! let checkpoint = Checkpoint { origin: key.name().to_owned(), size: edge.size(), root: edge.root() };
//! let proof = LogProof {
//!     index: 1,
//!     hashes: inclusion_proof(1, edge.size(), &tree)?,
//!     checkpoint: checkpoint.sign(&key)?,
//!     extra: None,
//! };
//! let received: LogProof = proof.to_string().parse()?;
//! assert_eq!(received.verify(b"two", &key.verifier())?, checkpoint);
//! # Ok::<(), transparency_log::LogError>(())
//! ```
//!
//! [tlog-tiles]: https://c2sp.org/tlog-tiles
//! [signed-note]: https://c2sp.org/signed-note
//! [tlog-checkpoint]: https://c2sp.org/tlog-checkpoint
//! [tlog-cosignature]: https://c2sp.org/tlog-cosignature
//! [tlog-witness]: https://c2sp.org/tlog-witness
//! [tlog-proof]: https://c2sp.org/tlog-proof

mod bundle;
mod checkpoint;
mod cosignature;
mod edge;
mod error;
mod hash;
mod key;
mod memory_tree;
mod note;
mod number;
mod proof;
mod split_view;
mod tile;
mod tlog_proof;
mod witness;

pub use bundle::{MAX_ENTRY_BYTES, bundle_path, decode_bundle, encode_bundle, parse_bundle_path};
pub use checkpoint::Checkpoint;
pub use cosignature::{CosignerKey, CosignerVerifier, WitnessPolicy, add_cosignature, verify_cosignature};
pub use edge::{Edge, FullTile};
pub use error::LogError;
pub use hash::{EMPTY_ROOT, HASH_BYTES, Hash, leaf_hash, node_hash};
pub use key::{SigningKey, Verifier};
pub use memory_tree::MemoryTree;
pub use note::{MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES, Note, NoteSignature};
pub use proof::{
    HashSource, consistency_proof, consistency_tiles, inclusion_proof, inclusion_tiles, proven_old_root,
    root_tiles, tree_root, verify_consistency, verify_inclusion,
};
pub use split_view::SplitView;
pub use tile::{MAX_TREE_SIZE, TILE_WIDTH, TileId, decode_tile, encode_tile, tiles_between, tiles_for};
pub use tlog_proof::{LogProof, MAX_PROOF_BYTES, MAX_PROOF_HASHES, log_proofs};
pub use witness::{
    AddCheckpoint, KnownSize, MAX_ADD_CHECKPOINT_BYTES, WitnessRefusal, WitnessState, consider,
};
