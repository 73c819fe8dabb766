//! Which public pages there are, and from which statements each is computed.
//!
//! They are written again whenever a statement, a batch or terms were written, and not for every report.

use std::collections::BTreeMap;

use askama::Template;
use wiregrant_core::OperatorId;
use wiregrant_core::api::LineDecisionKind;
use wiregrant_core::note::Signed;
use wiregrant_core::statement::Statement;
use wiregrant_store::{self as store, Log, Read};

use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::line_standing::Lines;
use crate::membership;
use crate::pages::frame::Frame;
use crate::pages::{EpochPage, GrantReport, GrantSummary, Landing, PayoutState, assets};
use crate::publisher::{self, PublishError};

type Files = BTreeMap<String, String>;

/// Renders every page that differs from what is there.
///
/// # Errors
/// Whatever the database or the folder refuses.
pub async fn publish(plane: &ControlPlane) -> Result<(), PublishError> {
    let mut files: Files =
        assets::ALL.iter().map(|(name, text)| (assets::path(name), (*text).to_owned())).collect();
    let mut landing = Landing {
        frame: Frame::public(&plane.config.title, "./"),
        origin: plane.config.origin.to_string(),
        url: plane.config.public_urls.first().cloned().unwrap_or_default(),
        grants: Vec::new(),
    };
    let mut read = plane.store.read().await?;
    for grant in read.grants().await? {
        let report = report(plane, &mut read, grant, &landing.url, &mut files).await?;
        let folder = format!("r/{}", report.grant);
        files.insert(format!("{folder}/index.html"), rendered(&report)?);
        files.insert(format!("{folder}/report.csv"), report.csv());
        files.insert(format!("{folder}/report.json"), json(&report)?);
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
    publisher::write_pages(plane, &files)
}

fn rendered(page: &impl Template) -> Result<String, PublishError> {
    page.render().map_err(|error| PublishError::Page(error.to_string()))
}

fn json(value: &impl serde::Serialize) -> Result<String, PublishError> {
    serde_json::to_string_pretty(value).map_err(|error| PublishError::Page(error.to_string()))
}

/// The report of one grant; the pages of its epochs are added to `files`.
async fn report(
    plane: &ControlPlane,
    read: &mut Read,
    row: store::Grant,
    url: &str,
    files: &mut Files,
) -> Result<GrantReport, PublishError> {
    let terms = membership::terms(&row)?;
    let payouts = payouts(read, &row).await?;
    let mut epochs = Vec::new();
    for statement in read.statements(&row.grant_id).await? {
        let content = Signed::<Statement>::parse(&statement.note).map_err(Failure::internal)?.into_content();
        let hash = statement.note_hash.to_hex();
        add_epoch_page(plane, &row.title, &content, &hash, files)?;
        epochs.push(GrantReport::epoch(&content, hash, &payouts).map_err(Failure::from)?);
    }
    epochs.reverse();
    let checkpoint = match read.newest_checkpoint(Log::Record).await? {
        Some((size, note)) => Some((size, plane.log_keys.under_the_present_key(Log::Record, &note)?)),
        None => None,
    };
    Ok(GrantReport {
        frame: Frame::public(&plane.config.title, "../../"),
        site: plane.config.title.clone(),
        log: plane.config.origin.to_string(),
        url: url.to_owned(),
        contributed_sats: read.contributed(&row.grant_id, None).await?,
        checkpoint,
        grant: row.grant_id,
        title: row.title,
        demonstration: GrantReport::is_demonstration(&terms),
        terms,
        epochs,
    })
}

/// What became of each payable line that a batch holds or has paid, and of each that is held or was forfeited.
async fn payouts(read: &mut Read, row: &store::Grant) -> Answer<BTreeMap<(u64, OperatorId), PayoutState>> {
    let paid: BTreeMap<_, _> = read
        .batch_decisions()
        .await?
        .into_iter()
        .filter(|decided| decided.paid_at.is_some())
        .map(|decided| (decided.batch, decided.paid_txid.unwrap_or_default()))
        .collect();
    let lines = read.reserved_lines_of_grant(&row.grant_id).await?.into_iter().map(|line| {
        let state = match paid.get(&line.batch) {
            Some(txid) => PayoutState::Paid { batch: line.batch, txid: txid.clone() },
            None => PayoutState::InBatch { batch: line.batch },
        };
        ((line.epoch, line.operator), state)
    });
    let mut states: BTreeMap<(u64, OperatorId), PayoutState> = lines.collect();
    for (epoch, operator, kind) in Lines::read(read, &row.grant_id).await?.decided() {
        let state = match kind {
            LineDecisionKind::Forfeit => PayoutState::Forfeited,
            _ => PayoutState::Held,
        };
        states.insert((epoch, operator.clone()), state);
    }
    Ok(states)
}

/// Rendered anew each time: the manifest signs what follows from the statement, not what lies in the folder.
fn add_epoch_page(
    plane: &ControlPlane,
    title: &str,
    statement: &Statement,
    hash: &str,
    files: &mut Files,
) -> Result<(), PublishError> {
    let folder = format!("r/{}/{}", statement.grant, EpochPage::folder(statement.epoch));
    let frame = Frame::public(&plane.config.title, "../../../");
    let page = EpochPage::of(frame, title.to_owned(), statement, hash.to_owned()).map_err(Failure::from)?;
    files.insert(format!("{folder}/nodes.csv"), page.csv());
    files.insert(format!("{folder}/epoch.json"), json(&page)?);
    files.insert(format!("{folder}/index.html"), rendered(&page)?);
    Ok(())
}
