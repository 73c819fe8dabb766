//! One public log, read whole: its key, its checkpoint, every entry and every tile.

use transparency_log::{
    Checkpoint, MemoryTree, TILE_WIDTH, TileId, Verifier, bundle_path, decode_bundle, encode_tile, leaf_hash,
    tiles_for,
};
use wiregrant_core::FactError;
use wiregrant_core::record::MAX_ENTRY_BYTES;

use super::CouldNotCheck;
use super::finding::Finding;
use super::progress::Progress;
use super::source::{Reading, Source};

/// The most entries that are held in memory at once.
const MAX_ENTRIES: u64 = 20_000_000;
const MAX_VKEY_BYTES: u64 = 1_024;
const MAX_CHECKPOINT_BYTES: u64 = 256 * 1024;
/// 256 entries, each behind its length in two bytes.
const MAX_BUNDLE_BYTES: u64 = (TILE_WIDTH as u64) * (MAX_ENTRY_BYTES as u64 + 2);
const MAX_TILE_BYTES: u64 = (TILE_WIDTH as u64) * 32;
/// How often a log is read again when it grew under our hands and took its partial tiles away.
const MAX_READINGS: usize = 5;

/// A log that holds by itself: the root of its entries is the one that its key signed.
pub struct PublicLog<E> {
    /// The folder it lies in, such as `log`.
    pub prefix: &'static str,
    /// Its key.
    pub verifier: Verifier,
    /// Its checkpoint.
    pub checkpoint: Checkpoint,
    /// The checkpoint as it was signed.
    pub note: String,
    /// All its hashes.
    pub tree: MemoryTree,
    /// All its entries.
    pub entries: Vec<E>,
    /// The size of the checkpoint kept from an earlier run, with which this one is consistent.
    pub kept: Option<u64>,
}

/// Why reading a log stopped.
enum Stop {
    Cannot(CouldNotCheck),
    Found(Finding),
    /// A file is not there, which is a finding unless the log has grown meanwhile.
    Missing(Finding),
}

