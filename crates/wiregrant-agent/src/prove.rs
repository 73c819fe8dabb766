//! `wiregrant-agent prove`: that every acknowledged report of this node is in the log, as somebody shows it, and
//! evidence against the log where one is not. It asks the control plane for nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use transparency_log::{
    Checkpoint, LogProof, Verifier, WitnessPolicy, consistency_proof, inclusion_proof, leaf_hash, tree_root,
    verify_consistency, verify_inclusion,
};
use wiregrant_core::evidence::Evidence;
use wiregrant_core::note::Signed;
use wiregrant_core::record::report_entry;
use wiregrant_core::usage_report::UsageReport;

use crate::acknowledgements::{Acknowledgements, Kept};
use crate::log_keys::LogKeys;
use crate::public_log::{Place, Tiles, Unreadable};
use crate::state_dir::StateDir;

/// Where the log's public part with reports lies.
const REPORTS: &str = "reports";

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Proved {
    /// How many reports are proven to be in the log.
    pub proven: usize,
    /// The entries that the log has, as it was shown.
    pub log_size: u64,
    /// Reports whose place lies beyond the log as it was shown, so that nothing is proven of them: they are published with the
    /// next statement, or the copy is old.
    pub beyond: Vec<u64>,
    /// What contradicts an acknowledgement, a line each.
    pub missing: Vec<String>,
    /// Files that prove it to anybody.
    pub evidence: Vec<PathBuf>,
    /// Lines of the store that the disk has lost.
    pub damaged: usize,
}

impl Proved {
    /// Whether nothing contradicts an acknowledgement.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.missing.is_empty()
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text =
            format!("{} acknowledged reports are in the log of {} entries\n", self.proven, self.log_size);
        if let (Some(first), Some(last)) = (self.beyond.first(), self.beyond.last()) {
            text += &format!(
                "{} reports, {first} to {last}, lie beyond it, and nothing is shown of them: reports are published with the next \
                 statement; if one names them already, this copy is old\n",
                self.beyond.len()
            );
        }
        self.missing.iter().for_each(|missing| text += &format!("MISSING: {missing}\n"));
        for file in &self.evidence {
            text += &format!("evidence: {}, for `wiregrant verify proof`\n", file.display());
        }
        if self.damaged > 0 {
            text += &format!("{} kept acknowledgements were lost by the disk\n", self.damaged);
        }
        text
    }
}

/// Looks for every kept report in the log at `place`. Evidence is written into the folder `into`.
///
/// # Errors
/// When the node has not joined, nothing is kept, or the log cannot be read or is not the pinned one: then nothing is proven.
pub fn prove(
    dir: &StateDir,
    place: &str,
    policy: Option<&WitnessPolicy>,
    into: &Path,
) -> anyhow::Result<Proved> {
    let enrolment = dir.joined()?;
    let mut keys = LogKeys::read(dir, &enrolment)?;
    let (kept, damaged) = Acknowledgements::read(&dir.acknowledgements())?;
    // A mirror has a certificate of its own.
    let is_own = enrolment.urls.iter().any(|url| url.trim_end_matches('/') == place.trim_end_matches('/'));
    let place = Place::new(place, enrolment.pin.filter(|_| is_own));
    // A copy may be older than the newest key, and nothing of it is asked but whether the reports are there.
    keys.follow(&place)?;
    let shown = Shown::at(&place, REPORTS, keys.reports(), policy)?;
    let mut proved = Proved { log_size: shown.checkpoint.size, damaged, ..Proved::default() };
    for kept in kept.values() {
        match shown.look_for(kept)? {
            Found::Proven => proved.proven += 1,
            Found::Beyond => proved.beyond.push(kept.sequence),
            Found::Replaced { what, evidence } => {
                proved.missing.push(format!("report {}: {what}", kept.sequence));
                if let Some(evidence) = evidence {
                    let name = format!("report-{}.proof", kept.sequence);
                    proved.evidence.push(write(&evidence, into, &name).context("--evidence")?);
                }
            }
        }
    }
    let acknowledged = kept.values().filter_map(|kept| kept.proof.parse::<LogProof>().ok());
    if let Some(other) = shown.another_history(acknowledged.map(|proof| proof.checkpoint))? {
        proved.missing.push(format!("the log {}", other.what));
        if let Some(evidence) = other.evidence {
            proved.evidence.push(write(&evidence, into, "history.proof").context("--evidence")?);
        }
    }
    Ok(proved)
}

/// Writes a file that convicts somebody; gives where it lies.
pub(crate) fn write(evidence: &Evidence, into: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = into.join(name);
    fs::create_dir_all(into)
        .and_then(|()| fs::write(&path, evidence.to_string()))
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// A log as it is shown.
pub(crate) struct Shown<'a> {
    /// The keys that have signed it, the newest last.
    keys: Vec<Verifier>,
    /// The one that has signed this checkpoint.
    pub(crate) key: Verifier,
    pub(crate) checkpoint: Checkpoint,
    /// The checkpoint, signed.
    pub(crate) note: String,
    tiles: Tiles<'a>,
}

/// What stands at a report's place.
pub(crate) enum Found {
    Proven,
    Beyond,
    Replaced { what: String, evidence: Option<Box<Evidence>> },
}

