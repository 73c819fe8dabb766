//! Pages, tables and assets of the copy: those that the signed manifest names, and the manifest after them.

use std::fs;

use anyhow::Result;
use transparency_log::Hash;
use wiregrant_core::manifest::{MANIFEST_PATH, MAX_PUBLIC_FILE_BYTES, Manifest};
use wiregrant_core::note::{NoteText as _, Signed};

use super::copy::Copy;
use crate::verify::log::PublicLog;
use crate::verify::source::Reading;
use crate::verify::{CouldNotCheck, Record, pages};

/// Copies what differs. What does not hold of a page is a finding of the check before; it is not copied.
///
/// # Errors
/// When a file cannot be written; within, when one cannot be fetched.
pub fn copy(copy: &Copy, log: &PublicLog, record: Option<&Record>) -> Result<Result<(), CouldNotCheck>> {
    let Some(record) = record else { return Ok(Ok(())) };
    let manifest = match pages::manifest(copy.upstream(), log, record) {
        Ok(Some(Ok(manifest))) => manifest,
        Ok(_) => return Ok(Ok(())),
        Err(reason) => return Ok(Err(reason)),
    };
    let bytes = match copy.upstream().read(MANIFEST_PATH, Manifest::MAX_BYTES as u64) {
        Ok(Reading::Bytes(bytes)) => bytes,
        Ok(_) => return Ok(Ok(())),
        Err(reason) => return Ok(Err(reason)),
    };
    let mut staged = Vec::new();
    for (path, hash) in &manifest.files {
        let place = copy.folder().join(path.as_str());
        if fs::read(&place).is_ok_and(|present| Hash::of(&present) == *hash) {
            continue;
        }
        match copy.upstream().read(path.as_str(), MAX_PUBLIC_FILE_BYTES) {
            Ok(Reading::Bytes(bytes)) if Hash::of(&bytes) == *hash => {
                copy.count(&bytes);
                copy.stage(path.as_str(), &bytes)?;
                staged.push(path);
            }
            // Rendered anew meanwhile, or a finding: the next run sees which.
            Ok(_) => return Ok(Ok(())),
            Err(reason) => return Ok(Err(reason)),
        }
    }
    staged.into_iter().try_for_each(|path| copy.place(path.as_str()))?;
    remove_dropped(copy, &manifest)?;
    copy.write(MANIFEST_PATH, &bytes)?;
    Ok(Ok(()))
}

/// Removes pages that the manifest in place names and the new one does not.
fn remove_dropped(copy: &Copy, manifest: &Manifest) -> Result<()> {
    let Ok(text) = fs::read_to_string(copy.folder().join(MANIFEST_PATH)) else { return Ok(()) };
    let Ok(before) = Signed::<Manifest>::parse(&text) else { return Ok(()) };
    for path in before.content().files.keys().filter(|path| !manifest.files.contains_key(*path)) {
        match fs::remove_file(copy.folder().join(path.as_str())) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    Ok(())
}
