//! The publisher: keeps the public folder equal to the database.
//!
//! It runs after commits, never inside of them, and writes what is missing: tiles and bundles first, a log's checkpoint
//! last, each file whole or not at all. So a mirror that copies the folder at any moment finds every tile that its
//! checkpoint asks for; and a crash between a commit and the files is mended by the next run, because what to write
//! follows from the database alone.
//!
//! The record is published as it grows. The reports log is published only as far as the newest statement names it: were it
//! public report by report, whoever looks often would see when a node reports and when it does not, which with few nodes is
//! when it was up. A report is proved to its node at once, by the acknowledgement.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use thiserror::Error;
use transparency_log::{
    Checkpoint, Hash, LogError, Note, TILE_WIDTH, TileId, bundle_path, encode_bundle, encode_tile,
    tiles_between,
};
use wiregrant_core::manifest::{MANIFEST_PATH, Manifest};
use wiregrant_core::note::{NoteText as _, Signed};
use wiregrant_core::record::RecordEntry;
use wiregrant_store::{Log, Store, StoreError};

use crate::control_plane::{ControlPlane, Shared};
use crate::cosignatures::Cosigners;
use crate::error::Failure;
use crate::file::{self, Readers};
use crate::log_keys::{HandedOver, LogKeys, with_lines_of};
use crate::pages_of_grants;

/// The least time between two publications: a burst of reports is one.
const PAUSE_MILLISECONDS: u64 = 500;
/// Without a commit that says so, it looks this often whether something is missing.
const LOOK_SECONDS: u64 = 60;
const MAX_CHECKPOINT_BYTES: u64 = 64 * 1024;
const HASH_BYTES: u64 = 32;
/// The setting with the size of the reports log that the newest statement names, written with that statement.
pub const SETTING_REPORTS_NAMED: &str = "reports_named";

/// Why the public folder could not be brought up to date.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder.
    #[error(transparent)]
    File(#[from] io::Error),
    /// A log that cannot be written as tiles.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The folder holds what this database cannot have published.
    #[error("{folder}: {why}")]
    AnotherLog {
        /// The log's folder.
        folder: String,
        /// What is wrong, and the way out.
        why: String,
    },
    /// A page that cannot be rendered.
    #[error("pages: {0}")]
    Page(String),
}

impl From<Failure> for PublishError {
    fn from(failure: Failure) -> Self {
        Self::Page(failure.to_string())
    }
}

/// Publishes whenever the record has grown, and now and then without that, until told to stop.
pub async fn run(plane: Shared) {
    let mut stopped = std::pin::pin!(plane.stopped());
    loop {
        tokio::select! {
            () = plane.publish.notified() => {}
            () = tokio::time::sleep(Duration::from_secs(LOOK_SECONDS)) => {}
            () = &mut stopped => break,
        }
        publish_or_say(&plane).await;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(PAUSE_MILLISECONDS)) => {}
            () = &mut stopped => break,
        }
    }
    publish_or_say(&plane).await; // what was committed while we stopped
}

async fn publish_or_say(plane: &ControlPlane) {
    if let Err(error) = publish(plane).await {
        tracing::error!(%error, "the public folder is behind; it is tried again");
    }
}

/// Refuses a folder that another log was published in, or that is ahead of the database. Whoever restored a database from
/// a backup would otherwise sign a second history of the same log.
///
/// # Errors
/// [`PublishError::AnotherLog`].
pub async fn refuse_another_log(plane: &ControlPlane) -> Result<(), PublishError> {
    for log in Log::ALL {
        let size = plane.store.read().await?.log_size(log).await?;
        published(plane, log).refuse_another(size)?;
    }
    Ok(())
}

/// Brings the folder up to date with the database, and looks at every file that should be there. Witnesses are asked at the next
/// publication: a start waits for nobody.
///
/// # Errors
/// Whatever the database or the folder refuses.
pub async fn reconcile(plane: &ControlPlane) -> Result<(), PublishError> {
    bring_up_to_date(plane, Look::AtEverything).await
}

/// Brings the folder up to date with the database, trusting the files that were written before.
///
/// # Errors
/// Whatever the database or the folder refuses.
pub async fn publish(plane: &ControlPlane) -> Result<(), PublishError> {
    bring_up_to_date(plane, Look::AtWhatIsNew(&plane.cosigners)).await
}

/// What of the folder is looked at.
#[derive(Clone, Copy)]
enum Look<'a> {
    /// Whatever should be there; no witness is asked.
    AtEverything,
    /// What came after the published checkpoints, which these witnesses are asked to cosign.
    AtWhatIsNew(&'a Cosigners),
}

