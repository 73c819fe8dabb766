//! Closing an epoch: closing reports become credit, credit becomes a statement.
//!
//! What counts is fixed by one number, the size of the reports log (`S`): reports below it are in, later ones count in the
//! next statement. Reports below `S` never change, nor do contributions and devices before the epoch's moments, so
//! everything is read first and written in one short transaction afterwards; the statement's key lets only one in.

mod credit;
mod imported;
pub mod late;
mod site;

use std::collections::{BTreeMap, BTreeSet};

use transparency_log::{Checkpoint, Hash};
use wiregrant_core::api::ProblemKind;
use wiregrant_core::inputs::Inputs;
use wiregrant_core::ledger;
use wiregrant_core::note::Signed;
use wiregrant_core::record::RecordEntry;
use wiregrant_core::statement::{Adjustment, NodeLine, Statement, pot};
use wiregrant_core::terms::Terms;
use wiregrant_core::{GrantId, NodeId, OperatorId, Sats, Timestamp, Units};
use wiregrant_payout::{check_statement, split};
use wiregrant_store::{self as store, Log, Read};

use crate::api::grants;
use crate::control_plane::ControlPlane;
use crate::doubt;
use crate::error::{Answer, Failure};
use crate::membership;
use crate::publisher;
use crate::random;
use crate::recording::Recording;

/// How often a statement is composed anew because something was decided meanwhile, before the closing is put off.
const ATTEMPTS: usize = 5;

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
    decided: Decided,
}

/// What people have decided that the statement counts.
#[derive(Debug, PartialEq, Eq)]
struct Decided {
    /// Nodes against which a finding acts.
    found: BTreeSet<NodeId>,
    /// Sats of lines that were forfeited since the last statement.
    forfeited: Sats,
    /// Corrections that no statement has taken up.
    adjustments: Vec<store::AdjustmentRow>,
}

impl Decided {
    async fn read(read: &mut Read, grant: &GrantId, number: u64) -> Answer<Self> {
        let findings = read.findings(grant).await?.into_iter();
        let adjustments = read.adjustments(grant).await?.into_iter();
        Ok(Self {
            found: findings.filter(|found| found.acts_in == number).map(|found| found.node).collect(),
            forfeited: read.forfeited(grant, number).await?,
            adjustments: adjustments.filter(|asked| asked.statement_epoch.is_none()).collect(),
        })
    }
}

/// A statement and all that is written with it.
struct Composed {
    statement: Signed<Statement>,
    inputs: Signed<Inputs>,
    standings: Vec<store::Standing>,
    /// The corrections it has taken up, by their numbers.
    adjusted: Vec<u64>,
}

/// Closes an epoch; one that has a statement gets that very statement again.
///
/// # Errors
/// `not-found`, `epoch-not-over` before its time or before the epochs before it.
pub async fn close(plane: &ControlPlane, grant: &GrantId, number: u64) -> Answer<store::Statement> {
    let _one_at_a_time = plane.closing.lock().await;
    for _ in 0..ATTEMPTS {
        let now = plane.clock.now();
        let mut read = plane.store.read().await?;
        if read.statement(grant, number).await?.is_none()
            && !read.imported_statements(grant).await?.is_empty()
        {
            drop(read);
            imported::compute_standings(plane, grant, now).await?;
            read = plane.store.read().await?;
        }
        if let Some(statement) = read.statement(grant, number).await? {
            return Ok(statement);
        }
        let epoch = closed_epoch(plane, &mut read, grant, number, now).await?;
        let composed = compose(plane, &mut read, &epoch).await?;
        drop(read);
        if let Some(row) = record(plane, &epoch, &composed, now).await? {
            return Ok(row);
        }
    }
    Err(Failure::new(ProblemKind::Busy, format!("epoch {number} of {grant} is decided about; try again")))
}

/// Writes a statement with all that follows from it; `None` where something was decided that it does not count.
async fn record(
    plane: &ControlPlane,
    epoch: &ClosedEpoch,
    composed: &Composed,
    now: Timestamp,
) -> Answer<Option<store::Statement>> {
    let (grant, number, statement) = (&epoch.grant, epoch.number, &composed.statement);
    let row = store::Statement {
        grant_id: grant.clone(),
        epoch: number,
        note: statement.note().to_owned(),
        note_hash: statement.hash(),
        closed_at: now,
    };
    let mut recording = Recording::begin(plane).await?;
    if let Some(statement) = recording.write.statement(grant, number).await? {
        return Ok(Some(statement));
    }
    if Decided::read(&mut recording.write, grant, number).await? != epoch.decided {
        return Ok(None);
    }
    recording.write.insert_statement(&row, composed.inputs.note()).await?;
    recording.write.put_public_note(statement.note()).await?;
    let reports = epoch.reports.size.to_string();
    recording.write.put_setting(publisher::SETTING_REPORTS_NAMED, &reports).await?;
    recording.write.put_standings(grant, &composed.standings).await?;
    for adjusted in &composed.adjusted {
        recording.write.take_up_adjustment(grant, *adjusted, number).await?;
    }
    let transfers = ledger::of_statement(statement.content()).map_err(Failure::internal)?;
    recording.write.enter(&transfers, now).await?;
    recording.log(RecordEntry::Statement { grant: grant.clone(), epoch: number, note: statement.hash() });
    if let Some(ended) = doubt::ended(&mut recording.write).await?
        && doubt::may_be_paid_before(&epoch.terms, number, ended)
    {
        // An origin that has ended may have had a statement of this epoch, and a batch that pays it.
        for held in doubt::hold(&mut recording.write, statement.content(), now).await? {
            recording.log(held);
        }
    }
    recording.commit().await?;
    tracing::info!(%grant, epoch = number, pot_sats = %statement.content().pot, "an epoch was closed");
    Ok(Some(row))
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
    let newest = membership::terms(&grants::known(read, grant).await?)?;
    let terms = membership::terms_in(read, grant, number).await?;
    let bounds = terms.and_then(|terms| {
        let (bounds, opens_at) = terms.schedule().bounds(number).zip(opens_at(&terms, number))?;
        Some((terms, bounds, opens_at))
    });
    let (terms, (start, end), opens_at) = bounds.ok_or_else(|| {
        Failure::not_found("epoch", format!("{number} of the {} of {grant}", newest.epochs))
    })?;
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
    let reports = plane.log_keys.checkpoint(Log::Reports, &checkpoint);
    let reports = reports.map_err(Failure::internal)?;
    let decided = Decided::read(read, grant, number).await?;
    Ok(ClosedEpoch { grant: grant.clone(), number, start, end, terms, last, reports, decided })
}

