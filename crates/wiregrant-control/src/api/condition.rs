//! What a node says about itself between reports.

use axum::extract::State;
use axum::http::StatusCode;
use wiregrant_core::NodeId;
use wiregrant_core::api::Condition;
use wiregrant_store as store;

use crate::control_plane::Shared;
use crate::endpoint::Endpoint;
use crate::enrolment::check_agent;
use crate::error::{Answer, Failure};
use crate::extract::{Json as Body, Path};
use crate::sign_in::Caller;

/// The most megabits or gigabytes that an operator can declare.
const MOST_DECLARED: u64 = 1_000_000_000;

/// `PUT /nodes/{node}/condition`: overwrites what the node said before. Levels of devices that are not its own are passed over.
///
/// # Errors
/// `forbidden`, `invalid-request`, `too-large`.
pub async fn tell(
    State(plane): State<Shared>,
    caller: Caller,
    Path(node): Path<NodeId>,
    Body(condition): Body<Condition>,
) -> Answer<StatusCode> {
    caller.node(&node)?;
    let Condition {
        agent,
        backend,
        endpoint,
        socks5_endpoint,
        paused,
        megabits_per_second,
        gigabytes_per_month,
        levels,
    } = condition;
    check_agent(&agent)?;
    check_budget("megabits_per_second", megabits_per_second)?;
    check_budget("gigabytes_per_month", gigabytes_per_month)?;
    Endpoint::checked("endpoint", &endpoint)?;
    if let Some(endpoint) = &socks5_endpoint {
        Endpoint::checked("socks5_endpoint", endpoint)?;
    }
    let said = store::Condition {
        agent,
        backend,
        endpoint,
        socks5_endpoint,
        paused,
        megabits_per_second,
        gigabytes_per_month,
    };
    let known = plane.store.read().await?.node(&node).await?;
    let known = known.ok_or_else(|| Failure::not_found("node", &node))?;
    let before = store::Condition {
        agent: known.agent,
        backend: known.backend,
        endpoint: known.endpoint,
        socks5_endpoint: known.socks5_endpoint,
        paused: known.paused,
        megabits_per_second: known.megabits_per_second,
        gigabytes_per_month: known.gigabytes_per_month,
    };
    if said == before && levels.is_empty() {
        return Ok(StatusCode::NO_CONTENT);
    }
    let mut write = plane.store.write().await?;
    if said != before {
        write.set_condition(&node, &said).await?;
    }
    write.set_levels(&node, &levels).await?;
    write.commit().await?;
    tell_the_administrator(&node, &before, &said);
    Ok(StatusCode::NO_CONTENT)
}

/// A budget is a number that a database and a person can read.
fn check_budget(field: &'static str, declared: Option<u64>) -> Answer<()> {
    match declared {
        Some(number) if !(1..=MOST_DECLARED).contains(&number) => {
            Err(Failure::field(field, number, "1 to 1000000000"))
        }
        _ => Ok(()),
    }
}

fn tell_the_administrator(node: &NodeId, before: &store::Condition, said: &store::Condition) {
    if said.endpoint != before.endpoint || said.socks5_endpoint != before.socks5_endpoint {
        let socks5_endpoint = said.socks5_endpoint.as_deref().unwrap_or("-");
        tracing::info!(
            %node, before = before.endpoint, endpoint = said.endpoint, socks5_endpoint,
            "a node has another endpoint; its people are offered new files"
        );
    }
    if said.paused != before.paused {
        let paused = said.paused.map_or("no", wiregrant_core::api::Pause::as_str);
        tracing::info!(%node, paused, "a node pauses by its operator's choice, or serves again");
    }
}
