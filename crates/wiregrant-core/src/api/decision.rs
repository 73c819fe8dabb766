//! What people decide about grants and statements, and the ledger of sats that follows.

use serde::{Deserialize, Serialize};

use crate::credit::Reason;
use crate::ledger::Account;
use crate::terms::Terms;
use crate::word::word;
use crate::{Bytes, GrantId, NodeId, OperatorId, Sats, Timestamp, Units};

word! {
    /// Where a grant stands.
    GrantState, "state",
    /// Nothing of it is signed or logged; it can be changed or thrown away.
    Draft = "draft",
    /// Its terms are in the record.
    Open = "open",
    /// Every epoch has its statement.
    Closed = "closed",
}

word! {
    /// Where an operator's application to a grant stands.
    ApplicationState, "state",
    /// Nobody has decided.
    Applied = "applied",
    /// The operator may admit their nodes.
    Approved = "approved",
    /// The operator takes no part.
    Rejected = "rejected",
}

word! {
    /// What was decided about an operator's line of a statement.
    LineDecisionKind, "kind",
    /// It must not be paid for now.
    Hold = "hold",
    /// It may be paid after all.
    Release = "release",
    /// It will not be paid, and its sats go back to the grant.
    Forfeit = "forfeit",
    /// The operator does not agree with what the record says.
    Object = "object",
}

word! {
    /// Where an operator's line of a statement stands on its way to a batch.
    LineStanding, "standing",
    /// Less than the minimum: there is nothing to pay.
    Nothing = "nothing",
    /// It may still be challenged.
    Challengeable = "challengeable",
    /// Its statement lacks approvals.
    Unapproved = "unapproved",
    /// It is held.
    Held = "held",
    /// It was forfeited.
    Forfeited = "forfeited",
    /// It waits for a batch.
    Payable = "payable",
    /// A batch holds it.
    Reserved = "reserved",
}

/// New terms for an open grant, from the next epoch that begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewTerms {
    /// All terms; `start` and `epoch_seconds` stay as they are.
    pub terms: Terms,
}

/// One version of a grant's terms.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TermsVersion {
    /// From 1.
    pub version: u64,
    /// The first epoch in which they act.
    pub first_epoch: u64,
    /// SHA-256 of the note, hexadecimal: its name under `/log/note/`.
    pub hash: String,
    /// When they were logged.
    pub logged_at: Timestamp,
    /// The terms.
    pub terms: Terms,
}

/// An operator applies to a grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Who.
    pub operator: OperatorId,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Application {
    /// Who.
    pub operator: OperatorId,
    /// Where it stands.
    pub state: ApplicationState,
    /// Since when.
    pub applied_at: Timestamp,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
}

/// Something found about a node. It is logged, holds its operator's lines that no batch holds, and takes what would have
/// counted for the node in the next statement.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewNodeFinding {
    /// The node.
    pub node: NodeId,
    /// One word of a-z, 0-9 and `-`, for the record.
    pub reason: String,
    /// At most 2,000 characters for those who may read them; they never get into the record.
    #[serde(default)]
    pub detail: String,
}

/// What was found about a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodeFinding {
    /// From 1 in each grant.
    pub number: u64,
    /// The node.
    pub node: NodeId,
    /// The word in the record.
    pub reason: String,
    /// More of it.
    pub detail: String,
    /// The epoch whose statement comes next at that time: what would have counted there for the node does not.
    pub acts_in: u64,
    /// When.
    pub found_at: Timestamp,
}

/// A decision about a line, or an objection.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DecideLine {
    /// One word of a-z, 0-9 and `-`, for the record.
    pub reason: String,
    /// At most 2,000 characters for those who may read them; they never get into the record.
    #[serde(default)]
    pub detail: String,
}

/// What was decided about a line, or objected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LineDecision {
    /// What.
    pub kind: LineDecisionKind,
    /// The word in the record.
    pub reason: String,
    /// More of it.
    pub detail: String,
    /// When.
    pub decided_at: Timestamp,
}

/// An operator's line of a statement, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StatementLine {
    /// The epoch.
    pub epoch: u64,
    /// Whose line.
    pub operator: OperatorId,
    /// What is to be paid.
    pub payable: Sats,
    /// Where it stands.
    pub standing: LineStanding,
    /// When its challenge window ends.
    pub payable_from: Timestamp,
    /// How many people have still to approve the statement.
    pub approvals_missing: u64,
    /// What was decided, oldest first.
    pub decisions: Vec<LineDecision>,
}

/// The approvals of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Approvals {
    /// The epoch.
    pub epoch: u64,
    /// How many different people the terms ask for.
    pub wanted: u64,
    /// The tokens of those who approved.
    pub people: Vec<String>,
}

/// A correction of an earlier epoch, as a line of the next statement.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewAdjustment {
    /// Whose sats.
    pub operator: OperatorId,
    /// How many, signed.
    pub sats: i64,
    /// One word of a-z, 0-9 and `-`, for the statement.
    pub reason: String,
    /// The epoch that is corrected.
    pub epoch: u64,
}

/// A correction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AdjustmentState {
    /// From 1 in each grant.
    pub number: u64,
    /// Whose sats.
    pub operator: OperatorId,
    /// How many, signed.
    pub sats: i64,
    /// The word in the statement.
    pub reason: String,
    /// The epoch that is corrected.
    pub epoch: u64,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// The epoch of the statement that has it; none while it waits, because the next statement is not signed, or the grant or the
    /// operator has not the sats.
    pub statement_epoch: Option<u64>,
}

/// Bytes that do not count, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DisallowedBytes {
    /// Why.
    pub reason: Reason,
    /// How many.
    pub bytes: Bytes,
}

/// What a closed epoch credits a node with, for its operator's eyes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodeEpochCredit {
    /// The epoch.
    pub epoch: u64,
    /// The node.
    pub node: NodeId,
    /// Whose it is.
    pub operator: OperatorId,
    /// Bytes carried from the statement before.
    pub brought: Bytes,
    /// Bytes that count.
    pub eligible: Bytes,
    /// Bytes that do not.
    pub disallowed: Vec<DisallowedBytes>,
    /// Bytes that came after the grant's last statement, so that none counts them; they stand with the last epoch.
    #[serde(default)]
    pub late: Bytes,
    /// Whole units; none while too few people stand behind the number.
    pub units: Option<Units>,
    /// Bytes carried to the next statement.
    pub carried: Bytes,
    /// People behind the number, and how many it takes.
    pub people: u64,
    /// How many people it takes.
    pub floor: u64,
}

/// An account of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LedgerAccount {
    /// The grant.
    pub grant: GrantId,
    /// The account.
    pub account: Account,
    /// Whose it is; none for the grant's own.
    pub operator: Option<OperatorId>,
    /// What it has, in sats; below 0 for the funder alone.
    pub sats: i64,
    /// All it was ever given.
    pub given: Sats,
}

/// Whether the ledger holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LedgerCheck {
    /// How many transfers there are.
    pub transfers: u64,
    /// How many accounts.
    pub accounts: u64,
    /// What differs, a line each; empty where all holds.
    pub differences: Vec<String>,
}
