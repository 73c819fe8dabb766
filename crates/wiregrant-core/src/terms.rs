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
/// Allocation rule 2: rule 1 under a ceiling and shares of operators and sites, filled like water.
pub const RULE_WATER_FILLED: u64 = 2;

/// `admission`: operators apply, and once they are approved admit their own nodes.
pub const ADMISSION_BY_APPLICATION: u64 = 1;

/// The numbers that govern how a grant is split. Names and units are those of the note's `term` lines.
///
/// Under [`RULE_LARGEST_REMAINDER`] a note carries only the terms of the first release, and all others are without effect;
/// under [`RULE_WATER_FILLED`] it carries every one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// `admission`: how operators come in. 0: whoever administers admits their nodes; 1: an operator applies, and once they
    /// are approved admits their own nodes.
    #[serde(default)]
    pub admission: u64,
    /// `approvals`: how many different people must approve a statement before its sats may be put into a batch.
    #[serde(default)]
    pub approvals: u64,
    /// `capacity-mbit-per-second`: no node is believed to carry more; 0 for no bound.
    #[serde(default)]
    pub capacity_mbit_per_second: u64,
    /// `ceiling-sats-per-unit`: a unit earns at most so much; 0 for no ceiling.
    #[serde(default)]
    pub ceiling_sats_per_unit: Sats,
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
    /// `invited-percent`: what a byte counts that served an operator's own codes.
    #[serde(default)]
    pub invited_percent: u64,
    /// `minimum-payout-sats`: less than this is brought to the next epoch.
    pub minimum_payout_sats: Sats,
    /// `operator-share-percent`: an operator earns at most this part of a pot; 100 for no bound.
    #[serde(default = "all")]
    pub operator_share_percent: u64,
    /// `peer-cap-bytes`: what one peer can add to a node's creditable bytes in an epoch; 0 for no cap. The node applies it.
    #[serde(default)]
    pub peer_cap_bytes: Bytes,
    /// `rule`: the allocation rule.
    pub rule: u64,
    /// `site-share-percent`: the nodes of one site earn at most this part of a pot together; 100 for no bound.
    #[serde(default = "all")]
    pub site_share_percent: u64,
    /// `start`: the beginning of epoch 1, in Unix seconds.
    pub start: Timestamp,
    /// `unit-bytes`: the credit unit.
    pub unit_bytes: Bytes,
}

/// All of it, in percent.
const ALL_PERCENT: u64 = 100;

fn all() -> u64 {
    ALL_PERCENT
}

