//! Whatever is read as a descriptor, link, name or address shows as it came, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::note::Network;
use wiregrant_payout::Pay;

fuzz_target!(|text: &str| {
    for network in [Network::Bitcoin, Network::Regtest] {
        if let Ok(pay) = Pay::parse(text, network) {
            assert_eq!(Pay::parse(&pay.to_string(), network), Ok(pay.clone()));
            let _ = pay.first_address();
        }
    }
});
