//! Sentences about the transaction that pays a batch, and about its check.

use bitcoin::hashes::Hash as _;
use bitcoin::psbt::PsbtSighashType;
use bitcoin::{EcdsaSighashType, OutPoint, Txid};
use proptest::prelude::*;
use wiregrant_core::note::Network;

use super::*;
use crate::batch::BatchLine;
use crate::batch::tests::{ADDRESSES, batch, line};

/// How many vectors BIP 174 has.
const INVALID: usize = 20;
const VALID: usize = 10;
const NESTED: &str = "2NAUYAHhujozruyzpsFRP63mbrdaU5wnEpN";

fn address(text: &str) -> PayoutAddress {
    PayoutAddress::parse(text, Network::Regtest).unwrap()
}

fn p2wpkh(hash: [u8; 20]) -> PayoutAddress {
    let script = ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array(hash));
    PayoutAddress::from_script(&script, Network::Regtest).unwrap()
}

/// A change address that no batch of these tests pays.
fn change() -> PayoutAddress {
    p2wpkh([9; 20])
}

fn outpoint(n: u8, vout: u32) -> OutPoint {
    OutPoint::new(Txid::from_byte_array([n; 32]), vout)
}

fn coin(n: u8, sats: u64) -> Coin {
    Coin::new(outpoint(n, 0), Sats::new(sats).unwrap(), address(ADDRESSES[0]).script_pubkey())
}

fn taproot_coin(n: u8, sats: u64) -> Coin {
    Coin { script_pubkey: address(ADDRESSES[1]).script_pubkey(), ..coin(n, sats) }
}

fn nested_coin(n: u8, sats: u64) -> Coin {
    Coin {
        script_pubkey: address(NESTED).script_pubkey(),
        redeem_script: Some(address(ADDRESSES[0]).script_pubkey()),
        ..coin(n, sats)
    }
}

fn legacy_coin(sats: u64) -> Coin {
    let script_pubkey = address(ADDRESSES[3]).script_pubkey();
    let previous_tx = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn::default()],
        output: vec![TxOut { value: Amount::from_sat(sats), script_pubkey: script_pubkey.clone() }],
    };
    let mut coin =
        Coin::new(OutPoint::new(previous_tx.compute_txid(), 0), Sats::new(sats).unwrap(), script_pubkey);
    coin.previous_tx = Some(previous_tx);
    coin
}

fn sample() -> Batch {
    let again = BatchLine { epoch: 2, ..line("nordlicht", 5_000, ADDRESSES[0]) };
    batch(vec![line("nordlicht", 60_000, ADDRESSES[0]), line("polaris", 40_000, ADDRESSES[1]), again])
}

/// Fills every input with a signature of the largest size.
fn signed(psbt: &UnsignedPsbt) -> Transaction {
    let mut tx = psbt.psbt().unsigned_tx.clone();
    for (input, known) in tx.input.iter_mut().zip(&psbt.psbt().inputs) {
        let Some(spent) = &known.witness_utxo else {
            input.script_sig = Builder::new().push_slice([0; 72]).push_slice([0; 33]).into_script();
            continue;
        };
        if let Some(redeem) = &known.redeem_script {
            let push = PushBytesBuf::try_from(redeem.to_bytes()).unwrap();
            input.script_sig = Builder::new().push_slice(push).into_script();
        }
        input.witness = match spent.script_pubkey.is_p2tr() {
            true => Witness::from_slice(&[vec![0; 64]]),
            false => Witness::from_slice(&[vec![0; 72], vec![0; 33]]),
        };
    }
    tx
}

