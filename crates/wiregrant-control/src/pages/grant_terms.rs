//! The terms of a grant as a form: of a new one, of a draft, of an open one from its next epoch on.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use wiregrant_core::api::{Grant, GrantState, NewGrant, NewTerms, ProblemKind};
use wiregrant_core::quantity::{self, Moment, typed_bytes, typed_seconds};
use wiregrant_core::terms::{RULE_WATER_FILLED, Terms};
use wiregrant_core::{GrantId, Timestamp};

use super::admin;
use super::frame::{self, Frame};
use super::sheet::{Field, Sheet, Typed};
use super::staff;
use crate::api::{drafts, grants, terms};
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Form, Json, Path};

/// What a new grant has, where nothing else is typed.
const EPOCHS: u64 = 52;

/// Whose terms are filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    /// A grant that is not there yet.
    New,
    /// A draft.
    Draft(GrantId),
    /// An open grant.
    Open(GrantId),
}

/// `grant_terms.html`.
#[derive(Debug, Template)]
#[template(path = "grant_terms.html")]
pub struct GrantTermsPage {
    frame: Frame,
    of: Of,
    sheet: Sheet,
}

impl Of {
    fn heading(&self) -> String {
        match self {
            Self::New => "A new grant".to_owned(),
            Self::Draft(grant) => format!("Draft of {grant}"),
            Self::Open(grant) => format!("Terms of {grant}"),
        }
    }

    /// Where the form goes.
    fn action(&self) -> String {
        match self {
            Self::New => "/admin/new-grant".to_owned(),
            Self::Draft(grant) => format!("/admin/drafts/{grant}"),
            Self::Open(grant) => format!("/admin/grants/{grant}/terms"),
        }
    }

    fn lead(&self) -> &'static str {
        match self {
            Self::New | Self::Draft(_) => {
                "It is kept as a draft, which can be changed and discarded. Once it is opened, its terms are signed and logged for everyone."
            }
            Self::Open(_) => {
                "Other terms act from the next epoch that begins, and are signed and logged for everyone, for good. When epochs begin \
                 and how long they last stays as it is."
            }
        }
    }

    fn save(&self) -> &'static str {
        match self {
            Self::New | Self::Draft(_) => "Keep it as a draft",
            Self::Open(_) => "Sign and log these terms",
        }
    }
}

/// The fields of the terms that can change while a grant is open, named as notes name them.
fn bounds(terms: &Terms) -> Vec<Field> {
    let field = Field::line;
    vec![
        field("epochs", "How many epochs").value(terms.epochs),
        field("unit-bytes", "Credit unit")
            .hint("whole units count; such as 1GB")
            .value(typed_bytes(terms.unit_bytes)),
        field("floor", "Fewest people behind a number")
            .hint("a node's number is published once so many stand behind it")
            .value(terms.floor),
        field("minimum-payout-sats", "Least payout, sats")
            .hint("less is brought to the next epoch")
            .value(terms.minimum_payout_sats),
        field("close-delay-seconds", "Time to report after an epoch")
            .hint("its statement is signed after that; such as 48h")
            .value(typed_seconds(terms.close_delay_seconds)),
        field("challenge-seconds", "Time to challenge a statement")
            .hint("its sats may be paid after that; such as 72h")
            .value(typed_seconds(terms.challenge_seconds)),
        field("approvals", "People who must approve a statement")
            .hint("0 to 5; 0 for nobody")
            .value(terms.approvals),
        field("ceiling-sats-per-unit", "Most sats for a unit")
            .hint("0 for no ceiling")
            .value(terms.ceiling_sats_per_unit),
        field("operator-share-percent", "Most of a pot for one operator, %")
            .hint("100 for no limit")
            .value(terms.operator_share_percent),
        field("site-share-percent", "Most of a pot for one network, %")
            .hint("the nodes of one /24 or /48; 100 for no limit")
            .value(terms.site_share_percent),
        field("peer-cap-bytes", "Most credit from one device in an epoch")
            .hint("such as 200GB; 0 for no cap")
            .value(typed_bytes(terms.peer_cap_bytes)),
        field("capacity-mbit-per-second", "Most that a node is believed to carry, Mbit/s")
            .hint("0 for no bound")
            .value(terms.capacity_mbit_per_second),
        field("invited-percent", "Weight of operators' own codes, %")
            .hint("0: what invited people use does not count")
            .value(terms.invited_percent),
        Field::named(
            "admission",
            "Who admits nodes",
            &[("0", "the administrator"), ("1", "operators apply, and admit their own once approved")],
        )
        .value(terms.admission),
    ]
}

