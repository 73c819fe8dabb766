//! Sentences about addresses.

use bitcoin::bech32::{Hrp, segwit};
use proptest::prelude::*;

use super::*;

const P2WPKH: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
const P2TR: &str = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0";

fn refusal(text: &str, network: Network) -> String {
    PayoutAddress::parse(text, network).unwrap_err().to_string()
}

#[test]
fn the_five_payable_types_are_read_with_their_dust_limits() {
    for (text, dust) in [
        ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", 546),
        ("3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", 540),
        (P2WPKH, 294),
        ("bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3", 330),
        (P2TR, 330),
    ] {
        let address = PayoutAddress::parse(text, Network::Bitcoin).unwrap();
        assert_eq!(address.to_string(), text);
        assert_eq!(address.dust_limit().get(), dust, "{text}");
        assert_eq!(PayoutAddress::from_script(&address.script_pubkey(), Network::Bitcoin), Some(address));
    }
}

#[test]
fn a_qr_codes_upper_case_is_shown_in_lower_case() {
    let address = PayoutAddress::parse(&P2WPKH.to_uppercase(), Network::Bitcoin).unwrap();
    assert_eq!(address.to_string(), P2WPKH);
}

#[test]
fn an_address_of_another_network_is_refused_by_that_networks_name() {
    for (text, network, looks_like) in [
        (P2WPKH, Network::Regtest, "bitcoin"),
        ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", Network::Signet, "bitcoin"),
        ("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", Network::Regtest, "testnet4 or signet"),
        ("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", Network::Bitcoin, "regtest"),
        ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", Network::Bitcoin, "testnet4, signet or regtest"),
    ] {
        let error = refusal(text, network);
        assert!(error.contains(looks_like) && error.contains(&network.to_string()), "{error}");
    }
    for network in [Network::Testnet4, Network::Signet] {
        assert!(PayoutAddress::parse("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", network).is_ok());
    }
    for network in [Network::Testnet4, Network::Signet, Network::Regtest] {
        assert!(PayoutAddress::parse("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", network).is_ok());
    }
}

#[test]
fn each_mistake_gets_its_own_message() {
    let hrp = Hrp::parse("bc").unwrap();
    let not_on_curve = segwit::encode(hrp, segwit::VERSION_1, &[0xff; 32]).unwrap();
    let anchor = segwit::encode(hrp, segwit::VERSION_1, &ANCHOR_PROGRAM).unwrap();
    for (text, hint) in [
        ("", "empty"),
        ("bc1QW508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "mixed"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "checksum does not fit"),
        ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", "checksum does not fit"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", "bech32m checksum"),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "instead of bech32m"),
        ("BC1SW50QGDZ25J", "version 2"),
        ("bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "version 2"),
        (&not_on_curve, "no point"),
        (&anchor, "anchor"),
        ("bitcoin:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4?amount=1", "payment link"),
        (" bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "no spaces"),
        ("operator@example.org", "name"),
        ("wpkh(xpub6D4BDPcP2GT577/0/*)", "descriptor"),
        ("LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1", "another coin"),
        ("hello", "no Bitcoin address"),
    ] {
        let error = refusal(text, Network::Bitcoin);
        assert!(error.contains(hint), "{text:?}: {error}");
    }
}

#[test]
fn a_private_key_is_refused_and_never_repeated() {
    let key = "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn";
    let error = PayoutAddress::parse(key, Network::Bitcoin).unwrap_err();
    assert!(matches!(error, PayoutError::LooksLikeASecret { field: "address", .. }));
    for start in 0..=key.len() - 4 {
        assert!(!format!("{error} {error:?}").contains(&key[start..start + 4]));
    }
}

#[test]
fn an_unknown_text_is_repeated_only_in_part() {
    let text = "Q".repeat(40) + &"W".repeat(20);
    let error = format!("{:?}", PayoutAddress::parse(&text, Network::Bitcoin).unwrap_err());
    assert!(error.contains("QQQQQQQQ…WWWW") && !error.contains("QQQQQQQQQ"), "{error}");
}

fn any_network() -> impl Strategy<Value = Network> {
    prop::sample::select(vec![Network::Bitcoin, Network::Testnet4, Network::Signet, Network::Regtest])
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_what_is_read_prints_canonically(
        text in prop_oneof![
            "\\PC{0,120}",
            "(bc|tb|bcrt|sp)1[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{0,70}",
            "[123mnKL][1-9A-HJ-NP-Za-km-z]{0,60}",
        ],
        network in any_network(),
    ) {
        if let Ok(address) = PayoutAddress::parse(&text, network) {
            prop_assert_eq!(PayoutAddress::parse(&address.to_string(), network).unwrap(), address);
        }
    }

    #[test]
    fn every_valid_program_round_trips_and_one_wrong_character_is_noticed(
        hash in any::<[u8; 20]>(), kind in 0usize..3, network in any_network(), at in 0usize..100, to in 0usize..32,
    ) {
        let script = match kind {
            0 => ScriptBuf::new_p2pkh(&PubkeyHash::from_byte_array(hash)),
            1 => ScriptBuf::new_p2sh(&ScriptHash::from_byte_array(hash)),
            _ => ScriptBuf::new_witness_program(&WitnessProgram::new(WitnessVersion::V0, &hash).unwrap()),
        };
        let address = PayoutAddress::from_script(&script, network).unwrap();
        let text = address.to_string();
        prop_assert_eq!(PayoutAddress::parse(&text, network).unwrap(), address);
        let mut wrong = text.clone().into_bytes();
        let at = at % wrong.len();
        wrong[at] = b"qpzry9x8gf2tvdw3s3jn54khce6mua7A"[to];
        let wrong = String::from_utf8(wrong).unwrap();
        if wrong != text {
            prop_assert!(PayoutAddress::parse(&wrong, network).is_err(), "{} for {}", wrong, text);
        }
    }
}
