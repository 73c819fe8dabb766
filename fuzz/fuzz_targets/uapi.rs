//! Nothing that wireguard-go may answer makes the agent's parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_agent::wireguard::uapi;

fuzz_target!(|bytes: &[u8]| {
    let _ = uapi::read_device(bytes);
    let _ = uapi::read_acknowledgement(bytes);
});
