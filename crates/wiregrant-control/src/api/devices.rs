//! Devices: a public key in, a configuration out. The private key never comes here.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::BASE64URL_NOPAD;
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::api::{CodeDevices, Device, DeviceCreated, NewDevice};

use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Path};
use crate::placement;
use crate::sign_in::Caller;

/// `POST /devices`
///
/// # Errors
/// `access-code-expired`, `access-code-used-up`, `no-node`, `conflict`, `invalid-request`.
pub async fn create(
    State(plane): State<Shared>,
    caller: Caller,
    Body(new): Body<NewDevice>,
) -> Answer<(StatusCode, Json<DeviceCreated>)> {
    let code = caller.access_code()?;
    let created = placement::place(&plane, &code, new.public_key.checked()?, new.location.as_ref()).await?;
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
        let public_key = device.public_key;
        if device.removed_at.is_none() {
            let shown = placement::shown(&plane, &mut read, device).await?.answer;
            let DeviceCreated { location, configuration, .. } = shown;
            devices.push(Device { public_key, location, configuration });
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
    let key = BASE64URL_NOPAD.decode(public_key.trim_end_matches('=').as_bytes()).ok();
    let key = key.and_then(|key| <[u8; 32]>::try_from(key).ok()).map(WireGuardPublicKey::from);
    let key = key.ok_or_else(|| Failure::field("public key", &public_key, "32 bytes in base64url"))?;
    let mut write = plane.store.write().await?;
    let device = write.device(&key).await?.filter(|device| device.code_number == code.number);
    let device = device.ok_or_else(|| Failure::not_found("device", key))?;
    if device.removed_at.is_none() {
        let node = write.remove_device(&key, plane.clock.now()).await?;
        write.commit().await?;
        plane.changes.of(&node);
    }
    Ok(StatusCode::NO_CONTENT)
}
