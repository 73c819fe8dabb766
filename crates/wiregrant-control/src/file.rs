//! Files that appear whole or not at all, private where they hold a secret.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// The owner alone.
    Owner,
    /// Everyone.
    Everyone,
}

impl Readers {
    fn file_mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Everyone => 0o644,
        }
    }

    fn folder_mode(self) -> u32 {
        match self {
            Self::Owner => 0o700,
            Self::Everyone => 0o755,
        }
    }
}

/// Makes a folder and those above it.
///
/// # Errors
/// Whatever the file system refuses; the message names the path.
pub fn make_folder(path: &Path, readers: Readers) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(readers.folder_mode())
        .create(path)
        .map_err(|error| named(path, &error))
}

/// Replaces a file by one with these bytes: written beside it, made durable, and then renamed, so that neither a crash nor
/// a reader ever meets half of it.
///
/// # Errors
/// Whatever the file system refuses; the message names the path.
pub fn write_whole(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = beside(path);
    let written = || -> io::Result<()> {
        let _ = fs::remove_file(&beside); // what a crash left behind
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(readers.file_mode()).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|error| named(path, &error))
}

/// Reads a file of at most `limit` bytes; `None` where there is none.
///
/// # Errors
/// Whatever the file system refuses, or a longer file; the message names the path.
pub fn read_if_there(path: &Path, limit: u64) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(named(path, &error)),
        Ok(metadata) if metadata.len() > limit => {
            let error = io::Error::other(format!("{} bytes, at most {limit} are read", metadata.len()));
            return Err(named(path, &error));
        }
        Ok(_) => {}
    }
    fs::read_to_string(path).map(Some).map_err(|error| named(path, &error))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_private_file_is_its_owners_alone_and_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_whole(&path, b"one", Readers::Owner).unwrap();
        fs::write(beside(&path), b"left by a crash").unwrap();
        write_whole(&path, b"two", Readers::Owner).unwrap();
        assert_eq!(read_if_there(&path, 3).unwrap().as_deref(), Some("two"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!beside(&path).exists());
    }

    #[test]
    fn a_file_that_is_too_long_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        fs::write(&path, "0123456789").unwrap();
        assert!(read_if_there(&path, 9).unwrap_err().to_string().contains("long: 10 bytes"));
        assert_eq!(read_if_there(&folder.path().join("none"), 9).unwrap(), None);
    }
}
