//! `LogKeys`: the keys that a record has been signed with, one after the other, and the log before it that it continues.
//!
//! A new log key is followed only under a checkpoint of the one before it. That checkpoint stays published as
//! `/log/checkpoint.<key id of the old key>`: its last entry is the one that names the new key, and it is a state of this log. So whoever
//! pinned any of the keys gets to the newest by signatures alone. A log with another name is followed where its first entry
//! says that it continues the pinned one, and the pinned key itself signs it; what the log before it held beyond what was seen
//! nobody can tell, which is said.

use transparency_log::{Checkpoint, Hash, Verifier};
use wiregrant_core::note::Origin;

use super::CouldNotCheck;
use super::carried::Carried;
use super::difference::Difference;
use super::finding::{Finding, NO_SUCH_FILE};
use super::log::{MAX_CHECKPOINT_BYTES, PublicLog};
use super::memory::Memory;
use super::source::{Reading, Source};

/// See the module.
#[derive(Default)]
pub struct LogKeys {
    /// In their order; the last one signs now.
    keys: Vec<Verifier>,
    /// The first of those from which signatures lead to the last.
    leads_from: usize,
    /// Where the entry stands that names the last one.
    newest_at: u64,
    /// The log before this one.
    before: Option<Carried>,
}

/// Where the last checkpoint of a former log key lies.
fn last_checkpoint(key: &Verifier) -> String {
    format!("log/checkpoint.{:08x}", key.key_id())
}

impl LogKeys {
    /// Whether no key was named yet.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A key that signs from entry `number` on.
    ///
    /// # Errors
    /// When the last checkpoint of the key before it cannot be read.
    pub fn next(
        &mut self,
        number: u64,
        key: Verifier,
        source: &Source,
        log: &PublicLog,
    ) -> Result<Option<Difference>, CouldNotCheck> {
        let differs = if key.name() != log.checkpoint.origin {
            Some(Difference::new("log key", format!("a key named {}", log.checkpoint.origin), &key))
        } else if self.keys.contains(&key) {
            Some(Difference::new("log key", "a key that was not one before", &key))
        } else {
            match self.keys.last() {
                Some(before) => handed_over(before, number, source, log)?,
                None => None,
            }
        };
        if differs.is_some() {
            self.leads_from = self.keys.len();
        }
        self.keys.push(key);
        self.newest_at = number;
        Ok(differs)
    }

    /// The log says which one it continues.
    pub fn continues(&mut self, origin: &Origin, size: u64, root: Hash) {
        self.before = Some(Carried::new(origin.clone(), size, root));
    }

    /// The log before this one, as far as this one carries it over.
    pub fn before(&self) -> Option<&Carried> {
        self.before.as_ref()
    }

    /// The same, while it is read.
    pub fn before_mut(&mut self) -> Option<&mut Carried> {
        self.before.as_mut()
    }

    /// The finding, if the checkpoint is signed by another key than the newest.
    pub fn newest_signs(&self, log: &PublicLog) -> Option<Finding> {
        let newest = self.keys.last();
        if newest == Some(&log.verifier) {
            return None;
        }
        let place = match newest {
            Some(key) => format!("/{} entry {} `key log {key}`", log.prefix, self.newest_at),
            None => format!("/{}", log.prefix),
        };
        let found = newest.map_or_else(|| "none".to_owned(), ToString::to_string);
        Some(Finding::new("log key", place, format!("an entry `key log {}`", log.verifier), found))
    }

