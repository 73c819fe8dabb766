//! The terms of a grant: a note of numbers by name, logged before the first epoch in which they act.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use transparency_log::Hash;

use crate::epoch::Schedule;
use crate::note::{self, Network, NoteText, Origin, Reader, Writer};
use crate::units::parse_number;
use crate::{Bytes, FactError, GrantId, Sats, Timestamp};

/// Allocation rule 1: pro rata to units, largest remainder, ties by hash.
pub const RULE_LARGEST_REMAINDER: u64 = 1;

/// The numbers that govern how a grant is split. Names and units are those of the note's `term` lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// `challenge-seconds`: how long after a statement is logged before its sats may be put into a batch.
    pub challenge_seconds: u64,
    /// `close-delay-seconds`: how long after an epoch's end its statement may be signed.
    pub close_delay_seconds: u64,
    /// `epoch-seconds`: the length of an epoch.
    pub epoch_seconds: u64,
    /// `epochs`: how many epochs the grant has.
    pub epochs: u64,
    /// `floor`: how many people must stand behind a node's number before it is published.
    pub floor: u64,
    /// `minimum-payout-sats`: less than this is brought to the next epoch.
    pub minimum_payout_sats: Sats,
    /// `rule`: the allocation rule; [`RULE_LARGEST_REMAINDER`] is the only one.
    pub rule: u64,
    /// `start`: the beginning of epoch 1, in Unix seconds.
    pub start: Timestamp,
    /// `unit-bytes`: the credit unit.
    pub unit_bytes: Bytes,
}

impl Terms {
    /// A week.
    pub const DEFAULT_EPOCH_SECONDS: u64 = 7 * 24 * 3600;
    /// 48 hours.
    pub const DEFAULT_CLOSE_DELAY_SECONDS: u64 = 48 * 3600;
    /// 72 hours.
    pub const DEFAULT_CHALLENGE_SECONDS: u64 = 72 * 3600;
    /// Ten people.
    pub const DEFAULT_FLOOR: u64 = 10;
    /// 10,000 sats, well over any output's dust limit.
    pub const DEFAULT_MINIMUM_PAYOUT_SATS: u64 = 10_000;
    /// 1 GB.
    pub const DEFAULT_UNIT_BYTES: u64 = 1_000_000_000;
    /// The largest dust limit of the output types that can be paid (P2PKH, at Bitcoin Core's 3 sat/vB), which
    /// no minimum may fall below.
    pub const LEAST_MINIMUM_PAYOUT_SATS: u64 = 546;

