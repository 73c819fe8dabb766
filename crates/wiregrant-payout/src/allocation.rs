//! The allocation of an epoch's pot: who earned how many sats, what is paid now, what is carried.
//!
//! Rule 1 (`term rule 1`), all in integers: with `W` the sum of all units, an operator earns `floor(pot * units / W)`;
//! the sats this leaves over go one each to the largest remainders `pot * units mod W`, equal remainders in ascending
//! order of `SHA-256(grant "\n" epoch "\n" operator)`. Where `W` is 0 nothing is earned and the pot is unspent.
//! Rule 2 (`term rule 2`) is rule 1 under the terms' ceiling and shares ([`water`]); what they leave is unspent.
//! Then `brought + earned + adjusted` is paid if it reaches the minimum, and carried if not.

pub mod water;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use wiregrant_core::statement::{OperatorLine, Statement};
use wiregrant_core::terms::{RULE_LARGEST_REMAINDER, RULE_WATER_FILLED};
use wiregrant_core::{FactError, GrantId, OperatorId, Sats, Units};

use crate::PayoutError;
use water::Bounds;

/// What goes into an operator's line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Published units of all their nodes.
    pub units: Units,
    /// Carried by the last statement.
    pub brought: Sats,
    /// The sum of the operator's adjustments, in sats.
    pub adjusted: i64,
}

/// A pot, split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// One line for each operator given, in the order of their ids.
    pub operators: BTreeMap<OperatorId, OperatorLine>,
    /// What nobody earned.
    pub unspent: Sats,
}

/// Splits `pot` by rule 1. `minimum` is the least that is paid out at once.
///
/// # Errors
/// [`PayoutError::BelowZero`] where an adjustment takes more than there is; [`FactError::Overflow`] where sums leave
/// the range of [`Sats`].
pub fn allocate(
    pot: Sats,
    grant: &GrantId,
    epoch: u64,
    minimum: Sats,
    operators: &BTreeMap<OperatorId, Share>,
) -> Result<Allocation, PayoutError> {
    let earned = earn(pot, grant, epoch, operators);
    lines(
        pot,
        minimum,
        operators.iter().zip(earned).map(|((operator, share), sats)| (operator, *share, sats)),
    )
}

/// Splits a statement's pot by its terms: every operator with a node, or with sats adjusted or `brought`, has a line. What the
/// statement says of operators and of what is unspent is not looked at.
///
/// # Errors
/// As [`allocate`]; [`PayoutError::Mismatch`] for a rule that this version does not know.
pub fn split(statement: &Statement, brought: &BTreeMap<OperatorId, Sats>) -> Result<Allocation, PayoutError> {
    let shares = shares(statement, brought)?;
    let (pot, grant, epoch) = (statement.pot, &statement.grant, statement.epoch);
    let minimum = statement.terms.minimum_in(epoch);
    match statement.terms.rule {
        RULE_LARGEST_REMAINDER => allocate(pot, grant, epoch, minimum, &shares),
        RULE_WATER_FILLED => {
            let nodes = statement.nodes.values();
            let nodes = nodes.map(|line| (&line.operator, line.site, line.units.unwrap_or_default()));
            let earned = water::earn(pot, grant, epoch, Bounds::of(&statement.terms, pot), nodes);
            let earned = |operator| earned.get(operator).map_or(0, |sats: &Sats| sats.get());
            lines(pot, minimum, shares.iter().map(|(operator, share)| (operator, *share, earned(operator))))
        }
        other => Err(PayoutError::mismatch("term rule", "1 or 2; update wiregrant", other)),
    }
}

/// The operators' lines from what each earned.
fn lines<'a>(
    pot: Sats,
    minimum: Sats,
    earned: impl Iterator<Item = (&'a OperatorId, Share, u64)>,
) -> Result<Allocation, PayoutError> {
    let mut operators = BTreeMap::new();
    let mut left = pot;
    for (operator, share, sats) in earned {
        let sats = Sats::new(sats)?;
        left = left
            .minus(sats)
            .ok_or_else(|| PayoutError::mismatch("earned", format!("{left} or less"), sats))?;
        operators.insert(operator.clone(), operator_line(operator, share, sats, minimum)?);
    }
    Ok(Allocation { operators, unspent: left })
}

/// Sats earned, in the order of the operators' ids: they sum to the pot, or all are 0.
fn earn(pot: Sats, grant: &GrantId, epoch: u64, operators: &BTreeMap<OperatorId, Share>) -> Vec<u64> {
    let total: u128 = operators.values().map(|share| share.units).sum();
    if total == 0 {
        return vec![0; operators.len()];
    }
    let pot = u128::from(pot.get());
    let mut left = pot;
    let mut earned = Vec::with_capacity(operators.len());
    let mut remainders = Vec::with_capacity(operators.len());
    for (place, share) in operators.values().enumerate() {
        // At most 2^51 x 2^63, well within 2^128.
        let product = pot * u128::from(share.units.get());
        let floor = product / total;
        left -= floor;
        earned.push(u64::try_from(floor).expect("a share of the pot is at most the pot"));
        remainders.push((product - floor * total, place));
    }
    let left = usize::try_from(left).expect("fewer sats are left than there are operators");
    for place in largest(remainders, left, grant, epoch, operators) {
        earned[place] += 1;
    }
    earned
}