#[test]
fn invariant_7_a_batch_is_paid_to_the_satoshi_with_the_fee_on_top() {
    let psbt = build(&sample(), &[coin(1, 200_000)], &change(), 2).unwrap();
    let paid: Vec<(String, u64)> =
        psbt.outputs().iter().map(|o| (o.address.to_string(), o.sats.get())).collect();
    assert_eq!(paid, [(ADDRESSES[1].to_owned(), 40_000), (ADDRESSES[0].to_owned(), 65_000)]);
    // One P2WPKH input, two P2WPKH outputs and one P2TR: 10.5 + 68.25 + 31 + 31 + 43, rounded up.
    assert_eq!((psbt.vbytes(), psbt.fee().get()), (184, 368));
    assert_eq!(psbt.change().unwrap().sats.get(), 200_000 - 105_000 - 368);
    let tx = &psbt.psbt().unsigned_tx;
    assert_eq!((tx.version, tx.lock_time), (Version::TWO, LockTime::ZERO));
    assert_eq!(tx.input[0].sequence.0, 0xffff_fffd);
    let amounts: Vec<u64> = tx.output.iter().map(|o| o.value.to_sat()).collect();
    assert_eq!(amounts, [40_000, 65_000, 94_632]);
    assert!(psbt.psbt().inputs[0].witness_utxo.is_some() && psbt.psbt().inputs[0].sighash_type.is_none());
    assert_eq!(psbt.to_base64().parse::<Psbt>().unwrap(), *psbt.psbt());
}

#[test]
fn only_as_many_coins_are_spent_as_it_takes_and_the_largest_first() {
    let coins = [coin(1, 50_000), coin(2, 90_000), coin(3, 90_000), coin(4, 200)];
    let psbt = build(&sample(), &coins, &change(), 1).unwrap();
    let spent: Vec<OutPoint> = psbt.psbt().unsigned_tx.input.iter().map(|i| i.previous_output).collect();
    assert_eq!(spent, [outpoint(2, 0), outpoint(3, 0)]);
}

#[test]
fn change_that_would_be_dust_goes_to_the_fee() {
    let exact = build(&sample(), &[coin(1, 1_000_000)], &change(), 1).unwrap();
    let enough = 105_000 + exact.fee().get() + 294;
    let with = build(&sample(), &[coin(1, enough)], &change(), 1).unwrap();
    assert_eq!((with.change().unwrap().sats.get(), with.fee()), (294, exact.fee()));
    let without = build(&sample(), &[coin(1, enough - 1)], &change(), 1).unwrap();
    assert_eq!((without.change(), without.fee().get()), (None, exact.fee().get() + 293));
}

#[test]
fn too_little_says_what_is_there_and_what_it_takes() {
    let least = build(&sample(), &[coin(1, 105_153)], &change(), 1).unwrap();
    assert_eq!((least.change(), least.fee().get()), (None, 153));
    let error = build(&sample(), &[coin(1, 105_152)], &change(), 1).unwrap_err().to_string();
    assert!(error.contains("have 105152") && error.contains("need 105153"), "{error}");
    let none = build(&sample(), &[], &change(), 1).unwrap_err().to_string();
    assert!(none.contains("have 0 sats in 0"), "{none}");
}

#[test]
fn a_coin_that_costs_more_than_it_holds_is_not_spent() {
    let error = build(&sample(), &[coin(1, 68), coin(2, 1_000)], &change(), 1).unwrap_err();
    assert!(matches!(error, PayoutError::NotEnough { usable: 1, .. }), "{error}");
}

#[test]
fn every_bound_has_its_message() {
    let rich = [coin(1, 100_000_000)];
    let refusal = |batch: &Batch, coins: &[Coin], change: &PayoutAddress, rate| {
        build(batch, coins, change, rate).unwrap_err().to_string()
    };
    for rate in [0, 1_001, u64::MAX] {
        assert!(refusal(&sample(), &rich, &change(), rate).contains("1 to 1,000"));
    }
    assert!(refusal(&sample(), &rich, &change(), 100).contains("bound of 10500 sats"));
    let dust = batch(vec![line("polaris", 329, ADDRESSES[1])]);
    assert!(refusal(&dust, &rich, &change(), 1).contains("dust (at least 330"));
    let main = PayoutAddress::parse("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", Network::Bitcoin).unwrap();
    assert!(refusal(&sample(), &rich, &main, 1).contains("network"));
    assert!(refusal(&sample(), &rich, &address(ADDRESSES[0]), 1).contains("fresh change address"));
    assert!(refusal(&sample(), &[coin(1, 1), coin(1, 1)], &change(), 1).contains("twice"));
    let large = batch(vec![line("polaris", 104_000_000, ADDRESSES[1])]);
    let small: Vec<Coin> = (0..1_500).map(|n| Coin { outpoint: outpoint(1, n), ..coin(1, 70_000) }).collect();
    assert!(refusal(&large, &small, &change(), 1).contains("400000"));
}