impl From<CouldNotCheck> for Stop {
    fn from(reason: CouldNotCheck) -> Self {
        Self::Cannot(reason)
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

/// Reads a log whole, or says what about it does not hold.
///
/// # Errors
/// When a file cannot be read, or there is no checkpoint: then there is no log.
pub fn read<E>(
    source: &Source,
    prefix: &'static str,
    verifier: &Verifier,
    parse: fn(&str) -> Result<E, FactError>,
    progress: &mut Progress,
) -> Result<Result<PublicLog<E>, Finding>, CouldNotCheck> {
    let mut note = checkpoint_note(source, prefix)?;
    for _ in 1..MAX_READINGS {
        match read_at(source, prefix, verifier, parse, progress, &note) {
            Ok(log) => return Ok(Ok(log)),
            Err(Stop::Cannot(reason)) => return Err(reason),
            Err(Stop::Found(finding)) => return Ok(Err(finding)),
            Err(Stop::Missing(finding)) => {
                let newer = checkpoint_note(source, prefix)?;
                if newer == note {
                    return Ok(Err(finding));
                }
                note = newer;
            }
        }
    }
    Err(CouldNotCheck(format!(
        "{source}/{prefix} grew each of the {MAX_READINGS} times it was read; try again"
    )))
}

fn checkpoint_note(source: &Source, prefix: &str) -> Result<Vec<u8>, CouldNotCheck> {
    let path = format!("{prefix}/checkpoint");
    match source.read(&path, MAX_CHECKPOINT_BYTES)? {
        Reading::Bytes(bytes) => Ok(bytes),
        Reading::Absent => Err(CouldNotCheck(format!("{source} has no /{path}"))),
        // No checkpoint is that long, so that whatever is parsed from it is refused, and found.
        Reading::TooLong => Ok(b"longer than any checkpoint".to_vec()),
    }
}

fn read_at<E>(
    source: &Source,
    prefix: &'static str,
    verifier: &Verifier,
    parse: fn(&str) -> Result<E, FactError>,
    progress: &mut Progress,
    note: &[u8],
) -> Result<PublicLog<E>, Stop> {
    let at = format!("/{prefix}/checkpoint");
    let note = String::from_utf8_lossy(note).into_owned();
    let checkpoint = Checkpoint::parse_verified(&note, verifier).map_err(|e| {
        let expected = format!("a checkpoint signed by {}", verifier.name());
        Stop::Found(Finding::new("checkpoint", &at, expected, e))
    })?;
    if checkpoint.size > MAX_ENTRIES {
        let size = checkpoint.size;
        return Err(
            CouldNotCheck(format!("{at}: {size} entries; this program holds up to {MAX_ENTRIES}")).into()
        );
    }
    let bundles = checkpoint.size.div_ceil(u64::from(TILE_WIDTH));
    let tiles: Vec<TileId> = tiles_for(checkpoint.size).collect();
    progress.expect(bundles.saturating_add(tiles.len() as u64));

    let (mut tree, mut entries) = (MemoryTree::new(), Vec::new());
    for index in 0..bundles {
        for entry in read_bundle(source, prefix, index, checkpoint.size)? {
            let number = tree.size();
            tree.push(leaf_hash(&entry));
            entries.push(parsed(prefix, number, &entry, parse)?);
        }
        progress.step();
    }
    let root = tree.root_at(checkpoint.size).map_err(|e| CouldNotCheck(e.to_string()))?;
    if root != checkpoint.root {
        return Err(Stop::Found(Finding::new(
            "root",
            at,
            checkpoint.root,
            format!("{root}, of all entries"),
        )));
    }
    for tile in tiles {
        check_tile(source, prefix, tile, &tree)?;
        progress.step();
    }
    Ok(PublicLog { prefix, verifier: verifier.clone(), checkpoint, note, tree, entries, kept: None })
}

fn parsed<E>(
    prefix: &str,
    number: u64,
    entry: &[u8],
    parse: fn(&str) -> Result<E, FactError>,
) -> Result<E, Stop> {
    let found = |found: String| {
        let expected = "an entry that this version knows (update wiregrant if it is old)";
        Stop::Found(Finding::new("entry", format!("/{prefix} entry {number}"), expected, found))
    };
    let text = std::str::from_utf8(entry).map_err(|e| found(e.to_string()))?;
    parse(text).map_err(|e| found(e.to_string()))
}

/// Reads a file that the checkpoint promises.
fn promised(source: &Source, what: &str, path: &str, limit: u64) -> Result<Vec<u8>, Stop> {
    let found = |found: String| Finding::new(what, format!("/{path}"), "what the checkpoint promises", found);
    match source.read(path, limit)? {
        Reading::Bytes(bytes) => Ok(bytes),
        Reading::Absent => Err(Stop::Missing(found("no such file".to_owned()))),
        Reading::TooLong => Err(Stop::Found(found(format!("more than {limit} bytes")))),
    }
}

fn read_bundle(source: &Source, prefix: &str, index: u64, size: u64) -> Result<Vec<Vec<u8>>, Stop> {
    let left = size.saturating_sub(index.saturating_mul(u64::from(TILE_WIDTH)));
    let width = u16::try_from(left.min(u64::from(TILE_WIDTH))).expect("at most 256");
    let path = format!("{prefix}/{}", bundle_path(index, width));
    let bytes = promised(source, "entries", &path, MAX_BUNDLE_BYTES)?;
    let found = |expected: &str, found: String| {
        Stop::Found(Finding::new("entries", format!("/{path}"), expected, found))
    };
    let entries = decode_bundle(&bytes).map_err(|e| found("an entry bundle", e.to_string()))?;
    if entries.len() != usize::from(width) {
        return Err(found(&format!("{width} entries"), format!("{} entries", entries.len())));
    }
    Ok(entries)
}

fn check_tile(source: &Source, prefix: &str, tile: TileId, tree: &MemoryTree) -> Result<(), Stop> {
    use transparency_log::HashSource as _;
    let path = format!("{prefix}/{}", tile.path());
    let bytes = promised(source, "tile", &path, MAX_TILE_BYTES)?;
    let expected = encode_tile(&tree.tile(tile).map_err(|e| CouldNotCheck(e.to_string()))?);
    if bytes == expected {
        return Ok(());
    }
    let hash =
        |bytes: &[u8]| format!("{} bytes with SHA-256 {}", bytes.len(), transparency_log::Hash::of(bytes));
    Err(Stop::Found(Finding::new("tile", format!("/{path}"), hash(&expected), hash(&bytes))))
}
