//! Placement: which node serves a new device.
//!
//! A node is given devices while its agent asks, the control plane has completed a WireGuard handshake with its endpoint, and its
//! operator does not let it pause. Among those it is drawn at random, each by the weight of what its last report says it has free: so
//! nobody can tell beforehand on whose node a person will be, and a busy node is drawn seldom.

use wiregrant_core::api::{self, DeviceCreated, MAX_WAIT_SECONDS, NodeState, ProblemKind, Socks5Place};
use wiregrant_core::client_file::ClientConfiguration;
use wiregrant_core::note::Signed;
use wiregrant_core::usage_report::{Class, UsageReport};
use wiregrant_core::{Bytes, LocationId, NodeId, OperatorId, Timestamp, WireGuardPublicKey};
use wiregrant_store::{self as store, AccessCode, Candidate, NewDevice, Read, Write};

use crate::addresses::{FIRST_DEVICE_HOST, LAST_DEVICE_HOST, NodeAddresses};
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::extract::IdempotencyKey;
use crate::random;
use crate::socks5_login;

/// A node that was heard of this recently is alive: its agent asks at least every [`MAX_WAIT_SECONDS`].
pub const RECENT_SECONDS: u64 = 180;
const _: () = assert!(RECENT_SECONDS > 3 * MAX_WAIT_SECONDS);
/// The most nodes that are weighed for one device; which, is chance.
const MAX_WEIGHED: usize = 16;
/// What a node is taken to be able to move, each way, when its operator has declared nothing, in megabits a second.
const UNDECLARED_MEGABITS: u64 = 100;
/// Bytes a second, both ways together, of one megabit a second each way.
const BYTES_OF_MEGABIT: u64 = 2 * 1_000_000 / 8;
/// After so many seconds a report says nothing of what a node moves now.
const STALE_SECONDS: u64 = 3 * 3600;
/// A node that was not heard of for so long may be gone for good.
const GONE_SECONDS: i64 = 3600;
/// A node that is fully used keeps this part of its capacity as its weight: what it moves now it need not move in an hour.
const LEAST_FREE: u64 = 100;

/// What a person asks for.
pub struct Wish {
    /// The device's key.
    pub public_key: WireGuardPublicKey,
    /// Where its node should stand; any place when absent.
    pub location: Option<LocationId>,
    /// The request that asks for a login at the node's SOCKS5 service, if it does.
    pub socks5: Option<IdempotencyKey>,
}

/// Since when a node was heard of that counts as alive.
///
/// # Errors
/// Never but where the clock stands at its beginning.
pub fn recently(now: Timestamp) -> Answer<Timestamp> {
    let since = now.unix_seconds().saturating_sub(RECENT_SECONDS.cast_signed()).max(0);
    Ok(Timestamp::from_unix_seconds(since)?)
}

/// Whether people should be offered another node than this.
///
/// # Errors
/// As [`recently`].
pub fn is_gone(node: &store::Node, now: Timestamp) -> Answer<bool> {
    let since = Timestamp::from_unix_seconds((now.unix_seconds() - GONE_SECONDS).max(0))?;
    Ok(node.state != NodeState::Active || node.last_seen.is_none_or(|seen| seen < since))
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
    check_not_expired(code, now)?;
    let mut write = plane.store.write().await?;
    match write.device(&wish.public_key).await? {
        Some(device) => check_known(code, &device)?,
        None => {
            check_not_used_up(&mut write, code).await?;
            find_place(plane, &mut write, &NewPlace::of(code), wish).await?;
        }
    }
    placed(plane, write, wish).await
}

/// What its owner is told of a device that has its place now.
///
/// # Errors
/// `conflict` for a login where the device's node has no SOCKS5 service.
pub async fn placed(plane: &ControlPlane, mut write: Write, wish: &Wish) -> Answer<PlacedDevice> {
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
    let gone = is_gone(&node, plane.clock.now())?;
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
        gone,
        socks5: socks5.map(|(endpoint, username)| Socks5Place { endpoint, username }),
    })
}

