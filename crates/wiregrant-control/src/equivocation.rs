//! Two reports under one sequence number as a file that convicts the node before anybody.
//!
//! Besides the two texts it holds what ties the node's key to the node: the record's entry that named it, and the proof that
//! this entry is in the record.

use transparency_log::{LogProof, inclusion_proof, inclusion_tiles};
use wiregrant_core::NodeId;
use wiregrant_core::api::NamedKey;
use wiregrant_core::evidence::Evidence;
use wiregrant_core::note::Signed;
use wiregrant_core::usage_report::UsageReport;
use wiregrant_store::{Log, Read};

use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};

/// The self-contained proof that a node signed both texts; `None` where one of them names an origin that has ended, whose key
/// signs nothing more that would say whose the node's key was.
///
/// # Errors
/// `internal` where no key that the record names for the node holds for both.
pub async fn proof(
    plane: &ControlPlane,
    read: &mut Read,
    node: &NodeId,
    reports: [&str; 2],
) -> Answer<Option<String>> {
    for report in reports {
        let report = Signed::<UsageReport>::parse(report).map_err(Failure::internal)?;
        if report.content().log != plane.config.origin {
            return Ok(None);
        }
    }
    for NamedKey { entry: naming, proof: named } in named_keys(plane, read, node).await?.into_iter().rev() {
        let log = plane.keys.record.verifier();
        let evidence = Evidence::TwoReports { log, naming, named, reports: reports.map(str::to_owned) };
        if evidence.check().is_ok() {
            return Ok(Some(evidence.to_string()));
        }
    }
    Err(Failure::internal(format!("no key of node {node} in the record holds for both of its reports")))
}

/// The keys that the record names for a node, in their order, each with the proof that it does.
///
/// # Errors
/// `internal`.
pub async fn named_keys(plane: &ControlPlane, read: &mut Read, node: &NodeId) -> Answer<Vec<NamedKey>> {
    let newest = read.newest_checkpoint(Log::Record).await?;
    let (size, checkpoint) = newest.ok_or_else(|| Failure::internal("the record has no checkpoint"))?;
    let checkpoint =
        plane.log_keys.under_the_present_key(Log::Record, &checkpoint).map_err(Failure::internal)?;
    let mut named = Vec::new();
    for (index, entry) in read.entries_naming_key(node).await? {
        let wanted = inclusion_tiles(index, size).map_err(Failure::internal)?;
        let tiles = read.tiles(Log::Record, &wanted).await?;
        let hashes = inclusion_proof(index, size, &tiles).map_err(Failure::internal)?;
        let proof = LogProof { index, hashes, checkpoint: checkpoint.clone(), extra: None }.to_string();
        named.push(NamedKey { entry, proof });
    }
    Ok(named)
}
