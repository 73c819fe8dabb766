//! `wiregrant code`: access codes, as their issuer sees them.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use wiregrant_core::allotment::Period;
use wiregrant_core::api::{AccessCodeState, AccessCodesCreated, List, NewAccessCodes};
use wiregrant_core::quantity::{self, Moment};
use wiregrant_core::{Bytes, DistributorId};

use super::Everywhere;
use crate::clock;
use crate::private_file::made_into;
use crate::table::{Column, table, thousands, traffic};

#[derive(Debug, Subcommand)]
pub enum AccessCodes {
    /// Issue access codes, shown this once (distributor, operator; administrator with --distributor)
    Issue(Issue),
    /// List the codes that were issued; what their people do is not shown (distributor, operator; administrator with --distributor)
    List {
        /// Those of this distributor (administrator)
        #[arg(long, value_name = "ID")]
        distributor: Option<DistributorId>,
    },
}

#[derive(Debug, Args)]
pub struct Issue {
    /// Devices each code may have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    devices: u64,
    /// Traffic each code may use, such as 50GB, or bytes
    #[arg(long, value_parser = quantity::bytes)]
    quota: Bytes,
    /// What the quota is for: in total until the codes expire, or each calendar month (UTC)
    #[arg(long, value_name = "total|month", default_value_t)]
    per: Period,
    /// When the codes stop working: 30d from now, or 2026-07-06T12:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: Moment,
    /// How many codes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    count: u64,
    /// For this distributor, within their budget (administrator)
    #[arg(long, value_name = "ID")]
    distributor: Option<DistributorId>,
    /// Write the codes into this new file (0600), one a line, instead of printing them
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl AccessCodes {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        match self {
            Self::Issue(issue) => issue.run(everywhere),
            Self::List { distributor } => {
                let codes: List<AccessCodeState> =
                    everywhere.control_plane()?.list(&path(distributor.as_ref()))?;
                everywhere.terminal().answer(&codes.items, || listed(&codes.items))
            }
        }
    }
}

impl Issue {
    fn run(self, everywhere: &Everywhere) -> Result<()> {
        let new = NewAccessCodes {
            count: self.count,
            devices: self.devices,
            quota_bytes: self.quota,
            period: self.per,
            expires: self.expires.resolve(clock::now()?),
        };
        let path = path(self.distributor.as_ref());
        let issue = || everywhere.control_plane()?.post::<_, AccessCodesCreated>(&path, &new);
        let lines = |created: &AccessCodesCreated| format!("{}\n", created.codes.join("\n"));
        let created = made_into(self.out.as_deref(), issue, lines)?;
        if self.out.is_some() {
            let (count, class) = (created.codes.len(), created.class);
            return everywhere
                .terminal()
                .answer(&json!({ "count": count, "class": class }), || format!("issued {count} ({class})"));
        }
        everywhere.terminal().answer(&created, || lines(&created))
    }
}

/// One's own codes, or those of a distributor.
fn path(distributor: Option<&DistributorId>) -> String {
    distributor.map_or_else(
        || "/access-codes".to_owned(),
        |distributor| format!("/distributors/{distributor}/access-codes"),
    )
}

fn listed(codes: &[AccessCodeState]) -> String {
    let row = |code: &AccessCodeState| {
        [
            code.number.to_string(),
            code.class.to_string(),
            format!("{} of {}", thousands(code.devices_used), thousands(code.devices)),
            traffic(code.quota_bytes, code.period),
            code.expires.to_string(),
        ]
    };
    let rows: Vec<_> = codes.iter().map(row).collect();
    let columns = [
        Column::Right("code"),
        Column::Left("class"),
        Column::Right("devices"),
        Column::Right("quota"),
        Column::Left("expires"),
    ];
    table(columns, &rows, "no access codes")
}
