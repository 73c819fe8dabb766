//! Answers with small public files, kept in memory for as long as the files are what they were.
//!
//! Reading a file takes several turns of the pool of threads that may block, which costs more than all the rest of an answer. So
//! an answer is kept with the file's identity, and given again while a look at the file (one `stat`) finds the same.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::http::HeaderMap;
use wiregrant_core::Timestamp;

use crate::generations::Generations;

/// The longest file that is kept, in bytes.
pub const MAX_FILE_BYTES: u64 = 64 * 1024;
/// What all that is kept takes at most, in bytes; half of it is what was asked for lately.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// What an answer takes beside its path and its body, in bytes: about ten headers.
const ANSWER_BYTES: usize = 2 * 1024;
/// How long a file must not have changed before it is kept, in seconds. File systems count time in ticks, of up to two seconds:
/// what changes twice within one may look the same after both.
const SETTLED_SECONDS: i64 = 3;

/// What tells a file from every other that ever was at its path: a file that replaces it is another inode, and one that is
/// written to changes its times, of which nobody can set the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

impl Identity {
    /// Of the file that is there now; a folder has none.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok().filter(Metadata::is_file)?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Its length in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether any later change will show.
    #[must_use]
    pub fn is_settled(&self, now: Timestamp) -> bool {
        now.unix_seconds().saturating_sub(self.changed.0) > SETTLED_SECONDS
    }
}

/// An answer with a whole file.
#[derive(Debug)]
pub struct Answer {
    /// The file.
    pub file: PathBuf,
    /// What it was when it was read.
    pub identity: Identity,
    /// All headers of the answer.
    pub headers: HeaderMap,
    /// The file's bytes.
    pub body: Bytes,
}

/// The answers that are kept, by the path of their URL.
#[derive(Debug)]
pub struct Memory {
    answers: Mutex<Generations<String, Arc<Answer>>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { answers: Mutex::new(Generations::new(MAX_BYTES)) }
    }
}

impl Memory {
    /// The answer that was kept for a path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Arc<Answer>> {
        self.answers().find(path)
    }

    /// Keeps an answer.
    pub fn keep(&self, path: String, answer: Answer) {
        let bytes = path.len() + answer.body.len() + ANSWER_BYTES;
        self.answers().keep(path, Arc::new(answer), bytes);
    }

    /// Forgets what was kept for a path.
    pub fn forget(&self, path: &str) {
        self.answers().forget(path);
    }

    fn answers(&self) -> MutexGuard<'_, Generations<String, Arc<Answer>>> {
        // Nothing panics half way through a look, and a lost answer is read again.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_settled_once_its_last_change_lies_a_while_back() {
        let identity = Identity { device: 1, inode: 2, bytes: 3, modified: (4, 5), changed: (6, 7) };
        let at = |seconds| Timestamp::from_unix_seconds(seconds).unwrap();
        assert!(!identity.is_settled(at(6)) && !identity.is_settled(at(6 + SETTLED_SECONDS)));
        assert!(identity.is_settled(at(7 + SETTLED_SECONDS)));
        assert!(!identity.is_settled(at(0)), "a clock that stands before the change");
    }
}
