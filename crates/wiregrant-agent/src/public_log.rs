//! `PublicLog`: the reports log as anybody publishes it, read from a folder or a web server, and believed in nothing but what its
//! checkpoint signs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use transparency_log::{
    Checkpoint, Hash, HashSource, LogError, MAX_ENTRY_BYTES, Note, TILE_WIDTH, TileId, Verifier,
    WitnessPolicy, bundle_path, decode_bundle, decode_tile,
};

use crate::pinned::{self, Pin};

const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CHECKPOINT_BYTES: u64 = 256 * 1024;
const MAX_TILE_BYTES: u64 = TILE_WIDTH as u64 * 32;
const MAX_BUNDLE_BYTES: u64 = TILE_WIDTH as u64 * (MAX_ENTRY_BYTES as u64 + 2);

/// Why it could not be read, which says nothing about what it holds.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl From<LogError> for Unreadable {
    fn from(error: LogError) -> Self {
        Self(error.to_string())
    }
}

/// Where public files lie.
pub enum Place {
    /// On this machine.
    Folder(PathBuf),
    /// On a web server.
    Web {
        /// Without a slash at the end.
        url: String,
        /// The client.
        http: ureq::Agent,
    },
}

impl Place {
    /// An address that begins with `http://` or `https://`, or else a folder. A control plane's own address may have a pinned TLS key.
    #[must_use]
    pub fn new(place: &str, pin: Option<Pin>) -> Self {
        if !place.starts_with("http://") && !place.starts_with("https://") {
            return Self::Folder(place.into());
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("wiregrant-agent/", env!("CARGO_PKG_VERSION")))
            .build();
        let http = pinned::client(config, pin);
        Self::Web { url: place.trim_end_matches('/').to_owned(), http }
    }

    /// The bytes of a file, or `None` where there is none.
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Unreadable> {
        let (shown, bytes) = match self {
            Self::Folder(folder) => {
                let path = folder.join(path);
                let read = File::open(&path).and_then(|file| bounded(file, limit));
                (path.display().to_string(), read)
            }
            Self::Web { url, http } => {
                let url = format!("{url}/{path}");
                let read =
                    http.get(&url).call().map_err(io::Error::other).and_then(|mut answer| {
                        match answer.status().as_u16() {
                            200 => bounded(answer.body_mut().with_config().limit(limit + 2).reader(), limit),
                            404 => Err(io::ErrorKind::NotFound.into()),
                            status => Err(io::Error::other(format!("status {status}"))),
                        }
                    });
                (url, read)
            }
        };
        match bytes {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Unreadable(format!("{shown}: {error}"))),
        }
    }

    /// The checkpoint of the log that lies below `prefix` (`log` or `reports`), signed by one of its keys, of which the newest comes last;
    /// and which it is.
    ///
    /// # Errors
    /// When there is none, or it is not signed by a key, or not by enough witnesses.
    pub fn checkpoint(
        &self,
        prefix: &str,
        keys: &[Verifier],
        policy: Option<&WitnessPolicy>,
    ) -> Result<(Verifier, Checkpoint, String), Unreadable> {
        let path = format!("{prefix}/checkpoint");
        let refused = |error: LogError| Unreadable(format!("/{path}: {error}"));
        let signed = self.signed(&path, keys)?;
        let (key, checkpoint, text) = signed.ok_or_else(|| Unreadable(format!("/{path}: there is none")))?;
        // A log without entries says nothing that a witness could have seen.
        if let Some(policy) = policy.filter(|_| checkpoint.size > 0) {
            Note::parse(&text).and_then(|note| policy.check(&note)).map_err(refused)?;
        }
        Ok((key, checkpoint, text))
    }

    /// A file with a checkpoint, which one of these keys has signed, of which the newest comes last; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or no key has signed it: what the newest says of it.
    pub fn signed(
        &self,
        path: &str,
        keys: &[Verifier],
    ) -> Result<Option<(Verifier, Checkpoint, String)>, Unreadable> {
        let Some(bytes) = self.read(path, MAX_CHECKPOINT_BYTES)? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| Unreadable(format!("/{path}: not text")))?;
        let mut refused = None;
        for key in keys.iter().rev() {
            match Checkpoint::parse_verified(&text, key) {
                Ok(checkpoint) => return Ok(Some((key.clone(), checkpoint, text))),
                Err(error) => drop(refused.get_or_insert(error)),
            }
        }
        let refused = refused.map_or_else(|| "no key is known".to_owned(), |error| error.to_string());
        Err(Unreadable(format!("/{path}: {refused}")))
    }

    /// How many entries a log has, as its checkpoint says whoever signed it: enough to find files by, and nothing to believe.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn shown_size(&self, prefix: &str) -> Result<u64, Unreadable> {
        let path = format!("{prefix}/checkpoint");
        let bytes = self.read(&path, MAX_CHECKPOINT_BYTES)?.unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap_or_default();
        let size = text.lines().nth(1).and_then(|size| size.parse().ok());
        size.ok_or_else(|| Unreadable(format!("/{path}: no checkpoint")))
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

