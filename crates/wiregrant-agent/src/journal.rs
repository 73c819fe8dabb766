//! The journal: an append-only file of records that survives a crash at any byte, and says so when the disk loses some.
//!
//! A record counts once it was appended and synced, and the next is not begun before. Then a mark is written that tells
//! where it ends, and is synced too before anybody acts upon the record. What a crash leaves of an append lies behind the mark
//! and is cut off. What does not read back before the mark was durable once: the caller is told, and the damaged file is kept.
//! Form: [`mod@format`].

pub mod format;
mod step;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use format::{Contents, Damage, read};
use format::{Mark, first_sector, header, mark_offset, record};

use crate::state_dir::leave_to_owner_of_folder;
#[cfg(test)]
pub(crate) use step::fault;

/// The longest record, in bytes: a snapshot of 65,536 peers takes under 16 MiB.
pub const MAX_RECORD_BYTES: usize = 32 << 20;
/// The longest file that is read. A journal is compacted long before.
pub const MAX_JOURNAL_BYTES: u64 = 256 << 20;
/// How many damaged files are kept beside the journal; a further one takes the last one's place.
pub const MAX_KEPT: usize = 9;

/// Why the journal cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file system refused.
    #[error("journal {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A record that is whole and not understood.
    #[error(
        "journal {path}: the record at byte {offset} is not of this version ({source}); \
         run the version of wiregrant-agent that wrote it"
    )]
    Unknown {
        /// The file.
        path: String,
        /// Where the record begins.
        offset: usize,
        /// Where reading it failed.
        source: serde_json::Error,
    },
    /// Larger than anything this agent writes.
    #[error(
        "journal {path}: {what} of {bytes} bytes, at most {limit} are allowed; move the file away: the agent then goes \
         on from the last report the control plane has, and bytes since then do not count"
    )]
    TooLarge {
        /// The file.
        path: String,
        /// The file or a record.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
}

impl JournalError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }
}

/// Reads a journal without changing it; absent is empty.
///
/// # Errors
/// When it is too large or the file system refuses. Damage is no error: it is in the contents.
pub fn load(path: &Path) -> Result<Contents, JournalError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => {
            let read = file.take(MAX_JOURNAL_BYTES + 1).read_to_end(&mut bytes);
            let read = read.map_err(|error| JournalError::io(path, error))? as u64;
            if read > MAX_JOURNAL_BYTES {
                let path = path.display().to_string();
                return Err(JournalError::TooLarge {
                    path,
                    what: "file",
                    bytes: read,
                    limit: MAX_JOURNAL_BYTES,
                });
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::default()),
        Err(error) => return Err(JournalError::io(path, error)),
    }
    Ok(read(&bytes))
}

/// The damaged journals that are kept beside the one at `path`, by name.
///
/// # Errors
/// When the file system refuses.
pub fn kept(path: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let mut found = Vec::new();
    for number in 1..=MAX_KEPT {
        let file = kept_name(path, number);
        if file.try_exists().map_err(|error| JournalError::io(&file, error))? {
            found.push(file);
        }
    }
    Ok(found)
}

fn kept_name(path: &Path, number: usize) -> PathBuf {
    path.with_extension(format!("damaged-{number}"))
}

/// A journal that is appended to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Behind the last record.
    mark: Mark,
    /// Counts the marks written.
    turn: usize,
    /// Whether the file's name is known to be durable.
    named: bool,
}

impl Journal {
    /// Opens or makes the file and gives what it holds. A torn tail is cut off. A damaged file is left where it is, to be
    /// replaced: nothing may be appended before [`Self::replace_damaged`].
    ///
    /// # Errors
    /// When it is too large or the file system refuses.
    pub fn open(path: &Path) -> Result<(Self, Contents), JournalError> {
        let contents = load(path)?;
        let opened = (|| {
            if !path.try_exists()? {
                fresh(path, &header(Mark::START))?;
                fs::rename(fresh_name(path), path)?;
            }
            appendable(path)
        })();
        let file = opened.map_err(|error| JournalError::io(path, error))?;
        let mut journal = Self { path: path.to_owned(), file, mark: contents.mark, turn: 0, named: false };
        if contents.damage.is_none() {
            journal.repair(&contents).map_err(|error| JournalError::io(path, error))?;
        }
        Ok((journal, contents))
    }

    fn repair(&mut self, contents: &Contents) -> io::Result<()> {
        let path = self.path.display();
        if contents.torn > 0 {
            tracing::warn!(%path, torn_bytes = contents.torn, "cutting off what a crash left of an append");
        }
        if !contents.header_whole {
            tracing::warn!(%path, "the journal's header was damaged; it is mended, and no record was lost");
        }
        self.cut_tail()?;
        // One sector after the other, the one that is good last: no crash in between leaves none.
        for turn in [contents.good_mark + 1, contents.good_mark] {
            step::write_at(&self.file, &self.mark.sector(), mark_offset(turn))?;
            step::sync(&self.file)?;
        }
        step::write_at(&self.file, &first_sector(), 0)?;
        step::sync(&self.file)?;
        self.make_named()
    }

