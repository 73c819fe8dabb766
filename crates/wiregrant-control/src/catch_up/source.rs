//! `Source`: public files of this very control plane, as they survived here, at a mirror or on a web server. Nothing in them is
//! believed but what a checkpoint by the control plane's own key commits to.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use transparency_log::{
    Checkpoint, Hash, MAX_ENTRY_BYTES, TILE_WIDTH, TileId, Verifier, bundle_path, decode_bundle, decode_tile,
};
use wiregrant_core::note::{NoteText, Signed};
use wiregrant_store::Log;

use crate::log_keys::{HandedOver, verified, with_lines_of};

const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CHECKPOINT_BYTES: u64 = 256 * 1024;
const MAX_TILE_BYTES: u64 = TILE_WIDTH as u64 * 32;
const MAX_BUNDLE_BYTES: u64 = TILE_WIDTH as u64 * (MAX_ENTRY_BYTES as u64 + 2);

/// Where public files lie.
pub struct Source {
    name: String,
    /// `None` for a folder.
    http: Option<ureq::Agent>,
}

/// A log as a source shows it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its state, which the control plane's key has signed.
    pub checkpoint: Checkpoint,
    /// The checkpoint with the signatures of that log's keys and no others.
    pub note: String,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The folder of a log below the public one.
#[must_use]
pub fn folder(log: Log) -> &'static str {
    match log {
        Log::Record => "log",
        Log::Reports => "reports",
    }
}

impl Source {
    /// An address that begins with `http://` or `https://`, or else a folder.
    #[must_use]
    pub fn new(place: &str) -> Self {
        let is_web = place.starts_with("http://") || place.starts_with("https://");
        let http = is_web.then(|| {
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .timeout_global(Some(TIMEOUT))
                .user_agent(concat!("wiregrant-control/", env!("CARGO_PKG_VERSION")))
                .build()
                .new_agent()
        });
        Self { name: place.trim_end_matches('/').to_owned(), http }
    }

    /// The bytes of a file; `None` where there is none.
    fn read(&self, path: &str, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
        let shown = format!("{self}/{path}");
        let read = match &self.http {
            None => File::open(PathBuf::from(&self.name).join(path)).and_then(|file| bounded(file, limit)),
            Some(http) => {
                http.get(&shown).call().map_err(io::Error::other).and_then(|mut answer| {
                    match answer.status().as_u16() {
                        200 => bounded(
                            answer.body_mut().with_config().limit(limit.saturating_add(2)).reader(),
                            limit,
                        ),
                        404 => Err(io::ErrorKind::NotFound.into()),
                        status => Err(io::Error::other(format!("status {status}"))),
                    }
                })
            }
        };
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(shown),
        }
    }

    /// The log under its signed checkpoint; `None` where none is published.
    ///
    /// # Errors
    /// When it cannot be read, or is signed by none of these keys.
    pub fn log(&self, log: Log, keys: &[Verifier]) -> anyhow::Result<Option<Shown>> {
        self.checkpoint(&format!("{}/checkpoint", folder(log)), keys)
    }

    /// The last checkpoint that a former key of the record has signed; `None` where it is not published.
    ///
    /// # Errors
    /// When it cannot be read, or is not signed by that key.
    pub fn handed_over(&self, key: &Verifier) -> anyhow::Result<Option<Shown>> {
        let path = format!("{}/{}", folder(Log::Record), HandedOver::file(key));
        self.checkpoint(&path, std::slice::from_ref(key))
    }

    fn checkpoint(&self, path: &str, keys: &[Verifier]) -> anyhow::Result<Option<Shown>> {
        let Some(bytes) = self.read(path, MAX_CHECKPOINT_BYTES)? else { return Ok(None) };
        let named = || {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            format!("{self}/{path}: not a checkpoint of this control plane's key {}", keys.join(" or "))
        };
        let text = String::from_utf8(bytes).with_context(named)?;
        let checkpoint = verified(keys, &text).with_context(named)?;
        Ok(Some(Shown { checkpoint, note: with_lines_of(keys, &text).with_context(named)? }))
    }

    /// A file by the path of its width, or of the full one, which takes its place once it is there (c2sp.org/tlog-tiles).
    fn file(&self, log: Log, paths: [String; 2], limit: u64) -> anyhow::Result<Vec<u8>> {
        for path in &paths {
            if let Some(bytes) = self.read(&format!("{}/{path}", folder(log)), limit)? {
                return Ok(bytes);
            }
        }
        bail!("{self}/{}/{}: there is no such file; this copy of the log is not whole", folder(log), paths[0])
    }

    /// Tiles of the log.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn tiles(
        &self,
        log: Log,
        wanted: impl IntoIterator<Item = TileId>,
    ) -> anyhow::Result<BTreeMap<TileId, Vec<Hash>>> {
        let mut tiles = BTreeMap::new();
        for tile in wanted {
            let full = TileId { width: TILE_WIDTH, ..tile };
            let mut hashes = decode_tile(&self.file(log, [tile.path(), full.path()], MAX_TILE_BYTES)?)?;
            let (found, width) = (hashes.len(), usize::from(tile.width));
            ensure!(found >= width, "{self}/{}/{tile}: {found} hashes, not {width}", folder(log));
            hashes.truncate(width);
            tiles.insert(tile, hashes);
        }
        Ok(tiles)
    }

    /// The first `width` entries of a bundle.
    ///
    /// # Errors
    /// When it cannot be read, or an entry is no text.
    pub fn bundle(&self, log: Log, index: u64, width: u16) -> anyhow::Result<Vec<String>> {
        let paths = [bundle_path(index, width), bundle_path(index, TILE_WIDTH)];
        let place = format!("{self}/{}/{}", folder(log), paths[0]);
        let mut entries = decode_bundle(&self.file(log, paths, MAX_BUNDLE_BYTES)?)?;
        ensure!(entries.len() >= usize::from(width), "{place}: {} entries, not {width}", entries.len());
        entries.truncate(usize::from(width));
        entries.into_iter().map(|entry| String::from_utf8(entry).with_context(|| place.clone())).collect()
    }

    /// The public note of this hash.
    ///
    /// # Errors
    /// When there is none, or it is not of its form.
    pub fn note<T: NoteText>(&self, hash: Hash) -> anyhow::Result<Signed<T>> {
        let path = format!("log/note/{}", hash.to_hex());
        let bytes = self.read(&path, T::MAX_BYTES as u64)?;
        let bytes =
            bytes.with_context(|| format!("{self}/{path}: there is no such file; this copy is not whole"))?;
        ensure!(Hash::of(&bytes) == hash, "{self}/{path}: this is not the note of its name");
        let text = String::from_utf8(bytes).with_context(|| format!("{self}/{path}"))?;
        Signed::parse(&text).with_context(|| format!("{self}/{path}"))
    }
}

fn bounded(source: impl io::Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("more than {limit} bytes")));
    }
    Ok(bytes)
}
