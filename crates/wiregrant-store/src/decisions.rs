//! What people decide about statements: findings, holds, releases, forfeits, objections, approvals, corrections.

use wiregrant_core::api::LineDecisionKind;
use wiregrant_core::{GrantId, NodeId, OperatorId, Sats, Timestamp};

use crate::column::{bigint, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

row! {
    /// Something that was found about a node.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FoundNode {
        /// Numbered from 1 in each grant.
        pub number: u64,
        /// The node.
        pub node: NodeId,
        /// The word in the record.
        pub reason: String,
        /// For those who may read it; not in the record.
        pub detail: String,
        /// Who found it.
        pub person: String,
        /// The epoch whose statement came next: what would have counted there for the node does not.
        pub acts_in: u64,
        /// When.
        pub found_at: Timestamp,
    }
}

row! {
    /// A decision about an operator's sats of an epoch, or the operator's objection.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct LineDecision {
        /// The grant.
        pub grant_id: GrantId,
        /// The epoch.
        pub epoch: u64,
        /// Whose line.
        pub operator: OperatorId,
        /// Numbered from 1 for each line.
        pub number: u64,
        /// What was decided.
        pub kind: LineDecisionKind,
        /// The word in the record.
        pub reason: String,
        /// For those who may read it; not in the record.
        pub detail: String,
        /// Who decided.
        pub person: String,
        /// The line's sats.
        pub sats: Sats,
        /// Of a forfeit: the epoch whose statement gives the sats back to the pot.
        pub counted_in: Option<u64>,
        /// When.
        pub decided_at: Timestamp,
    }
}

row! {
    /// A person's approval of a statement.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Approval {
        /// Who.
        pub person: String,
        /// When.
        pub approved_at: Timestamp,
    }
}

row! {
    /// How many people approved a statement.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ApprovalCount {
        /// The epoch.
        pub epoch: u64,
        /// How many.
        pub people: u64,
    }
}

row! {
    /// A correction of an earlier epoch.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AdjustmentRow {
        /// Numbered from 1 in each grant.
        pub number: u64,
        /// Whose sats.
        pub operator: OperatorId,
        /// How many, signed.
        pub sats: i64,
        /// The word in the statement.
        pub reason: String,
        /// The epoch it corrects.
        pub epoch: u64,
        /// Who asked for it.
        pub person: String,
        /// When.
        pub asked_at: Timestamp,
        /// The epoch of the statement that has taken it up.
        pub statement_epoch: Option<u64>,
    }
}

impl Read {
    /// What was found in a grant, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn findings(&mut self, grant: &GrantId) -> Result<Vec<FoundNode>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select number, node, reason, detail, person, acts_in, found_at
               from findings
              where grant_id = $1
              order by number",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// All that was decided about lines of a grant, by epoch and operator, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn line_decisions(&mut self, grant: &GrantId) -> Result<Vec<LineDecision>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select grant_id, epoch, operator, number, kind, reason, detail, person, sats, counted_in, decided_at
               from line_decisions
              where grant_id = $1
              order by epoch, operator, number",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// Sats of forfeited lines that the statement of an epoch gives back to the pot.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn forfeited(&mut self, grant: &GrantId, epoch: u64) -> Result<Sats, StoreError> {
        let epoch = bigint("epoch", epoch)?;
        let sats: i64 = db!(self, connection => sqlx::query_scalar(
            "select cast(coalesce(sum(sats), 0) as bigint)
               from line_decisions
              where grant_id = $1
                and counted_in = $2",
        )
        .bind(grant.as_str())
        .bind(epoch)
        .fetch_one(connection)
        .await)?;
        Sats::try_from(sats).map_err(|error| StoreError::corrupt("line_decisions", error))
    }

    /// Who approved the statement of an epoch, by name.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn approvals(&mut self, grant: &GrantId, epoch: u64) -> Result<Vec<Approval>, StoreError> {
        let epoch = bigint("epoch", epoch)?;
        Ok(db!(self, connection => sqlx::query_as(
            "select person, approved_at
               from approvals
              where grant_id = $1
                and epoch = $2
              order by person",
        )
        .bind(grant.as_str())
        .bind(epoch)
        .fetch_all(connection)
        .await)?)
    }

    /// How many people approved each statement of a grant; those that nobody approved are left out.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn approval_counts(&mut self, grant: &GrantId) -> Result<Vec<ApprovalCount>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select epoch, count(*) as people
               from approvals
              where grant_id = $1
              group by epoch
              order by epoch",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// All corrections of a grant, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn adjustments(&mut self, grant: &GrantId) -> Result<Vec<AdjustmentRow>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select number, operator, sats, reason, epoch, person, asked_at, statement_epoch
               from adjustments
              where grant_id = $1
              order by number",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?)
    }
}

