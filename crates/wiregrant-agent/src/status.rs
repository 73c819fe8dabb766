//! `wiregrant-agent status`: the node as its own files and its interface tell it, whether or not the agent runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
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
use crate::keeper::Wanted;
use crate::ledger;
use crate::state_dir::StateDir;
use crate::watch::Rate;
use crate::wireguard::{self, LivePeer};

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
    let wanted: Option<Wanted> = dir.read_json("desired.json")?;
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

impl Status {
    /// For people, who read it at `now`.
    #[must_use]
    pub fn text(&self, now: Timestamp) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<24}{value}");
        };
        let or_unknown = |number: Option<usize>| number.map_or("unknown".to_owned(), |n| n.to_string());
        line("node", format!("{} of operator {}", self.node, self.operator));
        line("agent", if self.running { "running".into() } else { "not running".into() });
        let backend = self.backend.as_deref().unwrap_or("no interface");
        line("interface", format!("{} ({backend}), reached at {}", self.interface, self.endpoint));
        if let Some(error) = &self.interface_error {
            line("", error.clone());
        }
        let (live, desired) = (or_unknown(self.peers_live), or_unknown(self.peers_desired));
        line("peers", format!("{live} live, {desired} desired"));
        if let Some(rate) = &self.rate {
            line("rate", rate.to_string());
        }
        if let Some(pause) = self.paused {
            let why = match pause {
                Pause::Budget => "nobody is served until the month turns: its gigabytes are given",
                Pause::Hours => "nobody is served until the hours of the budget begin",
            };
            line("paused", why.to_owned());
        }
        if !self.levels.is_empty() {
            let counts: Vec<_> =
                self.levels.iter().map(|(level, peers)| format!("{peers} {level}")).collect();
            line("allotments left", counts.join(", "));
        }
        line(
            "epoch",
            self.epoch.as_ref().map_or("none".into(), |epoch| format!("{} {}", epoch.grant, epoch.number)),
        );
        for usage in &self.usage {
            let UsageLine { service, class, received, sent, .. } = usage;
            line(
                &format!("{service}, {class}"),
                format!("{} received, {} sent", received.to_gb(), sent.to_gb()),
            );
        }
        if self.recovered_bytes > 0 {
            line(
                "recovered",
                format!("{} bytes of peers that are gone, counted as invited", self.recovered_bytes),
            );
        }
        if self.unattributed_bytes > 0 {
            line(
                "unattributed",
                format!("{} bytes sent to nobody's account, not counted", self.unattributed_bytes),
            );
        }
        let last = self.last_acknowledged.as_ref().map_or("none acknowledged yet".to_owned(), |last| {
            let age = |time: Timestamp| Some(age(now.seconds_since(time))).filter(|_| time <= now);
            let at = last.time.map(|time| match age(time) {
                Some(age) => format!(" at {time}, {age} ago"),
                None => format!(" at {time}"),
            });
            let at = at.unwrap_or_default();
            format!("number {} acknowledged{at}", last.sequence)
        });
        line("reports", format!("{last}, {} waiting", self.unacknowledged_reports));
        if let Some(error) = &self.delivery_error {
            line(
                "",
                format!("the last attempt at a delivery failed: {error}; it is repeated, and bytes count on"),
            );
        }
        line("journal", format!("{} bytes", self.journal_bytes));
        if let Some(error) = &self.firewall_error {
            line("firewall", error.clone());
        }
        if self.counter_alarms > 0 {
            line(
                "cross-check",
                format!("{} times not what nftables counted; see the log", self.counter_alarms),
            );
        }
        if let Some(error) = &self.journal_error {
            line(
                "",
                format!(
                    "cannot be written ({error}): make room; until then counting goes on in memory, and new"
                ),
            );
            line("", "peers, removals and reports wait".into());
        }
        for file in &self.damaged_journals {
            line(
                "",
                format!(
                    "the disk had lost part of it: bytes may be missing, none counts twice; {} is kept",
                    file.display()
                ),
            );
        }
        let clock = match self.clock {
            ClockState::Good => "agrees with the control plane's",
            ClockState::Off => "does not agree with the control plane's; reports wait until it does",
            ClockState::Unknown => "not compared with the control plane's",
        };
        line("clock", clock.to_owned());
        let contact = self.last_contact.map_or("never".to_owned(), |time| time.to_string());
        line("last contact", contact);
        if self.frozen {
            line(
                "frozen",
                "the control plane takes no reports until a person decides; bytes are counted on".into(),
            );
        }
        text
    }
}

/// A stretch of time in the greatest unit of which it has two.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_a_unit_of_which_it_has_two() {
        for (seconds, told) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (200_000, "2 days")]
        {
            assert_eq!(age(seconds), told);
        }
    }
}