/// The terms that only rule 2 knows.
const OF_RULE_2: [&str; 8] = [
    "admission",
    "approvals",
    "capacity-mbit-per-second",
    "ceiling-sats-per-unit",
    "invited-percent",
    "operator-share-percent",
    "peer-cap-bytes",
    "site-share-percent",
];

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
    /// The most people whose approval a grant may ask for.
    pub const MOST_APPROVALS: u64 = 5;

    /// The terms of a grant that sets nothing but when it begins and how many epochs it has.
    #[must_use]
    pub fn defaults(start: Timestamp, epochs: u64) -> Self {
        let fits = "a default is in range";
        Self {
            admission: 0,
            approvals: 0,
            capacity_mbit_per_second: 0,
            ceiling_sats_per_unit: Sats::ZERO,
            challenge_seconds: Self::DEFAULT_CHALLENGE_SECONDS,
            close_delay_seconds: Self::DEFAULT_CLOSE_DELAY_SECONDS,
            epoch_seconds: Self::DEFAULT_EPOCH_SECONDS,
            epochs,
            floor: Self::DEFAULT_FLOOR,
            invited_percent: 0,
            minimum_payout_sats: Sats::new(Self::DEFAULT_MINIMUM_PAYOUT_SATS).expect(fits),
            operator_share_percent: ALL_PERCENT,
            peer_cap_bytes: Bytes::ZERO,
            rule: RULE_WATER_FILLED,
            site_share_percent: ALL_PERCENT,
            start,
            unit_bytes: Bytes::new(Self::DEFAULT_UNIT_BYTES).expect(fits),
        }
    }

    /// The epochs these terms lay out.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        Schedule { start: self.start, epoch_seconds: self.epoch_seconds, epochs: self.epochs }
    }

    /// The least that an epoch pays an operator. In the last epoch of a grant under rule 2 it is the dust limit, because what
    /// is carried then could never be paid.
    #[must_use]
    pub fn minimum_in(&self, epoch: u64) -> Sats {
        if self.rule == RULE_WATER_FILLED && self.schedule().epochs_left(epoch) <= 1 {
            return Sats::new(Self::LEAST_MINIMUM_PAYOUT_SATS)
                .map_or(self.minimum_payout_sats, |dust| dust.min(self.minimum_payout_sats));
        }
        self.minimum_payout_sats
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
        in_range("admission", self.admission, 0..=1, "0 (by whoever administers) or 1 (operators apply)")?;
        in_range("approvals", self.approvals, 0..=Self::MOST_APPROVALS, "0 to 5 people")?;
        let capacity = self.capacity_mbit_per_second;
        in_range("capacity-mbit-per-second", capacity, 0..=10_000_000, "0 (no bound) to 10,000,000 Mbit/s")?;
        in_range("invited-percent", self.invited_percent, 0..=ALL_PERCENT, "0 to 100 percent")?;
        in_range("operator-share-percent", self.operator_share_percent, 1..=ALL_PERCENT, "1 to 100 percent")?;
        in_range("site-share-percent", self.site_share_percent, 1..=ALL_PERCENT, "1 to 100 percent")?;
        in_range("rule", self.rule, RULE_LARGEST_REMAINDER..=RULE_WATER_FILLED, "rule 1 or 2")?;
        match self.bound_under_rule_1() {
            Some((name, number)) => {
                Err(FactError::value(name, &number.to_string(), "rule 2: rule 1 knows no such term"))
            }
            None => Ok(self),
        }
    }

    /// A term of rule 2 that is set although the rule is 1.
    fn bound_under_rule_1(&self) -> Option<(&'static str, u64)> {
        let neutral = |name: &str| if name.ends_with("share-percent") { ALL_PERCENT } else { 0 };
        let numbers = self.all_numbers();
        let set = |name: &&str| numbers.get(*name).is_some_and(|number| *number != neutral(name));
        let name = OF_RULE_2.iter().copied().find(set).filter(|_| self.rule == RULE_LARGEST_REMAINDER)?;
        Some((name, numbers.get(name).copied().unwrap_or_default()))
    }

    /// The terms as numbers by name, as notes carry them.
    #[must_use]
    pub fn numbers(&self) -> BTreeMap<&'static str, u64> {
        let mut numbers = self.all_numbers();
        if self.rule == RULE_LARGEST_REMAINDER {
            numbers.retain(|name, _| !OF_RULE_2.contains(name));
        }
        numbers
    }

    fn all_numbers(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::from([
            ("admission", self.admission),
            ("approvals", self.approvals),
            ("capacity-mbit-per-second", self.capacity_mbit_per_second),
            ("ceiling-sats-per-unit", self.ceiling_sats_per_unit.get()),
            ("challenge-seconds", self.challenge_seconds),
            ("close-delay-seconds", self.close_delay_seconds),
            ("epoch-seconds", self.epoch_seconds),
            ("epochs", self.epochs),
            ("floor", self.floor),
            ("invited-percent", self.invited_percent),
            ("minimum-payout-sats", self.minimum_payout_sats.get()),
            ("operator-share-percent", self.operator_share_percent),
            ("peer-cap-bytes", self.peer_cap_bytes.get()),
            ("rule", self.rule),
            ("site-share-percent", self.site_share_percent),
            ("start", self.start.unix_seconds().unsigned_abs()),
            ("unit-bytes", self.unit_bytes.get()),
        ])
    }

    /// Checks that these terms may follow others: the calendar stays, so that no epoch moves or changes its length, and no
    /// epoch that has begun is taken away.
    ///
    /// # Errors
    /// Names the first term that does not.
    pub fn may_follow(&self, before: &Self, first_epoch: u64) -> Result<(), FactError> {
        let stays = |field, before: u64, now: u64| {
            if before == now {
                return Ok(());
            }
            let expected = "the same as before: the calendar of a grant never changes";
            Err(FactError::value(field, &now.to_string(), expected))
        };
        stays("start", before.start.unix_seconds().unsigned_abs(), self.start.unix_seconds().unsigned_abs())?;
        stays("epoch-seconds", before.epoch_seconds, self.epoch_seconds)?;
        if first_epoch > self.epochs || first_epoch > before.epochs {
            let expected =
                "at least the epoch from which the new terms act, which the terms before must have too";
            return Err(FactError::value("epochs", &self.epochs.to_string(), expected));
        }
        if self.rule < before.rule {
            let expected = "no rule older than the one before";
            return Err(FactError::value("rule", &self.rule.to_string(), expected));
        }
        Ok(())
    }

    /// Writes the `term` lines.
    pub(crate) fn write(&self, lines: &mut Writer) {
        lines.repeated(
            self.numbers().iter().map(|(name, number)| note::line("term", &[name, number])).collect(),
        );
    }

    /// Reads the `term` lines: each term of the rule once, and no other.
    pub(crate) fn read(lines: &mut Reader<'_>) -> Result<Self, FactError> {
        let mut numbers = BTreeMap::new();
        for [name, number] in lines.repeated("term")? {
            numbers.insert(name, parse_number("term", number)?);
        }
        let rule = numbers.get("rule").copied().unwrap_or_default();
        let mut take = |name: &'static str| {
            numbers.remove(name).ok_or_else(|| FactError::mismatch("term", name, "no such line"))
        };
        let mut terms = Self {
            challenge_seconds: take("challenge-seconds")?,
            close_delay_seconds: take("close-delay-seconds")?,
            epoch_seconds: take("epoch-seconds")?,
            epochs: take("epochs")?,
            floor: take("floor")?,
            minimum_payout_sats: Sats::new(take("minimum-payout-sats")?)?,
            rule: take("rule")?,
            unit_bytes: Bytes::new(take("unit-bytes")?)?,
            ..Self::defaults(
                Timestamp::from_unix_seconds(i64::try_from(take("start")?).unwrap_or(i64::MAX))?,
                1,
            )
        };
        if rule != RULE_LARGEST_REMAINDER {
            terms = Self {
                admission: take("admission")?,
                approvals: take("approvals")?,
                capacity_mbit_per_second: take("capacity-mbit-per-second")?,
                ceiling_sats_per_unit: Sats::new(take("ceiling-sats-per-unit")?)?,
                invited_percent: take("invited-percent")?,
                operator_share_percent: take("operator-share-percent")?,
                peer_cap_bytes: Bytes::new(take("peer-cap-bytes")?)?,
                site_share_percent: take("site-share-percent")?,
                ..terms
            };
        }
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
        floor: 5,
        minimum_payout_sats: Sats::new(1_000).expect("small"),
        rule: RULE_LARGEST_REMAINDER,
        unit_bytes: Bytes::new(1_000_000).expect("small"),
        ..Terms::defaults(Timestamp::from_unix_seconds(1_783_339_200).expect("in range"), 4)
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
    fn a_note_carries_the_terms_of_its_rule_and_no_others() {
        let text = |terms: Terms| {
            TermsNote {
                log: "grants.example/record".parse().unwrap(),
                network: Network::Regtest,
                grant: "spring".parse().unwrap(),
                previous: None,
                terms,
            }
            .text()
        };
        let second = Terms { rule: RULE_WATER_FILLED, site_share_percent: 40, ..sample() };
        assert_eq!(TermsNote::from_text(&text(second.clone())).unwrap().terms, second);
        assert!(!text(sample()).contains("share"));
        let mixed = text(second).replace("term rule 2", "term rule 1");
        assert!(TermsNote::from_text(&mixed).unwrap_err().to_string().contains("admission"));
        let bound = Terms { ceiling_sats_per_unit: Sats::new(1).unwrap(), ..sample() };
        assert!(bound.checked().unwrap_err().to_string().contains("ceiling-sats-per-unit"));
    }

    #[test]
    fn new_terms_keep_the_calendar_and_every_epoch_that_has_begun() {
        let before = sample();
        let found = |terms: Terms, first| terms.may_follow(&before, first).map_err(|e| e.to_string());
        assert_eq!(found(Terms { epochs: 9, floor: 0, ..sample() }, 3), Ok(()));
        assert_eq!(found(Terms { epochs: 3, ..sample() }, 3), Ok(()));
        assert!(found(Terms { epochs: 2, ..sample() }, 3).unwrap_err().contains("epochs"));
        assert!(found(Terms { epochs: 9, ..sample() }, 5).unwrap_err().contains("epochs"));
        assert!(found(Terms { epoch_seconds: 61, ..sample() }, 2).unwrap_err().contains("epoch-seconds"));
    }

    #[test]
    fn in_the_last_epoch_whatever_is_no_dust_is_paid() {
        let terms = Terms { rule: RULE_WATER_FILLED, ..sample() };
        assert_eq!([3, 4].map(|n| terms.minimum_in(n).get()), [1_000, 546]);
        assert_eq!(sample().minimum_in(4).get(), 1_000);
    }

    #[test]
    fn terms_that_make_no_sense_are_refused_by_name() {
        let zero_unit = Terms { unit_bytes: Bytes::ZERO, ..sample() };
        assert!(zero_unit.checked().unwrap_err().to_string().contains("unit-bytes"));
        let dust = Terms { minimum_payout_sats: Sats::new(545).unwrap(), ..sample() };
        assert!(dust.checked().unwrap_err().to_string().contains("dust"));
    }
}
