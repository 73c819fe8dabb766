//! Everybody whom the administrator lets in: operators, distributors with what they may issue, funders and auditors with their grants.
//! Who is added gets a token that is shown once.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use wiregrant_core::api::{Budget, Created, NewAuditor, NewDistributor, NewFunder, NewOperator};
use wiregrant_core::quantity::{self, typed_bytes};
use wiregrant_core::{Bytes, DistributorId, GrantId};
use wiregrant_store::DistributorOverview;

use super::admin;
use super::frame::{self, Frame};
use super::sheet::{Field, Sheet, Typed};
use super::staff::{self, Made};
use crate::api::{auditors, distributors, funders, operators};
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Form, Json, Path};
use crate::sign_in::{Caller, Holder};

/// A distributor with the form for what they may issue.
#[derive(Debug)]
struct Distributor {
    row: DistributorOverview,
    budget: Sheet,
}

/// A funder or an auditor.
#[derive(Debug)]
struct WithGrants {
    id: String,
    grants: Vec<GrantId>,
}

/// `organisations.html`.
#[derive(Debug, Template)]
#[template(path = "organisations.html")]
pub struct OrganisationsPage {
    frame: Frame,
    operators: Vec<String>,
    distributors: Vec<Distributor>,
    funders: Vec<WithGrants>,
    auditors: Vec<WithGrants>,
    new: [Sheet; 4],
    made: Option<Made>,
}

/// Where the form for a new organisation of each kind stands in [`OrganisationsPage::new`].
#[derive(Debug, Clone, Copy)]
enum New {
    Operator,
    Distributor,
    Funder,
    Auditor,
}

const ID: &str = "a-z, 0-9 and -; it stays for good";

fn sheets(grants: &[GrantId]) -> [Sheet; 4] {
    [
        Sheet::new(
            "operator",
            vec![
                Field::line("operator", "Id").hint(ID),
                Field::line("vkey", "Their key, if they have one")
                    .hint("as `wiregrant operator key make` prints it; then they sign where they are paid themselves"),
            ],
        ),
        Sheet::new("distributor", vec![Field::line("distributor", "Id").hint(ID)]),
        Sheet::new(
            "funder",
            vec![
                Field::line("funder", "Id").hint(ID),
                Field::any("grants", "Grants that they put up", grants),
            ],
        ),
        Sheet::new(
            "auditor",
            vec![
                Field::line("auditor", "Id").hint(ID),
                Field::any("grants", "Grants that they may look behind", grants),
            ],
        ),
    ]
}

fn budget(row: &DistributorOverview) -> Sheet {
    let bytes = row.bytes_budget.map(typed_bytes).unwrap_or_default();
    let codes = row.codes_budget.map(|codes| codes.to_string()).unwrap_or_default();
    Sheet::new(
        format!("budget-{}", row.distributor),
        vec![
            Field::line("codes", "Codes in all").hint("empty for any number").value(codes),
            Field::line("bytes", "Traffic in all").hint("such as 5TB; empty for any").value(bytes),
        ],
    )
}

impl OrganisationsPage {
    async fn of(plane: &Shared) -> Answer<Self> {
        let mut read = plane.store.read().await?;
        let grants: Vec<_> = read.grants().await?.into_iter().map(|row| row.grant_id).collect();
        let distributors = read.distributors().await?.into_iter();
        let funders = read.funders().await?.into_iter();
        let auditors = read.auditors().await?.into_iter();
        Ok(Self {
            frame: staff::frame(&plane.config.title, admin::links(), "Organisations"),
            operators: read.operators().await?.into_iter().map(|row| row.operator.to_string()).collect(),
            distributors: distributors.map(|row| Distributor { budget: budget(&row), row }).collect(),
            funders: funders.map(|(id, grants)| WithGrants { id: id.to_string(), grants }).collect(),
            auditors: auditors.map(|(id, grants)| WithGrants { id: id.to_string(), grants }).collect(),
            new: sheets(&grants),
            made: None,
        })
    }

    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let grants: [GrantId; 2] = ["spring", "autumn"].map(|grant| grant.parse().expect(fixed));
        let row = DistributorOverview {
            distributor: "open-doors".parse().expect(fixed),
            codes_issued: 1_200,
            codes_budget: Some(5_000),
            bytes_budget: Bytes::new(5_000_000_000_000).ok(),
        };
        let mut new = sheets(&grants);
        let typed = Typed::from([("funder", "The <here> fund"), ("grants", "spring")]);
        let refusal = Failure::field("funder", "The <here> fund", "an id: 1 to 40 of a-z, 0-9 and '-'");
        new[New::Funder as usize] = new[New::Funder as usize].clone().typed(&typed).refused(&refusal);
        let with = |id: &str, grants: &[GrantId]| WithGrants { id: id.to_owned(), grants: grants.to_vec() };
        Self {
            frame: staff::frame("Free <networks>", admin::links(), "Organisations"),
            operators: vec!["nordlicht".to_owned(), "suedwind".to_owned()],
            distributors: vec![Distributor { budget: budget(&row), row }],
            funders: vec![with("mosaic", &grants)],
            auditors: vec![with("careful-eyes", &grants[..1])],
            new,
            made: None,
        }
    }

    /// The same with an organisation that was just added.
    #[must_use]
    pub fn sample_made() -> Self {
        let made = Made {
            what: "polaris".to_owned(),
            token: "wiregrant-operator-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        };
        Self { made: Some(made), ..Self::sample() }
    }
}

