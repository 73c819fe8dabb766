//! An operator's nodes: status in words, rate and budget, devices, what they moved.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use wiregrant_core::api::ProblemKind;
use wiregrant_core::note::Signed;
use wiregrant_core::usage_report::UsageReport;
use wiregrant_core::{Bytes, Month, NodeId, OperatorId, Timestamp};
use wiregrant_store::{Read, Stretch, UsageOfNode};

use super::frame::{self, Frame};
use super::staff::Status;
use super::{show, staff};
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::Path;
use crate::sign_in::Caller;

/// A day of hours.
const DAY_SECONDS: i64 = 86_400;
const GB: u64 = 1_000_000_000;

/// Bytes to people and from people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Moved {
    to: Bytes,
    from: Bytes,
}

/// A node, as its operator sees it.
#[derive(Debug)]
struct Node {
    id: String,
    place: String,
    status: Status,
    devices: u64,
    /// In the last 24 whole hours.
    day: Moved,
    /// What it gives at most each way, in megabits a second.
    limit: Option<u64>,
    /// In this calendar month.
    month: Bytes,
    /// What it gives at most in one.
    budget: Option<Bytes>,
    moved: Bytes,
    reported_until: Option<Timestamp>,
    endpoint: String,
    socks5_endpoint: Option<String>,
    agent: String,
}

/// `operator_nodes.html`.
#[derive(Debug, Template)]
#[template(path = "operator_nodes.html")]
pub struct OperatorNodesPage {
    frame: Frame,
    operator: OperatorId,
    nodes: Vec<Node>,
}

impl Moved {
    fn total(self) -> Bytes {
        sum([self.to, self.from])
    }
}

impl Node {
    /// How fast it was on average over the day, in megabits a second: to people, and from them.
    fn rates(&self) -> (String, String) {
        let rate = |bytes| show::megabits_per_second(bytes, DAY_SECONDS.unsigned_abs());
        (rate(self.day.to), rate(self.day.from))
    }
}

impl OperatorNodesPage {
    fn serving(&self) -> usize {
        self.nodes.iter().filter(|node| node.status.0 == "good").count()
    }

    fn devices(&self) -> u64 {
        self.nodes.iter().map(|node| node.devices).fold(0, u64::saturating_add)
    }

    fn day(&self) -> Bytes {
        sum(self.nodes.iter().map(|node| node.day.total()))
    }

    fn month(&self) -> Bytes {
        sum(self.nodes.iter().map(|node| node.month))
    }

    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let operator: OperatorId = "nordlicht".parse().expect(fixed);
        let bytes = |n| Bytes::new(n).expect(fixed);
        let node = |id: &str, place: &str, status: (&'static str, &str), devices, gigabytes: u64| Node {
            id: id.to_owned(),
            place: place.to_owned(),
            status: (status.0, status.1.to_owned()),
            devices,
            day: Moved { to: bytes(gigabytes * GB / 120), from: bytes(gigabytes * GB / 700) },
            limit: (devices > 100).then_some(500),
            month: bytes(gigabytes * GB / 40),
            budget: (devices > 0).then(|| bytes(20_000 * GB)),
            moved: bytes(gigabytes * GB),
            reported_until: (gigabytes > 0).then(|| "2026-07-06T12:00:00Z".parse().expect(fixed)),
            endpoint: "198.51.100.7:51820".to_owned(),
            socks5_endpoint: (devices > 100).then(|| "198.51.100.7:1080".to_owned()),
            agent: "0.1.0 kernel".to_owned(),
        };
        Self {
            frame: staff::operators_frame("Free <networks>", &operator, "Nodes"),
            operator,
            nodes: vec![
                node("node-3kq8", "Frankfurt, Germany", ("good", "Serving"), 412, 81_234),
                node("node-7x2m", "Reykjavík <Iceland>", ("warn", "Silent for 3 h"), 87, 9_120),
                node(
                    "node-9d4w",
                    "Amsterdam, Netherlands",
                    ("idle", "Enrolled, its agent has not started yet"),
                    0,
                    0,
                ),
            ],
        }
    }
}

