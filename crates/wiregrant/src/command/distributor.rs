//! `wiregrant distributor`: who hands out access codes, independent of operators.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use wiregrant_core::allotment::Period;
use wiregrant_core::api::{Budget, Created, Distributor, List, NewDistributor};
use wiregrant_core::quantity::bytes;
use wiregrant_core::{Bytes, DistributorId};

use super::Everywhere;
use super::operator::tell_created;
use crate::private_file::made_into;
use crate::table::{Column, table, thousands, traffic};

#[derive(Debug, Subcommand)]
pub enum Distributors {
    /// Add a distributor; their token is shown this once (administrator)
    Add {
        /// The distributor's id, for good
        distributor: DistributorId,
        /// Write the token into this new file (0600) instead of printing it
        #[arg(long, value_name = "FILE")]
        token_out: Option<PathBuf>,
    },
    /// Say what a distributor may issue in all, what they have issued included (administrator)
    Budget(SetBudget),
    /// List all distributors (administrator)
    List,
}

#[derive(Debug, Args)]
pub struct SetBudget {
    /// The distributor's id
    distributor: DistributorId,
    /// Access codes; without it any number
    #[arg(long, value_name = "N")]
    codes: Option<u64>,
    /// What all of them together may use until they expire, such as 5TB; without it any amount
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    traffic: Option<Bytes>,
}

impl Distributors {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        match self {
            Self::Add { distributor, token_out } => {
                let new = NewDistributor { distributor };
                let add = || everywhere.control_plane()?.post::<_, Created>("/distributors", &new);
                let created = made_into(token_out.as_deref(), add, |created| format!("{}\n", created.token))?;
                tell_created(everywhere, &created, token_out.is_some())
            }
            Self::Budget(SetBudget { distributor, codes, traffic: most }) => {
                let path = format!("/distributors/{distributor}/budget");
                let budget = Budget { codes, bytes: most };
                let set: Distributor = everywhere.control_plane()?.put(&path, &budget)?;
                everywhere.terminal().answer(&set, || listed(std::slice::from_ref(&set)))
            }
            Self::List => {
                let distributors: List<Distributor> = everywhere.control_plane()?.list("/distributors")?;
                everywhere.terminal().answer(&distributors.items, || listed(&distributors.items))
            }
        }
    }
}

fn listed(distributors: &[Distributor]) -> String {
    let most = |most: Option<String>| most.unwrap_or_else(|| "no limit".to_owned());
    let row = |row: &Distributor| {
        [
            row.distributor.to_string(),
            thousands(row.codes_issued),
            most(row.budget.codes.map(thousands)),
            most(row.budget.bytes.map(|bytes| traffic(bytes, Period::Total))),
        ]
    };
    let rows: Vec<_> = distributors.iter().map(row).collect();
    table(
        [
            Column::Left("distributor"),
            Column::Right("codes issued"),
            Column::Right("codes allowed"),
            Column::Right("traffic allowed"),
        ],
        &rows,
        "no distributors",
    )
}