/// `GET /admin/organisations`
///
/// # Errors
/// `busy` or `internal`.
pub async fn show(State(plane): State<Shared>) -> Answer<Response> {
    frame::page(StatusCode::OK, &OrganisationsPage::of(&plane).await?)
}

/// `POST /admin/operators`
///
/// # Errors
/// `busy` or `internal`; what is refused is told on the page.
pub async fn add_operator(
    State(plane): State<Shared>,
    maker: Holder,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let vkey = Some(typed.text("vkey").to_owned()).filter(|vkey| !vkey.is_empty());
    let done = match typed.text("operator").parse() {
        Ok(operator) => {
            let new = Json(NewOperator { operator, vkey });
            operators::create(State(plane.clone()), maker, new).await.map(|(_, made)| made.0)
        }
        Err(error) => Err(Failure::from(error)),
    };
    answered(&plane, New::Operator, &typed, done).await
}

/// `POST /admin/distributors`
///
/// # Errors
/// `busy` or `internal`; what is refused is told on the page.
pub async fn add_distributor(
    State(plane): State<Shared>,
    maker: Holder,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let done = match typed.text("distributor").parse() {
        Ok(distributor) => {
            let new = Json(NewDistributor { distributor });
            distributors::create(State(plane.clone()), maker, new).await.map(|(_, made)| made.0)
        }
        Err(error) => Err(Failure::from(error)),
    };
    answered(&plane, New::Distributor, &typed, done).await
}

/// `POST /admin/funders`
///
/// # Errors
/// `busy` or `internal`; what is refused is told on the page.
pub async fn add_funder(
    State(plane): State<Shared>,
    maker: Holder,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let done = match (typed.text("funder").parse(), grants_of(&typed)) {
        (Ok(funder), Ok(grants)) => {
            let new = Json(NewFunder { funder, grants });
            funders::create(State(plane.clone()), maker, new).await.map(|(_, made)| made.0)
        }
        (Err(error), _) | (_, Err(error)) => Err(Failure::from(error)),
    };
    answered(&plane, New::Funder, &typed, done).await
}

/// `POST /admin/auditors`
///
/// # Errors
/// `busy` or `internal`; what is refused is told on the page.
pub async fn add_auditor(
    State(plane): State<Shared>,
    (caller, maker): (Caller, Holder),
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let done = match (typed.text("auditor").parse(), grants_of(&typed)) {
        (Ok(auditor), Ok(grants)) => {
            let new = Json(NewAuditor { auditor, grants });
            auditors::create(State(plane.clone()), caller, maker, new).await.map(|(_, made)| made.0)
        }
        (Err(error), _) | (_, Err(error)) => Err(Failure::from(error)),
    };
    answered(&plane, New::Auditor, &typed, done).await
}

fn grants_of(typed: &Typed) -> Result<Vec<GrantId>, wiregrant_core::FactError> {
    typed.all("grants").map(str::parse).collect()
}

/// `POST /admin/distributors/{distributor}/budget`: what was issued already counts towards it.
///
/// # Errors
/// `not-found`; what is refused is told on the page.
pub async fn set_budget(
    State(plane): State<Shared>,
    Path(distributor): Path<DistributorId>,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let done = match budget_of(&typed) {
        Ok(asked) => {
            distributors::set_budget(State(plane.clone()), Path(distributor.clone()), Json(asked)).await
        }
        Err(failure) => Err(failure),
    };
    match done {
        Ok(_) => Ok(Redirect::to("/admin/organisations#distributors").into_response()),
        Err(failure) if failure.problem().status < 500 => {
            let mut page = OrganisationsPage::of(&plane).await?;
            let row = page.distributors.iter_mut().find(|one| one.row.distributor == distributor);
            let Some(row) = row else { return Err(failure) };
            row.budget = row.budget.clone().typed(&typed).refused(&failure);
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(failure) => Err(failure),
    }
}

fn budget_of(typed: &Typed) -> Answer<Budget> {
    let bytes = match typed.text("bytes") {
        "" => None,
        _ => Some(typed.quantity("bytes", quantity::bytes)?),
    };
    Ok(Budget { codes: typed.read_if_any("codes", "a whole number, or empty for any")?, bytes })
}

async fn answered(plane: &Shared, new: New, typed: &Typed, done: Answer<Created>) -> Answer<Response> {
    match done {
        Ok(created) => {
            let made = Some(Made { what: created.id, token: created.token });
            let page = OrganisationsPage::of(plane).await?;
            frame::page(StatusCode::CREATED, &OrganisationsPage { made, ..page })
        }
        Err(failure) if failure.problem().status < 500 => {
            let mut page = OrganisationsPage::of(plane).await?;
            let sheet = &mut page.new[new as usize];
            *sheet = sheet.clone().typed(typed).refused(&failure);
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(failure) => Err(failure),
    }
}
