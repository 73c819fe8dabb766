//! The clock of the testbed: its one place that reads the time.

use std::time::{Duration, Instant, SystemTime};

use wiregrant_core::Timestamp;

/// For time limits and elapsed times.
#[expect(clippy::disallowed_methods, reason = "the testbed's one reading of the monotonic clock")]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// The moment in UTC, for a grant's start.
#[expect(clippy::disallowed_methods, reason = "the testbed's one reading of the wall clock")]
#[must_use]
pub fn utc_now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_unix_seconds(seconds).expect("this machine's clock stands between 1970 and 9999")
}
