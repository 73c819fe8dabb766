//! `wiregrant verify`: everything that is public, checked with nothing but what is public and what was kept from before.
//!
//! The order: both logs' keys against the pinned ones, both checkpoints, every entry up to the root, every tile, the
//! checkpoints kept from earlier runs; then the record log is replayed from its first entry, and every note it names is
//! read and must follow from what was logged before it.

mod audit;
mod batch;
mod carried;
mod chain;
mod decisions;
mod difference;
mod finding;
pub mod leftovers;
mod lines;
pub mod log;
mod log_keys;
mod logged;
mod membership;
mod memory;
mod outcome;
pub mod pages;
mod progress;
mod proof;
mod reading;
mod repeated;
mod replay;
mod seen;
pub mod source;
mod statement;
pub mod tiles;
mod trusted_keys;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use thiserror::Error;
use transparency_log::Edge;
use wiregrant_core::FactError;
use wiregrant_core::record::RecordEntry;

use crate::mirror::Copied;
use crate::terminal::Terminal;
use audit::AuditPlace;
use chain::ChainOptions;
use finding::{Finding, Findings};
use log::{Pin, PublicLog};
use outcome::Outcome;
use progress::Progress;
use reading::Entries;
use repeated::Reports;
use replay::{Replay, Replayed};
use source::Source;

pub use carried::Carried;
pub use memory::Memory;
pub use replay::Record;
pub use seen::Seen;
pub use trusted_keys::TrustedKeys;

/// How often a log is read again when it grew under our hands and took its partial tiles away.
const MAX_READINGS: usize = 5;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Verify {
    #[command(subcommand)]
    file: Option<OfFile>,
    /// The address of a control plane or of a mirror, or a folder with its public files
    #[arg(value_name = "URL|FOLDER", required = true)]
    place: Option<String>,
    /// Where checkpoints and keys are kept from one run to the next [default: $XDG_STATE_HOME/wiregrant]
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustedKeys,
    /// A file with an auditor's token: the units of statements are recomputed from inputs and reports, which the control plane
    /// at --url gives
    #[arg(long, value_name = "FILE")]
    audit_token: Option<PathBuf>,
    /// A folder in which what the auditor is given is kept; without --audit-token it is read from there
    #[arg(long, value_name = "FOLDER")]
    audit_folder: Option<PathBuf>,
    #[command(flatten)]
    chain: ChainOptions,
}

/// What is checked by itself.
#[derive(Debug, Subcommand)]
enum OfFile {
    /// Check a file that convicts somebody by their own signatures: a node of two reports under one number, a log of two
    /// histories or of an acknowledged report that it replaced
    Proof(proof::Proof),
}

/// What is checked beside what is public.
#[derive(Default)]
pub struct Beside {
    /// Inputs and closing reports.
    audit: Option<AuditPlace>,
    /// Transactions.
    chain: ChainOptions,
}

/// Why the check could not be made: nothing is said about whether the record holds.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct CouldNotCheck(pub String);

/// What was read and checked.
pub struct Checked {
    /// What the record says; absent where one of the logs does not hold.
    pub record: Option<Record>,
    /// The record and the reports log, where both hold.
    pub logs: Option<(PublicLog, PublicLog)>,
    outcome: Outcome,
}

impl Checked {
    /// Says how much a mirror fetched.
    pub fn set_copied(&mut self, copied: Copied) {
        self.outcome.copied = Some(copied);
    }

    /// Tells; the result is the exit code.
    ///
    /// # Errors
    /// Only those of writing the answer.
    pub fn tell(&self, terminal: Terminal) -> Result<u8> {
        terminal.answer(&self.outcome, || self.outcome.to_string())?;
        Ok(self.outcome.exit_code())
    }

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
    pub fn run(&self, url: Option<&str>, terminal: Terminal) -> Result<u8> {
        if let Some(OfFile::Proof(proof)) = &self.file {
            return proof.run(terminal);
        }
        match self.checked(url) {
            Ok(checked) => checked.tell(terminal),
            Err(reason) => tell_could_not_check(reason, terminal),
        }
    }

    fn checked(&self, url: Option<&str>) -> Result<Checked, CouldNotCheck> {
        // The control plane is where the record is read from, unless that is a mirror or a folder.
        let place = self.place.as_deref().unwrap_or_default(); // clap has refused a line without one
        let url = url.or_else(|| place.starts_with("http").then_some(place));
        let audit = AuditPlace::open(self.audit_token.as_deref(), url, self.audit_folder.clone())?;
        let beside = Beside { audit, chain: self.chain.clone() };
        let (source, memory) = (Source::open(place)?, Memory::open(self.state_dir.clone())?);
        check_source(&source, &memory, &self.trust, Edge::empty(), &beside)
    }
}

