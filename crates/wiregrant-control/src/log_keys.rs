//! `LogKeys`: the keys that have signed both logs, one after the other, as the record names them.
//!
//! What the database keeps is what was signed then. Where it is shown, the key that signs now adds its line below: the text, and with it
//! the tree and what witnesses have cosigned, stays the same. So whoever still has the former key verifies it, and whoever has followed
//! to the present one does. A checkpoint that none of the record's keys has signed is shown to nobody.

use transparency_log::{Checkpoint, LogError, Note, NoteSignature, SigningKey, Verifier};
use wiregrant_core::record::{KeyRole, RecordEntry};
use wiregrant_store::{Log, Read};

use crate::keys::Keys;

/// See the module.
#[derive(Debug, Clone)]
pub struct LogKeys {
    record: OfLog,
    reports: OfLog,
    /// Where each of the record's keys but the first is named.
    named_at: Vec<u64>,
}

/// The same keys under one log's name.
#[derive(Debug, Clone)]
struct OfLog {
    /// Signs now.
    key: SigningKey,
    /// In their order, the present one among them.
    all: Vec<Verifier>,
}

/// The last checkpoint of a key that another one follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedOver {
    /// Whose it is.
    pub key: Verifier,
    /// How many entries it covers; the last of them names the key that follows.
    pub size: u64,
}

impl HandedOver {
    /// Its file below the public folder of the record.
    #[must_use]
    pub fn file(key: &Verifier) -> String {
        format!("checkpoint.{:08x}", key.key_id())
    }
}

impl LogKeys {
    /// The record's keys as it names them, and the one that is at hand.
    ///
    /// # Errors
    /// Those of the database; an entry that names no key.
    pub async fn read(read: &mut Read, keys: &Keys) -> anyhow::Result<Self> {
        let (mut all, mut named_at) = (Vec::new(), Vec::new());
        for (index, entry) in read.entries_beginning("key log ").await? {
            let RecordEntry::Key { role: KeyRole::Log, vkey } = entry.parse()? else { continue };
            let key: Verifier = vkey.parse()?;
            if key.name() != keys.record.name() {
                continue; // another origin's, which this record continues
            }
            if !all.is_empty() {
                named_at.push(index);
            }
            all.push(key);
        }
        let present = keys.record.verifier();
        if !all.contains(&present) {
            all.push(present);
        }
        let name = keys.reports.name();
        let of_reports = all.iter().map(|key| Verifier::from_public_key(name, key.public_key()));
        let reports = OfLog { key: keys.reports.clone(), all: of_reports.collect::<Result<_, _>>()? };
        Ok(Self { record: OfLog { key: keys.record.clone(), all }, reports, named_at })
    }

    /// With a key that is at hand and may follow the present one.
    ///
    /// # Errors
    /// Those of the reports log's name.
    pub fn and(mut self, next: Option<&SigningKey>) -> Result<Self, LogError> {
        if let Some(next) = next.map(SigningKey::verifier) {
            let of_reports = Verifier::from_public_key(self.reports.key.name(), next.public_key())?;
            for (keys, key) in [(&mut self.record.all, next), (&mut self.reports.all, of_reports)] {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        Ok(self)
    }

    /// The keys under a log's name, in their order.
    #[must_use]
    pub fn of(&self, log: Log) -> &[Verifier] {
        &self.of_log(log).all
    }

    fn of_log(&self, log: Log) -> &OfLog {
        match log {
            Log::Record => &self.record,
            Log::Reports => &self.reports,
        }
    }

    /// The last checkpoints of the keys that were followed by another.
    pub fn handed_over(&self) -> impl Iterator<Item = HandedOver> {
        let followed = self.record.all.iter().zip(&self.named_at);
        followed.map(|(key, index)| HandedOver { key: key.clone(), size: index.saturating_add(1) })
    }

    /// A checkpoint that one of a log's keys has signed.
    ///
    /// # Errors
    /// Those of the newest key, where none has.
    pub fn checkpoint(&self, log: Log, note: &str) -> Result<Checkpoint, LogError> {
        verified(self.of(log), note)
    }

    /// The same checkpoint with the line of the key that signs now.
    ///
    /// # Errors
    /// Where none of the log's keys has signed it.
    pub fn under_the_present_key(&self, log: Log, note: &str) -> Result<String, LogError> {
        let OfLog { key, all } = self.of_log(log);
        verified(all, note)?;
        let parsed = Note::parse(note)?;
        if parsed.verified_by(&key.verifier()).is_ok() {
            return Ok(note.to_owned());
        }
        let line: NoteSignature = key.sign_line(&parsed.text).parse()?;
        Ok(parsed.with_line(&line)?.to_string())
    }
}

/// A checkpoint that one of these keys has signed, the newest first.
///
/// # Errors
/// Those of the newest key, where none has.
pub fn verified(keys: &[Verifier], note: &str) -> Result<Checkpoint, LogError> {
    let mut newest = None;
    for key in keys.iter().rev() {
        match Checkpoint::parse_verified(note, key) {
            Ok(checkpoint) => return Ok(checkpoint),
            Err(error) => drop(newest.get_or_insert(error)),
        }
    }
    Err(newest.unwrap_or(LogError::SignatureCount { count: 0, limit: 0 }))
}

/// The note with the lines of these keys and no others.
///
/// # Errors
/// What is no note.
pub fn with_lines_of(keys: &[Verifier], note: &str) -> Result<String, LogError> {
    let mut note = Note::parse(note)?;
    let is_by = |line: &NoteSignature, key: &Verifier| line.name == key.name() && line.key_id == key.key_id();
    note.signatures.retain(|line| keys.iter().any(|key| is_by(line, key)));
    Ok(note.to_string())
}
