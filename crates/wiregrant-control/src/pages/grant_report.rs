//! A grant's public report: the same numbers as a page, as JSON and as CSV.

use std::collections::BTreeMap;

use askama::Template;
use serde::Serialize;
use wiregrant_core::statement::Statement;
use wiregrant_core::terms::Terms;
use wiregrant_core::{BatchId, Bytes, FactError, GrantId, OperatorId, Sats, Timestamp, Units};

use super::{grouped, sats_for_people, time_for_people};

/// Below any of these a grant's numbers show how the thing works, and are no way to pay people.
const PRODUCTION_UNIT_BYTES: u64 = Terms::DEFAULT_UNIT_BYTES;
const PRODUCTION_FLOOR: u64 = Terms::DEFAULT_FLOOR;

/// What became of an operator's sats of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "batch", rename_all = "kebab-case")]
pub enum PayoutState {
    /// Less than the least payout, or nothing: it is brought to the next epoch.
    Nothing,
    /// Waits for a batch.
    Payable,
    /// A batch holds it.
    InBatch(BatchId),
    /// A batch has paid it: its transaction is six blocks deep.
    Paid(BatchId),
}

impl std::fmt::Display for PayoutState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing to pay"),
            Self::Payable => f.write_str("payable"),
            Self::InBatch(batch) => write!(f, "in batch {batch}"),
            Self::Paid(batch) => write!(f, "paid by batch {batch}"),
        }
    }
}

/// An operator's line of one epoch.
#[derive(Debug, Clone, Serialize)]
pub struct OperatorReport {
    /// Who.
    pub operator: OperatorId,
    /// Units of their nodes that are published.
    pub units: Units,
    /// The same in bytes.
    pub credited_bytes: Bytes,
    /// This epoch's share of the pot.
    pub earned_sats: Sats,
    /// Brought from the epoch before.
    pub brought_sats: Sats,
    /// To be paid now.
    pub payable_sats: Sats,
    /// Brought to the next epoch.
    pub carried_sats: Sats,
    /// What became of it.
    #[serde(flatten)]
    pub payout: PayoutState,
}

/// One closed epoch.
#[derive(Debug, Clone, Serialize)]
pub struct EpochReport {
    /// Its number.
    pub epoch: u64,
    /// Its beginning.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// The statement's name under `/log/note/`.
    pub statement: String,
    /// Its pot.
    pub pot_sats: Sats,
    /// What nobody earned of it.
    pub unspent_sats: Sats,
    /// Nodes whose number is withheld because too few people stand behind it.
    pub nodes_withheld: usize,
    /// Nodes whose number is published.
    pub nodes_published: usize,
    /// Its operators.
    pub operators: Vec<OperatorReport>,
}

/// `grant.html`, `report.json` and `report.csv`.
#[derive(Debug, Clone, Serialize, Template)]
#[template(path = "grant.html")]
pub struct GrantReport {
    /// The control plane's title.
    pub site: String,
    /// The record log.
    pub log: String,
    /// Where `wiregrant verify` finds all this.
    pub url: String,
    /// The grant.
    pub grant: GrantId,
    /// For people.
    pub title: String,
    /// The terms.
    pub terms: Terms,
    /// Terms for showing, not for paying: every number on the page is of that kind.
    pub demonstration: bool,
    /// Closed epochs, the newest first.
    pub epochs: Vec<EpochReport>,
}

impl GrantReport {
    /// Whether these terms are for showing how the thing works: a unit below 1 GB, fewer than ten people behind a number,
    /// or no delay before closing.
    #[must_use]
    pub fn is_demonstration(terms: &Terms) -> bool {
        terms.unit_bytes.get() < PRODUCTION_UNIT_BYTES
            || terms.floor < PRODUCTION_FLOOR
            || terms.close_delay_seconds == 0
    }

