//! Whatever is read as evidence prints back the same, and neither reading nor checking it panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::evidence::Evidence;

fuzz_target!(|text: &str| {
    if let Ok(evidence) = text.parse::<Evidence>() {
        assert_eq!(evidence.to_string(), text);
        let _ = evidence.check();
    }
});
