//! The clock of the task runner: for elapsed times on the screen and for time limits, nothing else.

use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "this binary's one reading of a clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// `7 s`, `1 min 23 s`: as much as a person waiting wants to know.
pub fn shown(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_elapsed_time_is_told_in_minutes_once_there_is_one() {
        assert_eq!(shown(Duration::from_millis(59_999)), "59 s");
        assert_eq!(shown(Duration::from_secs(60)), "1 min 0 s");
        assert_eq!(shown(Duration::from_secs(83)), "1 min 23 s");
    }
}
