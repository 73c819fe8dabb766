//! The note that closes an epoch: every node's credit, every operator's sats, what is unspent.

use std::collections::{BTreeMap, BTreeSet};

use transparency_log::Hash;

use crate::note::{self, Network, NoteText, Origin, Reader, Writer};
use crate::record::parse_reason;
use crate::terms::Terms;
use crate::units::parse_number;
use crate::{FactError, GrantId, LocationId, NodeId, OperatorId, Sats, Timestamp, Units};

/// A node's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLine {
    /// Whose node it is.
    pub operator: OperatorId,
    /// Where it stands.
    pub location: LocationId,
    /// Nodes of one /24 (IPv4) or /48 (IPv6) share a number, drawn anew for each statement.
    pub site: u64,
    /// What it is paid for; `None` while too few people stand behind the number.
    pub units: Option<Units>,
}

/// A correction of an earlier epoch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Adjustment {
    /// Whose sats.
    pub operator: OperatorId,
    /// How many, signed.
    pub sats: i64,
    /// Why, a short word.
    pub reason: String,
    /// The epoch it corrects.
    pub epoch: u64,
}

/// An operator's line: `brought + earned + adjusted == payable + carried`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OperatorLine {
    /// This epoch's share of the pot.
    pub earned: Sats,
    /// Carried by the last statement.
    pub brought: Sats,
    /// To be paid now.
    pub payable: Sats,
    /// Brought to the next statement.
    pub carried: Sats,
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The record log.
    pub log: Origin,
    /// Where it pays.
    pub network: Network,
    /// The grant.
    pub grant: GrantId,
    /// The epoch's number.
    pub epoch: u64,
    /// Its beginning.
    pub start: Timestamp,
    /// Its end, which belongs to the next one.
    pub end: Timestamp,
    /// The hash of the last statement.
    pub previous: Option<Hash>,
    /// The reports log's size when the epoch was closed: later reports count in the next statement.
    pub reports_size: u64,
    /// Its root.
    pub reports_root: Hash,
    /// The hash of the [`crate::inputs::Inputs`] note.
    pub inputs: Hash,
    /// The terms in force.
    pub terms: Terms,
    /// Sats logged for the grant before the epoch began.
    pub contributed: Sats,
    /// Sats earned and adjusted in earlier statements, less forfeited.
    pub allotted: Sats,
    /// Epochs left, this one included.
    pub epochs_left: u64,
    /// `floor((contributed - allotted) / epochs_left)`.
    pub pot: Sats,
    /// Units that assigned codes could use up to now.
    pub issued: Units,
    /// Every node admitted in this epoch.
    pub nodes: BTreeMap<NodeId, NodeLine>,
    /// Corrections.
    pub adjustments: BTreeSet<Adjustment>,
    /// Every operator with a node, or with sats brought or adjusted.
    pub operators: BTreeMap<OperatorId, OperatorLine>,
    /// What nobody earned; it goes back to the grant.
    pub unspent: Sats,
}

/// The pot of an epoch: `floor((contributed - allotted) / epochs_left)`.
///
/// # Errors
/// [`FactError::Mismatch`] when more was allotted than contributed, or no epoch is left.
pub fn pot(contributed: Sats, allotted: Sats, epochs_left: u64) -> Result<Sats, FactError> {
    let free = contributed
        .minus(allotted)
        .ok_or_else(|| FactError::mismatch("allotted", format!("{contributed} or less"), allotted))?;
    let pot = free
        .get()
        .checked_div(epochs_left)
        .ok_or_else(|| FactError::mismatch("epochs-left", "at least 1", epochs_left))?;
    Sats::new(pot)
}

impl Statement {
    /// Units published by each operator's nodes together.
    ///
    /// # Errors
    /// [`FactError::Overflow`].
    pub fn units_by_operator(&self) -> Result<BTreeMap<OperatorId, Units>, FactError> {
        let mut sums: BTreeMap<OperatorId, Units> = BTreeMap::new();
        for line in self.nodes.values() {
            let sum = sums.entry(line.operator.clone()).or_default();
            *sum = sum.plus(line.units.unwrap_or_default())?;
        }
        Ok(sums)
    }

    /// The sum of an operator's adjustments, signed.
    #[must_use]
    pub fn adjusted(&self, operator: &OperatorId) -> i128 {
        self.adjustments.iter().filter(|a| a.operator == *operator).map(|a| i128::from(a.sats)).sum()
    }

