//! Whatever is read as a C2SP tlog-proof prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use transparency_log::LogProof;

fuzz_target!(|text: &str| {
    if let Ok(proof) = text.parse::<LogProof>() {
        assert_eq!(proof.to_string(), text);
    }
});
