//! `Copy`: a public folder that is being filled: what it has is read from it, what it lacks from where it is copied from.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context as _, Result};
use serde::Serialize;
use transparency_log::{Checkpoint, TILE_WIDTH, TileId, Verifier, bundle_path, tiles_between};

use crate::verify::CouldNotCheck;
use crate::verify::source::{Reading, Source};

/// What was fetched and is not verified yet.
const INCOMING: &str = ".incoming";
/// Where pages wait until all that differ are there, so that they are exchanged together with their manifest.
const PAGES: &str = "pages";
/// Held by the one mirror that fills this folder.
const LOCK: &str = "lock";

/// How far what lies here is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// What never changes is read from here where it is here.
    Here,
    /// All is fetched again.
    Nothing,
}

/// How much was fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

#[derive(Debug)]
struct State {
    trust: Trust,
    copied: Copied,
}

/// A folder and where it is copied from.
pub struct Copy {
    upstream: Source,
    folder: PathBuf,
    state: Mutex<State>,
    _lock: File,
}

impl Copy {
    /// Opens or makes the folder.
    ///
    /// # Errors
    /// When it cannot be written, another mirror is at work in it, or it is the very folder that is to be copied.
    pub fn open(upstream: Source, folder: &Path) -> Result<Self> {
        if let Source::Folder(from) = &upstream
            && folder.canonicalize().ok() == Some(from.canonicalize()?)
        {
            anyhow::bail!("this is the folder to copy from; name another one to copy to");
        }
        fs::create_dir_all(folder.join(INCOMING))?;
        let lock = File::create(folder.join(INCOMING).join(LOCK))?;
        lock.try_lock().context("another mirror is filling this folder; wait until it has ended")?;
        let state = Mutex::new(State { trust: Trust::Here, copied: Copied::default() });
        Ok(Self { upstream, folder: folder.to_owned(), state, _lock: lock })
    }

    /// Where the copy lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it is copied from.
    pub fn upstream(&self) -> &Source {
        &self.upstream
    }

