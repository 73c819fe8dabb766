//! Which pages there are, and from which statements each is computed.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use wiregrant_core::note::Signed;
use wiregrant_core::statement::Statement;
use wiregrant_core::{BatchId, OperatorId};
use wiregrant_store::{self as store, Read};

use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::membership;
use crate::pages::{GrantReport, GrantSummary, Landing, PayoutState, STYLESHEET};
use crate::publisher::{self, PublishError};

/// Renders every page that differs from what is there.
///
/// # Errors
/// Whatever the database or the folder refuses.
pub async fn publish(plane: &ControlPlane) -> Result<(), PublishError> {
    let mut files = BTreeMap::from([("style.css".to_owned(), STYLESHEET.to_owned())]);
    let mut landing = Landing {
        title: plane.config.title.clone(),
        origin: plane.config.origin.to_string(),
        url: plane.config.public_urls.first().cloned().unwrap_or_default(),
        grants: Vec::new(),
    };
    let mut read = plane.store.read().await?;
    for grant in read.grants().await? {
        let report = report(plane, &mut read, grant, &landing.url).await?;
        let folder = format!("r/{}", report.grant);
        files.insert(format!("{folder}/index.html"), rendered(&report)?);
        files.insert(format!("{folder}/report.csv"), report.csv());
        let json =
            serde_json::to_string_pretty(&report).map_err(|error| PublishError::Page(error.to_string()))?;
        files.insert(format!("{folder}/report.json"), json);
        landing.grants.push(GrantSummary {
            grant: report.grant.to_string(),
            title: report.title.clone(),
            epochs_closed: report.epochs.len(),
            epochs: report.terms.epochs,
            earned: report.earned(),
            traffic: report.traffic(),
            demonstration: report.demonstration,
        });
    }
    files.insert("index.html".to_owned(), rendered(&landing)?);
    publisher::write_all(&plane.config.public_dir, &files)
}

fn rendered(page: &impl Template) -> Result<String, PublishError> {
    page.render().map_err(|error| PublishError::Page(error.to_string()))
}

async fn report(plane: &ControlPlane, read: &mut Read, row: store::Grant, url: &str) -> Answer<GrantReport> {
    let terms = membership::terms(&row)?;
    let decided = read.batch_decisions().await?;
    let paid: BTreeSet<&BatchId> =
        decided.iter().filter(|row| row.paid_at.is_some()).map(|row| &row.batch).collect();
    let payout = |batch: BatchId| match paid.contains(&batch) {
        true => PayoutState::Paid(batch),
        false => PayoutState::InBatch(batch),
    };
    let payouts: BTreeMap<(u64, OperatorId), PayoutState> = read
        .reserved_lines_of_grant(&row.grant_id)
        .await?
        .into_iter()
        .map(|line| ((line.epoch, line.operator), payout(line.batch)))
        .collect();
    let mut epochs = Vec::new();
    for statement in read.statements(&row.grant_id).await? {
        let content = Signed::<Statement>::parse(&statement.note).map_err(Failure::internal)?.into_content();
        epochs.push(GrantReport::epoch(&content, statement.note_hash.to_hex(), &payouts)?);
    }
    epochs.reverse();
    Ok(GrantReport {
        site: plane.config.title.clone(),
        log: plane.config.origin.to_string(),
        url: url.to_owned(),
        grant: row.grant_id,
        title: row.title,
        demonstration: GrantReport::is_demonstration(&terms),
        terms,
        epochs,
    })
}