impl Write {
    /// Keeps a finding; its number is the next one of the grant.
    ///
    /// # Errors
    /// [`StoreError::UnknownReference`] for an unknown grant or node.
    pub async fn insert_finding(&mut self, grant: &GrantId, found: &FoundNode) -> Result<(), StoreError> {
        let acts_in = bigint("epoch", found.acts_in)?;
        db!(self, connection => sqlx::query(
            "insert into findings (grant_id, number, node, reason, detail, person, acts_in, found_at)
             select $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5, $6, $7
               from findings
              where grant_id = $1",
        )
        .bind(grant.as_str())
        .bind(found.node.as_str())
        .bind(found.reason.as_str())
        .bind(found.detail.as_str())
        .bind(found.person.as_str())
        .bind(acts_in)
        .bind(found.found_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Keeps a decision about a line; its number is the next one of the line.
    ///
    /// # Errors
    /// [`StoreError::UnknownReference`] for an epoch without statement.
    pub async fn insert_line_decision(&mut self, decided: &LineDecision) -> Result<(), StoreError> {
        let epoch = bigint("epoch", decided.epoch)?;
        let counted_in = decided.counted_in.map(|epoch| bigint("epoch", epoch)).transpose()?;
        db!(self, connection => sqlx::query(
            "insert into line_decisions (grant_id, epoch, operator, number, kind, reason, detail, person, sats, counted_in,
                                         decided_at)
             select $1, $2, $3, coalesce(max(number), 0) + 1, $4, $5, $6, $7, $8, $9, $10
               from line_decisions
              where grant_id = $1
                and epoch = $2
                and operator = $3",
        )
        .bind(decided.grant_id.as_str())
        .bind(epoch)
        .bind(decided.operator.as_str())
        .bind(decided.kind.as_str())
        .bind(decided.reason.as_str())
        .bind(decided.detail.as_str())
        .bind(decided.person.as_str())
        .bind(decided.sats.as_i64())
        .bind(counted_in)
        .bind(decided.decided_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Keeps a person's approval; whether it is new.
    ///
    /// # Errors
    /// [`StoreError::UnknownReference`] for an epoch without statement.
    pub async fn approve(
        &mut self,
        grant: &GrantId,
        epoch: u64,
        person: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let epoch = bigint("epoch", epoch)?;
        let added = db!(self, connection => sqlx::query(
            "insert into approvals (grant_id, epoch, person, approved_at)
             values ($1, $2, $3, $4)
             on conflict (grant_id, epoch, person) do nothing",
        )
        .bind(grant.as_str())
        .bind(epoch)
        .bind(person)
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(added > 0)
    }

    /// Keeps a correction that the next statement is to take up; its number is the next one of the grant.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for the same correction once more; [`StoreError::UnknownReference`].
    pub async fn insert_adjustment(
        &mut self,
        grant: &GrantId,
        asked: &AdjustmentRow,
    ) -> Result<(), StoreError> {
        let epoch = bigint("epoch", asked.epoch)?;
        db!(self, connection => sqlx::query(
            "insert into adjustments (grant_id, number, operator, sats, reason, epoch, person, asked_at)
             select $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5, $6, $7
               from adjustments
              where grant_id = $1",
        )
        .bind(grant.as_str())
        .bind(asked.operator.as_str())
        .bind(asked.sats)
        .bind(asked.reason.as_str())
        .bind(epoch)
        .bind(asked.person.as_str())
        .bind(asked.asked_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// The statement of an epoch has taken up a correction.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it was taken up before.
    pub async fn take_up_adjustment(
        &mut self,
        grant: &GrantId,
        number: u64,
        statement_epoch: u64,
    ) -> Result<(), StoreError> {
        let (number, epoch) = (bigint("number", number)?, bigint("epoch", statement_epoch)?);
        let taken = db!(self, connection => sqlx::query(
            "update adjustments
                set statement_epoch = $3
              where grant_id = $1
                and number = $2
                and statement_epoch is null",
        )
        .bind(grant.as_str())
        .bind(number)
        .bind(epoch)
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        if taken == 0 {
            return Err(StoreError::NotFound { what: "adjustment", id: format!("{grant} {number}") });
        }
        Ok(())
    }
}
