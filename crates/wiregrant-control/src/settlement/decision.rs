//! What is decided about a batch: by people, who declare its payment or cancel it, and by the chain, once it is final.

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{Transaction, Txid};
use wiregrant_core::api::{BatchState, CancelBatch, DeclareTransaction, ProblemKind};
use wiregrant_core::ledger::BatchEvent;
use wiregrant_core::note::Signed;
use wiregrant_core::record::{RecordEntry, parse_reason};
use wiregrant_core::{BatchId, Sats, Timestamp};
use wiregrant_payout::matching::{RECHECKED_DEPTH, Role, Verdict};
use wiregrant_payout::{Batch, PayoutAddress, Watch, check_psbt};
use wiregrant_store::{self as store, BatchDecisions, Declaration, Read, Write};

use super::{facts, keep_counting, verdicts};
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::recording::Recording;
use crate::sats_ledger;

/// Takes up which transaction pays a batch, by the funder's word.
///
/// # Errors
/// `not-found`, `payment` where it does not pay this batch, `conflict` where it stands for another or the batch is void.
pub async fn declare(plane: &ControlPlane, batch: &BatchId, given: &DeclareTransaction) -> Answer<()> {
    let _one_at_a_time = plane.closing.lock().await;
    let mut recording = Recording::begin(plane).await?;
    let row = known(&mut recording.write, batch).await?;
    let mut decided = decisions(&mut recording.write, batch).await?;
    decided.exported_at = decided.exported_at.or_else(|| Some(plane.clock.now()));
    if decided.void_at.is_some() || decided.closed_at.is_some() {
        let what = if decided.void_at.is_some() { "void" } else { "settled for good" };
        return Err(Failure::new(ProblemKind::Conflict, format!("batch {batch} is {what}")));
    }
    let watch = facts::watch(&mut recording.write).await?;
    let (kind, content, txid) = match given {
        DeclareTransaction { txid: Some(txid), transaction: None, psbt: None, .. } => {
            let expected = "txid: 64 hexadecimal digits are expected, as wallets show them";
            let txid: Txid = txid.parse().map_err(|_| Failure::new(ProblemKind::InvalidRequest, expected))?;
            ("txid", txid.to_string(), Some(txid))
        }
        DeclareTransaction { txid: None, transaction: Some(hex), psbt: None, .. } => {
            let txid = pays(&watch, batch, hex)?;
            ("transaction", hex.clone(), Some(txid))
        }
        DeclareTransaction { txid: None, transaction: None, psbt: Some(psbt), change } => {
            let txid = pays_exactly(plane, &row, psbt, change)?;
            decided.verified_at = decided.verified_at.or_else(|| Some(plane.clock.now()));
            ("psbt", psbt.clone(), txid)
        }
        _ => {
            let detail = "give one of txid, transaction and psbt";
            return Err(Failure::new(ProblemKind::InvalidRequest, detail));
        }
    };
    if let Some(txid) = txid {
        refuse_anothers(&watch, batch, txid)?;
    }
    let declaration =
        Declaration { batch: batch.clone(), kind: kind.to_owned(), content, declared_at: plane.clock.now() };
    recording.write.put_declaration(&declaration).await?;
    recording.write.put_batch_decisions(&decided).await?;
    // Its block may have passed; the last hundred are read again.
    if txid.is_some_and(|txid| watch.sighting(txid).is_none()) {
        let before = facts::followed(&mut recording.write).await?;
        let mut rewound = before.clone();
        rewound.rewind();
        facts::keep_followed(&mut recording.write, &before, &rewound).await?;
    }
    recording.commit().await?;
    plane.settle.notify_one();
    Ok(())
}

/// The transaction's id, where it pays anything to the batch.
fn pays(watch: &Watch, batch: &BatchId, hex: &str) -> Answer<Txid> {
    let refuse = |problem: String| Failure::new(ProblemKind::Payment, format!("transaction: {problem}"));
    let tx: Transaction = deserialize_hex(hex.trim()).map_err(|error| refuse(error.to_string()))?;
    let watched = watch.batches().iter().find(|watched| watched.batch == *batch);
    if watched.is_none_or(|watched| watched.sats_from(&tx) == Sats::ZERO) {
        return Err(refuse(format!("{} pays nothing to any address of {batch}", tx.compute_txid())));
    }
    Ok(tx.compute_txid())
}

