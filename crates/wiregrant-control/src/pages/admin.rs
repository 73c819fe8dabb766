//! The administrator's view of everything: what needs a decision first, then all there is.

use std::sync::atomic::Ordering;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use wiregrant_core::api::{Freeze, Location, NodeState};
use wiregrant_core::{GrantId, NodeId, Timestamp};
use wiregrant_store::{self as store, DistributorOverview, FollowedBlock, Log, Read};

use super::frame::{self, Frame};
use super::sheet::{Field, Sheet, Typed};
use super::show;
use super::staff::{self, Link, Status};
use crate::api::{locations, nodes};
use crate::closing;
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Form, Json, Path};
use crate::membership;

/// A grant in a row.
#[derive(Debug)]
struct GrantRow {
    id: String,
    title: String,
    contributed: wiregrant_core::Sats,
    nodes: usize,
    closed: u64,
}

/// A node in a row.
#[derive(Debug)]
struct NodeRow {
    id: NodeId,
    operator: String,
    place: String,
    status: Status,
    devices: u64,
    frozen: bool,
    retired: bool,
}

/// An operator in a row.
#[derive(Debug)]
struct OperatorRow {
    id: String,
    nodes: usize,
    signed: bool,
    paid_at: bool,
}

/// A batch in a row.
#[derive(Debug)]
struct BatchRow {
    id: String,
    grant: String,
    decided: &'static str,
}

/// The epoch of a grant that is closed next.
#[derive(Debug)]
struct Job {
    grant: String,
    epoch: u64,
    at: Timestamp,
    status: Status,
}

/// How long after its time an epoch is closed at the latest, where nothing is wrong, in seconds.
const CLOSING_SECONDS: u64 = 300;

impl Job {
    fn of(grant: &GrantId, epoch: u64, at: Timestamp, now: Timestamp) -> Self {
        let late = now.seconds_since(at);
        let status = if at > now {
            ("idle", "waits for its time".to_owned())
        } else if late <= CLOSING_SECONDS {
            ("good", "is being closed".to_owned())
        } else {
            ("bad", format!("late by {}; the log of the control plane says why", staff::duration(late)))
        };
        Self { grant: grant.to_string(), epoch, at, status }
    }
}

/// How old the newest block may be, in seconds: eighteen are due in that time, and that none came is likelier a fault than chance.
const BLOCK_SECONDS: u64 = 3 * 3_600;

/// How the chain is followed: where, and how far.
fn chain(is_followed: bool, newest: Option<&FollowedBlock>, now: Timestamp) -> Status {
    let Some(block) = newest.filter(|_| is_followed) else {
        return match is_followed {
            true => ("warn", "no block was seen yet".to_owned()),
            false => ("idle", "not followed: payments are not seen by themselves".to_owned()),
        };
    };
    let age = now.unix_seconds().saturating_sub(i64::from(block.header_time));
    let age = u64::try_from(age).unwrap_or_default();
    let mark = if age > BLOCK_SECONDS { "warn" } else { "good" };
    (mark, format!("followed to block {}, {} old", show::grouped(block.height.into()), staff::duration(age)))
}

fn place_sheet() -> Sheet {
    Sheet::new(
        "place",
        vec![
            Field::line("location", "Id").hint("a-z, 0-9 and -, such as de-fra; it stays for good"),
            Field::line("name", "What people read").hint("such as Frankfurt, Germany"),
        ],
    )
}

/// `admin.html`.
#[derive(Debug, Template)]
#[template(path = "admin.html")]
pub struct AdminPage {
    frame: Frame,
    grants: Vec<GrantRow>,
    operators: Vec<OperatorRow>,
    nodes: Vec<NodeRow>,
    distributors: Vec<DistributorOverview>,
    batches: Vec<BatchRow>,
    jobs: Vec<Job>,
    /// The chain that payments are looked for in.
    chain: Status,
    places: Vec<store::Location>,
    place: Sheet,
    /// Whether this replica does the jobs.
    leads: bool,
    requests_answered: u64,
    requests_failed: u64,
    record_size: u64,
    reports_size: u64,
}