    /// The findings of keys that are trusted from before and lead by no signature to the one that signs now.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub fn follow(&self, log: &PublicLog, memory: &Memory) -> Result<Vec<Finding>, CouldNotCheck> {
        let mut found = Vec::new();
        let leading = self.keys.get(self.leads_from..).unwrap_or_default();
        for pin in &log.pins {
            let key = &pin.key;
            let origin = record_origin(key, log.prefix);
            let is_same_log = leading.iter().any(|known| known.name() == origin);
            let signed = leading.iter().any(|known| known.public_key() == key.public_key());
            let continued = self.before.as_ref().filter(|before| before.names(origin));
            match continued {
                _ if signed && is_same_log => {}
                Some(before) if signed && log.prefix == "log" => {
                    found.extend(held_against(before, origin, log, key, memory)?);
                }
                // The reports that statements name are held against them.
                Some(_) if signed => {}
                _ => found.push(pin.unfollowed(log.prefix, &log.verifier)),
            }
        }
        Ok(found)
    }

    /// What nobody can tell from here about the log before this one.
    pub fn not_shown(&self) -> Option<String> {
        let before = self.before.as_ref()?;
        let (origin, size, carried) = (&before.origin, before.size, before.count());
        if carried == size {
            return Some(format!(
                "what {origin} had beyond the {size} entries that this log carries over of it"
            ));
        }
        Some(format!(
            "{} of the {size} entries of {origin}, which this log continues: it carries {carried} over and does not show the others; a \
             mirror of that log does",
            size.saturating_sub(carried)
        ))
    }
}

/// The finding, if more was seen of a log that is carried over, or something else.
fn held_against(
    before: &Carried,
    origin: &str,
    log: &PublicLog,
    key: &Verifier,
    memory: &Memory,
) -> Result<Option<Finding>, CouldNotCheck> {
    let Some(kept) = memory.kept(origin, key)? else { return Ok(None) };
    let Carried { size, root, .. } = before;
    let place = format!("/{} entry 0 `continues {} {size} {root}`", log.prefix, before.origin);
    let is_newest = before.origin.as_str() == origin;
    let known =
        before.root_at(origin, kept.size).or_else(|| (is_newest && kept.size == *size).then_some(*root));
    Ok(match known {
        Some(root) if root == kept.root => None,
        Some(root) => {
            let expected = format!("root {} of the first {} entries, which was seen", kept.root, kept.size);
            Some(Finding::new("continues", place, expected, root))
        }
        // Within what was lost and is known to have been there.
        None if is_newest && kept.size < *size => None,
        None => {
            let expected = format!("{} entries or more, which were seen of it", kept.size);
            Some(Finding::new("continues", place, expected, format!("{size} entries")))
        }
    })
}

/// The record's name for a key of either log.
fn record_origin<'a>(key: &'a Verifier, prefix: &str) -> &'a str {
    match prefix {
        "log" => key.name(),
        _ => key.name().strip_suffix("/reports").unwrap_or(key.name()),
    }
}

/// What is wrong with the last checkpoint of a key that another one follows at entry `number`.
fn handed_over(
    before: &Verifier,
    number: u64,
    source: &Source,
    log: &PublicLog,
) -> Result<Option<Difference>, CouldNotCheck> {
    let path = last_checkpoint(before);
    let differs = |expected: String, found: String| {
        Ok(Some(Difference::new(format!("last checkpoint of the key before, /{path}"), expected, found)))
    };
    let expected = format!("one signed by {before} that ends with this entry");
    let note = match source.read(&path, MAX_CHECKPOINT_BYTES)? {
        Reading::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Reading::Absent => return differs(expected, NO_SUCH_FILE.to_owned()),
        Reading::TooLong => return differs(expected, format!("more than {MAX_CHECKPOINT_BYTES} bytes")),
    };
    let checkpoint = match Checkpoint::parse_verified(&note, before) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return differs(expected, error.to_string()),
    };
    // Nothing beyond this entry is in it: who has the former key by then signs nothing that anybody follows.
    let size = number.saturating_add(1);
    if checkpoint.size != size {
        return differs(
            format!("{size} entries, the last of which is this one"),
            checkpoint.size.to_string(),
        );
    }
    let root = log.root_at(source, checkpoint.size)?;
    if root != checkpoint.root {
        return differs(format!("root {root}, of these entries"), checkpoint.root.to_string());
    }
    Ok(None)
}
