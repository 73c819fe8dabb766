//! Operators, distributors, locations, and what is handed to them.

use serde::{Deserialize, Serialize};

use crate::allotment::Period;
use crate::usage_report::Class;
use crate::{Bytes, DistributorId, LocationId, OperatorId, Timestamp};

/// A list of things, or one page of it; the header `Link` leads to the next.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ListOf{T}"))]
pub struct List<T> {
    /// The things, in a stable order.
    pub items: Vec<T>,
}

/// A new operator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewOperator {
    /// Their id, for good.
    pub operator: OperatorId,
    /// The key they sign destinations with; its name is the operator's id. Without one, the control plane signs for them
    /// and every check says so.
    #[serde(default)]
    pub vkey: Option<String>,
}

/// A party was created; the token is shown this once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Created {
    /// Its id.
    pub id: String,
    /// What it signs in with.
    pub token: String,
}

/// An operator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Operator {
    /// The id.
    pub operator: OperatorId,
    /// The key destinations are signed with.
    pub vkey: Option<String>,
    /// Where they are paid.
    pub destination: Option<Destination>,
}

/// A payout destination: exactly one of the two.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewDestination {
    /// A `wiregrant/destination/v1` note signed by the operator's key.
    #[serde(default)]
    pub note: Option<String>,
    /// An address, a descriptor, a link or a name, for an operator without a key; the control plane signs.
    #[serde(default)]
    pub pay: Option<String>,
    /// A message signed by the address (BIP 322 `smp` or `ful`, or the old form of P2PKH):
    /// `wiregrant: <operator> is paid at <address> by <origin>`. Of a descriptor, by its address at index 0.
    #[serde(default)]
    pub proof: Option<String>,
}

/// A destination in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Destination {
    /// Counted from 1.
    pub sequence: u64,
    /// An address, a descriptor, a link or a name.
    pub pay: String,
    /// The whole note.
    pub note: String,
    /// Whether the operator's own key signed it.
    pub signed_by_operator: bool,
    /// Whether the address itself signed that it is theirs (BIP 322).
    pub ownership_proven: bool,
    /// From when on payouts go there.
    pub in_force_from: Timestamp,
}

/// A place nodes stand in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Such as `de-fra`.
    pub location: LocationId,
    /// For people, such as `Frankfurt, Germany`.
    pub name: String,
}

/// Asks for an invitation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// Whose node it will be.
    pub operator: OperatorId,
    /// Where it stands.
    pub location: LocationId,
}

/// An invitation, shown this once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InvitationCreated {
    /// `wiregrant1.…`
    pub invitation: String,
    /// Not valid from here on.
    pub expires: Timestamp,
}

/// A new distributor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewDistributor {
    /// Their id, for good.
    pub distributor: DistributorId,
}

/// A distributor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Distributor {
    /// The id.
    pub distributor: DistributorId,
    /// How many access codes they have issued.
    pub codes_issued: u64,
    /// What they may issue in all.
    #[serde(default)]
    pub budget: Budget,
}

/// What a distributor may issue in all, from the first code on; what is absent has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Access codes.
    #[serde(default)]
    pub codes: Option<u64>,
    /// Bytes that all of them together may use until they expire.
    #[serde(default)]
    pub bytes: Option<Bytes>,
}

/// Asks for access codes. Their class follows from who asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewAccessCodes {
    /// How many codes, 1 to 1,000.
    pub count: u64,
    /// Devices each code may have, 1 to 100.
    pub devices: u64,
    /// Bytes each code may use in a `period`; each of its devices may use an equal share.
    pub quota_bytes: Bytes,
    /// What the quota is for.
    #[serde(default)]
    pub period: Period,
    /// Not valid from here on.
    pub expires: Timestamp,
}

/// New access codes, shown this once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccessCodesCreated {
    /// The codes.
    pub codes: Vec<String>,
    /// Their class.
    pub class: Class,
}

/// An access code as its issuer sees it afterwards: not the code, and nothing of its use but the number of devices.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccessCodeState {
    /// Counted by the control plane.
    pub number: u64,
    /// Its class.
    pub class: Class,
    /// Devices it may have.
    pub devices: u64,
    /// Devices it has.
    pub devices_used: u64,
    /// Bytes it may use in a `period`.
    pub quota_bytes: Bytes,
    /// What the quota is for.
    #[serde(default)]
    pub period: Period,
    /// Not valid from here on.
    pub expires: Timestamp,
}
