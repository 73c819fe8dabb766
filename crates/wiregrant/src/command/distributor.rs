//! `wiregrant distributor`: who hands out access codes, independent of operators.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use wiregrant_core::DistributorId;
use wiregrant_core::api::{Created, Distributor, List, NewDistributor};

use super::Everywhere;
use super::operator::tell_created;
use crate::private_file::made_into;
use crate::table::{Column, table, thousands};

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
    /// List all distributors (administrator)
    List,
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
            Self::List => {
                let distributors: List<Distributor> = everywhere.control_plane()?.get("/distributors")?;
                everywhere.terminal().answer(&distributors.items, || {
                    let row = |d: &Distributor| [d.distributor.to_string(), thousands(d.codes_issued)];
                    let rows: Vec<_> = distributors.items.iter().map(row).collect();
                    table(
                        [Column::Left("distributor"), Column::Right("codes issued")],
                        &rows,
                        "no distributors",
                    )
                })
            }
        }
    }
}
