//! What waits for the administrator's decision, in every grant: operators who applied, lines of statements, nodes with findings.

use std::cmp::Reverse;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use wiregrant_core::api::{
    ApplicationState, DecideLine, LineDecisionKind, LineStanding, NewNodeFinding, StatementLine,
};
use wiregrant_core::{GrantId, NodeId, OperatorId, Sats, Timestamp};
use wiregrant_store::{self as store, FoundNode};

use super::admin;
use super::frame::{self, Frame};
use super::staff::{self, Status};
use crate::api::{applications, decisions};
use crate::control_plane::Shared;
use crate::deciding;
use crate::error::{Answer, Failure};
use crate::extract::{Form, Path};
use crate::line_standing;
use crate::sign_in::Holder;

/// Where it is.
const ADDRESS: &str = "/admin/decisions";
/// Lines that are shown: those that are held first, then the newest.
const LINES_SHOWN: usize = 200;

/// An operator who applied.
#[derive(Debug)]
struct Applicant {
    grant: GrantId,
    operator: OperatorId,
    since: Timestamp,
    status: Status,
    /// What can still be decided.
    may_approve: bool,
    may_reject: bool,
}

/// A line about which something can still be decided.
#[derive(Debug)]
struct Line {
    grant: GrantId,
    epoch: u64,
    operator: OperatorId,
    payable: Sats,
    status: Status,
    held: bool,
    said: Vec<String>,
    /// What was typed, and refused.
    typed: Option<Typed>,
}

/// A reason and more of it, as typed.
#[derive(Debug, Clone, Default)]
struct Typed {
    reason: String,
    detail: String,
}

/// A finding, with the grant it belongs to.
#[derive(Debug)]
struct Found {
    grant: GrantId,
    finding: FoundNode,
}

/// `decisions.html`.
#[derive(Debug, Template)]
#[template(path = "decisions.html")]
pub struct DecisionsPage {
    frame: Frame,
    applicants: Vec<Applicant>,
    lines: Vec<Line>,
    lines_in_all: usize,
    findings: Vec<Found>,
    /// The grants and nodes that a finding can be about.
    grants: Vec<GrantId>,
    nodes: Vec<NodeId>,
    form: FindingForm,
    problem: Option<String>,
}

impl Applicant {
    fn of(row: store::Application) -> Self {
        let status = match row.state {
            ApplicationState::Applied => ("warn", "waits for you".to_owned()),
            ApplicationState::Approved => ("good", "approved".to_owned()),
            ApplicationState::Rejected => ("idle", "rejected".to_owned()),
        };
        Self {
            may_approve: row.state != ApplicationState::Approved,
            may_reject: row.state != ApplicationState::Rejected,
            grant: row.grant_id,
            operator: row.operator,
            since: row.applied_at,
            status,
        }
    }
}

impl Line {
    fn of(grant: &GrantId, line: &StatementLine) -> Self {
        Self {
            grant: grant.clone(),
            epoch: line.epoch,
            operator: line.operator.clone(),
            payable: line.payable,
            status: staff::line_status(line),
            held: line.standing == LineStanding::Held,
            said: line.decisions.iter().map(staff::said).collect(),
            typed: None,
        }
    }
}

impl DecisionsPage {
    async fn of(plane: &Shared) -> Answer<Self> {
        let mut read = plane.store.read().await?;
        let (mut applicants, mut lines, mut findings) = (Vec::new(), Vec::new(), Vec::new());
        let (mut grants, mut nodes) = (Vec::new(), Vec::new());
        for grant in read.grants().await? {
            let id = grant.grant_id;
            applicants.extend(read.applications(&id).await?.into_iter().map(Applicant::of));
            let all = line_standing::of_grant(plane, &mut read, &id, None).await?;
            lines.extend(all.iter().filter(|line| staff::is_open(line)).map(|line| Line::of(&id, line)));
            let found = read.findings(&id).await?.into_iter();
            findings.extend(found.map(|finding| Found { grant: id.clone(), finding }));
            nodes.extend(read.memberships_of_grant(&id).await?.into_iter().map(|member| member.node));
            grants.push(id);
        }
        applicants.sort_by_key(|applicant| Reverse(applicant.may_approve && applicant.may_reject));
        lines.sort_by_key(|line| (!line.held, Reverse(line.epoch)));
        findings.sort_by_key(|found| Reverse(found.finding.found_at));
        nodes.sort();
        nodes.dedup();
        let lines_in_all = lines.len();
        lines.truncate(LINES_SHOWN);
        let frame = staff::frame(&plane.config.title, admin::links(), "Decisions");
        let form = FindingForm::default();
        Ok(Self { frame, applicants, lines, lines_in_all, findings, grants, nodes, form, problem: None })
    }

    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let grant: GrantId = "spring".parse().expect(fixed);
        let time = |text: &str| -> Timestamp { text.parse().expect(fixed) };
        let applicant = |operator: &str, state| {
            Applicant::of(store::Application {
                grant_id: grant.clone(),
                operator: operator.parse().expect(fixed),
                state,
                applied_at: time("2026-07-01T09:30:00Z"),
                decided_at: None,
            })
        };
        let line = |epoch, operator: &str, sats, standing| {
            let line = StatementLine {
                epoch,
                operator: operator.parse().expect(fixed),
                payable: Sats::new(sats).expect(fixed),
                standing,
                payable_from: time("2026-07-11T00:00:00Z"),
                approvals_missing: 1,
                decisions: Vec::new(),
            };
            Line::of(&grant, &line)
        };
        let typed = Typed { reason: "typed <here>".to_owned(), detail: "three times <the link>".to_owned() };
        let said = vec!["hold: inflated".to_owned(), "object: wrong-count (see <logs>)".to_owned()];
        let finding = FoundNode {
            number: 1,
            node: "node-7x2m".parse().expect(fixed),
            reason: "inflated".to_owned(),
            detail: "more than its <link> carries".to_owned(),
            person: "admin".to_owned(),
            acts_in: 8,
            found_at: time("2026-07-05T10:00:00Z"),
        };
        Self {
            frame: staff::frame("Free <networks>", admin::links(), "Decisions"),
            applicants: vec![
                applicant("zephyr", ApplicationState::Applied),
                applicant("nordlicht", ApplicationState::Approved),
            ],
            lines: vec![
                Line { said, typed: Some(typed), ..line(7, "suedwind", 198_040, LineStanding::Held) },
                line(8, "nordlicht", 251_300, LineStanding::Challengeable),
            ],
            lines_in_all: 2,
            findings: vec![Found { grant: grant.clone(), finding }],
            nodes: vec!["node-3kq8".parse().expect(fixed), "node-7x2m".parse().expect(fixed)],
            grants: vec![grant.clone()],
            form: FindingForm::default(),
            problem: Some("reason: \"typed <here>\" is not a short word of a-z, 0-9 and '-'".to_owned()),
        }
    }
}