    /// How much was fetched.
    pub fn copied(&self) -> Copied {
        self.state().copied
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers alone are held: a thread that panicked left none of them half written.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether nothing is in place or has come in.
    pub fn is_empty(&self) -> bool {
        let nothing = |folder: &Path| {
            fs::read_dir(folder).is_ok_and(|files| {
                files.flatten().all(|file| file.file_name() == LOCK || file.file_name() == INCOMING)
            })
        };
        nothing(&self.folder) && nothing(&self.folder.join(INCOMING))
    }

    /// Believes what lies here no more, and forgets what came in.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn trust(&self, trust: Trust) -> Result<(), CouldNotCheck> {
        for prefix in ["log", "reports"] {
            let incoming = self.folder.join(INCOMING).join(prefix);
            match fs::remove_dir_all(&incoming) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(CouldNotCheck(format!("{} cannot be removed: {e}", incoming.display())));
                }
                _ => {}
            }
        }
        self.state().trust = trust;
        Ok(())
    }

    /// Reads a file: what never changes from here where it is here, all else from where it is copied from.
    ///
    /// # Errors
    /// When a file cannot be read, or kept.
    pub fn read(&self, path: &str, limit: u64) -> Result<Reading, CouldNotCheck> {
        let incoming = self.folder.join(INCOMING).join(path);
        if never_changes(path) {
            let trust = self.state().trust;
            let places = match trust {
                Trust::Here => [Some(self.folder.join(path)), Some(incoming.clone())],
                Trust::Nothing => [None, Some(incoming.clone())],
            };
            for place in places.into_iter().flatten() {
                // A file without bytes is what a power cut may leave of one; no such file has none.
                if fs::metadata(&place).is_ok_and(|file| file.len() > 0 && file.len() <= limit) {
                    let bytes = fs::read(&place);
                    let cannot = |e| CouldNotCheck(format!("{} cannot be read: {e}", place.display()));
                    return bytes.map(Reading::Bytes).map_err(cannot);
                }
            }
        }
        let reading = self.upstream.read(path, limit)?;
        if let Reading::Bytes(bytes) = &reading {
            self.count(bytes);
            if never_changes(path) {
                write_whole(&incoming, bytes).map_err(|e| {
                    CouldNotCheck(format!("{} cannot be written: {e}; make room for it", incoming.display()))
                })?;
            }
        }
        Ok(reading)
    }

    /// Counts a fetched file.
    pub fn count(&self, bytes: &[u8]) {
        let copied = &mut self.state().copied;
        copied.files = copied.files.saturating_add(1);
        copied.bytes = copied.bytes.saturating_add(bytes.len() as u64);
    }

    /// Moves what came in of a log to its place.
    ///
    /// # Errors
    /// When a file cannot be moved.
    pub fn place_incoming(&self, prefix: &str) -> Result<()> {
        let incoming = self.folder.join(INCOMING);
        let mut folders = vec![incoming.join(prefix)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let place = self.folder.join(path.strip_prefix(&incoming)?);
                if path.extension().is_some_and(|extension| extension == "new") {
                    fs::remove_file(&path)?; // half a file, of a run that was killed
                    continue;
                }
                fs::create_dir_all(place.parent().context("a file below the copy")?)?;
                fs::rename(&path, &place)?;
            }
        }
        if incoming.join(prefix).exists() {
            fs::remove_dir_all(incoming.join(prefix))?;
        }
        Ok(())
    }

    /// Keeps a fetched file aside, until [`Self::place`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn stage(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let aside = self.folder.join(INCOMING).join(PAGES).join(path);
        write_whole(&aside, bytes).with_context(|| format!("{}", aside.display()))
    }

    /// Puts a file in place that was kept aside.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn place(&self, path: &str) -> Result<()> {
        let place = self.folder.join(path);
        fs::create_dir_all(place.parent().context("a file below the copy")?)?;
        let aside = self.folder.join(INCOMING).join(PAGES).join(path);
        fs::rename(&aside, &place).with_context(|| format!("{}", place.display()))
    }

    /// Replaces a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let place = self.folder.join(path);
        if fs::read(&place).is_ok_and(|present| present == bytes) {
            return Ok(());
        }
        write_whole(&place, bytes).with_context(|| format!("{}", place.display()))
    }

    /// The checkpoint that is in place.
    pub fn checkpoint(&self, path: &str, verifier: &Verifier) -> Option<Checkpoint> {
        Checkpoint::parse_verified(&fs::read_to_string(self.folder.join(path)).ok()?, verifier).ok()
    }

    /// Removes the partial forms of tiles that are full by now (c2sp.org/tlog-tiles, "Partial tiles").
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn remove_superseded(&self, prefix: &str, before: u64, size: u64) -> Result<()> {
        for tile in tiles_between(before, size).filter(TileId::is_full) {
            let bundle = (tile.level == 0).then(|| bundle_path(tile.index, TILE_WIDTH));
            for path in [Some(tile.path()), bundle].into_iter().flatten() {
                match fs::remove_dir_all(self.folder.join(format!("{prefix}/{path}.p"))) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Tiles and bundles of a width, notes under their hash, the last checkpoints of former keys: the same for as long as the log is
/// not rewritten.
fn never_changes(path: &str) -> bool {
    let below = path.strip_prefix("log/").or_else(|| path.strip_prefix("reports/"));
    below.is_some_and(|path| ["tile/", "note/", "checkpoint."].iter().any(|begin| path.starts_with(begin)))
}

/// Writes beside, makes durable, renames.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_never_change_is_read_from_the_copy() {
        for path in [
            "log/tile/0/000.p/3",
            "reports/tile/entries/x001/002",
            "log/note/00ff",
            "log/checkpoint.0b1f2c3d",
        ] {
            assert!(never_changes(path), "{path}");
        }
        for path in ["log/checkpoint", "reports/vkey", "manifest", "index.html", "tile/0/000"] {
            assert!(!never_changes(path), "{path}");
        }
    }
}
