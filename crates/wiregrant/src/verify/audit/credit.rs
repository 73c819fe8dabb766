//! One node's number of one epoch, recomputed from its reports.

use std::collections::BTreeMap;

use wiregrant_core::credit::{NodeEpoch, Reason, credit, moved_between};
use wiregrant_core::inputs::NodeInputs;
use wiregrant_core::statement::Statement;
use wiregrant_core::usage_report::{PeersBucket, UsageReport, UsageTable};
use wiregrant_core::{Bytes, NodeId, Timestamp, Units};

use super::report::Report;
use crate::verify::difference::Difference;

/// What earlier statements have said of a node.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The report up to which its bytes are counted, with its totals and end where it was shown.
    counted: Option<(u64, Option<(UsageTable, Timestamp)>)>,
    /// The epoch that report is labelled with, and the people counted for it while the number is withheld.
    label: u64,
    label_people: u64,
    carried: Bytes,
    /// People counted while the number is withheld.
    people: u64,
}

/// What there is to recompute a number from.
pub struct Facts<'a> {
    pub statement: &'a Statement,
    pub node: &'a NodeId,
    pub line: &'a NodeInputs,
    pub reports: &'a [Report],
    pub before: &'a Standing,
    /// A finding about the node was logged since the statement before.
    pub is_found: bool,
}

