//! Access codes for whoever issues them: what was issued, one more or many, as cards that print well.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use wiregrant_core::allotment::Period;
use wiregrant_core::api::{AccessCodeState, NewAccessCodes};
use wiregrant_core::{Bytes, DistributorId, Timestamp};

use super::frame::{self, Frame};
use super::sheet::{Field, Sheet, Typed};
use super::{admin, staff};
use crate::api::access_codes;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Form, Json, Query};
use crate::sign_in::Caller;

const GB: u64 = 1_000_000_000;
const DAY_SECONDS: u64 = 86_400;
/// Codes that are listed, the newest.
const LISTED: usize = 500;

/// Codes that were just made: shown this once.
#[derive(Debug)]
struct Made {
    codes: Vec<String>,
    devices: u64,
    quota: Bytes,
    monthly: bool,
    expires: Timestamp,
    /// Where people redeem them.
    address: String,
}

/// `codes.html`.
#[derive(Debug, Template)]
#[template(path = "codes.html")]
pub struct CodesPage {
    frame: Frame,
    /// Where the form goes.
    address: String,
    /// Whose codes they are, where the administrator issues them for a distributor.
    of: Option<DistributorId>,
    /// For the administrator: every distributor.
    distributors: Vec<DistributorId>,
    /// None before a distributor is chosen.
    sheet: Option<Sheet>,
    made: Option<Made>,
    issued: Vec<AccessCodeState>,
    issued_in_all: usize,
}

fn sheet() -> Sheet {
    Sheet::new(
        "codes",
        vec![
            Field::line("count", "How many").value(10),
            Field::line("devices", "Devices each").value(2),
            Field::line("gigabytes", "Gigabytes each").value(100),
            Field::line("days", "Valid for so many days").value(90),
            Field::tick("monthly", "The gigabytes are for each calendar month").value(1),
        ],
    )
}

impl CodesPage {
    /// For whoever issues codes of their own.
    async fn own(plane: &Shared, caller: &Caller) -> Answer<Self> {
        let frame = staff::frame(&plane.config.title, staff::links_of(caller), "Access codes");
        Self { address: "/codes".to_owned(), sheet: Some(sheet()), ..Self::empty(frame) }
            .issued(plane, caller)
            .await
    }

    /// For the administrator, who issues them for a distributor.
    async fn of(plane: &Shared, of: Option<DistributorId>) -> Answer<Self> {
        let frame = staff::frame(&plane.config.title, admin::links(), "Access codes");
        let distributors = plane.store.read().await?.distributors().await?;
        let distributors = distributors.into_iter().map(|row| row.distributor).collect();
        let Some(distributor) = of else { return Ok(Self { distributors, ..Self::empty(frame) }) };
        let caller = access_codes::as_distributor(plane, distributor.clone()).await?;
        let address = format!("/admin/codes?distributor={distributor}");
        let sheet = Some(sheet());
        Self { address, distributors, sheet, of: Some(distributor), ..Self::empty(frame) }
            .issued(plane, &caller)
            .await
    }

    fn empty(frame: Frame) -> Self {
        Self {
            frame,
            address: String::new(),
            of: None,
            distributors: Vec::new(),
            sheet: None,
            made: None,
            issued: Vec::new(),
            issued_in_all: 0,
        }
    }

    async fn issued(self, plane: &Shared, caller: &Caller) -> Answer<Self> {
        let mut issued = access_codes::issued(plane, caller).await?;
        let issued_in_all = issued.len();
        issued.reverse();
        issued.truncate(LISTED);
        Ok(Self { issued, issued_in_all, ..self })
    }

    /// What the tests and the designer look at: the form, and what was issued.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let code = |number, used| AccessCodeState {
            number,
            class: wiregrant_core::usage_report::Class::Assigned,
            devices: 2,
            devices_used: used,
            quota_bytes: Bytes::new(100 * GB).expect(fixed),
            period: Period::Month,
            expires: "2026-10-01T00:00:00Z".parse().expect(fixed),
        };
        let caller = Caller::Distributor("open-doors".parse().expect(fixed));
        let refusal = Failure::field("count", "ten <10>", "a whole number");
        let mut sheet = sheet().refused(&refusal);
        sheet.fields[0].values = vec!["ten <10>".to_owned()];
        Self {
            address: "/codes".to_owned(),
            sheet: Some(sheet),
            issued: vec![code(3, 0), code(2, 1), code(1, 2)],
            issued_in_all: 3,
            ..Self::empty(staff::frame("Free <networks>", staff::links_of(&caller), "Access codes"))
        }
    }

    /// The administrator's: codes for a distributor.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample_admin() -> Self {
        let fixed = "a fixed value of its form";
        let distributors: [DistributorId; 2] = ["ngo", "open-doors"].map(|id| id.parse().expect(fixed));
        Self {
            frame: staff::frame("Free <networks>", admin::links(), "Access codes"),
            address: "/admin/codes?distributor=open-doors".to_owned(),
            of: Some(distributors[1].clone()),
            distributors: distributors.into(),
            sheet: Some(sheet()),
            ..Self::sample()
        }
    }

    /// The same with codes that were just made.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample_made() -> Self {
        let fixed = "a fixed value of its form";
        let made = Made {
            codes: vec!["7K3QF-0N2BX-R8MDT-4WHZC".to_owned(), "00000-11111-22222-33333".to_owned()],
            devices: 2,
            quota: Bytes::new(100 * GB).expect(fixed),
            monthly: true,
            expires: "2026-10-01T00:00:00Z".parse().expect(fixed),
            address: "https://grants.example/redeem".to_owned(),
        };
        Self { sheet: Some(sheet()), made: Some(made), ..Self::sample() }
    }
}

