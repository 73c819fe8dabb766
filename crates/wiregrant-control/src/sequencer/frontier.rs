//! `Frontier`: what the writer of reports remembers of nodes between two transactions.

use std::collections::{BTreeMap, BTreeSet};

use transparency_log::Hash;
use wiregrant_core::NodeId;
use wiregrant_core::note::Signed;
use wiregrant_core::usage_report::UsageReport;
use wiregrant_store::{Log, NodeStanding, Report, Write};

use super::book::Finished;
use crate::error::{Answer, Failure};
use crate::ingest::{Head, Standing};
use crate::membership;

/// Nodes remembered at a time, some 2 KiB each.
const MAX_NODES: usize = 32_768;

/// What is remembered, as of the reports log's size after this process's last commit.
#[derive(Debug, Default)]
pub struct Frontier {
    reports_size: u64,
    nodes: BTreeMap<NodeId, Known>,
    /// Whether entries wait for their reports, after a restore; not known before the first batch.
    awaits: Option<bool>,
}

/// What is known of a node.
#[derive(Debug, Clone)]
pub struct Known {
    /// The key that signs its reports, 32 bytes.
    pub identity_key: [u8; 32],
    /// The node's revision, which rises with its state and memberships.
    pub revision: u64,
    /// Against which a report is judged.
    pub standing: Standing,
}

impl Frontier {
    /// Makes what is remembered of these nodes true for this transaction, with one query for what may have changed and two for
    /// all nodes that are not remembered.
    ///
    /// # Errors
    /// `busy` or `internal`.
    pub async fn catch_up<'a>(
        &mut self,
        write: &mut Write,
        nodes: impl Iterator<Item = &'a NodeId>,
    ) -> Answer<()> {
        let wanted: Vec<&NodeId> = nodes.collect::<BTreeSet<_>>().into_iter().collect();
        let size = write.size(Log::Reports);
        if size != self.reports_size || self.nodes.len() > MAX_NODES {
            // Another process has taken reports, or a commit of ours held though its answer was lost.
            self.nodes.clear();
            self.reports_size = size;
        }
        // Nothing begins to be awaited while a control plane is up, so that what is not any more need not be asked again.
        if self.awaits != Some(false) {
            self.awaits = Some(write.first_awaited_report().await?.is_some());
        }
        let rows = write.node_standings(&wanted).await?;
        let unknown: Vec<&NodeId> =
            rows.iter().map(|row| &row.node).filter(|node| !self.nodes.contains_key(*node)).collect();
        let mut heads: BTreeMap<NodeId, Head> = BTreeMap::new();
        for report in write.head_reports(&unknown).await? {
            heads.insert(report.node.clone(), head(&report)?);
        }
        for row in rows {
            let head = match self.nodes.get(&row.node) {
                Some(known) if known.revision == row.revision && known.identity_key == row.identity_key => {
                    continue;
                }
                Some(known) => known.standing.head.clone(),
                None => heads.remove(&row.node),
            };
            let known = known(write, &row, head).await?;
            self.nodes.insert(row.node, known);
        }
        Ok(())
    }

    /// Whether entries of the log wait for their reports.
    #[must_use]
    pub fn awaits_reports(&self) -> bool {
        self.awaits == Some(true)
    }

    /// What is known of a node that was caught up with; `None` for one that does not exist.
    #[must_use]
    pub fn node(&self, node: &NodeId) -> Option<&Known> {
        self.nodes.get(node)
    }

    /// Takes over what a transaction has changed, once it is committed.
    pub fn swap_in(&mut self, finished: Finished, reports_size: u64) {
        self.reports_size = reports_size;
        self.nodes.extend(finished.nodes);
        for node in finished.frozen {
            self.nodes.remove(&node); // its revision rose
        }
    }
}

fn head(report: &Report) -> Answer<Head> {
    let hash: Hash = report.note_hash;
    let note = Signed::<UsageReport>::parse(&report.note).map_err(Failure::internal)?;
    Ok(Head { report: note.into_content(), hash })
}

async fn known(write: &mut Write, row: &NodeStanding, head: Option<Head>) -> Answer<Known> {
    let memberships = membership::all_of_node(write, &row.node).await?;
    Ok(Known {
        identity_key: row.identity_key,
        revision: row.revision,
        standing: Standing { state: row.state, head, memberships },
    })
}