fn calendar(terms: &Terms) -> [Field; 2] {
    [
        Field::line("start", "Epoch 1 begins")
            .hint("UTC, such as 2026-07-06T00:00:00Z, or 7d from now")
            .value(terms.start),
        Field::line("epoch-seconds", "Length of an epoch")
            .hint("such as 1w, 1d or 12h")
            .value(typed_seconds(terms.epoch_seconds)),
    ]
}

fn sheet(of: &Of, title: &str, terms: &Terms) -> Sheet {
    let mut fields = Vec::new();
    if *of == Of::New {
        fields.push(
            Field::line("grant", "Id")
                .hint("a-z, 0-9 and -; it stays for good, in the address of the report"),
        );
    }
    if !matches!(of, Of::Open(_)) {
        fields.push(Field::line("title", "Its name for people").value(title));
        fields.extend(calendar(terms));
    }
    fields.extend(bounds(terms));
    Sheet::new("terms", fields)
}

/// The terms that were typed, over those before.
fn terms_of(typed: &Typed, before: Terms) -> Answer<Terms> {
    let number = |name| typed.read(name, "a whole number");
    Ok(Terms {
        admission: number("admission")?,
        approvals: number("approvals")?,
        capacity_mbit_per_second: number("capacity-mbit-per-second")?,
        ceiling_sats_per_unit: typed.read("ceiling-sats-per-unit", "a whole number of sats")?,
        challenge_seconds: typed.quantity("challenge-seconds", quantity::seconds)?,
        close_delay_seconds: typed.quantity("close-delay-seconds", quantity::seconds)?,
        epochs: number("epochs")?,
        floor: number("floor")?,
        invited_percent: number("invited-percent")?,
        minimum_payout_sats: typed.read("minimum-payout-sats", "a whole number of sats")?,
        operator_share_percent: number("operator-share-percent")?,
        peer_cap_bytes: typed.quantity("peer-cap-bytes", quantity::bytes)?,
        rule: RULE_WATER_FILLED,
        site_share_percent: number("site-share-percent")?,
        unit_bytes: typed.quantity("unit-bytes", quantity::bytes)?,
        ..before
    })
}

/// The draft that was typed.
fn draft_of(typed: &Typed, grant: GrantId, now: Timestamp) -> Answer<NewGrant> {
    let start = typed.quantity("start", str::parse::<Moment>)?.resolve(now);
    let epoch_seconds = typed.quantity("epoch-seconds", quantity::seconds)?;
    let terms = terms_of(typed, Terms { epoch_seconds, ..Terms::defaults(start, EPOCHS) })?;
    Ok(NewGrant { grant, title: typed.text("title").to_owned(), terms, state: GrantState::Draft })
}

/// The next Monday, 00:00 UTC.
fn next_monday(now: Timestamp) -> Timestamp {
    const WEEK: i64 = 7 * 24 * 3_600;
    /// The first Monday of the Unix epoch, which began on a Thursday.
    const MONDAY: i64 = 4 * 24 * 3_600;
    let since = now.unix_seconds().saturating_sub(MONDAY).rem_euclid(WEEK);
    now.plus_seconds(u64::try_from(WEEK.saturating_sub(since)).unwrap_or_default())
}

impl GrantTermsPage {
    fn of(plane: &Shared, of: Of, sheet: Sheet) -> Self {
        Self { frame: staff::frame(&plane.config.title, admin::links(), "Grants"), of, sheet }
    }