/// Tells why nothing was checked; the result is the exit code.
///
/// # Errors
/// Only those of writing the answer.
pub fn tell_could_not_check(CouldNotCheck(reason): CouldNotCheck, terminal: Terminal) -> Result<u8> {
    let outcome = Outcome::could_not_check(reason);
    terminal.answer(&outcome, || outcome.to_string())?;
    Ok(outcome.exit_code())
}

/// Checks everything public at `place`.
///
/// # Errors
/// [`CouldNotCheck`] where something cannot be reached or read, which is no finding.
pub fn check(place: &str, state_dir: Option<PathBuf>, trust: &TrustedKeys) -> Result<Checked, CouldNotCheck> {
    let beside = Beside::default();
    check_source(&Source::open(place)?, &Memory::open(state_dir)?, trust, Edge::empty(), &beside)
}

/// Checks everything public at `source`; of the reports log what it has beyond the edge of an earlier reading.
///
/// # Errors
/// As [`check`].
pub fn check_source(
    source: &Source,
    memory: &Memory,
    trust: &TrustedKeys,
    reports_read: Edge,
    beside: &Beside,
) -> Result<Checked, CouldNotCheck> {
    let progress = Progress::new();
    for _ in 1..MAX_READINGS {
        let (checked, read) = check_once(source, memory, trust, reports_read.clone(), beside, &progress)?;
        // A log that grew under our hands may have taken its partial tiles away, or signed pages that show more than what was
        // read; then its checkpoint is another one.
        if checked.outcome.findings.is_empty() || read == checkpoints(source)? {
            return Ok(checked);
        }
    }
    Ok(check_once(source, memory, trust, reports_read, beside, &progress)?.0)
}

/// Both checkpoints as they are now.
fn checkpoints(source: &Source) -> Result<Vec<Option<String>>, CouldNotCheck> {
    ["log", "reports"].into_iter().map(|prefix| log::checkpoint_note(source, prefix)).collect()
}

fn check_once(
    source: &Source,
    memory: &Memory,
    trust: &TrustedKeys,
    reports_read: Edge,
    beside: &Beside,
    progress: &Progress,
) -> Result<(Checked, Vec<Option<String>>), CouldNotCheck> {
    let mut findings = Findings::default();
    let mut outcome = Outcome::default();

    // The record speaks of reports, so that its checkpoint is taken first: all that it speaks of is in the other.
    let record = open_log(source, memory, "log", trust, &mut findings)?;
    let reports = open_log(source, memory, "reports", trust, &mut findings)?;
    let read = [&record, &reports].map(|log| log.as_ref().map(|log| log.note.clone())).to_vec();
    if let (Some(record), Some(reports)) = (&record, &reports) {
        findings.extend(one_control_plane(record, reports));
    }
    let reports = match reports {
        Some(log) => read_reports(source, memory, log, reports_read, progress, &mut findings)?,
        None => None,
    };
    let (record, replayed) = match (record, &reports) {
        (Some(log), Some(reports)) => {
            read_record(source, memory, log, (reports, beside), progress, &mut findings)?
        }
        // Without reports nothing can be held against them; the log itself can.
        (Some(log), None) => {
            findings.extend(log.unfollowed());
            findings.extend(reading::read(source, &log, &mut FormOnly, progress)?);
            (Some(log), None)
        }
        (None, _) => (None, None),
    };
    let reports = match reports {
        // The record has led to the key that signs it.
        Some(log) if !log.pins.is_empty() && replayed.is_some() => {
            against_memory(source, memory, log, &mut findings)?
        }
        reports => reports,
    };
    outcome.describe(record.as_ref(), reports.as_ref(), trust.demanded());
    outcome.beside(replayed.as_ref().and_then(|r| r.audited), replayed.as_ref().and_then(|r| r.transactions));
    let replayed = replayed.map(|replayed| replayed.record);
    match &replayed {
        Some(replayed) => {
            outcome.statements = replayed.statements;
            outcome.unpaid_batches(replayed.unpaid_batches());
            outcome.not_checked.extend(replayed.log_keys().not_shown());
        }
        None => {
            outcome.not_checked.insert(0, "statements and batches, because a log does not hold".to_owned());
        }
    }
    let holds = replayed.is_some();
    for log in [&record, &reports].into_iter().flatten().filter(|_| holds) {
        match leftovers::check(source, log)? {
            Some(found) => findings.extend(found),
            None if log.prefix == "log" => outcome.not_checked.push(leftovers::NOT_LISTED.to_owned()),
            None => {}
        }
    }
    if let (Some(record), Some(log)) = (&replayed, &record) {
        match pages::check(source, log, record, progress)? {
            Some(found) => findings.extend(found),
            None => outcome.not_checked.push(pages::NOT_THERE.to_owned()),
        }
    }
    outcome.conclude(findings);
    Ok((Checked { record: replayed, logs: record.zip(reports).filter(|_| holds), outcome }, read))
}

