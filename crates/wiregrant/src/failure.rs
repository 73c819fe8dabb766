//! What went wrong, as a person reads it, and the exit code that goes with it.

use std::fmt::Write as _;
use std::io;

use thiserror::Error;
use wiregrant_core::api::Problem;

/// The command was not used as it can be: exit code 2.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// The control plane refused: its problem, as `title: detail (type)`.
#[derive(Debug, Error)]
#[error("{}: {} ({})", .0.title, .0.detail, .0.kind)]
pub struct Refused(pub Problem);

/// Prints the error with its causes on standard error and gives the exit code.
pub fn tell(error: &anyhow::Error) -> u8 {
    // Whoever reads our output may stop reading, as `head` does; that is no failure of ours.
    let stopped = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(stopped)) {
        return 0;
    }
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Some libraries repeat their cause in their own message.
        if !text.contains(&cause) {
            let joint = if text.is_empty() { "" } else { ": " };
            write!(text, "{joint}{cause}").expect("writing to a string does not fail");
        }
    }
    eprintln!("wiregrant: {}", crate::terminal::harmless(&text));
    if error.is::<Usage>() { 2 } else { 1 }
}
