//! The double-entry ledger of sats. Balances are kept by the database itself, in the transaction of the transfer; no account
//! but a funder's is ever overdrawn, and no transfer is ever changed.

use sqlx::QueryBuilder;
use wiregrant_core::ledger::{Account, Balance, Balances, Side, Transfer, TransferKind};
use wiregrant_core::{BatchId, FactError, GrantId, OperatorId, Sats, Timestamp};

use crate::column::{bigint, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

/// Rows of one insert: twelve values each, below what both databases take in one statement.
const ROWS_PER_INSERT: usize = 500;

row! {
    /// What an account has.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AccountBalance {
        /// The grant.
        pub grant_id: GrantId,
        /// The account.
        pub account: Account,
        /// Whose it is; empty for the grant's own.
        pub operator: String,
        /// What it has; below 0 for the funder.
        pub sats: i64,
        /// All it was ever given.
        pub given: Sats,
    }
}

row! {
    /// A transfer from or to an operator's account.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct OperatorTransfer {
        /// The grant.
        pub grant_id: GrantId,
        /// Why.
        pub kind: TransferKind,
        /// The epoch it belongs to.
        pub epoch: Option<u64>,
        /// The batch it belongs to.
        pub batch: Option<BatchId>,
        /// The account that takes it; the other one follows from the kind.
        pub to_account: Account,
        /// How many sats.
        pub sats: Sats,
    }
}

row! {
    /// One side of all transfers of an account.
    struct Summed {
        grant_id: GrantId,
        account: Account,
        operator: String,
        taken: Sats,
        given: Sats,
    }
}

impl AccountBalance {
    /// The account and whose it is.
    ///
    /// # Errors
    /// An operator's id that is none.
    pub fn side(&self) -> Result<Side, FactError> {
        side(self.account, &self.operator)
    }
}

fn side(account: Account, operator: &str) -> Result<Side, FactError> {
    let operator = (!operator.is_empty()).then(|| operator.parse()).transpose()?;
    Ok(Side { account, operator })
}

impl Read {
    /// The accounts of one grant, or of all; of one operator, or of everyone.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn account_balances(
        &mut self,
        grant: Option<&GrantId>,
        operator: Option<&OperatorId>,
    ) -> Result<Vec<AccountBalance>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select grant_id, account, operator, sats, given
               from ledger_balances
              where ($1 is null or grant_id = $1)
                and ($2 is null or operator = $2)
              order by grant_id, operator, account",
        )
        .bind(grant.map(GrantId::as_str))
        .bind(operator.map(OperatorId::as_str))
        .fetch_all(connection)
        .await)?)
    }

    /// The transfers from and to the accounts of an operator in all grants, the oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn transfers_of_operator(
        &mut self,
        operator: &OperatorId,
    ) -> Result<Vec<OperatorTransfer>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select grant_id, kind, epoch, batch, to_account, sats
               from ledger_transfers
              where from_operator = $1
                 or to_operator = $1
              order by number",
        )
        .bind(operator.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// Every account's balance summed anew from the transfers.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn summed_transfers(&mut self) -> Result<Balances, StoreError> {
        let summed: Vec<Summed> = db!(self, connection => sqlx::query_as(
            "select grant_id, account, operator,
                    cast(sum(taken) as bigint) as taken,
                    cast(sum(given) as bigint) as given
               from (select grant_id, from_account as account, from_operator as operator, sats as taken, 0 as given
                       from ledger_transfers
                      union all
                     select grant_id, to_account, to_operator, 0, sats
                       from ledger_transfers) as sides
              group by grant_id, account, operator",
        )
        .fetch_all(connection)
        .await)?;
        let mut balances = Balances::new();
        for row in summed {
            let side = side(row.account, &row.operator)
                .map_err(|error| StoreError::corrupt("ledger_transfers", error))?;
            let (taken, given) = (i128::from(row.taken.get()), i128::from(row.given.get()));
            balances.insert((row.grant_id, side), Balance { sats: given.saturating_sub(taken), given });
        }
        Ok(balances)
    }

    /// How many transfers there are.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn transfer_count(&mut self) -> Result<u64, StoreError> {
        let count: i64 = db!(self, connection => sqlx::query_scalar(
            "select coalesce(max(number), 0)
               from ledger_transfers",
        )
        .fetch_one(connection)
        .await)?;
        Ok(count.unsigned_abs())
    }
}

impl Write {
    /// Enters transfers, in this order.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where an account would be overdrawn; [`StoreError::UnknownReference`].
    pub async fn enter(&mut self, transfers: &[Transfer], now: Timestamp) -> Result<(), StoreError> {
        let first = bigint("transfers", self.transfer_count().await?.saturating_add(1))?;
        let rows: Vec<_> = (first..).zip(transfers).map(Entered::of).collect::<Result<_, _>>()?;
        for rows in rows.chunks(ROWS_PER_INSERT) {
            db!(self, connection, Driver => {
                let mut insert = QueryBuilder::<Driver>::new(
                    "insert into ledger_transfers (number, grant_id, kind, epoch, batch, from_account, from_operator, \
                     to_account, to_operator, sats, entered_at) ",
                );
                insert.push_values(rows, |mut row, entered| {
                    row.push_bind(entered.number)
                        .push_bind(entered.transfer.grant.as_str())
                        .push_bind(entered.transfer.kind.as_str())
                        .push_bind(entered.epoch)
                        .push_bind(entered.transfer.batch.as_ref().map(BatchId::as_str))
                        .push_bind(entered.transfer.from.account.as_str())
                        .push_bind(owner(&entered.transfer.from))
                        .push_bind(entered.transfer.to.account.as_str())
                        .push_bind(owner(&entered.transfer.to))
                        .push_bind(entered.transfer.sats.as_i64())
                        .push_bind(now.unix_seconds());
                });
                insert.build().persistent(false).execute(connection).await.map(drop)
            })?;
        }
        Ok(())
    }
}

struct Entered<'a> {
    number: i64,
    epoch: Option<i64>,
    transfer: &'a Transfer,
}

impl<'a> Entered<'a> {
    fn of((number, transfer): (i64, &'a Transfer)) -> Result<Self, StoreError> {
        let epoch = transfer.epoch.map(|epoch| bigint("epoch", epoch)).transpose()?;
        Ok(Self { number, epoch, transfer })
    }
}

fn owner(side: &Side) -> &str {
    side.operator.as_ref().map_or("", |operator| operator.as_str())
}
