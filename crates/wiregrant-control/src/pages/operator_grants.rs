//! The grants that an operator can take part in: applying, and which of their nodes earn in which grant.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use wiregrant_core::api::{Admit, ApplicationState, Apply, NodeState};
use wiregrant_core::terms::{ADMISSION_BY_APPLICATION, Terms};
use wiregrant_core::{GrantId, NodeId, OperatorId};

use super::frame::{self, Frame};
use super::show;
use super::staff::{self, Status};
use crate::api::{applications, grants};
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Form, Json, Path};
use crate::membership;
use crate::sign_in::Caller;

/// A node of the operator's in a grant.
#[derive(Debug)]
struct Member {
    node: NodeId,
    first_epoch: u64,
    /// The last epoch in which it earns, once that is decided.
    last_epoch: Option<u64>,
}

/// A grant that is open.
#[derive(Debug)]
struct Grant {
    id: GrantId,
    title: String,
    terms: Terms,
    closed: u64,
    standing: Status,
    may_apply: bool,
    members: Vec<Member>,
    /// Nodes that may be admitted: those in no grant, where the operator may do so.
    free: Vec<NodeId>,
    may_leave: bool,
}

/// `operator_grants.html`.
#[derive(Debug, Template)]
#[template(path = "operator_grants.html")]
pub struct OperatorGrantsPage {
    frame: Frame,
    operator: OperatorId,
    grants: Vec<Grant>,
    problem: Option<String>,
}

impl Grant {
    fn of(
        (id, title): (GrantId, String),
        terms: Terms,
        closed: u64,
        application: Option<ApplicationState>,
        members: Vec<Member>,
        free: &[NodeId],
    ) -> Self {
        let by_application = terms.admission == ADMISSION_BY_APPLICATION;
        let standing = match (by_application, application) {
            (false, _) if members.is_empty() => ("idle", "the administrator admits its nodes".to_owned()),
            (false, _) => ("good", "you take part".to_owned()),
            (true, None) => ("idle", "you have not applied".to_owned()),
            (true, Some(ApplicationState::Applied)) => ("warn", "you applied; nobody has decided".to_owned()),
            (true, Some(ApplicationState::Approved)) => ("good", "you are approved".to_owned()),
            (true, Some(ApplicationState::Rejected)) => ("bad", "your application was rejected".to_owned()),
        };
        let may_admit = by_application && application == Some(ApplicationState::Approved);
        Self {
            id,
            title,
            closed,
            standing,
            may_apply: by_application && application.is_none(),
            may_leave: members.iter().any(|member| member.last_epoch.is_none()),
            members,
            free: if may_admit { free.to_vec() } else { Vec::new() },
            terms,
        }
    }
}

impl OperatorGrantsPage {
    async fn of(plane: &Shared, operator: OperatorId) -> Answer<Self> {
        let now = plane.clock.now();
        let mut read = plane.store.read().await?;
        if read.operator(&operator).await?.is_none() {
            return Err(Failure::not_found("operator", &operator));
        }
        let (mut own, mut free) = (Vec::new(), Vec::new());
        for node in read.node_overviews(Some(&operator), now).await? {
            let memberships = membership::all_of_node(&mut read, &node.node).await?;
            let is_free = memberships.iter().all(|member| membership::is_over(member, now));
            if is_free && node.state != NodeState::Retired {
                free.push(node.node.clone());
            }
            own.push(node.node);
        }
        let mut shown = Vec::new();
        for row in read.grants().await? {
            let terms = membership::terms(&row)?;
            let closed = read.epochs_closed(&row.grant_id).await?;
            if closed >= terms.epochs {
                continue;
            }
            let mut applied = read.applications(&row.grant_id).await?.into_iter();
            let application = applied.find(|applied| applied.operator == operator);
            let members = read.memberships_of_grant(&row.grant_id).await?.into_iter();
            let members = members.filter(|member| own.contains(&member.node)).map(|member| Member {
                node: member.node,
                first_epoch: member.first_epoch,
                last_epoch: member.end_epoch.map(|end| end.saturating_sub(1)),
            });
            let application = application.map(|application| application.state);
            let named = (row.grant_id, row.title);
            shown.push(Grant::of(named, terms, closed, application, members.collect(), &free));
        }
        let frame = staff::operators_frame(&plane.config.title, &operator, "Grants");
        Ok(Self { frame, operator, grants: shown, problem: None })
    }

    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let operator: OperatorId = "nordlicht".parse().expect(fixed);
        let node = |node: &str| -> NodeId { node.parse().expect(fixed) };
        let start = "2026-01-05T00:00:00Z".parse().expect(fixed);
        let grant = |id: &str, title: &str, admission, application, members| {
            let named = (id.parse().expect(fixed), title.to_owned());
            let terms = Terms { admission, ..Terms::defaults(start, 104) };
            Grant::of(named, terms, 8, application, members, &[node("node-9d4w")])
        };
        let member = |id: &str, last_epoch| Member { node: node(id), first_epoch: 3, last_epoch };
        let members = vec![member("node-3kq8", None), member("node-7x2m", Some(9))];
        let by_application = ADMISSION_BY_APPLICATION;
        Self {
            frame: staff::operators_frame("Free <networks>", &operator, "Grants"),
            operator,
            grants: vec![
                grant("spring", "Spring <2026>", by_application, Some(ApplicationState::Approved), members),
                grant("autumn", "Autumn 2026", by_application, None, Vec::new()),
                grant("winter", "Winter 2026", 0, None, Vec::new()),
            ],
            problem: Some("node: node-9d4w has retired for good".to_owned()),
        }
    }
}

