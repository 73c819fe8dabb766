//! A grant's public report: what the money did, as a page, as JSON and as CSV, all from the same values.

mod epoch_report;
mod payout_state;
mod sample;
mod share;

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use serde::Serialize;
use wiregrant_core::statement::Statement;
use wiregrant_core::terms::Terms;
use wiregrant_core::{Bytes, FactError, GrantId, LocationId, OperatorId, Sats, Timestamp, Units};

use super::chart::{Chart, Column, MAX_SERIES};
use super::frame::Frame;
use super::show::{self, grouped};

pub use epoch_report::{EpochPage, NodeReport};
pub use payout_state::PayoutState;
pub use share::Share;

/// Below any of these a grant's numbers show how the thing works, and are no way to pay people.
const PRODUCTION_UNIT_BYTES: u64 = Terms::DEFAULT_UNIT_BYTES;
const PRODUCTION_FLOOR: u64 = Terms::DEFAULT_FLOOR;
const GB: u128 = 1_000_000_000;

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
    /// Credited traffic by where it was served.
    pub credited_bytes_by_location: BTreeMap<LocationId, Bytes>,
    /// Its operators.
    pub operators: Vec<OperatorReport>,
}

impl EpochReport {
    /// Sats earned in it.
    #[must_use]
    pub fn earned(&self) -> u64 {
        self.operators.iter().map(|o| o.earned_sats.get()).fold(0, u64::saturating_add)
    }

    /// Traffic credited in it.
    #[must_use]
    pub fn credited(&self) -> Bytes {
        total(self.operators.iter().map(|o| o.credited_bytes))
    }

    /// Sats earned for each GB.
    #[must_use]
    pub fn sats_per_gb(&self) -> String {
        sats_per_gb(self.earned(), self.credited())
    }
}

/// `grant.html`, `report.json` and `report.csv`.
#[derive(Debug, Clone, Serialize, Template)]
#[template(path = "grant.html")]
pub struct GrantReport {
    /// What stands around the page.
    #[serde(skip)]
    pub frame: Frame,
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
    /// Sats that were put into the grant.
    pub contributed_sats: Sats,
    /// The record's checkpoint that held all this when it was written: its size, and its whole text.
    pub checkpoint: Option<(u64, String)>,
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

