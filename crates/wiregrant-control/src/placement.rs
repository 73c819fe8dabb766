//! Placement: which node serves a new device.

use wiregrant_core::api::{self, DeviceCreated, ProblemKind, Socks5Place};
use wiregrant_core::client_file::ClientConfiguration;
use wiregrant_core::usage_report::Class;
use wiregrant_core::{Bytes, LocationId, NodeId, OperatorId, Timestamp, WireGuardPublicKey};
use wiregrant_store::{self as store, AccessCode, Candidate, NewDevice, Read, Write};

use crate::addresses::{FIRST_DEVICE_HOST, LAST_DEVICE_HOST, NodeAddresses};
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::extract::IdempotencyKey;
use crate::random;
use crate::socks5_login;

/// A node that was seen this recently surely takes its new peer at once, in seconds.
const RECENT_SECONDS: u64 = 180;

/// What a person asks for.
pub struct Wish {
    /// The device's key.
    pub public_key: WireGuardPublicKey,
    /// Where its node should stand; any place when absent.
    pub location: Option<LocationId>,
    /// The request that asks for a login at the node's SOCKS5 service, if it does.
    pub socks5: Option<IdempotencyKey>,
}

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
/// `access-code-expired`, `access-code-used-up`, `no-node`, `conflict` for a key that is or was another device, or for a login
/// where the device's node has no SOCKS5 service, `not-found` for an unknown location.
pub async fn place(plane: &ControlPlane, code: &AccessCode, wish: &Wish) -> Answer<PlacedDevice> {
    let now = plane.clock.now();
    if code.expires <= now {
        let detail =
            format!("code: it expired at {}; ask whoever gave it to you for a new one", code.expires);
        return Err(Failure::new(ProblemKind::AccessCodeExpired, detail));
    }
    let mut write = plane.store.write().await?;
    match write.device(&wish.public_key).await? {
        Some(device) => check_known(code, &device)?,
        None => find_place(&mut write, code, wish, now).await?,
    }
    let socks5_access = match &wish.socks5 {
        Some(request) => Some(socks5_login::give(plane, &mut write, &wish.public_key, request).await?),
        None => None,
    };
    let device = write.device(&wish.public_key).await?;
    let device = device.ok_or_else(|| Failure::internal("a device was placed and is not there"))?;
    let node = device.node.clone();
    let device = shown(plane, &mut write, device).await?;
    write.commit().await?;
    Ok(PlacedDevice { node, answer: DeviceCreated { device, socks5_access } })
}

/// What its owner is told of a device.
///
/// # Errors
/// `internal` where the database contradicts itself.
pub async fn shown(plane: &ControlPlane, read: &mut Read, device: store::Device) -> Answer<api::Device> {
    let node = read.node(&device.node).await?;
    let node = node.ok_or_else(|| Failure::internal(format!("node {} vanished", device.node)))?;
    let addresses = NodeAddresses::of(node.number, plane.config.pool_v4, plane.config.pool_v6);
    let (Some(addresses), Some(host)) = (addresses, device.host_number) else {
        return Err(Failure::internal(format!("a device of {} has no address", node.node)));
    };
    let socks5 = node.socks5_endpoint.zip(device.socks5_username);
    Ok(api::Device {
        public_key: device.public_key,
        location: node.location,
        configuration: ClientConfiguration {
            address_v4: addresses.host_v4(host),
            address_v6: addresses.host_v6(host),
            dns: plane.config.dns.clone(),
            node_public_key: node.wireguard_public_key,
            endpoint: node.endpoint,
        },
        allotment: device.allotment,
        period: device.period,
        level: device.level,
        expires: device.expires,
        paused: node.paused,
        socks5: socks5.map(|(endpoint, username)| Socks5Place { endpoint, username }),
    })
}

