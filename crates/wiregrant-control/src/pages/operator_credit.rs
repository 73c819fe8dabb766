//! Why an operator is credited what they are: each node and epoch, every byte that is carried or does not count with its reason.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use wiregrant_core::credit::Reason;
use wiregrant_core::inputs::NodeInputs;
use wiregrant_core::terms::Terms;
use wiregrant_core::{Bytes, GrantId, NodeId, OperatorId, Timestamp, Units};
use wiregrant_store::Read;

use super::frame::{self, Frame};
use super::staff;
use crate::closing::late;
use crate::control_plane::{ControlPlane, Shared};
use crate::error::{Answer, Failure};
use crate::extract::Path;
use crate::sign_in::Caller;

/// Epochs of a grant that are shown, the newest ones.
const EPOCHS_SHOWN: usize = 13;

/// Bytes that do not count, and why.
#[derive(Debug)]
struct Disallowed {
    bytes: Bytes,
    why: &'static str,
}

/// A node's part in an epoch.
#[derive(Debug)]
struct NodeCredit {
    node: String,
    brought: Bytes,
    eligible: Bytes,
    units: Option<Units>,
    carried: Bytes,
    /// Why something is carried; empty when nothing is.
    carried_why: String,
    disallowed: Vec<Disallowed>,
}

/// A closed epoch.
#[derive(Debug)]
struct EpochCredit {
    grant: GrantId,
    title: String,
    epoch: u64,
    closed: Timestamp,
    unit: Bytes,
    nodes: Vec<NodeCredit>,
}

/// `operator_credit.html`.
#[derive(Debug, Template)]
#[template(path = "operator_credit.html")]
pub struct OperatorCreditPage {
    frame: Frame,
    operator: OperatorId,
    epochs: Vec<EpochCredit>,
}

impl OperatorCreditPage {
    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample() -> Self {
        let fixed = "a fixed value of its form";
        let operator: OperatorId = "nordlicht".parse().expect(fixed);
        let bytes = |n| Bytes::new(n).expect(fixed);
        let node =
            |node: &str, units: Option<u64>, carried, why: &str, disallowed: &[(u64, Reason)]| NodeCredit {
                node: node.to_owned(),
                brought: bytes(120_000_000),
                eligible: bytes(units.unwrap_or(0) * 1_000_000_000),
                units: units.map(|units| Units::new(units).expect(fixed)),
                carried: bytes(carried),
                carried_why: why.to_owned(),
                disallowed: disallowed
                    .iter()
                    .map(|(n, reason)| Disallowed { bytes: bytes(*n), why: explained(*reason) })
                    .collect(),
            };
        Self {
            frame: staff::operators_frame("Free <networks>", &operator, "Credit"),
            operator,
            epochs: vec![EpochCredit {
                grant: "spring".parse().expect(fixed),
                title: "Spring <2026>".to_owned(),
                epoch: 7,
                closed: "2026-07-08T00:00:00Z".parse().expect(fixed),
                unit: bytes(1_000_000_000),
                nodes: vec![
                    node(
                        "node-3kq8",
                        Some(812),
                        120_000_000,
                        "less than one unit",
                        &[(40_000_000_000, Reason::Quota), (3_000_000_000, Reason::Invited)],
                    ),
                    node(
                        "node-7x2m",
                        None,
                        7_300_000_000,
                        "withheld: 4 of at least 10 people stand behind it",
                        &[],
                    ),
                ],
            }],
        }
    }
}

/// What a reason means, for whoever it costs something.
fn explained(reason: Reason) -> &'static str {
    match reason {
        Reason::Late => "came after the grant's last statement",
        Reason::Service => "moved by a service that the grant does not pay for",
        Reason::Quota => {
            "more than one device may use, or than the codes placed on this node can use together"
        }
        Reason::Capacity => "more than the node's link can carry",
        Reason::Invited => "moved for people with your own codes; a grant pays for codes of others",
        Reason::Finding => "a finding stands against the node; the administrator has written to you",
    }
}

/// `GET /operators/{operator}/credit`
///
/// # Errors
/// `forbidden`, `not-found`.
pub async fn show(
    State(plane): State<Shared>,
    caller: Caller,
    Path(operator): Path<OperatorId>,
) -> Answer<Response> {
    caller.acts_for(&operator)?;
    let mut read = plane.store.read().await?;
    if read.operator(&operator).await?.is_none() {
        return Err(Failure::not_found("operator", &operator));
    }
    let now = plane.clock.now();
    let own = read.node_overviews(Some(&operator), now).await?;
    let own: BTreeSet<NodeId> = own.into_iter().map(|node| node.node).collect();
    let mut epochs = Vec::new();
    for grant in read.grants().await? {
        let members = read.memberships_of_grant(&grant.grant_id).await?;
        if members.iter().any(|member| own.contains(&member.node)) {
            epochs.extend(credits(&plane, &mut read, &operator, (&grant.grant_id, &grant.title)).await?);
        }
    }
    epochs.sort_by_key(|epoch| std::cmp::Reverse(epoch.closed));
    let frame = staff::operators_frame(&plane.config.title, &operator, "Credit");
    frame::page(StatusCode::OK, &OperatorCreditPage { frame, operator, epochs })
}

async fn credits(
    plane: &ControlPlane,
    read: &mut Read,
    operator: &OperatorId,
    (grant, title): (&GrantId, &str),
) -> Answer<Vec<EpochCredit>> {
    let mut epochs = Vec::new();
    for head in read.statement_heads(grant).await?.into_iter().rev().take(EPOCHS_SHOWN) {
        let epoch = head.epoch;
        let Some(inputs) = plane.remembered.inputs(read, grant, epoch).await? else { continue };
        // The terms of that epoch: later ones may have another unit or floor.
        let statement = plane.remembered.lines(read, grant, &head).await?;
        let terms = &statement.terms;
        let own = inputs.nodes.iter().filter(|(_, node)| node.operator == *operator);
        let own = own.map(|(id, node)| (id.clone(), node.clone())).collect();
        let nodes = late::with_late(read, grant, epoch, own).await?.into_iter();
        let nodes = nodes.filter(|(_, node, _)| node.operator == *operator);
        let nodes: Vec<NodeCredit> = nodes.map(|node| credit(node, terms)).collect();
        if !nodes.is_empty() {
            epochs.push(EpochCredit {
                grant: grant.clone(),
                title: title.to_owned(),
                epoch,
                closed: head.closed_at,
                unit: terms.unit_bytes,
                nodes,
            });
        }
    }
    Ok(epochs)
}

fn credit((id, node, late): (NodeId, NodeInputs, Bytes), terms: &Terms) -> NodeCredit {
    let carried_why = match node.units {
        _ if node.carried == Bytes::ZERO => String::new(),
        None => format!("withheld: {} of at least {} people stand behind it", node.peers, terms.floor),
        Some(_) => "less than one unit".to_owned(),
    };
    NodeCredit {
        node: id.to_string(),
        brought: node.brought,
        eligible: node.eligible,
        units: node.units,
        carried: node.carried,
        carried_why,
        disallowed: node
            .disallowed
            .into_iter()
            .chain([(Reason::Late, late)])
            .filter(|(_, bytes)| *bytes > Bytes::ZERO)
            .map(|(reason, bytes)| Disallowed { bytes, why: explained(reason) })
            .collect(),
    }
}