/// The tiles below a checkpoint, each read once. What they say is proven by the checkpoint's root, not by where they come from.
pub struct Tiles<'a> {
    place: &'a Place,
    prefix: &'static str,
    size: u64,
    read: RefCell<BTreeMap<(u8, u64), Vec<Hash>>>,
}

impl<'a> Tiles<'a> {
    /// Those of a tree of `size` leaves.
    #[must_use]
    pub fn new(place: &'a Place, prefix: &'static str, size: u64) -> Self {
        Self { place, prefix, size, read: RefCell::default() }
    }

    /// As wide as the tree has it.
    fn widest(&self, tile: TileId) -> TileId {
        let level_size = (0..tile.level).fold(self.size, |size, _| size / u64::from(TILE_WIDTH));
        let from = tile.index.saturating_mul(u64::from(TILE_WIDTH));
        let width = level_size.saturating_sub(from).min(u64::from(TILE_WIDTH));
        TileId { width: u16::try_from(width).unwrap_or(TILE_WIDTH).max(1), ..tile }
    }

    /// A file by the path of its width, or of the full one, which takes its place once it is there (c2sp.org/tlog-tiles).
    fn file(&self, paths: [String; 2], limit: u64) -> Result<Vec<u8>, Unreadable> {
        for path in &paths {
            if let Some(bytes) = self.place.read(&format!("{}/{path}", self.prefix), limit)? {
                return Ok(bytes);
            }
        }
        Err(Unreadable(format!("/{}/{}: there is no such file", self.prefix, paths[0])))
    }

    /// The entry at an index, as it is published.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, Unreadable> {
        let (tile, at) = (index / u64::from(TILE_WIDTH), index % u64::from(TILE_WIDTH));
        let width = self.widest(TileId { level: 0, index: tile, width: 1 }).width;
        let paths = [bundle_path(tile, width), bundle_path(tile, TILE_WIDTH)];
        let mut entries = decode_bundle(&self.file(paths, MAX_BUNDLE_BYTES)?)?;
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        if at >= entries.len() {
            return Err(Unreadable(format!(
                "the entry bundle of index {index} has {} entries",
                entries.len()
            )));
        }
        Ok(entries.swap_remove(at))
    }

    /// The leaf hash at an index.
    ///
    /// # Errors
    /// When its tile cannot be read.
    pub fn leaf(&self, index: u64) -> Result<Hash, Unreadable> {
        let width = u16::try_from(index % u64::from(TILE_WIDTH)).unwrap_or(0) + 1;
        let tile = TileId { level: 0, index: index / u64::from(TILE_WIDTH), width };
        Ok(*self.tile(tile)?.last().expect("a tile of one hash or more"))
    }
}

impl HashSource for Tiles<'_> {
    type Error = Unreadable;

    fn tile(&self, tile: TileId) -> Result<Vec<Hash>, Unreadable> {
        let mut read = self.read.borrow_mut();
        let (at, wanted) = ((tile.level, tile.index), usize::from(tile.width));
        if let Some(hashes) = read.get(&at).filter(|hashes| hashes.len() >= wanted) {
            return Ok(hashes[..wanted].to_vec());
        }
        let widest = self.widest(tile);
        let paths = [widest.path(), TileId { width: TILE_WIDTH, ..tile }.path()];
        let hashes = decode_tile(&self.file(paths, MAX_TILE_BYTES)?)?;
        if hashes.len() < wanted {
            return Err(Unreadable(format!("tile {tile} has {} hashes, not {wanted}", hashes.len())));
        }
        let first = hashes[..wanted].to_vec();
        read.insert(at, hashes);
        Ok(first)
    }
}