    /// Reads one statement's lines; `payouts` tells of whose sats of which epoch a batch or a decision has taken care.
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
        let mut by_location: BTreeMap<LocationId, Bytes> = BTreeMap::new();
        for node in statement.nodes.values() {
            let bytes = bytes_of(node.units.unwrap_or_default(), &statement.terms)?;
            let sum = by_location.entry(node.location.clone()).or_default();
            *sum = sum.plus(bytes)?;
        }
        Ok(EpochReport {
            epoch: statement.epoch,
            start: statement.start,
            end: statement.end,
            statement: hash,
            pot_sats: statement.pot,
            unspent_sats: statement.unspent,
            nodes_withheld: withheld,
            nodes_published: statement.nodes.len().saturating_sub(withheld),
            credited_bytes_by_location: by_location,
            operators: operators.collect::<Result<_, FactError>>()?,
        })
    }

    /// One line an operator and epoch, integers in full.
    #[must_use]
    pub fn csv(&self) -> String {
        use std::fmt::Write as _;
        let mut csv = "epoch,start,end,operator,units,credited_bytes,earned_sats,brought_sats,payable_sats,\
                       carried_sats,payout,txid\n"
            .to_owned();
        for epoch in self.epochs.iter().rev() {
            for o in &epoch.operators {
                writeln!(
                    csv,
                    "{},{},{},{},{},{},{},{},{},{},{},{}",
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
                    o.payout,
                    o.payout.txid().unwrap_or_default()
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

    /// Sats that a deep transaction has paid, for people.
    #[must_use]
    pub fn paid(&self) -> String {
        self.sum(|o| if o.payout.txid().is_some() { o.payable_sats.get() } else { 0 })
    }

    /// Sats that were made payable and are not paid yet, for people.
    #[must_use]
    pub fn owed(&self) -> String {
        self.sum(|o| if o.payout.txid().is_some() { 0 } else { o.payable_sats.get() })
    }

    /// Sats that were contributed and nobody has earned, for people.
    #[must_use]
    pub fn unearned(&self) -> String {
        let earned = self.operators().map(|o| o.earned_sats.get()).fold(0, u64::saturating_add);
        grouped(self.contributed_sats.get().saturating_sub(earned))
    }

    /// Credited traffic over all epochs, for people.
    #[must_use]
    pub fn traffic(&self) -> String {
        show::gigabytes(self.credited())
    }

    /// Sats earned for each GB over all epochs.
    #[must_use]
    pub fn sats_per_gb(&self) -> String {
        let earned = self.operators().map(|o| o.earned_sats.get()).fold(0, u64::saturating_add);
        sats_per_gb(earned, self.credited())
    }

    /// How many operators have served.
    #[must_use]
    pub fn operator_count(&self) -> usize {
        let served = self.operators().filter(|o| o.credited_bytes > Bytes::ZERO);
        served.map(|o| &o.operator).collect::<BTreeSet<_>>().len()
    }

    /// Operators by what they served, the largest first.
    #[must_use]
    pub fn by_operator(&self) -> Vec<Share> {
        share::shares(self.operators().map(|o| (o.operator.to_string(), o.credited_bytes)))
    }

    /// Locations by what was served there, the largest first.
    #[must_use]
    pub fn by_location(&self) -> Vec<Share> {
        let all = self.epochs.iter().flat_map(|epoch| &epoch.credited_bytes_by_location);
        share::shares(all.map(|(location, bytes)| (location.to_string(), *bytes)))
    }

    /// Traffic by epoch, stacked by location; the smallest locations together.
    #[must_use]
    pub fn chart(&self) -> Chart {
        let mut names: Vec<String> = self.by_location().into_iter().map(|share| share.name).collect();
        let others = names.split_off(names.len().min(MAX_SERIES - 1));
        let columns: Vec<Column> = self
            .epochs
            .iter()
            .rev()
            .map(|epoch| {
                let of = |name: &String| {
                    let found = epoch.credited_bytes_by_location.iter().find(|(l, _)| l.as_str() == name);
                    found.map_or(0, |(_, bytes)| bytes.get())
                };
                let mut values: Vec<u64> = names.iter().map(of).collect();
                if !others.is_empty() {
                    values.push(others.iter().map(of).fold(0, u64::saturating_add));
                }
                Column { name: epoch.start.to_string().get(..10).unwrap_or_default().to_owned(), values }
            })
            .collect();
        if !others.is_empty() {
            names.push("elsewhere".to_owned());
        }
        Chart::stacked(&names, &columns, show::round_gigabytes)
    }

    /// What the chart shows, in a sentence.
    #[must_use]
    pub fn chart_in_words(&self) -> String {
        let most = self.epochs.iter().max_by_key(|epoch| epoch.credited());
        most.map_or_else(String::new, |epoch| {
            let (total, most) = (self.traffic(), show::gigabytes(epoch.credited()));
            format!("{total} over {} epochs; the most, {most}, in epoch {}.", self.epochs.len(), epoch.epoch)
        })
    }

    fn credited(&self) -> Bytes {
        total(self.operators().map(|o| o.credited_bytes))
    }

    fn sum(&self, of: fn(&OperatorReport) -> u64) -> String {
        grouped(self.operators().map(of).fold(0, u64::saturating_add))
    }

    fn operators(&self) -> impl Iterator<Item = &OperatorReport> {
        self.epochs.iter().flat_map(|epoch| &epoch.operators)
    }

    /// What the tests and the designer look at: a year of weeks.
    ///
    /// # Panics
    /// Never: its numbers are fixed.
    #[must_use]
    pub fn sample() -> Self {
        sample::report()
    }
}

fn total(all: impl Iterator<Item = Bytes>) -> Bytes {
    let bytes = all.map(Bytes::get).fold(0, u64::saturating_add);
    Bytes::new(bytes).unwrap_or(Bytes::MAX)
}

/// With two decimals, rounded down; a dash where nothing was served.
fn sats_per_gb(sats: u64, bytes: Bytes) -> String {
    let hundredths = (u128::from(sats) * GB * 100).checked_div(u128::from(bytes.get()));
    hundredths.map_or_else(|| "–".to_owned(), |n| format!("{}.{:02}", n / 100, n % 100))
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
            "nordlicht",
            "in batch batch-52",
            "paid by batch batch-1",
            "payable",
            "wiregrant verify https://grants.example",
            "report.csv",
            "report.json",
            "epoch-1/",
            &format!("../../log/note/{}", "01".repeat(32)),
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
    }

    #[test]
    fn a_grant_without_a_statement_says_when_the_first_one_is_due() {
        let page = GrantReport { epochs: vec![], demonstration: false, ..GrantReport::sample() };
        let page = page.render().unwrap();
        assert!(page.contains("No epoch has been closed yet") && !page.contains("Demonstration terms"));
    }

    #[test]
    fn the_csv_has_a_line_for_each_operator_and_epoch_in_full_integers() {
        let report = GrantReport::sample();
        let csv = report.csv();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines.len(), 1 + report.operators().count());
        assert!(
            lines[1].starts_with("1,2026-01-05T00:00:00Z,2026-01-12T00:00:00Z,nordlicht,"),
            "{}",
            lines[1]
        );
        assert!(lines.iter().all(|line| line.split(',').count() == 12));
    }

    #[test]
    fn the_json_carries_sats_as_strings_and_the_payout_by_name() {
        let report = GrantReport::sample();
        let json = serde_json::to_value(&report).unwrap();
        let newest = &json["epochs"][0]["operators"][0];
        assert!(newest["earned_sats"].is_string());
        assert_eq!((&newest["state"], &newest["batch"]), (&"in-batch".into(), &"batch-52".into()));
        let oldest = &json["epochs"][51]["operators"][0];
        assert_eq!((&oldest["state"], oldest["txid"].as_str().unwrap().len()), (&"paid".into(), 64));
    }

    #[test]
    fn what_is_shown_at_a_glance_adds_up() {
        let report = GrantReport::sample();
        let plain = |text: String| text.replace('\u{202f}', "").parse::<u64>().unwrap();
        assert_eq!(plain(report.earned()) + plain(report.unearned()), report.contributed_sats.get());
        let shares = report.by_location();
        assert!(shares.windows(2).all(|pair| pair[0].bytes >= pair[1].bytes));
        assert_eq!(total(shares.iter().map(|share| share.bytes)), report.credited());
        assert_eq!(sats_per_gb(150, Bytes::new(1_000_000_000).unwrap()), "150.00");
        assert_eq!(sats_per_gb(1, Bytes::ZERO), "–");
    }
}