/// Entries of the record that are read and not replayed.
struct FormOnly;

impl Entries for FormOnly {
    fn take(&mut self, _: u64, entry: &str) -> Result<Result<(), FactError>, CouldNotCheck> {
        Ok(entry.parse::<RecordEntry>().map(drop))
    }
}

/// A log under the pinned key and a checkpoint that it signed.
fn open_log(
    source: &Source,
    memory: &Memory,
    prefix: &'static str,
    trust: &TrustedKeys,
    findings: &mut Findings,
) -> Result<Option<PublicLog>, CouldNotCheck> {
    let offered = match log::published_key(source, prefix)? {
        Ok(offered) => offered,
        Err(finding) => {
            findings.push(finding);
            return Ok(None);
        }
    };
    let mut pins = memory.other_keys(source, prefix, &offered)?;
    // The key is the record log's; that both logs have one is held against it later.
    let given = trust.log_key().filter(|given| prefix == "log" && **given != offered);
    pins.extend(
        given.map(|key| Pin { key: key.clone(), place: "the other is given by --log-key".to_owned() }),
    );
    let refused = match log::published(source, prefix, &offered)? {
        Ok(log) => match trust.witnessed(&log)? {
            None => return Ok(Some(PublicLog { pins, ..log })),
            Some(finding) => finding,
        },
        Err(finding) => finding,
    };
    findings.extend(pins.iter().map(|pin| pin.unfollowed(prefix, &offered)));
    findings.push(refused);
    Ok(None)
}

/// The reports log, if it holds by itself and against the checkpoint kept from before.
fn read_reports(
    source: &Source,
    memory: &Memory,
    log: PublicLog,
    read_before: Edge,
    progress: &Progress,
    findings: &mut Findings,
) -> Result<Option<PublicLog>, CouldNotCheck> {
    let origin = log.checkpoint.origin.clone();
    let (mut reports, edge) = match read_before.size() {
        0 => Reports::resumed(memory, &origin)?,
        _ => (Reports::new(memory, &origin)?, read_before.clone()),
    };
    let mut log = PublicLog { resumed: if read_before.size() == 0 { edge.size() } else { 0 }, ..log };
    let mut found = reading::read_from(source, &log, edge, &mut reports, progress)?;
    if !found.is_empty() && log.resumed > 0 {
        // The fault may lie in what was kept, and a finding names more where all is read.
        reports = Reports::new(memory, &origin)?;
        log.resumed = 0;
        found = reading::read(source, &log, &mut reports, progress)?;
    }
    if !found.is_empty() {
        Reports::new(memory, &origin)?;
        findings.extend(log.unfollowed());
        findings.extend(found);
        return Ok(None);
    }
    findings.extend(reports.repeated(source, &log, progress)?);
    if !log.pins.is_empty() {
        // Only the record can lead from a key that is trusted to the one that signs.
        return Ok(Some(log));
    }
    against_memory(source, memory, log, findings)
}

/// The record, if it holds by itself and against the checkpoint kept from before, and what it says.
fn read_record(
    source: &Source,
    memory: &Memory,
    log: PublicLog,
    (reports, beside): (&PublicLog, &Beside),
    progress: &Progress,
    findings: &mut Findings,
) -> Result<(Option<PublicLog>, Option<Replayed>), CouldNotCheck> {
    let mut replay = Replay::new(source, &log, reports, (beside, progress));
    let found = reading::read(source, &log, &mut replay, progress)?;
    if !found.is_empty() {
        // What was replayed is not what was signed.
        findings.extend(log.unfollowed());
        findings.extend(found);
        return Ok((None, None));
    }
    let mut replayed = replay.conclude();
    let keys = replayed.record.log_keys();
    let mut unfollowed = keys.follow(&log, memory)?;
    unfollowed.extend(keys.follow(reports, memory)?);
    if !unfollowed.is_empty() {
        // Whoever signs this is somebody else: what else does not hold in it says nothing.
        findings.extend(unfollowed);
        return Ok((None, None));
    }
    let log = against_memory(source, memory, log, findings)?;
    findings.extend(std::mem::take(&mut replayed.findings).into_list());
    Ok((log.clone(), log.map(|_| replayed)))
}

/// The log, if it continues the checkpoint kept from before; then its own is kept.
fn against_memory(
    source: &Source,
    memory: &Memory,
    log: PublicLog,
    findings: &mut Findings,
) -> Result<Option<PublicLog>, CouldNotCheck> {
    match memory.check_checkpoint(source, &log)? {
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
fn one_control_plane(record: &PublicLog, reports: &PublicLog) -> Vec<Finding> {
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
