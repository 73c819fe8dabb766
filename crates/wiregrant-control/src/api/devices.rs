//! Devices: a public key in, a configuration out. The private key never comes here.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::BASE64URL_NOPAD;
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::api::{CodeDevices, DeviceCreated, NewDevice, Socks5Access};
use wiregrant_store::{self as store, AccessCode, Read};

use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{IdempotencyKey, Json as Body, Path};
use crate::placement::{self, Wish};
use crate::sign_in::Caller;
use crate::{retention, socks5_login, switching};

/// `POST /devices`
///
/// # Errors
/// `access-code-expired`, `access-code-used-up`, `no-node`, `conflict`, `invalid-request`.
pub async fn create(
    State(plane): State<Shared>,
    caller: Caller,
    request: IdempotencyKey,
    Body(new): Body<NewDevice>,
) -> Answer<(StatusCode, Json<DeviceCreated>)> {
    let code = caller.access_code()?;
    let NewDevice { public_key, location, socks5 } = new;
    let wish = Wish { public_key: public_key.checked()?, location, socks5: socks5.then_some(request) };
    let created = placement::place(&plane, &code, &wish).await?;
    plane.changes.of(&created.node);
    Ok((StatusCode::CREATED, Json(created.answer)))
}

/// `GET /devices`
///
/// # Errors
/// `busy` or `internal`.
pub async fn list(State(plane): State<Shared>, caller: Caller) -> Answer<Json<CodeDevices>> {
    let code = caller.access_code()?;
    let mut read = plane.store.read().await?;
    let mut devices = Vec::new();
    for device in read.devices_of_code(code.number).await? {
        if device.removed_at.is_none() {
            devices.push(placement::shown(&plane, &mut read, device).await?);
        }
    }
    Ok(Json(CodeDevices { devices, devices_allowed: code.devices, expires: code.expires }))
}

/// `DELETE /devices/{public key, base64url}`: removing it once more is no error.
///
/// # Errors
/// `not-found` for a key that is no device of this code.
pub async fn remove(
    State(plane): State<Shared>,
    caller: Caller,
    Path(public_key): Path<String>,
) -> Answer<StatusCode> {
    let code = caller.access_code()?;
    let mut write = plane.store.write().await?;
    let device = of_code(&mut write, &code, &public_key).await?;
    if device.removed_at.is_none() {
        let node = write.remove_device(&device.public_key, plane.clock.now()).await?;
        write.commit().await?;
        plane.changes.of(&node);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /devices/{public key, base64url}/switch`: the device of another key on another node takes its place.
///
/// # Errors
/// `not-found`, `access-code-expired`, `access-code-used-up` for what cannot be switched now, `no-node`, `conflict`,
/// `invalid-request`.
pub async fn switch(
    State(plane): State<Shared>,
    caller: Caller,
    request: IdempotencyKey,
    Path(public_key): Path<String>,
    Body(new): Body<NewDevice>,
) -> Answer<(StatusCode, Json<DeviceCreated>)> {
    let code = caller.access_code()?;
    let before = of_code(&mut plane.store.read().await?, &code, &public_key).await?;
    let NewDevice { public_key, location, socks5 } = new;
    let wish = Wish { public_key: public_key.checked()?, location, socks5: socks5.then_some(request) };
    let created = switching::switch(&plane, &code, &before.public_key, &wish).await?;
    for node in [&before.node, &created.node] {
        plane.changes.of(node);
    }
    Ok((StatusCode::CREATED, Json(created.answer)))
}

/// `DELETE /code`: the code and all its devices, for good. What was issued and placed still bounds what nodes are credited; whose it
/// was is kept nowhere.
///
/// # Errors
/// `busy` or `internal`.
pub async fn forget_code(State(plane): State<Shared>, caller: Caller) -> Answer<StatusCode> {
    let code = caller.access_code()?;
    let mut write = plane.store.write().await?;
    let nodes = retention::forget_code(&mut write, code.number, plane.clock.now()).await?;
    write.commit().await?;
    nodes.iter().for_each(|node| plane.changes.of(node));
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /devices/{public key, base64url}/socks5`: a login with a new password; the old one stops.
///
/// # Errors
/// `not-found` for a key that is no device of this code or was removed, `conflict` where its node has no SOCKS5 service.
pub async fn socks5(
    State(plane): State<Shared>,
    caller: Caller,
    request: IdempotencyKey,
    Path(public_key): Path<String>,
) -> Answer<Json<Socks5Access>> {
    let code = caller.access_code()?;
    let mut write = plane.store.write().await?;
    let device = of_code(&mut write, &code, &public_key).await?;
    let access = socks5_login::give(&plane, &mut write, &device.public_key, &request).await?;
    write.commit().await?;
    plane.changes.of(&device.node);
    Ok(Json(access))
}

/// The device of this code with a key from a path, removed or not.
async fn of_code(read: &mut Read, code: &AccessCode, public_key: &str) -> Answer<store::Device> {
    let key = BASE64URL_NOPAD.decode(public_key.trim_end_matches('=').as_bytes()).ok();
    let key = key.and_then(|key| <[u8; 32]>::try_from(key).ok()).map(WireGuardPublicKey::from);
    let key = key.ok_or_else(|| Failure::field("public key", public_key, "32 bytes in base64url"))?;
    let device = read.device(&key).await?.filter(|device| device.code_number == code.number);
    device.ok_or_else(|| Failure::not_found("device", key))
}
