//! Drafts: batches that are asked for and hold no line yet. What a draft would pay is looked at anew each time.

use wiregrant_core::api::{Batch, BatchStage, BatchState, LineState, NewBatch, Payout, ProblemKind};
use wiregrant_core::{BatchId, GrantId, Sats};
use wiregrant_store::{DraftBatch, Read};

use super::addresses::{self, Addresses};
use super::due_lines;
use crate::api::grants;
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::recording::Recording;

/// Keeps a draft, in the place of an earlier one of the same id.
///
/// # Errors
/// `not-found` without the grant, `already-exists` for a batch that is frozen.
pub async fn keep(plane: &ControlPlane, new: &NewBatch) -> Answer<Batch> {
    let mut recording = Recording::begin(plane).await?;
    grants::known(&mut recording.write, &new.grant).await?;
    if recording.write.batch(&new.batch).await?.is_some() {
        let detail = format!("batch: {} is frozen already; choose another id", new.batch);
        return Err(Failure::new(ProblemKind::AlreadyExists, detail));
    }
    let draft = DraftBatch {
        batch: new.batch.clone(),
        grant_id: new.grant.clone(),
        asked: asked_json(new)?,
        created_at: plane.clock.now(),
    };
    recording.write.put_draft_batch(&draft).await?;
    recording.commit().await?;
    shown_draft(plane, draft).await
}

/// What a draft was asked for with.
///
/// # Errors
/// `not-found`.
pub async fn asked(read: &mut Read, batch: &BatchId) -> Answer<NewBatch> {
    let draft = read.draft_batch(batch).await?.ok_or_else(|| Failure::not_found("draft", batch))?;
    serde_json::from_str(&draft.asked).map_err(Failure::internal)
}

/// A request as it is kept and compared: how far it goes is no part of it.
///
/// # Errors
/// `internal`.
pub fn asked_json(new: &NewBatch) -> Answer<String> {
    let asked = NewBatch { stage: BatchStage::default(), ..new.clone() };
    serde_json::to_string(&asked).map_err(Failure::internal)
}

/// All drafts with what they would pay.
///
/// # Errors
/// `busy` or `internal`.
pub async fn drafts(plane: &ControlPlane) -> Answer<Vec<Batch>> {
    let drafts = plane.store.read().await?.draft_batches().await?;
    let mut all = Vec::with_capacity(drafts.len());
    for draft in drafts {
        all.push(shown_draft(plane, draft).await?);
    }
    Ok(all)
}

/// What a batch of this grant would pay if it were frozen now; nothing is kept.
///
/// # Errors
/// `not-found` without the grant.
pub async fn due_now(plane: &ControlPlane, grant: &GrantId) -> Answer<Batch> {
    grants::known(&mut plane.store.read().await?, grant).await?;
    let batch: BatchId = grant.as_str().parse()?; // of the same form, and shown nowhere
    let asked = NewBatch {
        batch: batch.clone(),
        grant: grant.clone(),
        coins: Vec::new(),
        change: None,
        fee_rate_sat_per_vb: None,
        replaces: None,
        stage: BatchStage::Draft,
    };
    let asked = asked_json(&asked)?;
    let created_at = plane.clock.now();
    shown_draft(plane, DraftBatch { batch, grant_id: grant.clone(), asked, created_at }).await
}

/// A draft with what it would pay if it were frozen now; names are not looked up for it.
///
/// # Errors
/// `busy` or `internal`.
pub async fn shown_draft(plane: &ControlPlane, draft: DraftBatch) -> Answer<Batch> {
    let asked: NewBatch = serde_json::from_str(&draft.asked).map_err(Failure::internal)?;
    let now = plane.clock.now();
    let mut read = plane.store.read().await?;
    let mut addresses = Addresses::new(plane, &mut read, addresses::Names::new(), now).await?;
    let due = due_lines(&mut read, &mut addresses, &draft.grant_id, now).await?;
    let mut payouts = Vec::with_capacity(due.lines.len());
    for line in due.lines {
        let destination = read.destination(&line.operator, line.destination_sequence).await?;
        payouts.push(Payout {
            destination_signed_by_operator: destination
                .as_ref()
                .is_some_and(|found| found.signed_by_operator),
            ownership_proven: destination.is_some_and(|found| found.ownership.is_some()),
            operator: line.operator,
            epoch: line.epoch,
            sats: line.sats,
            address: line.address,
            state: LineState::Released,
        });
    }
    Ok(Batch {
        batch: draft.batch,
        grant: draft.grant_id,
        state: BatchState::Draft,
        cancel_reason: None,
        transactions: Vec::new(),
        paid_by: None,
        missing: Sats::ZERO,
        excess: Sats::ZERO,
        total: Sats::total(payouts.iter().map(|payout| payout.sats)).map_err(Failure::internal)?,
        payouts,
        fee: Sats::ZERO,
        change: None,
        note: String::new(),
        psbt: String::new(),
        replaces: asked.replaces,
        replaced_by: None,
        destinations: Vec::new(),
        left_out: due.left_out,
    })
}
