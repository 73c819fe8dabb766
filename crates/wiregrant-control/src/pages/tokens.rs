//! The people of an organisation: who holds a token, one more, and one that ends. The administrator sees those of any organisation.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use wiregrant_core::TokenId;
use wiregrant_core::api::{NewToken, Organisation, Role, Token, TokenCreated};

use super::frame::{self, Frame};
use super::sheet::{Field, Sheet, Typed};
use super::staff::{self, Made, Status};
use super::{admin, show};
use crate::api::tokens::{self, OfOrganisation};
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Form, Json, Path};
use crate::sign_in::{Caller, Holder};

/// A token in a row.
#[derive(Debug)]
struct Row {
    id: TokenId,
    holder: String,
    made: String,
    status: Status,
    may_end: bool,
}

/// `tokens.html`.
#[derive(Debug, Template)]
#[template(path = "tokens.html")]
pub struct TokensPage {
    frame: Frame,
    /// Whose they are, in words.
    whose: String,
    /// Where the forms of this page go.
    address: String,
    rows: Vec<Row>,
    /// The form for one more; none for those of an operator, whom nobody else may sign in as.
    sheet: Option<Sheet>,
    made: Option<Made>,
    problem: Option<String>,
}

impl Row {
    fn of(token: Token) -> Self {
        let status = match (token.revoked, token.spent) {
            (Some(revoked), _) => ("idle", format!("ended {}", show::time(&revoked))),
            (None, Some(spent)) => ("idle", format!("signed in once, {}", show::time(&spent))),
            (None, None) if token.one_time => ("warn", "signs in once".to_owned()),
            (None, None) if token.valid_from > token.created => {
                ("warn", format!("recovered; signs in from {}", show::time(&token.valid_from)))
            }
            (None, None) => ("good", "signs in".to_owned()),
        };
        Self {
            may_end: token.revoked.is_none() && token.spent.is_none(),
            made: show::time(&token.created),
            id: token.id,
            holder: token.holder,
            status,
        }
    }
}

fn sheet() -> Sheet {
    let holder = Field::line("holder", "Who will hold it, a person").hint("two people have two tokens");
    Sheet::new("token", vec![holder])
}

impl TokensPage {
    /// Those of one's own organisation.
    async fn own(plane: &Shared, caller: &Caller, holder: &Holder) -> Answer<Self> {
        let rows = tokens::own(plane, holder).await?;
        let whose = match holder.party.id() {
            Some(id) => format!("{} {id}", holder.party.role()),
            None => "the administrators".to_owned(),
        };
        let frame = staff::frame(&plane.config.title, staff::links_of(caller), "Your people");
        Ok(Self::with(frame, whose, "/tokens".to_owned(), rows, Some(sheet())))
    }

    /// Those of another organisation.
    async fn of(plane: &Shared, of: &OfOrganisation) -> Answer<Self> {
        let OfOrganisation { role, organisation } = of;
        let rows = tokens::of(plane, *role, organisation).await?;
        let frame = staff::frame(&plane.config.title, admin::links(), "Organisations");
        let address = format!("/admin/organisations/{role}/{organisation}");
        let sheet = (*role != Role::Operator).then(sheet);
        Ok(Self::with(frame, format!("{role} {organisation}"), address, rows, sheet))
    }

    fn with(frame: Frame, whose: String, address: String, rows: Vec<Token>, sheet: Option<Sheet>) -> Self {
        let rows = rows.into_iter().rev().map(Row::of).collect();
        Self { frame, whose, address, rows, sheet, made: None, problem: None }
    }

    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let row = |id: &str, holder: &str, status: Status| Row {
            id: id.parse().expect(fixed),
            holder: holder.to_owned(),
            made: "2026-07-06 12:00".to_owned(),
            may_end: status.0 != "idle",
            status,
        };
        let refusal = Failure::field("holder", "", "one line of 1 to 100 characters");
        Self {
            frame: staff::frame("Free <networks>", admin::links(), "Organisations"),
            whose: "funder mosaic".to_owned(),
            address: "/admin/organisations/funder/mosaic".to_owned(),
            rows: vec![
                row("token-7k3qf", "Noor <here>", ("good", "signs in".to_owned())),
                row("token-0n2bx", "Emil", ("idle", "ended 2026-07-07 08:00".to_owned())),
            ],
            sheet: Some(sheet().refused(&refusal)),
            made: None,
            problem: Some(
                "token: token-7k3qf is the last token of its organisation; make another one first".to_owned(),
            ),
        }
    }

    /// The same with a token that was just made.
    #[must_use]
    pub fn sample_made() -> Self {
        let token = "wiregrant-funder-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned();
        let made = Some(Made { what: "Noor <here>".to_owned(), token });
        Self { made, sheet: Some(sheet()), problem: None, ..Self::sample() }
    }
}

