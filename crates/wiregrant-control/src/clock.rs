//! `Clock`: the one place that reads the time; everything else is told it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use wiregrant_core::Timestamp;

/// Where `now` comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// Seconds since 1970 that a test moves by hand.
    ByHand(Arc<AtomicI64>),
}

/// A moment that only durations are taken from.
#[must_use]
pub fn stopwatch() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    Instant::now()
}

impl Clock {
    /// A clock that stands still until [`Self::advance`] moves it.
    #[must_use]
    pub fn by_hand(start: Timestamp) -> Self {
        Self::ByHand(Arc::new(AtomicI64::new(start.unix_seconds())))
    }

    /// This moment, to the second.
    ///
    /// # Panics
    /// When the machine's clock stands before 1970 or after 9999.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let seconds = match self {
            Self::System => {
                #[expect(clippy::disallowed_methods, reason = "this is the clock")]
                let now = SystemTime::now();
                now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).cast_signed()
            }
            Self::ByHand(seconds) => seconds.load(Ordering::SeqCst),
        };
        Timestamp::from_unix_seconds(seconds).expect("the clock stands between 1970 and 9999")
    }

    /// Moves a clock held by hand; the machine's clock moves by itself.
    pub fn advance(&self, seconds: i64) {
        if let Self::ByHand(now) = self {
            now.fetch_add(seconds, Ordering::SeqCst);
        }
    }
}
