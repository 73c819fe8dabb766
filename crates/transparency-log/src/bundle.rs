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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_stands_behind_its_length() {
        let bytes = encode_bundle([b"ab".as_slice(), b"", b"c"]).unwrap();
        assert_eq!(bytes, b"\0\x02ab\0\0\0\x01c");
        assert_eq!(decode_bundle(&bytes).unwrap(), [b"ab".to_vec(), Vec::new(), b"c".to_vec()]);
    }

    #[test]
    fn the_limits_hold() {
        let longest = vec![0; MAX_ENTRY_BYTES];
        let bytes = encode_bundle([&longest]).unwrap();
        assert_eq!(decode_bundle(&bytes).unwrap(), [longest]);
        let too_long = encode_bundle([b"".to_vec(), vec![0; MAX_ENTRY_BYTES + 1]]);
        assert_eq!(too_long, Err(LogError::EntryTooLong { position: 1, bytes: 65_536 }));

        assert_eq!(decode_bundle(&[0; 2 * 256]).unwrap().len(), 256);
        assert_eq!(decode_bundle(&[0; 2 * 257]), Err(LogError::EntryCount { count: 257 }));
        assert_eq!(encode_bundle([b""; 257]), Err(LogError::EntryCount { count: 257 }));
        assert_eq!(decode_bundle(b""), Err(LogError::EntryCount { count: 0 }));
        assert_eq!(encode_bundle([b""; 0]), Err(LogError::EntryCount { count: 0 }));
    }

    #[test]
    fn a_cut_bundle_is_refused() {
        let bytes = encode_bundle([b"ab", b"cd"]).unwrap();
        for length in [1, 2, 3, 5, 6, 7] {
            let refused = decode_bundle(&bytes[..length]);
            assert!(matches!(refused, Err(LogError::BundleTruncated { .. })), "{length}: {refused:?}");
        }
    }

    #[test]
    fn paths_are_those_of_the_spec() {
        assert_eq!(bundle_path(1_234_067, 256), "tile/entries/x001/x234/067");
        assert_eq!(bundle_path(273, 112), "tile/entries/273.p/112");
        assert_eq!(parse_bundle_path("tile/entries/273.p/112"), Ok((273, 112)));
        for refused in
            ["tile/0/000", "tile/entries/", "tile/entries/0", "tile/entries/000.p/256", "entries/000"]
        {
            assert!(parse_bundle_path(refused).is_err(), "{refused:?} must be refused");
        }
    }

    proptest! {
        #[test]
        fn entries_read_back(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..=256)) {
            prop_assert_eq!(decode_bundle(&encode_bundle(&entries).unwrap()).unwrap(), entries);
        }

        #[test]
        fn what_reads_as_a_bundle_prints_the_same(bytes in prop::collection::vec(0_u8..4, 0..60)) {
            if let Ok(entries) = decode_bundle(&bytes) {
                prop_assert_eq!(encode_bundle(entries).unwrap(), bytes);
            }
        }

        #[test]
        fn what_reads_as_a_bundle_path_prints_the_same(path in "tile/entries/(x?[0-9]{3}/){0,3}[0-9]{3}(\\.p/[0-9]{1,3})?|.*") {
            if let Ok((index, width)) = parse_bundle_path(&path) {
                prop_assert_eq!(bundle_path(index, width), path);
            }
        }
    }
}
