//! Switching: a person goes to another node, with a new key and a new file.
//!
//! A new key, because whoever reads both nodes' traffic must not see one person on both. The old device is removed for good. What it
//! has used is known to its node alone, so the new one is given the least that is surely left by the level its node has told:
//! nobody gets more than their code says by switching.

use wiregrant_core::allotment::Level;
use wiregrant_core::api::{MAX_SWITCHES, ProblemKind};
use wiregrant_core::{Bytes, NodeId, Timestamp, WireGuardPublicKey};
use wiregrant_store::{AccessCode, Device, Read};

use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::membership;
use crate::placement::{self, NewPlace, PlacedDevice, Wish};

/// An epoch where the node is in no grant: a week, from Monday 00:00 UTC.
const WEEK_SECONDS: i64 = 7 * 86_400;
/// 1970 began on a Thursday.
const MONDAY_SECONDS: i64 = 4 * 86_400;

/// Puts a device of the wish's key on another node in the place of `before`. The same keys get the same answer again.
///
/// # Errors
/// `access-code-expired`; `access-code-used-up` when the code's devices were switched as often as they may, or nothing is left;
/// `no-node`; `conflict` for a key that is or was another device; `not-found` for an unknown location.
pub async fn switch(
    plane: &ControlPlane,
    code: &AccessCode,
    before: &WireGuardPublicKey,
    wish: &Wish,
) -> Answer<PlacedDevice> {
    let now = plane.clock.now();
    placement::check_not_expired(code, now)?;
    let mut write = plane.store.write().await?;
    if let Some(known) = write.device(&wish.public_key).await? {
        placement::check_known(code, &known)?;
        if known.replaces != Some(*before) {
            let detail =
                format!("public_key: {}: it is another device; make a new pair of keys", wish.public_key);
            return Err(Failure::new(ProblemKind::Conflict, detail));
        }
        return placement::placed(plane, write, wish).await;
    }
    let device = write.device(before).await?.filter(|device| device.removed_at.is_none());
    let device = device.ok_or_else(|| Failure::not_found("device", before))?;
    let node = write.node(&device.node).await?;
    let node = node.ok_or_else(|| Failure::internal(format!("node {} vanished", device.node)))?;
    if !placement::is_gone(&node, now)? {
        check_not_too_often(&mut write, code, &device.node, now).await?;
    }
    let allotment = left(&device)?;
    write.remove_device(before, now).await?;
    let place = NewPlace { code, allotment, replaces: Some((*before, device.node)) };
    placement::find_place(plane, &mut write, &place, wish).await?;
    placement::placed(plane, write, wish).await
}

async fn check_not_too_often(
    read: &mut Read,
    code: &AccessCode,
    node: &NodeId,
    now: Timestamp,
) -> Answer<()> {
    let since = epoch_began(read, node, now).await?;
    let switches = read.switches_of_code(code.number, since).await?;
    if switches < code.devices.saturating_mul(MAX_SWITCHES) {
        return Ok(());
    }
    let detail = format!(
        "device: its node was switched {switches} time(s) since {since}, and may be {MAX_SWITCHES} times in an epoch for each device; \
         wait for the next, or until the node is gone"
    );
    Err(Failure::new(ProblemKind::AccessCodeUsedUp, detail).with("switches", switches))
}

/// When the present epoch of the node's grant began, or the week.
async fn epoch_began(read: &mut Read, node: &NodeId, now: Timestamp) -> Answer<Timestamp> {
    for membership in membership::all_of_node(read, node).await? {
        let schedule = &membership.schedule;
        if !membership::is_over(&membership, now)
            && let Some((begun, _)) = schedule.epoch_at(now).and_then(|number| schedule.bounds(number))
        {
            return Ok(begun);
        }
    }
    let into_week = (now.unix_seconds() - MONDAY_SECONDS).rem_euclid(WEEK_SECONDS);
    Ok(Timestamp::from_unix_seconds((now.unix_seconds() - into_week).max(0))?)
}

/// The least that is surely left of a device's allotment.
fn left(device: &Device) -> Answer<Bytes> {
    let part = match device.level {
        // A node tells levels within seconds: one that has told none has served nothing.
        None => 1,
        Some(Level::OverHalf) => 2,
        Some(Level::UnderHalf) => 10,
        Some(Level::UnderATenth | Level::Exhausted) => {
            let detail = "device: less than a tenth of its traffic is left, and a switch would cost that; use it up first";
            return Err(
                Failure::new(ProblemKind::AccessCodeUsedUp, detail.to_owned()).with("left", "under-a-tenth")
            );
        }
    };
    Ok(Bytes::new(device.allotment.get() / part)?)
}
