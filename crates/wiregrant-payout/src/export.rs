//! A batch in the forms that wallets take where they choose the coins themselves.
//!
//! Each has one amount for each address, the sum of its lines: a node refuses an address that is named twice. Amounts are
//! decimal strings of bitcoins with eight places, exact, which JSON's numbers would not be.

use std::fmt::Write as _;

use serde_json::{Value, json};
use wiregrant_core::Sats;

use crate::batch::{Batch, Payee};
use crate::{PaidOutput, PayoutError};

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Lines `address,amount,label` under a head, as Sparrow and Electrum import them.
    Csv,
    /// One `bitcoin:` link a line (BIP 21).
    Bip21,
    /// The parameters of `sendmany`, which leaves the fee to the sender.
    SendMany,
    /// The parameters of `walletcreatefundedpsbt`, which lets the wallet add coins and change.
    FundedPsbt,
}

impl Form {
    /// Every form, by the word people name it with.
    pub const ALL: [(&str, Self); 4] = [
        ("csv", Self::Csv),
        ("bip21", Self::Bip21),
        ("sendmany", Self::SendMany),
        ("walletcreatefundedpsbt", Self::FundedPsbt),
    ];
}

/// The batch in a form, with a line feed at its end. What is made from it is recognised on the chain by what it pays, or by
/// being declared.
///
/// # Errors
/// As [`Batch::checked`].
pub fn export(batch: &Batch, form: Form) -> Result<String, PayoutError> {
    let payees: Vec<Payee> = batch.payees()?.into_values().collect();
    let outputs: Vec<PaidOutput> =
        payees.iter().map(|payee| PaidOutput { address: payee.address.clone(), sats: payee.sats }).collect();
    Ok(match form {
        Form::Csv => payees.iter().fold("address,amount,label\n".to_owned(), |mut text, payee| {
            let operators: Vec<&str> =
                payee.operators.iter().map(wiregrant_core::OperatorId::as_str).collect();
            let label = format!("{} {}", batch.batch, operators.join(" "));
            let _ = writeln!(text, "{},{},{label}", payee.address, bitcoins(payee.sats));
            text
        }),
        Form::Bip21 => outputs.iter().fold(String::new(), |mut text, output| {
            let _ = writeln!(text, "bitcoin:{}?amount={}", output.address, bitcoins(output.sats));
            text
        }),
        Form::SendMany => {
            let amounts: serde_json::Map<String, Value> = outputs
                .iter()
                .map(|output| (output.address.to_string(), bitcoins(output.sats).into()))
                .collect();
            format!("{}\n", json!(["", amounts]))
        }
        Form::FundedPsbt => {
            let amounts: Vec<Value> = outputs
                .iter()
                .map(|output| json!({ output.address.to_string(): bitcoins(output.sats) }))
                .collect();
            format!("{}\n", json!([[], amounts, 0, { "replaceable": true }]))
        }
    })
}

/// Sats as a decimal number of bitcoins with eight places.
#[must_use]
pub fn bitcoins(sats: Sats) -> String {
    format!("{}.{:08}", sats.get() / 100_000_000, sats.get() % 100_000_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::tests::{ADDRESSES, batch, line};

    fn sample() -> Batch {
        batch(vec![
            line("nordlicht", 60_000, ADDRESSES[0]),
            line("polaris", 40_000, ADDRESSES[0]),
            line("suedwind", 123_456_789, ADDRESSES[1]),
        ])
    }

    #[test]
    fn every_form_has_one_exact_amount_for_each_address() {
        let (one, two) = (ADDRESSES[0], ADDRESSES[1]);
        let text = |form| export(&sample(), form).unwrap();
        assert_eq!(
            text(Form::Csv),
            format!(
                "address,amount,label\n{one},0.00100000,spring-1 nordlicht polaris\n{two},1.23456789,spring-1 suedwind\n"
            )
        );
        assert_eq!(
            text(Form::Bip21),
            format!("bitcoin:{one}?amount=0.00100000\nbitcoin:{two}?amount=1.23456789\n")
        );
        let sendmany: Value = serde_json::from_str(&text(Form::SendMany)).unwrap();
        assert_eq!(sendmany, json!(["", { one: "0.00100000", two: "1.23456789" }]));
        let funded: Value = serde_json::from_str(&text(Form::FundedPsbt)).unwrap();
        assert_eq!(funded[1], json!([{ one: "0.00100000" }, { two: "1.23456789" }]));
    }

    #[test]
    fn a_batch_that_contradicts_itself_is_not_exported() {
        let wrong = Batch { total: Sats::ZERO, ..sample() };
        assert!(export(&wrong, Form::Csv).unwrap_err().to_string().starts_with("total: "));
    }

    proptest! {
        #[test]
        fn an_amount_reads_back_to_the_satoshi(sats in 0u64..=Sats::MAX.get()) {
            let text = bitcoins(Sats::new(sats).unwrap());
            let (whole, part) = text.split_once('.').unwrap();
            prop_assert_eq!(part.len(), 8);
            prop_assert_eq!(whole.parse::<u64>().unwrap() * 100_000_000 + part.parse::<u64>().unwrap(), sats);
        }
    }
}
