//! Whatever is read as a destination prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::note::NoteText;
use wiregrant_payout::Destination;

fuzz_target!(|text: &str| {
    if let Ok(destination) = Destination::from_text(text) {
        assert_eq!(destination.text(), text);
        let _ = destination.payable();
    }
});
