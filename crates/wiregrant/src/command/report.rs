//! `wiregrant report`: what each operator earned in each closed epoch, read from the statements and nothing finer.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use wiregrant_core::{Bytes, GrantId, OperatorId, Sats, Timestamp, Units};

use super::Everywhere;
use super::statement::Read;
use crate::table::{Column, table, thousands};

#[derive(Debug, Args)]
pub struct Report {
    /// The grant's id
    grant: GrantId,
}

#[derive(Serialize)]
struct Reported {
    grant: GrantId,
    unit_bytes: Option<Bytes>,
    epochs: Vec<Epoch>,
    units: Units,
    bytes: Bytes,
    earned: Sats,
    payable: Sats,
    unspent: Sats,
}

#[derive(Serialize)]
struct Epoch {
    epoch: u64,
    start: Timestamp,
    end: Timestamp,
    pot: Sats,
    unspent: Sats,
    /// The statement's name under `/log/note/`.
    statement: String,
    operators: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    operator: OperatorId,
    units: Units,
    bytes: Bytes,
    earned: Sats,
    brought: Sats,
    payable: Sats,
    carried: Sats,
}

impl Report {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        let (_, statements) = Read::all(everywhere, &self.grant)?;
        let report = Reported::of(self.grant, &statements)?;
        everywhere.terminal().answer(&report, || report.to_string())
    }
}

impl Reported {
    fn of(grant: GrantId, statements: &[Read]) -> Result<Self> {
        let epochs: Vec<Epoch> = statements.iter().map(Epoch::of).collect::<Result<_>>()?;
        let lines = || epochs.iter().flat_map(|epoch| &epoch.operators);
        Ok(Self {
            grant,
            unit_bytes: statements.last().map(|read| read.statement.terms.unit_bytes),
            units: Units::total(lines().map(|line| line.units))?,
            bytes: Bytes::total(lines().map(|line| line.bytes))?,
            earned: Sats::total(lines().map(|line| line.earned))?,
            payable: Sats::total(lines().map(|line| line.payable))?,
            unspent: epochs.last().map_or(Sats::ZERO, |epoch| epoch.unspent),
            epochs,
        })
    }
}

impl Epoch {
    fn of(Read { statement, hash }: &Read) -> Result<Self> {
        let units = statement.units_by_operator()?;
        let unit = statement.terms.unit_bytes.get();
        let line = |(operator, line): (&OperatorId, &wiregrant_core::statement::OperatorLine)| {
            let units = units.get(operator).copied().unwrap_or_default();
            Ok(Line {
                operator: operator.clone(),
                units,
                bytes: Bytes::new(units.get().saturating_mul(unit))?,
                earned: line.earned,
                brought: line.brought,
                payable: line.payable,
                carried: line.carried,
            })
        };
        Ok(Self {
            epoch: statement.epoch,
            start: statement.start,
            end: statement.end,
            pot: statement.pot,
            unspent: statement.unspent,
            statement: hash.clone(),
            operators: statement.operators.iter().map(line).collect::<Result<_>>()?,
        })
    }
}

impl std::fmt::Display for Reported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sats = |sats: Sats| thousands(sats.as_i64());
        let mut rows = Vec::new();
        for epoch in &self.epochs {
            for line in &epoch.operators {
                rows.push([
                    epoch.epoch.to_string(),
                    line.operator.to_string(),
                    thousands(line.units.as_i64()),
                    line.bytes.to_gb(),
                    sats(line.earned),
                    sats(line.payable),
                    sats(line.carried),
                ]);
            }
        }
        let columns = [
            Column::Right("epoch"),
            Column::Left("operator"),
            Column::Right("units"),
            Column::Right("traffic"),
            Column::Right("earned"),
            Column::Right("payable"),
            Column::Right("carried"),
        ];
        let none = format!("{}: no operator in any closed epoch", self.grant);
        f.write_str(&table(columns, &rows, &none))?;
        if let Some(unit) = self.unit_bytes {
            writeln!(
                f,
                "{}: {} epoch(s) closed, {} units of {} bytes ({}), {} sats earned, {} payable so far, {} unspent in the last",
                self.grant,
                self.epochs.len(),
                thousands(self.units.as_i64()),
                thousands(unit.as_i64()),
                self.bytes.to_gb(),
                sats(self.earned),
                sats(self.payable),
                sats(self.unspent)
            )?;
        }
        Ok(())
    }
}