impl Facts<'_> {
    /// What stands of the node afterwards, and what does not follow; `None` where its reports are not shown, because its
    /// number is withheld.
    pub fn recomputed(&self) -> (Standing, Option<Vec<Difference>>) {
        let closing = self.line.closing_sequence.map(|sequence| (sequence, self.report(sequence)));
        match closing {
            Some((_, None)) if self.line.units.is_none() => (self.standing(None), None),
            Some((sequence, None)) => {
                let expected = format!("report {sequence}, which is closing");
                (self.standing(None), Some(vec![self.difference("reports", expected, "none")]))
            }
            Some((_, Some(report))) => (self.standing(Some(report)), Some(self.differences(Some(report)))),
            None => (self.standing(None), Some(self.differences(None))),
        }
    }

    fn report(&self, sequence: u64) -> Option<&Report> {
        self.reports.iter().find(|report| report.content.sequence == sequence)
    }

    fn difference(
        &self,
        what: &str,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Difference {
        Difference::new(format!("node {}: {what}", self.node), expected, found)
    }

    /// The people brought along by the last statement: those of an epoch that was counted already and is still withheld
    /// are counted anew and not twice.
    fn people_brought(&self, closing: Option<&Report>) -> u64 {
        let label = closing.and_then(|report| report.content.epoch.as_ref()).map(|label| label.number);
        let again = label.is_some_and(|label| label == self.before.label);
        self.before.people.saturating_sub(if again { self.before.label_people } else { 0 })
    }

    fn standing(&self, closing: Option<&Report>) -> Standing {
        let sequence = self.line.closing_sequence.unwrap_or(self.line.baseline_sequence);
        let known = match closing {
            Some(Report { content, .. }) => Some((content.usage.clone(), content.end)),
            None if self.line.closing_sequence.is_none() => {
                self.totals_of(sequence).map(|(totals, end)| (totals.clone(), end))
            }
            None => None,
        };
        let withheld = self.line.units.is_none();
        let label = closing.and_then(|report| report.content.epoch.as_ref()).map(|label| label.number);
        // A closing report that is not shown is taken to be of this epoch.
        let label = label.or(self.line.closing_sequence.map(|_| self.statement.epoch));
        let now = self.line.peers.saturating_sub(self.people_brought(closing));
        let label_people = if label.is_some() { now } else { self.before.label_people };
        Standing {
            counted: Some((sequence, known)),
            label: label.unwrap_or(self.before.label),
            label_people: if withheld { label_people } else { 0 },
            carried: self.line.carried,
            people: if withheld { self.line.peers } else { 0 },
        }
    }

    /// The totals and the end of the report with this number, as far as it was shown.
    fn totals_of(&self, sequence: u64) -> Option<(&UsageTable, Timestamp)> {
        match &self.before.counted {
            Some((counted, known)) if *counted == sequence => {
                known.as_ref().map(|(totals, end)| (totals, *end))
            }
            _ => self.report(sequence).map(|Report { content, .. }| (&content.usage, content.end)),
        }
    }

    fn differences(&self, closing: Option<&Report>) -> Vec<Difference> {
        let mut differs = Vec::new();
        if let Some((counted, _)) = &self.before.counted {
            if self.line.baseline_sequence < *counted {
                let expected = format!("{counted} or later, up to which it was counted");
                differs.push(self.difference("baseline", expected, self.line.baseline_sequence));
            }
            if self.before.carried != self.line.brought {
                differs.push(self.difference("brought", self.before.carried, self.line.brought));
            }
        }
        differs.extend(closing.and_then(|report| self.not_closing(report)));
        let moved = match closing {
            None => Ok((UsageTable::new(), PeersBucket::Zero)),
            Some(report) => self.moved(&report.content),
        };
        match moved {
            Ok((moved, peers)) => differs.extend(self.credited(moved, peers, closing)),
            Err(difference) => differs.push(difference),
        }
        differs
    }

    /// Why a report cannot be the closing one of this statement.
    fn not_closing(&self, report: &Report) -> Option<Difference> {
        let (statement, label) = (self.statement, report.content.epoch.as_ref());
        let labelled = label.is_some_and(|l| l.grant == statement.grant && l.number <= statement.epoch);
        if !labelled {
            let expected = format!("epoch {} {} or an earlier one", statement.grant, statement.epoch);
            let found = label.map_or_else(|| "-".to_owned(), ToString::to_string);
            return Some(self.difference("closing report", expected, found));
        }
        if report.log_index >= statement.reports_size {
            let expected = format!("an entry below {}", statement.reports_size);
            return Some(self.difference("closing report", expected, report.log_index));
        }
        None
    }

    fn moved(&self, closing: &UsageReport) -> Result<(UsageTable, PeersBucket), Difference> {
        let nothing = UsageTable::new();
        let baseline = match self.line.baseline_sequence {
            0 => &nothing,
            sequence => match self.totals_of(sequence) {
                Some((totals, _)) => totals,
                None => {
                    return Err(self.difference(
                        "reports",
                        format!("report {sequence}, the baseline"),
                        "none",
                    ));
                }
            },
        };
        Ok((moved_between(baseline, &closing.usage)?, closing.peers))
    }

    /// From the end of the baseline to that of the closing report; without a baseline, from the beginning of the epoch.
    fn seconds(&self, closing: Option<&Report>) -> u64 {
        let Some(closing) = closing else { return 0 };
        let baseline = match self.line.baseline_sequence {
            0 => None,
            sequence => self.totals_of(sequence).map(|(_, end)| end),
        };
        closing.content.end.seconds_since(baseline.unwrap_or(self.statement.start))
    }

    fn credited(&self, moved: UsageTable, peers: PeersBucket, closing: Option<&Report>) -> Vec<Difference> {
        let line = self.line;
        let epoch = NodeEpoch {
            moved,
            peers,
            devices_placed: line.devices_placed,
            allotted: line.allotted,
            moved_seconds: self.seconds(closing),
            is_found: self.is_found,
            brought: line.brought,
            brought_peers: self.people_brought(closing),
        };
        let credited = match credit(&epoch, &self.statement.terms) {
            Ok(credited) => credited,
            Err(error) => return vec![error.into()],
        };
        let units = |units: Option<Units>| units.map_or_else(|| "-".to_owned(), |u| u.to_string());
        let reasons = |all: &BTreeMap<Reason, Bytes>| {
            let shown = all.iter().map(|(reason, bytes)| format!("{reason} {bytes}"));
            shown.collect::<Vec<_>>().join(", ")
        };
        let mut differs = Vec::new();
        // Compared before they are spelt: of half a million numbers hardly one differs.
        if credited.eligible != line.eligible {
            differs.push(self.difference("eligible", credited.eligible, line.eligible));
        }
        if credited.disallowed != line.disallowed {
            let (expected, found) = (reasons(&credited.disallowed), reasons(&line.disallowed));
            differs.push(self.difference("disallowed", expected, found));
        }
        if credited.units != line.units {
            differs.push(self.difference("units", units(credited.units), units(line.units)));
        }
        if credited.carried != line.carried {
            differs.push(self.difference("carried", credited.carried, line.carried));
        }
        if credited.peers != line.peers {
            differs.push(self.difference("peers", credited.peers, line.peers));
        }
        differs
    }
}
