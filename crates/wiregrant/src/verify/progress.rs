//! Progress on standard error, for a person who waits longer than a second.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crate::clock::Stopwatch;

/// Nothing is shown before this.
const QUIET: Duration = Duration::from_secs(1);
/// How many steps pass between two looks at the clock.
const STRIDE: u64 = 16;
const WIDTH: u64 = 30;

/// How much is done of what is known to be to do.
pub struct Progress {
    since: Stopwatch,
    to_terminal: bool,
    shown: bool,
    done: u64,
    total: u64,
}

impl Progress {
    /// Nothing done, nothing known to be to do.
    pub fn new() -> Self {
        let to_terminal = io::stderr().is_terminal();
        Self { since: Stopwatch::start(), to_terminal, shown: false, done: 0, total: 0 }
    }

    /// So many more steps are to do.
    pub fn expect(&mut self, steps: u64) {
        self.total = self.total.saturating_add(steps);
    }

    /// One step is done.
    pub fn step(&mut self) {
        self.done = self.done.saturating_add(1);
        if self.to_terminal && self.done.is_multiple_of(STRIDE) && self.since.elapsed() > QUIET {
            self.shown = true;
            let filled = self.done.saturating_mul(WIDTH).checked_div(self.total).unwrap_or(0).min(WIDTH);
            let bar: String = (0..WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect();
            // Progress that cannot be shown is no reason to stop checking.
            let _ = write!(io::stderr(), "\r[{bar}] {} of {} files", self.done, self.total);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}