/// The id of the PSBT's transaction once signed, where it pays just this batch.
fn pays_exactly(
    plane: &ControlPlane,
    row: &store::Batch,
    psbt: &str,
    change: &[String],
) -> Answer<Option<Txid>> {
    let note = Signed::<Batch>::parse(&row.note).map_err(Failure::internal)?;
    let own = Some(row.change_address.as_str()).filter(|address| !address.is_empty());
    let change = own.into_iter().chain(change.iter().map(String::as_str));
    let change = change.map(|address| PayoutAddress::parse(address, plane.config.network));
    let change = change
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::new(ProblemKind::Address, format!("change: {error}")))?;
    let checked = check_psbt(psbt, note.content(), &change)
        .map_err(|error| Failure::new(ProblemKind::Payment, format!("psbt: {error}")))?;
    Ok(checked.txid)
}

/// One transaction pays one batch.
fn refuse_anothers(watch: &Watch, batch: &BatchId, txid: Txid) -> Answer<()> {
    let of_another = watch.batches().iter().find(|watched| {
        watched.batch != *batch && !watched.decisions.void && watched.named().any(|named| named == txid)
    });
    match of_another {
        None => Ok(()),
        Some(other) => {
            let detail = format!("transaction {txid} stands for batch {}; one pays one batch", other.batch);
            Err(Failure::new(ProblemKind::Conflict, detail))
        }
    }
}

/// Cancels a batch: at once where nobody has signed it, else once it cannot be mined any more.
///
/// # Errors
/// `not-found`; `conflict` where something of it is paid already.
pub async fn cancel(plane: &ControlPlane, batch: &BatchId, asked: &CancelBatch) -> Answer<()> {
    let reason = parse_reason(&asked.reason)?;
    let _one_at_a_time = plane.closing.lock().await;
    let mut recording = Recording::begin(plane).await?;
    known(&mut recording.write, batch).await?;
    let mut decided = decisions(&mut recording.write, batch).await?;
    if decided.void_at.is_some() {
        return Ok(());
    }
    let verdict = verdicts(&mut recording.write).await?.remove(batch);
    if let Some(by) = &decided.replaced_by {
        let detail = format!("batch {batch} is replaced by {by}; cancel that one");
        return Err(Failure::new(ProblemKind::Conflict, detail));
    }
    let unpaid = [BatchState::Frozen, BatchState::Exported, BatchState::Verified, BatchState::CancelPending];
    let Some(verdict) = verdict.filter(|verdict| unpaid.contains(&verdict.state)) else {
        let detail =
            format!("batch {batch} is paid, or part of it is; what is on the chain cannot be cancelled");
        return Err(Failure::new(ProblemKind::Conflict, detail));
    };
    let now = plane.clock.now();
    decided.cancel_asked_at = decided.cancel_asked_at.or(Some(now));
    decided.cancel_reason = decided.cancel_reason.take().or_else(|| Some(reason.clone()));
    // What never left cannot have been signed.
    let kept_back = verdict.state == BatchState::Frozen;
    if asked.unsigned || kept_back || verdict.impossible_by().is_some() {
        make_void(&mut recording, &mut decided, &reason, now).await?;
    } else {
        recording.write.put_batch_decisions(&decided).await?;
    }
    recording.commit().await?;
    plane.settle.notify_one();
    Ok(())
}

async fn make_void(
    recording: &mut Recording<'_>,
    decided: &mut BatchDecisions,
    reason: &str,
    now: Timestamp,
) -> Answer<()> {
    decided.void_at = Some(now);
    decided.void_reason = Some(reason.to_owned());
    recording.write.put_batch_decisions(decided).await?;
    recording.write.release_lines(&decided.batch).await?;
    // What stands in for it has freed its sats already.
    if decided.replaced_by.is_none() {
        sats_ledger::enter_batch(&mut recording.write, BatchEvent::Void, &decided.batch, now).await?;
    }
    recording.log(RecordEntry::Void { batch: decided.batch.clone(), reason: reason.to_owned() });
    Ok(())
}

