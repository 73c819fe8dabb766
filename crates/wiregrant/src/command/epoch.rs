//! `wiregrant epoch`: closing the stretches of time in which a grant is split.

use anyhow::Result;
use clap::{Args, Subcommand};
use wiregrant_core::api::{Approvals, List, NodeEpochCredit, StatementNote};
use wiregrant_core::credit::Reason;
use wiregrant_core::{Bytes, GrantId};

use super::Everywhere;
use super::statement::{Read, summary};
use crate::table::{Column, or_dash, table};

#[derive(Debug, Subcommand)]
pub enum Epochs {
    /// Close an epoch that is over, into its statement (administrator)
    Close(Epoch),
    /// Approve a statement, once nobody can challenge it any more; each person once (administrator, funder)
    Approve(Epoch),
    /// Show what a closed epoch credits each node with, and what does not count and why (administrator; an operator sees
    /// their own)
    Credit(Epoch),
}

#[derive(Debug, Args)]
pub struct Epoch {
    /// The grant's id
    grant: GrantId,
    /// The epoch's number, from 1
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    epoch: u64,
}

impl Epochs {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        let path = |of: &Epoch, what: &str| format!("/grants/{}/epochs/{}/{what}", of.grant, of.epoch);
        let (plane, nothing) = (everywhere.control_plane()?, serde_json::Map::new());
        match self {
            Self::Close(of) => {
                let note: StatementNote = plane.post(&path(&of, "close"), &nothing)?;
                let read = Read::from_note(&note, &of.grant)?;
                everywhere.terminal().answer(&note, || summary(&[read]))
            }
            Self::Approve(of) => {
                let given: Approvals = plane.post(&path(&of, "approve"), &nothing)?;
                everywhere.terminal().answer(&given, || approved(&given))
            }
            Self::Credit(of) => {
                let credit: List<NodeEpochCredit> = plane.get(&path(&of, "credit"))?;
                everywhere.terminal().answer(&credit.items, || credited(&credit.items))
            }
        }
    }
}

fn approved(given: &Approvals) -> String {
    format!("epoch {}: approved by {} of {} people\n", given.epoch, given.people.len(), given.wanted)
}

fn credited(nodes: &[NodeEpochCredit]) -> String {
    let row = |node: &NodeEpochCredit| {
        let mut disallowed: Vec<String> =
            node.disallowed.iter().map(|of| format!("{} {}", of.reason, of.bytes.to_gb())).collect();
        if node.late > Bytes::ZERO {
            disallowed.push(format!("{} {}", Reason::Late, node.late.to_gb()));
        }
        let units = match node.units {
            Some(units) => units.to_string(),
            None => format!("withheld: {} of {} people", node.people, node.floor),
        };
        [
            node.node.to_string(),
            node.eligible.to_gb(),
            or_dash(Some(disallowed.join(", ")).filter(|text| !text.is_empty())),
            units,
            node.carried.to_gb(),
        ]
    };
    let columns = [
        Column::Left("node"),
        Column::Right("counts"),
        Column::Left("does not count"),
        Column::Right("units"),
        Column::Right("carried"),
    ];
    table(columns, &nodes.iter().map(row).collect::<Vec<_>>(), "no nodes")
}