    /// What the tests and the designer look at: a new grant that was refused.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let terms =
            Terms::defaults("2026-07-06T00:00:00Z".parse().expect("a fixed value of its form"), EPOCHS);
        let mut sheet = sheet(&Of::New, "Spring <2026>", &terms);
        for (name, typed, told) in [
            ("grant", "Spring <here>", "\"Spring <here>\" is not an id: 1 to 40 of a-z, 0-9 and '-'"),
            ("floor", "ten", "\"ten\" is not a whole number"),
        ] {
            for field in sheet.fields.iter_mut().filter(|field| field.name == name) {
                field.values = vec![typed.to_owned()];
                field.told = Some(told.to_owned());
            }
        }
        Self { frame: staff::frame("Free <networks>", admin::links(), "Grants"), of: Of::New, sheet }
    }

    /// A draft.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample_draft() -> Self {
        let fixed = "a fixed value of its form";
        let of = Of::Draft("spring".parse().expect(fixed));
        let terms = Terms::defaults("2026-07-06T00:00:00Z".parse().expect(fixed), EPOCHS);
        let sheet = sheet(&of, "Spring <2026>", &terms);
        Self { frame: staff::frame("Free <networks>", admin::links(), "Grants"), of, sheet }
    }
}

/// `GET /admin/new-grant`
///
/// # Errors
/// None of its own.
pub async fn new(State(plane): State<Shared>) -> Answer<Response> {
    let terms = Terms::defaults(next_monday(plane.clock.now()), EPOCHS);
    let sheet = sheet(&Of::New, "", &terms);
    frame::page(StatusCode::OK, &GrantTermsPage::of(&plane, Of::New, sheet))
}

/// `POST /admin/new-grant`: it is kept as a draft.
///
/// # Errors
/// `busy` or `internal`; what is refused is told on the page.
pub async fn create(State(plane): State<Shared>, Form(typed): Form<Typed>) -> Answer<Response> {
    let done = created(&plane, &typed).await;
    answered(&plane, Of::New, &typed, done.map(|grant| format!("/admin/drafts/{grant}")))
}

async fn created(plane: &Shared, typed: &Typed) -> Answer<GrantId> {
    let grant: GrantId = typed.text("grant").parse()?;
    // A draft is changed on its own page: here it would be lost unseen.
    if plane.store.read().await?.draft(&grant).await?.is_some() {
        let detail = format!("grant: {grant} is a draft already; change it there, or choose another id");
        return Err(Failure::new(ProblemKind::AlreadyExists, detail));
    }
    let new = draft_of(typed, grant.clone(), plane.clock.now())?;
    grants::create(State(plane.clone()), Json(new)).await.map(|_| grant)
}

async fn draft(plane: &Shared, grant: &GrantId) -> Answer<Grant> {
    let row = plane.store.read().await?.draft(grant).await?;
    drafts::shown(row.ok_or_else(|| Failure::not_found("draft", grant))?)
}

/// `GET /admin/drafts/{grant}`
///
/// # Errors
/// `not-found`.
pub async fn show_draft(State(plane): State<Shared>, Path(grant): Path<GrantId>) -> Answer<Response> {
    let draft = draft(&plane, &grant).await?;
    let of = Of::Draft(grant);
    let sheet = sheet(&of, &draft.title, &draft.terms);
    frame::page(StatusCode::OK, &GrantTermsPage::of(&plane, of, sheet))
}

/// `POST /admin/drafts/{grant}`
///
/// # Errors
/// `not-found`; what is refused is told on the page.
pub async fn save_draft(
    State(plane): State<Shared>,
    Path(grant): Path<GrantId>,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    draft(&plane, &grant).await?;
    let done = match draft_of(&typed, grant.clone(), plane.clock.now()) {
        Ok(new) => grants::create(State(plane.clone()), Json(new)).await.map(drop),
        Err(failure) => Err(failure),
    };
    let there = format!("/admin/drafts/{grant}");
    answered(&plane, Of::Draft(grant), &typed, done.map(|()| there))
}

