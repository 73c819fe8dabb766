//! What is kept from one run to the next: the key and the newest checkpoint of every log seen.
//!
//! Per origin a folder `logs/<hex of SHA-256(origin)>/` with `vkey`, `checkpoint` and `seen` (when which size was seen); per web address a file
//! `addresses/<hex of SHA-256(address, line feed, prefix)>` with the key seen there. A checkpoint that contradicts the kept
//! one is put beside it: the two together prove that the log was rewritten.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use transparency_log::{Checkpoint, Hash, LogError, Verifier};

use super::CouldNotCheck;
use super::finding::Finding;
use super::log::{Pin, PublicLog};
use super::seen::Seen;
use super::source::Source;

/// The folder with what is kept.
pub struct Memory {
    folder: PathBuf,
}

impl Memory {
    /// What is kept in `folder`, or in the user's own state folder.
    ///
    /// # Errors
    /// When there is no such folder and no home to make it in.
    pub fn open(folder: Option<PathBuf>) -> Result<Self, CouldNotCheck> {
        let of_user = || {
            let set =
                |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
            let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
            Some(state.join("wiregrant"))
        };
        let folder = folder.or_else(of_user).ok_or_else(|| {
            CouldNotCheck(
                "--state-dir: there is no home folder to keep checkpoints in; name a folder".to_owned(),
            )
        })?;
        Ok(Self { folder })
    }

    /// Other keys that were seen before for this log, or at this address.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub fn other_keys(
        &self,
        source: &Source,
        prefix: &str,
        offered: &Verifier,
    ) -> Result<Vec<Pin>, CouldNotCheck> {
        let places = [Some(self.of_log(offered.name()).join("vkey")), self.of_address(source, prefix)];
        let mut pins = Vec::new();
        for path in places.into_iter().flatten() {
            let Some(kept) = read(&path)? else { continue };
            let key: Verifier = kept.trim_end().parse().map_err(|e| {
                CouldNotCheck(format!("{} is not a key kept by this program: {e}", path.display()))
            })?;
            if key != *offered {
                pins.push(Pin { key, place: format!("the other is kept in {}", path.display()) });
            }
        }
        Ok(pins)
    }

    /// The checkpoint that is kept of a log, signed by the key that was trusted for it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn kept(&self, origin: &str, key: &Verifier) -> Result<Option<Checkpoint>, CouldNotCheck> {
        let path = self.of_log(origin).join("checkpoint");
        let Some(note) = read(&path)? else { return Ok(None) };
        Checkpoint::parse_verified(&note, key).map(Some).map_err(|e| not_kept_here(&path, &e))
    }

    /// The size of the kept checkpoint if the log continues it, `None` without one; or the finding that it does not.
    ///
    /// # Errors
    /// When what is kept cannot be read, or the contradiction cannot be kept.
    pub fn check_checkpoint(
        &self,
        source: &Source,
        log: &PublicLog,
    ) -> Result<Result<Option<u64>, Finding>, CouldNotCheck> {
        let path = self.of_log(&log.checkpoint.origin).join("checkpoint");
        let Some(note) = read(&path)? else { return Ok(Ok(None)) };
        // What is kept was signed by the key that was trusted then, which has led to the one that signs now.
        let former = log.pins.iter().find_map(|pin| Checkpoint::parse_verified(&note, &pin.key).ok());
        let kept = match former {
            Some(kept) => kept,
            None => Checkpoint::parse_verified(&note, &log.verifier).map_err(|e| not_kept_here(&path, &e))?,
        };
        let (expected, found) = if kept.size > log.checkpoint.size {
            (
                format!("{} entries or more", kept.size),
                format!("{} entries: the log shrank", log.checkpoint.size),
            )
        } else {
            let root = log.root_at(source, kept.size)?;
            if root == kept.root {
                return Ok(Ok(Some(kept.size)));
            }
            let expected = format!("root {} of the first {} entries", kept.root, kept.size);
            (expected, format!("root {root}: history was rewritten"))
        };
        let name = format!("checkpoint.contradicts-{}", &Hash::of(log.note.as_bytes()).to_hex()[..16]);
        let beside = path.with_file_name(name);
        write(&beside, &log.note)?;
        let found = format!("{found} (both are kept: {} and {})", path.display(), beside.display());
        Ok(Err(Finding::new("consistency", format!("/{}/checkpoint", log.prefix), expected, found)))
    }

    /// Keeps the key and the checkpoint of a log that holds.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn remember(&self, source: &Source, log: &PublicLog) -> Result<(), CouldNotCheck> {
        let folder = self.of_log(&log.checkpoint.origin);
        let vkey = format!("{}\n", log.verifier);
        if let Some(address) = self.of_address(source, log.prefix) {
            write(&address, &vkey)?;
        }
        write(&folder.join("vkey"), &vkey)?;
        write(&folder.join("checkpoint"), &log.note)?;
        let mut seen = self.seen(&log.checkpoint.origin)?;
        let now = crate::clock::now().map_err(|error| CouldNotCheck(error.to_string()))?;
        if seen.add(now, log.checkpoint.size) {
            write(&folder.join("seen"), &seen.to_string())?;
        }
        Ok(())
    }

    /// When which sizes of a log were seen.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub fn seen(&self, origin: &str) -> Result<Seen, CouldNotCheck> {
        let path = self.of_log(origin).join("seen");
        let text = read(&path)?.unwrap_or_default();
        text.parse().map_err(|()| {
            CouldNotCheck(format!("{} is not what this program keeps there; restore it", path.display()))
        })
    }

    /// Where the lines that passed `payout check` are kept, by the log that names them.
    pub fn passed_lines(&self, origin: &str) -> PathBuf {
        self.of_log(origin).join("passed-lines")
    }

    /// Where a reading of a log keeps what it has read, until it ends.
    pub fn reading(&self, origin: &str) -> PathBuf {
        self.folder.join("reading").join(Hash::of(origin.as_bytes()).to_hex())
    }

    /// Replaces a file below this folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), CouldNotCheck> {
        replace(path, bytes)
    }

    fn of_log(&self, origin: &str) -> PathBuf {
        self.folder.join("logs").join(Hash::of(origin.as_bytes()).to_hex())
    }

    fn of_address(&self, source: &Source, prefix: &str) -> Option<PathBuf> {
        let name = Hash::of(format!("{}\n{prefix}", source.address()?).as_bytes()).to_hex();
        Some(self.folder.join("addresses").join(name))
    }
}

fn not_kept_here(path: &Path, error: &LogError) -> CouldNotCheck {
    CouldNotCheck(format!("{} is not a checkpoint kept by this program: {error}", path.display()))
}

fn read(path: &Path) -> Result<Option<String>, CouldNotCheck> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(CouldNotCheck(format!("{} cannot be read: {e}", path.display()))),
    }
}

/// Writes by renaming, so that what is kept is never half a file.
fn write(path: &Path, text: &str) -> Result<(), CouldNotCheck> {
    if fs::read_to_string(path).is_ok_and(|kept| kept == text) {
        return Ok(());
    }
    replace(path, text.as_bytes())
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), CouldNotCheck> {
    let written = (|| {
        let folder = path.parent().expect("a file below the state folder");
        fs::create_dir_all(folder)?;
        let new = path.with_extension(format!("new-{}", std::process::id()));
        let mut file = fs::File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    written.map_err(|e: io::Error| {
        CouldNotCheck(format!(
            "{} cannot be written: {e}; name another folder with --state-dir",
            path.display()
        ))
    })
}
