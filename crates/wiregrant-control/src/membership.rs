//! Memberships with the schedules of their grants, as agents and checks need them.

use wiregrant_core::api::Membership;
use wiregrant_core::note::Signed;
use wiregrant_core::terms::{Terms, TermsNote};
use wiregrant_core::{NodeId, Timestamp};
use wiregrant_store::{self as store, Read};

use crate::error::{Answer, Failure};

/// The terms of a grant, from its note.
///
/// # Errors
/// `internal`: only notes that were signed here are stored.
pub fn terms(grant: &store::Grant) -> Answer<Terms> {
    let note = Signed::<TermsNote>::parse(&grant.terms_note).map_err(Failure::internal)?;
    Ok(note.into_content().terms)
}

/// A membership with its grant's schedule.
#[must_use]
pub fn with_schedule(row: store::Membership, terms: &Terms) -> Membership {
    Membership {
        grant: row.grant_id,
        node: row.node,
        schedule: terms.schedule(),
        first_epoch: row.first_epoch,
        end_epoch: row.end_epoch,
    }
}

/// Every grant that the node is or was in, the one that is open first.
///
/// # Errors
/// `busy` or `internal`.
pub async fn all_of_node(read: &mut Read, node: &NodeId) -> Answer<Vec<Membership>> {
    let mut memberships = Vec::new();
    for row in read.memberships_of_node(node).await? {
        let grant = read.grant(&row.grant_id).await?;
        let grant = grant.ok_or_else(|| Failure::internal(format!("grant {} vanished", row.grant_id)))?;
        memberships.push(with_schedule(row, &terms(&grant)?));
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
