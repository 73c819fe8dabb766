//! Usage by hour and by day: what operators' charts are drawn from. It follows from the reports, and nothing is paid by it.

use wiregrant_core::usage_report::Usage;
use wiregrant_core::{Bytes, NodeId, OperatorId, Timestamp};

use crate::column::row;
use crate::many_rows::{ManyRows, Values};
use crate::session::db;
use crate::{Read, StoreError, Write};

/// Seconds of an hour.
const HOUR_SECONDS: i64 = 3_600;
/// Seconds of a day, in UTC without leap seconds, as Unix counts.
const DAY_SECONDS: i64 = 86_400;

/// How long a stretch one sum is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stretch {
    /// An hour of UTC.
    Hour,
    /// A day of UTC.
    Day,
}

impl Stretch {
    /// How long it is.
    #[must_use]
    pub fn seconds(self) -> i64 {
        match self {
            Self::Hour => HOUR_SECONDS,
            Self::Day => DAY_SECONDS,
        }
    }

    /// When the stretch began that holds `moment`.
    #[must_use]
    pub fn begin(self, moment: Timestamp) -> Timestamp {
        let seconds = moment.unix_seconds();
        let begin = seconds - seconds.rem_euclid(self.seconds());
        Timestamp::from_unix_seconds(begin).unwrap_or(moment)
    }
}

/// What a node moved more within a stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageAdded {
    /// Whose.
    pub node: NodeId,
    /// When the stretch began.
    pub begin: Timestamp,
    /// How much more.
    pub usage: Usage,
}

row! {
    /// What moved within a stretch.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct UsageOf {
        /// When the stretch began.
        pub begin: Timestamp,
        /// Bytes that nodes received from peers.
        pub received: Bytes,
        /// Bytes that nodes sent to peers.
        pub sent: Bytes,
        /// What of both may count for money.
        pub creditable: Bytes,
    }
}

row! {
    /// What one node moved within a stretch of any length.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct UsageOfNode {
        /// Which.
        pub node: NodeId,
        /// Bytes that it received from peers.
        pub received: Bytes,
        /// Bytes that it sent to peers.
        pub sent: Bytes,
    }
}

impl Read {
    /// What each node of an operator moved from `begin` on and before `end`, summed from stretches of this kind, by node; who moved
    /// nothing is left out.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn usage_of_nodes(
        &mut self,
        operator: &OperatorId,
        stretch: Stretch,
        (begin, end): (Timestamp, Timestamp),
    ) -> Result<Vec<UsageOfNode>, StoreError> {
        // SQLite takes the tables of a cross join in their order: each node's stretches are sought, instead of all being looked through.
        let query = match stretch {
            Stretch::Hour => {
                "select n.node,
                        cast(sum(u.received) as bigint)  as received,
                        cast(sum(u.sent) as bigint)      as sent
                   from nodes n
                  cross join usage_hours u
                  where n.operator = $1
                    and u.node = n.node
                    and u.hour >= $2
                    and u.hour < $3
                  group by n.node
                  order by n.node"
            }
            Stretch::Day => {
                "select n.node,
                        cast(sum(u.received) as bigint)  as received,
                        cast(sum(u.sent) as bigint)      as sent
                   from nodes n
                  cross join usage_days u
                  where n.operator = $1
                    and u.node = n.node
                    and u.day >= $2
                    and u.day < $3
                  group by n.node
                  order by n.node"
            }
        };
        Ok(db!(self, connection => sqlx::query_as(query)
            .bind(operator.as_str())
            .bind(begin.unix_seconds())
            .bind(end.unix_seconds())
            .fetch_all(connection)
            .await)?)
    }

    /// What an operator's nodes moved, or one of them, summed by stretch, from `begin` on and before `end`; stretches in
    /// which no report ended are left out. Sums beyond 2^63-1 are an error of the database.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn usage(
        &mut self,
        operator: &OperatorId,
        node: Option<&NodeId>,
        stretch: Stretch,
        (begin, end): (Timestamp, Timestamp),
    ) -> Result<Vec<UsageOf>, StoreError> {
        let query = match stretch {
            Stretch::Hour => {
                "select u.hour                             as begin,
                        cast(sum(u.received) as bigint)    as received,
                        cast(sum(u.sent) as bigint)        as sent,
                        cast(sum(u.creditable) as bigint)  as creditable
                   from usage_hours u
                   join nodes n
                     on n.node = u.node
                  where n.operator = $1
                    and ($2 is null or n.node = $2)
                    and u.hour >= $3
                    and u.hour < $4
                  group by u.hour
                  order by u.hour"
            }
            Stretch::Day => {
                "select u.day                              as begin,
                        cast(sum(u.received) as bigint)    as received,
                        cast(sum(u.sent) as bigint)        as sent,
                        cast(sum(u.creditable) as bigint)  as creditable
                   from usage_days u
                   join nodes n
                     on n.node = u.node
                  where n.operator = $1
                    and ($2 is null or n.node = $2)
                    and u.day >= $3
                    and u.day < $4
                  group by u.day
                  order by u.day"
            }
        };
        Ok(db!(self, connection => sqlx::query_as(query)
            .bind(operator.as_str())
            .bind(node.map(NodeId::as_str))
            .bind(begin.unix_seconds())
            .bind(end.unix_seconds())
            .fetch_all(connection)
            .await)?)
    }
}

impl Write {
    /// Adds to what nodes moved within stretches; a node and a stretch occur once in `added`.
    ///
    /// # Errors
    /// [`StoreError::UnknownReference`] for an unknown node; [`StoreError::Refused`] for a beginning of no stretch.
    pub async fn add_usage(&mut self, stretch: Stretch, added: &[UsageAdded]) -> Result<(), StoreError> {
        let (insert, on_conflict) = match stretch {
            Stretch::Hour => (
                "insert into usage_hours (node, hour, received, sent, creditable)",
                " on conflict (node, hour) do update
                     set received   = usage_hours.received + excluded.received,
                         sent       = usage_hours.sent + excluded.sent,
                         creditable = usage_hours.creditable + excluded.creditable",
            ),
            Stretch::Day => (
                "insert into usage_days (node, day, received, sent, creditable)",
                " on conflict (node, day) do update
                     set received   = usage_days.received + excluded.received,
                         sent       = usage_days.sent + excluded.sent,
                         creditable = usage_days.creditable + excluded.creditable",
            ),
        };
        let number = |of: fn(&UsageAdded) -> i64| Values::Number(added.iter().map(of).collect());
        let columns = vec![
            Values::Text(added.iter().map(|added| added.node.as_str()).collect()),
            number(|added| added.begin.unix_seconds()),
            number(|added| added.usage.received.as_i64()),
            number(|added| added.usage.sent.as_i64()),
            number(|added| added.usage.creditable.as_i64()),
        ];
        ManyRows { insert, columns, on_conflict }.insert(&mut self.transaction).await
    }

    /// Forgets what was summed by hour before `end`; days are kept.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn forget_usage_by_hour(&mut self, end: Timestamp) -> Result<u64, StoreError> {
        Ok(db!(self, connection => sqlx::query(
            "delete from usage_hours
              where hour < $1",
        )
        .bind(end.unix_seconds())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?)
    }
}