/// The places of the `count` largest remainders. Hashes are computed only for those that tie at the edge, because they
/// cost more than all the rest.
fn largest(
    mut remainders: Vec<(u128, usize)>,
    count: usize,
    grant: &GrantId,
    epoch: u64,
    operators: &BTreeMap<OperatorId, Share>,
) -> Vec<usize> {
    let Some(last) = count.checked_sub(1) else { return Vec::new() };
    let (above, (edge, _), _) = remainders.select_nth_unstable_by(last, |a, b| b.cmp(a));
    let edge = *edge;
    let mut chosen: Vec<usize> = above.iter().filter(|(r, _)| *r > edge).map(|(_, place)| *place).collect();
    let tied = || remainders.iter().filter(|(r, _)| *r == edge).map(|(_, place)| *place);
    let wanted = count - chosen.len();
    if tied().count() == wanted {
        chosen.extend(tied());
        return chosen;
    }
    let ids: Vec<&OperatorId> = operators.keys().collect();
    let prefix = Sha256::new().chain_update(format!("{grant}\n{epoch}\n"));
    let hash = |place: usize| prefix.clone().chain_update(ids[place].as_str()).finalize().into();
    let mut by_hash: Vec<([u8; 32], usize)> = tied().map(|place| (hash(place), place)).collect();
    // At least one is wanted, and fewer than are tied: only who is among the first matters, not their order.
    by_hash.select_nth_unstable(wanted);
    chosen.extend(by_hash[..wanted].iter().map(|(_, place)| *place));
    chosen
}

fn operator_line(
    operator: &OperatorId,
    share: Share,
    earned: Sats,
    minimum: Sats,
) -> Result<OperatorLine, PayoutError> {
    let sum = i128::from(share.brought.get()) + i128::from(earned.get()) + i128::from(share.adjusted);
    if sum < 0 {
        return Err(PayoutError::BelowZero { operator: operator.clone(), sats: sum });
    }
    let sum =
        u64::try_from(sum).map_err(|_| FactError::Overflow { what: "payable", limit: Sats::MAX.get() })?;
    let sum = Sats::new(sum)?;
    let (payable, carried) = if sum >= minimum { (sum, Sats::ZERO) } else { (Sats::ZERO, sum) };
    Ok(OperatorLine { earned, brought: share.brought, payable, carried })
}

/// Recomputes a statement's `operator` and `unspent` lines from the lines above them, as anyone can. What was brought is
/// taken from the operator's line: that it is what the last statement carried is [`Statement::check_sums`]'s to check.
///
/// # Errors
/// [`PayoutError::Mismatch`] names the first operator whose line does not follow, what follows, and what is written.
pub fn check_statement(statement: &Statement) -> Result<(), PayoutError> {
    let brought = statement.operators.iter().map(|(operator, line)| (operator.clone(), line.brought));
    let follows = split(statement, &brought.collect())?;
    for operator in follows.operators.keys().chain(statement.operators.keys()) {
        let (expected, found) = (follows.operators.get(operator), statement.operators.get(operator));
        if expected != found {
            return Err(PayoutError::mismatch(format!("operator {operator}"), shown(expected), shown(found)));
        }
    }
    if follows.unspent != statement.unspent {
        return Err(PayoutError::mismatch("unspent", follows.unspent, statement.unspent));
    }
    Ok(())
}

/// Every operator with a node, or with sats brought or adjusted.
fn shares(
    statement: &Statement,
    brought: &BTreeMap<OperatorId, Sats>,
) -> Result<BTreeMap<OperatorId, Share>, PayoutError> {
    let mut shares: BTreeMap<OperatorId, Share> = BTreeMap::new();
    for (operator, units) in statement.units_by_operator()? {
        shares.entry(operator).or_default().units = units;
    }
    for adjustment in &statement.adjustments {
        let share = shares.entry(adjustment.operator.clone()).or_default();
        share.adjusted = share
            .adjusted
            .checked_add(adjustment.sats)
            .ok_or(FactError::Overflow { what: "adjust", limit: Sats::MAX.get() })?;
    }
    for (operator, sats) in brought.iter().filter(|(_, sats)| **sats > Sats::ZERO) {
        shares.entry(operator.clone()).or_default().brought = *sats;
    }
    Ok(shares)
}

fn shown(line: Option<&OperatorLine>) -> String {
    line.map_or_else(
        || "no line".to_owned(),
        |l| format!("earned {} brought {} payable {} carried {}", l.earned, l.brought, l.payable, l.carried),
    )
}

#[cfg(test)]
mod tests;
