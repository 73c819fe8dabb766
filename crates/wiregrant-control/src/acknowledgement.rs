//! Acknowledgements: a C2SP tlog-proof that a report's entry is in the reports log.
//!
//! One is computed from tiles and the checkpoint stored with the report's batch, never kept, so the same report gets the
//! same bytes however often it is sent.

use std::collections::BTreeSet;

use transparency_log::{LogProof, inclusion_proof, inclusion_tiles};
use wiregrant_store::{Log, Store};

use crate::error::{Answer, Failure};

/// The proofs of these entries under the checkpoint of the log at `size`, in their order.
///
/// # Errors
/// `busy` or `internal`.
pub async fn proofs(store: &Store, indices: &[u64], size: u64, checkpoint: &str) -> Answer<Vec<String>> {
    let mut wanted = BTreeSet::new();
    for index in indices {
        wanted.extend(inclusion_tiles(*index, size).map_err(Failure::internal)?);
    }
    let tiles = store.read().await?.tiles(Log::Reports, &wanted).await?;
    let proof = |index: &u64| {
        let hashes = inclusion_proof(*index, size, &tiles).map_err(Failure::internal)?;
        let proof = LogProof { index: *index, hashes, checkpoint: checkpoint.to_owned(), extra: None };
        Ok(proof.to_string())
    };
    indices.iter().map(proof).collect()
}

/// The proof of an entry that was acknowledged under the checkpoint at `size` before.
///
/// # Errors
/// `busy` or `internal`.
pub async fn again(store: &Store, index: u64, size: u64) -> Answer<String> {
    let checkpoint = store.read().await?.checkpoint_at(Log::Reports, size).await?;
    let checkpoint =
        checkpoint.ok_or_else(|| Failure::internal(format!("no checkpoint of the reports log at {size}")))?;
    let mut proofs = proofs(store, &[index], size, &checkpoint).await?;
    proofs.pop().ok_or_else(|| Failure::internal("one index, no proof"))
}
