//! A batch as the administrator sees it.

use std::collections::BTreeMap;

use wiregrant_core::api::{Batch, BatchState, BatchTransaction, LineState, Payout, TransactionRole};
use wiregrant_core::{BatchId, Sats};
use wiregrant_payout::PayoutAddress;
use wiregrant_payout::matching::{Payment, Place, Role, Verdict};
use wiregrant_store::{self as store, Read};

use crate::error::{Answer, Failure};

/// Where a frozen batch stands; one without a verdict is not looked at any more, because it is settled for good.
#[must_use]
pub fn state(verdict: Option<&Verdict>) -> BatchState {
    verdict.map_or(BatchState::Settled, |verdict| verdict.state)
}

/// A batch with its lines and where it stands; `verdicts` have every batch that is still looked at.
///
/// # Errors
/// `busy` or `internal`.
pub async fn shown(
    read: &mut Read,
    row: store::Batch,
    verdicts: &BTreeMap<BatchId, Verdict>,
) -> Answer<Batch> {
    let decided = read.decisions_of_batch(&row.batch).await?;
    let verdict = verdicts.get(&row.batch);
    let state = state(verdict);
    let note = wiregrant_core::note::Signed::<wiregrant_payout::Batch>::parse(&row.note)
        .map_err(Failure::internal)?
        .into_content();
    let network = note.network;
    let handed_out = decided.as_ref().is_some_and(|decided| decided.exported_at.is_some());
    let (mut payouts, mut destinations) = (Vec::new(), Vec::new());
    for line in read.lines_of_batch(&row.batch).await? {
        let destination = read.destination(&line.operator, line.destination_sequence).await?;
        let address = PayoutAddress::parse(&line.address, network).map_err(Failure::internal)?;
        let paid = verdict.and_then(|verdict| verdict.paid.get(&address.script_pubkey()));
        payouts.push(Payout {
            ownership_proven: destination.as_ref().is_some_and(|found| found.ownership.is_some()),
            destination_signed_by_operator: destination
                .as_ref()
                .is_some_and(|found| found.signed_by_operator),
            operator: line.operator,
            epoch: line.epoch,
            sats: line.sats,
            address: line.address,
            state: line_state(state, paid.map(wiregrant_payout::matching::Paid::state)),
        });
        let note = destination.map(|found| found.note).filter(|note| !destinations.contains(note));
        destinations.extend(note);
    }
    // A name's proof stands with the destinations, in a line of its own.
    for kept in read.name_proofs_of_batch(&row.batch).await? {
        destinations.push(format!("proof {} {} {}\n", kept.operator, kept.destination_sequence, kept.proof));
    }
    Ok(Batch {
        total: Sats::total(payouts.iter().map(|payout| payout.sats)).map_err(Failure::internal)?,
        state,
        replaces: note.replaces,
        replaced_by: decided.as_ref().and_then(|decided| decided.replaced_by.clone()),
        cancel_reason: decided.as_ref().and_then(|decided| decided.cancel_reason.clone()),
        transactions: verdict
            .map_or_else(Vec::new, |verdict| verdict.payments.iter().map(transaction).collect()),
        paid_by: decided.and_then(|decided| decided.paid_txid),
        missing: verdict.map_or(Sats::ZERO, Verdict::missing),
        excess: verdict.map_or(Sats::ZERO, Verdict::excess),
        payouts,
        destinations,
        fee: row.fee,
        change: row.change_sats,
        left_out: serde_json::from_str(&row.left_out).map_err(Failure::internal)?,
        batch: row.batch,
        grant: row.grant_id,
        note: row.note,
        psbt: if handed_out { row.psbt } else { String::new() },
    })
}

fn line_state(batch: BatchState, on_chain: Option<LineState>) -> LineState {
    match (batch, on_chain) {
        (BatchState::Void | BatchState::Replaced, _) => LineState::Released,
        (_, Some(state)) => state,
        (_, None) => LineState::Settled,
    }
}

fn transaction(payment: &Payment) -> BatchTransaction {
    BatchTransaction {
        txid: payment.txid.to_string(),
        role: match payment.role {
            Role::Pays => TransactionRole::Pays,
            Role::Replaced => TransactionRole::Replaced,
            Role::SpendsElsewhere => TransactionRole::SpendsElsewhere,
        },
        height: match payment.place {
            Place::Block { height, .. } => Some(height),
            Place::Mempool | Place::Gone => None,
        },
        depth: payment.depth,
        sats: payment.sats,
    }
}