/// `GET /operators/{operator}/grants`
///
/// # Errors
/// `forbidden`, `not-found`.
pub async fn show(
    State(plane): State<Shared>,
    caller: Caller,
    Path(operator): Path<OperatorId>,
) -> Answer<Response> {
    caller.acts_for(&operator)?;
    frame::page(StatusCode::OK, &OperatorGrantsPage::of(&plane, operator).await?)
}

/// The path of a grant, as an operator sees it.
#[derive(Debug, Deserialize)]
pub struct OfGrant {
    operator: OperatorId,
    grant: GrantId,
}

/// `POST /operators/{operator}/grants/{grant}/apply`
///
/// # Errors
/// Those of [`applications::apply`]; what is refused is told on the page.
pub async fn apply(
    State(plane): State<Shared>,
    caller: Caller,
    Path(OfGrant { operator, grant }): Path<OfGrant>,
) -> Answer<Response> {
    caller.acts_for(&operator)?;
    let asked = Json(Apply { operator: operator.clone() });
    let done = applications::apply(State(plane.clone()), caller, Path(grant), asked).await;
    answered(&plane, operator, done.map(drop)).await
}

/// What the forms about a node send.
#[derive(Deserialize)]
pub struct NodeForm {
    node: NodeId,
}

/// `POST /operators/{operator}/grants/{grant}/admit`: from the next epoch on.
///
/// # Errors
/// Those of [`grants::admit`]; what is refused is told on the page.
pub async fn admit(
    State(plane): State<Shared>,
    caller: Caller,
    Path(OfGrant { operator, grant }): Path<OfGrant>,
    Form(NodeForm { node }): Form<NodeForm>,
) -> Answer<Response> {
    caller.acts_for(&operator)?;
    let done = grants::admit(State(plane.clone()), caller, Path(grant), Json(Admit { node })).await;
    answered(&plane, operator, done.map(drop)).await
}

/// `POST /operators/{operator}/grants/{grant}/leave`: with the epoch under way.
///
/// # Errors
/// Those of [`grants::leave`]; what is refused is told on the page.
pub async fn leave(
    State(plane): State<Shared>,
    caller: Caller,
    Path(OfGrant { operator, grant }): Path<OfGrant>,
    Form(NodeForm { node }): Form<NodeForm>,
) -> Answer<Response> {
    caller.acts_for(&operator)?;
    let member = Path(grants::Member { grant, node });
    let done = grants::leave(State(plane.clone()), caller, member).await;
    answered(&plane, operator, done.map(drop)).await
}

async fn answered(plane: &Shared, operator: OperatorId, done: Answer<()>) -> Answer<Response> {
    match done {
        Ok(()) => Ok(Redirect::to(&format!("/operators/{operator}/grants")).into_response()),
        Err(failure) if failure.problem().status < 500 => {
            let problem = Some(failure.problem().detail.clone());
            let page = OperatorGrantsPage::of(plane, operator).await?;
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &OperatorGrantsPage { problem, ..page })
        }
        Err(failure) => Err(failure),
    }
}
