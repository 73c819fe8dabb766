//! Deciding: findings about nodes; holds, releases and forfeits of lines; objections; approvals; corrections. Each is written
//! with its entry in the record and with what it moves in the ledger, in one transaction.

use wiregrant_core::api::{
    Approvals, DecideLine, LineDecisionKind, NewAdjustment, NewNodeFinding, ProblemKind, StatementLine,
};
use wiregrant_core::record::{RecordEntry, parse_reason};
use wiregrant_core::{GrantId, OperatorId, Sats, ledger};
use wiregrant_store::{self as store, StoreError, Write};

use crate::api::grants;
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::line_standing::{Lines, parsed};
use crate::recording::Recording;

/// The longest text that goes with a decision, in characters.
const MAX_DETAIL_CHARS: usize = 2_000;

/// How often an operator may object to one line: each objection stands in the public record for good.
const MAX_OBJECTIONS: usize = 8;

/// Logs a finding about a node, and holds its operator's lines that no batch holds.
///
/// # Errors
/// `not-found`, `invalid-request`.
pub async fn find(
    plane: &ControlPlane,
    grant: &GrantId,
    new: &NewNodeFinding,
    person: &str,
) -> Answer<Vec<StatementLine>> {
    let (reason, detail) = (parse_reason(&new.reason)?, checked_detail(&new.detail)?);
    let now = plane.clock.now();
    let mut recording = Recording::begin(plane).await?;
    grants::known(&mut recording.write, grant).await?;
    let node = recording.write.node(&new.node).await?.ok_or_else(|| Failure::not_found("node", &new.node))?;
    let members = recording.write.memberships_of_grant(grant).await?;
    if !members.iter().any(|member| member.node == new.node) {
        return Err(Failure::not_found("node", format!("{} in {grant}", new.node)));
    }
    let acts_in = recording.write.epochs_closed(grant).await?.saturating_add(1);
    let found = store::FoundNode {
        number: 0, // given by the database
        node: new.node.clone(),
        reason: reason.clone(),
        detail: detail.clone(),
        person: person.to_owned(),
        acts_in,
        found_at: now,
    };
    recording.write.insert_finding(grant, &found).await?;
    recording.log(RecordEntry::Finding {
        grant: grant.clone(),
        node: new.node.clone(),
        reason: reason.clone(),
    });
    let lines = Lines::read(&mut recording.write, grant).await?;
    let mut held = Vec::new();
    for row in recording.write.statements(grant).await? {
        let statement = parsed(&row)?;
        let Some(line) = statement.operators.get(&node.operator) else { continue };
        let is_free = line.payable > Sats::ZERO
            && !lines.is_reserved(row.epoch, &node.operator)
            && lines.held(row.epoch, &node.operator).is_none();
        if is_free {
            let decided = store::LineDecision {
                grant_id: grant.clone(),
                epoch: row.epoch,
                operator: node.operator.clone(),
                number: 0, // given by the database
                kind: LineDecisionKind::Hold,
                reason: reason.clone(),
                detail: detail.clone(),
                person: person.to_owned(),
                sats: line.payable,
                counted_in: None,
                decided_at: now,
            };
            enter(&mut recording, &decided).await?;
            held.push((row, statement));
        }
    }
    let lines = Lines::read(&mut recording.write, grant).await?;
    recording.commit().await?;
    let shown = |(row, statement): &(store::Statement, wiregrant_core::statement::Statement)| {
        let line = statement.operators.get_key_value(&node.operator)?;
        Some(lines.shown((row.epoch, row.closed_at), &statement.terms, line, now))
    };
    Ok(held.iter().filter_map(shown).collect())
}

