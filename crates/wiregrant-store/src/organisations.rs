//! Distributors, funders and auditors, and which grants are theirs to see.

use std::collections::BTreeMap;

use wiregrant_core::{AuditorId, Bytes, DistributorId, FunderId, GrantId, Timestamp};

use crate::column::{bigint, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

row! {
    /// A distributor and what they have issued.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct DistributorOverview {
        /// The id.
        pub distributor: DistributorId,
        /// Access codes issued.
        pub codes_issued: u64,
        /// How many they may issue in all.
        pub codes_budget: Option<u64>,
        /// Bytes that all of them together may use.
        pub bytes_budget: Option<Bytes>,
    }
}

row! {
    struct FunderOfGrant {
        funder: FunderId,
        grant_id: Option<GrantId>,
    }
}

row! {
    struct AuditorOfGrant {
        auditor: AuditorId,
        grant_id: Option<GrantId>,
    }
}

/// An organisation's id, and the grants that are its.
pub type WithGrants<Id> = BTreeMap<Id, Vec<GrantId>>;

fn grouped<Id: Ord>(rows: impl IntoIterator<Item = (Id, Option<GrantId>)>) -> WithGrants<Id> {
    let mut grouped = WithGrants::new();
    for (id, grant) in rows {
        grouped.entry(id).or_default().extend(grant);
    }
    grouped
}

impl Read {
    /// All distributors, by id.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn distributors(&mut self) -> Result<Vec<DistributorOverview>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select d.distributor, d.codes_budget, d.bytes_budget,
                    (select count(*)
                       from access_codes
                      where class = 'assigned'
                        and issuer = d.distributor) as codes_issued
               from distributors d
              order by d.distributor",
        )
        .fetch_all(connection)
        .await)?)
    }

    /// All funders with their grants.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn funders(&mut self) -> Result<WithGrants<FunderId>, StoreError> {
        let rows: Vec<FunderOfGrant> = db!(self, connection => sqlx::query_as(
            "select f.funder, g.grant_id
               from funders f
               left join funders_of_grants g on g.funder = f.funder
              order by f.funder, g.grant_id",
        )
        .fetch_all(connection)
        .await)?;
        Ok(grouped(rows.into_iter().map(|row| (row.funder, row.grant_id))))
    }

    /// All auditors with the grants that they may look behind.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn auditors(&mut self) -> Result<WithGrants<AuditorId>, StoreError> {
        let rows: Vec<AuditorOfGrant> = db!(self, connection => sqlx::query_as(
            "select a.auditor, g.grant_id
               from auditors a
               left join auditors_of_grants g on g.auditor = a.auditor
              order by a.auditor, g.grant_id",
        )
        .fetch_all(connection)
        .await)?;
        Ok(grouped(rows.into_iter().map(|row| (row.auditor, row.grant_id))))
    }

    /// Whether this funder put up this grant.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn funds(&mut self, funder: &FunderId, grant: &GrantId) -> Result<bool, StoreError> {
        let found: Option<i64> = db!(self, connection => sqlx::query_scalar(
            "select cast(1 as bigint)
               from funders_of_grants
              where grant_id = $1
                and funder = $2",
        )
        .bind(grant.as_str())
        .bind(funder.as_str())
        .fetch_optional(connection)
        .await)?;
        Ok(found.is_some())
    }

    /// Whether this auditor may look behind this grant.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn audits(&mut self, auditor: &AuditorId, grant: &GrantId) -> Result<bool, StoreError> {
        let found: Option<i64> = db!(self, connection => sqlx::query_scalar(
            "select cast(1 as bigint)
               from auditors_of_grants
              where grant_id = $1
                and auditor = $2",
        )
        .bind(grant.as_str())
        .bind(auditor.as_str())
        .fetch_optional(connection)
        .await)?;
        Ok(found.is_some())
    }
}

impl Write {
    /// Says what a distributor may issue in all. Whether there is one.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn set_budget(
        &mut self,
        distributor: &DistributorId,
        codes: Option<u64>,
        bytes: Option<Bytes>,
    ) -> Result<bool, StoreError> {
        let codes = codes.map(|codes| bigint("codes", codes)).transpose()?;
        let changed: u64 = db!(self, connection => sqlx::query(
            "update distributors
                set codes_budget = $2,
                    bytes_budget = $3
              where distributor = $1",
        )
        .bind(distributor.as_str())
        .bind(codes)
        .bind(bytes.map(Bytes::as_i64))
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(changed == 1)
    }

    /// Keeps a new distributor.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    pub async fn insert_distributor(
        &mut self,
        distributor: &DistributorId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into distributors (distributor, created_at)
             values ($1, $2)",
        )
        .bind(distributor.as_str())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Keeps a new funder with their grants.
    ///
    /// # Errors
    /// [`StoreError::Exists`], also for a grant named twice; [`StoreError::UnknownReference`].
    pub async fn insert_funder(
        &mut self,
        funder: &FunderId,
        grants: &[GrantId],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into funders (funder, created_at)
             values ($1, $2)",
        )
        .bind(funder.as_str())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        for grant in grants {
            db!(self, connection => sqlx::query(
                "insert into funders_of_grants (grant_id, funder)
                 values ($1, $2)",
            )
            .bind(grant.as_str())
            .bind(funder.as_str())
            .execute(connection)
            .await
            .map(drop))?;
        }
        Ok(())
    }

    /// Keeps a new auditor with the grants that they may look behind.
    ///
    /// # Errors
    /// [`StoreError::Exists`], also for a grant named twice; [`StoreError::UnknownReference`].
    pub async fn insert_auditor(
        &mut self,
        auditor: &AuditorId,
        grants: &[GrantId],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into auditors (auditor, created_at)
             values ($1, $2)",
        )
        .bind(auditor.as_str())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        for grant in grants {
            db!(self, connection => sqlx::query(
                "insert into auditors_of_grants (grant_id, auditor)
                 values ($1, $2)",
            )
            .bind(grant.as_str())
            .bind(auditor.as_str())
            .execute(connection)
            .await
            .map(drop))?;
        }
        Ok(())
    }
}