#[test]
fn the_id_is_known_before_signing_unless_a_legacy_coin_is_spent() {
    let coins = [coin(1, 40_000), taproot_coin(2, 40_000), nested_coin(3, 40_000)];
    let psbt = build(&sample(), &coins, &change(), 1).unwrap();
    assert_eq!(psbt.txid(), Some(signed(&psbt).compute_txid()));
    let legacy = build(&sample(), &[legacy_coin(500_000)], &change(), 1).unwrap();
    assert_eq!(legacy.txid(), None);
    assert!(
        legacy.psbt().inputs[0].non_witness_utxo.is_some() && legacy.psbt().inputs[0].witness_utxo.is_none()
    );
}

#[test]
fn a_thousand_lines_are_built_and_pass_the_check() {
    let lines = (0..Batch::MAX_LINES).map(|n| {
        let [low, high, ..] = n.to_le_bytes();
        let to = p2wpkh(std::array::from_fn(|place| if place % 2 == 0 { low } else { high }));
        line(&format!("op-{n}"), 10_000, &to.to_string())
    });
    let batch = batch(lines.collect());
    let psbt = build(&batch, &[coin(1, 50_000_000)], &change(), 5).unwrap();
    let check = check_psbt(&psbt.to_base64(), &batch, &[change()]).unwrap();
    assert_eq!((check.outputs.len(), check.fee, check.txid), (1_000, psbt.fee(), psbt.txid()));
}

#[test]
fn what_was_built_passes_its_check() {
    let psbt = build(&sample(), &[coin(1, 90_000), legacy_coin(90_000)], &change(), 3).unwrap();
    let check = check_psbt(&psbt.to_base64(), &sample(), &[p2wpkh([8; 20]), change()]).unwrap();
    assert_eq!((check.fee, check.txid), (psbt.fee(), None));
    assert_eq!(check.change, [psbt.change().unwrap().clone()]);
    assert_eq!(check.outputs.len(), 2);
}

#[test]
fn change_in_any_position_and_a_sum_in_two_outputs_still_pass() {
    let psbt = build(&sample(), &[coin(1, 200_000)], &change(), 1).unwrap();
    let mut moved = psbt.psbt().clone();
    moved.unsigned_tx.output.reverse();
    moved.unsigned_tx.output[1].value -= Amount::from_sat(1_000);
    let part = TxOut { value: Amount::from_sat(1_000), ..moved.unsigned_tx.output[1].clone() };
    moved.unsigned_tx.output.push(part);
    moved.outputs.push(bitcoin::psbt::Output::default());
    check_psbt(&moved.to_string(), &sample(), &[change()]).unwrap();
}

#[test]
fn whatever_differs_from_the_batch_is_named() {
    let psbt = build(&sample(), &[coin(1, 200_000)], &change(), 1).unwrap();
    let refusal = |edit: &dyn Fn(&mut Psbt)| {
        let mut psbt = psbt.psbt().clone();
        edit(&mut psbt);
        check_psbt(&psbt.to_string(), &sample(), &[change()]).unwrap_err().to_string()
    };
    let pay = |psbt: &mut Psbt, n: usize, sats| psbt.unsigned_tx.output[n].value = Amount::from_sat(sats);
    let short = refusal(&|p| pay(p, 0, 39_999));
    assert!(
        short.contains(ADDRESSES[1]) && short.contains("polaris") && short.contains("found 39999"),
        "{short}"
    );
    let over = refusal(&|p| pay(p, 1, 65_001));
    assert!(over.contains("nordlicht") && over.contains("expected 65000 sats"), "{over}");
    let missing = refusal(&|p| {
        p.unsigned_tx.output.remove(0);
        p.outputs.remove(0);
    });
    assert!(missing.contains("found 0 sats"), "{missing}");
    let stranger = p2wpkh([8; 20]);
    let swapped = refusal(&|p| p.unsigned_tx.output[0].script_pubkey = stranger.script_pubkey());
    assert!(swapped.contains(&format!("output 0, 40000 sats to {stranger}")), "{swapped}");
    let data = refusal(&|p| p.unsigned_tx.output[2].script_pubkey = ScriptBuf::new_op_return([1; 4]));
    assert!(data.contains("output 2") && data.contains("OP_RETURN"), "{data}");
    assert!(refusal(&|p| pay(p, 2, 293)).contains("dust"));
    assert!(refusal(&|p| pay(p, 2, 84_000)).contains("bound of 10500"));
    assert!(refusal(&|p| pay(p, 2, 95_001)).contains("exceed inputs"));
}