/// Decides about a line, or takes up an objection.
///
/// # Errors
/// `not-found`; `conflict` for a line that a batch holds, a release or forfeit of what is not held, a second hold, a ninth
/// objection.
pub async fn decide(
    plane: &ControlPlane,
    (grant, epoch, operator): (&GrantId, u64, &OperatorId),
    kind: LineDecisionKind,
    asked: &DecideLine,
    person: &str,
) -> Answer<StatementLine> {
    let (reason, detail) = (parse_reason(&asked.reason)?, checked_detail(&asked.detail)?);
    let now = plane.clock.now();
    let mut recording = Recording::begin(plane).await?;
    grants::known(&mut recording.write, grant).await?;
    let row = recording.write.statement(grant, epoch).await?;
    let row = row.ok_or_else(|| Failure::not_found("statement", format!("of epoch {epoch} of {grant}")))?;
    let statement = parsed(&row)?;
    let line = statement.operators.get_key_value(operator);
    let line = line.ok_or_else(|| Failure::not_found("line", format!("of {operator} in epoch {epoch}")))?;
    let lines = Lines::read(&mut recording.write, grant).await?;
    refuse(&lines, epoch, operator, kind, line.1.payable)?;
    let counted_in = match kind {
        LineDecisionKind::Forfeit => Some(recording.write.epochs_closed(grant).await?.saturating_add(1)),
        _ => None,
    };
    let decided = store::LineDecision {
        grant_id: grant.clone(),
        epoch,
        operator: operator.clone(),
        number: 0, // given by the database
        kind,
        reason,
        detail,
        person: person.to_owned(),
        sats: line.1.payable,
        counted_in,
        decided_at: now,
    };
    enter(&mut recording, &decided).await?;
    if kind == LineDecisionKind::Forfeit {
        let transfers = ledger::of_forfeit(grant, epoch, operator, line.1.payable);
        recording.write.enter(&transfers, now).await?;
    }
    let lines = Lines::read(&mut recording.write, grant).await?;
    recording.commit().await?;
    Ok(lines.shown((row.epoch, row.closed_at), &statement.terms, line, now))
}

/// What cannot be decided about a line as it stands.
fn refuse(
    lines: &Lines,
    epoch: u64,
    operator: &OperatorId,
    kind: LineDecisionKind,
    payable: Sats,
) -> Answer<()> {
    let conflict = |why: &str| {
        let detail = format!("line of {operator} in epoch {epoch}: {why}");
        Err(Failure::new(ProblemKind::Conflict, detail))
    };
    let held = lines.held(epoch, operator);
    match kind {
        LineDecisionKind::Object if lines.objections(epoch, operator) >= MAX_OBJECTIONS => conflict(
            "there are eight objections to it in the record, and more are not taken; tell the administrator",
        ),
        LineDecisionKind::Object => Ok(()),
        LineDecisionKind::Hold if payable == Sats::ZERO => {
            conflict("nothing is payable, so nothing can be held")
        }
        LineDecisionKind::Hold if lines.is_reserved(epoch, operator) => {
            conflict("a batch holds it; cancel the batch first")
        }
        LineDecisionKind::Hold if held.is_some() => conflict("it is held or forfeited already"),
        LineDecisionKind::Release | LineDecisionKind::Forfeit if held != Some(LineDecisionKind::Hold) => {
            conflict("it is not held; hold it first")
        }
        _ => Ok(()),
    }
}

/// Keeps a decision with its entry in the record.
async fn enter(recording: &mut Recording<'_>, decided: &store::LineDecision) -> Answer<()> {
    recording.write.insert_line_decision(decided).await?;
    let (grant, epoch, operator) = (decided.grant_id.clone(), decided.epoch, decided.operator.clone());
    let reason = decided.reason.clone();
    recording.log(match decided.kind {
        LineDecisionKind::Hold => RecordEntry::Hold { grant, epoch, operator, reason: Some(reason) },
        LineDecisionKind::Release => RecordEntry::Release { grant, epoch, operator, reason: Some(reason) },
        LineDecisionKind::Forfeit => RecordEntry::Forfeit { grant, epoch, operator, reason: Some(reason) },
        LineDecisionKind::Object => RecordEntry::Object { grant, epoch, operator, reason },
    });
    Ok(())
}

