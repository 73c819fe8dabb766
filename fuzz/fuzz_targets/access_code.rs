//! Whatever is read as an access code prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::access_code::AccessCode;

fuzz_target!(|text: &str| {
    if let Ok(code) = text.parse::<AccessCode>() {
        assert_eq!(code.reveal().parse::<AccessCode>(), Ok(code));
    }
});
