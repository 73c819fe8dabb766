//! The one place where this program reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use wiregrant_core::Timestamp;

/// The moment it is.
///
/// # Errors
/// When the machine's clock stands before 1970 or after 9999.
#[expect(clippy::disallowed_methods, reason = "this module is where the clock is read")]
pub fn now() -> Result<Timestamp> {
    let since =
        SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970: set it")?;
    let seconds = i64::try_from(since.as_secs()).context("the clock is far off: set it")?;
    Ok(Timestamp::from_unix_seconds(seconds)?)
}

/// Measures how long something takes.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "this module is where the clock is read")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
