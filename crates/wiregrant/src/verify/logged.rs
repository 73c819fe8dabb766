//! Where the record names what a payout depends on. Since when this program has known an entry follows from its place
//! ([`super::Seen`]).

use std::collections::BTreeMap;

use transparency_log::Hash;
use wiregrant_core::record::RecordEntry;
use wiregrant_core::{BatchId, GrantId, OperatorId};

/// A destination as the record names it.
#[derive(Debug, Clone, Copy)]
pub struct LoggedDestination {
    /// Its number.
    pub sequence: u64,
    /// Its note's hash.
    pub hash: Hash,
    /// The entry's number.
    pub entry: u64,
}

/// A statement as the record names it.
#[derive(Debug, Clone, Copy)]
pub struct LoggedStatement {
    /// The entry's number.
    pub entry: u64,
    /// How long it may be challenged.
    pub challenge_seconds: u64,
}

/// The record's entries that a payout depends on.
#[derive(Debug, Default)]
pub struct Logged {
    statements: BTreeMap<(GrantId, u64), LoggedStatement>,
    destinations: BTreeMap<OperatorId, Vec<LoggedDestination>>,
    open: BTreeMap<BatchId, Hash>,
}

impl Logged {
    /// Takes up the record's next entry.
    pub fn take(&mut self, number: u64, entry: &RecordEntry) {
        match entry {
            RecordEntry::Statement { grant, epoch, .. } => {
                // Until its note is read nothing of it may be paid.
                let unread = LoggedStatement { entry: number, challenge_seconds: u64::MAX };
                self.statements.entry((grant.clone(), *epoch)).or_insert(unread);
            }
            RecordEntry::Destination { operator, sequence, note } => {
                let named = LoggedDestination { sequence: *sequence, hash: *note, entry: number };
                self.destinations.entry(operator.clone()).or_default().push(named);
            }
            RecordEntry::Batch { batch, note } => {
                self.open.insert(batch.clone(), *note);
            }
            RecordEntry::Paid { batch, .. } | RecordEntry::Void { batch, .. } => {
                self.open.remove(batch);
            }
            _ => {}
        }
    }

    /// Takes up how long the statement of an epoch, which was just named, may be challenged.
    pub fn open_to_challenge(&mut self, grant: &GrantId, epoch: u64, seconds: u64) {
        if let Some(named) = self.statements.get_mut(&(grant.clone(), epoch)) {
            named.challenge_seconds = seconds;
        }
    }

    /// The statement of an epoch.
    pub fn statement(&self, grant: &GrantId, epoch: u64) -> Option<LoggedStatement> {
        self.statements.get(&(grant.clone(), epoch)).copied()
    }

    /// An operator's destinations, oldest first.
    pub fn destinations(&self, operator: &OperatorId) -> &[LoggedDestination] {
        self.destinations.get(operator).map_or(&[], Vec::as_slice)
    }

    /// The batches that are neither paid nor void, and their notes' hashes.
    pub fn open_batches(&self) -> &BTreeMap<BatchId, Hash> {
        &self.open
    }
}
