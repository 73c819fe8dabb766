//! The journal: an append-only file of records that survives a crash at any byte.
//!
//! A record is `length u32 | crc32c(payload) u32 | payload`, numbers little-endian, the payload a JSON object. It
//! counts once it was appended and synced, and the next is not begun before. When the file is opened, a tail that is no
//! record is what a crash left of the last append, and is cut off. When a record follows it, it is no tail but damage, and
//! the file is refused: going on from there would forget what the node has counted and signed since.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The longest record, in bytes: a snapshot of 65,536 peers takes under 16 MiB.
pub const MAX_RECORD_BYTES: usize = 32 << 20;
/// The longest file that is read. A journal is compacted long before.
pub const MAX_JOURNAL_BYTES: u64 = 256 << 20;
const HEADER_BYTES: usize = 8;

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
    /// Damage before the end.
    #[error(
        "journal {path}: the record at byte {offset} is damaged and {after} bytes follow it; restore the file, or move \
         it away: the agent then goes on from the last report the control plane has, and bytes since then do not count"
    )]
    Damaged {
        /// The file.
        path: String,
        /// Where the record begins.
        offset: usize,
        /// What lies behind its beginning.
        after: usize,
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
    #[error("journal {path}: {what} of {bytes} bytes, at most {limit} are allowed")]
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

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The payloads in order, each with the offset of its record.
    pub records: Vec<(usize, Vec<u8>)>,
    /// Where the last whole record ends.
    pub end: usize,
    /// Bytes after it, left by a crash.
    pub torn: usize,
}

/// Reads the bytes of a journal. The error is the offset of a damaged record.
///
/// # Errors
/// When a record is damaged and another follows.
pub fn read(bytes: &[u8]) -> Result<Contents, usize> {
    let mut contents = Contents::default();
    while let Some(payload) = record_at(bytes, contents.end) {
        contents.records.push((contents.end, payload.to_vec()));
        contents.end += HEADER_BYTES + payload.len();
    }
    contents.torn = bytes.len() - contents.end;
    // What a crash leaves of one append holds no whole record; what damage leaves does.
    let follows = |offset| record_at(bytes, offset).is_some();
    if (contents.end + 1..bytes.len()).any(follows) { Err(contents.end) } else { Ok(contents) }
}

/// The payload of a whole record that begins at `offset`.
fn record_at(bytes: &[u8], offset: usize) -> Option<&[u8]> {
    let (header, rest) = bytes.get(offset..)?.split_at_checked(HEADER_BYTES)?;
    let (length, checksum) = header.split_at(4);
    let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
    let checksum = u32::from_le_bytes(checksum.try_into().ok()?);
    let payload = rest.get(..length)?;
    // The brace first: it spares a search through damage nearly every checksum.
    (payload.first() == Some(&b'{') && crc32c::crc32c(payload) == checksum).then_some(payload)
}

/// The record that holds `payload`. The error is a size that is too large.
fn framed(payload: &[u8]) -> Result<Vec<u8>, u64> {
    let bytes = u64::try_from(payload.len()).unwrap_or(u64::MAX);
    let length = u32::try_from(payload.len()).map_err(|_| bytes)?;
    if payload.len() > MAX_RECORD_BYTES {
        return Err(bytes);
    }
    let checksum = crc32c::crc32c(payload);
    Ok([&length.to_le_bytes()[..], &checksum.to_le_bytes()[..], payload].concat())
}