/// `GET /codes`
///
/// # Errors
/// `busy` or `internal`.
pub async fn show(State(plane): State<Shared>, caller: Caller) -> Answer<Response> {
    frame::page(StatusCode::OK, &CodesPage::own(&plane, &caller).await?)
}

/// `POST /codes`
///
/// # Errors
/// `busy` or `internal`; what is refused is told on the page.
pub async fn issue(
    State(plane): State<Shared>,
    caller: Caller,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let made = issued(&plane, caller.clone(), &typed).await;
    answered(CodesPage::own(&plane, &caller).await?, &typed, made)
}

/// `?distributor=<id>`
#[derive(Debug, Deserialize)]
pub struct Of {
    distributor: Option<DistributorId>,
}

/// `GET /admin/codes`
///
/// # Errors
/// `not-found`.
pub async fn show_of(State(plane): State<Shared>, Query(of): Query<Of>) -> Answer<Response> {
    frame::page(StatusCode::OK, &CodesPage::of(&plane, of.distributor).await?)
}

/// `POST /admin/codes`
///
/// # Errors
/// `not-found`; what is refused is told on the page.
pub async fn issue_for(
    State(plane): State<Shared>,
    Query(of): Query<Of>,
    Form(typed): Form<Typed>,
) -> Answer<Response> {
    let distributor =
        of.distributor.ok_or_else(|| Failure::field("distributor", "", "a distributor's id"))?;
    let caller = access_codes::as_distributor(&plane, distributor.clone()).await?;
    let made = issued(&plane, caller, &typed).await;
    answered(CodesPage::of(&plane, Some(distributor)).await?, &typed, made)
}

async fn issued(plane: &Shared, caller: Caller, typed: &Typed) -> Answer<Made> {
    let new = asked(plane, typed)?;
    let created = access_codes::create(State(plane.clone()), caller, Json(new.clone())).await?;
    let base = plane.config.public_urls.first().cloned().unwrap_or_default();
    Ok(Made {
        codes: created.1.0.codes,
        devices: new.devices,
        quota: new.quota_bytes,
        monthly: new.period == Period::Month,
        expires: new.expires,
        address: format!("{base}/redeem"),
    })
}

fn answered(page: CodesPage, typed: &Typed, made: Answer<Made>) -> Answer<Response> {
    match made {
        Ok(made) => {
            let sheet = page.sheet.map(|sheet| sheet.typed(typed));
            frame::page(StatusCode::CREATED, &CodesPage { made: Some(made), sheet, ..page })
        }
        Err(failure) if failure.problem().status < 500 => {
            let sheet = page.sheet.map(|sheet| sheet.typed(typed).refused(&failure));
            frame::page(StatusCode::UNPROCESSABLE_ENTITY, &CodesPage { sheet, ..page })
        }
        Err(failure) => Err(failure),
    }
}

fn asked(plane: &ControlPlane, typed: &Typed) -> Answer<NewAccessCodes> {
    let number = |field: &str| typed.read::<u64>(field, "a whole number");
    let gigabytes = number("gigabytes")?;
    let quota = gigabytes.checked_mul(GB).filter(|bytes| *bytes > 0).and_then(|bytes| Bytes::new(bytes).ok());
    let days = number("days")?;
    if !(1..=3_650).contains(&days) {
        return Err(Failure::field("days", days, "1 to 3650"));
    }
    Ok(NewAccessCodes {
        count: number("count")?,
        devices: number("devices")?,
        quota_bytes: quota.ok_or_else(|| {
            Failure::field("gigabytes", gigabytes, "an amount that can be counted, at least 1")
        })?,
        period: if typed.text("monthly").is_empty() { Period::Total } else { Period::Month },
        expires: plane.clock.now().plus_seconds(days * DAY_SECONDS),
    })
}
