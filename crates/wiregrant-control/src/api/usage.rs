//! What operators' charts are drawn from.

use std::fmt;

use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use wiregrant_core::api::{PREFIX, UsageSum};
use wiregrant_core::{NodeId, OperatorId, Timestamp};
use wiregrant_store::Stretch;

use crate::answer::Listed;
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Page, Path, Query};
use crate::sign_in::Caller;

/// The most hours or days of one answer: ten years of days.
const MAX_STRETCHES: i64 = 3_660;
/// Days shown when nothing is said.
const DAYS: i64 = 365;
/// Hours shown when nothing is said.
const HOURS: i64 = 7 * 24;

/// How long a stretch each sum is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// A day of UTC.
    #[default]
    Day,
    /// An hour of UTC; hours are kept for 92 days.
    Hour,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "day",
            Self::Hour => "hour",
        })
    }
}

/// `?by=<day, hour>&from=<time>&until=<time>&node=<node>&limit=<things>&cursor=<from the link to the next page>`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    #[serde(default)]
    by: By,
    /// The first moment; by itself a year, or a week by hour, before the end.
    from: Option<Timestamp>,
    /// The moment before which it ends; by itself now.
    until: Option<Timestamp>,
    /// One node, or all of the operator.
    node: Option<NodeId>,
    /// How many at most.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<usize>,
    /// From the link to the next page; opaque.
    cursor: Option<String>,
}

/// `GET /operators/{operator}/usage`: stretches in which nothing was reported are left out.
///
/// # Errors
/// `forbidden`, `invalid-request`, `busy`, `internal`.
pub async fn show(
    State(plane): State<Shared>,
    caller: Caller,
    Path(operator): Path<OperatorId>,
    Query(asked): Query<Asked>,
) -> Answer<Listed<UsageSum>> {
    caller.acts_for(&operator)?;
    let page = Page::new(&format!("{PREFIX}/operators/{operator}/usage"), asked.limit, asked.cursor)?;
    let (stretch, shown) = match asked.by {
        By::Day => (Stretch::Day, DAYS),
        By::Hour => (Stretch::Hour, HOURS),
    };
    let until = asked.until.unwrap_or_else(|| plane.clock.now().plus_seconds(1));
    let from = match asked.from {
        Some(from) => stretch.begin(from),
        None => {
            let from = until.unix_seconds().saturating_sub(shown * stretch.seconds());
            Timestamp::from_unix_seconds(from).unwrap_or(until)
        }
    };
    let stretches = until.seconds_since(from) / stretch.seconds().unsigned_abs();
    if stretches > MAX_STRETCHES.unsigned_abs() {
        return Err(Failure::field(
            "from",
            from,
            &format!("at most {MAX_STRETCHES} hours or days before `until`"),
        ));
    }
    // The end of the first page holds for the others, however long it takes to get to them.
    let page = page.asked_for(&[
        ("by", Some(asked.by.to_string())),
        ("from", Some(from.to_string())),
        ("until", Some(until.to_string())),
        ("node", asked.node.as_ref().map(ToString::to_string)),
    ]);
    let sums =
        plane.store.read().await?.usage(&operator, asked.node.as_ref(), stretch, (from, until)).await?;
    let sum = |sum: wiregrant_store::UsageOf| UsageSum {
        begin: sum.begin,
        received: sum.received,
        sent: sum.sent,
        creditable: sum.creditable,
    };
    page.of(sums.into_iter().map(sum).collect(), |sum: &UsageSum| sum.begin.to_string())
}