/// The navigation of the administrator's pages.
#[must_use]
pub fn links() -> Vec<Link> {
    let link = |href: &str, name| Link { href: href.to_owned(), name };
    vec![
        link("/admin", "Overview"),
        link("/admin/decisions", "Decisions"),
        link("/funder", "Approvals and batches"),
        link("/admin/grants", "Grants"),
        link("/admin/organisations", "Organisations"),
        link("/admin/codes", "Access codes"),
        link("/tokens", "Your people"),
    ]
}

impl AdminPage {
    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let node = |id: &str, status: (&'static str, &str), frozen| NodeRow {
            id: id.parse().expect(fixed),
            operator: "nordlicht".to_owned(),
            place: "Frankfurt <Germany>".to_owned(),
            status: (status.0, status.1.to_owned()),
            devices: 412,
            frozen,
            retired: false,
        };
        Self {
            frame: staff::frame("Free <networks>", links(), "Overview"),
            grants: vec![GrantRow {
                id: "spring".to_owned(),
                title: "Spring <2026>".to_owned(),
                contributed: wiregrant_core::Sats::new(41_600_000).expect(fixed),
                nodes: 11,
                closed: 52,
            }],
            operators: vec![
                OperatorRow { id: "nordlicht".to_owned(), nodes: 3, signed: true, paid_at: true },
                OperatorRow { id: "suedwind".to_owned(), nodes: 1, signed: false, paid_at: false },
            ],
            nodes: vec![
                node("node-3kq8", ("bad", "Frozen until the administrator decides"), true),
                node("node-7x2m", ("good", "Serving"), false),
            ],
            distributors: vec![DistributorOverview {
                distributor: "open-doors".parse().expect(fixed),
                codes_issued: 1_200,
                codes_budget: Some(5_000),
                bytes_budget: None,
            }],
            batches: vec![BatchRow { id: "batch-1".to_owned(), grant: "spring".to_owned(), decided: "paid" }],
            jobs: [("spring", "2027-01-13T00:00:00Z"), ("autumn", "2027-01-04T00:00:00Z")]
                .map(|(grant, at)| {
                    let now = "2027-01-04T03:00:00Z".parse().expect(fixed);
                    Job::of(&grant.parse().expect(fixed), 53, at.parse().expect(fixed), now)
                })
                .into(),
            chain: ("good", "followed to block 901 224, 9 min old".to_owned()),
            places: vec![store::Location {
                location: "is-rkv".parse().expect(fixed),
                name: "Reykjavík <Iceland>".to_owned(),
            }],
            place: place_sheet(),
            leads: true,
            requests_answered: 4_812_334,
            requests_failed: 2,
            record_size: 1_234,
            reports_size: 98_765,
        }
    }
}

/// `GET /admin`
///
/// # Errors
/// `busy` or `internal`.
pub async fn show(State(plane): State<Shared>) -> Answer<Response> {
    frame::page(StatusCode::OK, &page_of(&plane).await?)
}

/// `POST /admin/locations`: a place that nodes stand in.
///
/// # Errors
/// `busy` or `internal`; what is refused is told on the page.
pub async fn add_place(State(plane): State<Shared>, Form(typed): Form<Typed>) -> Answer<Response> {
    let done = match typed.text("location").parse() {
        Ok(location) => {
            let new = Json(Location { location, name: typed.text("name").to_owned() });
            locations::create(State(plane.clone()), new).await
        }
        Err(error) => Err(Failure::from(error)),
    };
    match done {
        Ok(_) => Ok(Redirect::to("/admin#places").into_response()),
        Err(failure) if failure.problem().status < 500 => {
            let page = page_of(&plane).await?;
            let place = page.place.typed(&typed).refused(&failure);
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &AdminPage { place, ..page })
        }
        Err(failure) => Err(failure),
    }
}

