//! One grant for the administrator: its sats, the nodes that take part, corrections, and its end.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use wiregrant_core::api::{Admit, Grant, GrantState, NewAdjustment, NewContribution, NodeState};
use wiregrant_core::{GrantId, NodeId, OperatorId, Timestamp};
use wiregrant_store::{AdjustmentRow, Read};

use super::admin_grants::sample_grant;
use super::frame::{self, Frame};
use super::sheet::{Field, Sheet, Typed};
use super::{admin, staff};
use crate::api::{grants, terms};
use crate::control_plane::Shared;
use crate::deciding;
use crate::error::{Answer, Failure};
use crate::extract::{Form, Json, Path};
use crate::membership;
use crate::sign_in::{Caller, Holder};

/// `admin_grant.html`.
#[derive(Debug, Template)]
#[template(path = "admin_grant.html")]
pub struct AdminGrantPage {
    frame: Frame,
    grant: Grant,
    /// The organisations that put it up, and that look behind it.
    funders: Vec<String>,
    auditors: Vec<String>,
    corrections: Vec<AdjustmentRow>,
    contribute: Sheet,
    admit: Sheet,
    adjust: Sheet,
    problem: Option<String>,
}

/// The sheets that can be refused.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Contribute,
    Admit,
    Adjust,
    /// A button without a sheet.
    Nothing,
}

fn sheets(free: &[NodeId], operators: &[OperatorId]) -> [Sheet; 3] {
    let contribute = Field::line("sats", "How many sats").hint("they act from the next epoch that begins");
    [
        Sheet::new("contribute", vec![contribute]),
        Sheet::new("admit", vec![Field::one("node", "A node that is in no grant", free)]),
        Sheet::new(
            "adjust",
            vec![
                Field::one("operator", "Operator", operators),
                Field::line("sats", "Sats").hint("with - in front, to take them away"),
                Field::line("epoch", "The epoch that is corrected"),
                Field::line("reason", "Why, one word (public)").hint("a-z, 0-9 and -"),
            ],
        ),
    ]
}

async fn free_nodes(read: &mut Read, now: Timestamp) -> Answer<Vec<NodeId>> {
    let mut free = Vec::new();
    for node in read.node_overviews(None, now).await? {
        let memberships = membership::all_of_node(read, &node.node).await?;
        let is_free = memberships.iter().all(|member| membership::is_over(member, now));
        if is_free && node.state != NodeState::Retired {
            free.push(node.node);
        }
    }
    Ok(free)
}

impl AdminGrantPage {
    async fn of(plane: &Shared, id: &GrantId) -> Answer<Self> {
        let mut read = plane.store.read().await?;
        let row = grants::known(&mut read, id).await?;
        let grant = grants::shown(&mut read, row).await?;
        let free = free_nodes(&mut read, plane.clock.now()).await?;
        let operators: Vec<_> = read.operators().await?.into_iter().map(|row| row.operator).collect();
        let [contribute, admit, adjust] = sheets(&free, &operators);
        let funders = read.funders().await?.into_iter().filter(|(_, grants)| grants.contains(id));
        let auditors = read.auditors().await?.into_iter().filter(|(_, grants)| grants.contains(id));
        Ok(Self {
            frame: staff::frame(&plane.config.title, admin::links(), "Grants"),
            grant,
            funders: funders.map(|(funder, _)| funder.to_string()).collect(),
            auditors: auditors.map(|(auditor, _)| auditor.to_string()).collect(),
            corrections: read.adjustments(id).await?,
            contribute,
            admit,
            adjust,
            problem: None,
        })
    }

    /// Whether anything of it can still change.
    fn is_open(&self) -> bool {
        self.grant.state == GrantState::Open
    }

    fn refused(&mut self, asked: Asked, typed: &Typed, failure: &Failure) {
        let sheet = match asked {
            Asked::Contribute => &mut self.contribute,
            Asked::Admit => &mut self.admit,
            Asked::Adjust => &mut self.adjust,
            Asked::Nothing => {
                self.problem = Some(failure.problem().detail.clone());
                return;
            }
        };
        *sheet = sheet.clone().typed(typed).refused(failure);
    }

    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let node: NodeId = "node-9d4w".parse().expect(fixed);
        let operators: [OperatorId; 2] =
            ["nordlicht", "suedwind"].map(|operator| operator.parse().expect(fixed));
        let [contribute, admit, adjust] = sheets(&[node], &operators);
        let correction = |number, sats, statement_epoch| AdjustmentRow {
            number,
            operator: "suedwind".parse().expect(fixed),
            sats,
            reason: "late-report".to_owned(),
            epoch: 6,
            person: "admin".to_owned(),
            asked_at: "2026-03-02T09:30:00Z".parse().expect(fixed),
            statement_epoch,
        };
        let typed = Typed::from([
            ("operator", "suedwind"),
            ("sats", "-1 <here>"),
            ("epoch", "7"),
            ("reason", "Late Report"),
        ]);
        let refusal = typed.read::<i64>("sats", "a whole number of sats").expect_err(fixed);
        Self {
            frame: staff::frame("Free <networks>", admin::links(), "Grants"),
            grant: sample_grant("spring", "Spring <2026>", GrantState::Open),
            funders: vec!["fund".to_owned()],
            auditors: Vec::new(),
            corrections: vec![correction(1, -1_200, Some(7)), correction(2, 640, None)],
            contribute,
            admit,
            adjust: adjust.typed(&typed).refused(&refusal),
            problem: Some("grant: the last of the 104 epochs of spring <here> has begun".to_owned()),
        }
    }
}

