//! Operators and where they are paid.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use transparency_log::Verifier;
use wiregrant_core::api::{Created, Destination, NewDestination, NewOperator, Operator, ProblemKind};
use wiregrant_core::note::{NoteText as _, Signed};
use wiregrant_core::record::RecordEntry;
use wiregrant_core::{OperatorId, Timestamp};
use wiregrant_payout::{self as payout, Pay, PayoutError};
use wiregrant_store::{self as store, Party, Read, StoreError};

use crate::answer::Listed;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Page, Path};
use crate::random;
use crate::recording::Recording;
use crate::sign_in::{Caller, Holder};
use crate::tokens;

/// `POST /operators`
///
/// # Errors
/// `already-exists`, `invalid-request`.
pub async fn create(
    State(plane): State<Shared>,
    maker: Holder,
    Body(new): Body<NewOperator>,
) -> Answer<(StatusCode, Json<Created>)> {
    let NewOperator { operator, vkey } = new;
    let vkey = vkey.map(|vkey| operators_key(&operator, &vkey)).transpose()?.map(|vkey| vkey.to_string());
    let party = Party::Operator(operator.clone());
    let now = plane.clock.now();
    let mut recording = Recording::begin(&plane).await?;
    match recording.write.insert_operator(&operator, vkey.as_deref(), now).await {
        Err(StoreError::Exists { .. }) => {
            let detail = format!("operator: there is one called {operator} already; choose another id");
            return Err(Failure::new(ProblemKind::AlreadyExists, detail));
        }
        other => other?,
    }
    let issued = tokens::issue_first(&plane.keys, &mut recording.write, party, maker.token, now).await?;
    recording.log(RecordEntry::Operator { operator: operator.clone(), vkey });
    recording.commit().await?;
    Ok((StatusCode::CREATED, Json(Created { id: operator.to_string(), token: issued.token })))
}

/// `GET /operators`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>, page: Page) -> Answer<Listed<Operator>> {
    let mut read = plane.store.read().await?;
    let mut operators = Vec::new();
    for operator in read.operators().await? {
        operators.push(shown(&plane, &mut read, operator).await?);
    }
    page.of(operators, |row| row.operator.to_string())
}

/// `GET /operators/{operator}`
///
/// # Errors
/// `forbidden`, `not-found`.
pub async fn show(
    State(plane): State<Shared>,
    caller: Caller,
    Path(operator): Path<OperatorId>,
) -> Answer<Json<Operator>> {
    caller.acts_for(&operator)?;
    let mut read = plane.store.read().await?;
    let row = read.operator(&operator).await?.ok_or_else(|| Failure::not_found("operator", &operator))?;
    Ok(Json(shown(&plane, &mut read, row).await?))
}

/// `POST /operators/{operator}/destination`
///
/// # Errors
/// `forbidden`, `not-found`, `invalid-request`, `address`, `looks-like-a-secret`, `conflict`.
pub async fn set_destination(
    State(plane): State<Shared>,
    caller: Caller,
    Path(operator): Path<OperatorId>,
    Body(new): Body<NewDestination>,
) -> Answer<Json<Destination>> {
    caller.acts_for(&operator)?;
    refuse_secrets(&plane, &new)?;
    let mut recording = Recording::begin(&plane).await?;
    let owner = recording.write.operator(&operator).await?;
    let owner = owner.ok_or_else(|| Failure::not_found("operator", &operator))?;
    let last = recording.write.newest_destination(&operator).await?;
    let signed = match (new.note, new.pay) {
        (Some(note), None) => match signed_by_operator(&plane, &owner, &note, last.as_ref())? {
            Some(signed) => signed,
            // The very note that is in force: its answer got lost on the way.
            None => return Ok(Json(destination(&plane, last.expect("the newest note is stored")))),
        },
        (None, Some(pay)) => signed_for_operator(&plane, &owner, pay, last.as_ref())?,
        _ => {
            let detail = "note, pay: send exactly one of the two";
            return Err(Failure::new(ProblemKind::InvalidRequest, detail));
        }
    };
    if let Some(proof) = &new.proof {
        ownership(signed.content(), proof)?;
    }
    let row = store::Destination {
        operator: operator.clone(),
        ownership: new.proof,
        sequence: signed.content().sequence,
        note: signed.note().to_owned(),
        note_hash: signed.hash(),
        pay: signed.content().pay.clone(),
        signed_by_operator: owner.vkey.is_some(),
        created_at: plane.clock.now(),
    };
    recording.write.insert_destination(&row).await?;
    recording.log(RecordEntry::Destination { operator, sequence: row.sequence, note: row.note_hash });
    recording.commit().await?;
    Ok(Json(destination(&plane, row)))
}

async fn shown(plane: &ControlPlane, read: &mut Read, row: store::Operator) -> Answer<Operator> {
    let newest = read.newest_destination(&row.operator).await?;
    Ok(Operator {
        operator: row.operator,
        vkey: row.vkey,
        destination: newest.map(|newest| destination(plane, newest)),
    })
}

/// When payments begin to follow a destination: after the delay, an operator's first one at once.
#[must_use]
pub fn in_force_from(plane: &ControlPlane, row: &store::Destination) -> Timestamp {
    let delay = if row.sequence == 1 { 0 } else { plane.config.destination_delay_seconds };
    row.created_at.plus_seconds(delay)
}

fn destination(plane: &ControlPlane, row: store::Destination) -> Destination {
    let (ownership_proven, in_force_from) = (row.ownership.is_some(), in_force_from(plane, &row));
    let store::Destination { sequence, pay, note, signed_by_operator, .. } = row;
    Destination { sequence, pay, note, signed_by_operator, ownership_proven, in_force_from }
}

