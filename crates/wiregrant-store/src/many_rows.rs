//! `ManyRows`: rows that are inserted together, by statements whose text does not depend on how many there are.
//!
//! A statement that is made for each number of rows is parsed and planned each time, which costs more than its rows. PostgreSQL takes
//! each column as an array. SQLite has none: it takes a power of two of rows at a time, so that any number is a few statements out of
//! eight. Either is prepared once by each connection and then only run.

use sqlx::{AssertSqlSafe, Postgres, QueryBuilder, Sqlite, SqliteConnection};

use crate::StoreError;
use crate::session::Transaction;

/// The most rows of one statement of SQLite: at eleven columns far below its limit of 32,766 values.
const SQLITE_ROWS: usize = 128;

/// One column of many rows.
pub(crate) enum Values<'a> {
    Text(Vec<&'a str>),
    OptionalText(Vec<Option<&'a str>>),
    Bytes(Vec<&'a [u8]>),
    Number(Vec<i64>),
    OptionalNumber(Vec<Option<i64>>),
}

impl Values<'_> {
    fn count(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::OptionalText(values) => values.len(),
            Self::Bytes(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::OptionalNumber(values) => values.len(),
        }
    }

    /// What PostgreSQL calls an array of them.
    fn array(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::OptionalText(_) => "text[]",
            Self::Bytes(_) => "bytea[]",
            Self::Number(_) | Self::OptionalNumber(_) => "bigint[]",
        }
    }
}

/// Rows by column, all columns of one length.
pub(crate) struct ManyRows<'a> {
    /// `insert into t (a, b)`.
    pub(crate) insert: &'static str,
    /// The columns in that order.
    pub(crate) columns: Vec<Values<'a>>,
    /// `on conflict …`, or nothing. A row that meets another one of these rows is an error of the database.
    pub(crate) on_conflict: &'static str,
}

impl ManyRows<'_> {
    /// Inserts them.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn insert(self, transaction: &mut Transaction) -> Result<(), StoreError> {
        let rows = self.columns.first().map_or(0, Values::count);
        debug_assert!(self.columns.iter().all(|column| column.count() == rows), "columns of one length");
        match transaction {
            _ if rows == 0 => Ok(()),
            Transaction::Sqlite(transaction) => self.insert_into_sqlite(transaction, rows).await,
            Transaction::Postgres(transaction) => self.insert_into_postgres(transaction).await,
        }
    }

    async fn insert_into_sqlite(
        self,
        connection: &mut SqliteConnection,
        rows: usize,
    ) -> Result<(), StoreError> {
        let mut next = 0;
        while next < rows {
            let end = next + power_of_two_within(rows - next);
            let mut insert = QueryBuilder::<Sqlite>::new(self.insert);
            insert.push(" ").push_values(next..end, |mut row, at| {
                for column in &self.columns {
                    match column {
                        Values::Text(values) => row.push_bind(values[at]),
                        Values::OptionalText(values) => row.push_bind(values[at]),
                        Values::Bytes(values) => row.push_bind(values[at]),
                        Values::Number(values) => row.push_bind(values[at]),
                        Values::OptionalNumber(values) => row.push_bind(values[at]),
                    };
                }
            });
            insert.push(self.on_conflict);
            insert.build().execute(&mut *connection).await?;
            next = end;
        }
        Ok(())
    }

    async fn insert_into_postgres(self, connection: &mut sqlx::PgConnection) -> Result<(), StoreError> {
        let arrays: Vec<_> =
            (1..).zip(&self.columns).map(|(n, column)| format!("${n}::{}", column.array())).collect();
        // Its words are this program's own; what comes from outside is bound.
        let text = format!("{} select * from unnest({}){}", self.insert, arrays.join(", "), self.on_conflict);
        let mut query = sqlx::query::<Postgres>(AssertSqlSafe(text));
        for column in self.columns {
            query = match column {
                Values::Text(values) => query.bind(values),
                Values::OptionalText(values) => query.bind(values),
                Values::Bytes(values) => query.bind(values),
                Values::Number(values) => query.bind(values),
                Values::OptionalNumber(values) => query.bind(values),
            };
        }
        query.execute(connection).await?;
        Ok(())
    }
}

/// The largest power of two of rows that are there, up to [`SQLITE_ROWS`].
fn power_of_two_within(rows: usize) -> usize {
    rows.checked_ilog2().map_or(0, |exponent| 1 << exponent).min(SQLITE_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_rows_is_a_few_statements_out_of_eight() {
        let mut sizes = std::collections::BTreeSet::new();
        for rows in 1..=1_000 {
            let (mut left, mut statements) = (rows, 0);
            while left > 0 {
                let size = power_of_two_within(left);
                sizes.insert(size);
                left -= size;
                statements += 1;
            }
            assert!(statements <= 7 + rows / SQLITE_ROWS, "{rows} rows are {statements} statements");
        }
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64, 128]);
    }
}