/// Another history than one that was signed before.
pub(crate) struct OtherHistory {
    /// In words.
    pub(crate) what: String,
    /// Absent where two keys of the log have signed the two, which no file shows to others yet.
    pub(crate) evidence: Option<Evidence>,
}

impl<'a> Shown<'a> {
    /// The log under one of its keys, which lies below `prefix`, under a checkpoint that enough witnesses have cosigned.
    pub(crate) fn at(
        place: &'a Place,
        prefix: &'static str,
        keys: &[Verifier],
        policy: Option<&WitnessPolicy>,
    ) -> Result<Self, Unreadable> {
        let (key, checkpoint, note) = place.checkpoint(prefix, keys, policy)?;
        let tiles = Tiles::new(place, prefix, checkpoint.size);
        Ok(Self { keys: keys.to_owned(), key, checkpoint, note, tiles })
    }

    pub(crate) fn look_for(&self, kept: &Kept) -> anyhow::Result<Found> {
        let report: Signed<UsageReport> = Signed::parse(&kept.note)
            .with_context(|| format!("the kept report {} cannot be read", kept.sequence))?;
        let entry = report_entry(report.hash());
        let acknowledged: LogProof =
            kept.proof.parse().with_context(|| format!("the kept proof of report {}", kept.sequence))?;
        let Checkpoint { size, root, .. } = &self.checkpoint;
        let index = acknowledged.index;
        if index >= *size {
            return Ok(Found::Beyond);
        }
        let hashes = inclusion_proof(index, *size, &self.tiles)?;
        if verify_inclusion(&leaf_hash(entry.as_bytes()), index, *size, &hashes, root).is_ok() {
            return Ok(Found::Proven);
        }
        // Of a log of another name that this one continues: it was acknowledged there, and comes to stand elsewhere here.
        if acknowledged.checkpoint.lines().next() != Some(self.key.name()) {
            return Ok(Found::Beyond);
        }
        // Another entry stands there, or the tiles are not those of the checkpoint.
        let leaf = self.tiles.leaf(index)?;
        verify_inclusion(&leaf, index, *size, &hashes, root)
            .map_err(|error| Unreadable(format!("the tiles are not those of the checkpoint: {error}")))?;
        let other = self.tiles.entry(index)?;
        if leaf_hash(&other) != leaf {
            return Err(Unreadable(format!("the entry at {index} is not that of its tile")).into());
        }
        let what = format!("{:?} stands at its place, index {index}", String::from_utf8_lossy(&other));
        let later = LogProof { index, hashes, checkpoint: self.note.clone(), extra: None };
        let evidence = String::from_utf8(other).ok().and_then(|other| {
            self.convicting(|log| Evidence::TwoEntries {
                log,
                entries: [entry.clone(), other.clone()],
                proofs: [kept.proof.clone(), later.to_string()],
            })
        });
        Ok(Found::Replaced { what, evidence: evidence.map(Box::new) })
    }

    /// Evidence where the log does not continue the largest of these signed trees that it has outgrown.
    pub(crate) fn another_history(
        &self,
        signed: impl Iterator<Item = String>,
    ) -> anyhow::Result<Option<OtherHistory>> {
        let size = self.checkpoint.size;
        let outgrown = signed.filter_map(|note| {
            let mut signed = self.keys.iter().rev().map(|key| Checkpoint::parse_verified(&note, key));
            let checkpoint = signed.find_map(Result::ok)?;
            (1..=size).contains(&checkpoint.size).then_some((checkpoint, note))
        });
        let Some((old, note)) = outgrown.max_by_key(|(checkpoint, _)| checkpoint.size) else {
            return Ok(None);
        };
        // Proved before it is compared: tiles of the old tree beside a checkpoint of another one are no continuation.
        let (root, proof) = if old.size == size {
            (self.checkpoint.root, Vec::new())
        } else {
            let root = tree_root(old.size, &self.tiles)?;
            let proof = consistency_proof(old.size, size, &self.tiles)?;
            verify_consistency(old.size, &root, size, &self.checkpoint.root, &proof)
                .map_err(|error| Unreadable(format!("the tiles are not those of the checkpoint: {error}")))?;
            (root, proof)
        };
        if root == old.root {
            return Ok(None);
        }
        let evidence = self.convicting(|log| Evidence::TwoHistories {
            log,
            checkpoints: [note.clone(), self.note.clone()],
            root,
            proof: proof.clone(),
        });
        let what = match evidence.as_ref().map(Evidence::check) {
            Some(Ok(proven)) => proven.of,
            _ => format!(
                "shows the root {root} of its first {} entries; {} was signed by a former key of it",
                old.size, old.root
            ),
        };
        Ok(Some(OtherHistory { what, evidence }))
    }

    /// The evidence under the key that has signed all of it, if one has.
    fn convicting(&self, evidence: impl Fn(Verifier) -> Evidence) -> Option<Evidence> {
        let mut all = self.keys.iter().rev().cloned().map(evidence);
        all.find(|evidence| evidence.check().is_ok())
    }
}

#[cfg(test)]
pub(crate) mod tests;
