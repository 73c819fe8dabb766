//! Whatever is read as a grant's terms prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::note::NoteText;
use wiregrant_core::terms::TermsNote;

fuzz_target!(|text: &str| {
    if let Ok(terms) = TermsNote::from_text(text) {
        assert_eq!(terms.text(), text);
    }
});