    /// Reads one statement's lines; `payouts` tells of whose sats of which epoch a batch has taken care.
    ///
    /// # Errors
    /// [`FactError::Overflow`] when a statement's sums do not fit, which signed ones do.
    pub fn epoch(
        statement: &Statement,
        hash: String,
        payouts: &BTreeMap<(u64, OperatorId), PayoutState>,
    ) -> Result<EpochReport, FactError> {
        let units = statement.units_by_operator()?;
        let operators = statement.operators.iter().map(|(operator, line)| {
            let units = units.get(operator).copied().unwrap_or_default();
            let payout = match payouts.get(&(statement.epoch, operator.clone())) {
                Some(payout) => payout.clone(),
                None if line.payable > Sats::ZERO => PayoutState::Payable,
                None => PayoutState::Nothing,
            };
            Ok(OperatorReport {
                operator: operator.clone(),
                units,
                credited_bytes: bytes_of(units, &statement.terms)?,
                earned_sats: line.earned,
                brought_sats: line.brought,
                payable_sats: line.payable,
                carried_sats: line.carried,
                payout,
            })
        });
        let withheld = statement.nodes.values().filter(|node| node.units.is_none()).count();
        Ok(EpochReport {
            epoch: statement.epoch,
            start: statement.start,
            end: statement.end,
            statement: hash,
            pot_sats: statement.pot,
            unspent_sats: statement.unspent,
            nodes_withheld: withheld,
            nodes_published: statement.nodes.len().saturating_sub(withheld),
            operators: operators.collect::<Result<_, FactError>>()?,
        })
    }

    /// One line an operator and epoch, integers in full.
    #[must_use]
    pub fn csv(&self) -> String {
        use std::fmt::Write as _;
        let mut csv = "epoch,start,end,operator,units,credited_bytes,earned_sats,brought_sats,payable_sats,\
                       carried_sats,payout\n"
            .to_owned();
        for epoch in self.epochs.iter().rev() {
            for o in &epoch.operators {
                writeln!(
                    csv,
                    "{},{},{},{},{},{},{},{},{},{},{}",
                    epoch.epoch,
                    epoch.start,
                    epoch.end,
                    o.operator,
                    o.units,
                    o.credited_bytes,
                    o.earned_sats,
                    o.brought_sats,
                    o.payable_sats,
                    o.carried_sats,
                    o.payout
                )
                .expect("writing to a string does not fail");
            }
        }
        csv
    }

    /// Sats earned over all epochs, for people.
    #[must_use]
    pub fn earned(&self) -> String {
        self.sum(|o| o.earned_sats.get())
    }

    /// Sats that were made payable over all epochs, for people.
    #[must_use]
    pub fn payable(&self) -> String {
        self.sum(|o| o.payable_sats.get())
    }

    /// Credited traffic over all epochs, for people.
    #[must_use]
    pub fn traffic(&self) -> String {
        let bytes = self.operators().map(|o| o.credited_bytes.get()).fold(0, u64::saturating_add);
        Bytes::new(bytes).unwrap_or(Bytes::MAX).to_gb()
    }

    fn sum(&self, of: fn(&OperatorReport) -> u64) -> String {
        grouped(self.operators().map(of).fold(0, u64::saturating_add))
    }

    fn operators(&self) -> impl Iterator<Item = &OperatorReport> {
        self.epochs.iter().flat_map(|epoch| &epoch.operators)
    }

    fn sats(&self, sats: &Sats) -> String {
        sats_for_people(*sats)
    }

