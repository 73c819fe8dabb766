//! Entries that speak of logs: their keys, and which log this one continues.

use transparency_log::Verifier;
use wiregrant_core::record::{KeyRole, RecordEntry};

use super::{Replay, unknown};
use crate::verify::CouldNotCheck;
use crate::verify::carried::Carried;
use crate::verify::difference::Difference;

/// Whether an entry names the statement key of the log `own`, before which that log carries another over.
pub(super) fn own_statement_key(before: &Carried, entry: &RecordEntry, own: &str) -> bool {
    let RecordEntry::Key { role: KeyRole::Statement, vkey } = entry else { return false };
    vkey.parse().is_ok_and(|key| before.ends_with(&key, own))
}

impl Replay<'_> {
    /// The log that notes name which are logged here: this one, or the one that is carried over.
    pub(super) fn named_log(&self) -> &str {
        let before = self.record.log_keys.before().and_then(Carried::named_log);
        before.unwrap_or(self.log.checkpoint.origin.as_str())
    }

    /// Keys, and where this log comes from.
    pub(super) fn of_log(
        &mut self,
        number: u64,
        entry: &RecordEntry,
    ) -> Result<Vec<Difference>, CouldNotCheck> {
        let mut differs = Vec::new();
        match entry {
            RecordEntry::Continues { origin, size, root } if number == 0 => {
                self.continues = true;
                self.record.log_keys.continues(origin, *size, *root);
                if let Some(audit) = &mut self.audit {
                    audit.add_log(origin);
                }
            }
            RecordEntry::Continues { origin, .. } => {
                let before = self.record.log_keys.before_mut().filter(|before| before.is_open());
                differs.extend(match before {
                    Some(before) => before.continues(origin),
                    None => Some(Difference::new("continues", "the first entry", format!("entry {number}"))),
                });
                if let Some(audit) = &mut self.audit {
                    audit.add_log(origin);
                }
            }
            RecordEntry::Key { role, vkey } => differs.extend(self.key(number, *role, vkey)?),
            _ => {}
        }
        if number == u64::from(self.continues) && self.record.log_keys.is_empty() {
            differs.push(Difference::new("log key", "`key log` as the first entry", entry));
        }
        Ok(differs)
    }

    /// A key of this log, or of the one that is carried over.
    fn key(&mut self, number: u64, role: KeyRole, vkey: &str) -> Result<Vec<Difference>, CouldNotCheck> {
        let mut differs = Vec::new();
        let Ok(verifier) = vkey.parse::<Verifier>() else { return Ok(vec![unknown("key", &vkey)]) };
        let own = &self.log.checkpoint.origin;
        let before = self.record.log_keys.before_mut().filter(|before| number > 1 && before.is_open());
        match (role, before) {
            (KeyRole::Log, Some(before)) => {
                // One of the log before, which was followed there.
                let is_its = before.is_log_key(&verifier);
                let expected = format!("a key named {}", before.origin);
                differs.extend((!is_its).then(|| Difference::new("log key", expected, &verifier)));
            }
            (KeyRole::Log, None) => {
                let keys = &mut self.record.log_keys;
                differs.extend(keys.next(number, verifier, self.source, self.log)?);
            }
            (KeyRole::Statement, before) => {
                match before {
                    Some(before) if before.ends_with(&verifier, own) => differs.extend(before.end()),
                    Some(before) => before.statement_key(&verifier),
                    None => {}
                }
                if self.record.statement_keys.contains(&verifier) {
                    let expected = "one that was not used before";
                    differs.push(Difference::new("statement key", expected, verifier));
                } else {
                    self.record.statement_keys.push(verifier);
                }
            }
        }
        Ok(differs)
    }
}
