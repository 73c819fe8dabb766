//! `wiregrant-agent status`: the node as its own files and its interface tell it, whether or not the agent runs.

mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;
use wiregrant_core::allotment::Level;
use wiregrant_core::api::{Pause, UsageLine, usage_lines};
use wiregrant_core::epoch::EpochLabel;
use wiregrant_core::{NodeId, OperatorId, Timestamp};

use crate::allotment::levels;
use crate::chain::Acknowledged;
use crate::clock::{self, ClockState};
use crate::health::Health;
use crate::journal;
use crate::ledger;
use crate::state_dir::StateDir;
use crate::wanted;
use crate::watch::Rate;
use crate::wireguard::{self, LivePeer};
use crate::witnessed::{self, Witnessing};

/// The node's state.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Its id.
    pub node: NodeId,
    /// Whose it is.
    pub operator: OperatorId,
    /// Whether an agent runs.
    pub running: bool,
    /// `kernel` or `wireguard-go`; absent when the interface cannot be had.
    pub backend: Option<String>,
    /// The interface's name.
    pub interface: String,
    /// What is wrong with the interface, if anything.
    pub interface_error: Option<String>,
    /// Where clients reach it.
    pub endpoint: String,
    /// What moves now, all peers together; only where the status is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Peers of the interface now.
    pub peers_live: Option<usize>,
    /// Peers that the control plane wants; absent before it was heard.
    pub peers_desired: Option<usize>,
    /// How many of them have how much of their allotment left.
    pub levels: BTreeMap<Level, usize>,
    /// Why nobody is served for now, by the operator's choice, as the running agent judged it last.
    pub paused: Option<Pause>,
    /// The epoch that bytes counted now belong to.
    pub epoch: Option<EpochLabel>,
    /// Totals since enrolment, in bytes.
    pub usage: Vec<UsageLine>,
    /// Bytes in `usage` that were recovered from the interface's own statistics: moved by peers after their last reading.
    pub recovered_bytes: u64,
    /// Bytes that the interface has sent and no peer accounts for; they do not count.
    pub unattributed_bytes: u64,
    /// The journal's size in bytes.
    pub journal_bytes: usize,
    /// Why the running agent cannot write the journal, if it cannot: what it counts then stands in its memory.
    pub journal_error: Option<String>,
    /// What is wrong with the firewall of the running agent, if anything, and what follows.
    pub firewall_error: Option<String>,
    /// How often what was counted could not be by nftables' own count, since the agent started.
    pub counter_alarms: u64,
    /// Journals of which the disk had lost a part, kept until somebody has looked at them.
    pub damaged_journals: Vec<PathBuf>,
    /// The last report that the control plane acknowledged.
    pub last_acknowledged: Option<Acknowledged>,
    /// Reports that it has not: cut, or signed and under way.
    pub unacknowledged_reports: usize,
    /// Why the running agent's last attempt at delivering one failed, until one succeeds.
    pub delivery_error: Option<String>,
    /// What came of looking at the public logs, where the running agent demands witnesses.
    pub witnessing: Option<Witnessing>,
    /// Files that convict a log before anybody, kept until somebody has looked at them.
    pub evidence: Vec<PathBuf>,
    /// The clock, as the running agent judged it last.
    pub clock: ClockState,
    /// Whether the control plane takes no reports until a person decides.
    pub frozen: bool,
    /// When the control plane last answered.
    pub last_contact: Option<Timestamp>,
}

/// Reads the status, and with it the peers of the interface as it is. Nothing is changed.
///
/// # Errors
/// When the node has not joined, or its files cannot be read.
pub fn status(dir: &StateDir) -> anyhow::Result<(Status, Vec<LivePeer>)> {
    let enrolment = dir.joined()?;
    let running = dir.is_locked()?;
    let (state, journal_bytes) = ledger::load(&dir.journal())?;
    // It may be caught half written, on a full disk.
    let health = Health::read(dir).ok().flatten().unwrap_or_default();
    let wanted = wanted::load(&dir.wanted())?;
    let now = clock::now().wall;
    let (backend, live, interface_error) = match live(&enrolment.interface) {
        Ok((backend, peers)) => (Some(backend), Some(peers), None),
        Err(error) => (None, None, Some(error.to_string())),
    };
    let mut by_level = BTreeMap::new();
    let levels = wanted.iter().flat_map(|wanted| levels(&wanted.peers, state.meter.used()));
    levels.for_each(|(_, level)| *by_level.entry(level).or_default() += 1);
    let recovered = state.conservation.recovered();
    let status = Status {
        node: enrolment.node,
        operator: enrolment.operator,
        running,
        backend,
        interface: enrolment.interface,
        interface_error,
        endpoint: enrolment.endpoint,
        rate: None,
        peers_live: live.as_ref().map(Vec::len),
        peers_desired: wanted.map(|wanted| wanted.peers.iter().filter(|peer| peer.expires > now).count()),
        levels: by_level,
        paused: health.paused.filter(|_| running),
        epoch: state.meter.epoch().cloned(),
        usage: usage_lines(state.meter.totals()),
        recovered_bytes: recovered.received.saturating_add(recovered.sent),
        unattributed_bytes: state.conservation.unattributed(),
        journal_bytes,
        journal_error: health.journal_error.filter(|_| running),
        firewall_error: health.firewall_error.filter(|_| running),
        counter_alarms: health.counter_alarms,
        damaged_journals: journal::kept(&dir.journal())?,
        last_acknowledged: state.chain.last_acknowledged().cloned(),
        unacknowledged_reports: state.chain.unacknowledged()?,
        delivery_error: health.delivery_error.filter(|_| running),
        witnessing: Some(health.witnessing).filter(|witnessing| running && witnessing.demanded()),
        evidence: witnessed::evidence(dir)?,
        clock: if running { health.clock } else { ClockState::Unknown },
        frozen: health.frozen,
        last_contact: health.last_contact,
    };
    Ok((status, live.unwrap_or_default()))
}

fn live(interface: &str) -> anyhow::Result<(String, Vec<LivePeer>)> {
    let live = wireguard::open_live(interface.parse()?)?;
    let mut live = live.with_context(|| format!("interface {interface}: it is not there"))?;
    Ok((live.kind().to_string(), live.peers()?))
}
