//! `wiregrant auditor`: whom a funder lets look behind the statements of their grants.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use wiregrant_core::api::{Auditor, Created, List, NewAuditor};
use wiregrant_core::{AuditorId, GrantId};

use super::Everywhere;
use super::operator::tell_created;
use crate::private_file::made_into;
use crate::table::{Column, table};

#[derive(Debug, Subcommand)]
pub enum Auditors {
    /// Add an auditor; their token is shown this once (administrator, a funder of all these grants)
    Add {
        /// The auditor's id, for good
        auditor: AuditorId,
        /// A grant that they may look behind; several may be given
        #[arg(long = "grant", value_name = "GRANT", required = true)]
        grants: Vec<GrantId>,
        /// Write the token into this new file (0600) instead of printing it
        #[arg(long, value_name = "FILE")]
        token_out: Option<PathBuf>,
    },
    /// List auditors (administrator; a funder sees those of their grants)
    List,
}

impl Auditors {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        match self {
            Self::Add { auditor, grants, token_out } => {
                let new = NewAuditor { auditor, grants };
                let add = || everywhere.control_plane()?.post::<_, Created>("/auditors", &new);
                let created = made_into(token_out.as_deref(), add, |created| format!("{}\n", created.token))?;
                tell_created(everywhere, &created, token_out.is_some())
            }
            Self::List => {
                let auditors: List<Auditor> = everywhere.control_plane()?.list("/auditors")?;
                everywhere.terminal().answer(&auditors.items, || {
                    let row = |row: &Auditor| {
                        let grants: Vec<_> = row.grants.iter().map(GrantId::as_str).collect();
                        [row.auditor.to_string(), grants.join(" ")]
                    };
                    let rows: Vec<_> = auditors.items.iter().map(row).collect();
                    table([Column::Left("auditor"), Column::Left("grants")], &rows, "no auditors")
                })
            }
        }
    }
}
