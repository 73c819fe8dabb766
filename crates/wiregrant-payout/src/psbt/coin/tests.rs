//! Sentences about the texts coins come in.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, TxOut, absolute, transaction};
use proptest::prelude::*;

use super::*;

const TXID: &str = "6f7cf9580f1c2dfb3c4d5d043cdbb128c640e3f20161245aa7372e9666168516";
const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const NESTED: &str = "2NAUYAHhujozruyzpsFRP63mbrdaU5wnEpN";

fn listed(amount: &str) -> String {
    format!(
        r#"[{{"txid":"{TXID}","vout":1,"address":"{ADDRESS}","label":"grants","scriptPubKey":
        "0014751e76e8199196d454941c45d1b3a323f1433bd6","amount":{amount},"confirmations":101,"spendable":true,
        "solvable":true,"desc":"wpkh([d34db33f/84h/1h/0h/0/0]0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)#abc",
        "parent_descs":[],"safe":true}}]"#
    )
}

#[test]
fn listunspent_and_lines_spell_the_same_coins() {
    let by_json = parse_coins(&listed("0.12345678"), Network::Regtest).unwrap();
    let by_line =
        parse_coins(&format!("# the funder's\n\n {TXID}:1:12345678:{ADDRESS}\n"), Network::Regtest).unwrap();
    assert_eq!(by_json, by_line);
    assert_eq!(by_json[0].sats.get(), 12_345_678);
    assert_eq!(by_json[0].outpoint.to_string(), format!("{TXID}:1"));
}

#[test]
fn an_amount_is_exact_in_every_spelling() {
    for (text, sats) in [
        ("0.00000001", Some(1)),
        ("1e-8", Some(1)),
        ("1E-08", Some(1)),
        ("0", Some(0)),
        ("0.0000000000", Some(0)),
        ("0e100", Some(0)),
        ("1", Some(100_000_000)),
        ("0.29", Some(29_000_000)),
        ("20999999.99999999", Some(2_099_999_999_999_999)),
        ("21000000.00000000", Some(Sats::MAX.get())),
        ("2.1e7", Some(Sats::MAX.get())),
        ("21000000.00000001", None),
        ("0.000000001", None),
        ("1e-9", None),
        ("-1", None),
        ("1e127", None),
        ("1e128", None),
        ("1e-128", None),
        ("\"1\"", None),
        ("null", None),
        ("", None),
        (".5", None),
    ] {
        assert_eq!(sats_of_bitcoin(text).map(Sats::get), sats, "{text}");
    }
}

#[test]
fn an_unsafe_coin_is_left_out() {
    let unsafe_coin = listed("1").replace("\"safe\":true", "\"safe\":false");
    assert_eq!(parse_coins(&unsafe_coin, Network::Regtest).unwrap(), []);
}

#[test]
fn what_is_wrong_with_a_coin_is_said_by_name() {
    let other = "0014751e76e8199196d454941c45d1b3a323f1433bd7";
    for (text, hint) in [
        (listed("0.000000001"), "amount 0.000000001"),
        (listed("1").replace("0014751e76e8199196d454941c45d1b3a323f1433bd6", other), "differ"),
        (listed("1").replace(TXID, "6f7c"), "txid"),
        (listed("1").replace("\"vout\":1", "\"vout\":-1"), "line 1 column"),
        (listed("1").replace(ADDRESS, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"), "regtest"),
        ("[".into(), "listunspent"),
        (format!("{TXID}:1:5"), "txid:vout:sats:address"),
        (format!("{TXID}:1:0.5:{ADDRESS}"), "sats"),
        (format!("{TXID}:4294967296:5:{ADDRESS}"), "32 bits"),
        (format!("{}:0:5:{ADDRESS}", "0".repeat(64)), "no transaction"),
    ] {
        let error = parse_coins(&text, Network::Regtest).unwrap_err().to_string();
        assert!(error.contains(hint), "{error}");
    }
}

#[test]
fn a_wallets_secrets_are_refused_and_never_repeated() {
    let key = "cTpB4YiyKiBcPxnefsDpbnDxFDffjqJob8wGCEDXxgQ7zQoMXJdH";
    for text in [listed("1").replace("grants", key), key.to_owned(), format!("{TXID}:1:5:{key}")] {
        let error = parse_coins(&text, Network::Regtest).unwrap_err();
        assert!(
            matches!(error, PayoutError::LooksLikeASecret { .. }) && !format!("{error:?}").contains("cTpB")
        );
    }
}

#[test]
fn a_nested_coin_is_known_by_its_redeem_script() {
    let json = format!(
        r#"[{{"txid":"{TXID}","vout":0,"address":"{NESTED}","amount":0.001,
        "redeemScript":"0014751e76e8199196d454941c45d1b3a323f1433bd6"}}]"#
    );
    let coin = parse_coins(&json, Network::Regtest).unwrap().remove(0);
    // 36 + 4 for outpoint and sequence, 1 + 23 for the script, and a witness of 1 + 73 + 34.
    assert_eq!(coin.spending().unwrap().weight().to_wu(), 24 * 4 + 108);
    let by_line = parse_coin_line(&format!("{TXID}:0:100000:{NESTED}"), Network::Regtest).unwrap();
    assert!(by_line.spending().unwrap_err().to_string().contains("redeem script"));
}

