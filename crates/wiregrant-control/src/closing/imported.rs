//! Statements that were imported after a restore: what each leaves its nodes to count from is computed anew, before the next epoch
//! of the grant is closed.
//!
//! The inputs of such a statement are lost. Its nodes' reports come back from the nodes themselves; with them the same computation
//! gives the same units. Where it does not, because devices were placed after the backup, say, what a node carried is dropped, and
//! where its reports have not come, the node is counted no more in this grant: bytes may be lost so, but none counts twice.

use std::collections::BTreeMap;

use transparency_log::Checkpoint;
use wiregrant_core::api::ProblemKind;
use wiregrant_core::note::Signed;
use wiregrant_core::statement::Statement;
use wiregrant_core::{Bytes, GrantId, Timestamp};
use wiregrant_store::{Standing, Write};

use super::credit::{self, CreditedNode};
use super::{ClosedEpoch, Decided};
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::keys::reports_origin;

/// How long reports that a statement counted are waited for, in seconds: a week.
const WAIT_SECONDS: u64 = 7 * 24 * 3600;
/// Beyond every report: whoever counts from here counts nothing more.
const NEVER: u64 = i64::MAX.unsigned_abs();

/// Computes what is missing, in one transaction for each statement.
///
/// # Errors
/// `epoch-not-over` while reports that were acknowledged before the restore may still come.
pub async fn compute_standings(plane: &ControlPlane, grant: &GrantId, now: Timestamp) -> Answer<()> {
    let epochs = plane.store.read().await?.imported_statements(grant).await?;
    for number in epochs {
        let mut write = plane.store.write().await?;
        compute(plane, &mut write, grant, number, now).await?;
        write.forget_imported_statement(grant, number).await?;
        write.commit().await?;
        tracing::info!(%grant, epoch = number, "what an imported statement leaves to count from was computed anew");
    }
    Ok(())
}

async fn compute(
    plane: &ControlPlane,
    write: &mut Write,
    grant: &GrantId,
    number: u64,
    now: Timestamp,
) -> Answer<()> {
    let lost = || Failure::internal(format!("the imported statement {number} of {grant} vanished"));
    let row = write.statement(grant, number).await?.ok_or_else(lost)?;
    let statement = Signed::<Statement>::parse(&row.note).map_err(Failure::internal)?.into_content();
    let awaited = write.awaited_reports_below(statement.reports_size).await?;
    let until = row.closed_at.plus_seconds(WAIT_SECONDS);
    if awaited > 0 && now < until {
        let detail = format!(
            "{awaited} reports that the statement of epoch {number} counts were lost with the database, and nodes have not sent them \
             again yet; the next epoch is closed once they are here, or from {until} on without them"
        );
        return Err(Failure::new(ProblemKind::EpochNotOver, detail).retry_after(60));
    }
    let last = match number.checked_sub(1).filter(|before| *before > 0) {
        Some(before) => write.statement(grant, before).await?,
        None => None,
    };
    let last = last.map(|last| Signed::parse(&last.note)).transpose().map_err(Failure::internal)?;
    let decided = Decided::read(write, grant, number).await?;
    let reports = Checkpoint {
        origin: reports_origin(&plane.config.origin),
        size: statement.reports_size,
        root: statement.reports_root,
    };
    let epoch = ClosedEpoch {
        grant: grant.clone(),
        number,
        start: statement.start,
        end: statement.end,
        terms: statement.terms.clone(),
        last,
        reports,
        decided,
    };
    let nodes = credit::nodes(write, &epoch).await?;
    let standings = standings(nodes, &statement, awaited > 0);
    Ok(write.put_standings(grant, &standings).await?)
}

/// What the nodes count from, as far as the statement says the same.
fn standings(
    nodes: BTreeMap<wiregrant_core::NodeId, CreditedNode>,
    statement: &Statement,
    some_are_awaited: bool,
) -> Vec<Standing> {
    let standing = |(id, node): (wiregrant_core::NodeId, CreditedNode)| {
        let mut standing = node.standing;
        let said = statement.nodes.get(&id).and_then(|line| line.units);
        if said != node.inputs.units {
            tracing::warn!(node = %id, epoch = statement.epoch, "an imported statement says other units; what the node carried is dropped");
            standing.carried = Bytes::ZERO;
            if some_are_awaited {
                standing.sequence = NEVER;
            }
        }
        standing
    };
    nodes.into_iter().map(standing).collect()
}
