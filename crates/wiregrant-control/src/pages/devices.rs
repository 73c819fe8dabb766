//! A person's devices: what there is, one more, to another place, away.

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use wiregrant_core::allotment::{Level, Period};
use wiregrant_core::api::ProblemKind;
use wiregrant_core::{Bytes, LocationId, NodeId, Timestamp, WireGuardPublicKey};
use wiregrant_store::{self as store, AccessCode};

use super::device_file;
use super::frame::{self, Frame, Visitor};
use super::language::Language;
use super::person::{self, Person};
use super::places::{self, Load, Place};
use super::words::{PeopleWords, Words};
use crate::api::devices as api;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Form, IdempotencyKey, Path, Query};
use crate::placement::{self, PlacedDevice, Wish};
use crate::random;
use crate::sign_in::Caller;
use crate::switching;

/// A mark and a word.
pub(super) type Status = (&'static str, &'static str);

/// A device, as its owner sees it.
#[derive(Debug)]
struct Device {
    place: String,
    status: Status,
    level: Status,
    allotment: Bytes,
    period: &'static str,
    expires: Timestamp,
    added: Timestamp,
    public_key: String,
    /// The key as part of an address.
    path: String,
    /// The id of its field for another key.
    field_id: String,
    has_socks5: bool,
    socks5_username: Option<String>,
}

/// What was chosen and typed, so that nothing is lost when it is refused.
#[derive(Debug, Default)]
struct Chosen {
    location: String,
    public_key: String,
    socks5: bool,
}

/// `devices.html`.
#[derive(Debug, Template)]
#[template(path = "devices.html")]
pub struct DevicesPage {
    frame: Frame,
    w: &'static PeopleWords,
    problem: Option<&'static str>,
    notice: Option<&'static str>,
    devices: Vec<Device>,
    used: u64,
    allowed: u64,
    expires: Timestamp,
    places: Vec<Place>,
    any_socks5: bool,
    can_add: bool,
    form: Chosen,
    /// Names a request, so that it can be sent twice and is carried out once.
    request: String,
}

impl DevicesPage {
    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample(language: Language) -> Self {
        let fixed = "a fixed value of its form";
        let words = Words::of(language);
        let w = words.people;
        let time = |text: &str| text.parse::<Timestamp>().expect(fixed);
        let device = |n: u8, place: &str, status: Status, level: Status| Device {
            place: place.to_owned(),
            status,
            level,
            allotment: Bytes::new(50_000_000_000).expect(fixed),
            period: w.a_month,
            expires: time("2026-09-30T00:00:00Z"),
            added: time("2026-07-06T12:34:56Z"),
            public_key: WireGuardPublicKey::from([n; 32]).to_string(),
            path: BASE64URL_NOPAD.encode(&[n; 32]),
            field_id: format!("key-{n}"),
            has_socks5: n == 9,
            socks5_username: (n == 9).then(|| "k7d2m9x0a1b2".to_owned()),
        };
        let place = |location: &str, name: &str, load| Place {
            location: location.to_owned(),
            name: name.to_owned(),
            load,
            socks5: true,
        };
        Self {
            frame: Frame { signed_in: true, ..Frame::sample(language, "devices") },
            w,
            problem: Some(words.problems.no_node),
            notice: None,
            devices: vec![
                device(9, "Frankfurt, Germany", ("good", w.serves), ("good", w.level_over_half)),
                device(10, "Reykjavík <Iceland>", ("idle", w.resting), ("bad", w.level_exhausted)),
            ],
            used: 2,
            allowed: 3,
            expires: time("2026-09-30T00:00:00Z"),
            places: vec![
                place("de-fra", "Frankfurt, Germany", Load::Quiet),
                place("is-rkv", "Reykjavík <Iceland>", Load::Resting),
                place("nl-ams", "Amsterdam, Netherlands", Load::Busy),
                place("ro-buh", "Bucharest, Romania", Load::Full),
            ],
            any_socks5: true,
            can_add: true,
            form: Chosen {
                location: "nl-ams".to_owned(),
                public_key: "typed <here>".to_owned(),
                socks5: true,
            },
            request: "0123456789abcdefghjk".to_owned(),
        }
    }