/// A device that is known keeps its place.
fn check_known(code: &AccessCode, device: &store::Device) -> Answer<()> {
    let why = match (device.code_number == code.number, device.removed_at) {
        (true, None) => return Ok(()),
        (true, Some(_)) => "it was removed",
        (false, _) => "it belongs to another access code",
    };
    let detail = format!("public_key: {}: {why}; make a new pair of keys", device.public_key);
    Err(Failure::new(ProblemKind::Conflict, detail))
}

async fn find_place(write: &mut Write, code: &AccessCode, wish: &Wish, now: Timestamp) -> Answer<()> {
    // Removed devices count: nobody off the node knows what they have used, and the code's quota is for all of them.
    let devices = u64::try_from(write.devices_of_code(code.number).await?.len()).unwrap_or(u64::MAX);
    if devices >= code.devices {
        let detail = format!(
            "code: it is good for {} device(s), and has had {devices}, removed ones included",
            code.devices
        );
        return Err(Failure::new(ProblemKind::AccessCodeUsedUp, detail).with("devices", code.devices));
    }
    if let Some(location) = &wish.location
        && write.location(location).await?.is_none()
    {
        return Err(Failure::not_found("location", location));
    }
    let found = candidates(write, code, wish, now).await?;
    for candidate in found.willing {
        let device = NewDevice {
            public_key: wish.public_key,
            code_number: code.number,
            node: candidate.node,
            class: code.class,
            allotment: share(code),
            period: code.period,
            expires: code.expires,
        };
        if write.place_device(&device, FIRST_DEVICE_HOST..=LAST_DEVICE_HOST, now).await?.is_some() {
            return Ok(());
        }
    }
    Err(nowhere(wish, found.paused))
}

fn nowhere(wish: &Wish, paused: usize) -> Failure {
    let place = wish.location.as_ref().map_or_else(|| "anywhere".to_owned(), |place| format!("at {place}"));
    let service = if wish.socks5.is_some() { " for a device with SOCKS5" } else { "" };
    let why = match paused {
        0 => String::new(),
        _ => format!("; paused by their operators for now: {paused}"),
    };
    let detail = format!("location: no node has room {place}{service} now{why}; try another place, or later");
    Failure::new(ProblemKind::NoNode, detail).with("paused", paused)
}

/// Nodes that may serve a code.
struct Found {
    /// The best first.
    willing: Vec<Candidate>,
    /// How many more there are whose operators let them pause.
    paused: usize,
}

/// Nodes that may serve a code, the best first: fewest devices, and chance among equals, so that nobody can tell
/// beforehand on whose node a person will be. An operator's own codes stay on that operator's nodes.
async fn candidates(write: &mut Write, code: &AccessCode, wish: &Wish, now: Timestamp) -> Answer<Found> {
    let operator: Option<OperatorId> = match code.class {
        Class::Assigned => None,
        Class::Invited => Some(code.issuer.parse().map_err(Failure::internal)?),
    };
    let location = wish.location.as_ref();
    let recent = now.unix_seconds().saturating_sub(RECENT_SECONDS.cast_signed()).max(0);
    let mut paused = 0;
    for seen_since in [recent, 0] {
        let seen_since = Timestamp::from_unix_seconds(seen_since)?;
        let mut found = write.candidates(operator.as_ref(), location, seen_since, now).await?;
        found.retain(|node| wish.socks5.is_none() || node.socks5_endpoint.is_some());
        let all = found.len();
        found.retain(|node| node.paused.is_none());
        paused = all.saturating_sub(found.len());
        if !found.is_empty() {
            random::shuffle(&mut found);
            found.sort_by_key(|candidate| candidate.devices);
            return Ok(Found { willing: found, paused });
        }
    }
    Ok(Found { willing: Vec::new(), paused })
}

/// Each device of a code may use an equal share of its quota, rounded down.
fn share(code: &AccessCode) -> Bytes {
    let share = code.quota_bytes.get().checked_div(code.devices).unwrap_or(0);
    Bytes::new(share).expect("a part is not more than the whole")
}
