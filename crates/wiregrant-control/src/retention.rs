//! Retention: the one job that forgets what is over. Nonces of requests whose time has passed; sums by hour, which are in the sums by
//! day; invitations that nobody has used; access codes that expired and devices that were removed. The table of all that is kept
//! is in `docs/operate.md`.

use std::collections::BTreeSet;

use transparency_log::Hash;
use wiregrant_core::request::MAX_CLOCK_DISTANCE_SECONDS;
use wiregrant_core::{NodeId, Timestamp};
use wiregrant_store::Write;

use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::{idempotency, random, sign_in};

/// How long sums by hour are kept, in seconds: 92 days, three months of any length.
pub const HOURS_KEPT_SECONDS: u64 = 92 * 86_400;

/// How long an invitation that nobody has used is kept after it expired, in seconds: a day, so that who comes late hears why.
pub const INVITATIONS_KEPT_SECONDS: u64 = 86_400;

/// How long it is kept whose a removed device was, and what opens an expired code, in seconds: 30 days, in which whoever comes
/// late hears why it does not work any more.
pub const PEOPLE_KEPT_SECONDS: u64 = 30 * 86_400;

/// Codes, and devices, that are forgotten in one go; what is more waits for the next.
const FORGOTTEN_AT_ONCE: u32 = 500;

/// Forgets what is over. Nothing that was signed or logged is among it.
///
/// # Errors
/// `busy` or `internal`; then it is done the next time.
pub async fn forget(plane: &ControlPlane) -> Answer<()> {
    let now = plane.clock.now();
    let before = |seconds: u64| {
        Timestamp::from_unix_seconds(now.unix_seconds().saturating_sub_unsigned(seconds))
            .map_err(Failure::internal)
    };
    if plane.store.is_shared() {
        // A request is good while its time is this near; twice that lies beyond any replica's clock that nodes get on with.
        plane.store.forget_nonces(before(MAX_CLOCK_DISTANCE_SECONDS * 2)?).await?;
    }
    let mut write = plane.store.write().await?;
    sign_in::delete_ended(&mut write, now).await?;
    idempotency::delete_ended(&mut write, now).await?;
    write.forget_usage_by_hour(before(HOURS_KEPT_SECONDS)?).await?;
    write.forget_invitations(before(INVITATIONS_KEPT_SECONDS)?).await?;
    let nodes = forget_people(&mut write, before(PEOPLE_KEPT_SECONDS)?, now).await?;
    write.commit().await?;
    nodes.iter().for_each(|node| plane.changes.of(node));
    Ok(())
}

/// Forgets codes that expired and devices that were removed before a moment, and names the nodes whose peers changed.
async fn forget_people(write: &mut Write, before: Timestamp, now: Timestamp) -> Answer<BTreeSet<NodeId>> {
    let mut nodes = BTreeSet::new();
    for code in write.access_codes_expired_before(before, FORGOTTEN_AT_ONCE).await? {
        nodes.extend(forget_code(write, code, now).await?);
    }
    for device in write.devices_removed_before(before, FORGOTTEN_AT_ONCE).await? {
        write.forget_device(&device, &random::bytes().into(), now).await?;
    }
    Ok(nodes)
}

/// Forgets a code with all its devices, and names the nodes that served them. What was issued and placed still bounds what nodes are
/// credited; whose it was is kept nowhere.
///
/// # Errors
/// `busy` or `internal`.
pub async fn forget_code(write: &mut Write, number: u64, now: Timestamp) -> Answer<BTreeSet<NodeId>> {
    let mut nodes = BTreeSet::new();
    for device in write.devices_of_code(number).await? {
        if device.removed_at.is_none() {
            nodes.insert(write.remove_device(&device.public_key, now).await?);
        }
        write.forget_device(&device.public_key, &random::bytes().into(), now).await?;
    }
    write.forget_access_code(number, Hash(random::bytes()), now).await?;
    Ok(nodes)
}