    async fn of(plane: &ControlPlane, visitor: &Visitor, code: &AccessCode, form: Chosen) -> Answer<Self> {
        let mut read = plane.store.read().await?;
        let w = visitor.words.people;
        let places = places::for_code(plane, &mut read, code).await?;
        let names = read.locations().await?;
        let all = read.devices_of_code(code.number).await?;
        let used = all.iter().filter(|device| device.replaces.is_none()).count();
        let used = u64::try_from(used).unwrap_or(u64::MAX);
        let mut devices = Vec::new();
        for device in all.into_iter().filter(|device| device.removed_at.is_none()) {
            let node = read.node(&device.node).await?;
            let node = node.ok_or_else(|| Failure::internal(format!("node {} vanished", device.node)))?;
            let name = names.iter().find(|name| name.location == node.location);
            let place = name.map_or_else(|| node.location.to_string(), |name| name.name.clone());
            let gone = placement::is_gone(&node, plane.clock.now())?;
            devices.push(shown(w, device, (&node, gone), place, devices.len()));
        }
        Ok(Self {
            frame: visitor.clone().signed(true).frame("devices"),
            w,
            problem: None,
            notice: None,
            devices,
            used,
            allowed: code.devices,
            expires: code.expires,
            any_socks5: places.iter().any(|place| place.socks5),
            places,
            can_add: used < code.devices && code.expires > plane.clock.now(),
            form,
            request: random::word(&random::bytes::<20>()),
        })
    }
}

fn shown(
    w: &'static PeopleWords,
    device: store::Device,
    (node, gone): (&store::Node, bool),
    place: String,
    at: usize,
) -> Device {
    Device {
        place,
        status: match (gone, node.paused) {
            (true, _) => ("bad", w.load_away),
            (false, Some(_)) => ("idle", w.resting),
            (false, None) => ("good", w.serves),
        },
        level: match device.level {
            None => ("good", w.level_not_told),
            Some(Level::OverHalf) => ("good", w.level_over_half),
            Some(Level::UnderHalf) => ("good", w.level_under_half),
            Some(Level::UnderATenth) => ("warn", w.level_under_a_tenth),
            Some(Level::Exhausted) => ("bad", w.level_exhausted),
        },
        allotment: device.allotment,
        period: match device.period {
            Period::Month => w.a_month,
            Period::Total => w.in_total,
        },
        expires: device.expires,
        added: device.placed_at,
        path: BASE64URL_NOPAD.encode(device.public_key.as_bytes()),
        public_key: device.public_key.to_string(),
        field_id: format!("key-{at}"),
        has_socks5: node.socks5_endpoint.is_some(),
        socks5_username: device.socks5_username.map(|username| username.to_string()),
    }
}

/// What a redirect says has happened.
#[derive(Deserialize)]
pub struct Done {
    done: Option<String>,
}

/// `GET /devices`
///
/// # Errors
/// Those of the database.
pub async fn show(
    State(plane): State<Shared>,
    visitor: Visitor,
    person: Person,
    Query(done): Query<Done>,
) -> Answer<Response> {
    let page = DevicesPage::of(&plane, &visitor, &person.code, Chosen::default()).await?;
    let notice = (done.done.as_deref() == Some("removed")).then_some(visitor.words.people.removed);
    frame::page(StatusCode::OK, &DevicesPage { notice, ..page })
}

/// What the forms for a device send.
#[derive(Deserialize)]
pub struct DeviceForm {
    #[serde(default)]
    public_key: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    socks5: String,
    #[serde(default)]
    replaces: String,
}

