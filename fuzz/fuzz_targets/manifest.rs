//! Whatever is read as the manifest of a public folder prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::manifest::Manifest;
use wiregrant_core::note::NoteText;

fuzz_target!(|text: &str| {
    if let Ok(manifest) = Manifest::from_text(text) {
        assert_eq!(manifest.text(), text);
    }
});
