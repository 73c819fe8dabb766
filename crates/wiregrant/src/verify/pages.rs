//! Pages, tables and assets beside the logs: each is what the signed manifest says.

use std::time::Duration;

use transparency_log::Hash;
use wiregrant_core::manifest::{MANIFEST_PATH, MAX_PUBLIC_FILE_BYTES, Manifest};
use wiregrant_core::note::{NoteText as _, Signed};

use super::CouldNotCheck;
use super::difference::Difference;
use super::finding::{Finding, NO_SUCH_FILE};
use super::log::PublicLog;
use super::progress::Progress;
use super::replay::Record;
use super::source::{Reading, Source};

/// What is told where there is no manifest.
pub const NOT_THERE: &str = "pages, CSV and JSON: there are none here";
/// The page that every public folder with pages has.
const LANDING: &str = "index.html";
/// Pages are written one after the other and their manifest last: who reads in between looks again.
const LOOKS: usize = 3;
const PAUSE: Duration = Duration::from_millis(300);

/// What does not hold of the files that the manifest names; `None` where there are no pages.
///
/// # Errors
/// When a file cannot be read.
pub fn check(
    source: &Source,
    log: &PublicLog,
    record: &Record,
    progress: &Progress,
) -> Result<Option<Vec<Finding>>, CouldNotCheck> {
    let mut found = Vec::new();
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(PAUSE);
        }
        let manifest = match manifest(source, log, record)? {
            None if matches!(source.read(LANDING, MAX_PUBLIC_FILE_BYTES)?, Reading::Absent) => {
                return Ok(None);
            }
            None => {
                let expected = "a signed manifest of the pages that are here";
                found = vec![Finding::new("manifest", format!("/{MANIFEST_PATH}"), expected, NO_SUCH_FILE)];
                continue;
            }
            Some(Ok(manifest)) => manifest,
            Some(Err(finding)) => {
                found = vec![finding];
                continue;
            }
        };
        found = differences(source, &manifest, progress)?;
        if found.is_empty() {
            break;
        }
    }
    Ok(Some(found))
}

/// The manifest, signed by the statement key, about a state of this record; or the finding that it is not.
///
/// # Errors
/// When it cannot be read.
pub fn manifest(
    source: &Source,
    log: &PublicLog,
    record: &Record,
) -> Result<Option<Result<Manifest, Finding>>, CouldNotCheck> {
    let place = format!("/{MANIFEST_PATH}");
    let refused = |difference: Difference| Ok(Some(Err(difference.at(&place))));
    let bytes = match source.read(MANIFEST_PATH, Manifest::MAX_BYTES as u64)? {
        Reading::Absent => return Ok(None),
        Reading::TooLong => return refused(Difference::new("manifest", "at most 16 MiB", "more")),
        Reading::Bytes(bytes) => bytes,
    };
    let Some(key) = record.statement_key() else {
        return refused(Difference::new("manifest", "a statement key in the record", "none"));
    };
    let text = String::from_utf8_lossy(&bytes);
    let signed = Signed::<Manifest>::parse(&text).and_then(|signed| signed.verified_by(key).map(|()| signed));
    let manifest = match signed {
        Ok(signed) => signed.into_content(),
        Err(error) => return refused(error.into()),
    };
    if let Some(difference) = Difference::unless_equal("log", &log.checkpoint.origin, &manifest.log) {
        return refused(difference);
    }
    let most = log.checkpoint.size;
    if manifest.record_size > most {
        return refused(Difference::new("record: size", format!("at most {most}"), manifest.record_size));
    }
    let root = log.root_at(source, manifest.record_size)?;
    match Difference::unless_equal("record: root", root, manifest.record_root) {
        Some(difference) => refused(difference),
        None => Ok(Some(Ok(manifest))),
    }
}

fn differences(
    source: &Source,
    manifest: &Manifest,
    progress: &Progress,
) -> Result<Vec<Finding>, CouldNotCheck> {
    progress.expect(manifest.files.len() as u64);
    let mut found = Vec::new();
    for (path, hash) in &manifest.files {
        progress.step();
        let is = match source.read(path.as_str(), MAX_PUBLIC_FILE_BYTES)? {
            Reading::Bytes(bytes) => Hash::of(&bytes).to_string(),
            Reading::Absent => NO_SUCH_FILE.to_owned(),
            Reading::TooLong => format!("more than {MAX_PUBLIC_FILE_BYTES} bytes"),
        };
        found.extend(
            Difference::unless_equal("page", hash, is).map(|differs| differs.at(&format!("/{path}"))),
        );
    }
    Ok(found)
}
