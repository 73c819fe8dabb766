//! Usage reports: the way in, and the head.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use wiregrant_core::NodeId;
use wiregrant_core::api::ReportHead;

use crate::control_plane::Shared;
use crate::error::Answer;
use crate::extract::{Path, Text};
use crate::ingest;
use crate::sign_in::Caller;

/// `GET /nodes/{node}/head`
///
/// # Errors
/// `forbidden`, `busy`, `internal`.
pub async fn head(
    State(plane): State<Shared>,
    caller: Caller,
    Path(node): Path<NodeId>,
) -> Answer<Json<ReportHead>> {
    caller.node(&node)?;
    let head = plane.store.read().await?.head_report(&node).await?;
    Ok(Json(head.map_or(ReportHead { sequence: 0, note: None }, |head| ReportHead {
        sequence: head.sequence,
        note: Some(head.note),
    })))
}

/// `POST /nodes/{node}/reports`: answered once the report is durable, with the proof of its entry in the reports log.
///
/// # Errors
/// One problem type for each way in which a report can be wrong; see [`crate::ingest`].
pub async fn accept(
    State(plane): State<Shared>,
    caller: Caller,
    Path(node): Path<NodeId>,
    Text(note): Text,
) -> Answer<Response> {
    let sender = caller.node(&node)?;
    let report = ingest::read(&note)?;
    ingest::check_sender(&report, &sender, &plane.config.origin)?;
    let acknowledgement = plane.reports.submit(report).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], acknowledgement).into_response())
}
