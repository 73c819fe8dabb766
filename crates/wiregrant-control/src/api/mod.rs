//! The handlers, one file a noun. A handler takes out of the request what it needs, asks, and answers.

pub mod access_codes;
pub mod applications;
pub mod audit;
pub mod auditors;
pub mod batches;
pub mod condition;
pub mod decisions;
pub mod desired;
pub mod devices;
pub mod distributors;
pub mod drafts;
pub mod epochs;
pub mod funders;
pub mod grants;
pub mod health;
pub mod invitations;
pub mod ledger;
pub mod locations;
pub mod nodes;
pub mod operators;
pub mod recoveries;
pub mod reports;
pub mod terms;
pub mod tokens;
pub mod usage;

use axum::Json;
use wiregrant_core::GrantId;
use wiregrant_core::api::List;
use wiregrant_store::Read;

use crate::error::{Answer, Failure};

/// A list as an answer.
fn list<T>(items: Vec<T>) -> Json<List<T>> {
    Json(List { items })
}

/// Checks a text for people: one line of 1 to 100 characters.
fn check_name(field: &str, text: &str) -> Answer<()> {
    const MAX_CHARS: usize = 100;
    if (1..=MAX_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let shown: String = text.chars().take(MAX_CHARS).collect();
    Err(Failure::field(field, shown, "one line of 1 to 100 characters"))
}

/// Checks that these grants exist and that none is named twice.
async fn check_grants(read: &mut Read, grants: &[GrantId]) -> Answer<()> {
    for (at, grant) in grants.iter().enumerate() {
        if grants[..at].contains(grant) {
            return Err(Failure::field("grants", grant, "named once"));
        }
        if read.grant(grant).await?.is_none() {
            return Err(Failure::not_found("grant", grant));
        }
    }
    Ok(())
}
