//! Whatever is read as a C2SP verifier key prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use transparency_log::Verifier;

fuzz_target!(|text: &str| {
    if let Ok(key) = text.parse::<Verifier>() {
        assert_eq!(key.to_string(), text);
    }
});
