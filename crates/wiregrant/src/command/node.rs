//! `wiregrant node`: nodes, and what is decided about them.

use anyhow::{Result, bail};
use clap::Subcommand;
use wiregrant_core::api::{Evidence, Freeze, List, Node, NodeState};
use wiregrant_core::{FactError, NodeId, record};

use super::Everywhere;
use crate::table::{Column, facts, or_dash, table, thousands};

#[derive(Debug, Subcommand)]
pub enum Nodes {
    /// List nodes (administrator; an operator sees their own)
    List,
    /// Show one node
    Show {
        /// The node's id
        node: NodeId,
    },
    /// Refuse a node's reports until they are let in again (administrator)
    Freeze {
        /// The node's id
        node: NodeId,
        /// A short public word of a-z, 0-9 and '-', such as fork
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Take a node's reports again (administrator)
    Unfreeze {
        /// The node's id
        node: NodeId,
    },
    /// Show the pairs of texts a node signed under one sequence number (administrator)
    Evidence {
        /// The node's id
        node: NodeId,
    },
}

/// Checks a public reason.
pub(super) fn reason(text: &str) -> Result<String, FactError> {
    record::parse_reason(text)
}

impl Nodes {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        let (control_plane, terminal) = (everywhere.control_plane()?, everywhere.terminal());
        match self {
            Self::List => {
                let nodes: List<Node> = control_plane.get("/nodes")?;
                terminal.answer(&nodes.items, || listed(&nodes.items))
            }
            Self::Show { node } => {
                let nodes: List<Node> = control_plane.get("/nodes")?;
                let Some(found) = nodes.items.iter().find(|found| found.node == node) else {
                    bail!("node: {node} is none that you may see; `wiregrant node list` names those");
                };
                terminal.answer(found, || shown(found))
            }
            Self::Freeze { node, reason } => {
                let node: Node = control_plane.post(&format!("/nodes/{node}/freeze"), &Freeze { reason })?;
                terminal.answer(&node, || shown(&node))
            }
            Self::Unfreeze { node } => {
                let nothing = serde_json::Map::new();
                let node: Node = control_plane.post(&format!("/nodes/{node}/unfreeze"), &nothing)?;
                terminal.answer(&node, || shown(&node))
            }
            Self::Evidence { node } => {
                let evidence: List<Evidence> = control_plane.get(&format!("/nodes/{node}/evidence"))?;
                terminal.answer(&evidence.items, || proven(&evidence.items))
            }
        }
    }
}

fn state(node: &Node) -> String {
    let state = match node.state {
        NodeState::Active => "active",
        NodeState::Frozen => "frozen",
        NodeState::Retired => "retired",
    };
    node.paused.map_or_else(|| state.to_owned(), |why| format!("{state}, paused ({why})"))
}

/// Bytes received and sent since enrolment, over all services and classes, in decimal GB.
fn moved(node: &Node) -> [String; 2] {
    let sum = |bytes: u128| {
        let bytes = wiregrant_core::Bytes::new(u64::try_from(bytes).unwrap_or(u64::MAX));
        bytes.map_or_else(|_| "too many".to_owned(), wiregrant_core::Bytes::to_gb)
    };
    [
        sum(node.usage.iter().map(|line| line.received).sum()),
        sum(node.usage.iter().map(|line| line.sent).sum()),
    ]
}

fn listed(nodes: &[Node]) -> String {
    let row = |node: &Node| {
        let [received, sent] = moved(node);
        [
            node.node.to_string(),
            node.operator.to_string(),
            node.location.to_string(),
            state(node),
            thousands(node.devices),
            received,
            sent,
            or_dash(node.reported_until),
        ]
    };
    let rows: Vec<_> = nodes.iter().map(row).collect();
    let columns = [
        Column::Left("node"),
        Column::Left("operator"),
        Column::Left("location"),
        Column::Left("state"),
        Column::Right("devices"),
        Column::Right("received"),
        Column::Right("sent"),
        Column::Left("reported until"),
    ];
    table(columns, &rows, "no nodes")
}

fn shown(node: &Node) -> String {
    let [received, sent] = moved(node);
    facts(&[
        ("node", node.node.to_string()),
        ("operator", node.operator.to_string()),
        ("location", node.location.to_string()),
        ("endpoint", node.endpoint.clone()),
        ("SOCKS5", or_dash(node.socks5_endpoint.as_deref())),
        ("agent", format!("{} {}", node.agent, or_dash(node.backend))),
        ("state", state(node)),
        ("last seen", or_dash(node.last_seen)),
        ("devices", thousands(node.devices)),
        ("reports", thousands(node.sequence)),
        ("reported until", or_dash(node.reported_until)),
        ("received", received),
        ("sent", sent),
    ])
}

fn proven(evidence: &[Evidence]) -> String {
    if evidence.is_empty() {
        return "no evidence\n".to_owned();
    }
    let pair = |e: &Evidence| {
        format!(
            "sequence {}, the other text came {}\n\naccepted:\n{}\nother:\n{}",
            e.sequence, e.received_at, e.accepted, e.other
        )
    };
    evidence.iter().map(pair).collect::<Vec<_>>().join("\n")
}
