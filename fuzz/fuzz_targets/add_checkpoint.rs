//! Whatever is read as a C2SP add-checkpoint request or as the size in its 409 answer prints back the same, and nothing
//! makes the parsers or the witness that considers the request panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use transparency_log::{AddCheckpoint, Hash, KnownSize, SigningKey, WitnessState, consider};

fuzz_target!(|text: &str| {
    if let Ok(request) = text.parse::<AddCheckpoint>() {
        assert_eq!(request.to_string(), text);
        if let Ok(log) = SigningKey::new(request.origin(), [7; 32]) {
            // Signed here: what stands behind the signature check would be out of reach.
            let body = request.checkpoint.split_inclusive('\n').take(3).collect::<String>();
            let checkpoint = log.sign_note(&body).expect("three lines of a note");
            let known = WitnessState { size: request.old_size, root: Hash([0; 32]) };
            let _ = consider(Some(known), &AddCheckpoint { checkpoint, ..request }, &log.verifier());
        }
    }
    if let Ok(size) = text.parse::<KnownSize>() {
        assert_eq!(size.to_string(), text);
    }
});
