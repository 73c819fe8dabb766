//! The shapes that travel between the control plane and everyone else, all under `/api/v1`, as JSON unless said otherwise.
//!
//! | method and path | who | in | out |
//! |---|---|---|---|
//! | `POST /operators` | administrator | [`NewOperator`] | [`Created`] |
//! | `GET /operators` | administrator | | [`List`] of [`Operator`] |
//! | `GET /operators/{operator}` | administrator, that operator | | [`Operator`] |
//! | `POST /operators/{operator}/destination` | administrator, that operator | [`NewDestination`] | [`Destination`] |
//! | `POST /funders` | administrator | [`NewFunder`] | [`Created`] |
//! | `GET /funders` | administrator | | [`List`] of [`Funder`] |
//! | `POST /auditors` | administrator, a funder of all these grants | [`NewAuditor`] | [`Created`] |
//! | `GET /auditors` | administrator; a funder sees those of their grants | | [`List`] of [`Auditor`] |
//! | `GET /me` | whoever has a token | | [`Me`] |
//! | `POST /tokens` | whoever has a token, the bootstrap token too | [`NewToken`] | [`TokenCreated`] |
//! | `GET /tokens` | whoever has a token: their organisation's | | [`List`] of [`Token`] |
//! | `DELETE /tokens/{token}` | administrator, that organisation | | [`Token`] |
//! | `GET /operators/{operator}/usage?by=<day, hour>&from=<time>&until=<time>&node=<node>` | administrator, that operator | | [`List`] of [`UsageSum`] |
//! | `POST /locations` | administrator | [`Location`] | [`Location`] |
//! | `GET /locations` | everyone | | [`List`] of [`Location`] |
//! | `POST /invitations` | administrator, that operator | [`NewInvitation`] | [`InvitationCreated`] |
//! | `POST /nodes` | whoever holds an invitation | [`Join`] | [`Joined`] |
//! | `GET /nodes` | administrator; an operator sees their own | | [`List`] of [`Node`] |
//! | `GET /nodes/{node}/desired?known=<revision>&wait=<seconds>` | that node | | [`Desired`] |
//! | `PUT /nodes/{node}/condition` | that node | [`Condition`] | 204 |
//! | `GET /nodes/{node}/head` | that node | | [`ReportHead`] |
//! | `POST /nodes/{node}/reports` | that node | the note, `text/plain` | the acknowledgement, a C2SP tlog-proof, `text/plain` |
//! | `POST /nodes/{node}/reports/batch` | that node | [`NewReports`] | [`ReportsTaken`] |
//! | `POST /nodes/{node}/receipts` | that node, of a control plane that catches up after a restore | [`NewReceipts`] | 204 |
//! | `POST /nodes/{node}/rekey` | whoever has that node's key | [`NewNodeKey`] | 204 |
//! | `POST /nodes/{node}/invitation` | administrator, its operator | | [`InvitationCreated`] |
//! | `POST /nodes/{node}/freeze` | administrator | [`Freeze`] | [`Node`] |
//! | `POST /nodes/{node}/unfreeze` | administrator | | [`Node`] |
//! | `POST /nodes/{node}/retire` | administrator, its operator | | [`Node`] |
//! | `GET /nodes/{node}/evidence` | administrator | | [`List`] of [`Evidence`] |
//! | `POST /operators/{operator}/recovery` | whoever has that operator's key | [`NewRecovery`] | [`Recovered`] |
//! | `PUT /distributors/{distributor}/budget` | administrator | [`Budget`] | [`Distributor`] |
//! | `POST /distributors` | administrator | [`NewDistributor`] | [`Created`] |
//! | `GET /distributors` | administrator | | [`List`] of [`Distributor`] |
//! | `POST /access-codes` | a distributor, an operator | [`NewAccessCodes`] | [`AccessCodesCreated`] |
//! | `GET /access-codes` | a distributor, an operator: their own | | [`List`] of [`AccessCodeState`] |
//! | `POST /devices` | whoever holds an access code | [`NewDevice`] | [`DeviceCreated`] |
//! | `GET /devices` | whoever holds an access code | | [`CodeDevices`] |
//! | `DELETE /devices/{public key, base64url}` | whoever holds an access code | | 204 |
//! | `POST /devices/{public key, base64url}/switch` | whoever holds an access code | [`NewDevice`] | [`DeviceCreated`] |
//! | `DELETE /code` | whoever holds an access code | | 204 |
//! | `POST /devices/{public key, base64url}/socks5` | whoever holds an access code | | [`Socks5Access`] |
//! | `POST /grants` | administrator | [`NewGrant`] | [`Grant`] |
//! | `GET /grants`, `GET /grants/{grant}` | everyone | | [`List`] of [`Grant`], [`Grant`] |
//! | `GET /drafts` | administrator | | [`List`] of [`Grant`] |
//! | `POST /drafts/{grant}/open` | administrator | | [`Grant`] |
//! | `DELETE /drafts/{grant}` | administrator | | 204 |
//! | `GET /grants/{grant}/terms` | everyone | | [`List`] of [`TermsVersion`] |
//! | `POST /grants/{grant}/terms` | administrator | [`NewTerms`] | [`TermsVersion`] |
//! | `POST /grants/{grant}/close` | administrator | | [`TermsVersion`] |
//! | `GET /grants/{grant}/operators` | administrator; an operator sees their own | | [`List`] of [`Application`] |
//! | `POST /grants/{grant}/operators` | administrator, that operator | [`Apply`] | [`Application`] |
//! | `POST /grants/{grant}/operators/{operator}/approve`, `…/reject` | administrator | | [`Application`] |
//! | `POST /grants/{grant}/contributions` | administrator | [`NewContribution`] | [`Grant`] |
//! | `POST /grants/{grant}/nodes` | administrator, an approved operator | [`Admit`] | [`Membership`] |
//! | `DELETE /grants/{grant}/nodes/{node}` | administrator, that operator | | [`Membership`] |
//! | `POST /grants/{grant}/findings` | administrator | [`NewNodeFinding`] | [`List`] of [`StatementLine`] now held |
//! | `GET /grants/{grant}/findings` | administrator; an operator sees their own | | [`List`] of [`NodeFinding`] |
//! | `GET /grants/{grant}/lines` | administrator; an operator sees their own | | [`List`] of [`StatementLine`] |
//! | `POST /grants/{grant}/epochs/{epoch}/operators/{operator}/hold`, `…/release`, `…/forfeit` | administrator | [`DecideLine`] | [`StatementLine`] |
//! | `POST /grants/{grant}/epochs/{epoch}/operators/{operator}/object` | that operator | [`DecideLine`] | [`StatementLine`] |
//! | `POST /grants/{grant}/epochs/{epoch}/approve` | administrator, the grant's funder | | [`Approvals`] |
//! | `GET /grants/{grant}/epochs/{epoch}/credit` | administrator; an operator sees their own | | [`List`] of [`NodeEpochCredit`] |
//! | `POST /grants/{grant}/adjustments` | administrator | [`NewAdjustment`] | [`AdjustmentState`] |
//! | `GET /grants/{grant}/adjustments` | administrator | | [`List`] of [`AdjustmentState`] |
//! | `GET /grants/{grant}/ledger` | administrator, the grant's funder; an operator sees their own | | [`List`] of [`LedgerAccount`] |
//! | `GET /ledger/check` | administrator | | [`LedgerCheck`] |
//! | `POST /grants/{grant}/epochs/{epoch}/close` | administrator | | [`StatementNote`] |
//! | `GET /grants/{grant}/statements` | everyone | | [`List`] of [`StatementNote`] |
//! | `GET /grants/{grant}/epochs/{epoch}/inputs` | an auditor of the grant | | the note, `text/plain` |
//! | `GET /grants/{grant}/epochs/{epoch}/reports/{page}` | an auditor of the grant | | [`AuditReports`] |
//! | `POST /batches` | administrator | [`NewBatch`] | [`Batch`] |
//! | `GET /batches`, `GET /batches/{batch}` | administrator; a funder sees those of their grants | | [`List`] of [`Batch`], [`Batch`] |
//! | `POST /batches/{batch}/freeze` | administrator | | [`Batch`] |
//! | `POST /batches/{batch}/export` | administrator; a funder of the grant | | [`Batch`] |
//! | `POST /batches/{batch}/transaction` | administrator; a funder of the grant | [`DeclareTransaction`] | [`Batch`] |
//! | `POST /batches/{batch}/cancel` | administrator | [`CancelBatch`] | [`Batch`] |
//!
//! Administrators, operators, distributors, funders and auditors send `Authorization: Bearer <token>`, or the cookie that a
//! browser gets for a token; people send their access code in its
//! place; nodes sign ([`crate::request`]). Errors are RFC 9457 problems ([`Problem`]). Public artefacts (both logs, notes,
//! reports of grants) are static files outside `/api`.

