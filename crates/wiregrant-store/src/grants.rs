//! Grants: their terms, the sats contributed to them, and the nodes admitted.

use transparency_log::Hash;
use wiregrant_core::api::ApplicationState;
use wiregrant_core::{GrantId, NodeId, OperatorId, Sats, Timestamp};

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
        /// The newest signed `wiregrant/terms/v1` note.
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

row! {
    /// Sats for a grant.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Contribution {
        /// How many.
        pub sats: Sats,
        /// Since when.
        pub contributed_at: Timestamp,
    }
}

row! {
    /// One version of a grant's terms.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct TermsVersion {
        /// From 1, without a gap.
        pub version: u64,
        /// The first epoch in which they act, unless a later version acts there too.
        pub first_epoch: u64,
        /// The signed `wiregrant/terms/v1` note.
        pub note: String,
        /// Its hash.
        pub note_hash: Hash,
        /// Since when they stand in the record.
        pub logged_at: Timestamp,
    }
}

row! {
    /// A grant that is not open yet.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Draft {
        /// The id it will have.
        pub grant_id: GrantId,
        /// For people.
        pub title: String,
        /// Its terms, as JSON.
        pub terms: String,
        /// Since when.
        pub created_at: Timestamp,
    }
}

row! {
    /// An operator's application to a grant.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Application {
        /// The grant.
        pub grant_id: GrantId,
        /// Who applied.
        pub operator: OperatorId,
        /// Where it stands.
        pub state: ApplicationState,
        /// Since when.
        pub applied_at: Timestamp,
        /// When it was decided.
        pub decided_at: Option<Timestamp>,
    }
}

impl Read {
    /// Every version of a grant's terms, the first one first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn terms_versions(&mut self, grant: &GrantId) -> Result<Vec<TermsVersion>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select version, first_epoch, note, note_hash, logged_at
               from grant_terms
              where grant_id = $1
              order by version",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// The draft of this id.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn draft(&mut self, grant: &GrantId) -> Result<Option<Draft>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select grant_id, title, terms, created_at
               from grant_drafts
              where grant_id = $1",
        )
        .bind(grant.as_str())
        .fetch_optional(connection)
        .await)?)
    }

    /// All drafts, by id.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn drafts(&mut self) -> Result<Vec<Draft>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select grant_id, title, terms, created_at
               from grant_drafts
              order by grant_id",
        )
        .fetch_all(connection)
        .await)?)
    }

    /// The operators who applied to a grant, by id.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn applications(&mut self, grant: &GrantId) -> Result<Vec<Application>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select grant_id, operator, state, applied_at, decided_at
               from grant_operators
              where grant_id = $1
              order by operator",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// All contributions of a grant, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn contributions(&mut self, grant: &GrantId) -> Result<Vec<Contribution>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select sats, contributed_at
               from contributions
              where grant_id = $1
              order by id",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// One grant.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn grant(&mut self, grant: &GrantId) -> Result<Option<Grant>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select g.grant_id, g.title, t.note as terms_note, t.note_hash as terms_hash, g.created_at
               from grants g
               join grant_terms t
                 on t.grant_id = g.grant_id
                and t.version = (select max(version) from grant_terms where grant_id = g.grant_id)
              where g.grant_id = $1",
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
            "select g.grant_id, g.title, t.note as terms_note, t.note_hash as terms_hash, g.created_at
               from grants g
               join grant_terms t
                 on t.grant_id = g.grant_id
                and t.version = (select max(version) from grant_terms where grant_id = g.grant_id)
              order by g.grant_id",
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
            "insert into grants (grant_id, title, created_at)
             values ($1, $2, $3)",
        )
        .bind(grant.grant_id.as_str())
        .bind(grant.title.as_str())
        .bind(grant.created_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        let terms = TermsVersion {
            version: 1,
            first_epoch: 1,
            note: grant.terms_note.clone(),
            note_hash: grant.terms_hash,
            logged_at: grant.created_at,
        };
        self.insert_terms(&grant.grant_id, &terms).await
    }

    /// Keeps terms that follow those that are there.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for a version that is there; [`StoreError::UnknownReference`] for an unknown grant.
    pub async fn insert_terms(&mut self, grant: &GrantId, terms: &TermsVersion) -> Result<(), StoreError> {
        let (version, first_epoch) = (bigint("version", terms.version)?, bigint("epoch", terms.first_epoch)?);
        db!(self, connection => sqlx::query(
            "insert into grant_terms (grant_id, version, first_epoch, note, note_hash, logged_at)
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(grant.as_str())
        .bind(version)
        .bind(first_epoch)
        .bind(terms.note.as_str())
        .bind(terms.note_hash.0.as_slice())
        .bind(terms.logged_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Keeps a draft, or changes it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_draft(&mut self, draft: &Draft) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into grant_drafts (grant_id, title, terms, created_at)
             values ($1, $2, $3, $4)
             on conflict (grant_id) do update
                set title = excluded.title, terms = excluded.terms",
        )
        .bind(draft.grant_id.as_str())
        .bind(draft.title.as_str())
        .bind(draft.terms.as_str())
        .bind(draft.created_at.unix_seconds())
        .execute(connection)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Throws a draft away; whether there was one.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn delete_draft(&mut self, grant: &GrantId) -> Result<bool, StoreError> {
        let gone = db!(self, connection => sqlx::query(
            "delete from grant_drafts
              where grant_id = $1",
        )
        .bind(grant.as_str())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(gone > 0)
    }

    /// Keeps where an operator's application to a grant stands.
    ///
    /// # Errors
    /// [`StoreError::UnknownReference`] for an unknown grant or operator.
    pub async fn put_application(&mut self, application: &Application) -> Result<(), StoreError> {
        db!(self, connection => sqlx::query(
            "insert into grant_operators (grant_id, operator, state, applied_at, decided_at)
             values ($1, $2, $3, $4, $5)
             on conflict (grant_id, operator) do update
                set state = excluded.state, decided_at = excluded.decided_at",
        )
        .bind(application.grant_id.as_str())
        .bind(application.operator.as_str())
        .bind(application.state.as_str())
        .bind(application.applied_at.unix_seconds())
        .bind(application.decided_at.map(Timestamp::unix_seconds))
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
