//! Waiting for something to become true: bounded, interruptible, and named when it never does.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::interrupt::{self, Interrupted};
use crate::{clock, process};

/// How often a thing is looked at that does not announce itself.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Asks again and again until `attempt` gives a value.
///
/// # Errors
/// What `attempt` fails with; [`Interrupted`]; and after `limit` a message that says what was awaited, with the
/// last lines of each of the `logs`.
pub fn eventually<T>(
    what: &str,
    limit: Duration,
    logs: &[&Path],
    mut attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = clock::now();
    loop {
        if let Some(value) = attempt()? {
            return Ok(value);
        }
        if interrupt::requested() {
            bail!(Interrupted);
        }
        if started.elapsed() > limit {
            let mut message = format!("waited {} s in vain for {what}", limit.as_secs());
            for log in logs {
                let _ = write!(message, "\nlast lines of {}:\n{}", log.display(), process::tail(log));
            }
            bail!(message);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_awaited_in_vain_is_named_with_the_log() {
        let log = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(log.path(), "first\nthe disk is full\n").unwrap();
        let error = eventually("a report", Duration::from_millis(60), &[log.path()], || Ok(None::<()>));
        let message = error.unwrap_err().to_string();
        assert!(message.starts_with("waited 0 s in vain for a report\nlast lines of "), "{message}");
        assert!(message.ends_with("first\nthe disk is full"), "{message}");
    }

    #[test]
    fn the_first_value_ends_the_wait() {
        let mut rounds = 0;
        let value = eventually("three", Duration::from_secs(10), &[], || {
            rounds += 1;
            Ok((rounds == 3).then_some(rounds))
        });
        assert_eq!(value.unwrap(), 3);
    }
}