    /// The epochs these terms lay out.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        Schedule { start: self.start, epoch_seconds: self.epoch_seconds, epochs: self.epochs }
    }

    /// Checks that the numbers make sense together.
    ///
    /// # Errors
    /// Names the first term that does not, and what it takes.
    pub fn checked(self) -> Result<Self, FactError> {
        let in_range = |field, value: u64, range: std::ops::RangeInclusive<u64>, expected| {
            if range.contains(&value) {
                Ok(())
            } else {
                Err(FactError::value(field, &value.to_string(), expected))
            }
        };
        let year = 366 * 24 * 3600;
        in_range("epoch-seconds", self.epoch_seconds, 1..=year, "1 second to 1 year")?;
        in_range("epochs", self.epochs, 1..=10_000, "1 to 10,000 epochs")?;
        in_range("close-delay-seconds", self.close_delay_seconds, 0..=year, "0 seconds to 1 year")?;
        in_range("challenge-seconds", self.challenge_seconds, 0..=year, "0 seconds to 1 year")?;
        in_range("floor", self.floor, 0..=1_000_000, "0 to 1,000,000 people")?;
        in_range("unit-bytes", self.unit_bytes.get(), 1..=1_000_000_000_000, "1 byte to 1 TB")?;
        in_range(
            "minimum-payout-sats",
            self.minimum_payout_sats.get(),
            Self::LEAST_MINIMUM_PAYOUT_SATS..=Sats::MAX.get(),
            "546 sats (dust) or more",
        )?;
        in_range("rule", self.rule, RULE_LARGEST_REMAINDER..=RULE_LARGEST_REMAINDER, "rule 1, the only one")?;
        Ok(self)
    }

    /// The terms as numbers by name, as notes carry them.
    #[must_use]
    pub fn numbers(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::from([
            ("challenge-seconds", self.challenge_seconds),
            ("close-delay-seconds", self.close_delay_seconds),
            ("epoch-seconds", self.epoch_seconds),
            ("epochs", self.epochs),
            ("floor", self.floor),
            ("minimum-payout-sats", self.minimum_payout_sats.get()),
            ("rule", self.rule),
            ("start", self.start.unix_seconds().unsigned_abs()),
            ("unit-bytes", self.unit_bytes.get()),
        ])
    }

    /// Writes the `term` lines.
    pub(crate) fn write(&self, lines: &mut Writer) {
        lines.repeated(
            self.numbers().iter().map(|(name, number)| note::line("term", &[name, number])).collect(),
        );
    }

    /// Reads the `term` lines: each known term once, and no other.
    pub(crate) fn read(lines: &mut Reader<'_>) -> Result<Self, FactError> {
        let mut numbers = BTreeMap::new();
        for [name, number] in lines.repeated("term")? {
            numbers.insert(name, parse_number("term", number)?);
        }
        let mut take = |name: &'static str| {
            numbers.remove(name).ok_or_else(|| FactError::mismatch("term", name, "no such line"))
        };
        let terms = Self {
            challenge_seconds: take("challenge-seconds")?,
            close_delay_seconds: take("close-delay-seconds")?,
            epoch_seconds: take("epoch-seconds")?,
            epochs: take("epochs")?,
            floor: take("floor")?,
            minimum_payout_sats: Sats::new(take("minimum-payout-sats")?)?,
            rule: take("rule")?,
            start: Timestamp::from_unix_seconds(i64::try_from(take("start")?).unwrap_or(i64::MAX))?,
            unit_bytes: Bytes::new(take("unit-bytes")?)?,
        };
        if let Some(unknown) = numbers.keys().next() {
            return Err(FactError::value("term", unknown, "a term this version knows; update wiregrant"));
        }
        terms.checked()
    }
}

/// The note that puts terms in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermsNote {
    /// The record log.
    pub log: Origin,
    /// Where it pays.
    pub network: Network,
    /// The grant.
    pub grant: GrantId,
    /// The hash of the terms these replace.
    pub previous: Option<Hash>,
    /// The numbers.
    pub terms: Terms,
}

impl NoteText for TermsNote {
    const KIND: &'static str = "wiregrant/terms/v1";
    const MAX_BYTES: usize = 16 * 1024;

    fn write(&self, lines: &mut Writer) {
        lines.line("log", &[&self.log]);
        lines.line("network", &[&self.network]);
        lines.line("grant", &[&self.grant]);
        lines.line("previous", &[&note::or_dash(self.previous)]);
        self.terms.write(lines);
    }

    fn read(lines: &mut Reader<'_>) -> Result<Self, FactError> {
        Ok(Self {
            log: lines.value("log")?,
            network: lines.value("network")?,
            grant: lines.value("grant")?,
            previous: lines.optional_hash("previous")?,
            terms: Terms::read(lines)?,
        })
    }
}

#[cfg(test)]
pub(crate) fn sample() -> Terms {
    Terms {
        challenge_seconds: 0,
        close_delay_seconds: 0,
        epoch_seconds: 60,
        epochs: 4,
        floor: 5,
        minimum_payout_sats: Sats::new(1_000).expect("small"),
        rule: RULE_LARGEST_REMAINDER,
        start: Timestamp::from_unix_seconds(1_783_339_200).expect("in range"),
        unit_bytes: Bytes::new(1_000_000).expect("small"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_read_as_they_are_written() {
        let note = TermsNote {
            log: "grants.example/record".parse().unwrap(),
            network: Network::Regtest,
            grant: "spring".parse().unwrap(),
            previous: None,
            terms: sample(),
        };
        assert_eq!(TermsNote::from_text(&note.text()).unwrap(), note);
        let unknown = note.text().replace("term floor 5", "term flour 5");
        assert!(TermsNote::from_text(&unknown).is_err());
    }

    #[test]
    fn terms_that_make_no_sense_are_refused_by_name() {
        let zero_unit = Terms { unit_bytes: Bytes::ZERO, ..sample() };
        assert!(zero_unit.checked().unwrap_err().to_string().contains("unit-bytes"));
        let dust = Terms { minimum_payout_sats: Sats::new(545).unwrap(), ..sample() };
        assert!(dust.checked().unwrap_err().to_string().contains("dust"));
    }
}