impl<'a> Look<'a> {
    /// The size of a log from which on it is looked at.
    fn since(self, log: &PublishedLog) -> Result<u64, PublishError> {
        match self {
            Self::AtEverything => Ok(0),
            Self::AtWhatIsNew(_) => log.published_size(),
        }
    }

    fn cosigners(self) -> Option<&'a Cosigners> {
        match self {
            Self::AtEverything => None,
            Self::AtWhatIsNew(cosigners) => Some(cosigners),
        }
    }
}

/// Writes what is missing. The record speaks of reports and notes, so its checkpoint is taken first and published last: whoever
/// reads the folder at any moment finds all that the record they see speaks of.
async fn bring_up_to_date(plane: &ControlPlane, look: Look<'_>) -> Result<(), PublishError> {
    let (record, reports) = (published(plane, Log::Record), published(plane, Log::Reports));
    let newest_of_record = plane.store.read().await?.newest_checkpoint(Log::Record).await?;
    let named = named_reports(&plane.store).await?;
    reports.publish(&plane.store, look.cosigners(), look.since(&reports)?, named).await?;
    let notes = match look {
        Look::AtEverything => plane.store.read().await?.public_note_hashes().await?,
        Look::AtWhatIsNew(_) => {
            let size = newest_of_record.as_ref().map_or(0, |(size, _)| *size);
            notes_named_between(&plane.store, record.published_size()?, size).await?
        }
    };
    publish_notes(plane, &notes).await?;
    record.publish(&plane.store, look.cosigners(), look.since(&record)?, newest_of_record).await?;
    publish_pages(plane).await
}

/// The reports log as the newest statement names it, with its checkpoint; without entries before the first statement.
async fn named_reports(store: &Store) -> Result<Option<(u64, String)>, PublishError> {
    let mut read = store.read().await?;
    let size = read.setting(SETTING_REPORTS_NAMED).await?;
    let size = size.and_then(|size| size.parse().ok()).unwrap_or_default();
    Ok(read.checkpoint_at(Log::Reports, size).await?.map(|note| (size, note)))
}

/// Pages are rendered once for each statement, batch or terms, and not for every report.
async fn publish_pages(plane: &ControlPlane) -> Result<(), PublishError> {
    if !plane.pages_are_stale.swap(false, Ordering::SeqCst) {
        return Ok(());
    }
    let published = pages_of_grants::publish(plane).await;
    if published.is_err() {
        plane.pages_are_stale.store(true, Ordering::SeqCst);
    }
    published
}

/// The hashes of the notes that the record's entries from one size to another make public. All notes there are would be as many
/// files to look for at each of two publications a second.
async fn notes_named_between(store: &Store, from: u64, to: u64) -> Result<Vec<Hash>, PublishError> {
    let mut read = store.read().await?;
    let (mut hashes, mut at) = (Vec::new(), from);
    while at < to {
        let count = u64::from(TILE_WIDTH).min(to - at);
        for entry in read.entries(Log::Record, at, count).await? {
            match entry.parse() {
                Ok(
                    RecordEntry::Rekey { note, .. }
                    | RecordEntry::Terms { note, .. }
                    | RecordEntry::Statement { note, .. },
                ) => hashes.push(note),
                // A batch's note is public once it is paid, not when it is frozen.
                Ok(RecordEntry::Paid { batch, .. }) => {
                    hashes.extend(read.batch(&batch).await?.map(|batch| batch.note_hash));
                }
                _ => {}
            }
        }
        at += count;
    }
    Ok(hashes)
}

/// Notes that everyone may read, each a file named by its hash.
async fn publish_notes(plane: &ControlPlane, hashes: &[Hash]) -> Result<(), PublishError> {
    let folder = plane.config.public_dir.join("log/note");
    file::make_folder(&folder, Readers::Everyone)?;
    let mut read = plane.store.read().await?;
    for hash in hashes {
        let path = folder.join(hash.to_hex());
        if !path.exists()
            && let Some(note) = read.public_note(*hash).await?
        {
            file::write_whole(&path, note.as_bytes(), Readers::Everyone)?;
        }
    }
    Ok(())
}

fn published(plane: &ControlPlane, log: Log) -> PublishedLog {
    let (name, key) = match log {
        Log::Record => ("log", &plane.keys.record),
        Log::Reports => ("reports", &plane.keys.reports),
    };
    let vkey = key.verifier().to_string();
    PublishedLog { log, folder: plane.config.public_dir.join(name), vkey, keys: plane.log_keys.clone() }
}