fn operators_key(operator: &OperatorId, vkey: &str) -> Answer<Verifier> {
    let refuse = || {
        let expected = "a verifier key named like the operator, as `wiregrant operator key make` prints it";
        Failure::field("vkey", vkey, expected)
    };
    let key: Verifier = vkey.parse().map_err(|_| refuse())?;
    if key.name() == operator.as_str() { Ok(key) } else { Err(refuse()) }
}

/// A string that looks like a private key is refused before anything may repeat it.
fn refuse_secrets(plane: &ControlPlane, new: &NewDestination) -> Answer<()> {
    // A note has a seed's number of words of its own, so in what has the form of one only the `pay` line is looked at.
    let note = new.note.as_deref().map(|note| match note.split_once("\npay ") {
        Some((head, pay)) if head.starts_with(payout::Destination::KIND) => {
            pay.lines().next().unwrap_or_default()
        }
        _ => note,
    });
    for text in [note, new.pay.as_deref(), new.proof.as_deref()].into_iter().flatten() {
        if let Err(error @ PayoutError::LooksLikeASecret { .. }) =
            Pay::parse(text.trim(), plane.config.network)
        {
            return Err(refused(&error));
        }
    }
    Ok(())
}

fn refused(error: &PayoutError) -> Failure {
    let kind = match error {
        PayoutError::LooksLikeASecret { .. } => ProblemKind::LooksLikeASecret,
        _ => ProblemKind::Address,
    };
    Failure::new(kind, error.to_string())
}

/// Checks a note that an operator has signed; `None` when it is the one in force.
fn signed_by_operator(
    plane: &ControlPlane,
    owner: &store::Operator,
    note: &str,
    last: Option<&store::Destination>,
) -> Answer<Option<Signed<payout::Destination>>> {
    if last.is_some_and(|last| last.note == note) {
        return Ok(None);
    }
    let vkey = owner.vkey.as_ref().ok_or_else(|| {
        let detail = format!("note: {} has no key here; send the address as `pay`", owner.operator);
        Failure::new(ProblemKind::InvalidRequest, detail)
    })?;
    let vkey: Verifier = vkey.parse().map_err(Failure::internal)?;
    let signed = Signed::<payout::Destination>::parse(note)
        .map_err(|error| Failure::new(ProblemKind::InvalidRequest, format!("note: {error}")))?;
    signed
        .verified_by(&vkey)
        .map_err(|error| Failure::new(ProblemKind::InvalidRequest, format!("note: {error}")))?;
    let content = signed.content();
    let agree = |field: &str, expected: String, found: String| {
        if expected == found {
            return Ok(());
        }
        let detail = format!("note: {field}: expected {expected}, found {found}; sign it again");
        Err(Failure::new(ProblemKind::Conflict, detail).with("expected", expected))
    };
    agree("log", plane.config.origin.to_string(), content.log.to_string())?;
    agree("network", plane.config.network.to_string(), content.network.to_string())?;
    agree("operator", owner.operator.to_string(), content.operator.to_string())?;
    let (sequence, previous) = next(last);
    agree("sequence", sequence.to_string(), content.sequence.to_string())?;
    let shown = |hash: Option<transparency_log::Hash>| wiregrant_core::note::or_dash(hash).to_string();
    agree("previous", shown(previous), shown(content.previous))?;
    payable(content)?;
    Ok(Some(signed))
}

/// Signs in the place of an operator who has no key; every check says so.
fn signed_for_operator(
    plane: &ControlPlane,
    owner: &store::Operator,
    pay: String,
    last: Option<&store::Destination>,
) -> Answer<Signed<payout::Destination>> {
    if owner.vkey.is_some() {
        let detail = format!(
            "pay: {} has a key; send a note signed with it (`wiregrant destination sign`)",
            owner.operator
        );
        return Err(Failure::new(ProblemKind::InvalidRequest, detail));
    }
    let pay = Pay::parse(&pay, plane.config.network).map_err(|error| refused(&error))?;
    let (sequence, previous) = next(last);
    let content = payout::Destination {
        log: plane.config.origin.clone(),
        network: plane.config.network,
        operator: owner.operator.clone(),
        sequence,
        previous,
        salt: random::salt(),
        pay: pay.to_string(),
    };
    let content = content.checked().map_err(|error| refused(&error))?;
    payable(&content)?;
    Signed::sign(content, &plane.keys.statement).map_err(Failure::internal)
}

/// Refuses what can never be paid: a link without an address, too.
fn payable(content: &payout::Destination) -> Answer<()> {
    content.payable().and_then(|pay| pay.first_address()).map(drop).map_err(|error| refused(&error))
}

/// Checks the message that the destination's own address has signed.
fn ownership(content: &payout::Destination, proof: &str) -> Answer<()> {
    let address = content.payable().and_then(|pay| pay.first_address()).map_err(|error| refused(&error))?;
    let address = address.ok_or_else(|| {
        let detail = "proof: a name has no address of its own to sign with; leave the proof out";
        Failure::new(ProblemKind::InvalidRequest, detail)
    })?;
    let text = payout::ownership::message(&content.log, &content.operator, &address);
    match payout::ownership::check(&address, &text, proof) {
        Ok(_) => Ok(()),
        Err(error @ PayoutError::LooksLikeASecret { .. }) => Err(refused(&error)),
        Err(error) => Err(Failure::new(ProblemKind::Address, format!("{error}; sign exactly this: {text}"))),
    }
}

fn next(last: Option<&store::Destination>) -> (u64, Option<transparency_log::Hash>) {
    (last.map_or(1, |last| last.sequence.saturating_add(1)), last.map(|last| last.note_hash))
}
