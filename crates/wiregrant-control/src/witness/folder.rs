//! `Folder`: what a witness must not forget. `witness.key`, and per log `logs/<hex of SHA-256(origin)>`, its newest checkpoint;
//! `evidence/<hex>` holds what convicts a log.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use transparency_log::{CosignerKey, Hash, MAX_NOTE_BYTES, Verifier};
use wiregrant_core::evidence::Evidence;

use super::WitnessError;
use crate::file::{self, Readers};
use crate::log_keys::verified;
use crate::random;

const KEY_FILE: &str = "witness.key";
const MAX_KEY_FILE_BYTES: u64 = 100;
/// The most files of evidence: one convicts, a few show how.
const MAX_EVIDENCE_FILES: usize = 64;

/// The folder, locked: two witnesses with one key and two memories would cosign two histories.
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// The folder at `path`, made if it is not there.
    ///
    /// # Errors
    /// When the file system refuses, or another witness works in it.
    pub fn open(path: &Path) -> Result<Self, WitnessError> {
        file::make_folder(path, Readers::Owner)?;
        let lock = OpenOptions::new().create(true).write(true).truncate(false).open(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(WitnessError::Given(format!(
                "--data-dir {}: another witness works in it; stop that one first",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// The key under this name, made on the first start.
    ///
    /// # Errors
    /// A file that holds no key; or a key without the memory that belongs to it.
    pub fn key(&self, name: &str) -> Result<CosignerKey, WitnessError> {
        let (path, logs) = (self.path.join(KEY_FILE), self.path.join("logs"));
        let text = match file::read_if_there(&path, MAX_KEY_FILE_BYTES)? {
            Some(_) if !logs.is_dir() => {
                return Err(WitnessError::Given(format!(
                    "{}: what this witness has cosigned is gone; restore it as it was last, or begin anew with a new key \
                     (delete {}): one that forgot can be made to cosign two histories",
                    logs.display(),
                    path.display()
                )));
            }
            Some(text) => text,
            None => {
                // The memory comes first: a key without one is refused.
                file::make_folder(&logs, Readers::Owner)?;
                let text = format!("{}\n", BASE64.encode(&random::bytes::<32>()));
                file::write_whole(&path, text.as_bytes(), Readers::Owner)?;
                text
            }
        };
        let seed = BASE64.decode(text.trim_end().as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let seed = seed.ok_or_else(|| {
            WitnessError::Given(format!(
                "{}: not 32 bytes in padded base64; restore it from its backup",
                path.display()
            ))
        })?;
        CosignerKey::new(name, seed).map_err(|error| WitnessError::Given(format!("--name: {error}")))
    }

    /// The newest checkpoint of a log that was let through.
    ///
    /// # Errors
    /// A file that none of the log's keys has signed.
    pub fn newest(&self, origin: &str, keys: &[Verifier]) -> Result<Option<String>, WitnessError> {
        let path = self.of(origin);
        let limit = u64::try_from(MAX_NOTE_BYTES).unwrap_or(u64::MAX);
        let Some(note) = file::read_if_there(&path, limit)? else { return Ok(None) };
        match verified(keys, &note) {
            Ok(_) => Ok(Some(note)),
            Err(error) => Err(WitnessError::Given(format!(
                "{}: not a checkpoint signed by a key of {origin}: {error}; restore it, or name the key that the log had with --log \
                 beside the one that it has, until one that it has signed since was let through",
                path.display()
            ))),
        }
    }

    /// Keeps a checkpoint in place of the one before.
    ///
    /// # Errors
    /// When the file system refuses; the one before may then still be there.
    pub fn keep(&self, origin: &str, checkpoint: &str) -> io::Result<()> {
        file::write_whole(&self.of(origin), checkpoint.as_bytes(), Readers::Owner)
    }

    /// Keeps evidence; `None` where the same is kept already or there is enough of it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn keep_evidence(&self, evidence: &Evidence) -> io::Result<Option<PathBuf>> {
        let (folder, text) = (self.path.join("evidence"), evidence.to_string());
        file::make_folder(&folder, Readers::Owner)?;
        let path = folder.join(Hash::of(text.as_bytes()).to_hex());
        if path.exists() || std::fs::read_dir(&folder)?.count() >= MAX_EVIDENCE_FILES {
            return Ok(None);
        }
        file::write_whole(&path, text.as_bytes(), Readers::Owner)?;
        Ok(Some(path))
    }

    fn of(&self, origin: &str) -> PathBuf {
        self.path.join("logs").join(Hash::of(origin.as_bytes()).to_hex())
    }
}
