//! Made-up addresses on Bitcoin's network for tests. Nobody has their keys, and nothing is worth anything there.

use bitcoin::{Address, KnownHrp, WitnessProgram, WitnessVersion};

/// A P2WPKH address whose key hash is 20 times this byte.
///
/// # Panics
/// Never: 20 bytes are a witness program of version 0.
#[must_use]
pub fn nobodys_address(byte: u8) -> String {
    let program = WitnessProgram::new(WitnessVersion::V0, &[byte; 20]).expect("20 bytes, BIP 141");
    Address::from_witness_program(program, KnownHrp::Regtest).to_string()
}

/// Another such address for each number.
///
/// # Panics
/// As [`nobodys_address`].
#[must_use]
pub fn nobodys_address_of(number: u32) -> String {
    let mut hash = [0x77; 20];
    hash[..4].copy_from_slice(&number.to_be_bytes());
    let program = WitnessProgram::new(WitnessVersion::V0, &hash).expect("20 bytes, BIP 141");
    Address::from_witness_program(program, KnownHrp::Regtest).to_string()
}

/// Where the one operator is paid.
#[must_use]
pub fn operator_address() -> String {
    nobodys_address(0x11)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_are_of_regtest_and_differ() {
        let all = [operator_address(), nobodys_address(0x33), nobodys_address(0x22)];
        assert!(all.iter().all(|address| address.starts_with("bcrt1q")), "{all:?}");
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
        assert!(
            wiregrant_payout::PayoutAddress::parse(&all[0], wiregrant_core::note::Network::Regtest).is_ok()
        );
    }
}