/// `GET /tokens`: of one's own organisation.
///
/// # Errors
/// `busy` or `internal`.
pub async fn own(State(plane): State<Shared>, caller: Caller, holder: Holder) -> Answer<Response> {
    frame::page(StatusCode::OK, &TokensPage::own(&plane, &caller, &holder).await?)
}

/// `POST /tokens`: one more for the own organisation.
///
/// # Errors
/// `busy` or `internal`; what is refused is told on the page.
pub async fn make(
    State(plane): State<Shared>,
    (caller, holder): (Caller, Holder),
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let new = NewToken { holder: typed.text("holder").to_owned(), organisation: None };
    let done = tokens::create(State(plane.clone()), caller.clone(), holder.clone(), Json(new)).await;
    made(TokensPage::own(&plane, &caller, &holder).await?, &typed, done.map(|(_, made)| made.0))
}

/// `POST /tokens/{token}/revoke`
///
/// # Errors
/// `not-found`; what else is refused is told on the page.
pub async fn revoke(
    State(plane): State<Shared>,
    (caller, holder): (Caller, Holder),
    token: Path<TokenId>,
) -> Answer<Response> {
    match tokens::revoke(State(plane.clone()), caller.clone(), holder.clone(), token).await {
        Ok(_) => Ok(Redirect::to("/tokens").into_response()),
        Err(failure) => refused(TokensPage::own(&plane, &caller, &holder).await?, failure),
    }
}

/// `GET /admin/organisations/{role}/{organisation}`
///
/// # Errors
/// `not-found`.
pub async fn of(State(plane): State<Shared>, Path(of): Path<OfOrganisation>) -> Answer<Response> {
    frame::page(StatusCode::OK, &TokensPage::of(&plane, &of).await?)
}

/// `POST /admin/organisations/{role}/{organisation}`: one more for it.
///
/// # Errors
/// `not-found`; what else is refused is told on the page.
pub async fn make_for(
    State(plane): State<Shared>,
    (caller, holder): (Caller, Holder),
    Path(of): Path<OfOrganisation>,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let organisation = Organisation { role: of.role, id: Some(of.organisation.clone()) };
    let new = NewToken { holder: typed.text("holder").to_owned(), organisation: Some(organisation) };
    let done = tokens::create(State(plane.clone()), caller, holder, Json(new)).await;
    made(TokensPage::of(&plane, &of).await?, &typed, done.map(|(_, made)| made.0))
}

/// A token of an organisation, in a path.
#[derive(Debug, serde::Deserialize)]
pub struct TokenOf {
    role: Role,
    organisation: String,
    token: TokenId,
}

/// `POST /admin/organisations/{role}/{organisation}/{token}/revoke`
///
/// # Errors
/// `not-found`; what else is refused is told on the page.
pub async fn revoke_of(
    State(plane): State<Shared>,
    (caller, holder): (Caller, Holder),
    Path(TokenOf { role, organisation, token }): Path<TokenOf>,
) -> Answer<Response> {
    let of = OfOrganisation { role, organisation };
    match tokens::revoke(State(plane.clone()), caller, holder, Path(token)).await {
        Ok(_) => {
            Ok(Redirect::to(&format!("/admin/organisations/{role}/{}", of.organisation)).into_response())
        }
        Err(failure) => refused(TokensPage::of(&plane, &of).await?, failure),
    }
}

fn made(page: TokensPage, typed: &Typed, done: Answer<TokenCreated>) -> Answer<Response> {
    match done {
        Ok(created) => {
            let made = Some(Made { what: typed.text("holder").to_owned(), token: created.token });
            frame::page(StatusCode::CREATED, &TokensPage { made, ..page })
        }
        Err(failure) if failure.problem().status < 500 => match page.sheet {
            Some(sheet) => {
                let sheet = Some(sheet.typed(typed).refused(&failure));
                frame::page(StatusCode::UNPROCESSABLE_ENTITY, &TokensPage { sheet, ..page })
            }
            None => refused(page, failure),
        },
        Err(failure) => Err(failure),
    }
}

fn refused(page: TokensPage, failure: Failure) -> Answer<Response> {
    if failure.problem().status >= 500 {
        return Err(failure);
    }
    let problem = Some(failure.problem().detail.clone());
    frame::page(StatusCode::UNPROCESSABLE_ENTITY, &TokensPage { problem, ..page })
}
