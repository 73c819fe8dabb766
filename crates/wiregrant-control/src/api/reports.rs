//! Usage reports: the way in, and the head.

use axum::Json;
use axum::extract::State;
use transparency_log::Verifier;
use wiregrant_core::NodeId;
use wiregrant_core::api::{MAX_REPORTS_PER_REQUEST, NewReports, ProblemKind, ReportHead, ReportsTaken};

use crate::answer::PlainText;
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Path, Text};
use crate::ingest::{Checked, Sender};
use crate::sequencer::Answers;
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
) -> Answer<PlainText> {
    let sender = caller.node(&node)?;
    let mut answers = take(&plane, sender, vec![note]).await?;
    let acknowledgement = answers.pop().ok_or_else(|| Failure::internal("a report without an answer"))??;
    Ok(PlainText(acknowledgement))
}

/// `POST /nodes/{node}/reports/batch`: answered once all that are acknowledged are durable.
///
/// # Errors
/// `invalid-request`, and those of [`accept`] for the first report.
pub async fn accept_several(
    State(plane): State<Shared>,
    caller: Caller,
    Path(node): Path<NodeId>,
    Body(NewReports { reports }): Body<NewReports>,
) -> Answer<Json<ReportsTaken>> {
    let sender = caller.node(&node)?;
    if reports.is_empty() || reports.len() > MAX_REPORTS_PER_REQUEST {
        let expected = format!("1 to {MAX_REPORTS_PER_REQUEST} reports");
        return Err(Failure::field("reports", reports.len(), &expected));
    }
    let mut taken = ReportsTaken { acknowledgements: Vec::with_capacity(reports.len()), refused: None };
    for answer in take(&plane, sender, reports).await? {
        match answer {
            Ok(acknowledgement) => taken.acknowledgements.push(acknowledgement),
            Err(failure) if taken.acknowledgements.is_empty() => return Err(failure),
            Err(failure) => {
                taken.refused = Some(failure.problem().clone());
                break;
            }
        }
    }
    Ok(Json(taken))
}

/// Checks notes where that keeps nobody waiting, and hands them to the writer. A single one is checked in place, as its request was a
/// moment ago: another thread would cost two switches of context more.
async fn take(plane: &Shared, sender: Sender, notes: Vec<String>) -> Answer<Answers> {
    let (checked, notes) = if notes.len() == 1 {
        (Checked::of(&notes, &sender, plane.continued.logs()), notes)
    } else {
        let (logs, sender) = (plane.continued.logs().clone(), sender.clone());
        plane.processors.run(move || Ok((Checked::of(&notes, &sender, &logs), notes))).await?
    };
    let checked = match checked {
        Err(refused) if refused.problem().is(ProblemKind::ReportSignature) => {
            by_former_key(plane, &sender, &notes, refused).await?
        }
        checked => checked?,
    };
    plane.reports.submit(checked).await
}

/// Reports that the node's key of before has signed, which the node sends again because the control plane has lost them: the request
/// is signed by the present key, and the reports end before the former one was replaced. Else what was refused stays refused.
async fn by_former_key(
    plane: &Shared,
    sender: &Sender,
    notes: &[String],
    refused: Failure,
) -> Answer<Checked> {
    for rekey in plane.store.read().await?.rekeys_of_node(&sender.node).await? {
        let vkey = Verifier::from_public_key(sender.node.as_str(), rekey.former_key);
        let former = Sender { vkey: vkey.map_err(Failure::internal)?, ..sender.clone() };
        let Ok(checked) = Checked::of(notes, &former, plane.continued.logs()) else { continue };
        if checked.reports.iter().all(|report| report.content().end <= rekey.rekeyed_at) {
            return Ok(Checked { identity_key: sender.vkey.public_key(), ..checked });
        }
    }
    Err(refused)
}
