//! Files of a folder that no reading of the newest state asks for, and that must be right all the same: the partial tiles and
//! bundles of earlier sizes, which whoever holds an older checkpoint may ask for, and notes under their hash.
//!
//! Only a folder can be listed. Of a web server these files are asked for by their names, which only an older checkpoint tells.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use transparency_log::{
    Hash, HashSource as _, LogError, TILE_WIDTH, TileId, bundle_path, decode_bundle, encode_bundle,
    encode_tile, parse_bundle_path,
};

use super::CouldNotCheck;
use super::finding::Finding;
use super::log::PublicLog;
use super::reading::MAX_BUNDLE_BYTES;
use super::source::{Reading, Source};
use super::tiles::Trouble;

/// What is told of a web server.
pub const NOT_LISTED: &str = "partial tiles of earlier sizes: a web server does not list them";

/// What does not hold of them; `None` where they cannot be listed. The log itself holds.
///
/// # Errors
/// When a file cannot be read.
pub fn check(source: &Source, log: &PublicLog) -> Result<Option<Vec<Finding>>, CouldNotCheck> {
    let Source::Folder(folder) = source else { return Ok(None) };
    let below = folder.join(log.prefix);
    let mut found = Vec::new();
    for path in files(&below.join("note"))? {
        let hash = Hash::of(&read(&path)?).to_hex();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.len() == hash.len() && name != hash {
            found.push(Finding::new("note", format!("/{}/note/{name}", log.prefix), &name, hash));
        }
    }
    for wrong in wrong_partials(source, log, folder)? {
        let Wrong { what, relative, right } = wrong;
        let expected = format!("{} bytes with SHA-256 {}", right.len(), Hash::of(&right));
        found.push(Finding::new(what, format!("/{relative}"), expected, "others"));
    }
    Ok(Some(found))
}

/// Writes those anew that are wrong in a copy, in which the log itself holds: a disk may have changed a byte, and whom it was
/// copied from may have removed them since.
///
/// # Errors
/// When a file can be neither read nor written.
pub fn mend(
    folder: &Path,
    log: &PublicLog,
    write: impl Fn(&str, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let source = Source::Folder(folder.to_owned());
    let wrong = wrong_partials(&source, log, folder)?;
    wrong.iter().try_for_each(|Wrong { relative, right, .. }| write(relative, right))
}

/// A partial tile or bundle that is not what the log had at its size.
struct Wrong {
    what: &'static str,
    /// Its path in the public folder.
    relative: String,
    /// What belongs there.
    right: Vec<u8>,
}

fn wrong_partials(source: &Source, log: &PublicLog, folder: &Path) -> Result<Vec<Wrong>, CouldNotCheck> {
    let below = folder.join(log.prefix);
    let mut wrong = Vec::new();
    for path in files(&below.join("tile"))? {
        let Ok(relative) = path.strip_prefix(&below) else { continue };
        wrong.extend(partial(source, log, &relative.to_string_lossy(), &path)?);
    }
    Ok(wrong)
}

/// A file, where it is a partial tile or bundle of a size that the log has had, and is not right.
fn partial(
    source: &Source,
    log: &PublicLog,
    relative: &str,
    path: &Path,
) -> Result<Option<Wrong>, CouldNotCheck> {
    let bundle = parse_bundle_path(relative).ok();
    let tile = match (bundle, relative.parse::<TileId>()) {
        (Some((index, width)), _) => TileId { level: 0, index, width },
        (None, Ok(tile)) => tile,
        (None, Err(_)) => return Ok(None),
    };
    let level_size = log.checkpoint.size.checked_shr(8 * u32::from(tile.level)).unwrap_or(0);
    let begin = tile.index.saturating_mul(u64::from(TILE_WIDTH));
    let left = level_size.saturating_sub(begin);
    // What is full was read already; what is beyond belongs to a checkpoint that is to come.
    if tile.is_full() || u64::from(tile.width) > left {
        return Ok(None);
    }
    let (what, right) = match bundle {
        Some(_) => {
            let widest = u16::try_from(left.min(u64::from(TILE_WIDTH))).unwrap_or(TILE_WIDTH);
            ("entries", first_entries(source, log, tile, widest)?)
        }
        None => {
            let hashes = log.tiles(source).tile(tile).map_err(|trouble| match trouble {
                Trouble::Cannot(reason) => reason,
                Trouble::Log(e) => changed(source, log, &e),
            })?;
            ("tile", encode_tile(&hashes))
        }
    };
    let relative = format!("{}/{relative}", log.prefix);
    Ok((read(path)? != right).then_some(Wrong { what, relative, right }))
}

/// A bundle of the first entries of the one that the checkpoint promises.
fn first_entries(
    source: &Source,
    log: &PublicLog,
    tile: TileId,
    widest: u16,
) -> Result<Vec<u8>, CouldNotCheck> {
    for width in [widest, TILE_WIDTH] {
        let path = format!("{}/{}", log.prefix, bundle_path(tile.index, width));
        if let Reading::Bytes(bytes) = source.read(&path, MAX_BUNDLE_BYTES)? {
            let mut entries = decode_bundle(&bytes).map_err(|e| changed(source, log, &e))?;
            entries.truncate(usize::from(tile.width));
            return encode_bundle(&entries).map_err(|e| changed(source, log, &e));
        }
    }
    let path = bundle_path(tile.index, widest);
    Err(CouldNotCheck(format!("{source}/{}/{path} went away while it was read", log.prefix)))
}

fn changed(source: &Source, log: &PublicLog, error: &LogError) -> CouldNotCheck {
    CouldNotCheck(format!("{source}/{}: it changed while it was read: {error}", log.prefix))
}

fn read(path: &Path) -> Result<Vec<u8>, CouldNotCheck> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(e) => Err(CouldNotCheck(format!("{} cannot be read: {e}", path.display()))),
    }
}

/// The files below a folder; none where there is no such folder. In a live one some may go while they are listed.
fn files(folder: &Path) -> Result<Vec<PathBuf>, CouldNotCheck> {
    let (mut all, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(at) = folders.pop() {
        let cannot = |e: io::Error| CouldNotCheck(format!("{} cannot be read: {e}", at.display()));
        let entries = match fs::read_dir(&at) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(cannot(e)),
        };
        for entry in entries {
            let entry = entry.map_err(cannot)?;
            let kind = entry.file_type().map_err(cannot)?;
            match kind.is_dir() {
                true => folders.push(entry.path()),
                // Of millions of full tiles not even the names are held.
                false if in_partials(&at) || folder.ends_with("note") => all.push(entry.path()),
                false => {}
            }
        }
    }
    Ok(all)
}

/// Whether this is a folder of partial forms, such as `000.p`.
fn in_partials(folder: &Path) -> bool {
    folder.extension().is_some_and(|extension| extension == "p")
}
