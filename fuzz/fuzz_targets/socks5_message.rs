//! Whatever a client sends, the SOCKS5 service's parsers never panic and never claim more than has arrived.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_socks5::message;

fuzz_target!(|bytes: &[u8]| {
    let ends = [
        message::greeting(bytes).ok().flatten().map(|(_, end)| end),
        message::credentials(bytes).ok().flatten().map(|(_, end)| end),
        message::request(bytes).ok().flatten().map(|(_, end)| end),
    ];
    assert!(ends.into_iter().flatten().all(|end| end <= bytes.len()));
});
