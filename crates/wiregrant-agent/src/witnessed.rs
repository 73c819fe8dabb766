//! `Witnessed`: what a running agent saw of both public logs, cosigned by the witnesses that its operator demands.
//!
//! As often as it reports, it looks at what the control plane publishes: enough witnesses must have cosigned it, it must
//! continue what was seen before and the trees under which reports were acknowledged, and newly published reports of the node
//! must stand where their acknowledgements say. What contradicts a signature goes into `evidence/` as files that convict the
//! log before anybody. Reports are sent all the same: else whoever keeps witnesses from being reached would silence every node.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use transparency_log::{Checkpoint, LogProof, Verifier, WitnessPolicy};
use wiregrant_core::Timestamp;

use crate::acknowledgements::Acknowledgements;
use crate::enrolment::Enrolment;
use crate::log_keys::LogKeys;
use crate::prove::{Found, Shown, write};
use crate::public_log::{Place, Unreadable};
use crate::state_dir::StateDir;

const FILE: &str = "witnessed.json";
/// Where evidence goes, below the state directory.
const EVIDENCE: &str = "evidence";
/// The most reports that are looked for at once, the newest first: two weeks of hourly ones and as many again. Each may lie in a tile of
/// its own.
const MAX_LOOKED_FOR: usize = 700;

/// The newest checkpoints that were seen and hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witnessed {
    /// The record's.
    record: Option<String>,
    /// The reports log's.
    reports: Option<String>,
}

/// What came of looking, as the running agent keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witnessing {
    /// When both logs were last seen as they should be.
    pub at: Option<Timestamp>,
    /// Why the last look failed, until one succeeds.
    pub error: Option<String>,
}

impl Witnessing {
    /// Whether there was a look.
    #[must_use]
    pub fn demanded(&self) -> bool {
        self.at.is_some() || self.error.is_some()
    }

    /// Whether the last look succeeded; `None` before the first.
    #[must_use]
    pub fn holds(&self) -> Option<bool> {
        self.demanded().then_some(self.error.is_none())
    }
}

/// What is published contradicts what was signed before.
#[derive(Debug, Error)]
#[error("{}; evidence for `wiregrant verify proof`: {}", .what.join("; "), listed(.evidence))]
pub struct Contradiction {
    what: Vec<String>,
    evidence: Vec<PathBuf>,
}

fn listed(files: &[PathBuf]) -> String {
    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    if files.is_empty() { "none".to_owned() } else { files.join(", ") }
}

/// Looks at both logs as the control plane publishes them at one of its addresses.
///
/// # Errors
/// [`Unreadable`] when no address shows both logs with enough cosignatures, or each shows less than was seen before;
/// [`Contradiction`] when one shows another history.
pub fn look(dir: &StateDir, enrolment: &Enrolment, policy: &WitnessPolicy) -> anyhow::Result<()> {
    let seen: Witnessed = dir.read_json(FILE)?.unwrap_or_default();
    let mut last = Unreadable("the control plane has no address".to_owned());
    for url in &enrolment.urls {
        match look_at(url, dir, enrolment, policy, &seen) {
            Ok(now) if now == seen => return Ok(()),
            Ok(now) => return dir.write_json(FILE, &now),
            Err(error) => last = error.downcast::<Unreadable>()?,
        }
    }
    Err(last.into())
}

/// The newest checkpoint of the record that was seen under the pinned key or one that it has led to.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn record_seen(dir: &StateDir, enrolment: &Enrolment) -> anyhow::Result<Option<Checkpoint>> {
    let seen: Witnessed = dir.read_json(FILE)?.unwrap_or_default();
    let keys = LogKeys::read(dir, enrolment)?;
    let Some(note) = seen.record else { return Ok(None) };
    Ok(keys.record().iter().rev().find_map(|key| Checkpoint::parse_verified(&note, key).ok()))
}