/// `GET /admin/grants/{grant}`
///
/// # Errors
/// `not-found`.
pub async fn show(State(plane): State<Shared>, Path(grant): Path<GrantId>) -> Answer<Response> {
    frame::page(StatusCode::OK, &AdminGrantPage::of(&plane, &grant).await?)
}

/// `POST /admin/grants/{grant}/contributions`
///
/// # Errors
/// `not-found`; what is refused is told on the page.
pub async fn contribute(
    State(plane): State<Shared>,
    Path(grant): Path<GrantId>,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let done = match typed.read("sats", "a whole number of sats") {
        Ok(sats) => {
            let asked = Json(NewContribution { sats });
            grants::contribute(State(plane.clone()), Path(grant.clone()), asked).await.map(drop)
        }
        Err(failure) => Err(failure),
    };
    answered(&plane, &grant, (Asked::Contribute, &typed), done).await
}

/// `POST /admin/grants/{grant}/nodes`: from the next epoch that begins.
///
/// # Errors
/// `not-found`; what is refused is told on the page.
pub async fn admit(
    State(plane): State<Shared>,
    caller: Caller,
    Path(grant): Path<GrantId>,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let done = match typed.text("node").parse() {
        Ok(node) => {
            let asked = Json(Admit { node });
            grants::admit(State(plane.clone()), caller, Path(grant.clone()), asked).await.map(drop)
        }
        Err(error) => Err(Failure::from(error)),
    };
    answered(&plane, &grant, (Asked::Admit, &typed), done).await
}

/// `POST /admin/grants/{grant}/nodes/{node}/leave`: with the epoch under way.
///
/// # Errors
/// `not-found`; what is refused is told on the page.
pub async fn leave(
    State(plane): State<Shared>,
    caller: Caller,
    Path(member): Path<grants::Member>,
) -> Answer<Response> {
    let grant = member.grant.clone();
    let done = grants::leave(State(plane.clone()), caller, Path(member)).await.map(drop);
    answered(&plane, &grant, (Asked::Nothing, &Typed::default()), done).await
}

/// What the form that ends a grant sends.
#[derive(Deserialize)]
pub struct CloseForm {
    #[serde(default)]
    understood: String,
}

/// `POST /admin/grants/{grant}/close`: the next epoch that begins is the last one.
///
/// # Errors
/// `not-found`; what is refused is told on the page.
pub async fn close(
    State(plane): State<Shared>,
    Path(grant): Path<GrantId>,
    Form(CloseForm { understood }): Form<CloseForm>,
) -> Answer<Response> {
    let done = if understood.is_empty() {
        Err(Failure::field("the box", "empty", "ticked: a grant that ends does not go on again"))
    } else {
        terms::close(State(plane.clone()), Path(grant.clone())).await.map(drop)
    };
    answered(&plane, &grant, (Asked::Nothing, &Typed::default()), done).await
}

/// `POST /admin/grants/{grant}/corrections`: a line of the next statement.
///
/// # Errors
/// `not-found`; what is refused is told on the page.
pub async fn adjust(
    State(plane): State<Shared>,
    holder: Holder,
    Path(grant): Path<GrantId>,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let done = match adjustment(&typed) {
        Ok(new) => deciding::adjust(&plane, &grant, &new, holder.token.as_str()).await.map(drop),
        Err(failure) => Err(failure),
    };
    answered(&plane, &grant, (Asked::Adjust, &typed), done).await
}

fn adjustment(typed: &Typed) -> Answer<NewAdjustment> {
    Ok(NewAdjustment {
        operator: typed.text("operator").parse()?,
        sats: typed.read("sats", "a whole number of sats, with - in front to take them away")?,
        reason: typed.text("reason").to_owned(),
        epoch: typed.read("epoch", "an epoch's number")?,
    })
}

async fn answered(
    plane: &Shared,
    grant: &GrantId,
    (asked, typed): (Asked, &Typed),
    done: Answer<()>,
) -> Answer<Response> {
    match done {
        Ok(()) => Ok(Redirect::to(&format!("/admin/grants/{grant}")).into_response()),
        Err(failure) if failure.problem().status < 500 => {
            let mut page = AdminGrantPage::of(plane, grant).await?;
            page.refused(asked, typed, &failure);
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(failure) => Err(failure),
    }
}
