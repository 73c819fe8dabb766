//! A log read from its first entry, or from where an earlier reading ended, to its last: every entry bundle and every tile,
//! one at a time.
//!
//! Only the right edge of the tree is held, so that memory does not grow with the log. Each tile is compared with the hashes
//! that follow from the entries; once the root is known, a difference is put down to the file that the signed checkpoint
//! does not commit to.

use transparency_log::{
    Edge, Hash, TILE_WIDTH, TileId, bundle_path, decode_bundle, encode_tile, leaf_hash, tiles_between,
};
use wiregrant_core::FactError;
use wiregrant_core::record::MAX_ENTRY_BYTES;

use super::CouldNotCheck;
use super::finding::{Finding, NO_SUCH_FILE};
use super::log::PublicLog;
use super::progress::Progress;
use super::source::{Reading, Source};
use super::tiles::MAX_TILE_BYTES;

/// 256 entries, each behind its length in two bytes.
pub const MAX_BUNDLE_BYTES: u64 = (TILE_WIDTH as u64) * (MAX_ENTRY_BYTES as u64 + 2);
/// The most files that are told apart once the root is known; one wrong entry makes one tile of each level differ.
const MAX_DIFFERENCES: usize = 64;

/// What takes the entries, numbered from 0.
pub trait Entries {
    /// Takes the next entry.
    ///
    /// # Errors
    /// The entry has no form that is known here.
    fn take(&mut self, number: u64, entry: &str) -> Result<Result<(), FactError>, CouldNotCheck>;

    /// A bundle was read to its end; the edge is that of all entries until then.
    ///
    /// # Errors
    /// What was taken cannot be kept.
    fn bundle_read(&mut self, _: &Edge) -> Result<(), CouldNotCheck> {
        Ok(())
    }
}

/// A tile that is not what follows from the entries.
struct Difference {
    tile: TileId,
    computed: Vec<Hash>,
    found: String,
}

/// One reading of a log.
struct Walk<'a> {
    source: &'a Source,
    log: &'a PublicLog,
    progress: &'a Progress,
    edge: Edge,
    differences: Vec<Difference>,
    findings: Vec<Finding>,
}

/// Why a reading cannot go on.
enum Stop {
    Cannot(CouldNotCheck),
    Found,
}

impl From<CouldNotCheck> for Stop {
    fn from(reason: CouldNotCheck) -> Self {
        Self::Cannot(reason)
    }
}

/// Reads a log whole; what does not hold in it.
///
/// # Errors
/// When a file cannot be read.
pub fn read(
    source: &Source,
    log: &PublicLog,
    entries: &mut impl Entries,
    progress: &Progress,
) -> Result<Vec<Finding>, CouldNotCheck> {
    read_from(source, log, Edge::empty(), entries, progress)
}

/// Reads what a log has beyond a beginning that was read before; what does not hold in it, or does not go on from there.
///
/// # Errors
/// When a file cannot be read.
pub fn read_from(
    source: &Source,
    log: &PublicLog,
    edge: Edge,
    entries: &mut impl Entries,
    progress: &Progress,
) -> Result<Vec<Finding>, CouldNotCheck> {
    let (begin, size) = (edge.size(), log.checkpoint.size);
    if size < begin {
        let place = format!("/{}/checkpoint", log.prefix);
        let expected = format!("{begin} entries or more, which were read before");
        let found = format!("{size} entries: the log shrank");
        return Ok(vec![Finding::new("consistency", place, expected, found)]);
    }
    let bundles = begin / u64::from(TILE_WIDTH)..size.div_ceil(u64::from(TILE_WIDTH));
    let files = bundles.end.saturating_sub(bundles.start);
    progress.expect(files.saturating_add(tiles_between(begin, size).count() as u64));
    let mut walk = Walk { source, log, progress, edge, differences: Vec::new(), findings: Vec::new() };
    for index in bundles {
        match walk.bundle(index, entries) {
            Ok(()) => {}
            Err(Stop::Cannot(reason)) => return Err(reason),
            Err(Stop::Found) => return Ok(walk.findings),
        }
    }
    walk.conclude()
}

