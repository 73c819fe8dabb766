//! Recovery: an operator whose people lost every token gets another by proving who they are, after a delay in which whoever
//! still has one sees it and can end it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use transparency_log::{Hash, Verifier};
use wiregrant_core::api::{NewRecovery, ProblemKind, Recovered};
use wiregrant_core::note::Signed;
use wiregrant_core::recovery::Recovery;
use wiregrant_core::{OperatorId, Timestamp};
use wiregrant_payout::{Pay, PayoutError, ownership};
use wiregrant_store::{Party, StoreError};

use super::check_name;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Path};
use crate::payout_batch::addresses::in_force;
use crate::tokens;

/// How long a recovered token waits before it signs in, in seconds: 72 hours.
pub const DELAY_SECONDS: u64 = 72 * 3_600;
/// Recovered tokens of one operator that wait at a time.
const MAX_WAITING: usize = 5;

/// `POST /operators/{operator}/recovery`
///
/// # Errors
/// `not-found`, `invalid-request`, `conflict`, `address`, `looks-like-a-secret`.
pub async fn create(
    State(plane): State<Shared>,
    Path(operator): Path<OperatorId>,
    Body(new): Body<NewRecovery>,
) -> Answer<(StatusCode, Json<Recovered>)> {
    check_name("holder", &new.holder)?;
    let now = plane.clock.now();
    let proven = match (&new.note, &new.proof, new.signed_at) {
        (Some(note), None, None) => by_key(&plane, &operator, note).await?,
        (None, Some(proof), Some(time)) => by_destination(&plane, &operator, proof, time).await?,
        _ => {
            let detail = "note, proof, signed_at: send either a note, or a proof with the time that it names";
            return Err(Failure::new(ProblemKind::InvalidRequest, detail));
        }
    };
    let mut write = plane.store.write().await?;
    let party = Party::Operator(operator.clone());
    let waiting = write.tokens_of(&party).await?;
    let waiting = waiting.iter().filter(|token| token.revoked_at.is_none() && token.valid_from > now).count();
    if waiting >= MAX_WAITING {
        let detail =
            format!("{operator}: {waiting} recovered tokens wait already; revoke one with another token");
        return Err(Failure::new(ProblemKind::Conflict, detail));
    }
    let valid_from = now.plus_seconds(DELAY_SECONDS);
    let asked = tokens::Asked { party, holder: new.holder, made_by: None, valid_from };
    let issued = tokens::issue(&plane.keys, &mut write, asked, now).await?;
    match write.insert_recovery(proven, &operator, &issued.id, now).await {
        Err(StoreError::Exists { .. }) => {
            let detail = "note, proof: it was used before; sign another one";
            return Err(Failure::new(ProblemKind::Conflict, detail));
        }
        other => other?,
    }
    write.commit().await?;
    tracing::warn!(%operator, token = %issued.id, %valid_from, "an operator recovers a lost token");
    Ok((StatusCode::CREATED, Json(Recovered { id: issued.id, token: issued.token, valid_from })))
}

/// What the operator's own key has signed, by its hash.
async fn by_key(plane: &ControlPlane, operator: &OperatorId, note: &str) -> Answer<Hash> {
    let vkey = key(plane, operator).await?;
    let signed = Signed::<Recovery>::parse(note).map_err(|error| refused(&error))?;
    signed.verified_by(&vkey).map_err(|error| refused(&error))?;
    check(plane, operator, signed.content())?;
    Ok(signed.hash())
}

/// What the wallet has signed that the operator is paid at, by its hash. It is the destination in force that counts: who has set
/// another one had a token, and it may be the thief's.
async fn by_destination(
    plane: &ControlPlane,
    operator: &OperatorId,
    proof: &str,
    time: Timestamp,
) -> Answer<Hash> {
    let now = plane.clock.now();
    check_time("signed_at", time, now)?;
    let mut read = plane.store.read().await?;
    if read.operator(operator).await?.is_none() {
        return Err(Failure::not_found("operator", operator));
    }
    let all = read.destinations(operator).await?;
    let in_force = in_force(&all, now, plane.config.destination_delay_seconds).ok_or_else(|| {
        let detail = format!("{operator} has said nowhere where to be paid; ask the administrator");
        Failure::new(ProblemKind::Conflict, detail)
    })?;
    let pay = Pay::parse(&in_force.pay, plane.config.network).map_err(Failure::internal)?;
    let address = pay.first_address().map_err(Failure::internal)?.ok_or_else(|| {
        let detail = format!("{operator} is paid at a name, which has no address of its own to sign with; ask the administrator");
        Failure::new(ProblemKind::Conflict, detail)
    })?;
    let text = ownership::recovery_message(&plane.config.origin, operator, time);
    match ownership::check(&address, &text, proof) {
        Ok(_) => Ok(Hash::of(text.as_bytes())),
        Err(error @ PayoutError::LooksLikeASecret { .. }) => {
            Err(Failure::new(ProblemKind::LooksLikeASecret, error.to_string()))
        }
        Err(error) => Err(Failure::new(ProblemKind::Address, format!("{error}; sign exactly this: {text}"))),
    }
}

/// The operator's own key.
async fn key(plane: &ControlPlane, operator: &OperatorId) -> Answer<Verifier> {
    let row = plane.store.read().await?.operator(operator).await?;
    let row = row.ok_or_else(|| Failure::not_found("operator", operator))?;
    let vkey = row.vkey.ok_or_else(|| {
        let detail = format!(
            "{operator} has no key here to prove it with; sign with the wallet you are paid at instead"
        );
        Failure::new(ProblemKind::Conflict, detail)
    })?;
    vkey.parse().map_err(Failure::internal)
}

fn check(plane: &ControlPlane, operator: &OperatorId, note: &Recovery) -> Answer<()> {
    let agree = |field: &str, expected: String, found: String| {
        if expected == found {
            return Ok(());
        }
        let detail = format!("note: {field}: expected {expected}, found {found}; sign it again");
        Err(Failure::new(ProblemKind::InvalidRequest, detail))
    };
    agree("log", plane.config.origin.to_string(), note.log.to_string())?;
    agree("operator", operator.to_string(), note.operator.to_string())?;
    check_time("note: time", note.time, plane.clock.now())
}

fn check_time(field: &str, time: Timestamp, now: Timestamp) -> Answer<()> {
    if time.distance_seconds(now) > Recovery::MAX_AGE_SECONDS {
        let detail = format!("{field}: {time} is more than an hour from {now}; sign it again");
        return Err(Failure::new(ProblemKind::InvalidRequest, detail));
    }
    Ok(())
}

fn refused(error: &impl std::fmt::Display) -> Failure {
    Failure::new(ProblemKind::InvalidRequest, format!("note: {error}"))
}
