//! Nothing that a funder pastes as coins makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::note::Network;
use wiregrant_payout::parse_coins;

fuzz_target!(|text: &str| {
    let _ = parse_coins(text, Network::Regtest);
});
