//! `Recording`: a change together with the entries of the record log that describe it, in one transaction.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use transparency_log::{Checkpoint, Hash, SigningKey, TileId};
use wiregrant_core::record::RecordEntry;
use wiregrant_store::{Log, Write};

use crate::control_plane::{ControlPlane, SETTING_LOG_KEY, SETTING_STATEMENT_KEY};
use crate::error::{Answer, Failure};
use crate::keys::Keys;

/// A transaction under way. Dropped without [`Self::commit`], nothing has happened.
pub struct Recording<'a> {
    plane: &'a ControlPlane,
    /// The rows' side.
    pub write: Write,
    entries: Vec<RecordEntry>,
}

impl<'a> Recording<'a> {
    /// Begins one; writers queue here.
    ///
    /// # Errors
    /// `busy` or `internal`.
    pub async fn begin(plane: &'a ControlPlane) -> Answer<Self> {
        Ok(Self { plane, write: plane.store.write().await?, entries: Vec::new() })
    }

    /// Adds an entry, to be appended at the commit.
    pub fn log(&mut self, entry: RecordEntry) {
        self.entries.push(entry);
    }

    /// Appends the entries, signs the record log's new checkpoint, and commits all of it.
    ///
    /// # Errors
    /// `busy` or `internal`; then nothing has happened.
    pub async fn commit(self) -> Answer<()> {
        let statement_key = self.plane.keys.statement.verifier().to_string();
        self.commit_as(&statement_key).await
    }

    /// As [`Self::commit`], by whoever signs statements with this key. One who has the key of before signs nothing more.
    ///
    /// # Errors
    /// `busy` or `internal`; then nothing has happened.
    pub async fn commit_as(mut self, statement_key: &str) -> Answer<()> {
        if !self.entries.is_empty() {
            let in_force = self.write.setting(SETTING_STATEMENT_KEY).await?;
            if in_force.is_some_and(|in_force| in_force != statement_key) {
                let why = "another statement key is in use by now; copy keys/statement.key and start this replica again";
                return Err(Failure::internal(why));
            }
            let entries: Vec<String> = self.entries.iter().map(ToString::to_string).collect();
            append(&mut self.write, Log::Record, &self.plane.keys, &entries).await?;
        }
        let changes_pages = self.entries.iter().any(is_on_a_page);
        self.write.commit().await?;
        if changes_pages {
            self.plane.pages_are_stale.store(true, Ordering::SeqCst);
        }
        // What is public follows from the record: reports are, from when a statement names them.
        if !self.entries.is_empty() {
            self.plane.publish.notify_one();
        }
        Ok(())
    }
}

fn is_on_a_page(entry: &RecordEntry) -> bool {
    use RecordEntry::{Batch, Forfeit, Hold, Key, Paid, Release, Statement, Terms, Void};
    let of_grants = matches!(
        entry,
        Key { .. } | Terms { .. } | Statement { .. } | Batch { .. } | Paid { .. } | Void { .. }
    );
    of_grants || matches!(entry, Hold { .. } | Release { .. } | Forfeit { .. })
}

/// Entries that were appended, with the checkpoint that covers them.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Index of the first.
    pub first_index: u64,
    /// Size of the log after the last.
    pub size: u64,
    /// The checkpoint at that size.
    pub checkpoint: String,
    /// The tiles that prove them under it.
    pub tiles: BTreeMap<TileId, Vec<Hash>>,
}

/// Appends entries to a log and signs its new checkpoint, within the transaction. One who has the log key of before signs nothing more.
///
/// # Errors
/// `busy` or `internal`.
pub async fn append(write: &mut Write, log: Log, keys: &Keys, entries: &[String]) -> Answer<Signed> {
    let in_force = keys.record.verifier().to_string();
    let sign = |size, root| checkpoint(keys.of_log(log), size, root);
    let grown = write.append_signed(log, entries, (SETTING_LOG_KEY, &in_force), sign).await?;
    let (appended, checkpoint) = grown.ok_or_else(|| {
        let why = "another log key is in use by now; copy keys/log.key and start this replica again";
        Failure::internal(why)
    })?;
    let size = appended.edge.size();
    Ok(Signed { first_index: appended.first_index, size, checkpoint, tiles: appended.tiles })
}

/// A signed checkpoint of the log whose name `key` bears.
///
/// # Errors
/// `internal`.
pub fn checkpoint(key: &SigningKey, size: u64, root: Hash) -> Answer<String> {
    Checkpoint { origin: key.name().to_owned(), size, root }.sign(key).map_err(Failure::internal)
}