/// Reads a journal without changing it; absent is empty.
///
/// # Errors
/// As [`Journal::open`].
pub fn load(path: &Path) -> Result<Contents, JournalError> {
    let failed = |source| JournalError::Io { path: path.display().to_string(), source };
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => {
            let read = file.take(MAX_JOURNAL_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
            let read = u64::try_from(read).unwrap_or(u64::MAX);
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
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    read(&bytes).map_err(|offset| JournalError::Damaged {
        path: path.display().to_string(),
        offset,
        after: bytes.len() - offset,
    })
}

/// A journal that is appended to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Where the next record begins.
    end: u64,
}

impl Journal {
    /// Opens or makes the file, cuts a torn tail off, and gives what it holds.
    ///
    /// # Errors
    /// When it is damaged before its end, too large, or the file system refuses.
    pub fn open(path: &Path) -> Result<(Self, Contents), JournalError> {
        let failed = |source| JournalError::Io { path: path.display().to_string(), source };
        let contents = load(path)?;
        let file = appendable(path).map_err(failed)?;
        let end = u64::try_from(contents.end).unwrap_or(u64::MAX);
        if contents.torn > 0 {
            tracing::warn!(path = %path.display(), torn_bytes = contents.torn, "cutting off what a crash left of an append");
        }
        file.set_len(end).and_then(|()| file.sync_all()).map_err(failed)?;
        sync_folder(path).map_err(failed)?;
        Ok((Self { path: path.to_owned(), file, end }, contents))
    }

    /// Appends a record and returns once it is on the disk. When that fails it does not count, and the next append overwrites
    /// what there is of it.
    ///
    /// # Errors
    /// When the record is too large or the file system refuses.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), JournalError> {
        let bytes = self.frame(payload)?;
        let written = (|| {
            self.file.set_len(self.end)?;
            self.file.seek(SeekFrom::Start(self.end))?;
            self.file.write_all(&bytes)?;
            self.file.sync_data()
        })();
        written.map_err(|source| JournalError::Io { path: self.path.display().to_string(), source })?;
        self.end += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Replaces all records by one that says the same.
    ///
    /// # Errors
    /// As [`Self::append`]; the old file then stays.
    pub fn compact(&mut self, snapshot: &[u8]) -> Result<(), JournalError> {
        let bytes = self.frame(snapshot)?;
        let fresh = self.path.with_extension("new");
        let replaced = (|| {
            let mut file = appendable(&fresh)?;
            file.set_len(0)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)?;
            sync_folder(&self.path)?;
            Ok(file)
        })();
        let failed = |source| JournalError::Io { path: self.path.display().to_string(), source };
        self.file = replaced.map_err(failed)?;
        self.end = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// The file's size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end
    }

    fn frame(&self, payload: &[u8]) -> Result<Vec<u8>, JournalError> {
        framed(payload).map_err(|bytes| JournalError::TooLarge {
            path: self.path.display().to_string(),
            what: "record",
            bytes,
            limit: MAX_RECORD_BYTES as u64,
        })
    }
}

fn appendable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Makes a file's name durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payloads(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| format!("{{\"n\":\"{text}\"}}").into_bytes()).collect()
    }

    fn file_of(payloads: &[Vec<u8>]) -> Vec<u8> {
        payloads.iter().flat_map(|payload| framed(payload).unwrap()).collect()
    }

    fn read_payloads(bytes: &[u8]) -> Result<Vec<Vec<u8>>, usize> {
        Ok(read(bytes)?.records.into_iter().map(|(_, payload)| payload).collect())
    }

    #[test]
    fn a_file_cut_at_any_byte_holds_the_records_that_are_whole() {
        let written = payloads(&["one", "two", "three"]);
        let bytes = file_of(&written);
        let ends: Vec<usize> = (1..=3).map(|n| file_of(&written[..n]).len()).collect();
        for cut in 0..=bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(read_payloads(&bytes[..cut]).unwrap(), written[..whole], "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_is_damage_before_the_last_record_and_a_torn_tail_in_it() {
        let written = payloads(&["one", "two", "three"]);
        let bytes = file_of(&written);
        let last = file_of(&written[..2]).len();
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[position] ^= 1 << bit;
                match read_payloads(&flipped) {
                    Ok(records) => {
                        assert!(position >= last, "a flip at {position} went unseen");
                        assert_eq!(records, written[..2]);
                    }
                    Err(offset) => assert!(position < last && offset <= position, "{position} {offset}"),
                }
            }
        }
    }

    #[test]
    fn a_torn_tail_is_cut_off_and_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&payloads(&["one"])[0]).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], &[9, 0, 0, 0, 1, 2, 3]].concat()).unwrap();
        let (mut journal, contents) = Journal::open(&path).unwrap();
        assert_eq!((contents.records.len(), contents.torn), (1, 7));
        journal.append(&payloads(&["two"])[0]).unwrap();
        assert_eq!(read_payloads(&fs::read(&path).unwrap()).unwrap(), payloads(&["one", "two"]));
    }

    #[test]
    fn compacting_keeps_one_record_and_appending_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        payloads(&["one", "two"]).iter().for_each(|payload| journal.append(payload).unwrap());
        journal.compact(&payloads(&["both"])[0]).unwrap();
        journal.append(&payloads(&["three"])[0]).unwrap();
        assert_eq!(read_payloads(&fs::read(&path).unwrap()).unwrap(), payloads(&["both", "three"]));
        assert_eq!(journal.bytes(), fs::metadata(&path).unwrap().len());
    }

    #[test]
    fn a_damaged_file_is_refused_with_its_offset_and_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut bytes = file_of(&payloads(&["one", "two"]));
        bytes[10] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = Journal::open(&path).unwrap_err().to_string();
        assert!(error.contains("byte 0") && error.contains("move it away"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_and_what_was_read_is_written_the_same(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            texts in proptest::collection::vec("[a-z]{0,9}", 0..5),
        ) {
            let _ = read(&bytes);
            let written = payloads(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            let file = file_of(&written);
            let contents = read_payloads(&file).unwrap();
            prop_assert_eq!(file_of(&contents), file);
            prop_assert_eq!(contents, written);
        }
    }
}
