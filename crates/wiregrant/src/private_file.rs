//! Files that only their owner may read: tokens, keys, access codes, client files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The most bytes a file with a token, a code or a key may have.
pub const MAX_SECRET_BYTES: u64 = 4_096;

/// The name that means standard input or output.
const STANDARD: &str = "-";

/// A new file, taken before the secret exists, so that no secret is lost because its file cannot be written. Dropped
/// without [`PrivateFile::keep`], it is removed again.
#[derive(Debug)]
pub struct PrivateFile {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl PrivateFile {
    /// Creates the file, readable by its owner only (0600).
    ///
    /// # Errors
    /// When it exists (it may hold another secret) or cannot be created.
    pub fn reserve(path: &Path) -> Result<Self> {
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match created {
            Ok(file) => Ok(Self { file, path: path.to_owned(), kept: false }),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                bail!("{} exists already and may hold a secret: choose another name", path.display())
            }
            Err(e) => Err(e).with_context(|| format!("{} cannot be created", path.display())),
        }
    }

    /// Writes the secret and makes it durable.
    ///
    /// # Errors
    /// Those of writing.
    pub fn keep(mut self, secret: &str) -> Result<()> {
        self.file
            .write_all(secret.as_bytes())
            .and_then(|()| self.file.sync_all())
            .with_context(|| format!("{} cannot be written", self.path.display()))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing was put into it; a leftover empty file harms nobody.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Reads a text of at most `limit` bytes from a file, or from standard input for `-`.
///
/// # Errors
/// When it cannot be read, is longer, or is no UTF-8. The message never repeats the content.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    let (name, text) = if path == Path::new(STANDARD) {
        ("standard input".to_owned(), read_bounded(io::stdin().lock(), limit))
    } else {
        (path.display().to_string(), File::open(path).and_then(|file| read_bounded(file, limit)))
    };
    text.with_context(|| format!("{name} cannot be read"))?
        .with_context(|| format!("{name} has more than {limit} bytes: that is not the right file"))
}

fn read_bounded(source: impl Read, limit: u64) -> io::Result<Option<String>> {
    let mut text = String::new();
    source.take(limit.saturating_add(1)).read_to_string(&mut text)?;
    Ok((text.len() as u64 <= limit).then_some(text))
}

/// Writes a secret into a new private file, or prints it where no file is named.
///
/// # Errors
/// As [`PrivateFile::reserve`], before `make` is called; as `make`; as [`PrivateFile::keep`].
pub fn made_into<T>(
    out: Option<&Path>,
    make: impl FnOnce() -> Result<T>,
    secret: impl FnOnce(&T) -> String,
) -> Result<T> {
    let file = out.map(PrivateFile::reserve).transpose()?;
    let made = make()?;
    if let Some(file) = file {
        file.keep(&secret(&made))?;
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_readable_by_its_owner_only_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        PrivateFile::reserve(&path).unwrap().keep("first\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(PrivateFile::reserve(&path).unwrap_err().to_string().contains("another name"));
        assert_eq!(read_text(&path, 10).unwrap(), "first\n");
        assert!(read_text(&path, 5).unwrap_err().to_string().contains("5 bytes"));
    }

    #[test]
    fn a_reserved_file_without_a_secret_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let failed = made_into(Some(&path), || bail!("refused"), |(): &()| String::new());
        assert!(failed.is_err() && !path.exists());
    }
}
