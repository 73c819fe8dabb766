//! What an auditor reads of a closed epoch, beside its inputs note.

use serde::{Deserialize, Serialize};

/// The most reports of one page.
pub const MAX_AUDIT_REPORTS: usize = 500;

/// One page of the reports that an epoch's credit is counted from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AuditReports {
    /// How many pages there are.
    pub pages: u64,
    /// At most [`MAX_AUDIT_REPORTS`].
    pub reports: Vec<AuditReport>,
}

/// A usage report, and where its entry lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AuditReport {
    /// The number of its entry in the reports log.
    pub log_index: u64,
    /// The signed note.
    pub note: String,
}
