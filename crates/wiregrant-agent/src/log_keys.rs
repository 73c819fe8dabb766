//! `LogKeys`: the log key that was pinned when the node joined, and those that it has led to.
//!
//! A log key is followed by another one only under its own signature: its last checkpoint, which stays published as
//! `/log/checkpoint.<key id>`, covers the record's entry that names the next. Entry and proof are kept in the state directory, and
//! checked again whenever they are read, so that nothing but the pinned key has to be believed. What was acknowledged under a former key
//! stays proven by it; what is acknowledged now has to be signed by the newest.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use transparency_log::{LogError, LogProof, Verifier, inclusion_proof};
use wiregrant_core::FactError;
use wiregrant_core::record::{KeyRole, RecordEntry};

use crate::enrolment::Enrolment;
use crate::public_log::{Place, Tiles, Unreadable};
use crate::state_dir::StateDir;

const FILE: &str = "log-keys.json";
/// Where the record lies among public files.
const RECORD: &str = "log";
/// The most keys that are followed: one a week for more than a year.
const MAX_LOG_KEYS: usize = 64;

/// Why a key does not follow another.
#[derive(Debug, Error)]
pub enum NotLed {
    /// The key before has not signed it.
    #[error("the key before, {before}, has not signed it: {source}")]
    Unsigned {
        /// The key before.
        before: String,
        /// What is wrong.
        source: LogError,
    },
    /// What it has signed names none.
    #[error(
        "{entry:?} is what the key before signed last, and not a `key log` line with a new key of this log"
    )]
    NoKey {
        /// The entry.
        entry: String,
    },
}

/// What leads from a key to the next: the record's entry, and the C2SP tlog-proof that the key has signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Led {
    entry: String,
    proof: String,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct LogKeys {
    /// What leads from the pinned key to the newest.
    followed: Vec<Led>,
    record: Vec<Verifier>,
    reports: Vec<Verifier>,
}

impl LogKeys {
    /// This key alone.
    #[must_use]
    pub fn pinned(record: Verifier, reports: Verifier) -> Self {
        Self { followed: Vec::new(), record: vec![record], reports: vec![reports] }
    }

    /// The pinned key, behind those under which reports of origins before this one were acknowledged.
    ///
    /// # Errors
    /// When `node.json` was edited into something else.
    pub fn of(enrolment: &Enrolment) -> Result<Self, FactError> {
        let mut keys = Self::pinned(enrolment.record_log()?, enrolment.reports_log()?);
        let refuse = |error: LogError| FactError::Signature(format!("former_log_vkeys: {error}"));
        let of_reports = |name: &str, key: &Verifier| {
            Verifier::from_public_key(&format!("{name}/reports"), key.public_key()).map_err(refuse)
        };
        let pinned = keys.signs_record().clone();
        // Whoever joined after the origin had ended has the pinned key alone.
        let by_pinned = enrolment.former_logs.iter().map(|log| of_reports(log.as_str(), &pinned));
        let by_others = enrolment.former_log_vkeys.iter().map(|vkey| {
            let key: Verifier = vkey.parse().map_err(refuse)?;
            of_reports(key.name(), &key)
        });
        let mut former = by_pinned.chain(by_others).collect::<Result<Vec<_>, FactError>>()?;
        former.dedup();
        keys.reports.splice(0..0, former);
        Ok(keys)
    }

    /// The key that the node has pinned, and those that it has followed since.
    ///
    /// # Errors
    /// When what is kept cannot be read, or does not lead from the pinned key on.
    pub fn read(dir: &StateDir, enrolment: &Enrolment) -> anyhow::Result<Self> {
        let mut keys = Self::of(enrolment)?;
        let kept: Vec<Led> = dir.read_json(FILE)?.unwrap_or_default();
        // What led on under an origin that has ended is in `node.json` by now.
        let of_this_log = format!("key log {}+", keys.signs_record().name());
        for named in kept.into_iter().filter(|named| named.entry.starts_with(&of_this_log)) {
            keys.take(named).map_err(|error| {
                let path = dir.file(FILE);
                anyhow::Error::new(error).context(format!(
                    "{}: it does not lead on from the key in node.json; remove it, and the keys are followed again",
                    path.display()
                ))
            })?;
        }
        Ok(keys)
    }

    /// Keeps what leads to the newest key.
    ///
    /// # Errors
    /// When the file system refuses.
    fn keep(&self, dir: &StateDir) -> anyhow::Result<()> {
        dir.write_json(FILE, &self.followed)
    }

    /// The record's keys, oldest first.
    #[must_use]
    pub fn record(&self) -> &[Verifier] {
        &self.record
    }

