//! Whatever is read as an entry of the record log prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::record::RecordEntry;

fuzz_target!(|text: &str| {
    if let Ok(entry) = text.parse::<RecordEntry>() {
        assert_eq!(entry.to_string(), text);
    }
});