    /// What the next statement carries on as `allotted`: this one's, plus what was earned and adjusted in it.
    ///
    /// # Errors
    /// [`FactError::Overflow`].
    pub fn allotted_after(&self) -> Result<Sats, FactError> {
        let earned: i128 = self.operators.values().map(|line| i128::from(line.earned.get())).sum();
        let adjusted: i128 = self.adjustments.iter().map(|a| i128::from(a.sats)).sum();
        let sum = i128::from(self.allotted.get()).saturating_add(earned).saturating_add(adjusted);
        let sum = u64::try_from(sum)
            .map_err(|_| FactError::Overflow { what: "allotted", limit: Sats::MAX.get() })?;
        Sats::new(sum)
    }

    /// What this statement says was allotted when it follows `last`, and `forfeited` sats of earlier lines were logged as
    /// forfeited between the two.
    ///
    /// # Errors
    /// [`FactError::Overflow`]; [`FactError::Mismatch`] where more was forfeited than was ever allotted.
    pub fn allotted_before(last: Option<&Self>, forfeited: Sats) -> Result<Sats, FactError> {
        let before = last.map_or(Ok(Sats::ZERO), Self::allotted_after)?;
        before
            .minus(forfeited)
            .ok_or_else(|| FactError::mismatch("forfeited", format!("{before} or less"), forfeited))
    }

    /// Checks all that follows from this statement, the one before and what was `forfeited` between them, except the split by
    /// `rule`, which is `wiregrant-payout`'s: the pot, both equations of law 5, and that nothing brought or allotted was lost
    /// between them.
    ///
    /// # Errors
    /// Names the first sum that does not hold, with what was expected and what was found.
    pub fn check_sums(&self, last: Option<&Self>, forfeited: Sats) -> Result<(), FactError> {
        let equal = |what: &str, expected: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
            let (expected, found) = (expected.to_string(), found.to_string());
            if expected == found {
                Ok(())
            } else {
                Err(FactError::Mismatch { what: what.to_owned(), expected, found })
            }
        };
        let bounds = self.terms.schedule().bounds(self.epoch);
        let (start, end) =
            bounds.ok_or_else(|| FactError::mismatch("epoch", "one the terms have", self.epoch))?;
        equal("epoch: start", &start, &self.start)?;
        equal("epoch: end", &end, &self.end)?;
        equal("epochs-left", &self.terms.schedule().epochs_left(self.epoch), &self.epochs_left)?;
        equal("pot", &pot(self.contributed, self.allotted, self.epochs_left)?, &self.pot)?;
        equal("allotted", &Self::allotted_before(last, forfeited)?, &self.allotted)?;
        let after = self.allotted_after()?;
        if after > self.contributed {
            let most = format!("{} or less, which was contributed", self.contributed);
            return Err(FactError::mismatch("allotted + earned + adjusted", most, after));
        }

        let earned = Sats::total(self.operators.values().map(|line| line.earned))?;
        equal("pot = earned + unspent", &self.pot, &earned.plus(self.unspent)?)?;
        for (operator, line) in &self.operators {
            let before =
                last.and_then(|last| last.operators.get(operator)).map_or(Sats::ZERO, |line| line.carried);
            equal(&format!("operator {operator}: brought"), &before, &line.brought)?;
            let left =
                i128::from(line.brought.plus(line.earned)?.get()).saturating_add(self.adjusted(operator));
            let right = i128::from(line.payable.plus(line.carried)?.get());
            equal(&format!("operator {operator}: payable + carried"), &left, &right)?;
        }
        let forgotten = last
            .into_iter()
            .flat_map(|last| &last.operators)
            .find(|(operator, line)| line.carried > Sats::ZERO && !self.operators.contains_key(*operator));
        match forgotten {
            Some((operator, line)) => {
                equal(&format!("operator {operator}: brought"), &line.carried, &"no line")
            }
            None => Ok(()),
        }
    }
}

impl NoteText for Statement {
    const KIND: &'static str = "wiregrant/statement/v1";
    const MAX_BYTES: usize = 16 * 1024 * 1024;

