//! Access codes, known by the keyed hash of the code and by a number.

use sqlx::QueryBuilder;
use transparency_log::Hash;
use wiregrant_core::allotment::Period;
use wiregrant_core::usage_report::Class;
use wiregrant_core::{Bytes, DistributorId, Timestamp};

use crate::column::{bigint, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

/// Rows of one insert: nine values each.
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
        /// Bytes it may use in a `period`.
        pub quota_bytes: Bytes,
        /// What the quota is for.
        pub period: Period,
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
        /// Bytes it may use in a `period`.
        pub quota_bytes: Bytes,
        /// What the quota is for.
        pub period: Period,
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
    /// Bytes each may use in a `period`.
    pub quota_bytes: Bytes,
    /// What the quota is for.
    pub period: Period,
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
            "select number, class, issuer, devices, quota_bytes, period, expires, created_at
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
            "select c.number, c.class, c.devices, c.quota_bytes, c.period, c.expires,
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

    /// The numbers of at most `limit` codes that expired before a moment and are not forgotten, the longest expired first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn access_codes_expired_before(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<u64>, StoreError> {
        let numbers: Vec<i64> = db!(self, connection => sqlx::query_scalar(
            "select number
               from access_codes
              where expires < $1
                and forgotten_at is null
              order by expires, number
              limit $2",
        )
        .bind(before.unix_seconds())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await)?;
        Ok(numbers.into_iter().map(i64::unsigned_abs).collect())
    }

    /// What assigned codes issued before a moment could use together up to it, held at the most a unit of bytes can say: those of
    /// one distributor, or of all.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn assigned_quota_issued(
        &mut self,
        issuer: Option<&DistributorId>,
        before: Timestamp,
    ) -> Result<Bytes, StoreError> {
        // Summed by amount, because a sum in SQL fails where it passes 2^63-1, and then no epoch could be closed.
        let given: Vec<Given> = db!(self, connection => sqlx::query_as(
            "select quota_bytes as amount, period, since, until, count(*) as times
               from (select quota_bytes, period,
                            case period when 'month' then created_at else 0 end as since,
                            case period when 'month' then expires else 0 end as until
                       from access_codes
                      where class = 'assigned'
                        and created_at < $1
                        and ($2 is null or issuer = $2)) as codes
              group by quota_bytes, period, since, until",
        )
        .bind(before.unix_seconds())
        .bind(issuer.map(DistributorId::as_str))
        .fetch_all(connection)
        .await)?;
        Ok(total_bytes(&given, before))
    }
}

row! {
    /// An amount that several were given alike. Where it is given once in total, its moments are of no account.
    #[derive(Debug)]
    pub(crate) struct Given {
        pub(crate) amount: Bytes,
        pub(crate) period: Period,
        pub(crate) since: Timestamp,
        pub(crate) until: Timestamp,
        pub(crate) times: u64,
    }
}

/// The sum of what was given before a moment, held at the most that a unit of bytes can say.
pub(crate) fn total_bytes(given: &[Given], before: Timestamp) -> Bytes {
    let total = given.iter().fold(0_u128, |total, given| {
        let periods = given.period.times(given.since, given.until.min(before));
        let amount = u128::from(given.amount.get()).saturating_mul(u128::from(given.times));
        total.saturating_add(amount.saturating_mul(u128::from(periods)))
    });
    u64::try_from(total).ok().and_then(|total| Bytes::new(total).ok()).unwrap_or(Bytes::MAX)
}

impl Write {
    /// Lets an access code be good for nothing from now on, under a hash that no code has. What it was issued for still counts as
    /// issued.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn forget_access_code(
        &mut self,
        number: u64,
        nobodys_hash: Hash,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let code_number = bigint("access code", number)?;
        let forgotten = db!(self, connection => sqlx::query(
            "update access_codes
                set code_hash = $2, expires = case when expires < $3 then expires else $3 end, forgotten_at = $3
              where number = $1",
        )
        .bind(code_number)
        .bind(nobodys_hash.0.as_slice())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        if forgotten == 0 {
            return Err(StoreError::NotFound { what: "access code", id: number.to_string() });
        }
        Ok(())
    }

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
                    "insert into access_codes (number, code_hash, class, issuer, devices, quota_bytes, period, \
                     expires, created_at) ",
                );
                insert.push_values(rows, |mut row, (number, code_hash)| {
                    row.push_bind(*number)
                        .push_bind(code_hash.0.as_slice())
                        .push_bind(codes.class.as_str())
                        .push_bind(codes.issuer.as_str())
                        .push_bind(devices)
                        .push_bind(codes.quota_bytes.as_i64())
                        .push_bind(codes.period.as_str())
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

    fn given(amount: u64, period: Period, times: u64) -> Given {
        let at = |text: &str| text.parse().unwrap();
        let (since, until) = (at("2026-07-06T12:00:00Z"), at("2026-10-01T00:00:00Z"));
        Given { amount: Bytes::new(amount).unwrap(), period, since, until, times }
    }

    #[test]
    fn a_sum_of_quotas_stops_at_the_most_bytes_can_say() {
        let (most, before) = (i64::MAX.unsigned_abs(), "2027-01-01T00:00:00Z".parse().unwrap());
        let total = |amounts: &[(u64, u64)]| {
            let given: Vec<_> =
                amounts.iter().map(|(amount, times)| given(*amount, Period::Total, *times)).collect();
            total_bytes(&given, before)
        };
        assert_eq!(total(&[(5, 3), (2, 1)]).get(), 17);
        assert_eq!(total(&[(most, 1)]), Bytes::MAX);
        assert_eq!(total(&[(most, most), (most, most)]), Bytes::MAX);
        assert_eq!(total(&[]), Bytes::ZERO);
    }

    #[test]
    fn a_monthly_quota_counts_for_each_month_begun_until_the_code_expires() {
        let total = |before: &str| total_bytes(&[given(5, Period::Month, 2)], before.parse().unwrap()).get();
        assert_eq!(total("2026-07-07T00:00:00Z"), 10);
        assert_eq!(total("2026-08-01T00:00:01Z"), 20);
        assert_eq!(total("2026-09-15T00:00:00Z"), 30);
        assert_eq!(total("2030-01-01T00:00:00Z"), 30, "it expired with September");
    }
}
