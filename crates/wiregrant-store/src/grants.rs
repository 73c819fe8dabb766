//! Grants: their terms, the sats contributed to them, and the nodes admitted.

use transparency_log::Hash;
use wiregrant_core::{GrantId, NodeId, Sats, Timestamp};

use crate::column::{bigint, row};
use crate::session::db;
use crate::{Read, StoreError, Write};

row! {
    /// A grant.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Grant {
        /// The id.
        pub grant_id: GrantId,
        /// For people.
        pub title: String,
        /// The signed `wiregrant/terms/v1` note.
        pub terms_note: String,
        /// Its hash.
        pub terms_hash: Hash,
        /// Since when.
        pub created_at: Timestamp,
    }
}

row! {
    /// A node's part in a grant.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Membership {
        /// The grant.
        pub grant_id: GrantId,
        /// The node.
        pub node: NodeId,
        /// The first epoch it takes part in.
        pub first_epoch: u64,
        /// The first epoch it no longer takes part in; it may equal the first, and then it never did.
        pub end_epoch: Option<u64>,
        /// When it was admitted.
        pub admitted_at: Timestamp,
    }
}

impl Read {
    /// One grant.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn grant(&mut self, grant: &GrantId) -> Result<Option<Grant>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select grant_id, title, terms_note, terms_hash, created_at
               from grants
              where grant_id = $1",
        )
        .bind(grant.as_str())
        .fetch_optional(connection)
        .await)?)
    }

    /// All grants, by id.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn grants(&mut self) -> Result<Vec<Grant>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select grant_id, title, terms_note, terms_hash, created_at
               from grants
              order by grant_id",
        )
        .fetch_all(connection)
        .await)?)
    }

    /// Sats contributed to the grant: before a moment, or so far.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn contributed(
        &mut self,
        grant: &GrantId,
        before: Option<Timestamp>,
    ) -> Result<Sats, StoreError> {
        // A sum of BIGINT is NUMERIC on PostgreSQL. It fits: no contribution takes a grant above all sats there are.
        let sats: i64 = db!(self, connection => sqlx::query_scalar(
            "select cast(coalesce(sum(sats), 0) as bigint)
               from contributions
              where grant_id = $1
                and ($2 is null or contributed_at < $2)",
        )
        .bind(grant.as_str())
        .bind(before.map(Timestamp::unix_seconds))
        .fetch_one(connection)
        .await)?;
        Sats::try_from(sats).map_err(|error| StoreError::corrupt("contributions", error))
    }

    /// The nodes of a grant, those that left included, by node and epoch.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn memberships_of_grant(&mut self, grant: &GrantId) -> Result<Vec<Membership>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select grant_id, node, first_epoch, end_epoch, admitted_at
               from memberships
              where grant_id = $1
              order by node, first_epoch",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// The grants of a node, newest first: the open membership, if there is one, then those that ended or will end.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn memberships_of_node(&mut self, node: &NodeId) -> Result<Vec<Membership>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select grant_id, node, first_epoch, end_epoch, admitted_at
               from memberships
              where node = $1
              order by case when end_epoch is null then 0 else 1 end, admitted_at desc, first_epoch desc",
        )
        .bind(node.as_str())
        .fetch_all(connection)
        .await)?)
    }
}

impl Write {
    /// Keeps a new grant.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    pub async fn insert_grant(&mut self, grant: &Grant) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into grants (grant_id, title, terms_note, terms_hash, created_at)
             values ($1, $2, $3, $4, $5)",
        )
        .bind(grant.grant_id.as_str())
        .bind(grant.title.as_str())
        .bind(grant.terms_note.as_str())
        .bind(grant.terms_hash.0.as_slice())
        .bind(grant.created_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Adds sats to a grant.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] above all sats there are; [`StoreError::UnknownReference`] for an unknown grant.
    pub async fn insert_contribution(
        &mut self,
        grant: &GrantId,
        sats: Sats,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let before = self.contributed(grant, None).await?;
        before.plus(sats).map_err(|_| StoreError::TooLarge {
            what: "sats contributed to a grant",
            found: before.get().saturating_add(sats.get()),
            limit: Sats::MAX.get(),
        })?;
        db!(self, connection => sqlx::query(
            "insert into contributions (id, grant_id, sats, contributed_at)
             select coalesce(max(id), 0) + 1, $1, $2, $3
               from contributions",
        )
        .bind(grant.as_str())
        .bind(sats.as_i64())
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Admits a node to a grant, and moves the node's revision up.
    ///
    /// # Errors
    /// [`StoreError::Exists`] while it has a membership without an end; [`StoreError::UnknownReference`].
    pub async fn admit(
        &mut self,
        grant: &GrantId,
        node: &NodeId,
        first_epoch: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let first_epoch = bigint("epoch", first_epoch)?;
        // A membership that ended before it began is taken up again.
        let admitted = db!(self, connection => sqlx::query(
            "insert into memberships (grant_id, node, first_epoch, admitted_at)
             values ($1, $2, $3, $4)
             on conflict (grant_id, node, first_epoch) do update
                set end_epoch = null, admitted_at = excluded.admitted_at
              where memberships.end_epoch is not null",
        )
        .bind(grant.as_str())
        .bind(node.as_str())
        .bind(first_epoch)
        .bind(now.unix_seconds())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        if admitted == 0 {
            return Err(StoreError::Exists { table: "memberships".to_owned(), columns: "node".to_owned() });
        }
        self.bump_revision(node).await.map(drop)
    }

    /// Ends a node's membership with the epoch before `end_epoch`, and moves the node's revision up.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it has none without an end in this grant; [`StoreError::Refused`] for an end
    /// before the beginning.
    pub async fn leave(&mut self, grant: &GrantId, node: &NodeId, end_epoch: u64) -> Result<(), StoreError> {
        let end_epoch = bigint("epoch", end_epoch)?;
        let left = db!(self, connection => sqlx::query(
            "update memberships
                set end_epoch = $3
              where grant_id = $1
                and node = $2
                and end_epoch is null",
        )
        .bind(grant.as_str())
        .bind(node.as_str())
        .bind(end_epoch)
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        if left == 0 {
            return Err(StoreError::NotFound { what: "membership", id: format!("of {node} in {grant}") });
        }
        self.bump_revision(node).await.map(drop)
    }
}