/// `GET /operator`: one's own pages.
///
/// # Errors
/// `forbidden` for whoever is no operator.
pub async fn own(caller: Caller) -> Answer<Redirect> {
    match caller {
        Caller::Operator(operator) => Ok(Redirect::to(&format!("/operators/{operator}"))),
        Caller::Administrator => Ok(Redirect::to("/admin")),
        _ => Err(Failure::new(ProblemKind::Forbidden, "these pages are for operators")),
    }
}

/// `GET /operators/{operator}`
///
/// # Errors
/// `forbidden`, `not-found`.
pub async fn show(
    State(plane): State<Shared>,
    caller: Caller,
    Path(operator): Path<OperatorId>,
) -> Answer<Response> {
    caller.acts_for(&operator)?;
    let now = plane.clock.now();
    let mut read = plane.store.read().await?;
    if read.operator(&operator).await?.is_none() {
        return Err(Failure::not_found("operator", &operator));
    }
    let places = read.locations().await?;
    let (days, months) = lately(&mut read, &operator, now).await?;
    let mut nodes = Vec::new();
    for row in read.node_overviews(Some(&operator), now).await? {
        let place = places.iter().find(|place| place.location == row.location);
        nodes.push(Node {
            place: place.map_or_else(|| row.location.to_string(), |place| place.name.clone()),
            status: staff::node_status(&row, now),
            devices: row.devices,
            day: days.get(&row.node).copied().unwrap_or_default(),
            limit: row.megabits_per_second,
            month: months.get(&row.node).copied().unwrap_or_default().total(),
            budget: row
                .gigabytes_per_month
                .map(|limit| Bytes::new(limit.saturating_mul(GB)).unwrap_or(Bytes::MAX)),
            moved: moved(row.head_note.as_deref())?,
            reported_until: row.reported_until,
            agent: format!("{} {}", row.agent, row.backend),
            id: row.node.to_string(),
            endpoint: row.endpoint,
            socks5_endpoint: row.socks5_endpoint,
        });
    }
    let frame = staff::operators_frame(&plane.config.title, &operator, "Nodes");
    frame::page(StatusCode::OK, &OperatorNodesPage { frame, operator, nodes })
}

/// What an operator's nodes moved in the last 24 whole hours, and in this month, as far as they have reported it.
async fn lately(
    read: &mut Read,
    operator: &OperatorId,
    now: Timestamp,
) -> Answer<(BTreeMap<NodeId, Moved>, BTreeMap<NodeId, Moved>)> {
    let by_node = |rows: Vec<UsageOfNode>| {
        rows.into_iter().map(|row| (row.node, Moved { to: row.sent, from: row.received })).collect()
    };
    let hour = Stretch::Hour.begin(now);
    let day = Timestamp::from_unix_seconds((hour.unix_seconds() - DAY_SECONDS).max(0))?;
    let days = read.usage_of_nodes(operator, Stretch::Hour, (day, hour)).await?;
    let month = (Month::of(now).begin(), now.plus_seconds(1));
    let months = read.usage_of_nodes(operator, Stretch::Day, month).await?;
    Ok((by_node(days), by_node(months)))
}

fn sum(all: impl IntoIterator<Item = Bytes>) -> Bytes {
    let bytes = all.into_iter().map(Bytes::get).fold(0, u64::saturating_add);
    Bytes::new(bytes).unwrap_or(Bytes::MAX)
}

/// All bytes since the enrolment, as the last report tells them.
fn moved(head: Option<&str>) -> Answer<Bytes> {
    let Some(note) = head else { return Ok(Bytes::ZERO) };
    let report = Signed::<UsageReport>::parse(note).map_err(Failure::internal)?;
    let usage = report.content().usage.values();
    Ok(sum(usage.flat_map(|usage| [usage.received, usage.sent])))
}
