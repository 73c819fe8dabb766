//! The ledger of sats, as the control plane enters and checks it.

use std::collections::BTreeMap;

use wiregrant_core::api::LedgerCheck;
use wiregrant_core::inputs::Inputs;
use wiregrant_core::ledger::{self, Balance, Balances, BatchEvent, Transfer};
use wiregrant_core::note::Signed;
use wiregrant_core::{BatchId, Bytes, GrantId, NodeId, Timestamp};
use wiregrant_store::{self as store, Read, Standing, Store, Write};

use crate::error::{Answer, Failure};
use crate::line_standing::parsed;

/// What happened to a batch moves the sats of its lines; in the transaction that says so.
///
/// # Errors
/// `busy` or `internal`.
pub async fn enter_batch(
    write: &mut Write,
    happened: BatchEvent,
    batch: &BatchId,
    now: Timestamp,
) -> Answer<()> {
    let transfers = of_batch(write, happened, batch).await?;
    Ok(write.enter(&transfers, now).await?)
}

async fn of_batch(read: &mut Read, happened: BatchEvent, batch: &BatchId) -> Answer<Vec<Transfer>> {
    let lines = read.lines_of_batch(batch).await?;
    let transfers = lines.iter().flat_map(|line| {
        ledger::of_batch_line(happened, batch, (&line.grant_id, line.epoch, &line.operator), line.sats)
    });
    Ok(transfers.collect())
}

/// Every transfer that follows from what else is stored: contributions, statements, forfeits, and batches.
async fn from_facts(read: &mut Read) -> Answer<Vec<Transfer>> {
    let mut transfers = Vec::new();
    for grant in read.grants().await? {
        let grant = grant.grant_id;
        for contribution in read.contributions(&grant).await? {
            transfers.extend(ledger::of_contribution(&grant, contribution.sats));
        }
        for row in read.statements(&grant).await? {
            transfers.extend(ledger::of_statement(&parsed(&row)?).map_err(Failure::internal)?);
        }
        for decided in
            read.line_decisions(&grant).await?.iter().filter(|decided| decided.counted_in.is_some())
        {
            transfers.extend(ledger::of_forfeit(&grant, decided.epoch, &decided.operator, decided.sats));
        }
    }
    for batch in read.batches().await? {
        transfers.extend(of_batch(read, BatchEvent::Frozen, &batch.batch).await?);
        let decided = read.decisions_of_batch(&batch.batch).await?;
        let replaced = decided.as_ref().is_some_and(|decided| decided.replaced_by.is_some());
        let paid = decided.as_ref().is_some_and(|decided| decided.paid_at.is_some());
        if replaced || decided.as_ref().is_some_and(|decided| decided.void_at.is_some()) {
            transfers.extend(of_batch(read, BatchEvent::Void, &batch.batch).await?);
        }
        // It was replaced and paid all the same: it held its lines once more.
        if replaced && paid {
            transfers.extend(of_batch(read, BatchEvent::Frozen, &batch.batch).await?);
        }
        if paid {
            transfers.extend(of_batch(read, BatchEvent::Paid, &batch.batch).await?);
        }
    }
    Ok(transfers)
}

/// Brings ledger and standings of a database of an earlier release to what is stored there. Where there is a ledger, nothing.
///
/// # Errors
/// Those of the database; then nothing has happened.
pub async fn catch_up(store: &Store, now: Timestamp) -> Answer<()> {
    let mut write = store.write().await?;
    if write.transfer_count().await? > 0 {
        return Ok(());
    }
    let transfers = from_facts(&mut write).await?;
    if transfers.is_empty() {
        return Ok(());
    }
    write.enter(&transfers, now).await?;
    for grant in write.grants().await? {
        let standings = standings(&mut write, &grant.grant_id).await?;
        write.put_standings(&grant.grant_id, &standings).await?;
    }
    write.commit().await?;
    tracing::info!(transfers = transfers.len(), "the ledger was written from what an earlier release stored");
    Ok(())
}

