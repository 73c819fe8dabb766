//! Receipts: the acknowledgements that nodes hold, put together to the tail of the reports log that the database lacks.
//!
//! An acknowledgement names a place, proves the entry that stands there, and bears a checkpoint that the control plane has signed.
//! When no node is waited for, and every place below the largest of these checkpoints is known, the tail is whole: it is appended
//! and held against each signed root. Beyond it nobody holds anything, so that what is signed next contradicts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, bail};
use transparency_log::{LogProof, Note, Verifier};
use wiregrant_core::NodeId;
use wiregrant_core::api::{MAX_REPORTS_PER_REQUEST, NewReceipts, NodeState, ProblemKind, Receipt as Shown};
use wiregrant_core::note::{Origin, Signed};
use wiregrant_core::record::{RecordEntry, report_entry};
use wiregrant_core::usage_report::UsageReport;
use wiregrant_store::{AwaitedReport, Log, Read, Receipt, SETTING_BEHIND, Store, Write};

use super::Behind;
use crate::error::{Answer, Failure};
use crate::keys::Keys;
use crate::log_keys::{LogKeys, verified, with_lines_of};

/// Nodes and places that are named, at most.
const MAX_TOLD: usize = 10;

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Nodes that have not shown what they hold.
    pub nodes: Vec<String>,
    /// Places of the reports log below a signed checkpoint whose entry nobody has shown.
    pub missing: Vec<u64>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = |all: &[String]| {
            let more = all.len().saturating_sub(MAX_TOLD);
            let first = all.iter().take(MAX_TOLD).cloned().collect::<Vec<_>>().join(", ");
            if more > 0 { format!("{first} and {more} more") } else { first }
        };
        if !self.nodes.is_empty() {
            return write!(
                f,
                "what {} nodes hold: {}; one that will never come again is gone on without by `catch-up --without <node>`",
                self.nodes.len(),
                some(&self.nodes)
            );
        }
        let places: Vec<String> = self.missing.iter().map(ToString::to_string).collect();
        write!(
            f,
            "{} entries of the reports log that nobody has shown, at {}; if nobody has them any more, this log ends: `new-origin`",
            places.len(),
            some(&places)
        )
    }
}

/// Takes what a node shows.
///
/// # Errors
/// `report-form`, `report-other-log`, `report-other-node`, `invalid-request` for what proves nothing; `conflict` where another
/// entry was acknowledged at the same place.
pub async fn take(
    store: &Store,
    log_keys: &[Verifier],
    (logs, node): (&[Origin], &NodeId),
    shown: &NewReceipts,
) -> Answer<()> {
    if shown.receipts.len() > MAX_REPORTS_PER_REQUEST {
        let detail =
            format!("receipts: {}, at most {MAX_REPORTS_PER_REQUEST} a request", shown.receipts.len());
        return Err(Failure::new(ProblemKind::InvalidRequest, detail));
    }
    let receipts = shown.receipts.iter().map(|shown| read(shown, log_keys, logs, node));
    let receipts: Vec<Receipt> = receipts.collect::<Answer<_>>()?;
    let mut write = store.write().await?;
    for receipt in &receipts {
        keep(&mut write, receipt).await?;
    }
    if shown.last {
        write.put_heard_node(node).await?;
    }
    Ok(write.commit().await?)
}

fn read(shown: &Shown, log_keys: &[Verifier], logs: &[Origin], node: &NodeId) -> Answer<Receipt> {
    let report = Signed::<UsageReport>::parse(&shown.note);
    let report = report.map_err(|error| Failure::new(ProblemKind::ReportForm, error.to_string()))?;
    let content = report.content();
    if !logs.contains(&content.log) {
        let log = logs.first().map_or("none", Origin::as_str);
        let detail = format!("log: this is {log}, the report is for {}", content.log);
        return Err(Failure::new(ProblemKind::ReportOtherLog, detail));
    }
    if content.node != *node {
        let detail = format!("node {node} sent it, the report names {}", content.node);
        return Err(Failure::new(ProblemKind::ReportOtherNode, detail));
    }
    let proves_nothing = |error: transparency_log::LogError| {
        let detail = format!(
            "receipts: report {}: its acknowledgement proves nothing here: {error}",
            content.sequence
        );
        Failure::new(ProblemKind::InvalidRequest, detail)
    };
    let proof: LogProof = shown.proof.parse().map_err(proves_nothing)?;
    // Whichever of the log's keys signed when it was acknowledged, the newest first.
    let newest = |keys: &[Verifier]| {
        let entry = report_entry(report.hash());
        let mut verified = keys.iter().rev().map(|key| proof.verify(entry.as_bytes(), key));
        let first = verified.next()?;
        Some(first.or_else(|error| verified.find_map(Result::ok).ok_or(error)))
    };
    let checkpoint =
        newest(log_keys).ok_or_else(|| Failure::internal("no log key"))?.map_err(proves_nothing)?;
    let note = with_lines_of(log_keys, &proof.checkpoint).map_err(proves_nothing)?;
    Ok(Receipt {
        log_index: proof.index,
        note_hash: report.hash(),
        node: node.clone(),
        sequence: content.sequence,
        checkpoint_size: checkpoint.size,
        checkpoint: note,
    })
}