/// `POST /admin/drafts/{grant}/open`: its terms are signed and logged, for good.
///
/// # Errors
/// `not-found`; what is refused is told on the draft's page.
pub async fn open(State(plane): State<Shared>, Path(grant): Path<GrantId>) -> Answer<Response> {
    match drafts::open(State(plane.clone()), Path(grant.clone())).await {
        Ok(_) => Ok(Redirect::to(&format!("/admin/grants/{grant}")).into_response()),
        Err(failure) if failure.problem().is(ProblemKind::InvalidRequest) => {
            let draft = draft(&plane, &grant).await?;
            let of = Of::Draft(grant);
            let sheet = sheet(&of, &draft.title, &draft.terms).refused(&failure);
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &GrantTermsPage::of(&plane, of, sheet))
        }
        Err(failure) => Err(failure),
    }
}

/// `POST /admin/drafts/{grant}/discard`
///
/// # Errors
/// `not-found`.
pub async fn discard(plane: State<Shared>, grant: Path<GrantId>) -> Answer<Redirect> {
    drafts::discard(plane, grant).await?;
    Ok(Redirect::to("/admin/grants"))
}

/// `GET /admin/grants/{grant}/terms`
///
/// # Errors
/// `not-found`.
pub async fn show(State(plane): State<Shared>, Path(grant): Path<GrantId>) -> Answer<Response> {
    let now = grants::show(State(plane.clone()), Path(grant.clone())).await?.0;
    let of = Of::Open(grant);
    let sheet = sheet(&of, &now.title, &now.terms);
    frame::page(StatusCode::OK, &GrantTermsPage::of(&plane, of, sheet))
}

/// `POST /admin/grants/{grant}/terms`: from the next epoch that begins.
///
/// # Errors
/// `not-found`; what is refused is told on the page.
pub async fn change(
    State(plane): State<Shared>,
    Path(grant): Path<GrantId>,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let now = grants::show(State(plane.clone()), Path(grant.clone())).await?.0;
    let done = match terms_of(&typed, now.terms) {
        Ok(asked) => {
            let asked = Json(NewTerms { terms: asked });
            terms::change(State(plane.clone()), Path(grant.clone()), asked).await.map(drop)
        }
        Err(failure) => Err(failure),
    };
    let there = format!("/admin/grants/{grant}");
    answered(&plane, Of::Open(grant), &typed, done.map(|()| there))
}

/// Leads on, or shows the form again as it was typed.
fn answered(plane: &Shared, of: Of, typed: &Typed, done: Answer<String>) -> Answer<Response> {
    match done {
        Ok(there) => Ok(Redirect::to(&there).into_response()),
        Err(failure) if failure.problem().status < 500 => {
            let any = Terms::defaults(plane.clock.now(), EPOCHS);
            let sheet = sheet(&of, "", &any).typed(typed).refused(&failure);
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &GrantTermsPage::of(plane, of, sheet))
        }
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_grant_begins_on_a_monday() {
        for (now, monday) in [
            ("2026-07-06T00:00:00Z", "2026-07-13T00:00:00Z"),
            ("2026-07-05T23:59:59Z", "2026-07-06T00:00:00Z"),
            ("2026-07-08T12:34:56Z", "2026-07-13T00:00:00Z"),
        ] {
            assert_eq!(next_monday(now.parse().unwrap()).to_string(), monday);
        }
    }

    #[test]
    fn every_term_of_the_form_reads_back() {
        let terms = Terms {
            floor: 7,
            operator_share_percent: 40,
            admission: 1,
            ..Terms::defaults("2026-07-06T00:00:00Z".parse().unwrap(), 9)
        };
        let fields = sheet(&Of::New, "Spring", &terms).fields;
        let typed: Vec<(String, String)> =
            fields.iter().map(|field| (field.name.to_owned(), field.text().to_owned())).collect();
        let typed: Typed = serde_json::from_value(serde_json::json!(typed)).unwrap();
        let read = draft_of(&typed, "spring".parse().unwrap(), terms.start).unwrap();
        assert_eq!((read.terms, read.title.as_str()), (terms, "Spring"));
    }
}