#[test]
fn inputs_that_hide_something_are_named() {
    let psbt = build(&sample(), &[legacy_coin(120_000), coin(1, 200_000)], &change(), 1).unwrap();
    let refusal = |edit: &dyn Fn(&mut Psbt)| {
        let mut psbt = psbt.psbt().clone();
        edit(&mut psbt);
        check_psbt(&psbt.to_string(), &sample(), &[change()]).unwrap_err().to_string()
    };
    let signature = refusal(&|p| p.inputs[0].final_script_witness = Some(Witness::from_slice(&[[0; 64]])));
    assert!(signature.contains("input 0") && signature.contains("already signed"), "{signature}");
    let none = PsbtSighashType::from(EcdsaSighashType::None);
    assert!(refusal(&|p| p.inputs[0].sighash_type = Some(none)).contains("sighash 0x02"));
    assert!(refusal(&|p| p.inputs[0].witness_utxo = None).contains("not shown"));
    let other = legacy_coin(7).previous_tx;
    assert!(refusal(&|p| p.inputs[0].non_witness_utxo.clone_from(&other)).contains("another transaction"));
    let lie = legacy_coin(120_000);
    let untied = refusal(&|p| {
        let script_pubkey = lie.script_pubkey.clone();
        p.inputs[0].witness_utxo = Some(TxOut { value: Amount::from_sat(200_000), script_pubkey });
    });
    assert!(untied.contains("not commit to the amount"), "{untied}");
    let twice = refusal(&|p| {
        p.unsigned_tx.input.push(p.unsigned_tx.input[0].clone());
        p.inputs.push(p.inputs[0].clone());
    });
    assert!(twice.contains("spent twice"), "{twice}");
}

#[test]
fn what_is_no_psbt_is_refused_with_the_way_out() {
    let good = build(&sample(), &[coin(1, 200_000)], &change(), 1).unwrap();
    let mut longer = good.psbt().serialize();
    longer.push(0);
    let longer = bitcoin::base64::Engine::encode(&bitcoin::base64::engine::general_purpose::STANDARD, longer);
    for (text, hint) in
        [("", "PSBT"), ("%", "not base64"), ("cHNidA==", "BIP 174"), (&longer, "1 byte(s) follow")]
    {
        let error = check_psbt(text, &sample(), &[change()]).unwrap_err().to_string();
        assert!(error.contains(hint), "{error}");
    }
    let wrapped = good
        .to_base64()
        .as_bytes()
        .chunks(64)
        .map(|c| format!("{}\n", String::from_utf8_lossy(c)))
        .collect::<String>();
    assert!(check_psbt(&wrapped, &sample(), &[change()]).is_ok());
}

fn some_coins() -> impl Strategy<Value = Vec<Coin>> {
    let coins = (
        prop::collection::vec((0u64..3, 100u64..60_000), 0..12),
        prop::option::of(10_000u64..90_000),
        prop::bool::ANY,
    );
    coins.prop_map(|(segwit, legacy, rich)| {
        let mut coins: Vec<Coin> = (1u8..)
            .zip(segwit)
            .map(|(n, (kind, sats))| match kind {
                0 => coin(n, sats),
                1 => taproot_coin(n, sats),
                _ => nested_coin(n, sats),
            })
            .collect();
        coins.extend(legacy.map(legacy_coin));
        coins.extend(rich.then(|| coin(200, 1_000_000)));
        coins
    })
}

fn some_lines() -> impl Strategy<Value = Vec<BatchLine>> {
    prop::collection::vec((0usize..4, 546u64..30_000), 1..12).prop_map(|all| {
        let numbered = all.into_iter().enumerate();
        numbered.map(|(n, (to, sats))| line(&format!("op-{n}"), sats, ADDRESSES[to])).collect()
    })
}

