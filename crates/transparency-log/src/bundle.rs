//! Entry bundles: up to 256 entries, each behind its length as a big-endian `u16` (c2sp.org/tlog-tiles).

use crate::error::{LogError, excerpt};
use crate::tile::{TILE_WIDTH, index_and_width, parse_index_and_width};

/// Longest entry, in bytes: what the length field can hold.
pub const MAX_ENTRY_BYTES: usize = 65_535;

/// Path of a bundle below the log's prefix: `tile/entries/<N>`, with `.p/<W>` when partial.
#[must_use]
pub fn bundle_path(index: u64, width: u16) -> String {
    format!("tile/entries/{}", index_and_width(index, width))
}

/// Reads [`bundle_path`] into index and width; accepts no other spelling.
///
/// # Errors
/// [`LogError::TilePath`].
pub fn parse_bundle_path(path: &str) -> Result<(u64, u16), LogError> {
    path.strip_prefix("tile/entries/")
        .and_then(parse_index_and_width)
        .ok_or_else(|| LogError::TilePath { path: excerpt(path) })
}

/// The bytes of a bundle.
///
/// # Errors
/// [`LogError::EntryTooLong`] above [`MAX_ENTRY_BYTES`]; [`LogError::EntryCount`] unless 1 to 256 entries.
pub fn encode_bundle<I>(entries: I) -> Result<Vec<u8>, LogError>
where
    I: IntoIterator,
    I::Item: AsRef<[u8]>,
{
    let mut bytes = Vec::new();
    let mut count = 0;
    for (position, entry) in entries.into_iter().enumerate() {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len())
            .map_err(|_| LogError::EntryTooLong { position, bytes: entry.len() })?;
        count = position + 1;
        check_count(count)?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(entry);
    }
    check_count(count)?;
    Ok(bytes)
}

/// Reads a bundle into its entries.
///
/// # Errors
/// [`LogError::BundleTruncated`]; [`LogError::EntryCount`] unless 1 to 256 entries.
pub fn decode_bundle(bytes: &[u8]) -> Result<Vec<Vec<u8>>, LogError> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let position = entries.len();
        let truncated =
            |wanted, left: &[u8]| LogError::BundleTruncated { position, wanted, left: left.len() };
        let (length, after) = rest.split_first_chunk().ok_or_else(|| truncated(2, rest))?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or_else(|| truncated(length, after))?;
        entries.push(entry.to_vec());
        check_count(entries.len())?;
        rest = after;
    }
    check_count(entries.len())?;
    Ok(entries)
}

fn check_count(count: usize) -> Result<(), LogError> {
    if (1..=usize::from(TILE_WIDTH)).contains(&count) { Ok(()) } else { Err(LogError::EntryCount { count }) }
}
