//! Closing an epoch: closing reports become credit, credit becomes a statement.
//!
//! What counts is fixed by one number, the size of the reports log (`S`): reports below it are in, later ones count in the
//! next statement. Reports below `S` never change, nor do contributions and devices before the epoch's moments, so
//! everything is read first and written in one short transaction afterwards; the statement's key lets only one in.

mod credit;
mod site;

use std::collections::{BTreeMap, BTreeSet};

use transparency_log::{Checkpoint, Hash};
use wiregrant_core::api::ProblemKind;
use wiregrant_core::inputs::Inputs;
use wiregrant_core::note::Signed;
use wiregrant_core::record::RecordEntry;
use wiregrant_core::statement::{NodeLine, Statement, pot};
use wiregrant_core::terms::Terms;
use wiregrant_core::{GrantId, OperatorId, Sats, Timestamp, Units};
use wiregrant_payout::{Share, allocate, check_statement};
use wiregrant_store::{self as store, Log, Read};

use crate::api::grants;
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::membership;
use crate::random;
use crate::recording::Recording;

/// An epoch that may be closed now.
struct ClosedEpoch {
    grant: GrantId,
    number: u64,
    start: Timestamp,
    end: Timestamp,
    terms: Terms,
    /// The statement before, with its hash.
    last: Option<Signed<Statement>>,
    /// What the reports log was when the epoch was closed.
    reports: Checkpoint,
}

/// Closes an epoch; one that has a statement gets that very statement again.
///
/// # Errors
/// `not-found`, `epoch-not-over` before its time or before the epochs before it.
pub async fn close(plane: &ControlPlane, grant: &GrantId, number: u64) -> Answer<store::Statement> {
    let _one_at_a_time = plane.closing.lock().await;
    let now = plane.clock.now();
    let mut read = plane.store.read().await?;
    if let Some(statement) = read.statement(grant, number).await? {
        return Ok(statement);
    }
    let epoch = closed_epoch(plane, &mut read, grant, number, now).await?;
    let (statement, inputs) = compose(plane, &mut read, &epoch).await?;
    drop(read);

    let row = store::Statement {
        grant_id: grant.clone(),
        epoch: number,
        note: statement.note().to_owned(),
        note_hash: statement.hash(),
        closed_at: now,
    };
    let mut recording = Recording::begin(plane).await?;
    recording.write.insert_statement(&row, inputs.note()).await?;
    recording.write.put_public_note(statement.note()).await?;
    recording.log(RecordEntry::Statement { grant: grant.clone(), epoch: number, note: statement.hash() });
    recording.commit().await?;
    tracing::info!(%grant, epoch = number, pot_sats = %statement.content().pot, "an epoch was closed");
    Ok(row)
}

/// When the statement of an epoch may be signed at the earliest.
#[must_use]
pub fn opens_at(terms: &Terms, number: u64) -> Option<Timestamp> {
    let (_, end) = terms.schedule().bounds(number)?;
    Some(end.plus_seconds(terms.close_delay_seconds))
}

async fn closed_epoch(
    plane: &ControlPlane,
    read: &mut Read,
    grant: &GrantId,
    number: u64,
    now: Timestamp,
) -> Answer<ClosedEpoch> {
    let terms = membership::terms(&grants::known(read, grant).await?)?;
    let bounds = terms.schedule().bounds(number).zip(opens_at(&terms, number));
    let ((start, end), opens_at) = bounds
        .ok_or_else(|| Failure::not_found("epoch", format!("{number} of the {} of {grant}", terms.epochs)))?;
    if now < opens_at {
        let detail =
            format!("epoch {number} ends at {end} and may be closed from {opens_at} on; it is {now}");
        let failure = Failure::new(ProblemKind::EpochNotOver, detail).with("opens_at", opens_at.to_string());
        return Err(failure.retry_after(opens_at.seconds_since(now)));
    }
    let last = read.newest_statement(grant).await?;
    let closed = last.as_ref().map_or(0, |last| last.epoch);
    if closed.saturating_add(1) != number {
        let first = closed.saturating_add(1);
        let detail = format!("epochs are closed in order: close epoch {first} first");
        return Err(Failure::new(ProblemKind::EpochNotOver, detail).with("next", first));
    }
    let last = last.map(|last| Signed::parse(&last.note)).transpose().map_err(Failure::internal)?;
    let (_, checkpoint) = read
        .newest_checkpoint(Log::Reports)
        .await?
        .ok_or_else(|| Failure::internal("the reports log has no checkpoint"))?;
    let reports = Checkpoint::parse_verified(&checkpoint, &plane.keys.reports.verifier());
    let reports = reports.map_err(Failure::internal)?;
    Ok(ClosedEpoch { grant: grant.clone(), number, start, end, terms, last, reports })
}

