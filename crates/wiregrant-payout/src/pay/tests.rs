use bitcoin::base64::Engine as _;
use bitcoin::base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

/// The account key of BIP 84's test vector, in the form that descriptors take, for bitcoin and for test networks.
const XPUB: &str = "xpub6CatWdiZiodmUeTDp8LT5or8nmbKNcuyvz7WyksVFkKB4RHwCD3XyuvPEbvqAQY3rAPshWcMLoP2fMFMKHPJ4ZeZXYVUhLv1VMrjPC7PW6V";
const TPUB: &str = "tpubDCxX2sYFS5bDkSe5GKKYHjBW7tgyN1R3UchpLJvdbf54ohxeGRtd8MbDUe1cguVHe4vnK68DsuD5MXjxi9EXx16rb9EnNsaF5KT99CinaJz";

/// The records for a real name as they were signed in August 2026, from `dnssec-prover` 0.6.10's own tests (MIT or
/// Apache-2.0), as one chain.
const PROOF: &str = include_str!("name_proof.b64");
const NAME: &str = "matt@mattcorallo.com";
/// Within what all signatures of the chain are valid for: 1,785,988,800 to 1,786,415,920.
fn then() -> Timestamp {
    at(1_786_000_000)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

fn proof() -> Vec<u8> {
    STANDARD.decode(PROOF.split_whitespace().collect::<String>()).unwrap()
}

fn descriptor(text: &str) -> PayoutDescriptor {
    PayoutDescriptor::parse(text, Network::Bitcoin).unwrap()
}

fn refusal(text: &str, network: Network) -> String {
    let error = Pay::parse(text, network).unwrap_err();
    format!("{error} {error:?}")
}

#[test]
fn a_descriptor_gives_the_addresses_of_bip_84() {
    let read = descriptor(&format!("wpkh([73c5da0a/84h/0h/0h]{XPUB}/<0;1>/*)"));
    assert_eq!(read.address(0).unwrap().to_string(), "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu");
    assert_eq!(read.address(1).unwrap().to_string(), "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g");
    assert_eq!(read.change_address(0).unwrap().to_string(), "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el");
    let seventh = read.address(7).unwrap();
    assert_eq!(read.index_of(&seventh), Some(7));
    assert!(read.has(&read.change_address(3).unwrap(), 20) && !read.has(&read.address(20).unwrap(), 20));
}

#[test]
fn every_type_that_can_be_paid_has_its_descriptor() {
    for (text, start) in [
        (format!("pkh({XPUB}/0/*)"), "1"),
        (format!("sh(wpkh({XPUB}/0/*))"), "3"),
        (format!("wpkh({XPUB}/0/*)"), "bc1q"),
        (format!("tr({XPUB}/0/*)"), "bc1p"),
        (format!("wsh(sortedmulti(2,{XPUB}/0/*,{XPUB}/1/*))"), "bc1q"),
        (format!("wsh(or_d(pk({XPUB}/0/*),and_v(v:pkh({XPUB}/1/*),older(4320))))"), "bc1q"),
        (format!("tr({XPUB}/0/*,and_v(v:pk({XPUB}/1/*),after(900000)))"), "bc1p"),
    ] {
        let address = descriptor(&text).address(5).unwrap().to_string();
        assert!(address.starts_with(start), "{text}: {address}");
        assert_eq!(Pay::parse(&text, Network::Bitcoin).unwrap().to_string(), text);
    }
}

#[test]
fn what_is_no_ranged_public_descriptor_is_refused_with_the_way_out() {
    let private = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi";
    for (text, network, hint) in [
        (format!("wpkh({XPUB}/0/7)"), Network::Bitcoin, "no range"),
        (format!("wpkh({XPUB}/0/*h)"), Network::Bitcoin, "hardened"),
        (format!("wpkh({XPUB}/0h/*)"), Network::Bitcoin, "hardened"),
        (format!("wpkh({XPUB}/0/*)"), Network::Regtest, "for bitcoin"),
        (format!("wpkh({TPUB}/0/*)"), Network::Bitcoin, "for a test network"),
        (format!("wsh(multi(1,{TPUB}/0/*,{XPUB}/0/*))"), Network::Bitcoin, "some of its keys"),
        (format!("wpkh({XPUB}/<0;1;2>/*)"), Network::Bitcoin, "more than two paths"),
        (format!("wpkh({XPUB}/0/*)#qqqqqqqq"), Network::Bitcoin, "not understood"),
        (format!("pk({XPUB}/0/*)"), Network::Bitcoin, "no address"),
        ("wsh(older(5))".to_owned(), Network::Bitcoin, "descriptor"),
        ("wpkh(".to_owned(), Network::Bitcoin, "not understood"),
        (format!("wpkh({private}/0/*)"), Network::Bitcoin, "extended private key"),
        (
            "wpkh(abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about)".to_owned(),
            Network::Bitcoin,
            "seed",
        ),
    ] {
        let said = refusal(&text, network);
        assert!(said.contains(hint), "{text}: {said}");
        assert!(!said.contains("xprv9") && !said.contains("abandon"), "{said}");
    }
}

#[test]
fn a_descriptor_of_many_fragments_is_no_seed() {
    let text = format!(
        "wsh(andor(multi(2,{XPUB}/0/*,{XPUB}/1/*),or_i(and_v(v:pkh({XPUB}/2/*),older(100)),and_v(v:pkh({XPUB}/3/*),after(900000))),and_v(v:pkh({XPUB}/4/*),older(4320))))"
    );
    assert!(descriptor(&text).address(0).is_ok());
}

#[test]
fn a_link_gives_its_address_and_its_offer() {
    let (one, two) = (
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    );
    for (text, address, offer) in [
        (format!("bitcoin:{one}"), Some(one), None),
        (format!("bitcoin:{one}?label=A%20B&somethingelse=1"), Some(one), None),
        (format!("BITCOIN:{}?BC={}", one.to_uppercase(), two.to_uppercase()), Some(one), None),
        (format!("bitcoin:?bc={two}&bc={one}"), Some(two), None),
        (format!("bitcoin:{one}?lno=lno1pg"), Some(one), Some("lno1pg")),
        ("bitcoin:?lno=lno1pg".to_owned(), None, Some("lno1pg")),
    ] {
        let uri = PaymentUri::parse(&text, Network::Bitcoin).unwrap();
        assert_eq!(uri.address().ok().map(|address| address.to_string()).as_deref(), address, "{text}");
        assert_eq!(uri.offer(), offer, "{text}");
    }
}

#[test]
fn a_link_that_asks_for_more_than_is_known_is_refused() {
    let one = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    for (text, hint) in [
        (format!("bitcoin:{one}?amount=0.1"), "amount"),
        (format!("bitcoin:{one}?req-pop=x:y"), "req-"),
        (format!("bitcoin:{one}?REQ-else=1"), "req-"),
        (format!("bitcoin:{one}?label=a&label=b"), "twice"),
        (format!("bitcoin:{one}?label=%zz"), "%"),
        ("bitcoin:?label=a".to_owned(), "no address"),
        ("bitcoin:".to_owned(), "no address"),
        ("bitcoin:tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx".to_owned(), "testnet4"),
    ] {
        let said = refusal(&text, Network::Bitcoin);
        assert!(said.contains(hint), "{text}: {said}");
    }
}

#[test]
fn a_name_gives_the_address_that_its_zone_has_signed() {
    let name = PaymentName::parse(NAME, Network::Bitcoin).unwrap();
    assert_eq!(name.record().as_str(), "matt.user._bitcoin-payment.mattcorallo.com.");
    let uri = name.resolved(&proof(), then()).unwrap();
    assert_eq!(uri.address().unwrap().to_string(), "bc1qztwy6xen3zdtt7z0vrgapmjtfz8acjkfp5fp7l");
    assert!(uri.offer().unwrap().starts_with("lno1"));
    let (pay, address) = (Pay::parse(NAME, Network::Bitcoin).unwrap(), uri.address().unwrap());
    assert!(pay.gives(&address, Some(&proof()), then()).is_ok());
    let other = PayoutAddress::parse("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", Network::Bitcoin).unwrap();
    assert!(pay.gives(&other, Some(&proof()), then()).unwrap_err().to_string().contains("bc1qztwy6"));
    assert!(pay.gives(&address, None, then()).unwrap_err().to_string().contains("proof"));
}

#[test]
fn a_proof_of_another_name_or_time_or_with_a_changed_byte_gives_nothing() {
    let name = PaymentName::parse(NAME, Network::Bitcoin).unwrap();
    for seconds in [1_785_988_799, 1_786_415_921] {
        assert!(name.resolved(&proof(), at(seconds)).unwrap_err().to_string().contains("another time"));
    }
    let other = PaymentName::parse("mat@mattcorallo.com", Network::Bitcoin).unwrap();
    assert!(other.resolved(&proof(), then()).unwrap_err().to_string().contains("no record"));
    let good = name.resolved(&proof(), then()).unwrap();
    // A check is millions of multiplications, so only some bytes are tried; the fuzz target tries the rest.
    for at in (0..proof().len()).step_by(101) {
        let mut changed = proof();
        changed[at] ^= 1;
        // A changed time to live is not signed, and changes nothing.
        if let Ok(uri) = name.resolved(&changed, then()) {
            assert_eq!(uri, good, "byte {at}");
        }
    }
}

#[test]
fn what_is_no_name_is_refused() {
    for text in ["@example.org", "a@", "a@b", "a@b..c", "a b@example.org", "a@exämple.org", "a@b@c.org"] {
        assert!(PaymentName::parse(text, Network::Bitcoin).is_err(), "{text}");
    }
}

#[test]
fn only_the_address_itself_follows_from_an_address() {
    let (one, two) = ("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn");
    let address = |text| PayoutAddress::parse(text, Network::Regtest).unwrap();
    let pay = Pay::parse(one, Network::Regtest).unwrap();
    assert!(
        pay.gives(&address(one), None, then()).is_ok() && pay.gives(&address(two), None, then()).is_err()
    );
    let pay = Pay::parse(&format!("wpkh({TPUB}/0/*)"), Network::Regtest).unwrap();
    let Pay::Descriptor(descriptor) = &pay else { panic!("a descriptor") };
    assert!(pay.gives(&descriptor.address(3).unwrap(), None, then()).is_ok());
    assert!(pay.gives(&address(one), None, then()).unwrap_err().to_string().contains("10000"));
}

proptest! {
    #[test]
    fn whatever_is_read_shows_as_it_came_and_has_an_address_or_says_why_not(
        text in "(bitcoin:|wpkh\\(|[a-z]{1,5}@)?[ -~]{0,80}",
    ) {
        if let Ok(pay) = Pay::parse(&text, Network::Regtest) {
            let again = Pay::parse(&pay.to_string(), Network::Regtest).unwrap();
            prop_assert_eq!(&again, &pay);
            let _ = pay.first_address();
        }
    }

    #[test]
    fn no_bytes_are_a_proof(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..3000) {
        let name = PaymentName::parse(NAME, Network::Bitcoin).unwrap();
        prop_assert!(name.resolved(&bytes, then()).is_err());
        let mut mixed = proof();
        mixed.truncate(cut);
        mixed.extend(&bytes);
        let _ = name.resolved(&mixed, then());
    }
}
