//! No text is a signature of an address whose key nobody has, and nothing makes the reader panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wiregrant_core::note::Network;
use wiregrant_payout::{PayoutAddress, ownership};

/// Witness and script hashes of nothing, and a P2PKH address of zeros.
const ADDRESSES: [&str; 3] = [
    "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202",
    "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry",
    "mfWxJ45yp2SFn7UciZyNpvDKrzbhyfKrY8",
];

fuzz_target!(|text: &str| {
    for address in ADDRESSES {
        let Ok(address) = PayoutAddress::parse(address, Network::Regtest) else { continue };
        for signature in [text.to_owned(), format!("smp{text}"), format!("ful{text}")] {
            assert!(ownership::check(&address, "a message", &signature).is_err());
        }
    }
});
