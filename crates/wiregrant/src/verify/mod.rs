//! `wiregrant verify`: everything that is public, checked with nothing but what is public and what was kept from before.
//!
//! The order: both logs' keys against the pinned ones, both checkpoints, every entry up to the root, every tile, the
//! checkpoints kept from earlier runs; then the record log is replayed from its first entry, and every note it names is
//! read and must follow from what was logged before it.

mod batch;
mod difference;
mod finding;
mod log;
mod membership;
mod memory;
mod outcome;
mod progress;
mod replay;
mod source;
mod statement;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use thiserror::Error;
use transparency_log::{Hash, Verifier};
use wiregrant_core::record::{RecordEntry, parse_report_entry};

use crate::terminal::Terminal;
use finding::{Finding, Findings};
use log::PublicLog;
use outcome::Outcome;
use progress::Progress;
use source::Source;

pub use memory::Memory;
pub use replay::Record;

#[derive(Debug, Args)]
pub struct Verify {
    /// The address of a control plane or of a mirror, or a folder with its public files
    #[arg(value_name = "URL|FOLDER")]
    place: String,
    /// Where checkpoints and keys are kept from one run to the next [default: $XDG_STATE_HOME/wiregrant]
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    /// The record log's key, where you have it from someone you trust; otherwise the first one seen is pinned
    #[arg(long, value_name = "VKEY")]
    log_key: Option<Verifier>,
}

/// Why the check could not be made: nothing is said about whether the record holds.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct CouldNotCheck(pub String);

/// What was read and checked.
pub struct Checked {
    /// What the record says; absent where one of the logs does not hold.
    pub record: Option<Record>,
    outcome: Outcome,
}

impl Checked {
    /// What does not hold, a line each.
    pub fn findings(&self) -> Vec<String> {
        self.outcome.findings.iter().map(ToString::to_string).collect()
    }
}

impl Verify {
    /// Checks and tells; the result is the exit code.
    ///
    /// # Errors
    /// Only those of writing the answer.
    pub fn run(&self, terminal: Terminal) -> Result<u8> {
        let outcome = match check(&self.place, self.state_dir.clone(), self.log_key.as_ref()) {
            Ok(checked) => checked.outcome,
            Err(CouldNotCheck(reason)) => Outcome::could_not_check(reason),
        };
        terminal.answer(&outcome, || outcome.to_string())?;
        Ok(outcome.exit_code())
    }
}

/// Checks everything public at `place`.
///
/// # Errors
/// [`CouldNotCheck`] where something cannot be reached or read, which is no finding.
pub fn check(
    place: &str,
    state_dir: Option<PathBuf>,
    log_key: Option<&Verifier>,
) -> Result<Checked, CouldNotCheck> {
    let source = Source::open(place)?;
    let memory = Memory::open(state_dir)?;
    let mut progress = Progress::new();
    let mut findings = Findings::default();

    let record = read_log(&source, &memory, "log", record_entry, &mut progress, &mut findings, log_key)?;
    let reports =
        read_log(&source, &memory, "reports", parse_report_entry, &mut progress, &mut findings, None)?;
    if let (Some(record), Some(reports)) = (&record, &reports) {
        findings.extend(one_control_plane(record, reports));
        findings.extend(twice_reported(reports));
    }

    let mut outcome = Outcome::default();
    outcome.describe(record.as_ref(), reports.as_ref());
    let replayed = match (record, reports) {
        (Some(record), Some(reports)) => {
            let replayed = replay::replay(&source, &record, &reports, &mut progress, &mut findings)?;
            outcome.statements = replayed.statements;
            outcome.unpaid_batches(replayed.unpaid_batches());
            Some(replayed)
        }
        _ => {
            outcome.not_checked.insert(0, "statements and batches, because a log does not hold".to_owned());
            None
        }
    };
    outcome.conclude(findings);
    Ok(Checked { record: replayed, outcome })
}

fn record_entry(entry: &str) -> Result<RecordEntry, wiregrant_core::FactError> {
    entry.parse()
}

/// One log whole, if it holds: by itself, under the pinned key, and against the checkpoint kept from before.
fn read_log<E>(
    source: &Source,
    memory: &Memory,
    prefix: &'static str,
    parse: fn(&str) -> Result<E, wiregrant_core::FactError>,
    progress: &mut Progress,
    findings: &mut Findings,
    trusted: Option<&Verifier>,
) -> Result<Option<PublicLog<E>>, CouldNotCheck> {
    let offered = match log::published_key(source, prefix)? {
        Ok(offered) => offered,
        Err(finding) => {
            findings.push(finding);
            return Ok(None);
        }
    };
    let other_key = match trusted {
        Some(trusted) if *trusted != offered => {
            Some(Finding::new("log key", format!("/{prefix}/vkey"), trusted, &offered))
        }
        _ => memory.check_key(source, prefix, &offered)?,
    };
    if let Some(finding) = other_key {
        findings.push(finding);
        return Ok(None);
    }
    let log = match log::read(source, prefix, &offered, parse, progress)? {
        Ok(log) => log,
        Err(finding) => {
            findings.push(finding);
            return Ok(None);
        }
    };
    match memory.check_checkpoint(&log)? {
        Ok(kept) => {
            memory.remember(source, &log)?;
            Ok(Some(PublicLog { kept, ..log }))
        }
        Err(finding) => {
            findings.push(finding);
            Ok(None)
        }
    }
}

/// Both logs have one key under two names: one name for both would let one log stand in for the other.
fn one_control_plane<A, B>(record: &PublicLog<A>, reports: &PublicLog<B>) -> Vec<Finding> {
    let mut found = Vec::new();
    if record.verifier.public_key() != reports.verifier.public_key() {
        let at = "/reports/vkey";
        found.push(Finding::new("log key", at, "the record log's key", &reports.verifier));
    }
    if record.verifier.name() == reports.verifier.name() {
        found.push(Finding::new(
            "origin",
            "/reports/vkey",
            "another name than the record log's",
            reports.verifier.name(),
        ));
    }
    found
}

/// A report's note has a random salt, so that one hash twice is one report counted twice.
fn twice_reported(reports: &PublicLog<Hash>) -> Vec<Finding> {
    let mut sorted: Vec<(Hash, u64)> = reports.entries.iter().copied().zip(0..).collect();
    sorted.sort_unstable();
    let twice = sorted.array_windows().filter(|[(first, _), (second, _)]| first == second);
    twice
        .map(|[(hash, first), (_, second)]| {
            let at = format!("/reports entry {second}");
            Finding::new("report", at, "each report once", format!("{hash}, which is entry {first} too"))
        })
        .collect()
}
