//! `wiregrant ledger`: the double-entry ledger of sats, as the control plane keeps it.

use anyhow::{Result, bail};
use clap::Subcommand;
use wiregrant_core::GrantId;
use wiregrant_core::api::{LedgerAccount, LedgerCheck, List};

use super::Everywhere;
use crate::table::{Column, or_dash, table, thousands};

#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Show the accounts of a grant (administrator, funder; an operator sees their own)
    Show {
        /// The grant's id
        grant: GrantId,
    },
    /// Hold balances against transfers, and transfers against contributions, statements and batches (administrator)
    Check,
}

impl Ledger {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        match self {
            Self::Show { grant } => {
                let path = format!("/grants/{grant}/ledger");
                let accounts: List<LedgerAccount> = everywhere.control_plane()?.list(&path)?;
                everywhere.terminal().answer(&accounts.items, || listed(&accounts.items))
            }
            Self::Check => {
                let check: LedgerCheck = everywhere.control_plane()?.get("/ledger/check")?;
                everywhere.terminal().answer(&check, || told(&check))?;
                match check.differences.len() {
                    0 => Ok(()),
                    count => bail!("the ledger does not hold: {count} differences"),
                }
            }
        }
    }
}

fn listed(accounts: &[LedgerAccount]) -> String {
    let row = |account: &LedgerAccount| {
        [
            or_dash(account.operator.as_ref()),
            account.account.to_string(),
            thousands(account.sats),
            thousands(account.given.as_i64()),
        ]
    };
    let columns = [
        Column::Left("operator"),
        Column::Left("account"),
        Column::Right("sats"),
        Column::Right("ever given"),
    ];
    table(columns, &accounts.iter().map(row).collect::<Vec<_>>(), "no accounts")
}

fn told(check: &LedgerCheck) -> String {
    let LedgerCheck { transfers, accounts, differences } = check;
    let differences: String = differences.iter().map(|difference| format!("{difference}\n")).collect();
    let holds = if differences.is_empty() { "holds" } else { "does not hold" };
    format!("{differences}{transfers} transfers, {accounts} accounts: the ledger {holds}\n")
}
