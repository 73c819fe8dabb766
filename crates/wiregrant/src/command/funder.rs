//! `wiregrant funder`: who puts up grants.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use wiregrant_core::api::{Created, Funder, List, NewFunder};
use wiregrant_core::{FunderId, GrantId};

use super::Everywhere;
use super::operator::tell_created;
use crate::private_file::made_into;
use crate::table::{Column, table};

#[derive(Debug, Subcommand)]
pub enum Funders {
    /// Add a funder; their token is shown this once (administrator)
    Add {
        /// The funder's id, for good
        funder: FunderId,
        /// A grant that they fund; several may be given
        #[arg(long = "grant", value_name = "GRANT")]
        grants: Vec<GrantId>,
        /// Write the token into this new file (0600) instead of printing it
        #[arg(long, value_name = "FILE")]
        token_out: Option<PathBuf>,
    },
    /// List all funders (administrator)
    List,
}

impl Funders {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        match self {
            Self::Add { funder, grants, token_out } => {
                let new = NewFunder { funder, grants };
                let add = || everywhere.control_plane()?.post::<_, Created>("/funders", &new);
                let created = made_into(token_out.as_deref(), add, |created| format!("{}\n", created.token))?;
                tell_created(everywhere, &created, token_out.is_some())
            }
            Self::List => {
                let funders: List<Funder> = everywhere.control_plane()?.list("/funders")?;
                everywhere.terminal().answer(&funders.items, || {
                    let row = |row: &Funder| {
                        let grants: Vec<_> = row.grants.iter().map(GrantId::as_str).collect();
                        [row.funder.to_string(), grants.join(" ")]
                    };
                    let rows: Vec<_> = funders.items.iter().map(row).collect();
                    table([Column::Left("funder"), Column::Left("grants")], &rows, "no funders")
                })
            }
        }
    }
}
