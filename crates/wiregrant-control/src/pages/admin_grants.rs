//! Every grant for the administrator: drafts that wait to be opened, what is open, what is over.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use wiregrant_core::api::{Grant, GrantState};
use wiregrant_core::terms::Terms;
use wiregrant_core::{GrantId, Sats};

use super::admin;
use super::frame::{self, Frame};
use super::staff::{self, Status};
use crate::api::{drafts, grants};
use crate::control_plane::Shared;
use crate::error::Answer;

/// `admin_grants.html`.
#[derive(Debug, Template)]
#[template(path = "admin_grants.html")]
pub struct AdminGrantsPage {
    frame: Frame,
    drafts: Vec<Grant>,
    grants: Vec<Grant>,
}

/// Where a grant stands, in words.
#[must_use]
pub fn status(grant: &Grant) -> Status {
    match grant.state {
        GrantState::Draft => ("warn", "a draft: nothing of it is signed".to_owned()),
        GrantState::Open => ("good", "open".to_owned()),
        GrantState::Closed => ("idle", "every epoch has its statement".to_owned()),
    }
}

/// How many nodes take part until they are told otherwise.
fn nodes(grant: &Grant) -> usize {
    grant.members.iter().filter(|member| member.end_epoch.is_none()).count()
}

/// A grant with figures that never change.
pub(super) fn sample_grant(id: &str, title: &str, state: GrantState) -> Grant {
    let fixed = "a fixed value of its form";
    let grant: GrantId = id.parse().expect(fixed);
    let is_draft = state == GrantState::Draft;
    let terms = Terms::defaults("2026-01-05T00:00:00Z".parse().expect(fixed), 104);
    let member = |node: &str, end_epoch| wiregrant_core::api::Membership {
        grant: grant.clone(),
        node: node.parse().expect(fixed),
        schedule: terms.schedule(),
        first_epoch: 3,
        end_epoch,
        peer_caps: std::collections::BTreeMap::new(),
    };
    Grant {
        members: if is_draft {
            Vec::new()
        } else {
            vec![member("node-3kq8", None), member("node-7x2m", Some(10))]
        },
        grant: grant.clone(),
        title: title.to_owned(),
        state,
        contributed: if is_draft { Sats::ZERO } else { Sats::new(41_600_000).expect(fixed) },
        epochs_closed: if is_draft { 0 } else { 8 },
        terms,
    }
}

impl AdminGrantsPage {
    /// What the tests and the designer look at.
    #[must_use]
    pub fn sample() -> Self {
        Self {
            frame: staff::frame("Free <networks>", admin::links(), "Grants"),
            drafts: vec![sample_grant("autumn", "Autumn <2026>", GrantState::Draft)],
            grants: vec![
                sample_grant("spring", "Spring <2026>", GrantState::Open),
                sample_grant("winter", "Winter 2025", GrantState::Closed),
            ],
        }
    }
}

/// `GET /admin/grants`
///
/// # Errors
/// `busy` or `internal`.
pub async fn show(State(plane): State<Shared>) -> Answer<Response> {
    let mut read = plane.store.read().await?;
    let drafts = read.drafts().await?.into_iter().map(drafts::shown).collect::<Answer<_>>()?;
    let mut all = Vec::new();
    for row in read.grants().await? {
        all.push(grants::shown(&mut read, row).await?);
    }
    let frame = staff::frame(&plane.config.title, admin::links(), "Grants");
    frame::page(StatusCode::OK, &AdminGrantsPage { frame, drafts, grants: all })
}
