//! Where operators' lines of statements stand on their way to a batch: challenged, held, forfeited, approved, reserved.

use std::collections::{BTreeMap, BTreeSet};

use wiregrant_core::api::{LineDecision, LineDecisionKind, LineStanding, StatementLine};
use wiregrant_core::note::Signed;
use wiregrant_core::statement::{OperatorLine, Statement};
use wiregrant_core::terms::Terms;
use wiregrant_core::{GrantId, OperatorId, Sats, Timestamp};
use wiregrant_store::{self as store, Read};

use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};

/// All that was decided about the lines of a grant.
pub struct Lines {
    decisions: BTreeMap<(u64, OperatorId), Vec<store::LineDecision>>,
    approvals: BTreeMap<u64, u64>,
    reserved: BTreeSet<(u64, OperatorId)>,
}

impl Lines {
    /// Reads it.
    ///
    /// # Errors
    /// `busy` or `internal`.
    pub async fn read(read: &mut Read, grant: &GrantId) -> Answer<Self> {
        let mut decisions: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for decided in read.line_decisions(grant).await? {
            decisions.entry((decided.epoch, decided.operator.clone())).or_default().push(decided);
        }
        let approvals = read.approval_counts(grant).await?.into_iter();
        let reserved = read.reserved_lines_of_grant(grant).await?.into_iter();
        Ok(Self {
            decisions,
            approvals: approvals.map(|count| (count.epoch, count.people)).collect(),
            reserved: reserved.map(|line| (line.epoch, line.operator)).collect(),
        })
    }

    /// Whether a line is held or forfeited now.
    #[must_use]
    pub fn held(&self, epoch: u64, operator: &OperatorId) -> Option<LineDecisionKind> {
        let decided = self.decisions.get(&(epoch, operator.clone())).into_iter().flatten();
        let last = decided.map(|decided| decided.kind).rfind(|kind| *kind != LineDecisionKind::Object);
        last.filter(|kind| *kind != LineDecisionKind::Release)
    }

    /// Every line that is held or forfeited now.
    pub fn decided(&self) -> impl Iterator<Item = (u64, &OperatorId, LineDecisionKind)> {
        self.decisions
            .keys()
            .filter_map(|(epoch, operator)| self.held(*epoch, operator).map(|kind| (*epoch, operator, kind)))
    }

    /// How often its operator has objected to a line.
    #[must_use]
    pub fn objections(&self, epoch: u64, operator: &OperatorId) -> usize {
        let decided = self.decisions.get(&(epoch, operator.clone())).into_iter().flatten();
        decided.filter(|decided| decided.kind == LineDecisionKind::Object).count()
    }

    /// Whether a batch holds a line.
    #[must_use]
    pub fn is_reserved(&self, epoch: u64, operator: &OperatorId) -> bool {
        self.reserved.contains(&(epoch, operator.clone()))
    }

    /// How many people have still to approve the statement of an epoch.
    #[must_use]
    pub fn approvals_missing(&self, epoch: u64, terms: &Terms) -> u64 {
        terms.approvals.saturating_sub(self.approvals.get(&epoch).copied().unwrap_or_default())
    }

    /// Why people have decided that a line must not be paid now.
    #[must_use]
    pub fn why_not(&self, epoch: u64, operator: &OperatorId, terms: &Terms) -> Option<String> {
        match self.held(epoch, operator) {
            Some(LineDecisionKind::Forfeit) => return Some("it was forfeited".to_owned()),
            Some(_) => return Some("it is held until someone releases or forfeits it".to_owned()),
            None => {}
        }
        let missing = self.approvals_missing(epoch, terms);
        (missing > 0).then(|| format!("{missing} more people must approve its statement"))
    }

    /// A line as it stands, of the statement of an epoch that was closed at this moment.
    #[must_use]
    pub fn shown(
        &self,
        (epoch, closed_at): (u64, Timestamp),
        terms: &Terms,
        (operator, line): (&OperatorId, &OperatorLine),
        now: Timestamp,
    ) -> StatementLine {
        let payable_from = closed_at.plus_seconds(terms.challenge_seconds);
        let approvals_missing = self.approvals_missing(epoch, terms);
        let standing = match self.held(epoch, operator) {
            _ if line.payable == Sats::ZERO => LineStanding::Nothing,
            _ if self.is_reserved(epoch, operator) => LineStanding::Reserved,
            Some(LineDecisionKind::Forfeit) => LineStanding::Forfeited,
            Some(_) => LineStanding::Held,
            None if payable_from > now => LineStanding::Challengeable,
            None if approvals_missing > 0 => LineStanding::Unapproved,
            None => LineStanding::Payable,
        };
        let decisions = self.decisions.get(&(epoch, operator.clone())).into_iter().flatten();
        let decision = |decided: &store::LineDecision| LineDecision {
            kind: decided.kind,
            reason: decided.reason.clone(),
            detail: decided.detail.clone(),
            decided_at: decided.decided_at,
        };
        StatementLine {
            epoch,
            operator: operator.clone(),
            payable: line.payable,
            standing,
            payable_from,
            approvals_missing,
            decisions: decisions.map(decision).collect(),
        }
    }
}

/// The lines of a grant, those of one operator or of all, by epoch and operator.
///
/// # Errors
/// `busy` or `internal`.
pub async fn of_grant(
    plane: &ControlPlane,
    read: &mut Read,
    grant: &GrantId,
    only: Option<&OperatorId>,
) -> Answer<Vec<StatementLine>> {
    let now = plane.clock.now();
    let lines = Lines::read(read, grant).await?;
    let mut shown = Vec::new();
    for head in read.statement_heads(grant).await? {
        let statement = plane.remembered.lines(read, grant, &head).await?;
        let closed = (head.epoch, head.closed_at);
        let shown_of = |line| lines.shown(closed, &statement.terms, line, now);
        match only {
            Some(only) => shown.extend(statement.operators.get_key_value(only).map(shown_of)),
            None => shown.extend(statement.operators.iter().map(shown_of)),
        }
    }
    Ok(shown)
}

/// A statement from its row.
///
/// # Errors
/// `internal`: only notes that were signed here are stored.
pub fn parsed(row: &store::Statement) -> Answer<Statement> {
    Ok(Signed::<Statement>::parse(&row.note).map_err(Failure::internal)?.into_content())
}
