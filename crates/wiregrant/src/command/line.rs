//! `wiregrant line`: operators' lines of statements on their way to a batch.

use anyhow::Result;
use clap::{Args, Subcommand};
use wiregrant_core::api::{DecideLine, List, StatementLine};
use wiregrant_core::{GrantId, OperatorId};

use super::Everywhere;
use crate::table::{Column, or_dash, table, thousands};

#[derive(Debug, Subcommand)]
pub enum Lines {
    /// List a grant's lines, and what keeps each from being paid (administrator; an operator sees their own)
    List {
        /// The grant's id
        grant: GrantId,
    },
    /// Keep a line from being paid (administrator)
    Hold(Decide),
    /// Let a held line be paid (administrator)
    Release(Decide),
    /// Give a held line's sats back to the grant, for good (administrator)
    Forfeit(Decide),
    /// Object, on record, to what is said of your line (that operator)
    Object(Decide),
}

#[derive(Debug, Args)]
pub struct Decide {
    /// The grant's id
    grant: GrantId,
    /// The epoch's number
    epoch: u64,
    /// The operator's id
    operator: OperatorId,
    /// One word of a-z, 0-9 and '-', for the record
    reason: String,
    /// More of it; never in the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    detail: String,
}

impl Lines {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        let (asked, what) = match self {
            Self::List { grant } => {
                let path = format!("/grants/{grant}/lines");
                let lines: List<StatementLine> = everywhere.control_plane()?.list(&path)?;
                return everywhere.terminal().answer(&lines.items, || listed(&lines.items, "no lines"));
            }
            Self::Hold(asked) => (asked, "hold"),
            Self::Release(asked) => (asked, "release"),
            Self::Forfeit(asked) => (asked, "forfeit"),
            Self::Object(asked) => (asked, "object"),
        };
        let Decide { grant, epoch, operator, reason, detail } = asked;
        let path = format!("/grants/{grant}/epochs/{epoch}/operators/{operator}/{what}");
        let line: StatementLine = everywhere.control_plane()?.post(&path, &DecideLine { reason, detail })?;
        everywhere.terminal().answer(&line, || listed(std::slice::from_ref(&line), "no line"))
    }
}

/// Lines for people.
pub fn listed(lines: &[StatementLine], none: &str) -> String {
    let row = |line: &StatementLine| {
        let last = line.decisions.last().map(|decided| format!("{} {}", decided.kind, decided.reason));
        [
            line.epoch.to_string(),
            line.operator.to_string(),
            thousands(line.payable.as_i64()),
            line.standing.to_string(),
            line.payable_from.to_string(),
            or_dash(last),
        ]
    };
    let columns = [
        Column::Right("epoch"),
        Column::Left("operator"),
        Column::Right("payable sats"),
        Column::Left("standing"),
        Column::Left("payable from"),
        Column::Left("last said"),
    ];
    table(columns, &lines.iter().map(row).collect::<Vec<_>>(), none)
}
