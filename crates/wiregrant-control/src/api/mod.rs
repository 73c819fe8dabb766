//! The handlers, one file a noun. A handler takes out of the request what it needs, asks, and answers.

pub mod access_codes;
pub mod batches;
pub mod condition;
pub mod desired;
pub mod devices;
pub mod distributors;
pub mod epochs;
pub mod grants;
pub mod health;
pub mod invitations;
pub mod locations;
pub mod nodes;
pub mod operators;
pub mod reports;

use axum::Json;
use wiregrant_core::api::List;

use crate::error::Answer;

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
    Err(crate::error::Failure::field(field, shown, "one line of 1 to 100 characters"))
}