/// # Errors
/// `access-code-expired`.
pub fn check_not_expired(code: &AccessCode, now: Timestamp) -> Answer<()> {
    if code.expires > now {
        return Ok(());
    }
    let detail = format!("code: it expired at {}; ask whoever gave it to you for a new one", code.expires);
    Err(Failure::new(ProblemKind::AccessCodeExpired, detail))
}

/// A device that is known keeps its place.
pub fn check_known(code: &AccessCode, device: &store::Device) -> Answer<()> {
    let why = match (device.code_number == code.number, device.removed_at) {
        (true, None) => return Ok(()),
        (true, Some(_)) => "it was removed",
        (false, _) => "it belongs to another access code",
    };
    let detail = format!("public_key: {}: {why}; make a new pair of keys", device.public_key);
    Err(Failure::new(ProblemKind::Conflict, detail))
}

/// Removed devices count, but for those whose place another has taken: nobody off the node knows what they have used, and the
/// code's quota is for all of them.
async fn check_not_used_up(write: &mut Write, code: &AccessCode) -> Answer<()> {
    let all = write.devices_of_code(code.number).await?;
    let devices = all.iter().filter(|device| device.replaces.is_none()).count();
    let devices = u64::try_from(devices).unwrap_or(u64::MAX);
    if devices < code.devices {
        return Ok(());
    }
    let detail = format!(
        "code: it is good for {} device(s), and has had {devices}, removed ones included",
        code.devices
    );
    Err(Failure::new(ProblemKind::AccessCodeUsedUp, detail).with("devices", code.devices))
}

/// What is to be placed.
pub struct NewPlace<'a> {
    /// The code of the device.
    pub code: &'a AccessCode,
    /// What it may move in the code's period.
    pub allotment: Bytes,
    /// The device whose place it takes, and the node that it shall not be on.
    pub replaces: Option<(WireGuardPublicKey, NodeId)>,
}

impl<'a> NewPlace<'a> {
    fn of(code: &'a AccessCode) -> Self {
        Self { code, allotment: share(code), replaces: None }
    }
}

/// Puts a device on one of the nodes that may serve it.
///
/// # Errors
/// `not-found` for an unknown location, `no-node`.
pub async fn find_place(
    plane: &ControlPlane,
    write: &mut Write,
    place: &NewPlace<'_>,
    wish: &Wish,
) -> Answer<()> {
    if let Some(location) = &wish.location
        && write.location(location).await?.is_none()
    {
        return Err(Failure::not_found("location", location));
    }
    let (code, now) = (place.code, plane.clock.now());
    let found = candidates(plane, write, place, wish).await?;
    for candidate in found.willing {
        let device = NewDevice {
            public_key: wish.public_key,
            code_number: code.number,
            node: candidate.node,
            class: code.class,
            allotment: place.allotment,
            period: code.period,
            expires: code.expires,
            replaces: place.replaces.as_ref().map(|(device, _)| *device),
        };
        if write.place_device(&device, FIRST_DEVICE_HOST..=LAST_DEVICE_HOST, now).await?.is_some() {
            return Ok(());
        }
    }
    Err(nowhere(wish, found.paused, found.unreached))
}

fn nowhere(wish: &Wish, paused: usize, unreached: usize) -> Failure {
    let place = wish.location.as_ref().map_or_else(|| "anywhere".to_owned(), |place| format!("at {place}"));
    let service = if wish.socks5.is_some() { " for a device with SOCKS5" } else { "" };
    let mut why = String::new();
    for (count, reason) in [(paused, "paused by their operators for now"), (unreached, "not reached yet")] {
        if count > 0 {
            why.push_str(&format!("; {reason}: {count}"));
        }
    }
    let detail = format!("location: no node has room {place}{service} now{why}; try another place, or later");
    Failure::new(ProblemKind::NoNode, detail).with("paused", paused)
}

