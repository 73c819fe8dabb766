//! Whatever datagram a client sends, its header is read without a panic, and an address that was read is written the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_socks5::message::{Target, datagram, datagram_header};

fuzz_target!(|bytes: &[u8]| {
    if let Ok((target, start)) = datagram(bytes) {
        assert!(start <= bytes.len());
        if let Target::Address(address) = target {
            assert_eq!(datagram_header(address)[3..], bytes[3..start]);
        }
    }
});