/// Composes inputs and statement, checks them as everyone else will, and signs them.
async fn compose(
    plane: &ControlPlane,
    read: &mut Read,
    epoch: &ClosedEpoch,
) -> Answer<(Signed<Statement>, Signed<Inputs>)> {
    let nodes = credit::nodes(read, epoch).await?;
    let inputs = Inputs {
        log: plane.config.origin.clone(),
        grant: epoch.grant.clone(),
        epoch: epoch.number,
        salt: random::salt(),
        nodes: nodes.iter().map(|(id, node)| (id.clone(), node.inputs.clone())).collect(),
    };
    inputs.check(&epoch.terms).map_err(Failure::internal)?;
    let inputs = Signed::sign(inputs, &plane.keys.statement).map_err(Failure::internal)?;

    let sites = site::numbers(nodes.values().map(|node| node.endpoint.as_str()));
    let lines = nodes.into_iter().map(|(id, node)| {
        let line = NodeLine {
            site: sites.get(&site::of(&node.endpoint)).copied().unwrap_or_default(),
            operator: node.inputs.operator,
            location: node.location,
            units: node.inputs.units,
        };
        (id, line)
    });
    let statement = statement(plane, read, epoch, lines.collect(), inputs.hash()).await?;
    let last = epoch.last.as_ref().map(Signed::content);
    statement.check_sums(last).map_err(Failure::internal)?;
    check_statement(&statement).map_err(Failure::internal)?;
    let statement = Signed::sign(statement, &plane.keys.statement).map_err(Failure::internal)?;
    Ok((statement, inputs))
}

async fn statement(
    plane: &ControlPlane,
    read: &mut Read,
    epoch: &ClosedEpoch,
    nodes: BTreeMap<wiregrant_core::NodeId, NodeLine>,
    inputs: Hash,
) -> Answer<Statement> {
    let terms = epoch.terms.clone();
    let last = epoch.last.as_ref().map(Signed::content);
    let contributed = read.contributed(&epoch.grant, Some(epoch.start)).await?;
    let allotted = last.map_or(Ok(Sats::ZERO), Statement::allotted_after).map_err(Failure::internal)?;
    let epochs_left = terms.schedule().epochs_left(epoch.number);
    let issued = read.assigned_quota_issued(epoch.end).await?;
    let issued = issued.get().checked_div(terms.unit_bytes.get()).unwrap_or(0);
    let mut statement = Statement {
        log: plane.config.origin.clone(),
        network: plane.config.network,
        grant: epoch.grant.clone(),
        epoch: epoch.number,
        start: epoch.start,
        end: epoch.end,
        previous: epoch.last.as_ref().map(Signed::hash),
        reports_size: epoch.reports.size,
        reports_root: epoch.reports.root,
        inputs,
        contributed,
        allotted,
        epochs_left,
        pot: pot(contributed, allotted, epochs_left).map_err(Failure::internal)?,
        issued: Units::new(issued).map_err(Failure::internal)?,
        nodes,
        adjustments: BTreeSet::new(),
        operators: BTreeMap::new(),
        unspent: Sats::ZERO,
        terms,
    };
    let shares = shares(&statement, last)?;
    let minimum = statement.terms.minimum_payout_sats;
    let allocation =
        allocate(statement.pot, &epoch.grant, epoch.number, minimum, &shares).map_err(Failure::internal)?;
    statement.operators = allocation.operators;
    statement.unspent = allocation.unspent;
    Ok(statement)
}

/// Every operator with a node, and every one who brings sats from the last statement.
fn shares(statement: &Statement, last: Option<&Statement>) -> Answer<BTreeMap<OperatorId, Share>> {
    let units = statement.units_by_operator().map_err(Failure::internal)?;
    let mut shares: BTreeMap<OperatorId, Share> = units
        .into_iter()
        .map(|(operator, units)| (operator, Share { units, brought: Sats::ZERO, adjusted: 0 }))
        .collect();
    for (operator, line) in last.into_iter().flat_map(|last| &last.operators) {
        if line.carried > Sats::ZERO {
            let none = Share { units: Units::ZERO, brought: Sats::ZERO, adjusted: 0 };
            shares.entry(operator.clone()).or_insert(none).brought = line.carried;
        }
    }
    Ok(shares)
}