fn shuffled() -> impl Strategy<Value = (Vec<Coin>, Vec<Coin>, Vec<BatchLine>, Vec<BatchLine>)> {
    (some_coins(), some_lines()).prop_flat_map(|(coins, lines)| {
        (Just(coins.clone()), Just(coins).prop_shuffle(), Just(lines.clone()), Just(lines).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn shuffled_coins_and_lines_give_the_same_bytes((coins, coins_too, lines, lines_too) in shuffled(), rate in 1u64..30) {
        let (one, other) = (build(&batch(lines), &coins, &change(), rate), build(&batch(lines_too), &coins_too, &change(), rate));
        prop_assert_eq!(one.as_ref().map(UnsignedPsbt::to_base64), other.as_ref().map(UnsignedPsbt::to_base64));
    }

    #[test]
    fn what_is_built_adds_up_weighs_what_was_estimated_and_passes_the_check(
        coins in some_coins(), lines in some_lines(), rate in 1u64..30,
    ) {
        let batch = batch(lines);
        let Ok(psbt) = build(&batch, &coins, &change(), rate) else { return Ok(()) };
        let tx = signed(&psbt);
        prop_assert_eq!(u64::try_from(tx.vsize()).unwrap(), psbt.vbytes());
        prop_assert!(psbt.fee().get() >= rate * psbt.vbytes());
        prop_assert!(psbt.fee().get() < rate * (psbt.vbytes() + 31) + 294);
        let spent = Sats::total(coins.iter().filter(|c| tx.input.iter().any(|i| i.previous_output == c.outpoint)).map(|c| c.sats));
        let out: u64 = tx.output.iter().map(|o| o.value.to_sat()).sum();
        prop_assert_eq!(spent.unwrap().get(), out + psbt.fee().get());
        prop_assert_eq!(Sats::total(psbt.outputs().iter().map(|o| o.sats)).unwrap(), batch.total);
        for output in &tx.output {
            prop_assert!(output.value >= output.script_pubkey.minimal_non_dust());
        }
        let check = check_psbt(&psbt.to_base64(), &batch, &[change()]).unwrap();
        prop_assert_eq!((check.fee, check.txid), (psbt.fee(), psbt.txid()));
        prop_assert_eq!(check.change.first(), psbt.change());
    }

    #[test]
    fn a_damaged_psbt_is_read_or_refused(at in any::<prop::sample::Index>(), to in any::<u8>(), rest in any::<Vec<u8>>()) {
        let batch = sample();
        let mut bytes = build(&batch, &[coin(1, 90_000), legacy_coin(90_000)], &change(), 1).unwrap().psbt().serialize();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let mut cut = bytes[..at].to_vec();
        cut.extend(rest);
        for damaged in [bytes, cut] {
            let text = bitcoin::base64::Engine::encode(&bitcoin::base64::engine::general_purpose::STANDARD, damaged);
            if let Ok(check) = check_psbt(&text, &batch, &[change()]) {
                prop_assert_eq!(check.outputs.len(), 2);
            }
        }
    }
}

/// Verdict, base64 and case of each vector of BIP 174.
fn bip174() -> impl Iterator<Item = (bool, &'static str, &'static str)> {
    let vectors = include_str!("bip174.txt").lines().filter(|line| !line.starts_with('#'));
    vectors.map(|line| {
        let mut fields = line.splitn(3, ' ');
        let mut field = || fields.next().expect("verdict, base64, case");
        (field() == "valid", field(), field())
    })
}

#[test]
fn of_bip_174_every_valid_psbt_reads_and_prints_the_same_and_every_invalid_one_is_refused() {
    let mut count = [0, 0];
    for (valid, text, case) in bip174() {
        count[usize::from(valid)] += 1;
        match check::parse(text) {
            Ok(psbt) => {
                assert!(valid, "accepted: {case}");
                assert_eq!(psbt.to_string(), text, "{case}");
            }
            Err(error) => assert!(!valid, "refused: {case}: {error}"),
        }
    }
    assert_eq!(count, [INVALID, VALID]);
}
