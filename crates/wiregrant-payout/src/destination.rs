//! The destination note: where an operator is paid.

use transparency_log::Hash;
use wiregrant_core::note::{self, Network, NoteText, Origin, Reader, Salt, Writer};
use wiregrant_core::{FactError, OperatorId};

use crate::{Pay, PayoutError, secret};

/// The note `wiregrant/destination/v1`, signed by the operator's own key, or by the control plane's statement key for
/// operators who have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The record log.
    pub log: Origin,
    /// The network it is good for.
    pub network: Network,
    /// Whose it is.
    pub operator: OperatorId,
    /// Counts this operator's destinations from 1.
    pub sequence: u64,
    /// The hash of the last destination note; `None` for the first.
    pub previous: Option<Hash>,
    /// Keeps the note's hash, which is public, from being guessed from an address.
    pub salt: Salt,
    /// An address, a descriptor, a link or a name. See [`Self::payable`].
    pub pay: String,
}

impl Destination {
    /// What `pay` names. A note can be well-formed and name something that cannot be paid, so ask before accepting one.
    ///
    /// # Errors
    /// As [`Pay::parse`].
    pub fn payable(&self) -> Result<Pay, PayoutError> {
        Pay::parse(&self.pay, self.network)
    }

    /// Checks what the lines alone do not say: the chain's beginning, and that `pay` is one plain word and no secret.
    ///
    /// # Errors
    /// Names the field.
    pub fn checked(self) -> Result<Self, PayoutError> {
        if let Some(kind) = secret::kind(&self.pay) {
            return Err(PayoutError::LooksLikeASecret { field: "pay", kind });
        }
        if self.pay.is_empty() || !self.pay.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(FactError::value("pay", "", "one word of printable ASCII without spaces").into());
        }
        if self.sequence == 0 {
            return Err(FactError::value("sequence", "0", "counted from 1").into());
        }
        if (self.sequence == 1) != self.previous.is_none() {
            let expected =
                if self.sequence == 1 { "- (the first)" } else { "the hash of the last destination" };
            return Err(PayoutError::mismatch("previous", expected, note::or_dash(self.previous)));
        }
        Ok(self)
    }
}

impl NoteText for Destination {
    const KIND: &'static str = "wiregrant/destination/v1";
    const MAX_BYTES: usize = 4 * 1024;

    fn write(&self, lines: &mut Writer) {
        lines.line("log", &[&self.log]);
        lines.line("network", &[&self.network]);
        lines.line("operator", &[&self.operator]);
        lines.line("sequence", &[&self.sequence]);
        lines.line("previous", &[&note::or_dash(self.previous)]);
        lines.line("salt", &[&self.salt]);
        lines.line("pay", &[&self.pay]);
    }

    fn read(lines: &mut Reader<'_>) -> Result<Self, FactError> {
        let read = Self {
            log: lines.value("log")?,
            network: lines.value("network")?,
            operator: lines.value("operator")?,
            sequence: lines.number("sequence")?,
            previous: lines.optional_hash("previous")?,
            salt: lines.value("salt")?,
            pay: lines.fields::<1>("pay")?[0].to_owned(),
        };
        read.checked().map_err(|e| e.in_note("destination", "a note of this form"))
    }

    // The grammar's own errors repeat the line they refuse. A seed pasted as twelve words is such a line, so secrets are
    // looked for before the grammar sees the text.
    fn from_text(text: &str) -> Result<Self, FactError> {
        let from = text.find("\npay").map_or("", |at| &text[at.saturating_add(4)..]);
        if let Some(kind) = secret::kind(from) {
            return Err(
                PayoutError::LooksLikeASecret { field: "pay", kind }.in_note("pay", "a receiving address")
            );
        }
        Scanned::from_text(text).map(|scanned| scanned.0)
    }
}

/// A destination whose text was found free of secrets, read by the grammar every note shares.
struct Scanned(Destination);

impl NoteText for Scanned {
    const KIND: &'static str = Destination::KIND;
    const MAX_BYTES: usize = Destination::MAX_BYTES;

    fn write(&self, lines: &mut Writer) {
        self.0.write(lines);
    }

    fn read(lines: &mut Reader<'_>) -> Result<Self, FactError> {
        Destination::read(lines).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn destination() -> Destination {
        Destination {
            log: "grants.example/record".parse().unwrap(),
            network: Network::Regtest,
            operator: "nordlicht".parse().unwrap(),
            sequence: 1,
            previous: None,
            salt: Salt([7; 16]),
            pay: "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080".into(),
        }
    }

    #[test]
    fn a_destination_reads_as_it_was_written() {
        let text = destination().text();
        assert!(text.ends_with("pay bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080\n"), "{text}");
        assert_eq!(Destination::from_text(&text).unwrap(), destination());
        assert_eq!(destination().payable().unwrap().to_string(), destination().pay);
    }

    #[test]
    fn only_the_first_destination_has_no_previous_one() {
        let second = Destination { sequence: 2, previous: Some(Hash::of(b"first")), ..destination() };
        assert_eq!(Destination::from_text(&second.text()).unwrap(), second);
        for wrong in [
            Destination { sequence: 2, ..destination() },
            Destination { previous: Some(Hash::of(b"first")), ..destination() },
            Destination { sequence: 0, ..destination() },
        ] {
            assert!(Destination::from_text(&wrong.text()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_seed_or_key_is_refused_and_never_repeated() {
        let words = "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong";
        let key = "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn";
        for (secret, part) in [(words, "zoo"), (key, "KwDi")] {
            let wrong = Destination { pay: secret.into(), ..destination() };
            let (read, checked) =
                (Destination::from_text(&wrong.text()).unwrap_err(), wrong.checked().unwrap_err());
            for shown in [format!("{read} {read:?}"), format!("{checked} {checked:?}")] {
                assert!(shown.contains("pay") && !shown.contains(part), "{shown}");
            }
        }
    }

    #[test]
    fn a_note_may_have_the_form_and_name_what_cannot_be_paid() {
        for pay in ["wpkh(xpub6D4BDPcP2GT577/0/*)", "operator@", "bitcoin:?label=x"] {
            let wrong = Destination { pay: pay.into(), ..destination() };
            assert_eq!(Destination::from_text(&wrong.text()).unwrap(), wrong);
            assert!(wrong.payable().is_err());
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_prints_as_it_came(text in "\\PC{0,80}", cut in 0usize..300) {
            let good = destination().text();
            let mut mixed = good.clone();
            mixed.replace_range(cut.min(good.len()).., &text);
            for candidate in [text, mixed] {
                if let Ok(read) = Destination::from_text(&candidate) {
                    prop_assert_eq!(read.text(), candidate);
                }
            }
        }
    }
}
