//! Whatever is read as the inputs of a statement prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::inputs::Inputs;
use wiregrant_core::note::NoteText;

fuzz_target!(|text: &str| {
    if let Ok(inputs) = Inputs::from_text(text) {
        assert_eq!(inputs.text(), text);
    }
});
