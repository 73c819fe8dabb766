//! Figures for Prometheus: what they are, and their text form.
//!
//! Format: the Prometheus text exposition format 0.0.4. Names carry their unit. Nothing is told of one peer, and no address; a
//! node with a single peer betrays its sum to whoever may read here, so it is loopback only and off unless asked for.

mod listener;
pub mod request;

use std::fmt::{self, Write as _};
use std::time::Duration;

use wiregrant_core::Timestamp;
use wiregrant_core::api::{UsageLine, usage_lines};

use crate::clock::{ClockState, Moment};
use crate::host::guard::Guard;
use crate::keeper::Keeper;

pub use listener::serve;

/// Upper edges of the histogram of turns: in seconds as they are written, and in microseconds.
const EDGES: [(&str, u64); 8] = [
    ("0.001", 1_000),
    ("0.005", 5_000),
    ("0.025", 25_000),
    ("0.1", 100_000),
    ("0.5", 500_000),
    ("1", 1_000_000),
    ("5", 5_000_000),
    ("10", 10_000_000),
];

/// How the node stands after a turn of sampling.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Totals since enrolment.
    pub usage: Vec<UsageLine>,
    /// Peers of the interface.
    pub peers_live: usize,
    /// Peers that the control plane wants; absent before it was heard.
    pub peers_desired: Option<usize>,
    /// The journal's size.
    pub journal_bytes: u64,
    /// Whether the journal cannot be written.
    pub journal_failing: bool,
    /// Reports that the control plane has not acknowledged.
    pub unacknowledged_reports: usize,
    /// When it last acknowledged one.
    pub last_acknowledged: Option<Timestamp>,
    /// When it last answered.
    pub last_contact: Option<Timestamp>,
    /// What the clock is worth.
    pub clock: ClockState,
    /// Whether it takes no reports until a person decides.
    pub frozen: bool,
    /// Bytes of `usage` that the interface's own statistics gave back.
    pub recovered_bytes: u64,
    /// Bytes that it sent to nobody's account, which are not counted.
    pub unattributed_bytes: u64,
    /// How often what was counted was not what nftables counted, since the agent started.
    pub counter_alarms: u64,
    /// Whether the public logs are as the demanded witnesses cosigned them; absent where none is demanded, and before the first look.
    pub witnessed: Option<bool>,
    /// Whether nobody is served for now, because the operator's budget is given.
    pub paused: bool,
    /// How long turns took.
    pub turns: Durations,
}

/// A histogram of durations.
#[derive(Debug, Clone, Default)]
pub struct Durations {
    /// How many were at most as long as each edge.
    up_to_edge: [u64; EDGES.len()],
    count: u64,
    sum_microseconds: u64,
}

impl Durations {
    /// Counts one.
    pub fn add(&mut self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        for ((_, edge), count) in EDGES.iter().zip(&mut self.up_to_edge) {
            *count = count.saturating_add(u64::from(microseconds <= *edge));
        }
        self.count = self.count.saturating_add(1);
        self.sum_microseconds = self.sum_microseconds.saturating_add(microseconds);
    }
}

/// Microseconds as seconds, exactly.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// The text under way.
#[derive(Default)]
struct Text(String);

impl Text {
    /// A metric's head; its samples follow.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ =
            writeln!(self.0, "# HELP wiregrant_agent_{name} {help}\n# TYPE wiregrant_agent_{name} {kind}");
    }

    /// A sample; `labels` stand in braces or are empty.
    fn sample(&mut self, name: &str, labels: &str, value: impl fmt::Display) {
        let _ = writeln!(self.0, "wiregrant_agent_{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl fmt::Display) {
        self.metric(name, "gauge", help);
        self.sample(name, "", value);
    }

    /// A moment, left out while there was none.
    fn moment(&mut self, name: &str, help: &str, moment: Option<Timestamp>) {
        if let Some(moment) = moment {
            self.gauge(name, help, moment.unix_seconds());
        }
    }
}

