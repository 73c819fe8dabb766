//! Placement: which node serves a new device.

use wiregrant_core::api::{DeviceCreated, ProblemKind};
use wiregrant_core::client_file::ClientConfiguration;
use wiregrant_core::usage_report::Class;
use wiregrant_core::{Bytes, LocationId, NodeId, OperatorId, Timestamp, WireGuardPublicKey};
use wiregrant_store::{self as store, AccessCode, Candidate, NewDevice, Read, Write};

use crate::addresses::{FIRST_DEVICE_HOST, LAST_DEVICE_HOST, NodeAddresses};
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::random;

/// A node that was seen this recently surely takes its new peer at once, in seconds.
const RECENT_SECONDS: u64 = 180;

/// A device that has its place.
#[derive(Debug)]
pub struct PlacedDevice {
    /// The node that serves it.
    pub node: NodeId,
    /// What its owner is told.
    pub answer: DeviceCreated,
}

/// Places a device of a code. The same code and key get the same answer again.
///
/// # Errors
/// `access-code-expired`, `access-code-used-up`, `no-node`, `conflict` for a key that is or was another device,
/// `not-found` for an unknown location.
pub async fn place(
    plane: &ControlPlane,
    code: &AccessCode,
    public_key: WireGuardPublicKey,
    location: Option<&LocationId>,
) -> Answer<PlacedDevice> {
    let now = plane.clock.now();
    if code.expires <= now {
        let detail =
            format!("code: it expired at {}; ask whoever gave it to you for a new one", code.expires);
        return Err(Failure::new(ProblemKind::AccessCodeExpired, detail));
    }
    let mut write = plane.store.write().await?;
    if let Some(device) = write.device(&public_key).await? {
        return known(plane, &mut write, code, device).await;
    }
    // Removed devices count: nobody off the node knows what they have used, and the code's quota is for all of them.
    let devices = u64::try_from(write.devices_of_code(code.number).await?.len()).unwrap_or(u64::MAX);
    if devices >= code.devices {
        let detail = format!(
            "code: it is good for {} device(s), and has had {devices}, removed ones included",
            code.devices
        );
        return Err(Failure::new(ProblemKind::AccessCodeUsedUp, detail).with("devices", code.devices));
    }
    if let Some(location) = location
        && write.location(location).await?.is_none()
    {
        return Err(Failure::not_found("location", location));
    }
    for candidate in candidates(&mut write, code, location, now).await? {
        let device = NewDevice {
            public_key,
            code_number: code.number,
            node: candidate.node,
            class: code.class,
            allotment: share(code),
            expires: code.expires,
        };
        if write.place_device(&device, FIRST_DEVICE_HOST..=LAST_DEVICE_HOST, now).await?.is_some() {
            let placed = write.device(&public_key).await?;
            let placed = placed.ok_or_else(|| Failure::internal("a device was placed and is not there"))?;
            let placed = shown(plane, &mut write, placed).await?;
            write.commit().await?;
            return Ok(placed);
        }
    }
    let place = location.map_or_else(|| "anywhere".to_owned(), |location| format!("at {location}"));
    Err(Failure::new(
        ProblemKind::NoNode,
        format!("location: no node has room {place} now; try another place, or later"),
    ))
}

/// What its owner is told of a device.
///
/// # Errors
/// `internal` where the database contradicts itself.
pub async fn shown(plane: &ControlPlane, read: &mut Read, device: store::Device) -> Answer<PlacedDevice> {
    let node = read.node(&device.node).await?;
    let node = node.ok_or_else(|| Failure::internal(format!("node {} vanished", device.node)))?;
    let addresses = NodeAddresses::of(node.number, plane.config.pool_v4, plane.config.pool_v6);
    let (Some(addresses), Some(host)) = (addresses, device.host_number) else {
        return Err(Failure::internal(format!("a device of {} has no address", node.node)));
    };
    let configuration = ClientConfiguration {
        address_v4: addresses.host_v4(host),
        address_v6: addresses.host_v6(host),
        dns: plane.config.dns.clone(),
        node_public_key: node.wireguard_public_key,
        endpoint: node.endpoint,
    };
    let store::Device { allotment, expires, .. } = device;
    Ok(PlacedDevice {
        node: node.node,
        answer: DeviceCreated { configuration, location: node.location, allotment, expires },
    })
}

async fn known(
    plane: &ControlPlane,
    write: &mut Write,
    code: &AccessCode,
    device: store::Device,
) -> Answer<PlacedDevice> {
    let why = match (device.code_number == code.number, device.removed_at) {
        (true, None) => return shown(plane, write, device).await,
        (true, Some(_)) => "it was removed",
        (false, _) => "it belongs to another access code",
    };
    let detail = format!("public_key: {}: {why}; make a new pair of keys", device.public_key);
    Err(Failure::new(ProblemKind::Conflict, detail))
}

/// Nodes that may serve a code, the best first: fewest devices, and chance among equals, so that nobody can tell
/// beforehand on whose node a person will be. An operator's own codes stay on that operator's nodes.
async fn candidates(
    write: &mut Write,
    code: &AccessCode,
    location: Option<&LocationId>,
    now: Timestamp,
) -> Answer<Vec<Candidate>> {
    let operator: Option<OperatorId> = match code.class {
        Class::Assigned => None,
        Class::Invited => Some(code.issuer.parse().map_err(Failure::internal)?),
    };
    let recent = now.unix_seconds().saturating_sub(RECENT_SECONDS.cast_signed()).max(0);
    for seen_since in [recent, 0] {
        let seen_since = Timestamp::from_unix_seconds(seen_since)?;
        let mut found = write.candidates(operator.as_ref(), location, seen_since, now).await?;
        if !found.is_empty() {
            random::shuffle(&mut found);
            found.sort_by_key(|candidate| candidate.devices);
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// Each device of a code may use an equal share of its quota, rounded down.
fn share(code: &AccessCode) -> Bytes {
    let share = code.quota_bytes.get().checked_div(code.devices).unwrap_or(0);
    Bytes::new(share).expect("a part is not more than the whole")
}
