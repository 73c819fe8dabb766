//! Whatever is read as the announcement of a node's key prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::note::NoteText;
use wiregrant_core::rekey::Rekey;

fuzz_target!(|text: &str| {
    if let Ok(rekey) = Rekey::from_text(text) {
        assert_eq!(rekey.text(), text);
    }
});
