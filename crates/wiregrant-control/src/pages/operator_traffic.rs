//! What an operator's nodes moved, all together or one of them: by hour for a week, by day for a year.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use wiregrant_core::{Bytes, NodeId, OperatorId, Timestamp};
use wiregrant_store::{Stretch, UsageOf};

use super::chart::{Chart, Column};
use super::frame::{self, Frame};
use super::{show, staff};
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Path, Query};
use crate::remembered::UsageAsked;
use crate::sign_in::Caller;

/// A week of hours.
const HOURS: i64 = 7 * 24;
/// A year of days.
const DAYS: i64 = 365;
const MONTHS_SHOWN: usize = 13;

/// A calendar month, summed from its days.
#[derive(Debug)]
struct Month {
    name: String,
    received: Bytes,
    sent: Bytes,
    creditable: Bytes,
}

/// `operator_traffic.html`.
#[derive(Debug, Template)]
#[template(path = "operator_traffic.html")]
pub struct OperatorTrafficPage {
    frame: Frame,
    operator: OperatorId,
    /// Of one node, where one was asked for.
    node: Option<NodeId>,
    nodes: Vec<NodeId>,
    hours: Chart,
    days: Chart,
    months: Vec<Month>,
    week: Bytes,
    year: Bytes,
}

/// `?node=`
#[derive(Deserialize)]
pub struct Of {
    node: Option<NodeId>,
}

impl OperatorTrafficPage {
    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let operator: OperatorId = "nordlicht".parse().expect(fixed);
        let end: Timestamp = "2026-07-06T12:00:00Z".parse().expect(fixed);
        let bytes = |n: i64| Bytes::new(n.unsigned_abs() * 1_000_000_000).expect(fixed);
        let used = |stretch: Stretch, count: i64| -> Vec<UsageOf> {
            let begin = |n: i64| {
                let seconds = stretch.begin(end).unix_seconds() - (count - 1 - n) * stretch.seconds();
                Timestamp::from_unix_seconds(seconds).expect(fixed)
            };
            (0..count)
                .map(|n| UsageOf {
                    begin: begin(n),
                    received: bytes(1 + n % 24 / 3),
                    sent: bytes(6 + (n % 24) * 2),
                    creditable: bytes(5 + n % 24),
                })
                .collect()
        };
        let (hours, days) = (used(Stretch::Hour, HOURS), used(Stretch::Day, DAYS));
        Self {
            frame: staff::operators_frame("Free <networks>", &operator, "Traffic"),
            operator,
            node: None,
            nodes: vec!["node-3kq8".parse().expect(fixed), "node-7x2m".parse().expect(fixed)],
            week: total(&hours),
            year: total(&days),
            hours: chart(&hours, Stretch::Hour, end, HOURS),
            months: months(&days),
            days: chart(&days, Stretch::Day, end, DAYS),
        }
    }
}

/// `GET /operators/{operator}/traffic`
///
/// # Errors
/// `forbidden`, `not-found`, `invalid-request`.
pub async fn show(
    State(plane): State<Shared>,
    caller: Caller,
    Path(operator): Path<OperatorId>,
    Query(Of { node }): Query<Of>,
) -> Answer<Response> {
    caller.acts_for(&operator)?;
    let now = plane.clock.now();
    let mut read = plane.store.read().await?;
    if read.operator(&operator).await?.is_none() {
        return Err(Failure::not_found("operator", &operator));
    }
    let nodes = read.node_overviews(Some(&operator), now).await?;
    let reports = nodes.iter().map(|node| node.sequence).fold(0, u64::saturating_add);
    let asked = |(stretch, count)| asked(&operator, node.as_ref(), (stretch, count), reports, now);
    let hours = plane.remembered.usage(&mut read, asked((Stretch::Hour, HOURS))?).await?;
    let days = plane.remembered.usage(&mut read, asked((Stretch::Day, DAYS))?).await?;
    let page = OperatorTrafficPage {
        frame: staff::operators_frame(&plane.config.title, &operator, "Traffic"),
        nodes: nodes.into_iter().map(|node| node.node).collect(),
        operator,
        node,
        week: total(&hours),
        year: total(&days),
        hours: chart(&hours, Stretch::Hour, now, HOURS),
        months: months(&days),
        days: chart(&days, Stretch::Day, now, DAYS),
    };
    frame::page(StatusCode::OK, &page)
}

fn asked(
    operator: &OperatorId,
    node: Option<&NodeId>,
    (stretch, count): (Stretch, i64),
    reports: u64,
    now: Timestamp,
) -> Answer<UsageAsked> {
    let end = stretch.begin(now).unix_seconds() + stretch.seconds();
    let begin = Timestamp::from_unix_seconds((end - count * stretch.seconds()).max(0))?;
    let (operator, node) = (operator.clone(), node.cloned());
    Ok(UsageAsked { operator, node, stretch, begin, end: Timestamp::from_unix_seconds(end)?, reports })
}

/// A column for each stretch, those in which nothing was reported included.
fn chart(used: &[UsageOf], stretch: Stretch, now: Timestamp, count: i64) -> Chart {
    let found: BTreeMap<i64, &UsageOf> = used.iter().map(|used| (used.begin.unix_seconds(), used)).collect();
    let last = stretch.begin(now).unix_seconds();
    let columns: Vec<Column> = (0..count)
        .rev()
        .map(|ago| last - ago * stretch.seconds())
        .map(|begin| {
            let used = found.get(&begin);
            let values =
                vec![used.map_or(0, |used| used.sent.get()), used.map_or(0, |used| used.received.get())];
            let day =
                Timestamp::from_unix_seconds(begin.max(0)).map(|begin| begin.to_string()).unwrap_or_default();
            Column { name: day.get(..10).unwrap_or_default().to_owned(), values }
        })
        .collect();
    let series = ["to people".to_owned(), "from people".to_owned()];
    Chart::stacked(&series, &columns, show::round_gigabytes)
}

fn total(used: &[UsageOf]) -> Bytes {
    let bytes = used.iter().map(|used| used.received.get().saturating_add(used.sent.get()));
    Bytes::new(bytes.fold(0, u64::saturating_add)).unwrap_or(Bytes::MAX)
}

/// Calendar months of UTC, the newest first.
fn months(days: &[UsageOf]) -> Vec<Month> {
    let mut months: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for day in days {
        let name = day.begin.to_string().get(..7).unwrap_or_default().to_owned();
        let sums = months.entry(name).or_default();
        for (sum, bytes) in sums.iter_mut().zip([day.received, day.sent, day.creditable]) {
            *sum = sum.saturating_add(bytes.get());
        }
    }
    let bytes = |sum| Bytes::new(sum).unwrap_or(Bytes::MAX);
    let months = months.into_iter().rev().take(MONTHS_SHOWN);
    months
        .map(|(name, [received, sent, creditable])| Month {
            name,
            received: bytes(received),
            sent: bytes(sent),
            creditable: bytes(creditable),
        })
        .collect()
}
