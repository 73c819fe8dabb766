//! Progress on standard error, for a person who waits longer than a second.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Stopwatch;

/// Nothing is shown before this.
const QUIET: Duration = Duration::from_secs(1);
/// Between two drawings.
const PAUSE_MS: u64 = 100;
const WIDTH: u64 = 30;

/// How much is done of what is known to be to do: files, pages of an audit, transactions.
pub struct Progress {
    since: Stopwatch,
    to_terminal: bool,
    done: AtomicU64,
    total: AtomicU64,
    /// When it was drawn last, in milliseconds since the beginning; 0 before.
    drawn: AtomicU64,
}

impl Progress {
    /// Nothing done, nothing known to be to do.
    pub fn new() -> Self {
        let to_terminal = io::stderr().is_terminal();
        let zero = || AtomicU64::new(0);
        Self { since: Stopwatch::start(), to_terminal, done: zero(), total: zero(), drawn: zero() }
    }

    /// So many more steps are to do.
    pub fn expect(&self, steps: u64) {
        self.total.fetch_add(steps, Ordering::Relaxed);
    }

    /// One step is done.
    pub fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if !self.to_terminal {
            return;
        }
        let since = self.since.elapsed();
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        if since > QUIET && now.saturating_sub(self.drawn.load(Ordering::Relaxed)) >= PAUSE_MS {
            self.drawn.store(now, Ordering::Relaxed);
            let total = self.total.load(Ordering::Relaxed).max(done);
            let filled = done.saturating_mul(WIDTH).checked_div(total).unwrap_or(0);
            let bar: String = (0..WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect();
            // Progress that cannot be shown is no reason to stop checking.
            let _ = write!(io::stderr(), "\r[{bar}] {done} of {total}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.load(Ordering::Relaxed) > 0 {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}
