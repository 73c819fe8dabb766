//! Whatever connects to the agent's metrics is answered or read on, and read on only up to the bound.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_agent::metrics::request::{MAX_REQUEST_BYTES, judge};

fuzz_target!(|bytes: &[u8]| {
    assert!(judge(bytes).is_some() || bytes.len() < MAX_REQUEST_BYTES);
});