/// Records what the chain has made final; whether there was anything.
pub(super) async fn record(plane: &ControlPlane, recording: &mut Recording<'_>) -> Answer<bool> {
    let verdicts = verdicts(&mut recording.write).await?;
    let mut changed = keep_counting(&mut recording.write, &verdicts).await?;
    for (batch, verdict) in &verdicts {
        let mut decided = decisions(&mut recording.write, batch).await?;
        let now = plane.clock.now();
        let settled = verdict.state == BatchState::Settled;
        if decided.paid_at.is_some() {
            if settled && is_deep(verdict) {
                decided.closed_at = Some(now);
                recording.write.put_batch_decisions(&decided).await?;
                changed = true;
            }
            continue;
        }
        if let Some(txid) = verdict.settled_by().filter(|_| settled) {
            if let Some(by) = decided.replaced_by.clone() {
                give_back(recording, batch, &by, now).await?;
            }
            let row = known(&mut recording.write, batch).await?;
            decided.paid_at = Some(now);
            decided.paid_txid = Some(txid.to_string());
            recording.write.put_batch_decisions(&decided).await?;
            recording.write.put_public_note(&row.note).await?;
            sats_ledger::enter_batch(&mut recording.write, BatchEvent::Paid, batch, now).await?;
            recording.log(RecordEntry::Paid { batch: batch.clone(), txid: txid.to_string() });
            void_replaced(recording, batch, now).await?;
            tracing::info!(%batch, %txid, "a batch is settled");
            changed = true;
        } else if verdict.state == BatchState::CancelPending && verdict.impossible_by().is_some() {
            let reason = decided.cancel_reason.clone().unwrap_or_else(|| "cancelled".to_owned());
            make_void(recording, &mut decided, &reason, now).await?;
            tracing::info!(%batch, reason, "a batch is void");
            changed = true;
        }
    }
    Ok(changed)
}

/// A replaced batch was paid after all, so what stood in for it cannot be any more: it is void, and gives the lines back.
async fn give_back(
    recording: &mut Recording<'_>,
    paid: &BatchId,
    stood_in: &BatchId,
    now: Timestamp,
) -> Answer<()> {
    let mut decided = decisions(&mut recording.write, stood_in).await?;
    if decided.void_at.is_none() && decided.paid_at.is_none() {
        make_void(recording, &mut decided, "replaced-one-was-paid", now).await?;
        recording.write.hold_lines_again(paid).await?;
        sats_ledger::enter_batch(&mut recording.write, BatchEvent::Frozen, paid, now).await?;
    }
    Ok(())
}

/// What a settled batch stood in for, however often, is void for good.
async fn void_replaced(recording: &mut Recording<'_>, paid: &BatchId, now: Timestamp) -> Answer<()> {
    for mut decided in recording.write.batch_decisions().await? {
        let replaced = decided.replaced_by.as_ref() == Some(paid);
        if replaced && decided.void_at.is_none() && decided.paid_at.is_none() {
            make_void(recording, &mut decided, "replaced", now).await?;
        }
    }
    Ok(())
}

/// Whether everything that pays it is so deep that it is no longer looked at.
fn is_deep(verdict: &Verdict) -> bool {
    verdict
        .payments
        .iter()
        .filter(|payment| payment.role == Role::Pays)
        .all(|payment| payment.depth > RECHECKED_DEPTH)
}

pub(crate) async fn known(write: &mut Write, batch: &BatchId) -> Answer<store::Batch> {
    write.batch(batch).await?.ok_or_else(|| Failure::not_found("batch", batch))
}

pub(crate) async fn decisions(read: &mut Read, batch: &BatchId) -> Answer<BatchDecisions> {
    let undecided = || BatchDecisions {
        batch: batch.clone(),
        verified_at: None,
        cancel_asked_at: None,
        cancel_reason: None,
        void_at: None,
        void_reason: None,
        paid_at: None,
        paid_txid: None,
        closed_at: None,
        exported_at: None,
        replaced_by: None,
    };
    Ok(read.decisions_of_batch(batch).await?.unwrap_or_else(undecided))
}