/// `GET /admin/decisions`
///
/// # Errors
/// `busy` or `internal`.
pub async fn show(State(plane): State<Shared>) -> Answer<Response> {
    frame::page(StatusCode::OK, &DecisionsPage::of(&plane).await?)
}

/// `POST /admin/grants/{grant}/operators/{operator}/approve`
///
/// # Errors
/// Those of [`applications::approve`].
pub async fn approve(plane: State<Shared>, applicant: Path<applications::Applicant>) -> Answer<Redirect> {
    applications::approve(plane, applicant).await.map(drop)?;
    Ok(Redirect::to(ADDRESS))
}

/// `POST /admin/grants/{grant}/operators/{operator}/reject`
///
/// # Errors
/// Those of [`applications::reject`].
pub async fn reject(plane: State<Shared>, applicant: Path<applications::Applicant>) -> Answer<Redirect> {
    applications::reject(plane, applicant).await.map(drop)?;
    Ok(Redirect::to(ADDRESS))
}

/// What the form of a line sends.
#[derive(Deserialize)]
pub struct LineForm {
    kind: LineDecisionKind,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    detail: String,
}

/// `POST /admin/grants/{grant}/epochs/{epoch}/operators/{operator}`: holds a line, releases or forfeits it.
///
/// # Errors
/// `invalid-request` for an objection, which is the operator's own; what else is refused is told on the page.
pub async fn decide(
    State(plane): State<Shared>,
    holder: Holder,
    Path(line): Path<decisions::Line>,
    Form(LineForm { kind, reason, detail }): Form<LineForm>,
) -> Answer<Response> {
    if kind == LineDecisionKind::Object {
        return Err(Failure::field(
            "kind",
            kind,
            "hold, release or forfeit: operators object for themselves",
        ));
    }
    let asked = DecideLine { reason: reason.trim().to_owned(), detail: detail.replace("\r\n", "\n") };
    let place = (&line.grant, line.epoch, &line.operator);
    match deciding::decide(&plane, place, kind, &asked, holder.token.as_str()).await {
        Ok(_) => Ok(Redirect::to(&format!("{ADDRESS}#lines")).into_response()),
        Err(failure) if failure.problem().status < 500 => {
            let mut page = DecisionsPage::of(&plane).await?;
            let at = |row: &&mut Line| (&row.grant, row.epoch, &row.operator) == place;
            if let Some(row) = page.lines.iter_mut().find(at) {
                row.typed = Some(Typed { reason, detail });
            }
            let problem = Some(failure.problem().detail.clone());
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &DecisionsPage { problem, ..page })
        }
        Err(failure) => Err(failure),
    }
}

/// What the form for a finding sends, and shows again when it is refused.
#[derive(Debug, Default, Deserialize)]
pub struct FindingForm {
    #[serde(default)]
    grant: String,
    #[serde(default)]
    node: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    detail: String,
}

/// `POST /admin/findings`: logs what was found about a node, which holds its operator's lines.
///
/// # Errors
/// `busy` or `internal`; what is refused is told on the page.
pub async fn find(
    State(plane): State<Shared>,
    holder: Holder,
    Form(form): Form<FindingForm>,
) -> Answer<Response> {
    match found(&plane, &form, holder.token.as_str()).await {
        Ok(()) => Ok(Redirect::to(&format!("{ADDRESS}#findings")).into_response()),
        Err(failure) if failure.problem().status < 500 => {
            let problem = Some(failure.problem().detail.clone());
            let page = DecisionsPage::of(&plane).await?;
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &DecisionsPage { problem, form, ..page })
        }
        Err(failure) => Err(failure),
    }
}

async fn found(plane: &Shared, form: &FindingForm, person: &str) -> Answer<()> {
    let grant = form.grant.parse().map_err(|_| Failure::field("grant", &form.grant, "a grant's id"))?;
    let node = form.node.trim().parse().map_err(|_| Failure::field("node", &form.node, "a node's id"))?;
    let new = NewNodeFinding {
        node,
        reason: form.reason.trim().to_owned(),
        detail: form.detail.replace("\r\n", "\n"),
    };
    deciding::find(plane, &grant, &new, person).await.map(drop)
}
