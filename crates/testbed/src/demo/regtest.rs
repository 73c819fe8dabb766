//! Made-up coins and addresses on Bitcoin's network for tests. Nobody has their keys, and nothing is worth anything there.

use bitcoin::{Address, KnownHrp, WitnessProgram, WitnessVersion};

/// The coin's value: enough for a grant and a fee.
const COIN_SATS: u64 = 5_000_000;

/// A P2WPKH address whose key hash is 20 times this byte.
///
/// # Panics
/// Never: 20 bytes are a witness program of version 0.
#[must_use]
pub fn nobodys_address(byte: u8) -> String {
    let program = WitnessProgram::new(WitnessVersion::V0, &[byte; 20]).expect("20 bytes, BIP 141");
    Address::from_witness_program(program, KnownHrp::Regtest).to_string()
}

/// Where the one operator is paid.
#[must_use]
pub fn operator_address() -> String {
    nobodys_address(0x11)
}

/// Where the funder's change goes.
#[must_use]
pub fn change_address() -> String {
    nobodys_address(0x33)
}

/// The funder's coin, as `wiregrant batch create --coins` reads it: `txid:vout:sats:address`.
#[must_use]
pub fn funders_coin() -> String {
    format!("{}:0:{COIN_SATS}:{}\n", "ab".repeat(32), nobodys_address(0x22))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_are_of_regtest_and_differ() {
        let all = [operator_address(), change_address(), nobodys_address(0x22)];
        assert!(all.iter().all(|address| address.starts_with("bcrt1q")), "{all:?}");
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
        assert!(
            wiregrant_payout::PayoutAddress::parse(&all[0], wiregrant_core::note::Network::Regtest).is_ok()
        );
    }
}