async fn page_of(plane: &Shared) -> Answer<AdminPage> {
    let now = plane.clock.now();
    let mut read = plane.store.read().await?;
    let nodes = nodes_of(&mut read, now).await?;
    let (grants, jobs) = grants_of(&mut read, now).await?;
    let mut operators = Vec::new();
    for operator in read.operators().await? {
        operators.push(OperatorRow {
            nodes: nodes.iter().filter(|node| node.operator == operator.operator.as_str()).count(),
            signed: operator.vkey.is_some(),
            paid_at: read.newest_destination(&operator.operator).await?.is_some(),
            id: operator.operator.to_string(),
        });
    }
    let decisions = read.batch_decisions().await?;
    let batches = read.batches().await?.into_iter().rev().map(|batch| {
        let decided = decisions.iter().find(|decided| decided.batch == batch.batch);
        BatchRow {
            decided: match decided {
                Some(decided) if decided.paid_at.is_some() => "paid",
                Some(decided) if decided.void_at.is_some() => "void",
                Some(decided) if decided.cancel_asked_at.is_some() => "to be cancelled",
                Some(decided) if decided.verified_at.is_some() => "verified",
                _ => "exported",
            },
            id: batch.batch.to_string(),
            grant: batch.grant_id.to_string(),
        }
    });
    let blocks = read.followed_blocks().await?;
    Ok(AdminPage {
        chain: chain(plane.config.chain.is_some(), blocks.last(), now),
        places: read.locations().await?,
        place: place_sheet(),
        frame: staff::frame(&plane.config.title, links(), "Overview"),
        grants,
        operators,
        nodes,
        batches: batches.collect(),
        jobs,
        leads: plane.leads(),
        requests_answered: plane.figures.requests_answered.load(Ordering::Relaxed),
        requests_failed: plane.figures.requests_failed.load(Ordering::Relaxed),
        distributors: read.distributors().await?,
        record_size: read.log_size(Log::Record).await?,
        reports_size: read.log_size(Log::Reports).await?,
    })
}

async fn nodes_of(read: &mut Read, now: Timestamp) -> Answer<Vec<NodeRow>> {
    let places = read.locations().await?;
    let mut nodes: Vec<NodeRow> = Vec::new();
    for row in read.node_overviews(None, now).await? {
        let place = places.iter().find(|place| place.location == row.location);
        nodes.push(NodeRow {
            place: place.map_or_else(|| row.location.to_string(), |place| place.name.clone()),
            status: staff::node_status(&row, now),
            operator: row.operator.to_string(),
            devices: row.devices,
            frozen: row.state == NodeState::Frozen,
            retired: row.state == NodeState::Retired,
            id: row.node,
        });
    }
    // What waits for a decision stands first.
    nodes.sort_by_key(|node| (!node.frozen, node.status.0 != "warn"));
    Ok(nodes)
}

async fn grants_of(read: &mut Read, now: Timestamp) -> Answer<(Vec<GrantRow>, Vec<Job>)> {
    let (mut grants, mut jobs) = (Vec::new(), Vec::new());
    for grant in read.grants().await? {
        let next = read.epochs_closed(&grant.grant_id).await?.saturating_add(1);
        let terms = membership::terms_in(read, &grant.grant_id, next).await?;
        if let Some(at) = terms.and_then(|terms| closing::opens_at(&terms, next)) {
            jobs.push(Job::of(&grant.grant_id, next, at, now));
        }
        let members = read.memberships_of_grant(&grant.grant_id).await?;
        grants.push(GrantRow {
            contributed: read.contributed(&grant.grant_id, None).await?,
            nodes: members.iter().filter(|member| member.end_epoch.is_none()).count(),
            closed: next.saturating_sub(1),
            id: grant.grant_id.to_string(),
            title: grant.title,
        });
    }
    Ok((grants, jobs))
}

/// What the form to freeze a node sends.
#[derive(Deserialize)]
pub struct FreezeForm {
    #[serde(default)]
    reason: String,
}

/// `POST /admin/nodes/{node}/freeze`
///
/// # Errors
/// Those of [`nodes::freeze`].
pub async fn freeze(
    State(plane): State<Shared>,
    Path(node): Path<NodeId>,
    Form(FreezeForm { reason }): Form<FreezeForm>,
) -> Answer<Redirect> {
    nodes::freeze(State(plane), Path(node), Json(Freeze { reason })).await.map(drop)?;
    Ok(Redirect::to("/admin#nodes"))
}

/// `POST /admin/nodes/{node}/unfreeze`
///
/// # Errors
/// Those of [`nodes::unfreeze`].
pub async fn unfreeze(State(plane): State<Shared>, Path(node): Path<NodeId>) -> Answer<Redirect> {
    nodes::unfreeze(State(plane), Path(node)).await.map(drop)?;
    Ok(Redirect::to("/admin#nodes"))
}