async fn keep(write: &mut Write, receipt: &Receipt) -> Answer<()> {
    let index = receipt.log_index;
    let stands = if index < write.size(Log::Reports) {
        let entry = write.entries(Log::Reports, index, 1).await?;
        write.attribute_awaited_report(receipt).await?;
        entry == [report_entry(receipt.note_hash)]
    } else {
        write.put_receipt(receipt).await?.note_hash == receipt.note_hash
    };
    if stands {
        return Ok(());
    }
    tracing::error!(
        index,
        node = %receipt.node,
        sequence = receipt.sequence,
        "two entries were acknowledged at one place of the reports log: two histories were signed, and neither may be gone on from"
    );
    let detail = format!(
        "receipts: another entry stands at index {index} of the reports log; keep this acknowledgement, it is evidence"
    );
    Err(Failure::new(ProblemKind::Conflict, detail))
}

/// Opens the database for signing, if nothing is waited for; else what is.
///
/// # Errors
/// A tail that does not give the roots that were signed; those of the database.
pub async fn try_to_end(store: &Store, keys: &Keys) -> anyhow::Result<Option<Waiting>> {
    let mut write = store.write().await?;
    match Behind::of(&mut write).await? {
        None => return Ok(None),
        Some(Behind::Restored) => bail!("database: {}", super::WAY_OUT),
        Some(Behind::Nodes(_)) => {}
    }
    let size = write.size(Log::Reports);
    let receipts = write.receipts(size).await?;
    let waiting = waiting(&mut write, &receipts).await?;
    if waiting.is_some() {
        return Ok(waiting);
    }
    let log_keys = LogKeys::read(&mut write, keys).await?;
    append(&mut write, &receipts, log_keys.of(Log::Reports)).await?;
    write.put_setting(SETTING_BEHIND, "").await?;
    write.forget_receipts().await?;
    write.commit().await?;
    tracing::info!(reports = receipts.len(), "caught up: the tail of the reports log is as nodes hold it");
    Ok(None)
}

async fn waiting(write: &mut Write, receipts: &[Receipt]) -> anyhow::Result<Option<Waiting>> {
    let heard: BTreeSet<String> = write.heard_nodes().await?.into_iter().collect();
    let mut nodes = expected(write).await?;
    nodes.retain(|node| !heard.contains(node));
    let end = receipts.iter().map(|receipt| receipt.checkpoint_size).max().unwrap_or_default();
    let shown: BTreeSet<u64> = receipts.iter().map(|receipt| receipt.log_index).collect();
    let missing: Vec<u64> = (write.size(Log::Reports)..end).filter(|index| !shown.contains(index)).collect();
    let is_whole = nodes.is_empty() && missing.is_empty();
    Ok((!is_whole).then(|| Waiting { nodes: nodes.into_iter().collect(), missing }))
}

/// Every node that may hold an acknowledgement which the database does not know: those that had not retired when the backup was
/// taken, and those that joined after it.
async fn expected(read: &mut Read) -> anyhow::Result<BTreeSet<String>> {
    let mut expected = BTreeSet::new();
    let mut known = BTreeSet::new();
    for overview in read.node_states().await? {
        known.insert(overview.node.to_string());
        if overview.state != NodeState::Retired {
            expected.insert(overview.node.to_string());
        }
    }
    for (_, entry) in read.entries_beginning("enrol ").await? {
        if let RecordEntry::Enrol { node, .. } = entry.parse()?
            && !known.contains(node.as_str())
        {
            expected.insert(node.to_string());
        }
    }
    Ok(expected)
}

/// Appends the entries at their places, with every checkpoint that was signed over them.
async fn append(write: &mut Write, receipts: &[Receipt], log_keys: &[Verifier]) -> anyhow::Result<()> {
    let mut signed: BTreeMap<u64, &str> = BTreeMap::new();
    for receipt in receipts {
        let other = signed.insert(receipt.checkpoint_size, &receipt.checkpoint);
        // One that was asked for again under another log key has a line more.
        let text = |note: &str| Note::parse(note).map(|note| note.text);
        if other.map(text).transpose()?.is_some_and(|other| Ok(other) != text(&receipt.checkpoint)) {
            let (one, other) = (other.unwrap_or_default(), &receipt.checkpoint);
            bail!("two checkpoints of one size were signed; keep both:\n\n{one}\n{other}");
        }
    }
    let mut entries = receipts.iter().map(|receipt| report_entry(receipt.note_hash));
    for (size, note) in signed {
        let count = usize::try_from(size.saturating_sub(write.size(Log::Reports)))?;
        let next: Vec<String> = entries.by_ref().take(count).collect();
        write.append(Log::Reports, &next).await?;
        let checkpoint = verified(log_keys, note).context("a kept receipt")?;
        let found = write.edge(Log::Reports).await?.root();
        if found != checkpoint.root {
            bail!(
                "the entries that nodes have shown give the root {found} at {size}, and this was signed; keep it and restore a newer \
                 backup:\n\n{note}"
            );
        }
        write.put_checkpoint(Log::Reports, size, note).await?;
    }
    let awaited = receipts.iter().map(|receipt| AwaitedReport {
        log_index: receipt.log_index,
        note_hash: receipt.note_hash,
        acked_size: receipt.checkpoint_size,
        node: Some(receipt.node.clone()),
        sequence: Some(receipt.sequence),
    });
    let awaited: Vec<_> = awaited.collect();
    Ok(write.await_reports(&awaited).await?)
}
