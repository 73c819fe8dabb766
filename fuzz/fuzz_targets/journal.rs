//! Whatever lies on the disk, reading a journal never panics, and accounts for every byte or refuses the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_agent::journal;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(contents) = journal::read(bytes) {
        assert_eq!(contents.end + contents.torn, bytes.len());
    }
});
