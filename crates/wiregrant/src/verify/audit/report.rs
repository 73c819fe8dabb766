//! A usage report in an auditor's hands: read strictly, and signed by its node.

use std::collections::HashMap;

use transparency_log::Hash;
use wiregrant_core::NodeId;
use wiregrant_core::api::AuditReport;
use wiregrant_core::note::{Origin, Signed};
use wiregrant_core::usage_report::UsageReport;

use super::NodeKeys;
use crate::verify::difference::Difference;

/// A report whose signature holds.
#[derive(Debug)]
pub struct Report {
    /// Where its entry is said to lie.
    pub log_index: u64,
    /// The hash of the note.
    pub hash: Hash,
    /// What it says.
    pub content: UsageReport,
}

/// Reports that were looked at, and what is wrong with the others.
#[derive(Debug, Default)]
pub struct Page {
    /// Those whose signatures hold.
    pub good: Vec<Report>,
    /// Why the others do not.
    pub wrong: Vec<Difference>,
}

impl Page {
    /// Verifies each of these reports.
    pub fn verify(&mut self, reports: Vec<AuditReport>, nodes: &HashMap<NodeId, NodeKeys>, logs: &[Origin]) {
        for report in reports {
            match one(report, nodes, logs) {
                Ok(report) => self.good.push(report),
                Err(difference) => self.wrong.push(difference),
            }
        }
    }
}

fn one(
    report: AuditReport,
    nodes: &HashMap<NodeId, NodeKeys>,
    logs: &[Origin],
) -> Result<Report, Difference> {
    let signed = Signed::<UsageReport>::read(report.note)?;
    let content = signed.content();
    let what = || format!("report {} of node {}", content.sequence, content.node);
    let Some(keys) = nodes.get(&content.node) else {
        return Err(Difference::new(what(), "a node that an earlier entry names", "another"));
    };
    // A report from before a change of keys was signed with the older one.
    let signed_by_one = keys.keys.iter().rev().any(|key| signed.verified_by(key).is_ok());
    if !signed_by_one {
        return Err(Difference::new(what(), "a signature of its node", "none that holds"));
    }
    if !logs.contains(&content.log) {
        let log = logs.first().map_or("none", Origin::as_str);
        return Err(Difference::new(what(), format!("one for {log}"), &content.log));
    }
    let hash = signed.hash();
    Ok(Report { log_index: report.log_index, hash, content: signed.into_content() })
}