mod audit;
mod decision;
mod grant;
mod node;
mod party;
mod person;
mod problem;
mod settlement;
mod token;

pub use audit::{AuditReport, AuditReports, MAX_AUDIT_REPORTS};
pub use decision::{
    AdjustmentState, Application, ApplicationState, Apply, Approvals, DecideLine, DisallowedBytes,
    GrantState, LedgerAccount, LedgerCheck, LineDecision, LineDecisionKind, LineStanding, NewAdjustment,
    NewNodeFinding, NewTerms, NodeEpochCredit, NodeFinding, StatementLine, TermsVersion,
};
pub use grant::{
    Admit, Batch, CoinInput, Grant, Membership, NewBatch, NewContribution, NewGrant, Payout, StatementNote,
};
pub use node::{
    Condition, Desired, DeviceLevel, Evidence, Freeze, Join, Joined, MAX_REPORTS_PER_REQUEST, NamedKey,
    NewNodeKey, NewReceipts, NewReports, Node, NodeState, Pause, Receipt, ReportHead, ReportsTaken,
    UsageLine, UsageSum, usage_lines,
};
pub use party::{
    AccessCodeState, AccessCodesCreated, Budget, Created, Destination, Distributor, InvitationCreated, List,
    Location, NewAccessCodes, NewDestination, NewDistributor, NewInvitation, NewOperator, Operator,
};
pub use person::{
    CodeDevices, Device, DeviceCreated, HEADER_IDEMPOTENCY_KEY, MAX_SWITCHES, NewDevice, Socks5Access,
    Socks5Place,
};
pub use problem::{Problem, ProblemKind};
pub use settlement::{
    BatchStage, BatchState, BatchTransaction, CancelBatch, DeclareTransaction, LineState, TransactionRole,
};
pub use token::{
    Auditor, Funder, Me, NewAuditor, NewFunder, NewRecovery, NewToken, Organisation, Recovered, Role, Token,
    TokenCreated,
};

/// Where all of it lies.
pub const PREFIX: &str = "/api/v1";
/// The longest an agent may let `GET /nodes/{node}/desired` wait, in seconds.
pub const MAX_WAIT_SECONDS: u64 = 50;
