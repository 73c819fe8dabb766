//! Whatever is read as a payout address prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::note::Network;
use wiregrant_payout::PayoutAddress;

fuzz_target!(|text: &str| {
    for network in [Network::Bitcoin, Network::Regtest] {
        if let Ok(address) = PayoutAddress::parse(text, network) {
            assert_eq!(PayoutAddress::parse(&address.to_string(), network), Ok(address));
        }
    }
});