/// Composes inputs and statement, checks them as everyone else will, and signs them.
async fn compose(plane: &ControlPlane, read: &mut Read, epoch: &ClosedEpoch) -> Answer<Composed> {
    let mut nodes = credit::nodes(read, epoch).await?;
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
    let lines = nodes.iter_mut().map(|(id, node)| {
        let line = NodeLine {
            site: sites.get(&site::of(&node.endpoint)).copied().unwrap_or_default(),
            operator: node.inputs.operator.clone(),
            location: node.location.clone(),
            units: node.inputs.units,
        };
        (id.clone(), line)
    });
    let mut statement = bare(plane, read, epoch, lines.collect(), inputs.hash()).await?;
    let adjusted = fill_in(&mut statement, epoch)?;
    let last = epoch.last.as_ref().map(Signed::content);
    statement.check_sums(last, epoch.decided.forfeited).map_err(Failure::internal)?;
    check_statement(&statement).map_err(Failure::internal)?;
    let statement = Signed::sign(statement, &plane.keys.statement).map_err(Failure::internal)?;
    let standings = nodes.into_values().map(|node| node.standing).collect();
    Ok(Composed { statement, inputs, standings, adjusted })
}

/// A statement without the lines that follow from the others.
async fn bare(
    plane: &ControlPlane,
    read: &mut Read,
    epoch: &ClosedEpoch,
    nodes: BTreeMap<NodeId, NodeLine>,
    inputs: Hash,
) -> Answer<Statement> {
    let terms = epoch.terms.clone();
    let last = epoch.last.as_ref().map(Signed::content);
    let contributed = read.contributed(&epoch.grant, Some(epoch.start)).await?;
    let allotted = Statement::allotted_before(last, epoch.decided.forfeited).map_err(Failure::internal)?;
    let epochs_left = terms.schedule().epochs_left(epoch.number);
    let issued = read.assigned_quota_issued(None, epoch.end).await?;
    let issued = issued.get().checked_div(terms.unit_bytes.get()).unwrap_or(0);
    Ok(Statement {
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
    })
}

/// Takes up the corrections that wait, as far as the grant and their operators have the sats, and splits the pot; the numbers of
/// those taken up. One that does not fit waits on: an epoch is never kept from closing by a correction.
fn fill_in(statement: &mut Statement, epoch: &ClosedEpoch) -> Answer<Vec<u64>> {
    let last = epoch.last.as_ref().map(Signed::content);
    let brought = last.into_iter().flat_map(|last| &last.operators);
    let brought: BTreeMap<OperatorId, Sats> =
        brought.map(|(operator, line)| (operator.clone(), line.carried)).collect();
    let plain = split(statement, &brought).map_err(Failure::internal)?;
    let earned: i128 = plain.operators.values().map(|line| i128::from(line.earned.get())).sum();
    let mut free = i128::from(statement.contributed.get())
        .saturating_sub(i128::from(statement.allotted.get()))
        .saturating_sub(earned);
    let mut due: BTreeMap<OperatorId, i128> = BTreeMap::new();
    for (operator, line) in &plain.operators {
        let sats = i128::from(line.payable.get()).saturating_add(i128::from(line.carried.get()));
        due.insert(operator.clone(), sats);
    }
    let mut taken = Vec::new();
    for asked in epoch.decided.adjustments.iter().filter(|asked| asked.epoch < statement.epoch) {
        let (sats, has) = (i128::from(asked.sats), due.entry(asked.operator.clone()).or_default());
        if sats > free || has.saturating_add(sats) < 0 {
            tracing::warn!(grant = %epoch.grant, number = asked.number, sats = asked.sats, "a correction waits for sats");
            continue;
        }
        (free, *has) = (free.saturating_sub(sats), has.saturating_add(sats));
        statement.adjustments.insert(Adjustment {
            operator: asked.operator.clone(),
            sats: asked.sats,
            reason: asked.reason.clone(),
            epoch: asked.epoch,
        });
        taken.push(asked.number);
    }
    let allocation = split(statement, &brought).map_err(Failure::internal)?;
    (statement.operators, statement.unspent) = (allocation.operators, allocation.unspent);
    Ok(taken)
}
