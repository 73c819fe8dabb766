//! What happens by itself: epochs are closed when they are due, and what is kept for a while only is forgotten.

use std::time::Duration;

use wiregrant_core::api::Membership;
use wiregrant_core::terms::Terms;
use wiregrant_core::{GrantId, Timestamp};
use wiregrant_store::{self as store, Read};

use crate::closing;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::Answer;
use crate::{membership, retention};

/// How often to look, in seconds.
const LOOK_SECONDS: u64 = 1;
/// How often to forget, in seconds.
const FORGET_SECONDS: u64 = 60;
/// How long to wait after a failure, in seconds.
const RETRY_SECONDS: u64 = 30;
/// An epoch that is due waits this much longer for members whose report of its end is not there yet, in seconds. It
/// matters where the close delay is short: the reports of the boundary are then just on their way.
pub const STRAGGLER_SECONDS: u64 = 20;

/// Does the jobs while this replica leads, until told to stop.
pub async fn run(plane: Shared) {
    let mut stopped = std::pin::pin!(plane.stopped());
    for look in 1_u64.. {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(LOOK_SECONDS)) => {}
            () = &mut stopped => return,
        }
        if !plane.leads() {
            continue;
        }
        if look.is_multiple_of(FORGET_SECONDS / LOOK_SECONDS)
            && let Err(failure) = retention::forget(&plane).await
        {
            tracing::error!(%failure, "what is over could not be forgotten; it is tried again");
        }
        if let Err(failure) = close_due_epochs(&plane).await {
            tracing::error!(%failure, seconds = RETRY_SECONDS, "due epochs could not be closed; it is tried again");
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(RETRY_SECONDS)) => {}
                () = &mut stopped => return,
            }
        }
    }
}

/// Closes every epoch that is due. One grant's failure keeps no other from being closed.
///
/// # Errors
/// The first failure, once every grant had its turn.
pub async fn close_due_epochs(plane: &ControlPlane) -> Answer<()> {
    let grants = plane.store.read().await?.grants().await?;
    let mut closed = Ok(());
    for grant in grants {
        closed = closed.and(close_due_of(plane, &grant).await);
    }
    closed
}

async fn close_due_of(plane: &ControlPlane, grant: &store::Grant) -> Answer<()> {
    while let Some(number) = next_due(plane, &grant.grant_id).await? {
        closing::close(plane, &grant.grant_id, number).await?;
    }
    Ok(())
}

async fn next_due(plane: &ControlPlane, grant: &GrantId) -> Answer<Option<u64>> {
    let now = plane.clock.now();
    let mut read = plane.store.read().await?;
    let number = read.epochs_closed(grant).await?.saturating_add(1);
    let Some(terms) = membership::terms_in(&mut read, grant, number).await? else { return Ok(None) };
    let Some(opens_at) = closing::opens_at(&terms, number).filter(|opens_at| *opens_at <= now) else {
        return Ok(None);
    };
    let patience_is_over = opens_at.plus_seconds(STRAGGLER_SECONDS) <= now;
    let is_due = patience_is_over || all_have_reported(&mut read, grant, &terms, number).await?;
    Ok(is_due.then_some(number))
}

/// Whether every member of the epoch has reported up to its end.
async fn all_have_reported(read: &mut Read, grant: &GrantId, terms: &Terms, number: u64) -> Answer<bool> {
    let Some((start, end)) = terms.schedule().bounds(number) else { return Ok(true) };
    for row in read.memberships_of_grant(grant).await? {
        let node = row.node.clone();
        if takes_part(&membership::with_schedule(row, terms), start)
            && read.head_report(&node).await?.is_none_or(|head| head.end_at < end)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn takes_part(membership: &Membership, within: Timestamp) -> bool {
    membership.label_at(within).is_some()
}
