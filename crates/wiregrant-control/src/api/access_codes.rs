//! Access codes: issued in numbers, shown once.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use wiregrant_core::access_code::AccessCode;
use wiregrant_core::api::{AccessCodeState, AccessCodesCreated, List, NewAccessCodes};
use wiregrant_core::usage_report::Class;
use wiregrant_core::{Bytes, Timestamp};
use wiregrant_store as store;

use super::list as as_list;
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::Json as Body;
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
    write.commit().await?;
    let codes = codes.iter().map(|code| code.reveal().to_owned()).collect();
    Ok((StatusCode::CREATED, Json(AccessCodesCreated { codes, class })))
}

/// `GET /access-codes`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>, caller: Caller) -> Answer<Json<List<AccessCodeState>>> {
    let (class, issuer) = issuer(&caller)?;
    let shown = |row: store::AccessCodeUse| {
        let store::AccessCodeUse { number, class, devices, devices_used, quota_bytes, period, expires } = row;
        AccessCodeState { number, class, devices, devices_used, quota_bytes, period, expires }
    };
    let codes = plane.store.read().await?.access_codes_of(class, &issuer).await?;
    Ok(as_list(codes.into_iter().map(shown).collect()))
}

fn issuer(caller: &Caller) -> Answer<(Class, String)> {
    match caller {
        Caller::Distributor(distributor) => Ok((Class::Assigned, distributor.to_string())),
        Caller::Operator(operator) => Ok((Class::Invited, operator.to_string())),
        _ => Err(Failure::internal("an issuer passed the gate that is none")),
    }
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