    fn write(&self, lines: &mut Writer) {
        lines.line("log", &[&self.log]);
        lines.line("network", &[&self.network]);
        lines.line("grant", &[&self.grant]);
        lines.line("epoch", &[&self.epoch, &self.start, &self.end]);
        lines.line("previous", &[&note::or_dash(self.previous)]);
        lines.line("reports", &[&self.reports_size, &self.reports_root]);
        lines.line("inputs", &[&self.inputs]);
        self.terms.write(lines);
        lines.line("contributed", &[&self.contributed]);
        lines.line("allotted", &[&self.allotted]);
        lines.line("epochs-left", &[&self.epochs_left]);
        lines.line("pot", &[&self.pot]);
        lines.line("issued", &[&self.issued]);
        let node = |(id, line): (&NodeId, &NodeLine)| {
            note::line("node", &[id, &line.operator, &line.location, &line.site, &note::or_dash(line.units)])
        };
        lines.repeated(self.nodes.iter().map(node).collect());
        let adjust = |a: &Adjustment| note::line("adjust", &[&a.operator, &a.sats, &a.reason, &a.epoch]);
        lines.repeated(self.adjustments.iter().map(adjust).collect());
        let operator = |(id, line): (&OperatorId, &OperatorLine)| {
            note::line("operator", &[id, &line.earned, &line.brought, &line.payable, &line.carried])
        };
        lines.repeated(self.operators.iter().map(operator).collect());
        lines.line("unspent", &[&self.unspent]);
    }

    fn read(lines: &mut Reader<'_>) -> Result<Self, FactError> {
        let log = lines.value("log")?;
        let network = lines.value("network")?;
        let grant = lines.value("grant")?;
        let [epoch, start, end] = lines.fields("epoch")?;
        let previous = lines.optional_hash("previous")?;
        let [size, root] = lines.fields("reports")?;
        Ok(Self {
            log,
            network,
            grant,
            epoch: parse_number("epoch", epoch)?,
            start: note::parse_time("epoch", start)?,
            end: note::parse_time("epoch", end)?,
            previous,
            reports_size: parse_number("reports", size)?,
            reports_root: note::parse_hash("reports", root)?,
            inputs: lines.hash("inputs")?,
            terms: Terms::read(lines)?,
            contributed: lines.value("contributed")?,
            allotted: lines.value("allotted")?,
            epochs_left: lines.number("epochs-left")?,
            pot: lines.value("pot")?,
            issued: lines.value("issued")?,
            nodes: read_nodes(lines)?,
            adjustments: read_adjustments(lines)?,
            operators: read_operators(lines)?,
            unspent: lines.value("unspent")?,
        })
    }
}

fn read_nodes(lines: &mut Reader<'_>) -> Result<BTreeMap<NodeId, NodeLine>, FactError> {
    let mut nodes = BTreeMap::new();
    for [id, operator, location, site, units] in lines.repeated("node")? {
        let line = NodeLine {
            operator: operator.parse()?,
            location: location.parse()?,
            site: parse_number("site", site)?,
            units: if units == "-" { None } else { Some(units.parse()?) },
        };
        if nodes.insert(id.parse()?, line).is_some() {
            return Err(FactError::mismatch("node", "one line a node", id));
        }
    }
    Ok(nodes)
}

fn read_adjustments(lines: &mut Reader<'_>) -> Result<BTreeSet<Adjustment>, FactError> {
    let adjustment = |[operator, sats, reason, epoch]: [&str; 4]| {
        let magnitude = parse_number("sats", sats.strip_prefix('-').unwrap_or(sats))?;
        let magnitude = Sats::new(magnitude)?.as_i64();
        Ok(Adjustment {
            operator: operator.parse()?,
            sats: if sats.starts_with('-') { magnitude.saturating_neg() } else { magnitude },
            reason: parse_reason(reason)?,
            epoch: parse_number("epoch", epoch)?,
        })
    };
    lines.repeated("adjust")?.into_iter().map(adjustment).collect()
}

fn read_operators(lines: &mut Reader<'_>) -> Result<BTreeMap<OperatorId, OperatorLine>, FactError> {
    let mut operators = BTreeMap::new();
    for [id, earned, brought, payable, carried] in lines.repeated("operator")? {
        let line = OperatorLine {
            earned: earned.parse()?,
            brought: brought.parse()?,
            payable: payable.parse()?,
            carried: carried.parse()?,
        };
        if operators.insert(id.parse()?, line).is_some() {
            return Err(FactError::mismatch("operator", "one line an operator", id));
        }
    }
    Ok(operators)
}

#[cfg(test)]
pub(crate) mod tests;
