//! `wiregrant node`: nodes, and what is decided about them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Subcommand;
use transparency_log::Hash;
use wiregrant_core::api::{Evidence, Freeze, List, Node, NodeState};
use wiregrant_core::{FactError, NodeId, record};

use super::Everywhere;
use super::invitation::hand_over;
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
    /// Take a node out of service for good; its devices are offered another (administrator; an operator retires their own)
    Retire {
        /// The node's id
        node: NodeId,
    },
    /// Invite a node whose keys are lost or in wrong hands to go on under others; shown this once (administrator, its operator)
    Invite {
        /// The node's id
        node: NodeId,
        /// Write the invitation into this new file (0600) instead of printing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show the pairs of texts a node signed under one sequence number (administrator)
    Evidence {
        /// The node's id
        node: NodeId,
        /// Write each pair into this folder, as a file that convicts the node before anybody (`wiregrant verify proof`)
        #[arg(long, value_name = "FOLDER")]
        save: Option<PathBuf>,
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
                let nodes: List<Node> = control_plane.list("/nodes")?;
                terminal.answer(&nodes.items, || listed(&nodes.items))
            }
            Self::Show { node } => {
                let nodes: List<Node> = control_plane.list("/nodes")?;
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
            Self::Retire { node } => {
                let nothing = serde_json::Map::new();
                let node: Node = control_plane.post(&format!("/nodes/{node}/retire"), &nothing)?;
                terminal.answer(&node, || shown(&node))
            }
            Self::Invite { node, out } => {
                let nothing = serde_json::Map::new();
                let create = || control_plane.post(&format!("/nodes/{node}/invitation"), &nothing);
                hand_over(everywhere, out.as_deref(), create)
            }
            Self::Evidence { node, save } => {
                let evidence: List<Evidence> = control_plane.list(&format!("/nodes/{node}/evidence"))?;
                if let Some(folder) = save {
                    save_proofs(&folder, &node, &evidence.items)?;
                }
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
        (
            "answers there",
            if node.endpoint_reached { "yes" } else { "not yet: it is given no devices" }.to_owned(),
        ),
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

/// One file a pair, named so that the same pair is written over itself. What makes no file is told once the others are written.
fn save_proofs(folder: &Path, node: &NodeId, evidence: &[Evidence]) -> Result<()> {
    let cannot = |path: &Path| format!("--save: {} cannot be written", path.display());
    fs::create_dir_all(folder).with_context(|| cannot(folder))?;
    let (with_proof, without): (Vec<_>, Vec<_>) = evidence.iter().partition(|pair| !pair.proof.is_empty());
    for pair in with_proof {
        let name =
            format!("{node}-{}-{}.proof", pair.sequence, &Hash::of(pair.other.as_bytes()).to_hex()[..16]);
        let path = folder.join(name);
        fs::write(&path, &pair.proof).with_context(|| cannot(&path))?;
    }
    ensure!(
        without.is_empty(),
        "--save: {} of {} pairs make no proof file: they name an origin that has ended, or this control plane is older; \
         without --save they are shown",
        without.len(),
        evidence.len()
    );
    Ok(())
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
