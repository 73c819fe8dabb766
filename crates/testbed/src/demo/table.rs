//! The live table on standard error: who has counted how much, side by side.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::clock;
use crate::counters::Counters;

/// How often it is drawn anew on a terminal, and how often a line is written elsewhere.
const REDRAW_INTERVAL: Duration = Duration::from_millis(1000);
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// What is known at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Row {
    /// By the people's own WireGuard.
    pub clients: Counters,
    /// By the node's WireGuard.
    pub node: Counters,
    /// In the control plane's store.
    pub reported: Counters,
    /// Units of all statements, in bytes.
    pub credited: u64,
    /// Sats payable by all statements.
    pub sats: u64,
    /// Seconds since the grant's first epoch began, and the epoch now.
    pub epoch: Option<u64>,
}

/// The table.
pub struct Table {
    started: Instant,
    drawn: Option<Instant>,
    terminal: bool,
    lines_on_screen: usize,
}

impl Table {
    /// A table on standard error, redrawn in place on a terminal.
    #[must_use]
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { started: clock::now(), drawn: None, terminal, lines_on_screen: 0 }
    }

    /// Whether it is time to look again.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let interval = if self.terminal { REDRAW_INTERVAL } else { LINE_INTERVAL };
        self.drawn.is_none_or(|drawn| drawn.elapsed() >= interval)
    }

    /// Shows what is known now.
    pub fn show(&mut self, row: &Row) {
        let seconds = self.started.elapsed().as_secs();
        let mut error = std::io::stderr().lock();
        // Nobody is helped by a demo that ends because its onlooker's terminal is gone.
        if self.terminal {
            let lines = table(seconds, row);
            if self.lines_on_screen > 0 {
                let _ = write!(error, "\x1b[{}A\x1b[J", self.lines_on_screen);
            }
            self.lines_on_screen = lines.len();
            let _ = writeln!(error, "{}", lines.join("\n"));
        } else {
            let _ = writeln!(error, "{}", line(seconds, row));
        }
        self.drawn = Some(clock::now());
    }

    /// What is written next stands below the table, and the next table below that.
    pub fn leave(&mut self) {
        self.lines_on_screen = 0;
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

fn table(seconds: u64, row: &Row) -> Vec<String> {
    let epoch = row.epoch.map_or_else(|| "no epoch".to_owned(), |epoch| format!("epoch {epoch}"));
    let counters = |name: &str, counters: &Counters| {
        format!(
            "  {name:<34}{:>15}{:>15}{:>15}",
            thousands(counters.received),
            thousands(counters.sent),
            thousands(counters.total())
        )
    };
    let total = |name: &str, number: u64| format!("  {name:<34}{:>45}", thousands(number));
    vec![
        format!("  {:<34}{:>15}{:>15}{:>15}", format!("{seconds} s, {epoch}"), "received", "sent", "bytes"),
        counters("people, by their own WireGuard", &row.clients),
        counters("node, by its WireGuard", &row.node),
        counters("reported, signed, logged", &row.reported),
        total("credited (1 MB units)", row.credited),
        total("sats payable", row.sats),
    ]
}

fn line(seconds: u64, row: &Row) -> String {
    let epoch = row.epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string());
    format!(
        "{seconds:>4} s  epoch {epoch}  people {}  node {}  reported {}  credited {} (1 MB units)  {} sats",
        thousands(row.clients.total()),
        thousands(row.node.total()),
        thousands(row.reported.total()),
        thousands(row.credited),
        thousands(row.sats)
    )
}

/// `1234567` as `1,234,567`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_threes() {
        let all = [0, 7, 999, 1000, 123_456, 1_234_567].map(thousands);
        assert_eq!(all, ["0", "7", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn the_columns_of_the_table_are_aligned() {
        let counters = Counters { received: 2_000_000, sent: 8_000_000 };
        let row = Row {
            clients: counters,
            node: counters,
            reported: counters,
            credited: 9_000_000,
            sats: 250_000,
            epoch: Some(1),
        };
        let lines = table(12, &row);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{}", lines.join("\n"));
        assert!(lines[1].ends_with("10,000,000") && lines[5].ends_with("250,000"));
    }

    #[test]
    fn a_line_holds_all_that_the_table_holds() {
        let row = Row { credited: 9_000_000, sats: 250_000, epoch: None, ..Row::default() };
        assert_eq!(
            line(3, &row),
            "   3 s  epoch -  people 0  node 0  reported 0  credited 9,000,000 (1 MB units)  250,000 sats"
        );
    }
}
