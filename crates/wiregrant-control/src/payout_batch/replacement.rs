//! A batch that stands in for another: it takes over the lines, and its transaction spends a coin of the other's, so that the
//! network mines one of the two at most.

use std::collections::BTreeSet;

use bitcoin::OutPoint;
use wiregrant_core::Timestamp;
use wiregrant_core::api::{BatchState, NewBatch, ProblemKind};
use wiregrant_core::ledger::BatchEvent;
use wiregrant_payout::WatchedBatch;

use crate::error::{Answer, Failure};
use crate::recording::Recording;
use crate::sats_ledger;
use crate::settlement;

/// Frees the lines of the batch that is to be replaced, within the transaction, and tells which coins tie the two together;
/// none where nothing is replaced.
///
/// # Errors
/// `not-found`, `conflict` where it cannot be replaced, with the reason.
pub async fn begin(
    recording: &mut Recording<'_>,
    new: &NewBatch,
    now: Timestamp,
) -> Answer<BTreeSet<OutPoint>> {
    let Some(old) = &new.replaces else { return Ok(BTreeSet::new()) };
    let row = settlement::known(&mut recording.write, old).await?;
    let conflict = |why: &str| Failure::new(ProblemKind::Conflict, format!("replaces: batch {old} {why}"));
    if row.grant_id != new.grant {
        return Err(conflict("is of another grant"));
    }
    let (watch, _) = settlement::state(&mut recording.write).await?;
    let verdict = watch.verdicts().remove(old).ok_or_else(|| conflict("is settled for good"))?;
    match verdict.state {
        BatchState::Exported | BatchState::Verified | BatchState::Seen | BatchState::CancelPending => {}
        BatchState::Frozen => {
            return Err(conflict("never left here, so nobody can have signed it; cancel it instead"));
        }
        BatchState::Replaced => {
            return Err(conflict("is replaced already; replace the one that stands in for it"));
        }
        state => {
            return Err(conflict(&format!(
                "is {state}; what is paid, in part or not at all any more, is not replaced"
            )));
        }
    }
    let watched = watch.batches().iter().find(|watched| watched.batch == *old);
    let coins: BTreeSet<OutPoint> = watched.into_iter().flat_map(WatchedBatch::coins).collect();
    if coins.is_empty() {
        return Err(conflict("has no known coins; declare its transaction or PSBT first, or cancel it"));
    }
    if new.coins.is_empty() {
        let why = "can be replaced only by a transaction from given coins, of which one is its own";
        return Err(conflict(why));
    }
    recording.write.release_lines(old).await?;
    sats_ledger::enter_batch(&mut recording.write, BatchEvent::Void, old, now).await?;
    Ok(coins)
}

/// Notes, once the new batch is there, that it stands in for the other.
///
/// # Errors
/// `busy` or `internal`.
pub async fn end(recording: &mut Recording<'_>, new: &NewBatch) -> Answer<()> {
    let Some(old) = &new.replaces else { return Ok(()) };
    let mut decided = settlement::decisions(&mut recording.write, old).await?;
    decided.replaced_by = Some(new.batch.clone());
    recording.write.put_batch_decisions(&decided).await?;
    Ok(())
}
