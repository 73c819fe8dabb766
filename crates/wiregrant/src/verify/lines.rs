//! What each statement lets each operator be paid, and what paid batches have paid of it: 24 bytes a line.

use std::collections::BTreeMap;

use wiregrant_core::statement::Statement;
use wiregrant_core::{GrantId, OperatorId, Sats};

/// One operator's line of a statement.
#[derive(Debug, Clone, Copy)]
struct Line {
    operator: u32,
    payable: Sats,
    paid: Sats,
}

/// All operators' lines of all statements.
#[derive(Debug, Default)]
pub struct Lines {
    numbers: BTreeMap<OperatorId, u32>,
    /// Each statement's lines, sorted by the operator's number.
    statements: BTreeMap<(GrantId, u64), Vec<Line>>,
}

impl Lines {
    /// Takes up the lines of a statement; of two for one epoch the first one counts.
    pub fn add(&mut self, grant: &GrantId, epoch: u64, statement: &Statement) {
        let mut lines = Vec::with_capacity(statement.operators.len());
        for (operator, line) in &statement.operators {
            // A log has fewer operators than entries, which a u32 would count in any file system.
            let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
            let number = match self.numbers.get(operator) {
                Some(number) => *number,
                None => *self.numbers.entry(operator.clone()).or_insert(next),
            };
            lines.push(Line { operator: number, payable: line.payable, paid: Sats::ZERO });
        }
        lines.sort_unstable_by_key(|line| line.operator);
        self.statements.entry((grant.clone(), epoch)).or_insert(lines);
    }

    fn place(&self, grant: &GrantId, epoch: u64, operator: &OperatorId) -> Option<(&[Line], usize)> {
        let number = self.numbers.get(operator)?;
        let lines = self.statements.get(&(grant.clone(), epoch))?;
        Some((lines, lines.binary_search_by_key(number, |line| line.operator).ok()?))
    }

    /// Whether a statement of the epoch has a line for the operator.
    pub fn has(&self, grant: &GrantId, epoch: u64, operator: &OperatorId) -> bool {
        self.place(grant, epoch, operator).is_some()
    }

    /// What the statement of an epoch allows to be paid to an operator.
    pub fn payable(&self, grant: &GrantId, epoch: u64, operator: &OperatorId) -> Sats {
        self.place(grant, epoch, operator).map_or(Sats::ZERO, |(lines, at)| lines[at].payable)
    }

    /// What paid batches have paid of it.
    pub fn paid(&self, grant: &GrantId, epoch: u64, operator: &OperatorId) -> Sats {
        self.place(grant, epoch, operator).map_or(Sats::ZERO, |(lines, at)| lines[at].paid)
    }

    /// Counts sats as paid; where that passes what is payable, nothing is counted and the answer is what was paid before.
    pub fn pay(
        &mut self,
        grant: &GrantId,
        epoch: u64,
        operator: &OperatorId,
        sats: Sats,
    ) -> Result<(), Sats> {
        let Some(at) = self.place(grant, epoch, operator).map(|(_, at)| at) else {
            return if sats == Sats::ZERO { Ok(()) } else { Err(Sats::ZERO) };
        };
        let lines = self.statements.get_mut(&(grant.clone(), epoch));
        let Some(line) = lines.and_then(|lines| lines.get_mut(at)) else { return Err(Sats::ZERO) };
        match line.paid.plus(sats) {
            Ok(sum) if sum <= line.payable => {
                line.paid = sum;
                Ok(())
            }
            _ => Err(line.paid),
        }
    }
}
