//! What must hold between the numbers of a run (`docs/formats.md`, "Commands"): each figure was counted by somebody else.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Network, Psbt, ScriptBuf};

use wiregrant_payout::matching::SETTLED_DEPTH;

use super::outcome::Outcome;

/// Packets on their way when the cables were pulled, at most: one in a thousand bytes.
const LOST_PER_SENT: u64 = 1000;
/// What a node can send into nothing while a demo ends, at most: it tries a handshake of 148 bytes with each of five people every
/// five seconds, and gives up after a minute and a half.
const MOST_LATE_BYTES: u64 = 100_000;

/// Everything that does not hold, a sentence each.
#[must_use]
pub fn broken(outcome: &Outcome) -> Vec<String> {
    let mut broken = Vec::new();
    let mut hold = |holds: bool, otherwise: String| {
        if !holds {
            broken.push(otherwise);
        }
    };
    let Outcome { client, node, reported, .. } = outcome;
    hold(reported == node, format!("reported {reported:?} is not what the node's counters say: {node:?}"));
    for (sender, sent, receiver, received) in [
        ("the people", client.sent, "the node", node.received),
        ("the node", node.sent, "the people", client.received),
    ] {
        let lost = sent.checked_sub(received);
        hold(
            lost.is_some_and(|lost| lost <= sent / LOST_PER_SENT),
            format!(
                "{sender} sent {sent} bytes and {receiver} received {received}: not the same within 0.1 %"
            ),
        );
    }
    // A report that was closed with lies between what had been reported by the pulling of the cables and what has been since.
    let missing = reported.total().saturating_sub(outcome.credited_bytes);
    hold(
        missing < outcome.unit_bytes
            && outcome.credited_bytes <= reported.total().saturating_add(outcome.late_bytes),
        format!(
            "credited are {} of {} reported bytes and {} late ones: not short by less than a unit of {}",
            outcome.credited_bytes,
            reported.total(),
            outcome.late_bytes,
            outcome.unit_bytes
        ),
    );
    hold(
        outcome.late_bytes < MOST_LATE_BYTES,
        format!("{} bytes were reported after the cables were pulled", outcome.late_bytes),
    );
    hold(outcome.credited_bytes > 0, "nothing was credited".to_owned());
    let paid: u128 = outcome.payouts.iter().map(|payout| u128::from(payout.sats)).sum();
    hold(paid > 0, "nothing is paid".to_owned());
    hold(
        paid == u128::from(outcome.payable_sats),
        format!("payouts add up to {paid} sats, payable are {}", outcome.payable_sats),
    );
    let parts = [outcome.payable_sats, outcome.carried_sats, outcome.unspent_sats];
    let sum: u128 = parts.into_iter().map(u128::from).sum();
    hold(
        sum == u128::from(outcome.pot_sats),
        format!("payable + carried + unspent {parts:?} is {sum} sats, the pot is {}", outcome.pot_sats),
    );
    hold(outcome.verify == "ok", format!("verify says {:?}", outcome.verify));
    let settled = &outcome.settled;
    hold(
        (settled.lines, settled.sats) == (outcome.payouts.len() as u64, outcome.payable_sats),
        format!(
            "settled are {} lines of {} sats, paid were {} of {}",
            settled.lines,
            settled.sats,
            outcome.payouts.len(),
            outcome.payable_sats
        ),
    );
    hold(
        settled.depth >= SETTLED_DEPTH && settled.txid.len() == 64,
        format!("transaction {:?} is {} blocks deep, not {SETTLED_DEPTH}", settled.txid, settled.depth),
    );
    if let Err(otherwise) = pays_exactly(outcome) {
        broken.push(format!("the PSBT: {otherwise}"));
    }
    broken
}

