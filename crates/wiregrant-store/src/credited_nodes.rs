//! What closing an epoch needs to know of all nodes at once, in a fixed number of questions whatever came before.

use sqlx::QueryBuilder;
use wiregrant_core::{Bytes, GrantId, LocationId, NodeId, OperatorId, Timestamp};

use crate::codes::{Given, total_bytes};
use crate::column::{bigint, row};
use crate::session::db;
use crate::{AssignedDevices, Read, StoreError, Write};

/// Rows of one insert: ten values each, below what both databases take in one statement.
const ROWS_PER_INSERT: usize = 500;

row! {
    /// A stay of a node in a grant, with what a statement says of the node.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ClosingMember {
        /// The node.
        pub node: NodeId,
        /// Whose it is.
        pub operator: OperatorId,
        /// Where it stands.
        pub location: LocationId,
        /// Where clients reach it.
        pub endpoint: String,
        /// The first epoch it takes part in.
        pub first_epoch: u64,
        /// The first epoch it no longer takes part in.
        pub end_epoch: Option<u64>,
        /// Its first report labelled with the grant from the first epoch on.
        pub first_labelled: Option<u64>,
    }
}

row! {
    /// A report that closes an epoch, or one that its bytes are counted from.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ClosingReport {
        /// The node.
        pub node: NodeId,
        /// Its number.
        pub sequence: u64,
        /// The epoch it is labelled with.
        pub epoch_number: Option<u64>,
        /// The signed note.
        pub note: String,
    }
}

row! {
    /// What the newest statement that names a node says of it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Standing {
        /// The node.
        pub node: NodeId,
        /// The epoch of that statement.
        pub epoch: u64,
        /// The report from which its bytes are counted next.
        pub sequence: u64,
        /// The epoch that report is labelled with; 0 without one.
        pub label: u64,
        /// People counted for that epoch, while they are withheld.
        pub label_peers: u64,
        /// Bytes carried.
        pub carried: Bytes,
        /// People behind what is withheld.
        pub peers: u64,
        /// Its number was withheld.
        pub withheld: bool,
        /// Bytes of assigned codes that were eligible in all statements of the grant.
        pub eligible_assigned: Bytes,
    }
}

row! {
    /// Bytes of a node.
    struct NodeBytes {
        node: NodeId,
        bytes: Bytes,
    }
}

row! {
    /// Devices of one amount and period on a node.
    struct GivenOnNode {
        node: NodeId,
        amount: Bytes,
        period: wiregrant_core::allotment::Period,
        since: Timestamp,
        until: Timestamp,
        times: u64,
    }
}

