//! Payout batches: the lines that are due become one unsigned transaction.
//!
//! The batch note, its entry in the record, its lines and the PSBT are written together or not at all, and no line is ever
//! in two live batches: the database reserves each line once.

pub mod addresses;
mod draft;
mod funding;
mod replacement;
mod shown;

use std::collections::BTreeSet;

use wiregrant_core::api::{Batch, BatchStage, NewBatch, ProblemKind};
use wiregrant_core::ledger::BatchEvent;
use wiregrant_core::note::Signed;
use wiregrant_core::record::RecordEntry;
use wiregrant_core::statement::Statement;
use wiregrant_core::{BatchId, GrantId, OperatorId, Sats, Timestamp};
use wiregrant_payout::{self as payout, BatchLine, PayoutError};
use wiregrant_store::{self as store, Log, Read};

use crate::api::grants;
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::line_standing::Lines;
use crate::random;
use crate::recording::Recording;
use crate::sats_ledger;
use crate::settlement;

use addresses::Addresses;
use funding::Funded;

pub use draft::{drafts, due_now, shown_draft};
pub use shown::{shown, state};

/// Makes a batch of every line of a grant that is due, as far as its stage. The same request again gives the same batch.
///
/// # Errors
/// `nothing-payable`, `coins`, `address`, `conflict` for a batch that cannot be replaced, `already-exists` for another
/// request under the same id.
pub async fn create(plane: &ControlPlane, new: &NewBatch) -> Answer<Batch> {
    match new.stage {
        BatchStage::Draft => draft::keep(plane, new).await,
        BatchStage::Frozen | BatchStage::Exported => freeze(plane, new).await,
    }
}

/// Freezes a draft: what is due now, to the destinations in force now.
///
/// # Errors
/// As [`create`]; `not-found` without a draft.
pub async fn freeze_draft(plane: &ControlPlane, batch: &BatchId) -> Answer<Batch> {
    let asked = draft::asked(&mut plane.store.read().await?, batch).await?;
    freeze(plane, &NewBatch { stage: BatchStage::Frozen, ..asked }).await
}

/// Notes that what can be paid is handed out, and hands it out.
///
/// # Errors
/// `not-found`, also for a draft.
pub async fn hand_out(plane: &ControlPlane, batch: &BatchId) -> Answer<Batch> {
    let _one_at_a_time = plane.closing.lock().await;
    let mut recording = Recording::begin(plane).await?;
    let row = settlement::known(&mut recording.write, batch).await?;
    let mut decided = settlement::decisions(&mut recording.write, batch).await?;
    if decided.exported_at.is_none() {
        decided.exported_at = Some(plane.clock.now());
        recording.write.put_batch_decisions(&decided).await?;
    }
    let verdicts = settlement::verdicts(&mut recording.write).await?;
    let answer = shown(&mut recording.write, row, &verdicts).await?;
    recording.commit().await?;
    Ok(answer)
}

async fn freeze(plane: &ControlPlane, new: &NewBatch) -> Answer<Batch> {
    let names = addresses::look_up(plane, &new.grant).await?;
    let _one_at_a_time = plane.closing.lock().await;
    let now = plane.clock.now();
    let mut recording = Recording::begin(plane).await?;
    grants::known(&mut recording.write, &new.grant).await?;
    if let Some(known) = recording.write.batch(&new.batch).await? {
        return if known.coins == draft::asked_json(new)? {
            let verdicts = settlement::verdicts(&mut recording.write).await?;
            shown(&mut recording.write, known, &verdicts).await
        } else {
            let detail = format!(
                "batch: {} exists with another grant, coins, change or fee rate; choose another id",
                new.batch
            );
            Err(Failure::new(ProblemKind::AlreadyExists, detail))
        };
    }
    let replaced = replacement::begin(&mut recording, new, now).await?;
    let mut addresses = Addresses::new(plane, &mut recording.write, names, now).await?;
    let due = due_lines(&mut recording.write, &mut addresses, &new.grant, now).await?;
    if due.lines.is_empty() {
        let mut detail = format!("grant {}: no line is due", new.grant);
        due.left_out.iter().for_each(|why| detail.push_str(&format!("; {why}")));
        return Err(Failure::new(ProblemKind::NothingPayable, detail).with("left_out", due.left_out));
    }
    let note = note(plane, &mut recording.write, new, due.lines).await?;
    let funded =
        funding::fund(plane, &mut recording.write, &mut addresses, note.content(), new, &replaced).await?;
    let row = row(new, &note, funded.as_ref(), &due.left_out, now)?;
    let lines: Vec<_> = note.content().lines.iter().map(|line| line_row(new, line)).collect();
    recording.write.insert_batch(&row, &lines).await?;
    sats_ledger::enter_batch(&mut recording.write, BatchEvent::Frozen, &new.batch, now).await?;
    addresses.keep(&mut recording.write, &new.batch, &lines).await?;
    replacement::end(&mut recording, new).await?;
    let mut decided = settlement::decisions(&mut recording.write, &new.batch).await?;
    decided.exported_at = (new.stage == BatchStage::Exported).then_some(now);
    recording.write.put_batch_decisions(&decided).await?;
    recording.write.delete_draft_batch(&new.batch).await?;
    recording.log(RecordEntry::Batch { batch: new.batch.clone(), note: note.hash() });
    let verdicts = settlement::verdicts(&mut recording.write).await?;
    let answer = shown(&mut recording.write, row, &verdicts).await?;
    recording.commit().await?;
    Ok(answer)
}