/// Files in the state directory that convict somebody, kept until a person has looked at them.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn evidence(dir: &StateDir) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    match fs::read_dir(dir.file(EVIDENCE)) {
        Ok(entries) => {
            for entry in entries {
                files.push(entry?.path());
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    files.sort();
    Ok(files)
}

fn look_at(
    url: &str,
    dir: &StateDir,
    enrolment: &Enrolment,
    policy: &WitnessPolicy,
    seen: &Witnessed,
) -> anyhow::Result<Witnessed> {
    let place = Place::new(url, enrolment.pin);
    let mut keys = LogKeys::read(dir, enrolment)?;
    keys.follow_at(dir, &place)?;
    let record = Shown::at(&place, "log", keys.record(), Some(policy))?;
    let reports = Shown::at(&place, "reports", keys.reports(), Some(policy))?;
    for (shown, newest) in [(&record, keys.signs_record()), (&reports, keys.signs_reports())] {
        if shown.key != *newest {
            return Err(Unreadable(format!(
                "{url}: {} is not signed by its newest key {newest}",
                newest.name()
            ))
            .into());
        }
    }
    let (record_seen, reports_seen) =
        (size(seen.record.as_ref(), keys.record()), size(seen.reports.as_ref(), keys.reports()));
    for (name, shown, seen) in [("log", &record, record_seen), ("reports", &reports, reports_seen)] {
        let now = shown.checkpoint.size;
        if now < seen {
            return Err(Unreadable(format!(
                "{url}/{name}/checkpoint: {now} entries, and {seen} were seen before"
            ))
            .into());
        }
    }
    let into = dir.file(EVIDENCE);
    let mut found = Contradiction { what: Vec::new(), evidence: Vec::new() };
    found.another_history(&record, seen.record.iter().cloned(), &into, "record.proof")?;
    found.another_history(&reports, seen.reports.iter().cloned(), &into, "reports.proof")?;
    let (kept, _) = Acknowledgements::read(&dir.acknowledgements())?;
    let acknowledged = kept.values().filter_map(|kept| Some((kept, kept.proof.parse::<LogProof>().ok()?)));
    let acknowledged: Vec<_> = acknowledged.collect();
    let trees = acknowledged.iter().map(|(_, proof)| proof.checkpoint.clone());
    found.another_history(&reports, trees, &into, "history.proof")?;
    let published = reports_seen..reports.checkpoint.size;
    let new = acknowledged.iter().rev().filter(|(_, proof)| published.contains(&proof.index));
    for (kept, _) in new.take(MAX_LOOKED_FOR) {
        if let Found::Replaced { what, evidence } = reports.look_for(kept)? {
            found.what.push(format!("report {}: {what}", kept.sequence));
            if let Some(evidence) = evidence {
                found.evidence.push(write(&evidence, &into, &format!("report-{}.proof", kept.sequence))?);
            }
        }
    }
    if !found.what.is_empty() {
        return Err(found.into());
    }
    Ok(Witnessed { record: Some(record.note), reports: Some(reports.note) })
}

impl Contradiction {
    fn another_history(
        &mut self,
        shown: &Shown<'_>,
        signed: impl Iterator<Item = String>,
        into: &Path,
        name: &str,
    ) -> anyhow::Result<()> {
        if let Some(other) = shown.another_history(signed)? {
            self.what.push(format!("the log {} {}", shown.checkpoint.origin, other.what));
            if let Some(evidence) = other.evidence {
                self.evidence.push(write(&evidence, into, name)?);
            }
        }
        Ok(())
    }
}

/// The size of a checkpoint that was kept; 0 without one, and where the disk spoilt it.
fn size(note: Option<&String>, keys: &[Verifier]) -> u64 {
    let Some(note) = note else { return 0 };
    let checkpoint = keys.iter().rev().find_map(|key| Checkpoint::parse_verified(note, key).ok());
    checkpoint.map_or(0, |checkpoint| checkpoint.size)
}

#[cfg(test)]
mod tests;
