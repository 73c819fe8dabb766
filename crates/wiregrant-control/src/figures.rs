//! `Figures`: what the control plane has done since it was started, counted for whoever watches it. Nothing in it is about a person
//! or a single node.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters that only rise, and what is so now.
#[derive(Debug, Default)]
pub struct Figures {
    /// Reports that were written.
    pub reports_accepted: AtomicU64,
    /// Transactions that wrote reports.
    pub report_batches: AtomicU64,
    /// How long those took, waiting for their turn included.
    pub report_write_micros: AtomicU64,
    /// How long appending to the reports log and signing its checkpoint took, within those.
    pub log_append_micros: AtomicU64,
    /// Requests that were answered with a status below 500.
    pub requests_answered: AtomicU64,
    /// Requests that were answered with a status of 500 or more.
    pub requests_failed: AtomicU64,
    /// Connections that are open.
    pub connections_open: AtomicU64,
    /// 1 while this replica does the jobs.
    pub leads: AtomicU64,
}

impl Figures {
    /// Adds a stretch of time to one of its counters.
    pub fn add_micros(&self, counter: &AtomicU64, time: Duration) {
        counter.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// All of them in the text format of Prometheus, version 0.0.4.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut tell = |name: &str, kind: &str, help: &str, value: &str| {
            let name = format!("wiregrant_control_{name}");
            // Writing to a string does not fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed).to_string();
        tell("reports_accepted_total", "counter", "Usage reports written.", &count(&self.reports_accepted));
        tell(
            "report_batches_total",
            "counter",
            "Transactions that wrote reports.",
            &count(&self.report_batches),
        );
        let help = "Time spent in transactions that wrote reports.";
        tell("report_write_seconds_total", "counter", help, &seconds(&self.report_write_micros));
        let help = "Time spent appending to the reports log and signing its checkpoints.";
        tell("log_append_seconds_total", "counter", help, &seconds(&self.log_append_micros));
        let help = "Requests answered with a status below 500.";
        tell("requests_answered_total", "counter", help, &count(&self.requests_answered));
        let help = "Requests answered with a status of 500 or more.";
        tell("requests_failed_total", "counter", help, &count(&self.requests_failed));
        tell("connections_open", "gauge", "Connections that are open.", &count(&self.connections_open));
        tell("leads", "gauge", "1 while this replica does the jobs.", &count(&self.leads));
        text
    }
}

/// Microseconds as decimal seconds, without floating point on the way.
fn seconds(micros: &AtomicU64) -> String {
    let micros = micros.load(Ordering::Relaxed);
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_its_unit_in_its_name_and_a_word_of_help() {
        let figures = Figures::default();
        figures.add_micros(&figures.log_append_micros, Duration::from_micros(1_500_007));
        figures.reports_accepted.store(7, Ordering::Relaxed);
        let text = figures.text();
        assert!(text.contains("\nwiregrant_control_log_append_seconds_total 1.500007\n"), "{text}");
        assert!(text.contains("\nwiregrant_control_reports_accepted_total 7\n"), "{text}");
        let values = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(text.lines().count(), values * 3, "{text}");
    }
}
