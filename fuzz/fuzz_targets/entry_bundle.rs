//! Whatever is read as an entry bundle prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use transparency_log::{decode_bundle, encode_bundle};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entries) = decode_bundle(bytes) {
        let again = encode_bundle(entries.iter().map(Vec::as_slice)).expect("what was decoded can be encoded");
        assert_eq!(again, bytes);
    }
});