/// The transaction is unsigned, and its outputs are the payouts and the change, none of them dust.
fn pays_exactly(outcome: &Outcome) -> Result<(), String> {
    let psbt = Psbt::from_str(&outcome.psbt).map_err(|error| error.to_string())?;
    let script = |address: &str| -> Result<ScriptBuf, String> {
        let address: Address<NetworkUnchecked> =
            address.parse().map_err(|error| format!("{address}: {error}"))?;
        let checked = address.require_network(Network::Regtest).map_err(|error| error.to_string())?;
        Ok(checked.script_pubkey())
    };
    if psbt.inputs.iter().any(|input| !input.partial_sigs.is_empty() || input.final_script_witness.is_some())
    {
        return Err("it is signed already".to_owned());
    }
    let mut owed: BTreeMap<ScriptBuf, u64> = BTreeMap::new();
    for payout in &outcome.payouts {
        let sats = owed.entry(script(&payout.address)?).or_default();
        *sats = sats.checked_add(payout.sats).ok_or("payouts pass all sats there are")?;
    }
    let change = script(&outcome.change_address)?;
    let mut changes = 0;
    for output in &psbt.unsigned_tx.output {
        let sats = output.value.to_sat();
        if output.value < output.script_pubkey.minimal_non_dust() {
            return Err(format!("an output of {sats} sats is dust"));
        }
        match owed.remove(&output.script_pubkey) {
            Some(expected) if expected == sats => {}
            Some(expected) => return Err(format!("an output has {sats} sats where {expected} are owed")),
            None if output.script_pubkey == change && changes == 0 => changes += 1,
            None => return Err(format!("an output of {sats} sats is neither a payout nor the change")),
        }
    }
    match owed.values().next() {
        None => Ok(()),
        Some(sats) => Err(format!("{sats} sats that are owed have no output")),
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::absolute::LockTime;
    use bitcoin::transaction::Version;
    use bitcoin::{Amount, OutPoint, Sequence, Transaction, TxIn, TxOut, Witness};

    use super::super::outcome::{DEMONSTRATION_TERMS, Payout, Record, Settled};
    use super::super::regtest::nobodys_address;
    use super::*;
    use crate::counters::Counters;

    /// An unsigned transaction with these outputs.
    fn psbt(outputs: &[(String, u64)]) -> String {
        let output = |(address, sats): &(String, u64)| TxOut {
            value: Amount::from_sat(*sats),
            script_pubkey: address
                .parse::<Address<NetworkUnchecked>>()
                .unwrap()
                .assume_checked()
                .script_pubkey(),
        };
        let input = TxIn {
            previous_output: OutPoint::null(),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        };
        let transaction = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![input],
            output: outputs.iter().map(output).collect(),
        };
        Psbt::from_unsigned_tx(transaction).unwrap().to_string()
    }

    fn good() -> Outcome {
        let (operator, change) = (nobodys_address(0x11), nobodys_address(0x33));
        Outcome {
            client: Counters { received: 8_000_000, sent: 2_000_100 },
            node: Counters { received: 2_000_000, sent: 8_000_200 },
            reported: Counters { received: 2_000_000, sent: 8_000_200 },
            late_bytes: 32,
            credited_bytes: 10_000_000,
            unit_bytes: 1_000_000,
            payouts: vec![Payout { operator: "nordlicht".into(), address: operator.clone(), sats: 250_000 }],
            pot_sats: 250_000,
            payable_sats: 250_000,
            carried_sats: 0,
            unspent_sats: 0,
            psbt: psbt(&[(operator, 250_000), (change.clone(), 700_000)]),
            change_address: change,
            settled: Settled { txid: "0f".repeat(32), lines: 1, sats: 250_000, depth: 6 },
            record: Record { origin: "grants.example/record".into(), size: 9, root: String::new() },
            verify: "ok".into(),
            seconds: 60,
            terms: DEMONSTRATION_TERMS,
        }
    }

    /// Breaks one thing and gives all that is found broken.
    fn found(change: impl FnOnce(&mut Outcome)) -> String {
        let mut outcome = good();
        change(&mut outcome);
        broken(&outcome).join("\n")
    }

    #[test]
    fn nothing_is_broken_in_a_good_run() {
        assert_eq!(broken(&good()), Vec::<String>::new());
    }

    #[test]
    fn each_counter_that_differs_is_named() {
        assert!(found(|o| o.reported.received += 1).contains("is not what the node's counters say"));
        assert!(
            found(|o| o.client.received += 201)
                .contains("the node sent 8000200 bytes and the people received")
        );
        assert!(found(|o| o.client.received = 7_990_000).contains("within 0.1 %"), "lost too much");
        assert!(found(|o| o.client.sent = 1_999_999).contains("the people sent 1999999"));
    }

    #[test]
    fn credit_may_fall_short_by_less_than_a_unit_and_never_pass() {
        assert!(found(|o| o.credited_bytes = 9_000_000).contains("short by less than a unit"));
        assert!(found(|o| o.credited_bytes = 11_000_000).contains("short by less than a unit"));
        assert!(found(|o| o.credited_bytes = 0).contains("nothing was credited"));
        // A keepalive after the cables were pulled filled the last unit.
        let late = |o: &mut Outcome| (o.credited_bytes, o.late_bytes) = (o.reported.total() + 32, 32);
        assert_eq!(found(late), "");
        assert!(found(|o| o.credited_bytes = o.reported.total() + 33).contains("short by less than a unit"));
        assert!(found(|o| o.late_bytes = 100_000).contains("after the cables were pulled"));
    }

    #[test]
    fn a_sat_too_much_or_too_little_is_found_in_every_sum() {
        assert!(found(|o| o.payable_sats += 1).contains("payouts add up to 250000 sats, payable are 250001"));
        assert!(found(|o| o.carried_sats = 1).contains("the pot is 250000"));
        assert!(found(|o| o.unspent_sats = 1).contains("the pot is 250000"));
        assert!(found(|o| o.pot_sats -= 1).contains("the pot is 249999"));
        assert!(found(|o| o.payouts.clear()).contains("nothing is paid"));
        assert!(found(|o| o.payouts[0].sats -= 1).contains("where 249999 are owed"));
    }

    #[test]
    fn a_transaction_that_pays_anything_else_is_found() {
        let (operator, change, thief) = (nobodys_address(0x11), nobodys_address(0x33), nobodys_address(0x66));
        let with = |outputs: &[(&String, u64)]| {
            let outputs: Vec<_> = outputs.iter().map(|(address, sats)| ((*address).clone(), *sats)).collect();
            found(|o| o.psbt = psbt(&outputs))
        };
        assert_eq!(with(&[(&operator, 250_000)]), "", "no change is needed");
        assert!(with(&[(&operator, 249_999)]).contains("249999 sats where 250000 are owed"));
        assert!(with(&[(&operator, 250_000), (&thief, 1_000)]).contains("neither a payout nor the change"));
        assert!(with(&[(&change, 250_000)]).contains("250000 sats that are owed have no output"));
        assert!(with(&[(&operator, 250_000), (&change, 200)]).contains("200 sats is dust"));
        let twice = with(&[(&operator, 250_000), (&change, 1_000), (&change, 1_000)]);
        assert!(twice.contains("neither a payout nor the change"), "{twice}");
        assert!(found(|o| o.psbt = "cHNidP8=".into()).contains("the PSBT: "));
    }

    #[test]
    fn a_payment_that_is_not_settled_to_the_last_sat_is_found() {
        assert!(found(|o| o.settled.sats -= 1).contains("settled are 1 lines of 249999 sats"));
        assert!(found(|o| o.settled.lines = 0).contains("settled are 0 lines"));
        assert!(found(|o| o.settled.depth = 5).contains("5 blocks deep, not 6"));
    }

    #[test]
    fn what_verify_finds_is_named() {
        assert_eq!(found(|o| o.verify = "findings".into()), "verify says \"findings\"");
    }
}
