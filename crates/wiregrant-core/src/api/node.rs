//! Nodes and their agents.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::grant::Membership;
use super::problem::Problem;
use crate::allotment::Level;
use crate::note::Origin;
use crate::peer::{DesiredPeer, PeerChanges};
use crate::usage_report::{Backend, Class, Service, UsageTable};
use crate::word::word;
use crate::{Bytes, LocationId, NodeId, OperatorId, Timestamp, WireGuardPublicKey};

/// Redeems an invitation. The same invitation with the same keys gets the same answer again, so that an answer lost on
/// the way costs nothing.
///
/// Agents of the next minor version may say more than this one knows, here as in all that nodes send: that is passed over.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Join {
    /// The invitation's secret.
    pub secret: String,
    /// The node's Ed25519 identity key: 32 bytes, padded base64. Made on the node, as is the next.
    pub identity_public_key: String,
    /// The node's WireGuard key.
    pub wireguard_public_key: WireGuardPublicKey,
    /// Where clients reach it: `host:port`, IPv6 hosts in brackets.
    pub endpoint: String,
    /// The agent's version.
    pub agent: String,
    /// Which WireGuard it has.
    pub backend: Backend,
    /// Ed25519 over [`Join::text`] by the identity key, padded base64: nobody enrols a key that is not theirs.
    pub signature: String,
}

impl Join {
    /// What the node signs.
    #[must_use]
    pub fn text(&self, log: &Origin) -> String {
        let Self { secret, identity_public_key, wireguard_public_key, endpoint, agent, backend, .. } = self;
        format!(
            "wiregrant/join/v1\nlog {log}\nsecret {secret}\nidentity {identity_public_key}\nwireguard {wireguard_public_key}\n\
             endpoint {endpoint}\nagent {agent} {backend}\n"
        )
    }
}

/// What a node learns on joining.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Joined {
    /// Its id.
    pub node: NodeId,
    /// Whose it is.
    pub operator: OperatorId,
    /// The record log's origin, which every report names.
    pub log: Origin,
    /// The record log's key; equals the invitation's.
    pub log_vkey: String,
    /// The reports log's key: the same key under that log's name.
    pub reports_vkey: String,
    /// The interface's own addresses with their pools' prefixes, v4 then v6.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub addresses: Vec<IpNet>,
    /// The port the endpoint names, on which the interface listens.
    pub listen_port: u16,
    /// The keys the node had before, where it was invited to go on under another: its last report is signed by one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<NamedKey>,
    /// The logs that this one continues, where the node was invited to go on: its last report may name one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_logs: Vec<NamedKey>,
}

/// A key of a node, or a log that the record continues, as the record names it, with the proof that it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NamedKey {
    /// The record's entry: `enrol`, `rekey` or `continues`.
    pub entry: String,
    /// The C2SP tlog-proof that it is in the record.
    pub proof: String,
}

/// Replaces a node's identity key, with the former one at hand. The same again is no error, so that an answer lost on the way
/// costs nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewNodeKey {
    /// The note [`crate::rekey::Rekey`], signed by the former key.
    pub note: String,
    /// Ed25519 over the whole note by the new key, padded base64: nobody announces a key that is not theirs.
    pub signature: String,
}

/// What a node should be doing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Desired {
    /// Rises with each change of the peers or of the membership.
    pub revision: u64,
    /// All peers; absent when `known` was this revision, and when there are `changes`.
    pub peers: Option<Vec<DesiredPeer>>,
    /// What makes these peers of those that the node was told with the revision it knows; only for who asks with
    /// `changes=true`, and only while the control plane remembers what it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<PeerChanges>,
    /// The grant the node is in.
    pub membership: Option<Membership>,
    /// The control plane's clock.
    pub time: Timestamp,
    /// Reports are refused until a person decides.
    pub frozen: bool,
}

word! {
    /// Why a node serves nobody for now, by its operator's choice. Nobody is punished for it.
    Pause, "pause",
    /// The month's traffic that the operator gives is used up.
    Budget = "budget",
    /// The node works at other hours of the day.
    Hours = "hours",
}

/// What a node says about itself between reports. It carries no byte count, and each one overwrites the last: no history is
/// kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Condition {
    /// The agent's version.
    pub agent: String,
    /// Which WireGuard it has.
    pub backend: Backend,
    /// Where clients reach it: `host:port`, IPv6 hosts in brackets. Another one than before offers people new files.
    pub endpoint: String,
    /// Where clients reach its SOCKS5 service, likewise; absent when it has none.
    #[serde(default)]
    pub socks5_endpoint: Option<String>,
    /// Why it serves nobody for now; absent when it serves.
    #[serde(default)]
    pub paused: Option<Pause>,
    /// What its operator gives at most, each way, in megabits a second; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub megabits_per_second: Option<u64>,
    /// What its operator gives at most in a calendar month, in gigabytes; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gigabytes_per_month: Option<u64>,
    /// The levels that changed since the last condition that was taken; all of them after a start.
    #[serde(default)]
    pub levels: Vec<DeviceLevel>,
}

