//! `wiregrant statement`: the signed notes that close epochs, as the control plane gives them out.

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use wiregrant_core::api::{List, StatementNote};
use wiregrant_core::note::Signed;
use wiregrant_core::statement::Statement;
use wiregrant_core::{GrantId, Sats};

use super::Everywhere;
use crate::table::{Column, table, thousands};

#[derive(Debug, Subcommand)]
pub enum Statements {
    /// List a grant's statements
    List {
        /// The grant's id
        grant: GrantId,
    },
    /// Print a statement's note as it was signed
    Show {
        /// The grant's id
        grant: GrantId,
        /// The epoch's number
        epoch: u64,
    },
}

/// A statement with its note's hash. Its form was checked; its signature and sums are `verify`'s to check.
pub struct Read {
    /// What it says.
    pub statement: Statement,
    /// SHA-256 of its note, hexadecimal.
    pub hash: String,
}

impl Read {
    /// Reads a note that should be a statement of `grant`.
    pub fn from_note(note: &StatementNote, grant: &GrantId) -> Result<Self> {
        let signed: Signed<Statement> =
            Signed::parse(&note.note).with_context(|| format!("statement {}", note.epoch))?;
        let (hash, content) = (signed.hash().to_hex(), signed.content());
        if content.grant != *grant || content.epoch != note.epoch || hash != note.hash {
            bail!(
                "statement: asked for {grant} {} with hash {}, got {} {} with hash {hash}",
                note.epoch,
                note.hash,
                content.grant,
                content.epoch
            );
        }
        Ok(Self { statement: signed.into_content(), hash })
    }

    /// All statements of a grant, by epoch.
    pub fn all(everywhere: &Everywhere, grant: &GrantId) -> Result<(Vec<StatementNote>, Vec<Self>)> {
        let path = format!("/grants/{grant}/statements");
        let notes: List<StatementNote> = everywhere.control_plane()?.list(&path)?;
        let read = notes.items.iter().map(|note| Self::from_note(note, grant)).collect::<Result<_>>()?;
        Ok((notes.items, read))
    }
}

impl Statements {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        match self {
            Self::List { grant } => {
                let (notes, read) = Read::all(everywhere, &grant)?;
                everywhere.terminal().answer(&notes, || summary(&read))
            }
            Self::Show { grant, epoch } => {
                let (notes, _) = Read::all(everywhere, &grant)?;
                let Some(note) = notes.iter().find(|note| note.epoch == epoch) else {
                    bail!(
                        "epoch: {grant} has no statement for epoch {epoch}; `wiregrant statement list {grant}`"
                    );
                };
                if everywhere.json {
                    return everywhere.terminal().answer(note, String::new);
                }
                everywhere.terminal().exact(&note.note)
            }
        }
    }
}

/// One row a statement.
pub fn summary(statements: &[Read]) -> String {
    let row = |Read { statement, hash }: &Read| {
        let payable = Sats::total(statement.operators.values().map(|line| line.payable));
        [
            statement.epoch.to_string(),
            statement.end.to_string(),
            thousands(statement.pot.as_i64()),
            payable.map_or_else(|e| e.to_string(), |sats| thousands(sats.as_i64())),
            thousands(statement.unspent.as_i64()),
            hash.clone(),
        ]
    };
    let rows: Vec<_> = statements.iter().map(row).collect();
    let columns = [
        Column::Right("epoch"),
        Column::Left("end"),
        Column::Right("pot"),
        Column::Right("payable"),
        Column::Right("unspent"),
        Column::Left("note"),
    ];
    table(columns, &rows, "no statements")
}