impl Figures {
    /// Takes how the node stands after a turn of sampling that took so long.
    ///
    /// # Errors
    /// When the journal's notes cannot be read.
    pub fn update(&mut self, keeper: &Keeper, now: Moment, took: Duration) -> anyhow::Result<()> {
        self.turns.add(took);
        let state = keeper.ledger.state();
        let recovered = state.conservation.recovered();
        *self = Self {
            usage: usage_lines(state.meter.totals()),
            peers_live: keeper.peers_live,
            peers_desired: keeper.wanted_peers(now.wall),
            journal_bytes: keeper.ledger.journal_bytes(),
            journal_failing: keeper.ledger.behind().is_some(),
            unacknowledged_reports: state.chain.unacknowledged()?,
            last_acknowledged: state.chain.last_acknowledged().and_then(|last| last.time),
            last_contact: keeper.last_contact,
            clock: keeper.clock.judge(now),
            frozen: keeper.frozen,
            counter_alarms: keeper.guard.as_ref().map_or(0, Guard::alarms),
            witnessed: keeper.witnessing.holds(),
            paused: keeper.paused.is_some(),
            recovered_bytes: recovered.received.saturating_add(recovered.sent),
            unattributed_bytes: state.conservation.unattributed(),
            turns: std::mem::take(&mut self.turns),
        };
        Ok(())
    }

    /// The text that Prometheus reads. No value of a label comes from outside: services, classes and states are closed lists.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Text::default();
        text.metric("info", "gauge", "The agent's version.");
        text.sample("info", concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1);
        text.metric(
            "traffic_bytes_total",
            "counter",
            "Bytes counted since enrolment, as seen from the node.",
        );
        for UsageLine { service, class, received, sent, .. } in &self.usage {
            for (direction, bytes) in [("received", received), ("sent", sent)] {
                let labels = format!("{{service=\"{service}\",class=\"{class}\",direction=\"{direction}\"}}");
                text.sample("traffic_bytes_total", &labels, bytes.get());
            }
        }
        text.metric(
            "recovered_bytes_total",
            "counter",
            "Bytes of gone peers, recovered and counted as invited.",
        );
        text.sample("recovered_bytes_total", "", self.recovered_bytes);
        text.metric("unattributed_bytes_total", "counter", "Bytes sent to nobody's account, not counted.");
        text.sample("unattributed_bytes_total", "", self.unattributed_bytes);
        text.metric("counter_alarms_total", "counter", "Times that nftables counted otherwise.");
        text.sample("counter_alarms_total", "", self.counter_alarms);
        text.gauge("peers_live", "Peers of the interface.", self.peers_live);
        if let Some(desired) = self.peers_desired {
            text.gauge("peers_desired", "Peers that the control plane wants.", desired);
        }
        text.gauge("journal_bytes", "Size of the journal.", self.journal_bytes);
        let failing = u8::from(self.journal_failing);
        text.gauge("journal_failing", "1 while the journal cannot be written.", failing);
        let waiting = self.unacknowledged_reports;
        text.gauge("unacknowledged_reports", "Reports that the control plane has not acknowledged.", waiting);
        let help = "When the control plane last acknowledged a report.";
        text.moment("last_acknowledged_timestamp_seconds", help, self.last_acknowledged);
        let help = "When the control plane last answered.";
        text.moment("last_contact_timestamp_seconds", help, self.last_contact);
        text.metric("clock_state", "gauge", "1 for what the clock is worth against the control plane's.");
        for (name, state) in
            [("good", ClockState::Good), ("off", ClockState::Off), ("unknown", ClockState::Unknown)]
        {
            text.sample("clock_state", &format!("{{state=\"{name}\"}}"), u8::from(self.clock == state));
        }
        text.gauge("frozen", "1 while the control plane takes no reports.", u8::from(self.frozen));
        if let Some(witnessed) = self.witnessed {
            let help = "1 while the public logs are as the demanded witnesses cosigned them.";
            text.gauge("log_witnessed", help, u8::from(witnessed));
        }
        text.gauge("paused", "1 while nobody is served, by the operator's budget.", u8::from(self.paused));
        self.turns.write(&mut text);
        text.0
    }
}

impl Durations {
    fn write(&self, text: &mut Text) {
        let name = "sample_duration_seconds";
        text.metric(name, "histogram", "How long reading, counting and converging took.");
        let bucket = format!("{name}_bucket");
        for ((edge, _), count) in EDGES.iter().zip(self.up_to_edge) {
            text.sample(&bucket, &format!("{{le=\"{edge}\"}}"), count);
        }
        text.sample(&bucket, "{le=\"+Inf\"}", self.count);
        text.sample(&format!("{name}_sum"), "", Seconds(self.sum_microseconds));
        text.sample(&format!("{name}_count"), "", self.count);
    }
}

#[cfg(test)]
mod tests;