/// `POST /devices`: one more device, or one in the place of another. A module gets what belongs into the file, a browser a page.
///
/// # Errors
/// Those of [`placement::place`]; a browser is told on the page, where what was typed still stands.
pub async fn create(
    State(plane): State<Shared>,
    visitor: Visitor,
    person: Person,
    request: IdempotencyKey,
    Form(form): Form<DeviceForm>,
) -> Answer<Response> {
    let failure = match placed(&plane, &person.code, request, &form).await {
        Ok(placed) => {
            let (placed, left) = placed;
            plane.changes.of(&placed.node);
            left.iter().for_each(|left| plane.changes.of(left));
            return device_file::made(&visitor, &placed.answer);
        }
        Err(failure) => failure,
    };
    let problem = told(&visitor, &failure);
    let status = StatusCode::from_u16(failure.problem().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if visitor.wants_json {
        return Ok((status, axum::Json(serde_json::json!({ "message": problem }))).into_response());
    }
    let socks5 = !form.socks5.is_empty();
    let chosen = Chosen { location: form.location, public_key: form.public_key, socks5 };
    let page = DevicesPage::of(&plane, &visitor, &person.code, chosen).await?;
    frame::page(status, &DevicesPage { problem: Some(problem), ..page })
}

async fn placed(
    plane: &ControlPlane,
    code: &AccessCode,
    request: IdempotencyKey,
    form: &DeviceForm,
) -> Answer<(PlacedDevice, Option<NodeId>)> {
    plane.redemptions.admit(code, plane.clock.now())?;
    let key = |field: &'static str, text: &str| {
        let key: Result<WireGuardPublicKey, _> = text.trim().parse();
        let refuse = || Failure::field(field, "…", "a WireGuard public key").with("field", field);
        key.map_err(|_| refuse())?.checked().map_err(|_| refuse())
    };
    let location: Option<LocationId> = match form.location.as_str() {
        "" => None,
        location => Some(location.parse()?),
    };
    let wish = Wish {
        public_key: key("public_key", &form.public_key)?,
        location,
        socks5: (!form.socks5.is_empty()).then_some(request),
    };
    if form.replaces.is_empty() {
        return Ok((placement::place(plane, code, &wish).await?, None));
    }
    let before = key("replaces", &form.replaces)?;
    let device = plane.store.read().await?.device(&before).await?;
    let device = device.filter(|device| device.code_number == code.number);
    let device = device.ok_or_else(|| Failure::not_found("device", before))?;
    Ok((switching::switch(plane, code, &before, &wish).await?, Some(device.node)))
}

/// The words for what went wrong with a device.
fn told(visitor: &Visitor, failure: &Failure) -> &'static str {
    let (problem, words) = (failure.problem(), visitor.words.problems);
    match () {
        () if problem.figures.get("field").is_some_and(|field| field == "public_key") => words.public_key,
        () if problem.figures.contains_key("left") => words.nothing_left,
        () if problem.figures.contains_key("switches") => words.moved_too_often,
        () if problem.is(ProblemKind::Conflict) && problem.detail.starts_with("public_key") => {
            words.key_taken
        }
        () if problem.is(ProblemKind::Conflict) => words.no_socks5,
        () if problem.is(ProblemKind::NotFound) => words.device_gone,
        () => words.told(problem),
    }
}

/// The device of this person with a key from a path, removed or not.
///
/// # Errors
/// `not-found`.
pub(super) async fn of_person(
    read: &mut store::Read,
    code: &AccessCode,
    path: &str,
) -> Answer<store::Device> {
    let key = BASE64URL_NOPAD.decode(path.as_bytes()).ok().and_then(|key| <[u8; 32]>::try_from(key).ok());
    let absent = || Failure::new(ProblemKind::NotFound, "device: no device of this code has that key");
    let key = key.map(WireGuardPublicKey::from).ok_or_else(absent)?;
    read.device(&key).await?.filter(|device| device.code_number == code.number).ok_or_else(absent)
}

/// `POST /devices/{key}/remove`: once more is no error.
///
/// # Errors
/// `not-found` for a device of another code.
pub async fn remove(
    State(plane): State<Shared>,
    person: Person,
    Path(path): Path<String>,
) -> Answer<Redirect> {
    let mut write = plane.store.write().await?;
    let device = of_person(&mut write, &person.code, &path).await?;
    if device.removed_at.is_none() {
        let node = write.remove_device(&device.public_key, plane.clock.now()).await?;
        write.commit().await?;
        plane.changes.of(&node);
    }
    Ok(Redirect::to("/devices?done=removed"))
}

/// `POST /devices/delete-all`: the code and all its devices, for good, and the code out of this browser.
///
/// # Errors
/// Those of [`api::forget_code`].
pub async fn delete_all(State(plane): State<Shared>, person: Person) -> Answer<Response> {
    api::forget_code(State(plane), Caller::CodeHolder(person.code)).await.map(drop)?;
    let cookies = person::forget().map(|cookie| (header::SET_COOKIE, cookie));
    Ok((AppendHeaders(cookies), Redirect::to("/redeem")).into_response())
}
