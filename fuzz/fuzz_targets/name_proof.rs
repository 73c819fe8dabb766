//! No bytes are a DNSSEC proof, and none make its reader panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::note::Network;
use wiregrant_core::Timestamp;
use wiregrant_payout::PaymentName;

fuzz_target!(|proof: &[u8]| {
    let name = PaymentName::parse("name@example.org", Network::Bitcoin).expect("a name");
    let now = Timestamp::from_unix_seconds(1_786_000_000).expect("a time");
    assert!(name.resolved(proof, now).is_err());
});