impl Walk<'_> {
    fn bundle(&mut self, index: u64, entries: &mut impl Entries) -> Result<(), Stop> {
        let bundle = self.read_bundle(index)?;
        let known = self.known(index, &bundle)?;
        for entry in bundle.into_iter().skip(known) {
            let number = self.edge.size();
            let completed = self.edge.append(leaf_hash(&entry));
            let refusal = match std::str::from_utf8(&entry) {
                Ok(text) => entries.take(number, text)?.err().map(|e| e.to_string()),
                Err(e) => Some(e.to_string()),
            };
            if let Some(found) = refusal {
                let expected = "an entry that this version knows (update wiregrant if it is old)";
                let place = format!("/{} entry {number}", self.log.prefix);
                self.findings.push(Finding::new("entry", place, expected, found));
            }
            for tile in completed {
                self.compare(tile.id(), tile.hashes)?;
            }
        }
        self.progress.step();
        if !self.findings.is_empty() {
            return self.diagnose_early();
        }
        if self.differences.is_empty() {
            entries.bundle_read(&self.edge)?;
        }
        Ok(())
    }

    /// How many entries of a bundle an earlier reading ended with: they are in the edge already, and must be these.
    fn known(&mut self, index: u64, bundle: &[Vec<u8>]) -> Result<usize, Stop> {
        let begin = index.saturating_mul(u64::from(TILE_WIDTH));
        let known = usize::try_from(self.edge.size().saturating_sub(begin)).unwrap_or(usize::MAX);
        let leaves = self.edge.levels().first().map(Vec::as_slice).unwrap_or_default();
        let read = bundle.iter().map(|entry| leaf_hash(entry));
        let differs = leaves.iter().zip(read).take(known).enumerate().find(|(_, (leaf, read))| *leaf != read);
        if let Some((at, (leaf, read))) = differs {
            let number = begin.saturating_add(at as u64);
            let width = u16::try_from(bundle.len()).unwrap_or(TILE_WIDTH);
            let place = format!("/{}/{}", self.log.prefix, bundle_path(index, width));
            let expected = format!("entry {number} with leaf hash {leaf}, as it was read before");
            self.findings.push(Finding::new("entries", place, expected, read));
            return Err(Stop::Found);
        }
        Ok(known)
    }

    /// An entry that is not known: the rest is not read, but the bundle that holds it is held against its tile.
    fn diagnose_early(&mut self) -> Result<(), Stop> {
        let partial: Vec<_> =
            self.edge.partial_tiles().take(1).map(|(tile, hashes)| (tile, hashes.to_vec())).collect();
        for (tile, hashes) in partial {
            if self.log.checkpoint.size == self.edge.size() {
                self.compare(tile, hashes)?;
            }
        }
        self.blame()?;
        Err(Stop::Found)
    }

    fn read_bundle(&mut self, index: u64) -> Result<Vec<Vec<u8>>, Stop> {
        let left = self.log.checkpoint.size.saturating_sub(index.saturating_mul(u64::from(TILE_WIDTH)));
        let width = u16::try_from(left.min(u64::from(TILE_WIDTH))).unwrap_or(TILE_WIDTH);
        let path = format!("{}/{}", self.log.prefix, bundle_path(index, width));
        let full = format!("{}/{}", self.log.prefix, bundle_path(index, TILE_WIDTH));
        let Some((bytes, is_prefix)) = self.promised("entries", &path, &full, MAX_BUNDLE_BYTES)? else {
            return Err(Stop::Found);
        };
        let mut found = |expected: &str, found: String| {
            self.findings.push(Finding::new("entries", format!("/{path}"), expected, found));
            Stop::Found
        };
        let mut entries = decode_bundle(&bytes).map_err(|e| found("an entry bundle", e.to_string()))?;
        if is_prefix {
            entries.truncate(usize::from(width));
        }
        if entries.len() != usize::from(width) {
            return Err(found(&format!("{width} entries"), format!("{} entries", entries.len())));
        }
        Ok(entries)
    }

    /// Reads a file that the checkpoint promises; where the log has grown since, the full form of a partial one stands in
    /// for it and begins with the same.
    fn promised(
        &mut self,
        what: &str,
        path: &str,
        full: &str,
        limit: u64,
    ) -> Result<Option<(Vec<u8>, bool)>, CouldNotCheck> {
        let mut found = |found: String| {
            let expected = "what the checkpoint promises";
            self.findings.push(Finding::new(what, format!("/{path}"), expected, found));
        };
        match self.source.read(path, limit)? {
            Reading::Bytes(bytes) => return Ok(Some((bytes, false))),
            Reading::TooLong => {
                found(format!("more than {limit} bytes"));
                return Ok(None);
            }
            Reading::Absent => {}
        }
        if path != full
            && let Reading::Bytes(bytes) = self.source.read(full, limit)?
        {
            return Ok(Some((bytes, true)));
        }
        found(NO_SUCH_FILE.to_owned());
        Ok(None)
    }

    fn compare(&mut self, tile: TileId, computed: Vec<Hash>) -> Result<(), CouldNotCheck> {
        self.progress.step();
        let path = format!("{}/{}", self.log.prefix, tile.path());
        let full = format!("{}/{}", self.log.prefix, TileId { width: TILE_WIDTH, ..tile }.path());
        let Some((mut bytes, is_prefix)) = self.promised("tile", &path, &full, MAX_TILE_BYTES)? else {
            return Ok(());
        };
        let expected = encode_tile(&computed);
        if is_prefix {
            bytes.truncate(expected.len());
        }
        if bytes != expected && self.differences.len() < MAX_DIFFERENCES {
            self.differences.push(Difference { tile, computed, found: described(&bytes) });
        }
        Ok(())
    }

    fn conclude(mut self) -> Result<Vec<Finding>, CouldNotCheck> {
        let partial: Vec<_> =
            self.edge.partial_tiles().map(|(tile, hashes)| (tile, hashes.to_vec())).collect();
        for (tile, hashes) in partial {
            self.compare(tile, hashes)?;
        }
        let root = self.edge.root();
        if root == self.log.checkpoint.root {
            // Every entry is as it was signed, so that a tile that differs is the wrong one.
            for Difference { tile, computed, found } in self.differences {
                let place = format!("/{}/{}", self.log.prefix, tile.path());
                let expected = described(&encode_tile(&computed));
                self.findings.push(Finding::new("tile", place, expected, found));
            }
            return Ok(self.findings);
        }
        self.blame()?;
        if self.findings.is_empty() {
            let place = format!("/{}/checkpoint", self.log.prefix);
            let found = format!("{root}, of all entries");
            self.findings.push(Finding::new("root", place, self.log.checkpoint.root, found));
        }
        Ok(self.findings)
    }

    /// Names the bundles that are not what the signed checkpoint commits to: those whose tile is proved under it.
    fn blame(&mut self) -> Result<(), CouldNotCheck> {
        let leaves = self.differences.iter().filter(|difference| difference.tile.level == 0);
        for difference in leaves {
            let tile = difference.tile;
            let Some(proved) = self.log.proved_leaves(self.source, tile)? else { continue };
            let place = format!("/{}/{}", self.log.prefix, bundle_path(tile.index, tile.width));
            let differs = proved.iter().zip(&difference.computed).position(|(proved, found)| proved != found);
            let at = differs.unwrap_or_default();
            let number = tile.index.saturating_mul(u64::from(TILE_WIDTH)).saturating_add(at as u64);
            let hash =
                |hashes: &[Hash]| hashes.get(at).map_or_else(|| "none".to_owned(), ToString::to_string);
            let expected = format!("entry {number} with leaf hash {}", hash(&proved));
            self.findings.push(Finding::new("entries", place, expected, hash(&difference.computed)));
        }
        Ok(())
    }
}

fn described(bytes: &[u8]) -> String {
    format!("{} bytes with SHA-256 {}", bytes.len(), Hash::of(bytes))
}