/// Nodes that may serve a device.
struct Found {
    /// In the order in which they are tried.
    willing: Vec<Candidate>,
    /// How many more there are whose operators let them pause.
    paused: usize,
    /// How many more there are with whose endpoint no handshake was completed.
    unreached: usize,
}

/// Nodes that may serve a device. An operator's own codes stay on that operator's nodes.
async fn candidates(
    plane: &ControlPlane,
    write: &mut Write,
    place: &NewPlace<'_>,
    wish: &Wish,
) -> Answer<Found> {
    let now = plane.clock.now();
    let operator: Option<OperatorId> = match place.code.class {
        Class::Assigned => None,
        Class::Invited => Some(place.code.issuer.parse().map_err(Failure::internal)?),
    };
    let location = wish.location.as_ref();
    let mut found = write.candidates(operator.as_ref(), location, recently(now)?, now).await?;
    found.retain(|node| wish.socks5.is_none() || node.socks5_endpoint.is_some());
    found.retain(|node| place.replaces.as_ref().is_none_or(|(_, before)| node.node != *before));
    let all = found.len();
    found.retain(|node| node.paused.is_none());
    let serving = found.len();
    let check = plane.config.check_endpoints;
    found.retain(|node| !check || node.reached_endpoint.as_ref() == Some(&node.endpoint));
    let (paused, unreached) = (all.saturating_sub(serving), serving.saturating_sub(found.len()));
    Ok(Found { willing: drawn(write, found, now).await?, paused, unreached })
}

/// The candidates in random order, each the earlier the more it has free. Of many only some are weighed, and the others come after.
async fn drawn(read: &mut Read, mut found: Vec<Candidate>, now: Timestamp) -> Answer<Vec<Candidate>> {
    random::shuffle(&mut found);
    let others = found.split_off(found.len().min(MAX_WEIGHED));
    let mut weighed = Vec::new();
    for candidate in found {
        weighed.push((free(read, &candidate, now).await?, candidate));
    }
    let mut drawn = Vec::new();
    while !weighed.is_empty() {
        let total = weighed.iter().map(|(weight, _)| *weight).sum();
        let mut left = random::below(total);
        let chosen = weighed.iter().position(|(weight, _)| {
            let here = left < *weight;
            left = left.saturating_sub(*weight);
            here
        });
        drawn.push(weighed.swap_remove(chosen.unwrap_or(0)).1);
    }
    drawn.extend(others);
    Ok(drawn)
}

/// What a node has free, in bytes a second: what its operator has declared, or what a node is taken to have, less what it moved
/// between its last two reports. At least 1.
async fn free(read: &mut Read, node: &Candidate, now: Timestamp) -> Answer<usize> {
    let capacity = node.megabits_per_second.unwrap_or(UNDECLARED_MEGABITS).saturating_mul(BYTES_OF_MEGABIT);
    let reports = read.last_reports(&node.node).await?;
    let mut totals = Vec::new();
    for note in &reports {
        let report = Signed::<UsageReport>::parse(note).map_err(Failure::internal)?.into_content();
        let moved: u64 = report
            .usage
            .values()
            .fold(0, |sum, usage| sum.saturating_add(usage.received.get()).saturating_add(usage.sent.get()));
        totals.push((moved, report.start, report.end));
    }
    let load = match totals.as_slice() {
        // One that ended long ago says nothing of now.
        [(moved, start, end), rest @ ..] if now.seconds_since(*end) <= STALE_SECONDS => {
            let before = rest.first().map_or(0, |(moved, ..)| *moved);
            moved.saturating_sub(before) / end.seconds_since(*start).max(1)
        }
        _ => 0,
    };
    let free = capacity.saturating_sub(load).max(capacity / LEAST_FREE).max(1);
    Ok(usize::try_from(free).unwrap_or(usize::MAX / MAX_WEIGHED))
}

/// Each device of a code may use an equal share of its quota, rounded down.
fn share(code: &AccessCode) -> Bytes {
    let share = code.quota_bytes.get().checked_div(code.devices).unwrap_or(0);
    Bytes::new(share).expect("a part is not more than the whole")
}