    fn time(&self, time: &Timestamp) -> String {
        time_for_people(*time)
    }

    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its numbers are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let time = |text: &str| text.parse::<Timestamp>().expect(fixed);
        let operator = |name: &str, units: u64, sats: u64, payout: PayoutState| OperatorReport {
            operator: name.parse().expect(fixed),
            units: Units::new(units).expect(fixed),
            credited_bytes: Bytes::new(units.saturating_mul(1_000_000)).expect(fixed),
            earned_sats: Sats::new(sats).expect(fixed),
            brought_sats: Sats::ZERO,
            payable_sats: Sats::new(sats).expect(fixed),
            carried_sats: Sats::ZERO,
            payout,
        };
        Self {
            site: "Grants for free networks".to_owned(),
            log: "grants.example/record".to_owned(),
            url: "https://grants.example".to_owned(),
            grant: "spring".parse().expect(fixed),
            title: "Spring <2026>".to_owned(),
            terms: Terms {
                challenge_seconds: 0,
                close_delay_seconds: 0,
                epoch_seconds: 60,
                epochs: 12,
                floor: 1,
                minimum_payout_sats: Sats::new(546).expect(fixed),
                rule: wiregrant_core::terms::RULE_LARGEST_REMAINDER,
                start: time("2026-07-06T00:00:00Z"),
                unit_bytes: Bytes::new(1_000_000).expect(fixed),
            },
            demonstration: true,
            epochs: vec![EpochReport {
                epoch: 1,
                start: time("2026-07-06T00:00:00Z"),
                end: time("2026-07-06T00:01:00Z"),
                statement: "ab".repeat(32),
                pot_sats: Sats::new(1_000_000).expect(fixed),
                unspent_sats: Sats::ZERO,
                nodes_withheld: 1,
                nodes_published: 2,
                operators: vec![
                    operator(
                        "nordlicht",
                        1_200,
                        750_000,
                        PayoutState::InBatch("batch-1".parse().expect(fixed)),
                    ),
                    operator("polaris", 0, 0, PayoutState::Paid("batch-0".parse().expect(fixed))),
                    operator("suedwind", 400, 250_000, PayoutState::Payable),
                ],
            }],
        }
    }
}

fn bytes_of(units: Units, terms: &Terms) -> Result<Bytes, FactError> {
    let overflow = FactError::Overflow { what: "credited bytes", limit: Bytes::MAX.get() };
    Bytes::new(units.get().checked_mul(terms.unit_bytes.get()).ok_or(overflow)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_totals_operators_and_what_became_of_their_sats() {
        let page = GrantReport::sample().render().unwrap().replace('\u{202f}', " ");
        for part in [
            "Spring &#60;2026&#62;",
            "Demonstration terms",
            "1 000 000",
            "1.60 GB",
            "nordlicht",
            "in batch batch-1",
            "paid by batch batch-0",
            "payable",
            "1 node withheld",
            "wiregrant verify https://grants.example",
            "report.csv",
            "report.json",
            &format!("../../log/note/{}", "ab".repeat(32)),
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
        assert!(!page.contains("<script") && !page.contains("style="));
    }

    #[test]
    fn a_grant_without_a_statement_says_when_the_first_one_is_due() {
        let page = GrantReport { epochs: vec![], demonstration: false, ..GrantReport::sample() };
        let page = page.render().unwrap();
        assert!(page.contains("No epoch has been closed yet") && !page.contains("Demonstration terms"));
    }

    #[test]
    fn the_csv_has_a_line_for_each_operator_and_epoch_in_full_integers() {
        let csv = GrantReport::sample().csv();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(
            lines[1],
            "1,2026-07-06T00:00:00Z,2026-07-06T00:01:00Z,nordlicht,1200,1200000000,750000,0,750000,0,in batch batch-1"
        );
        assert!(lines.iter().all(|line| line.split(',').count() == 11));
    }

    #[test]
    fn the_json_carries_sats_as_strings_and_the_payout_by_name() {
        let json = serde_json::to_value(GrantReport::sample()).unwrap();
        let operator = &json["epochs"][0]["operators"][0];
        assert_eq!(operator["earned_sats"], "750000");
        assert_eq!((&operator["state"], &operator["batch"]), (&"in-batch".into(), &"batch-1".into()));
        assert_eq!(json["epochs"][0]["operators"][1]["state"], "paid");
        assert_eq!(json["epochs"][0]["operators"][2]["state"], "payable");
    }
}
