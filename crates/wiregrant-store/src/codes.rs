//! Access codes, known by the keyed hash of the code and by a number.

use sqlx::QueryBuilder;
use transparency_log::Hash;
use wiregrant_core::usage_report::Class;
use wiregrant_core::{Bytes, Timestamp};

use crate::column::{bigint, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

/// Rows of one insert: eight values each.
const ROWS_PER_INSERT: usize = 500;

row! {
    /// An access code.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AccessCode {
        /// Counted from 1 over all issuers.
        pub number: u64,
        /// Follows from who issued it.
        pub class: Class,
        /// A distributor's id where assigned, an operator's where invited.
        pub issuer: String,
        /// Devices it may have.
        pub devices: u64,
        /// Bytes it may use in total.
        pub quota_bytes: Bytes,
        /// Not valid from here on.
        pub expires: Timestamp,
        /// Issued when.
        pub created_at: Timestamp,
    }
}

row! {
    /// An access code as its issuer sees it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AccessCodeUse {
        /// Counted from 1 over all issuers.
        pub number: u64,
        /// Follows from who issued it.
        pub class: Class,
        /// Devices it may have.
        pub devices: u64,
        /// Devices it has and has not removed.
        pub devices_used: u64,
        /// Bytes it may use in total.
        pub quota_bytes: Bytes,
        /// Not valid from here on.
        pub expires: Timestamp,
    }
}

/// What codes issued together have in common.
#[derive(Debug, Clone)]
pub struct NewAccessCodes {
    /// Follows from who issues them.
    pub class: Class,
    /// A distributor's id where assigned, an operator's where invited.
    pub issuer: String,
    /// Devices each may have.
    pub devices: u64,
    /// Bytes each may use in total.
    pub quota_bytes: Bytes,
    /// Not valid from here on.
    pub expires: Timestamp,
}

impl Read {
    /// The access code with this keyed hash.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn access_code(&mut self, code_hash: Hash) -> Result<Option<AccessCode>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select number, class, issuer, devices, quota_bytes, expires, created_at
               from access_codes
              where code_hash = $1",
        )
        .bind(code_hash.0.as_slice())
        .fetch_optional(connection)
        .await)?)
    }

    /// The codes of an issuer, by number.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn access_codes_of(
        &mut self,
        class: Class,
        issuer: &str,
    ) -> Result<Vec<AccessCodeUse>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select c.number, c.class, c.devices, c.quota_bytes, c.expires,
                    (select count(*)
                       from devices
                      where code_number = c.number
                        and removed_at is null) as devices_used
               from access_codes c
              where c.class = $1
                and c.issuer = $2
              order by c.number",
        )
        .bind(class.as_str())
        .bind(issuer)
        .fetch_all(connection)
        .await)?)
    }

    /// What all assigned codes issued before a moment may use together, held at the most a unit of bytes can say.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn assigned_quota_issued(&mut self, before: Timestamp) -> Result<Bytes, StoreError> {
        // Summed by amount, because a sum in SQL fails where it passes 2^63-1, and then no epoch could be closed.
        let amounts: Vec<(i64, i64)> = db!(self, connection => sqlx::query_as(
            "select quota_bytes, count(*)
               from access_codes
              where class = 'assigned'
                and created_at < $1
              group by quota_bytes",
        )
        .bind(before.unix_seconds())
        .fetch_all(connection)
        .await)?;
        Ok(total_bytes(&amounts))
    }
}

/// The sum of `(bytes, how often)`, held at the most that a unit of bytes can say.
pub(crate) fn total_bytes(amounts: &[(i64, i64)]) -> Bytes {
    let total = amounts.iter().fold(0_u128, |total, (bytes, count)| {
        let amount = u128::from(bytes.unsigned_abs()).saturating_mul(u128::from(count.unsigned_abs()));
        total.saturating_add(amount)
    });
    u64::try_from(total).ok().and_then(|total| Bytes::new(total).ok()).unwrap_or(Bytes::MAX)
}

impl Write {
    /// Keeps new codes by their keyed hashes, and returns the number of the first; the others follow.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for a hash that is known.
    pub async fn insert_access_codes(
        &mut self,
        code_hashes: &[Hash],
        codes: &NewAccessCodes,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let devices = bigint("devices", codes.devices)?;
        let first: i64 = db!(self, connection => sqlx::query_scalar(
            "select coalesce(max(number), 0) + 1
               from access_codes",
        )
        .fetch_one(connection)
        .await)?;
        let rows: Vec<(i64, &Hash)> = (first..).zip(code_hashes).collect();
        for rows in rows.chunks(ROWS_PER_INSERT) {
            db!(self, connection, Driver => {
                let mut insert = QueryBuilder::<Driver>::new(
                    "insert into access_codes (number, code_hash, class, issuer, devices, quota_bytes, expires, \
                     created_at) ",
                );
                insert.push_values(rows, |mut row, (number, code_hash)| {
                    row.push_bind(*number)
                        .push_bind(code_hash.0.as_slice())
                        .push_bind(codes.class.as_str())
                        .push_bind(codes.issuer.as_str())
                        .push_bind(devices)
                        .push_bind(codes.quota_bytes.as_i64())
                        .push_bind(codes.expires.unix_seconds())
                        .push_bind(now.unix_seconds());
                });
                insert.build().persistent(false).execute(connection).await.map(drop)
            })?;
        }
        Ok(first.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_quotas_stops_at_the_most_bytes_can_say() {
        assert_eq!(total_bytes(&[(5, 3), (2, 1)]).get(), 17);
        assert_eq!(total_bytes(&[(i64::MAX, 1)]), Bytes::MAX);
        assert_eq!(total_bytes(&[(i64::MAX, i64::MAX), (i64::MAX, i64::MAX)]), Bytes::MAX);
        assert_eq!(total_bytes(&[]), Bytes::ZERO);
    }
}
