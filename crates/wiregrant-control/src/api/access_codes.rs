//! Access codes: issued in numbers, shown once.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use wiregrant_core::access_code::AccessCode;
use wiregrant_core::api::{AccessCodeState, AccessCodesCreated, NewAccessCodes, ProblemKind};
use wiregrant_core::usage_report::Class;
use wiregrant_core::{Bytes, DistributorId, Timestamp};
use wiregrant_store::{self as store, Read};

use crate::answer::Listed;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Page, Path};
use crate::keys::Purpose;
use crate::random;
use crate::sign_in::Caller;

/// The most codes of one request.
pub const MAX_CODES: u64 = 1_000;
/// The most devices of one code.
pub const MAX_DEVICES: u64 = 100;

/// `POST /access-codes`: a distributor's codes are assigned, an operator's are invited.
///
/// # Errors
/// `invalid-request`.
pub async fn create(
    State(plane): State<Shared>,
    caller: Caller,
    Body(new): Body<NewAccessCodes>,
) -> Answer<(StatusCode, Json<AccessCodesCreated>)> {
    let now = plane.clock.now();
    check(&new, now)?;
    let (class, issuer) = issuer(&caller)?;
    let codes: Vec<AccessCode> = (0..new.count).map(|_| AccessCode::from_random(random::bytes())).collect();
    let hashes: Vec<_> =
        codes.iter().map(|code| plane.keys.hash(Purpose::AccessCode, code.reveal())).collect();
    let NewAccessCodes { devices, quota_bytes, period, expires, .. } = new;
    let kept = store::NewAccessCodes { class, issuer, devices, quota_bytes, period, expires };
    let mut write = plane.store.write().await?;
    write.insert_access_codes(&hashes, &kept, now).await?;
    if let Caller::Distributor(distributor) = &caller {
        within_budget(&mut write, distributor).await?;
    }
    write.commit().await?;
    let codes = codes.iter().map(|code| code.reveal().to_owned()).collect();
    Ok((StatusCode::CREATED, Json(AccessCodesCreated { codes, class })))
}

/// `GET /access-codes`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(
    State(plane): State<Shared>,
    caller: Caller,
    page: Page,
) -> Answer<Listed<AccessCodeState>> {
    page.of(issued(&plane, &caller).await?, |row| row.number.to_string())
}

/// `POST /distributors/{distributor}/access-codes`: the administrator issues codes for a distributor, within their budget.
///
/// # Errors
/// `not-found`, `invalid-request`, `budget`.
pub async fn create_for(
    State(plane): State<Shared>,
    Path(distributor): Path<DistributorId>,
    new: Body<NewAccessCodes>,
) -> Answer<(StatusCode, Json<AccessCodesCreated>)> {
    create(State(plane.clone()), as_distributor(&plane, distributor).await?, new).await
}

/// `GET /distributors/{distributor}/access-codes`
///
/// # Errors
/// `not-found`.
pub async fn list_of(
    State(plane): State<Shared>,
    Path(distributor): Path<DistributorId>,
    page: Page,
) -> Answer<Listed<AccessCodeState>> {
    list(State(plane.clone()), as_distributor(&plane, distributor).await?, page).await
}

/// A distributor as who asks: their codes are theirs, whoever typed.
///
/// # Errors
/// `not-found`.
pub async fn as_distributor(plane: &ControlPlane, distributor: DistributorId) -> Answer<Caller> {
    let known = plane.store.read().await?.distributors().await?;
    match known.iter().any(|row| row.distributor == distributor) {
        true => Ok(Caller::Distributor(distributor)),
        false => Err(Failure::not_found("distributor", distributor)),
    }
}

/// All codes that who asks has issued, the oldest first.
///
/// # Errors
/// `busy` or `internal`.
pub async fn issued(plane: &ControlPlane, caller: &Caller) -> Answer<Vec<AccessCodeState>> {
    let (class, issuer) = issuer(caller)?;
    let shown = |row: store::AccessCodeUse| {
        let store::AccessCodeUse { number, class, devices, devices_used, quota_bytes, period, expires } = row;
        AccessCodeState { number, class, devices, devices_used, quota_bytes, period, expires }
    };
    let codes = plane.store.read().await?.access_codes_of(class, &issuer).await?;
    Ok(codes.into_iter().map(shown).collect())
}

fn issuer(caller: &Caller) -> Answer<(Class, String)> {
    match caller {
        Caller::Distributor(distributor) => Ok((Class::Assigned, distributor.to_string())),
        Caller::Operator(operator) => Ok((Class::Invited, operator.to_string())),
        _ => Err(Failure::internal("an issuer passed the gate that is none")),
    }
}

/// Holds a distributor to their budget, counting what was just issued.
async fn within_budget(read: &mut Read, distributor: &DistributorId) -> Answer<()> {
    let row = read.distributors().await?.into_iter().find(|row| row.distributor == *distributor);
    let row = row.ok_or_else(|| Failure::internal("a distributor issues codes who is not there"))?;
    let for_ever = Timestamp::from_unix_seconds(0)?.plus_seconds(u64::MAX);
    let bytes_issued = match row.bytes_budget {
        Some(_) => read.assigned_quota_issued(Some(distributor), for_ever).await?,
        None => Bytes::ZERO,
    };
    let codes_are_too_many = row.codes_budget.is_some_and(|budget| row.codes_issued > budget);
    let bytes_are_too_many = row.bytes_budget.is_some_and(|budget| bytes_issued > budget);
    if !codes_are_too_many && !bytes_are_too_many {
        return Ok(());
    }
    let most = |most: Option<String>| most.unwrap_or_else(|| "any number of".to_owned());
    let detail = format!(
        "count, quota_bytes: with these it would be {} codes for {bytes_issued} bytes; {distributor} may issue {} codes for {} bytes",
        row.codes_issued,
        most(row.codes_budget.map(|codes| codes.to_string())),
        most(row.bytes_budget.map(|bytes| bytes.to_string())),
    );
    Err(Failure::new(ProblemKind::Budget, detail))
}

fn check(new: &NewAccessCodes, now: Timestamp) -> Answer<()> {
    if !(1..=MAX_CODES).contains(&new.count) {
        return Err(Failure::field("count", new.count, "1 to 1000 codes"));
    }
    if !(1..=MAX_DEVICES).contains(&new.devices) {
        return Err(Failure::field("devices", new.devices, "1 to 100 devices"));
    }
    if new.quota_bytes == Bytes::ZERO {
        return Err(Failure::field("quota_bytes", new.quota_bytes, "at least 1 byte"));
    }
    if new.expires <= now {
        return Err(Failure::field("expires", new.expires, "a moment to come"));
    }
    Ok(())
}
