//! A year of a grant, for the tests and for whoever looks at the page: numbers that are fixed, and different enough to see.

use std::collections::BTreeMap;

use wiregrant_core::terms::{RULE_LARGEST_REMAINDER, Terms};
use wiregrant_core::{Bytes, LocationId, OperatorId, Sats, Timestamp, Units};

use super::{EpochReport, GrantReport, OperatorReport, PayoutState};
use crate::pages::frame::Frame;

const FIXED: &str = "a fixed value of its form";
const WEEK_SECONDS: u64 = 7 * 24 * 3600;
const EPOCHS: u64 = 52;
const POT_SATS: u64 = 400_000;
/// An operator, their part, and their places with the percentage served there.
type Served = (&'static str, u64, &'static [(&'static str, u64)]);
/// Where operators serve, and how much of their traffic there, in percent.
const OPERATORS: &[Served] = &[
    ("nordlicht", 430, &[("de-fra", 60), ("is-rkv", 40)]),
    ("polaris", 130, &[("fi-hel", 100)]),
    ("suedwind", 290, &[("nl-ams", 50), ("ro-buh", 20), ("pt-lis", 30)]),
    ("zephyr", 90, &[("se-sto", 40), ("ch-zrh", 60)]),
];

fn start() -> Timestamp {
    "2026-01-05T00:00:00Z".parse().expect(FIXED)
}

fn sats(sats: u64) -> Sats {
    Sats::new(sats).expect(FIXED)
}

pub fn report() -> GrantReport {
    GrantReport {
        frame: Frame::public("Grants for free networks", "../../"),
        site: "Grants for free networks".to_owned(),
        log: "grants.example/record".to_owned(),
        url: "https://grants.example".to_owned(),
        grant: "spring".parse().expect(FIXED),
        title: "Spring <2026>".to_owned(),
        terms: Terms {
            challenge_seconds: 0,
            close_delay_seconds: 0,
            epoch_seconds: WEEK_SECONDS,
            floor: 1,
            minimum_payout_sats: sats(546),
            rule: RULE_LARGEST_REMAINDER,
            unit_bytes: Bytes::new(1_000_000).expect(FIXED),
            ..Terms::defaults(start(), 104)
        },
        demonstration: true,
        contributed_sats: sats(POT_SATS * 104),
        checkpoint: Some((
            1_234,
            "grants.example/record\n1234\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n".to_owned(),
        )),
        epochs: (1..=EPOCHS).rev().map(epoch).collect(),
    }
}

fn epoch(number: u64) -> EpochReport {
    // Grows over the year, with a quiet summer.
    let growth = 100 + number * 4 - if (24..34).contains(&number) { 60 } else { 0 };
    let gigabytes = |share: u64| share * growth / 100 + (number * share) % 17;
    let total: u64 = OPERATORS.iter().map(|(_, share, _)| gigabytes(*share)).sum();
    let mut by_location: BTreeMap<LocationId, Bytes> = BTreeMap::new();
    let mut earned_in_all = 0;
    let operators = OPERATORS
        .iter()
        .map(|(operator, share, places)| {
            for (location, percent) in *places {
                let bytes = Bytes::new(gigabytes(*share) * 10_000_000 * percent).expect(FIXED);
                by_location.insert(location.parse().expect(FIXED), bytes);
            }
            let earned = POT_SATS * 95 / 100 * gigabytes(*share) / total;
            earned_in_all += earned;
            let operator: OperatorId = operator.parse().expect(FIXED);
            let payout = payout(number, &operator);
            let carried = if payout == PayoutState::Nothing { earned } else { 0 };
            OperatorReport {
                payout,
                operator,
                units: Units::new(gigabytes(*share) * 1_000).expect(FIXED),
                credited_bytes: Bytes::new(gigabytes(*share) * 1_000_000_000).expect(FIXED),
                earned_sats: sats(earned),
                brought_sats: Sats::ZERO,
                payable_sats: sats(earned - carried),
                carried_sats: sats(carried),
            }
        })
        .collect();
    EpochReport {
        epoch: number,
        start: start().plus_seconds((number - 1) * WEEK_SECONDS),
        end: start().plus_seconds(number * WEEK_SECONDS),
        statement: format!("{number:02x}").repeat(32),
        pot_sats: sats(POT_SATS),
        unspent_sats: sats(POT_SATS - earned_in_all),
        nodes_withheld: usize::from(number.is_multiple_of(5)),
        nodes_published: 11,
        credited_bytes_by_location: by_location,
        operators,
    }
}

fn payout(epoch: u64, operator: &OperatorId) -> PayoutState {
    let batch = format!("batch-{epoch}").parse().expect(FIXED);
    match (epoch, operator.as_str()) {
        (EPOCHS, "polaris") => PayoutState::Nothing,
        (EPOCHS, "zephyr") => PayoutState::Payable,
        (EPOCHS, _) => PayoutState::InBatch { batch },
        _ => PayoutState::Paid { batch, txid: format!("{:02x}", 0x40 + epoch).repeat(32) },
    }
}
