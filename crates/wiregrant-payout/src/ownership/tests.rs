//! The vectors are BIP 322's own, version 2.0.0 (<https://github.com/bitcoin/bips/tree/master/bip-0322>, CC0).

use proptest::prelude::*;
use serde_json::Value;
use wiregrant_core::note::Network;

use super::*;

fn vectors() -> [Value; 2] {
    [include_str!("bip322/basic-test-vectors.json"), include_str!("bip322/generated-test-vectors.json")]
        .map(|text| serde_json::from_str(text).unwrap())
}

fn list<'a>(vectors: &'a Value, name: &str) -> &'a [Value] {
    vectors[name].as_array().map_or(&[], Vec::as_slice)
}

fn address(text: &str) -> PayoutAddress {
    PayoutAddress::parse(text, Network::Bitcoin).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn hashes_and_transactions_are_those_of_the_bip() {
    let mut checked = 0;
    for vector in vectors().iter().flat_map(|vectors| list(vectors, "tx_hashes")) {
        let (script, message) = (address(text(&vector["address"])).script_pubkey(), text(&vector["message"]));
        let hash: String = message_hash(message).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, text(&vector["message_hash"]));
        let [spend, sign] =
            [to_spend(&script, message), to_sign(&script, message)].map(|tx| tx.compute_txid());
        assert_eq!(spend.to_string(), text(&vector["to_spend_tx_hash"]));
        assert_eq!(sign.to_string(), text(&vector["to_sign_tx_hash"]));
        checked += 1;
    }
    assert_eq!(checked, 3);
}

#[test]
fn every_valid_simple_and_full_signature_is_accepted() {
    let mut checked = 0;
    for vectors in &vectors() {
        for vector in list(vectors, "simple").iter().chain(list(vectors, "full")) {
            let address = address(text(&vector["address"]));
            for signature in vector["bip322_signatures"].as_array().unwrap() {
                let locks = check(&address, text(&vector["message"]), text(signature));
                let expected = |name: &str| vector[name].as_u64().unwrap_or(0);
                let locks = locks.unwrap_or_else(|error| panic!("{}: {error}", vector["type"]));
                assert_eq!(u64::from(locks.time.to_consensus_u32()), expected("lock_time"));
                assert_eq!(u64::from(locks.age.to_consensus_u32()), expected("sequence"));
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 20);
}

#[test]
fn every_invalid_signature_is_refused() {
    let mut checked = 0;
    for vector in vectors().iter().flat_map(|vectors| list(vectors, "error")) {
        let refused =
            check(&address(text(&vector["address"])), text(&vector["message"]), text(&vector["signature"]));
        assert!(refused.is_err(), "{}", vector["description"]);
        checked += 1;
    }
    assert_eq!(checked, 36);
}

#[test]
fn a_proof_of_funds_is_refused_as_what_it_is() {
    for vector in vectors().iter().flat_map(|vectors| list(vectors, "proof_of_funds")) {
        let signature = text(&vector["bip322_signatures"][0]);
        let error = check(&address(text(&vector["address"])), text(&vector["message"]), signature);
        assert!(error.unwrap_err().to_string().contains("proof of funds"));
    }
}

/// Made by Bitcoin Core's `signmessagewithprivkey` with the key of 32 bytes 0x01, compressed.
const LEGACY_ADDRESS: &str = "1C6Rc3w25VHud3dLDamutaqfKWqhrLRTaD";

fn legacy(text: &str) -> String {
    let secp = Secp256k1::new();
    let key = bitcoin::secp256k1::SecretKey::from_slice(&[1; 32]).unwrap();
    let digest = bitcoin::secp256k1::Message::from_digest(signed_msg_hash(text).to_byte_array());
    MessageSignature::new(secp.sign_ecdsa_recoverable(&digest, &key), true).to_base64()
}

#[test]
fn a_signature_of_the_old_form_proves_p2pkh_and_nothing_else() {
    let p2pkh = address(LEGACY_ADDRESS);
    assert!(check(&p2pkh, "paid here", &legacy("paid here")).is_ok());
    assert!(check(&p2pkh, "paid there", &legacy("paid here")).is_err());
    let p2wpkh = address("bc1q0xcqpzrky6eff2g52qdye53xkk9jxkvrh6yhyw");
    assert!(check(&p2wpkh, "paid here", &legacy("paid here")).is_err());
}

#[test]
fn a_changed_byte_of_a_full_signature_never_passes() {
    let all = vectors();
    let vector = list(&all[1], "full").iter().find(|vector| vector["type"] == "p2wsh-time-lock").unwrap();
    let good = text(&vector["bip322_signatures"][0]);
    let bytes = decoded(good.strip_prefix("ful").unwrap()).unwrap();
    let (address, message) = (address(text(&vector["address"])), text(&vector["message"]));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let changed = format!("ful{}", STANDARD.encode(&changed));
        // Time and age may be others within what the script asks for, but are then signed anew: nothing else may move.
        assert!(check(&address, message, &changed).is_err(), "byte {at}");
    }
}

#[test]
fn a_key_pasted_for_a_signature_is_refused_and_not_repeated() {
    let key = "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn";
    let error = check(&address(LEGACY_ADDRESS), "paid here", key).unwrap_err();
    assert!(matches!(error, PayoutError::LooksLikeASecret { .. }));
    assert!(!format!("{error} {error:?}").contains("KwDi"));
}

proptest! {
    #[test]
    fn no_bytes_prove_anything_or_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), full in any::<bool>()) {
        let all = vectors();
        for vector in list(&all[1], "full") {
            let signature = format!("{}{}", if full { "ful" } else { "smp" }, STANDARD.encode(&bytes));
            let address = address(text(&vector["address"]));
            prop_assert!(check(&address, text(&vector["message"]), &signature).is_err());
        }
    }
}
