//! Acknowledgements: a C2SP tlog-proof that a report's entry is in the reports log.
//!
//! One is computed from tiles and the checkpoint stored with the report's batch, never kept, so the same report gets the
//! same bytes however often it is sent; once another log key is in use, with the line of that one below the first.

use std::collections::BTreeMap;

use transparency_log::{Hash, LogProof, TileId, inclusion_proof, inclusion_tiles, log_proofs};
use wiregrant_store::Log;

use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::recording;

/// The proofs of entries that were just appended, in their order. Nothing is read: the log's right edge proves what lies at it.
///
/// # Errors
/// `internal`.
pub fn of_appended(appended: &recording::Signed) -> Answer<Vec<String>> {
    let recording::Signed { first_index, size, checkpoint, tiles } = appended;
    log_proofs(*first_index..*size, *size, checkpoint, tiles).map_err(Failure::internal)
}

/// The proof of an entry that was acknowledged under the checkpoint at `size` before; under the next larger one, where that was
/// signed under an origin that has ended.
///
/// # Errors
/// `busy` or `internal`.
pub async fn again(plane: &ControlPlane, index: u64, size: u64) -> Answer<String> {
    let mut read = plane.store.read().await?;
    let covering = read.checkpoint_covering(Log::Reports, size).await?;
    let (size, checkpoint) =
        covering.ok_or_else(|| Failure::internal(format!("no checkpoint of the reports log at {size}")))?;
    let checkpoint =
        plane.log_keys.under_the_present_key(Log::Reports, &checkpoint).map_err(Failure::internal)?;
    let wanted = inclusion_tiles(index, size).map_err(Failure::internal)?;
    let tiles = read.tiles(Log::Reports, &wanted).await?;
    proof(index, size, &tiles, &checkpoint)
}

fn proof(index: u64, size: u64, tiles: &BTreeMap<TileId, Vec<Hash>>, checkpoint: &str) -> Answer<String> {
    let hashes = inclusion_proof(index, size, tiles).map_err(Failure::internal)?;
    Ok(LogProof { index, hashes, checkpoint: checkpoint.to_owned(), extra: None }.to_string())
}
