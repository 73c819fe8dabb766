//! One public log: its key and its signed checkpoint. What it holds is read by [`super::reading`].

use transparency_log::{Checkpoint, Verifier};

use super::CouldNotCheck;
use super::finding::Finding;
use super::source::{Reading, Source};

const MAX_VKEY_BYTES: u64 = 1_024;
/// The longest checkpoint that is read.
pub const MAX_CHECKPOINT_BYTES: u64 = 256 * 1024;

/// A log under a checkpoint that its key signed.
#[derive(Debug, Clone)]
pub struct PublicLog {
    /// The folder it lies in, such as `log`.
    pub prefix: &'static str,
    /// Its key.
    pub verifier: Verifier,
    /// Its checkpoint.
    pub checkpoint: Checkpoint,
    /// The checkpoint as it was signed.
    pub note: String,
    /// The size of the checkpoint kept from an earlier run, with which this one is consistent.
    pub kept: Option<u64>,
    /// How many of its entries were read by an earlier run that was cut off.
    pub resumed: u64,
    /// Other keys that are trusted from before for this log: the record is to lead from each of them to the one that signs now.
    pub pins: Vec<Pin>,
}

/// A key that is trusted from before.
#[derive(Debug, Clone)]
pub struct Pin {
    /// The key.
    pub key: Verifier,
    /// Where it is from.
    pub place: String,
}

impl Pin {
    /// The finding that nothing leads from this key to the one that signs.
    pub fn unfollowed(&self, prefix: &str, signs: &Verifier) -> Finding {
        Finding::new("log key", format!("/{prefix}/vkey"), &self.key, format!("{signs} ({})", self.place))
    }
}

impl PublicLog {
    /// The findings of a log that does not hold: nothing leads from the keys that are trusted to the one that signs it.
    pub fn unfollowed(&self) -> impl Iterator<Item = Finding> {
        self.pins.iter().map(|pin| pin.unfollowed(self.prefix, &self.verifier))
    }
}

/// The key that a log publishes, or the finding that it is none.
///
/// # Errors
/// When it cannot be read, or there is no such file: then there is no log.
pub fn published_key(source: &Source, prefix: &str) -> Result<Result<Verifier, Finding>, CouldNotCheck> {
    let path = format!("{prefix}/vkey");
    let refused =
        |found: String| Ok(Err(Finding::new("log key", format!("/{path}"), "a C2SP verifier key", found)));
    match source.read(&path, MAX_VKEY_BYTES)? {
        Reading::Absent => {
            Err(CouldNotCheck(format!("{source} has no /{path}: is it a wiregrant's public folder?")))
        }
        Reading::TooLong => refused(format!("more than {MAX_VKEY_BYTES} bytes")),
        Reading::Bytes(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            match text.strip_suffix('\n').unwrap_or(&text).parse::<Verifier>() {
                Ok(verifier) => Ok(Ok(verifier)),
                Err(e) => refused(e.to_string()),
            }
        }
    }
}

/// The checkpoint's text as it is now; `None` where there is none that is text.
///
/// # Errors
/// When it cannot be read.
pub fn checkpoint_note(source: &Source, prefix: &str) -> Result<Option<String>, CouldNotCheck> {
    match source.read(&format!("{prefix}/checkpoint"), MAX_CHECKPOINT_BYTES)? {
        Reading::Bytes(bytes) => Ok(String::from_utf8(bytes).ok()),
        Reading::Absent | Reading::TooLong => Ok(None),
    }
}

/// The log under its newest checkpoint, or the finding that this is none of its key.
///
/// # Errors
/// When it cannot be read, or there is no such file: then there is no log.
pub fn published(
    source: &Source,
    prefix: &'static str,
    verifier: &Verifier,
) -> Result<Result<PublicLog, Finding>, CouldNotCheck> {
    let path = format!("{prefix}/checkpoint");
    let refused = |found: String| {
        let expected = format!("a checkpoint signed by {}", verifier.name());
        Ok(Err(Finding::new("checkpoint", format!("/{path}"), expected, found)))
    };
    let bytes = match source.read(&path, MAX_CHECKPOINT_BYTES)? {
        Reading::Bytes(bytes) => bytes,
        Reading::Absent => return Err(CouldNotCheck(format!("{source} has no /{path}"))),
        Reading::TooLong => return refused(format!("more than {MAX_CHECKPOINT_BYTES} bytes")),
    };
    let note = match String::from_utf8(bytes) {
        Ok(note) => note,
        Err(e) => return refused(e.to_string()),
    };
    match Checkpoint::parse_verified(&note, verifier) {
        Ok(checkpoint) => Ok(Ok(PublicLog {
            prefix,
            verifier: verifier.clone(),
            checkpoint,
            note,
            kept: None,
            resumed: 0,
            pins: Vec::new(),
        })),
        Err(e) => refused(e.to_string()),
    }
}
