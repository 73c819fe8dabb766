//! What statements and batches come to, for people and for the outcome.

use std::collections::BTreeMap;

use anyhow::Result;
use wiregrant_core::api::Batch;
use wiregrant_core::statement::Statement;
use wiregrant_core::{Sats, Units};

use super::outcome::Payout;
use super::table::thousands;

/// What the statements of a grant come to, all together.
pub struct Sums {
    /// Credited, whole units.
    pub units: Units,
    /// The pots.
    pub pot: Sats,
    /// To be paid.
    pub payable: Sats,
    /// Left for the next epoch by the last of them.
    pub carried: Sats,
    /// Earned by nobody.
    pub unspent: Sats,
}

impl Sums {
    pub fn of(statements: &[Statement]) -> Result<Self> {
        let operators = || statements.iter().flat_map(|statement| statement.operators.values());
        let last = statements.iter().max_by_key(|statement| statement.epoch);
        let units = |statement: &Statement| {
            Units::total(statement.nodes.values().map(|node| node.units.unwrap_or_default()))
        };
        Ok(Self {
            units: Units::total(statements.iter().map(units).collect::<Result<Vec<_>, _>>()?)?,
            pot: Sats::total(statements.iter().map(|statement| statement.pot))?,
            payable: Sats::total(operators().map(|line| line.payable))?,
            // Carried sats come again in the next statement as brought: only the last one's are still there.
            carried: Sats::total(
                last.into_iter().flat_map(|last| last.operators.values()).map(|line| line.carried),
            )?,
            unspent: Sats::total(statements.iter().map(|statement| statement.unspent))?,
        })
    }
}

/// A statement in one line.
pub fn closing(statement: &Statement) -> Result<String> {
    let sums = Sums::of(std::slice::from_ref(statement))?;
    Ok(format!(
        "epoch {} is closed: {} units of 1 MB, {} of {} sats payable, {} unspent (demonstration terms)",
        statement.epoch,
        thousands(sums.units.get()),
        thousands(sums.payable.get()),
        thousands(sums.pot.get()),
        thousands(sums.unspent.get())
    ))
}

/// A batch's lines, those of one operator at one address together.
pub fn payouts(batch: &Batch) -> Result<Vec<Payout>> {
    let mut sums: BTreeMap<(String, String), Sats> = BTreeMap::new();
    for line in &batch.payouts {
        let sum = sums.entry((line.operator.to_string(), line.address.clone())).or_default();
        *sum = sum.plus(line.sats)?;
    }
    Ok(sums
        .into_iter()
        .map(|((operator, address), sats)| Payout { operator, address, sats: sats.get() })
        .collect())
}
