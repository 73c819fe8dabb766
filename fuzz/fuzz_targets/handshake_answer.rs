//! Whatever comes back for a handshake's first message, the reader never panics, and takes nothing for an answer that is none.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::handshake::{Beginning, Handshake, public_key};

fuzz_target!(|bytes: &[u8]| {
    let handshake = Handshake::begin(Beginning {
        own: &[7; 32].into(),
        responder: &public_key(&[9; 32].into()),
        ephemeral: [11; 32],
        sender: 1,
        now: "2026-07-06T12:00:00Z".parse().expect("a time"),
    });
    assert!(handshake.completed_by(bytes).is_none());
});