#[test]
fn a_coin_whose_signature_has_no_known_size_is_refused_with_the_way_out() {
    let p2wsh = "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry";
    for (address, hint) in [(p2wsh, "P2WSH"), ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "getrawtransaction")] {
        let coin = parse_coin_line(&format!("{TXID}:0:100000:{address}"), Network::Regtest).unwrap();
        let error = coin.spending().unwrap_err().to_string();
        assert!(error.contains(hint) && error.contains("leave"), "{error}");
    }
}

#[test]
fn a_previous_transaction_must_be_the_coins_own() {
    let script =
        PayoutAddress::parse("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", Network::Regtest).unwrap().script_pubkey();
    let tx = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![bitcoin::TxIn::default()],
        output: vec![TxOut { value: Amount::from_sat(5_000), script_pubkey: script.clone() }],
    };
    let coin = |vout, sats| {
        Coin::new(OutPoint::new(tx.compute_txid(), vout), Sats::new(sats).unwrap(), script.clone())
    };
    assert!(coin(0, 5_000).with_previous_tx(&serialize_hex(&tx)).unwrap().spending().is_ok());
    for (coin, hex, hint) in [
        (coin(0, 5_001), serialize_hex(&tx), "5000 sats"),
        (coin(1, 5_000), serialize_hex(&tx), "only 1 output"),
        (Coin::new(OutPoint::null(), Sats::ZERO, script.clone()), serialize_hex(&tx), "another one"),
        (coin(0, 5_000), "00".into(), "raw transaction"),
    ] {
        let error = coin.with_previous_tx(&hex).unwrap_err().to_string();
        assert!(error.contains(hint), "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(noise in "\\PC{0,60}", at in 0usize..500, cut in 0usize..60) {
        let line = format!("{TXID}:1:12345678:{ADDRESS}");
        for mut text in [listed("0.5"), line] {
            let at = at.min(text.len());
            text.replace_range(at..at.saturating_add(cut).min(text.len()), &noise);
            let _: Result<Vec<Coin>, PayoutError> = parse_coins(&text, Network::Regtest);
        }
        let _: Result<Vec<Coin>, PayoutError> = parse_listunspent(&noise, Network::Regtest);
    }

    #[test]
    fn every_amount_survives_bitcoins_notation(sats in 0..=Sats::MAX.get()) {
        let text = format!("{}.{:08}", sats / 100_000_000, sats % 100_000_000);
        prop_assert_eq!(sats_of_bitcoin(&text).unwrap().get(), sats);
    }

    #[test]
    fn any_number_is_read_or_refused(text in "-?[0-9]{0,40}(\\.[0-9]{0,40})?([eE][+-]?[0-9]{1,4})?") {
        if let Some(sats) = sats_of_bitcoin(&text) {
            prop_assert!(sats <= Sats::MAX);
        }
    }
}
