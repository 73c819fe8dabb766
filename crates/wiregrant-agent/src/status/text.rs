//! The status in words, for people.

use std::fmt::Write as _;

use wiregrant_core::Timestamp;
use wiregrant_core::api::{Pause, UsageLine};

use super::Status;
use crate::clock::ClockState;
use crate::witnessed::Witnessing;

/// Lines of a name and what is to be said of it.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, name: &str, value: impl AsRef<str>) {
        let _ = writeln!(self.0, "{name:<24}{}", value.as_ref());
    }
}

impl Status {
    /// For people, who read it at `now`.
    #[must_use]
    pub fn text(&self, now: Timestamp) -> String {
        let mut lines = Lines::default();
        self.node(&mut lines);
        self.usage(&mut lines);
        self.reports(&mut lines, now);
        self.witnessing(&mut lines);
        self.journal(&mut lines);
        self.contact(&mut lines);
        lines.0
    }

    fn node(&self, lines: &mut Lines) {
        let or_unknown = |number: Option<usize>| number.map_or("unknown".to_owned(), |n| n.to_string());
        lines.line("node", format!("{} of operator {}", self.node, self.operator));
        lines.line("agent", if self.running { "running" } else { "not running" });
        let backend = self.backend.as_deref().unwrap_or("no interface");
        lines.line("interface", format!("{} ({backend}), reached at {}", self.interface, self.endpoint));
        if let Some(error) = &self.interface_error {
            lines.line("", error);
        }
        if let Some(error) = &self.firewall_error {
            lines.line("firewall", error);
        }
        let (live, desired) = (or_unknown(self.peers_live), or_unknown(self.peers_desired));
        lines.line("peers", format!("{live} live, {desired} desired"));
        if let Some(rate) = &self.rate {
            lines.line("rate", rate.to_string());
        }
        if let Some(pause) = self.paused {
            let why = match pause {
                Pause::Budget => "nobody is served until the month turns: its gigabytes are given",
                Pause::Hours => "nobody is served until the hours of the budget begin",
            };
            lines.line("paused", why);
        }
        if !self.levels.is_empty() {
            let counts: Vec<_> =
                self.levels.iter().map(|(level, peers)| format!("{peers} {level}")).collect();
            lines.line("allotments left", counts.join(", "));
        }
    }

    fn usage(&self, lines: &mut Lines) {
        let epoch = self.epoch.as_ref().map(|epoch| format!("{} {}", epoch.grant, epoch.number));
        lines.line("epoch", epoch.as_deref().unwrap_or("none"));
        for UsageLine { service, class, received, sent, .. } in &self.usage {
            let moved = format!("{} received, {} sent", received.to_gb(), sent.to_gb());
            lines.line(&format!("{service}, {class}"), moved);
        }
        if self.recovered_bytes > 0 {
            let recovered = self.recovered_bytes;
            lines.line("recovered", format!("{recovered} bytes of peers that are gone, counted as invited"));
        }
        if self.unattributed_bytes > 0 {
            let unattributed = self.unattributed_bytes;
            lines.line("unattributed", format!("{unattributed} bytes sent to nobody's account, not counted"));
        }
        if self.counter_alarms > 0 {
            let alarms = self.counter_alarms;
            lines.line("cross-check", format!("{alarms} times not what nftables counted; see the log"));
        }
    }

    fn reports(&self, lines: &mut Lines, now: Timestamp) {
        let last = self.last_acknowledged.as_ref().map(|last| {
            let at = match last.time {
                Some(time) if time <= now => format!(" at {time}, {} ago", age(now.seconds_since(time))),
                Some(time) => format!(" at {time}"),
                None => String::new(),
            };
            format!("number {} acknowledged{at}", last.sequence)
        });
        let last = last.as_deref().unwrap_or("none acknowledged yet");
        lines.line("reports", format!("{last}, {} waiting", self.unacknowledged_reports));
        if let Some(error) = &self.delivery_error {
            let what = "it is repeated, and bytes count on";
            lines.line("", format!("the last attempt at a delivery failed: {error}; {what}"));
        }
    }

    fn witnessing(&self, lines: &mut Lines) {
        if let Some(Witnessing { at, error }) = &self.witnessing {
            let seen = at.map(|at| format!("cosigned by the demanded witnesses, as of {at}"));
            lines.line("public logs", seen.as_deref().unwrap_or("not seen yet as witnesses cosigned them"));
            if let Some(error) = error {
                lines.line("", format!("the last look failed: {error}"));
            }
        }
        for file in &self.evidence {
            lines.line("evidence", format!("{}, for `wiregrant verify proof`", file.display()));
        }
    }

    fn journal(&self, lines: &mut Lines) {
        lines.line("journal", format!("{} bytes", self.journal_bytes));
        if let Some(error) = &self.journal_error {
            let until_then = "make room; until then counting goes on in memory, and new";
            lines.line("", format!("cannot be written ({error}): {until_then}"));
            lines.line("", "peers, removals and reports wait");
        }
        for file in &self.damaged_journals {
            let loss = "the disk had lost part of it: bytes may be missing, none counts twice";
            lines.line("", format!("{loss}; {} is kept", file.display()));
        }
    }

    fn contact(&self, lines: &mut Lines) {
        let clock = match self.clock {
            ClockState::Good => "agrees with the control plane's",
            ClockState::Off => "does not agree with the control plane's; reports wait until it does",
            ClockState::Unknown => "not compared with the control plane's",
        };
        lines.line("clock", clock);
        let contact = self.last_contact.map_or("never".to_owned(), |time| time.to_string());
        lines.line("last contact", contact);
        if self.frozen {
            let why = "the control plane takes no reports until a person decides; bytes are counted on";
            lines.line("frozen", why);
        }
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
