//! Memberships with the schedules of their grants, as agents and checks need them.

use std::collections::BTreeMap;

use wiregrant_core::api::Membership;
use wiregrant_core::note::Signed;
use wiregrant_core::terms::{Terms, TermsNote};
use wiregrant_core::{Bytes, GrantId, NodeId, Timestamp};
use wiregrant_store::{self as store, Read};

use crate::error::{Answer, Failure};

/// The newest terms of a grant.
///
/// # Errors
/// `internal`: only notes that were signed here are stored.
pub fn terms(grant: &store::Grant) -> Answer<Terms> {
    parsed(&grant.terms_note)
}

/// The terms in force in an epoch; `None` for an epoch that the grant's newest terms do not have.
///
/// # Errors
/// `busy` or `internal`.
pub async fn terms_in(read: &mut Read, grant: &GrantId, epoch: u64) -> Answer<Option<Terms>> {
    let versions = read.terms_versions(grant).await?;
    let Some(newest) = versions.last() else { return Ok(None) };
    if parsed(&newest.note)?.schedule().bounds(epoch).is_none() {
        return Ok(None);
    }
    let in_force = versions.iter().rev().find(|version| version.first_epoch <= epoch);
    in_force.map(|version| parsed(&version.note)).transpose()
}

/// Terms from their note.
///
/// # Errors
/// `internal`: only notes that were signed here are stored.
pub fn parsed(note: &str) -> Answer<Terms> {
    Ok(Signed::<TermsNote>::parse(note).map_err(Failure::internal)?.into_content().terms)
}

/// A membership with its grant's schedule, and without the caps, which only its node needs.
#[must_use]
pub fn with_schedule(row: store::Membership, terms: &Terms) -> Membership {
    Membership {
        grant: row.grant_id,
        node: row.node,
        schedule: terms.schedule(),
        first_epoch: row.first_epoch,
        end_epoch: row.end_epoch,
        peer_caps: BTreeMap::new(),
    }
}

/// A membership with all that an agent counts by: the calendar, and the caps of all terms.
fn with_caps(row: store::Membership, versions: &[store::TermsVersion]) -> Answer<Membership> {
    let terms = versions.iter().map(|version| parsed(&version.note)).collect::<Answer<Vec<_>>>()?;
    let newest = terms.last().ok_or_else(|| Failure::internal(format!("grant {} vanished", row.grant_id)))?;
    let caps =
        versions.iter().zip(&terms).map(|(version, terms)| (version.first_epoch, terms.peer_cap_bytes));
    let mut caps: BTreeMap<u64, Bytes> = caps.collect();
    if caps.values().all(|cap| *cap == Bytes::ZERO) {
        caps.clear();
    }
    Ok(Membership { peer_caps: caps, ..with_schedule(row, newest) })
}

/// Every grant that the node is or was in, the one that is open first.
///
/// # Errors
/// `busy` or `internal`.
pub async fn all_of_node(read: &mut Read, node: &NodeId) -> Answer<Vec<Membership>> {
    let mut memberships = Vec::new();
    for row in read.memberships_of_node(node).await? {
        let versions = read.terms_versions(&row.grant_id).await?;
        memberships.push(with_caps(row, &versions)?);
    }
    Ok(memberships)
}

/// Whether the node's last epoch in the grant has ended, or never begins.
#[must_use]
pub fn is_over(membership: &Membership, now: Timestamp) -> bool {
    let last = membership.end_epoch.map_or(membership.schedule.epochs, |end| end.saturating_sub(1));
    if last < membership.first_epoch {
        return true;
    }
    membership.schedule.bounds(last.min(membership.schedule.epochs)).is_none_or(|(_, end)| end <= now)
}
