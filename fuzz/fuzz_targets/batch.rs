//! Whatever is read as a batch prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::note::NoteText;
use wiregrant_payout::Batch;

fuzz_target!(|text: &str| {
    if let Ok(batch) = Batch::from_text(text) {
        assert_eq!(batch.text(), text);
    }
});
