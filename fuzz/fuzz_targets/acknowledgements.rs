//! Whatever a disk makes of a kept acknowledgement is read without a panic, and what is read is written and read the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_agent::acknowledgements::Kept;

fuzz_target!(|line: &[u8]| {
    if let Some(kept) = Kept::from_line(line) {
        assert_eq!(Kept::from_line(kept.line().as_bytes()), Some(kept));
    }
});
