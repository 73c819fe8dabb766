//! Whatever lies on the disk, reading a journal never panics, and accounts for every byte.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_agent::journal::{self, format};

fuzz_target!(|bytes: &[u8]| {
    let contents = journal::read(bytes);
    assert_eq!(contents.mark.end + contents.torn, bytes.len().max(format::FIRST_RECORD));
    // Behind a good header the same bytes are records and a tail, never damage.
    let file = [&format::header(format::Mark::START)[..], bytes].concat();
    assert_eq!(journal::read(&file).damage, None);
});
