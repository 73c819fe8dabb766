//! What is kept from one run to the next: the key and the newest checkpoint of every log seen.
//!
//! Per origin a folder `logs/<hex of SHA-256(origin)>/` with `vkey` and `checkpoint`; per web address a file
//! `addresses/<hex of SHA-256(address, line feed, prefix)>` with the key seen there. A checkpoint that contradicts the kept
//! one is put beside it: the two together prove that the log was rewritten.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use transparency_log::{Checkpoint, Hash, Verifier};

use super::CouldNotCheck;
use super::finding::Finding;
use super::log::PublicLog;
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

    /// The finding, if another key was seen before for this log or at this address.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub fn check_key(
        &self,
        source: &Source,
        prefix: &str,
        offered: &Verifier,
    ) -> Result<Option<Finding>, CouldNotCheck> {
        let places = [Some(self.of_log(offered.name()).join("vkey")), self.of_address(source, prefix)];
        for path in places.into_iter().flatten() {
            if let Some(kept) = read(&path)?
                && kept.trim_end() != offered.to_string()
            {
                let found = format!("{offered} (the other is kept in {})", path.display());
                return Ok(Some(Finding::new("log key", format!("/{prefix}/vkey"), kept.trim_end(), found)));
            }
        }
        Ok(None)
    }

    /// The size of the kept checkpoint if the log continues it, `None` without one; or the finding that it does not.
    ///
    /// # Errors
    /// When what is kept cannot be read, or the contradiction cannot be kept.
    pub fn check_checkpoint<E>(
        &self,
        log: &PublicLog<E>,
    ) -> Result<Result<Option<u64>, Finding>, CouldNotCheck> {
        let path = self.of_log(&log.checkpoint.origin).join("checkpoint");
        let Some(note) = read(&path)? else { return Ok(Ok(None)) };
        let kept = Checkpoint::parse_verified(&note, &log.verifier).map_err(|e| {
            CouldNotCheck(format!("{} is not a checkpoint kept by this program: {e}", path.display()))
        })?;
        let (expected, found) = if kept.size > log.checkpoint.size {
            (
                format!("{} entries or more", kept.size),
                format!("{} entries: the log shrank", log.checkpoint.size),
            )
        } else {
            let root = log.tree.root_at(kept.size).map_err(|e| CouldNotCheck(e.to_string()))?;
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
    pub fn remember<E>(&self, source: &Source, log: &PublicLog<E>) -> Result<(), CouldNotCheck> {
        let folder = self.of_log(&log.checkpoint.origin);
        let vkey = format!("{}\n", log.verifier);
        if let Some(address) = self.of_address(source, log.prefix) {
            write(&address, &vkey)?;
        }
        write(&folder.join("vkey"), &vkey)?;
        write(&folder.join("checkpoint"), &log.note)
    }

    /// Where the lines that passed `payout check` are kept, by the log that names them.
    pub fn passed_lines(&self, origin: &str) -> PathBuf {
        self.of_log(origin).join("passed-lines")
    }

    fn of_log(&self, origin: &str) -> PathBuf {
        self.folder.join("logs").join(Hash::of(origin.as_bytes()).to_hex())
    }

    fn of_address(&self, source: &Source, prefix: &str) -> Option<PathBuf> {
        let name = Hash::of(format!("{}\n{prefix}", source.address()?).as_bytes()).to_hex();
        Some(self.folder.join("addresses").join(name))
    }
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
    let written = (|| {
        let folder = path.parent().expect("a file below the state folder");
        fs::create_dir_all(folder)?;
        let new = path.with_extension(format!("new-{}", std::process::id()));
        let mut file = fs::File::create(&new)?;
        file.write_all(text.as_bytes())?;
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