impl Read {
    /// Every stay that began by an epoch, by node and first epoch.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn closing_members(
        &mut self,
        grant: &GrantId,
        epoch: u64,
    ) -> Result<Vec<ClosingMember>, StoreError> {
        let epoch = bigint("epoch", epoch)?;
        Ok(db!(self, connection => sqlx::query_as(
            "select m.node, n.operator, n.location, n.endpoint, m.first_epoch, m.end_epoch,
                    (select r.sequence
                       from reports r
                      where r.node = m.node
                        and r.epoch_grant = m.grant_id
                        and r.epoch_number >= m.first_epoch
                      order by r.epoch_number, r.sequence
                      limit 1) as first_labelled
               from memberships m
               join nodes n
                 on n.node = m.node
              where m.grant_id = $1
                and m.first_epoch <= $2
              order by m.node, m.first_epoch",
        )
        .bind(grant.as_str())
        .bind(epoch)
        .fetch_all(connection)
        .await)?)
    }

    /// Each node's closing report: its highest sequence labelled with the epoch or an earlier one of the grant whose entry
    /// lies below `log_size`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn closing_reports(
        &mut self,
        grant: &GrantId,
        epoch: u64,
        log_size: u64,
    ) -> Result<Vec<ClosingReport>, StoreError> {
        let (epoch, log_size) = (bigint("epoch", epoch)?, bigint("log size", log_size)?);
        Ok(db!(self, connection => sqlx::query_as(
            "select r.node, r.sequence, r.epoch_number, r.note
               from (select distinct node
                       from memberships
                      where grant_id = $1
                        and first_epoch <= $2) as m
               join reports r
                 on r.node = m.node
                and r.sequence = (select c.sequence
                                    from reports c
                                   where c.node = m.node
                                     and c.epoch_grant = $1
                                     and c.epoch_number <= $2
                                     and c.log_index < $3
                                   order by c.epoch_number desc, c.sequence desc
                                   limit 1)",
        )
        .bind(grant.as_str())
        .bind(epoch)
        .bind(log_size)
        .fetch_all(connection)
        .await)?)
    }

    /// The reports from which the nodes of a grant are counted next, as their standings say.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn standing_reports(&mut self, grant: &GrantId) -> Result<Vec<ClosingReport>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select r.node, r.sequence, r.epoch_number, r.note
               from node_standings s
               join reports r
                 on r.node = s.node
                and r.sequence = s.sequence
              where s.grant_id = $1",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// The standings of a grant, by node.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn standings(&mut self, grant: &GrantId) -> Result<Vec<Standing>, StoreError> {
        Ok(db!(self, connection => sqlx::query_as(
            "select node, epoch, sequence, label, label_peers, carried, peers, withheld, eligible_assigned
               from node_standings
              where grant_id = $1
              order by node",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?)
    }

    /// What the nodes of a grant have used of their devices' allotments, in any grant: it is used only once.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn used_allotments(&mut self, grant: &GrantId) -> Result<Vec<(NodeId, Bytes)>, StoreError> {
        let rows: Vec<NodeBytes> = db!(self, connection => sqlx::query_as(
            "select s.node, cast(sum(s.eligible_assigned) as bigint) as bytes
               from node_standings s
              where s.node in (select node from memberships where grant_id = $1)
              group by s.node",
        )
        .bind(grant.as_str())
        .fetch_all(connection)
        .await)?;
        Ok(rows.into_iter().map(|row| (row.node, row.bytes)).collect())
    }

    /// The assigned devices that were placed on the nodes of a grant before a moment, removed ones included; nodes without
    /// any are left out.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn assigned_devices_of_grant(
        &mut self,
        grant: &GrantId,
        before: Timestamp,
    ) -> Result<Vec<(NodeId, AssignedDevices)>, StoreError> {
        let rows: Vec<GivenOnNode> = db!(self, connection => sqlx::query_as(
            "select node, allotment as amount, period, since, until, count(*) as times
               from (select node, allotment, period,
                            case period when 'month' then placed_at else 0 end as since,
                            case period when 'month' then expires else 0 end as until
                       from devices
                      where node in (select node from memberships where grant_id = $1)
                        and class = 'assigned'
                        and placed_at < $2) as placed
              group by node, allotment, period, since, until
              order by node",
        )
        .bind(grant.as_str())
        .bind(before.unix_seconds())
        .fetch_all(connection)
        .await)?;
        let same = |a: &GivenOnNode, b: &GivenOnNode| a.node == b.node;
        let of_node = |rows: &[GivenOnNode]| {
            let given = |row: &GivenOnNode| Given {
                amount: row.amount,
                period: row.period,
                since: row.since,
                until: row.until,
                times: row.times,
            };
            let given: Vec<Given> = rows.iter().map(given).collect();
            let devices = given.iter().map(|given| given.times).sum();
            let assigned = AssignedDevices { devices, allotment: total_bytes(&given, before) };
            rows.first().map(|row| (row.node.clone(), assigned))
        };
        Ok(rows.chunk_by(same).filter_map(of_node).collect())
    }
}

impl Write {
    /// Keeps what a statement says of its nodes; what an earlier one said is overwritten.
    ///
    /// # Errors
    /// [`StoreError::UnknownReference`] for an unknown grant or node.
    pub async fn put_standings(&mut self, grant: &GrantId, standings: &[Standing]) -> Result<(), StoreError> {
        for rows in standings.chunks(ROWS_PER_INSERT) {
            let rows: Vec<_> = rows.iter().map(numbers).collect::<Result<_, _>>()?;
            db!(self, connection, Driver => {
                let mut insert = QueryBuilder::<Driver>::new(
                    "insert into node_standings (grant_id, node, epoch, sequence, label, label_peers, carried, peers, \
                     withheld, eligible_assigned) ",
                );
                insert.push_values(&rows, |mut row, (standing, [epoch, sequence, label, label_peers, peers])| {
                    row.push_bind(grant.as_str())
                        .push_bind(standing.node.as_str())
                        .push_bind(*epoch)
                        .push_bind(*sequence)
                        .push_bind(*label)
                        .push_bind(*label_peers)
                        .push_bind(standing.carried.as_i64())
                        .push_bind(*peers)
                        .push_bind(standing.withheld)
                        .push_bind(standing.eligible_assigned.as_i64());
                });
                insert.push(
                    " on conflict (grant_id, node) do update \
                         set epoch = excluded.epoch, sequence = excluded.sequence, label = excluded.label, \
                             label_peers = excluded.label_peers, carried = excluded.carried, peers = excluded.peers, \
                             withheld = excluded.withheld, eligible_assigned = excluded.eligible_assigned",
                );
                insert.build().persistent(false).execute(connection).await.map(drop)
            })?;
        }
        Ok(())
    }
}

fn numbers(standing: &Standing) -> Result<(&Standing, [i64; 5]), StoreError> {
    let numbers = [
        bigint("epoch", standing.epoch)?,
        bigint("sequence", standing.sequence)?,
        bigint("label", standing.label)?,
        bigint("people", standing.label_peers)?,
        bigint("people", standing.peers)?,
    ];
    Ok((standing, numbers))
}