/// How much of its allotment a device has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceLevel {
    /// The device.
    pub public_key: WireGuardPublicKey,
    /// What is left.
    pub level: Level,
}

/// The last report the control plane has accepted of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReportHead {
    /// Its sequence number; 0 where there is none.
    pub sequence: u64,
    /// The note; absent where there is none.
    pub note: Option<String>,
}

/// Freezes a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// A short word of a-z, 0-9 and '-'.
    pub reason: String,
}

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Its reports are taken.
    Active,
    /// Its reports are refused until a person decides.
    Frozen,
    /// Gone for good.
    Retired,
}

/// A node as its operator and the administrator see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Node {
    /// The id.
    pub node: NodeId,
    /// Whose it is.
    pub operator: OperatorId,
    /// Where it stands.
    pub location: LocationId,
    /// Where clients reach it.
    pub endpoint: String,
    /// Whether the control plane has completed a WireGuard handshake there. Before that no device is placed on it.
    #[serde(default)]
    pub endpoint_reached: bool,
    /// Where clients reach its SOCKS5 service; absent when it has none.
    #[serde(default)]
    pub socks5_endpoint: Option<String>,
    /// The agent's version, as it said last.
    #[serde(default)]
    pub agent: String,
    /// Which WireGuard it has; absent in the answers of older control planes.
    #[serde(default)]
    pub backend: Option<Backend>,
    /// Why it serves nobody for now, by its operator's choice; absent when it serves.
    #[serde(default)]
    pub paused: Option<Pause>,
    /// Its life.
    pub state: NodeState,
    /// When its agent last asked for anything.
    pub last_seen: Option<Timestamp>,
    /// Devices placed on it now.
    pub devices: u64,
    /// The last accepted report's number; 0 without one.
    pub sequence: u64,
    /// When the last accepted report ends.
    pub reported_until: Option<Timestamp>,
    /// Totals since enrolment, as reported.
    pub usage: Vec<UsageLine>,
}

/// One line of reported usage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageLine {
    /// What was used.
    pub service: Service,
    /// By whom.
    pub class: Class,
    /// Bytes the node received.
    pub received: Bytes,
    /// Bytes the node sent.
    pub sent: Bytes,
    /// What of both may count.
    pub creditable: Bytes,
}

/// A report's usage as lines.
#[must_use]
pub fn usage_lines(table: &UsageTable) -> Vec<UsageLine> {
    table
        .iter()
        .map(|((service, class), usage)| UsageLine {
            service: *service,
            class: *class,
            received: usage.received,
            sent: usage.sent,
            creditable: usage.creditable,
        })
        .collect()
}

/// Two texts under one sequence number, both signed by the node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Evidence {
    /// The sequence number.
    pub sequence: u64,
    /// The accepted note.
    pub accepted: String,
    /// The other one.
    pub other: String,
    /// When the other one came.
    pub received_at: Timestamp,
    /// Both as a file that convicts the node before anybody: see [`crate::evidence`]. Empty where they name an origin that has ended, and from an
    /// older control plane.
    #[serde(default)]
    pub proof: String,
}

/// Several reports of one node, in their order, at most [`MAX_REPORTS_PER_REQUEST`]: how an agent drains what waited in its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewReports {
    /// The signed notes.
    pub reports: Vec<String>,
}

/// An acknowledged report as its node keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The signed note.
    pub note: String,
    /// Its acknowledgement, a C2SP tlog-proof.
    pub proof: String,
}

/// What a node holds of a log whose end a restored control plane does not know, at most [`MAX_REPORTS_PER_REQUEST`] a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewReceipts {
    /// Acknowledgements of entries from the asked index on.
    pub receipts: Vec<Receipt>,
    /// The node holds no other.
    pub last: bool,
}

/// The most reports of one request.
pub const MAX_REPORTS_PER_REQUEST: usize = 100;

/// What became of them: those before the first that was refused are durable. A request whose first report is refused is answered
/// with that problem alone, as a single report would be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReportsTaken {
    /// A C2SP tlog-proof for each that is durable, in their order.
    pub acknowledgements: Vec<String>,
    /// Why the next one was refused; those behind it were not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Problem>,
}

/// What an operator's nodes moved within an hour or a day of UTC. It follows from their reports; what is paid follows from
/// statements alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageSum {
    /// When the hour or day began.
    pub begin: Timestamp,
    /// Bytes that nodes received.
    pub received: Bytes,
    /// Bytes that nodes sent.
    pub sent: Bytes,
    /// What of both may count.
    pub creditable: Bytes,
}