/// What can be paid now, and what cannot and why.
struct Due {
    lines: Vec<BatchLine>,
    left_out: Vec<String>,
}

async fn due_lines(
    read: &mut Read,
    addresses: &mut Addresses,
    grant: &GrantId,
    now: Timestamp,
) -> Answer<Due> {
    let held: BTreeSet<(OperatorId, u64)> = read
        .reserved_lines_of_grant(grant)
        .await?
        .into_iter()
        .map(|line| (line.operator, line.epoch))
        .collect();
    let mut due = Due { lines: Vec::new(), left_out: Vec::new() };
    let standing = Lines::read(read, grant).await?;
    for row in read.statements(grant).await? {
        let statement = Signed::<Statement>::parse(&row.note).map_err(Failure::internal)?.into_content();
        let payable_from = row.closed_at.plus_seconds(statement.terms.challenge_seconds);
        for (operator, line) in statement.operators {
            let (epoch, sats) = (row.epoch, line.payable);
            if sats == Sats::ZERO || held.contains(&(operator.clone(), epoch)) {
                continue;
            }
            let left_out = if payable_from > now {
                Some(format!("it may be challenged until {payable_from}"))
            } else if let Some(why) = standing.why_not(epoch, &operator, &statement.terms) {
                Some(why)
            } else if due.lines.len() >= payout::Batch::MAX_LINES {
                Some(format!("a batch has at most {} lines; make another", payout::Batch::MAX_LINES))
            } else {
                None
            };
            let paid_at = match left_out {
                Some(why) => Err(why),
                None => addresses.of(read, &operator).await?,
            };
            match paid_at {
                Ok((address, destination_sequence)) => due.lines.push(BatchLine {
                    operator,
                    grant: grant.clone(),
                    epoch,
                    sats,
                    address: address.to_string(),
                    destination_sequence,
                }),
                Err(why) => due.left_out.push(format!("{operator}, epoch {epoch}, {sats} sats: {why}")),
            }
        }
    }
    Ok(due)
}

async fn note(
    plane: &ControlPlane,
    read: &mut Read,
    new: &NewBatch,
    lines: Vec<BatchLine>,
) -> Answer<Signed<payout::Batch>> {
    let (_, checkpoint) = read
        .newest_checkpoint(Log::Record)
        .await?
        .ok_or_else(|| Failure::internal("the record log has no checkpoint"))?;
    let record = plane.log_keys.checkpoint(Log::Record, &checkpoint).map_err(Failure::internal)?;
    let batch = payout::Batch {
        log: plane.config.origin.clone(),
        network: plane.config.network,
        batch: new.batch.clone(),
        replaces: new.replaces.clone(),
        record_size: record.size,
        record_root: record.root,
        salt: random::salt(),
        total: Sats::total(lines.iter().map(|line| line.sats)).map_err(Failure::internal)?,
        lines,
    };
    let batch = batch.checked().map_err(Failure::internal)?;
    Signed::sign(batch, &plane.keys.statement).map_err(Failure::internal)
}

/// A refusal of what was given in a field.
pub(crate) fn refused(field: &str, error: &PayoutError) -> Failure {
    let kind = match (field, error) {
        (_, PayoutError::LooksLikeASecret { .. }) => ProblemKind::LooksLikeASecret,
        ("change", _) => ProblemKind::Address,
        ("fee_rate_sat_per_vb", _) => ProblemKind::InvalidRequest,
        _ => ProblemKind::Coins,
    };
    Failure::new(kind, format!("{field}: {error}"))
}

fn row(
    new: &NewBatch,
    note: &Signed<payout::Batch>,
    funded: Option<&Funded>,
    left_out: &[String],
    now: Timestamp,
) -> Answer<store::Batch> {
    Ok(store::Batch {
        batch: new.batch.clone(),
        grant_id: new.grant.clone(),
        note: note.note().to_owned(),
        note_hash: note.hash(),
        psbt: funded.map(|funded| funded.psbt.to_base64()).unwrap_or_default(),
        coins: draft::asked_json(new)?,
        change_address: funded.map(|funded| funded.change.to_string()).unwrap_or_default(),
        fee_rate: new.fee_rate_sat_per_vb.unwrap_or(1),
        fee: funded.map_or(Sats::ZERO, |funded| funded.psbt.fee()),
        change_sats: funded.and_then(|funded| funded.psbt.change()).map(|change| change.sats),
        left_out: serde_json::to_string(left_out).map_err(Failure::internal)?,
        created_at: now,
    })
}

fn line_row(new: &NewBatch, line: &BatchLine) -> store::BatchLine {
    store::BatchLine {
        batch: new.batch.clone(),
        operator: line.operator.clone(),
        grant_id: line.grant.clone(),
        epoch: line.epoch,
        sats: line.sats,
        address: line.address.clone(),
        destination_sequence: line.destination_sequence,
    }
}