    /// Puts a new file that says `snapshot` into the place of a damaged one, which is kept; gives its name.
    ///
    /// # Errors
    /// As [`Self::append`]; the damaged file then stays where it is.
    pub fn replace_damaged(&mut self, snapshot: &[u8]) -> Result<PathBuf, JournalError> {
        let free = (1..MAX_KEPT).find(|number| !kept_name(&self.path, *number).exists());
        let kept = kept_name(&self.path, free.unwrap_or(MAX_KEPT));
        let keep = || {
            match fs::remove_file(&kept) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // A second name first: at no instant is there no journal.
            fs::hard_link(&self.path, &kept)
        };
        keep().map_err(|error| JournalError::io(&kept, error))?;
        self.compact(snapshot)?;
        Ok(kept)
    }

    /// Appends a record and returns once it is on the disk. When that fails it does not count, and nothing of it stays.
    ///
    /// # Errors
    /// When the record is too large or the file system refuses.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), JournalError> {
        self.check_size(payload)?;
        let after = self.mark.after(payload);
        let bytes = record(after, payload);
        let written = self.make_named().and_then(|()| self.write_record(&bytes));
        if let Err(error) = written {
            // Space that half a record takes is space the whole one lacks the next time.
            let _ = self.cut_tail();
            return Err(JournalError::io(&self.path, error));
        }
        self.mark = after;
        // A sync of its own: with the record's it could be on the disk sooner than what it vouches for. The record counts without
        // its mark too: the next one's vouches for both.
        if let Err(error) = self.write_mark() {
            tracing::warn!(path = %self.path.display(), %error, "the journal's mark could not be written");
        }
        self.turn = self.turn.wrapping_add(1);
        Ok(())
    }

    fn write_mark(&self) -> io::Result<()> {
        step::write_at(&self.file, &self.mark.sector(), mark_offset(self.turn))?;
        step::sync(&self.file)
    }

    fn write_record(&self, bytes: &[u8]) -> io::Result<()> {
        // What a failed append left must not stand behind a shorter record.
        self.cut_tail()?;
        step::write_at(&self.file, bytes, self.mark.end as u64)?;
        step::sync(&self.file)
    }

    fn cut_tail(&self) -> io::Result<()> {
        step::cut(&self.file, self.mark.end as u64)
    }

    /// Replaces all records by one that says the same.
    ///
    /// # Errors
    /// As [`Self::append`]; the old file then stays.
    pub fn compact(&mut self, snapshot: &[u8]) -> Result<(), JournalError> {
        self.check_size(snapshot)?;
        let mark = Mark::START.after(snapshot);
        let bytes = [header(mark), record(mark, snapshot)].concat();
        let replaced = fresh(&self.path, &bytes).and_then(|file| {
            step::check()?;
            fs::rename(fresh_name(&self.path), &self.path)?;
            Ok(file)
        });
        match replaced {
            Ok(file) => self.file = file,
            Err(error) => {
                let _ = step::check().and_then(|()| fs::remove_file(fresh_name(&self.path)));
                return Err(JournalError::io(&self.path, error));
            }
        }
        // From here on this is the journal, whether or not its name is durable: nothing is appended before it is.
        (self.mark, self.turn, self.named) = (mark, 0, false);
        self.make_named().map_err(|error| JournalError::io(&self.path, error))
    }

    fn make_named(&mut self) -> io::Result<()> {
        if !self.named {
            step::check()?;
            sync_folder(&self.path)?;
            self.named = true;
        }
        Ok(())
    }

    /// The file's size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.mark.end as u64
    }

    fn check_size(&self, payload: &[u8]) -> Result<(), JournalError> {
        if payload.len() <= MAX_RECORD_BYTES {
            return Ok(());
        }
        Err(JournalError::TooLarge {
            path: self.path.display().to_string(),
            what: "record",
            bytes: payload.len() as u64,
            limit: MAX_RECORD_BYTES as u64,
        })
    }
}

fn fresh_name(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// A synced file of these bytes beside the journal.
fn fresh(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let file = appendable(&fresh_name(path))?;
    file.set_len(0)?;
    step::write_at(&file, bytes, 0)?;
    step::sync(&file)?;
    Ok(file)
}

fn appendable(path: &Path) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    leave_to_owner_of_folder(&file, path)?;
    Ok(file)
}

/// Makes a file's name durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