    /// The same keys under the name of the reports log.
    #[must_use]
    pub fn reports(&self) -> &[Verifier] {
        &self.reports
    }

    /// The reports log's newest key: acknowledgements are proofs under it.
    ///
    /// # Panics
    /// Never: there is a pinned one.
    #[must_use]
    pub fn signs_reports(&self) -> &Verifier {
        self.reports.last().expect("the pinned key")
    }

    /// The record's newest key.
    ///
    /// # Panics
    /// Never: there is a pinned one.
    #[must_use]
    pub fn signs_record(&self) -> &Verifier {
        self.record.last().expect("the pinned key")
    }

    /// Follows as far as public files lead; gives whether there were newer keys.
    ///
    /// # Errors
    /// When they cannot be read, or show a key that the one before has not named under its signature. Keys that were followed before
    /// stay.
    pub fn follow(&mut self, place: &Place) -> Result<bool, Unreadable> {
        let before = self.record.len();
        while let Some((file, named)) = self.shown(place)? {
            self.take(named)
                .map_err(|error| Unreadable(format!("log key: /{file}: {error}; nobody follows it")))?;
            if self.record.len() > MAX_LOG_KEYS {
                return Err(Unreadable(format!("log key: more than {MAX_LOG_KEYS} followed one another")));
            }
        }
        Ok(self.record.len() > before)
    }

    /// As [`Self::follow`]; what was found is kept.
    ///
    /// # Errors
    /// Also when the disk does not take it.
    pub fn follow_at(&mut self, dir: &StateDir, place: &Place) -> anyhow::Result<bool> {
        let before = self.record.len();
        let followed = self.follow(place);
        if self.record.len() > before {
            self.keep(dir)?;
            tracing::warn!(vkey = %self.signs_record(), "both logs are signed by another key, which the one before has named");
        }
        Ok(followed?)
    }

    /// What is published in the name of the newest key as its last word, and the file that it is in.
    fn shown(&self, place: &Place) -> Result<Option<(String, Led)>, Unreadable> {
        let newest = self.signs_record();
        let file = format!("{RECORD}/checkpoint.{:08x}", newest.key_id());
        let Some((_, checkpoint, note)) = place.signed(&file, std::slice::from_ref(newest))? else {
            return Ok(None);
        };
        let size = checkpoint.size;
        let index = size.checked_sub(1).ok_or_else(|| Unreadable(format!("/{file}: it covers no entry")))?;
        // Files are as wide as the log has grown by now; what they say is proven by this checkpoint.
        let tiles = Tiles::new(place, RECORD, place.shown_size(RECORD)?.max(size));
        let entry = String::from_utf8(tiles.entry(index)?)
            .map_err(|_| Unreadable(format!("/{file}: the entry at {index} is not text")))?;
        let hashes = inclusion_proof(index, size, &tiles)?;
        let proof = LogProof { index, hashes, checkpoint: note, extra: None }.to_string();
        Ok(Some((file, Led { entry, proof })))
    }

    /// Takes the next key, if it is named by the last entry that the one before has signed.
    fn take(&mut self, named: Led) -> Result<(), NotLed> {
        let before = self.signs_record();
        let refused = |source| NotLed::Unsigned { before: before.to_string(), source };
        let proof: LogProof = named.proof.parse().map_err(refused)?;
        let checkpoint = proof.verify(named.entry.as_bytes(), before).map_err(refused)?;
        let no_key = || NotLed::NoKey { entry: named.entry.chars().take(200).collect() };
        let Ok(RecordEntry::Key { role: KeyRole::Log, vkey }) = named.entry.parse() else {
            return Err(no_key());
        };
        let key: Verifier = vkey.parse().map_err(|_| no_key())?;
        let is_last = proof.index.checked_add(1) == Some(checkpoint.size);
        if !is_last || key.name() != before.name() || self.record.contains(&key) {
            return Err(no_key());
        }
        let of_reports = Verifier::from_public_key(self.signs_reports().name(), key.public_key());
        self.reports.push(of_reports.map_err(|_| no_key())?);
        self.record.push(key);
        self.followed.push(named);
        Ok(())
    }
}

/// Follows at whichever of the control plane's addresses leads on, and keeps what was found; gives whether there were newer keys.
///
/// # Errors
/// When no address leads on and one could not be read or shows a key that nobody follows; when the disk does not take it.
pub fn follow(dir: &StateDir, enrolment: &Enrolment, keys: &mut LogKeys) -> anyhow::Result<bool> {
    let mut last = None;
    for url in &enrolment.urls {
        match keys.follow_at(dir, &Place::new(url, enrolment.pin)) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) => last = Some(error),
        }
    }
    last.map_or(Ok(false), Err)
}

#[cfg(test)]
mod tests;