/// What the inputs of all statements of a grant say of each node in the end. Earlier releases counted no invited bytes, so that
/// all that was eligible was assigned.
async fn standings(read: &mut Read, grant: &GrantId) -> Answer<Vec<Standing>> {
    let mut standings: BTreeMap<NodeId, Standing> = BTreeMap::new();
    for number in 1..=read.epochs_closed(grant).await? {
        let note = read.inputs(grant, number).await?;
        let note = note.ok_or_else(|| Failure::internal(format!("inputs of epoch {number} vanished")))?;
        let inputs = Signed::<Inputs>::parse(&note).map_err(Failure::internal)?.into_content();
        for (node, said) in inputs.nodes {
            let before = standings.get(&node);
            let eligible = before.map_or(Bytes::ZERO, |before| before.eligible_assigned).plus(said.eligible);
            let label = said.closing_sequence.map(|_| number);
            let withheld = said.units.is_none();
            let standing = Standing {
                node: node.clone(),
                epoch: number,
                sequence: said.closing_sequence.unwrap_or(said.baseline_sequence),
                label: label.or(before.map(|before| before.label)).unwrap_or_default(),
                label_peers: 0,
                carried: said.carried,
                peers: if withheld { said.peers } else { 0 },
                withheld,
                eligible_assigned: eligible.map_err(Failure::internal)?,
            };
            standings.insert(node, standing);
        }
    }
    Ok(standings.into_values().collect())
}

/// Holds the ledger against itself and against what else is stored: balances against the transfers, transfers against
/// contributions, statements, forfeits and batches, and every grant's accounts against nothing.
///
/// # Errors
/// `busy` or `internal`.
pub async fn check(read: &mut Read) -> Answer<LedgerCheck> {
    let mut expected = Balances::new();
    ledger::carry(&mut expected, &from_facts(read).await?);
    let summed = read.summed_transfers().await?;
    let mut kept = Balances::new();
    let mut sums: BTreeMap<GrantId, i128> = BTreeMap::new();
    for row in read.account_balances(None, None).await? {
        let side = row.side().map_err(Failure::internal)?;
        let balance = Balance { sats: row.sats.into(), given: row.given.get().into() };
        let sum = sums.entry(row.grant_id.clone()).or_default();
        *sum = sum.saturating_add(balance.sats);
        kept.insert((row.grant_id, side), balance);
    }
    let mut differences = differences("by its transfers", &summed, &kept);
    differences.extend(differences_from_facts(&expected, &summed));
    differences.extend(
        sums.iter()
            .filter(|(_, sum)| **sum != 0)
            .map(|(grant, sum)| format!("{grant}: all accounts sum to {sum} sats, not 0")),
    );
    let accounts = u64::try_from(kept.len()).unwrap_or(u64::MAX);
    Ok(LedgerCheck { transfers: read.transfer_count().await?, accounts, differences })
}

fn differences_from_facts(expected: &Balances, summed: &Balances) -> Vec<String> {
    differences("by contributions, statements and batches", expected, summed)
}

fn differences(by: &str, expected: &Balances, found: &Balances) -> Vec<String> {
    let mut differences = Vec::new();
    let mut all: Vec<_> = expected.keys().chain(found.keys()).collect();
    all.sort_unstable();
    all.dedup();
    for key in all {
        let (expected, found) =
            (expected.get(key).copied().unwrap_or_default(), found.get(key).copied().unwrap_or_default());
        if expected != found {
            let (grant, side) = key;
            let operator =
                side.operator.as_ref().map_or_else(String::new, |operator| format!(" of {operator}"));
            differences.push(format!(
                "{grant} {}{operator}: {by} expected {} sats and {} given, found {} and {}",
                side.account, expected.sats, expected.given, found.sats, found.given
            ));
        }
    }
    differences
}

/// An account as the API shows it.
///
/// # Errors
/// `internal` for an operator's id that is none.
pub fn shown(row: store::AccountBalance) -> Answer<wiregrant_core::api::LedgerAccount> {
    let operator = row.side().map_err(Failure::internal)?.operator;
    Ok(wiregrant_core::api::LedgerAccount {
        grant: row.grant_id,
        account: row.account,
        operator,
        sats: row.sats,
        given: row.given,
    })
}
