//! Payout batches: the lines that are due become one unsigned transaction.
//!
//! The batch note, its entry in the record, its lines and the PSBT are written together or not at all, and no line is ever
//! in two live batches: the database reserves each line once.

mod shown;

use std::collections::{BTreeMap, BTreeSet};

use transparency_log::Checkpoint;
use wiregrant_core::api::{Batch, CoinInput, NewBatch, ProblemKind};
use wiregrant_core::note::Signed;
use wiregrant_core::record::RecordEntry;
use wiregrant_core::statement::Statement;
use wiregrant_core::{GrantId, OperatorId, Sats, Timestamp};
use wiregrant_payout::{self as payout, BatchLine, Coin, PayoutAddress, PayoutError, UnsignedPsbt};
use wiregrant_store::{self as store, Log, Read};

use crate::api::grants;
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::random;
use crate::recording::Recording;
use crate::settlement;

pub use shown::shown;

/// Makes a batch of every line of a grant that is due. The same request again gives the same batch.
///
/// # Errors
/// `nothing-payable`, `coins`, `address`, `already-exists` for another request under the same id.
pub async fn create(plane: &ControlPlane, new: &NewBatch) -> Answer<Batch> {
    let _one_at_a_time = plane.closing.lock().await;
    let now = plane.clock.now();
    let mut recording = Recording::begin(plane).await?;
    grants::known(&mut recording.write, &new.grant).await?;
    if let Some(known) = recording.write.batch(&new.batch).await? {
        return if is_same_request(&known, new)? {
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
    let network = plane.config.network;
    let change = PayoutAddress::parse(&new.change, network).map_err(|error| refused("change", &error))?;
    let due = due_lines(&mut recording.write, &new.grant, now).await?;
    if due.lines.is_empty() {
        let mut detail = format!("grant {}: no line is due", new.grant);
        due.left_out.iter().for_each(|why| detail.push_str(&format!("; {why}")));
        return Err(Failure::new(ProblemKind::NothingPayable, detail).with("left_out", due.left_out));
    }
    let note = note(plane, &mut recording.write, new, due.lines).await?;
    let psbt = unsigned(plane, note.content(), new, &change)?;
    let row = row(new, &note, &psbt, &due.left_out, now)?;
    let lines: Vec<_> = note.content().lines.iter().map(|line| line_row(new, line)).collect();
    recording.write.insert_batch(&row, &lines).await?;
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

async fn due_lines(read: &mut Read, grant: &GrantId, now: Timestamp) -> Answer<Due> {
    let held: BTreeSet<(OperatorId, u64)> = read
        .reserved_lines_of_grant(grant)
        .await?
        .into_iter()
        .map(|line| (line.operator, line.epoch))
        .collect();
    let destinations: BTreeMap<OperatorId, store::Destination> = read
        .newest_destinations(None)
        .await?
        .into_iter()
        .map(|destination| (destination.operator.clone(), destination))
        .collect();
    let mut due = Due { lines: Vec::new(), left_out: Vec::new() };
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
            } else if !destinations.contains_key(&operator) {
                Some("the operator has no payout destination yet".to_owned())
            } else if due.lines.len() >= payout::Batch::MAX_LINES {
                Some(format!("a batch has at most {} lines; make another", payout::Batch::MAX_LINES))
            } else {
                None
            };
            match (left_out, destinations.get(&operator)) {
                (None, Some(destination)) => due.lines.push(BatchLine {
                    operator,
                    grant: grant.clone(),
                    epoch,
                    sats,
                    address: destination.pay.clone(),
                    destination_sequence: destination.sequence,
                }),
                (why, _) => {
                    let why = why.unwrap_or_default();
                    due.left_out.push(format!("{operator}, epoch {epoch}, {sats} sats: {why}"));
                }
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
    let record =
        Checkpoint::parse_verified(&checkpoint, &plane.keys.record.verifier()).map_err(Failure::internal)?;
    let batch = payout::Batch {
        log: plane.config.origin.clone(),
        network: plane.config.network,
        batch: new.batch.clone(),
        replaces: None,
        record_size: record.size,
        record_root: record.root,
        salt: random::salt(),
        total: Sats::total(lines.iter().map(|line| line.sats)).map_err(Failure::internal)?,
        lines,
    };
    let batch = batch.checked().map_err(Failure::internal)?;
    Signed::sign(batch, &plane.keys.statement).map_err(Failure::internal)
}

fn unsigned(
    plane: &ControlPlane,
    batch: &payout::Batch,
    new: &NewBatch,
    change: &PayoutAddress,
) -> Answer<UnsignedPsbt> {
    let coins = new.coins.iter().map(|coin| read_coin(plane, coin)).collect::<Answer<Vec<_>>>()?;
    payout::build(batch, &coins, change, new.fee_rate_sat_per_vb).map_err(|error| {
        let field = match &error {
            PayoutError::ChangeIsPaid { .. } => "change",
            PayoutError::FeeRate { .. } => "fee_rate_sat_per_vb",
            _ => "coins",
        };
        refused(field, &error)
    })
}

fn read_coin(plane: &ControlPlane, input: &CoinInput) -> Answer<Coin> {
    let refuse = |error: PayoutError| refused("coins", &error);
    let CoinInput { outpoint, sats, address, previous_tx } = input;
    let line = format!("{outpoint}:{sats}:{address}");
    let coin = payout::psbt::parse_coin_line(&line, plane.config.network).map_err(refuse)?;
    previous_tx.as_ref().map_or(Ok(coin.clone()), |hex| coin.with_previous_tx(hex)).map_err(refuse)
}

fn refused(field: &str, error: &PayoutError) -> Failure {
    let kind = match (field, error) {
        (_, PayoutError::LooksLikeASecret { .. }) => ProblemKind::LooksLikeASecret,
        ("change", _) => ProblemKind::Address,
        ("fee_rate_sat_per_vb", _) => ProblemKind::InvalidRequest,
        _ => ProblemKind::Coins,
    };
    Failure::new(kind, format!("{field}: {error}"))
}

fn is_same_request(known: &store::Batch, new: &NewBatch) -> Answer<bool> {
    Ok(known.grant_id == new.grant
        && known.coins == coins_json(new)?
        && known.change_address == new.change
        && known.fee_rate == new.fee_rate_sat_per_vb)
}

fn coins_json(new: &NewBatch) -> Answer<String> {
    serde_json::to_string(&new.coins).map_err(Failure::internal)
}

fn row(
    new: &NewBatch,
    note: &Signed<payout::Batch>,
    psbt: &UnsignedPsbt,
    left_out: &[String],
    now: Timestamp,
) -> Answer<store::Batch> {
    Ok(store::Batch {
        batch: new.batch.clone(),
        grant_id: new.grant.clone(),
        note: note.note().to_owned(),
        note_hash: note.hash(),
        psbt: psbt.to_base64(),
        coins: coins_json(new)?,
        change_address: new.change.clone(),
        fee_rate: new.fee_rate_sat_per_vb,
        fee: psbt.fee(),
        change_sats: psbt.change().map(|change| change.sats),
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
