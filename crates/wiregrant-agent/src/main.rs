//! The node agent of wiregrant. Exit code 2 is a wrong command line or a log that cannot be read, 1 a failure.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use wiregrant_agent::command_line::{CommandLine, UsageError};
use wiregrant_agent::public_log::Unreadable;

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Not through the `log` crate: a library prints peers' addresses there.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    match command_line.execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wiregrant-agent: {error:#}");
            if error.is::<UsageError>() || error.is::<Unreadable>() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