/// One log's part of the folder.
struct PublishedLog {
    log: Log,
    folder: PathBuf,
    /// Of the key that signs now.
    vkey: String,
    keys: LogKeys,
}

impl PublishedLog {
    /// The published checkpoint with its note, where it is ours.
    fn published(&self) -> Result<Option<(Checkpoint, String)>, PublishError> {
        let note = file::read_if_there(&self.folder.join("checkpoint"), MAX_CHECKPOINT_BYTES)?;
        let read = |note: String| Some((self.keys.checkpoint(self.log, &note).ok()?, note));
        Ok(note.and_then(read))
    }

    /// The size that the published checkpoint tells; 0 where there is none that is ours.
    fn published_size(&self) -> Result<u64, PublishError> {
        Ok(self.published_checkpoint()?.map_or(0, |checkpoint| checkpoint.size))
    }

    /// The published checkpoint; `None` where there is none that is ours.
    fn published_checkpoint(&self) -> Result<Option<Checkpoint>, PublishError> {
        Ok(self.published()?.map(|(checkpoint, _)| checkpoint))
    }

    fn refuse_another(&self, size: u64) -> Result<(), PublishError> {
        let refuse = |why| Err(PublishError::AnotherLog { folder: self.folder.display().to_string(), why });
        let vkey = file::read_if_there(&self.folder.join("vkey"), MAX_CHECKPOINT_BYTES)?;
        let is_ours = |vkey: &str| self.keys.of(self.log).iter().any(|key| key.to_string() == vkey);
        if let Some(vkey) = vkey.as_deref().map(str::trim).filter(|vkey| !is_ours(vkey)) {
            return refuse(format!(
                "another log was published here, under the key {vkey}; choose another public_dir. If that is a newer key of this log, \
                 the database is older than what is public: run `wiregrant-control catch-up` with that key in the keys folder. After \
                 `wiregrant-control new-origin`: run it again, it moves the folder of the origin that has ended"
            ));
        }
        let published = self.published_size()?;
        if published > size {
            return refuse(format!(
                "{published} entries were published, the database has {size}: it is older than what is public. \
                 Run `wiregrant-control catch-up`; going on from here would sign a second history"
            ));
        }
        Ok(())
    }

    /// Brings the folder to the checkpoint `newest`, of this size, with the cosignatures that witnesses give.
    async fn publish(
        &self,
        store: &Store,
        cosigners: Option<&Cosigners>,
        since: u64,
        newest: Option<(u64, String)>,
    ) -> Result<(), PublishError> {
        file::make_folder(&self.folder, Readers::Everyone)?;
        let Some((size, checkpoint)) = newest else { return Ok(()) };
        let published = self.published_size()?;
        if published > size {
            return Ok(());
        }
        for tile in tiles_between(since, size) {
            self.write_tile(store, tile, published).await?;
        }
        self.write_handed_over(store).await?;
        let mut note = Note::parse(&self.keys.under_the_present_key(self.log, &checkpoint)?)?;
        if let Some((_, published)) = self.published()?
            && Note::parse(&published)?.text == note.text
        {
            // With the cosignatures that it bears; they lie nowhere else.
            note = Note::parse(&self.keys.under_the_present_key(self.log, &published)?)?;
        }
        if let Some(cosigners) = cosigners {
            note = cosigners.gather(store, self.log, size, note).await;
        }
        // Where the key is another one, this checkpoint has the lines of both, so that it holds under either.
        self.write("checkpoint", note.to_string().as_bytes())?;
        self.write("vkey", format!("{}\n", self.vkey).as_bytes())
    }

    /// The last checkpoint of each key of the record that another one followed: what leads from one to the next. The reports log needs
    /// none, because its keys are the record's.
    async fn write_handed_over(&self, store: &Store) -> Result<(), PublishError> {
        if self.log != Log::Record {
            return Ok(());
        }
        for HandedOver { key, size } in self.keys.handed_over() {
            let note = store.read().await?.checkpoint_at(self.log, size).await?;
            let note =
                note.ok_or(StoreError::NotFound { what: "checkpoint", id: format!("{} {size}", self.log) })?;
            let file = HandedOver::file(&key);
            self.write(&file, with_lines_of(&[key], &note)?.as_bytes())?;
        }
        Ok(())
    }

