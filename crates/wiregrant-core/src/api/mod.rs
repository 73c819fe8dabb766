//! The shapes that travel between the control plane and everyone else, all under `/api/v1`, as JSON unless said otherwise.
//!
//! | method and path | who | in | out |
//! |---|---|---|---|
//! | `POST /operators` | administrator | [`NewOperator`] | [`Created`] |
//! | `GET /operators` | administrator | | [`List`] of [`Operator`] |
//! | `GET /operators/{operator}` | administrator, that operator | | [`Operator`] |
//! | `POST /operators/{operator}/destination` | administrator, that operator | [`NewDestination`] | [`Destination`] |
//! | `POST /locations` | administrator | [`Location`] | [`Location`] |
//! | `GET /locations` | everyone | | [`List`] of [`Location`] |
//! | `POST /invitations` | administrator, that operator | [`NewInvitation`] | [`InvitationCreated`] |
//! | `POST /nodes` | whoever holds an invitation | [`Join`] | [`Joined`] |
//! | `GET /nodes` | administrator; an operator sees their own | | [`List`] of [`Node`] |
//! | `GET /nodes/{node}/desired?known=<revision>&wait=<seconds>` | that node | | [`Desired`] |
//! | `PUT /nodes/{node}/condition` | that node | [`Condition`] | 204 |
//! | `GET /nodes/{node}/head` | that node | | [`ReportHead`] |
//! | `POST /nodes/{node}/reports` | that node | the note, `text/plain` | the acknowledgement, a C2SP tlog-proof, `text/plain` |
//! | `POST /nodes/{node}/freeze` | administrator | [`Freeze`] | [`Node`] |
//! | `POST /nodes/{node}/unfreeze` | administrator | | [`Node`] |
//! | `GET /nodes/{node}/evidence` | administrator | | [`List`] of [`Evidence`] |
//! | `POST /distributors` | administrator | [`NewDistributor`] | [`Created`] |
//! | `GET /distributors` | administrator | | [`List`] of [`Distributor`] |
//! | `POST /access-codes` | a distributor, an operator | [`NewAccessCodes`] | [`AccessCodesCreated`] |
//! | `GET /access-codes` | a distributor, an operator: their own | | [`List`] of [`AccessCodeState`] |
//! | `POST /devices` | whoever holds an access code | [`NewDevice`] | [`DeviceCreated`] |
//! | `GET /devices` | whoever holds an access code | | [`CodeDevices`] |
//! | `DELETE /devices/{public key, base64url}` | whoever holds an access code | | 204 |
//! | `POST /devices/{public key, base64url}/socks5` | whoever holds an access code | | [`Socks5Access`] |
//! | `POST /grants` | administrator | [`NewGrant`] | [`Grant`] |
//! | `GET /grants`, `GET /grants/{grant}` | everyone | | [`List`] of [`Grant`], [`Grant`] |
//! | `POST /grants/{grant}/contributions` | administrator | [`NewContribution`] | [`Grant`] |
//! | `POST /grants/{grant}/nodes` | administrator | [`Admit`] | [`Membership`] |
//! | `DELETE /grants/{grant}/nodes/{node}` | administrator | | [`Membership`] |
//! | `POST /grants/{grant}/epochs/{epoch}/close` | administrator | | [`StatementNote`] |
//! | `GET /grants/{grant}/statements` | everyone | | [`List`] of [`StatementNote`] |
//! | `POST /batches` | administrator | [`NewBatch`] | [`Batch`] |
//! | `GET /batches`, `GET /batches/{batch}` | administrator | | [`List`] of [`Batch`], [`Batch`] |
//! | `POST /batches/{batch}/transaction` | administrator | [`DeclareTransaction`] | [`Batch`] |
//! | `POST /batches/{batch}/cancel` | administrator | [`CancelBatch`] | [`Batch`] |
//!
//! Administrators, operators and distributors send `Authorization: Bearer <token>`; people send their access code in its
//! place; nodes sign ([`crate::request`]). Errors are RFC 9457 problems ([`Problem`]). Public artefacts (both logs, notes,
//! reports of grants) are static files outside `/api`.

mod grant;
mod node;
mod party;
mod person;
mod problem;
mod settlement;

pub use grant::{
    Admit, Batch, CoinInput, Grant, Membership, NewBatch, NewContribution, NewGrant, Payout, StatementNote,
};
pub use node::{
    Condition, Desired, DeviceLevel, Evidence, Freeze, Join, Joined, Node, NodeState, Pause, ReportHead,
    UsageLine, usage_lines,
};
pub use party::{
    AccessCodeState, AccessCodesCreated, Created, Destination, Distributor, InvitationCreated, List,
    Location, NewAccessCodes, NewDestination, NewDistributor, NewInvitation, NewOperator, Operator,
};
pub use person::{
    CodeDevices, Device, DeviceCreated, HEADER_IDEMPOTENCY_KEY, NewDevice, Socks5Access, Socks5Place,
};
pub use problem::{Problem, ProblemKind};
pub use settlement::{
    BatchState, BatchTransaction, CancelBatch, DeclareTransaction, LineState, TransactionRole,
};

/// Where all of it lies.
pub const PREFIX: &str = "/api/v1";
/// The longest an agent may let `GET /nodes/{node}/desired` wait, in seconds.
pub const MAX_WAIT_SECONDS: u64 = 50;