/// Takes up a person's approval of a statement; once there are as many as its terms ask for, the record says so.
///
/// # Errors
/// `not-found`; `conflict` where none is asked for, or while the statement may be challenged.
pub async fn approve(plane: &ControlPlane, grant: &GrantId, epoch: u64, person: &str) -> Answer<Approvals> {
    let now = plane.clock.now();
    let mut recording = Recording::begin(plane).await?;
    grants::known(&mut recording.write, grant).await?;
    let row = recording.write.statement(grant, epoch).await?;
    let row = row.ok_or_else(|| Failure::not_found("statement", format!("of epoch {epoch} of {grant}")))?;
    let terms = parsed(&row)?.terms;
    let conflict =
        |why: String| Err(Failure::new(ProblemKind::Conflict, format!("epoch {epoch} of {grant}: {why}")));
    if terms.approvals == 0 {
        return conflict("its terms ask for no approval".to_owned());
    }
    let from = row.closed_at.plus_seconds(terms.challenge_seconds);
    if now < from {
        return conflict(format!("it may be challenged until {from}, and approved after that"));
    }
    let is_new = recording.write.approve(grant, epoch, person, now).await?;
    let people: Vec<String> =
        recording.write.approvals(grant, epoch).await?.into_iter().map(|approval| approval.person).collect();
    let count = u64::try_from(people.len()).unwrap_or(u64::MAX);
    if is_new && count == terms.approvals {
        recording.log(RecordEntry::Approve { grant: grant.clone(), epoch, people: count });
    }
    recording.commit().await?;
    Ok(Approvals { epoch, wanted: terms.approvals, people })
}

/// Keeps a correction for the next statement. The same once more is no error.
///
/// # Errors
/// `not-found`; `invalid-request` for an epoch that is not closed, or no sats; `conflict` once every epoch is closed.
pub async fn adjust(
    plane: &ControlPlane,
    grant: &GrantId,
    new: &NewAdjustment,
    person: &str,
) -> Answer<store::AdjustmentRow> {
    let reason = parse_reason(&new.reason)?;
    if new.sats == 0 || new.sats.unsigned_abs() > Sats::MAX.get() {
        return Err(Failure::field("sats", new.sats, "a number of sats that is not 0"));
    }
    let now = plane.clock.now();
    let mut recording = Recording::begin(plane).await?;
    grants::known(&mut recording.write, grant).await?;
    let closed = recording.write.epochs_closed(grant).await?;
    if !(1..=closed).contains(&new.epoch) {
        return Err(Failure::field("epoch", new.epoch, &format!("an epoch that is closed, 1 to {closed}")));
    }
    if crate::membership::terms_in(&mut recording.write, grant, closed.saturating_add(1)).await?.is_none() {
        let detail =
            format!("grant: every epoch of {grant} is closed, so no statement will take up a correction");
        return Err(Failure::new(ProblemKind::Conflict, detail));
    }
    if recording.write.operator(&new.operator).await?.is_none() {
        return Err(Failure::not_found("operator", &new.operator));
    }
    let asked = store::AdjustmentRow {
        number: 0, // given by the database
        operator: new.operator.clone(),
        sats: new.sats,
        reason,
        epoch: new.epoch,
        person: person.to_owned(),
        asked_at: now,
        statement_epoch: None,
    };
    if let Some(known) = same(&mut recording.write, grant, &asked).await? {
        return Ok(known);
    }
    match recording.write.insert_adjustment(grant, &asked).await {
        Err(StoreError::Exists { .. }) | Ok(()) => {}
        Err(other) => return Err(other.into()),
    }
    let kept = same(&mut recording.write, grant, &asked).await?;
    recording.commit().await?;
    kept.ok_or_else(|| Failure::internal("a correction vanished"))
}

async fn same(
    write: &mut Write,
    grant: &GrantId,
    asked: &store::AdjustmentRow,
) -> Answer<Option<store::AdjustmentRow>> {
    let is_same = |row: &store::AdjustmentRow| {
        (&row.operator, row.sats, &row.reason, row.epoch)
            == (&asked.operator, asked.sats, &asked.reason, asked.epoch)
    };
    Ok(write.adjustments(grant).await?.into_iter().find(is_same))
}

fn checked_detail(detail: &str) -> Answer<String> {
    if detail.chars().count() > MAX_DETAIL_CHARS {
        return Err(Failure::field("detail", detail.chars().count(), "at most 2,000 characters"));
    }
    Ok(detail.to_owned())
}