    /// Writes a tile and its entries. A full tile of the right length below what is `published` is left alone: it was whole
    /// before a checkpoint spoke of it. One beyond may be left from a history that was never committed, and is compared.
    async fn write_tile(&self, store: &Store, tile: TileId, published: u64) -> Result<(), PublishError> {
        let length = u64::from(tile.width).saturating_mul(HASH_BYTES);
        let covers = u64::from(TILE_WIDTH).checked_pow(u32::from(tile.level).saturating_add(1));
        let end = covers.and_then(|covers| tile.index.checked_add(1)?.checked_mul(covers));
        let is_settled = tile.is_full() && end.is_some_and(|end| end <= published);
        if !is_settled || self.length(&tile.path()) != Some(length) {
            let hashes = store.read().await?.tile(self.log, tile).await?;
            self.write(&tile.path(), &encode_tile(&hashes))?;
        }
        if tile.level == 0 {
            let path = bundle_path(tile.index, tile.width);
            if !is_settled || self.length(&path).is_none() {
                let entries = store.read().await?.bundle(self.log, tile.index, tile.width).await?;
                self.write(&path, &encode_bundle(&entries)?)?;
            }
        }
        if tile.is_full() {
            self.remove_partials_before(tile)?;
        }
        Ok(())
    }

    /// Once a tile is full, the partial forms of the one before it are of use to nobody: whoever still holds a checkpoint
    /// that asks for them may take the full tile instead (c2sp.org/tlog-tiles, "Partial tiles").
    fn remove_partials_before(&self, tile: TileId) -> Result<(), PublishError> {
        let Some(index) = tile.index.checked_sub(1) else { return Ok(()) };
        let mut paths = vec![TileId { index, ..tile }.path()];
        if tile.level == 0 {
            paths.push(bundle_path(index, tile.width));
        }
        for path in paths {
            let partials = self.folder.join(format!("{path}.p"));
            match std::fs::remove_dir_all(&partials) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn length(&self, path: &str) -> Option<u64> {
        std::fs::metadata(self.folder.join(path)).ok().map(|file| file.len())
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), PublishError> {
        write_public(&self.folder.join(path), bytes)
    }
}

/// Writes a public file and the folders above it; one that has these bytes already is left alone.
///
/// # Errors
/// Whatever the file system refuses.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), PublishError> {
    if std::fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        file::make_folder(folder, Readers::Everyone)?;
    }
    Ok(file::write_whole(path, bytes, Readers::Everyone)?)
}

/// Files of pages by their paths below the folder, written in the order of their names.
///
/// # Errors
/// Whatever the file system refuses.
pub fn write_all(folder: &Path, files: &BTreeMap<String, String>) -> Result<(), PublishError> {
    files.iter().try_for_each(|(path, text)| write_public(&folder.join(path), text.as_bytes()))
}

/// Writes the pages, and after them the signed manifest that names their hashes and the state of the record they show.
///
/// # Errors
/// Whatever the file system refuses; a path that no manifest can name.
pub fn write_pages(plane: &ControlPlane, files: &BTreeMap<String, String>) -> Result<(), PublishError> {
    write_all(&plane.config.public_dir, files)?;
    let record = published(plane, Log::Record).published_checkpoint()?;
    let Some(Checkpoint { size: record_size, root: record_root, .. }) = record else { return Ok(()) };
    let wrong = |error: wiregrant_core::FactError| PublishError::Page(error.to_string());
    let hashed = |(path, text): (&String, &String)| Ok((path.parse()?, Hash::of(text.as_bytes())));
    let files = files.iter().map(hashed).collect::<Result<_, _>>().map_err(wrong)?;
    let manifest = Manifest { log: plane.config.origin.clone(), record_size, record_root, files };
    let signed = Signed::sign(manifest, &plane.keys.statement).map_err(wrong)?;
    let path = plane.config.public_dir.join(MANIFEST_PATH);
    let before = file::read_if_there(&path, Manifest::MAX_BYTES as u64)?;
    write_public(&path, signed.note().as_bytes())?;
    remove_dropped(&plane.config.public_dir, before.as_deref(), signed.content())
}

/// Removes the files that the manifest before named and the new one does not, so that nothing lies in public that nobody signs.
fn remove_dropped(folder: &Path, before: Option<&str>, now: &Manifest) -> Result<(), PublishError> {
    let Some(before) = before.and_then(|note| Signed::<Manifest>::parse(note).ok()) else { return Ok(()) };
    for path in before.content().files.keys().filter(|path| !now.files.contains_key(*path)) {
        match std::fs::remove_file(folder.join(path.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
