//! Whether the lines of a batch may be paid, by the public record and the notes of all other batches that may still be paid.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use wiregrant_core::note::{NoteText, Signed};
use wiregrant_core::{BatchId, GrantId, OperatorId, Sats, Timestamp};
use wiregrant_payout::{Batch, BatchLine};

use super::destinations::notes;
use crate::clock;
use crate::verify::{self, Memory, Record, Seen, TrustedKeys};

/// The record, and what it names.
pub struct Public {
    /// What the record says.
    pub record: Record,
    /// Since when its entries are known here.
    pub seen: Seen,
    /// The moment of this check.
    pub now: Timestamp,
    /// Open batches of which no note was given, as far as that is allowed.
    pub unknown: Vec<BatchId>,
}

/// What the funder says beside.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The notes of other batches, one after the other.
    pub others: &'a str,
    /// The grants that they fund; none where all of the record's are their business.
    pub grants: &'a [GrantId],
}

/// The batch is signed by the statement key in force and logged as it is, neither paid nor void; with all other batches that
/// are not void it pays no line more than its statement says, none that is held, and none whose challenge window is open.
///
/// # Errors
/// Names the first thing that does not hold.
pub fn check(
    signed: &Signed<Batch>,
    place: &str,
    state_dir: Option<PathBuf>,
    trust: &TrustedKeys,
    known: Known<'_>,
) -> Result<Public> {
    let checked = verify::check(place, state_dir.clone(), trust)?;
    let findings = checked.findings();
    let (Some(record), true) = (checked.record, findings.is_empty()) else {
        bail!("--public: the record does not hold: {}", findings.join("; "))
    };
    let seen = Memory::open(state_dir)?.seen(signed.content().log.as_str())?;
    let mut public = Public { record, seen, now: clock::now()?, unknown: Vec::new() };
    let key = public.record.statement_key().context("--public: the record names no statement key")?;
    if !public.record.statement_keys().iter().any(|key| signed.verified_by(key).is_ok()) {
        signed.verified_by(key).context("--batch-note")?;
    }
    let (batch, hash) = (signed.content(), signed.hash());
    match public.record.batch(&batch.batch) {
        Some(logged) if logged == hash => {}
        Some(logged) => bail!("batch {}: expected the logged note {logged}, found {hash}", batch.batch),
        None => bail!("batch {}: expected a logged batch, found none of this id in the record", batch.batch),
    }
    if !public.record.is_open(&batch.batch) {
        bail!("batch {}: expected one to be paid, found it paid or void in the record", batch.batch);
    }
    let stranger = batch.lines.iter().find(|line| !known.grants.contains(&line.grant));
    if let Some(line) = stranger.filter(|_| !known.grants.is_empty()) {
        bail!("{}: expected a line of a grant that --grant names, found one of {}", what(line), line.grant);
    }
    let others = other_batches(batch, &mut public, known)?;
    for line in &batch.lines {
        check_line(line, &public, &others).with_context(|| what(line))?;
    }
    Ok(public)
}

fn what(line: &BatchLine) -> String {
    format!("line {} {} {}", line.operator, line.grant, line.epoch)
}

fn check_line(line: &BatchLine, public: &Public, others: &Others) -> Result<()> {
    let record = &public.record;
    if record.is_held(&line.grant, line.epoch, &line.operator) {
        bail!("it is held; release it first");
    }
    let missing = record.approvals_missing(&line.grant, line.epoch);
    if missing > 0 {
        bail!("{missing} more people must approve its statement before it is paid");
    }
    let payable = record.payable(&line.grant, line.epoch, &line.operator);
    let paid = record.paid(&line.grant, line.epoch, &line.operator);
    let key = (line.operator.clone(), line.grant.clone(), line.epoch);
    let elsewhere = others.sums.get(&key).copied().unwrap_or_default();
    let sum = line.sats.plus(paid)?.plus(elsewhere)?;
    if sum > payable {
        bail!(
            "expected at most {payable} sats in all batches as its statement says, found {} here, {paid} paid and \
             {elsewhere} in other open batches",
            line.sats
        );
    }
    let statement = record.logged().statement(&line.grant, line.epoch);
    let statement = statement.context("the record has no such statement")?;
    let window = statement.challenge_seconds;
    if window == 0 {
        return Ok(());
    }
    let Some(since) = public.seen.since(statement.entry) else {
        bail!("its statement is not known to be logged");
    };
    let over = since.plus_seconds(window);
    if over > public.now {
        bail!(
            "its statement may be challenged for {window} s, and this machine has known it to be logged since {since}: \
             check again after {over} (`wiregrant verify` soon after a statement begins the count)"
        );
    }
    Ok(())
}

/// What the other batches pay that are neither paid, void nor replaced, by line.
struct Others {
    sums: BTreeMap<(OperatorId, GrantId, u64), Sats>,
}

/// The notes of other batches must be those that the record names, and all of them: who funds single grants is not given those of
/// others, who would be the ones to pay twice.
fn other_batches(batch: &Batch, public: &mut Public, known: Known<'_>) -> Result<Others> {
    let open = public.record.logged().open_batches();
    let mut given: BTreeMap<BatchId, Batch> = BTreeMap::new();
    for note in notes(known.others, Batch::KIND) {
        let signed = Signed::<Batch>::parse(&note).context("--others")?;
        let (id, hash) = (signed.content().batch.clone(), signed.hash());
        match open.get(&id) {
            Some(logged) if *logged == hash => drop(given.insert(id, signed.into_content())),
            Some(logged) => bail!("--others: batch {id}: expected the logged note {logged}, found {hash}"),
            // Paid or void since the file was made.
            None => {}
        }
    }
    given.remove(&batch.batch);
    let replaced: BTreeSet<&BatchId> =
        given.values().chain([batch]).filter_map(|batch| batch.replaces.as_ref()).collect();
    let missing: Vec<BatchId> = open
        .keys()
        .filter(|id| **id != batch.batch && !replaced.contains(id) && !given.contains_key(*id))
        .cloned()
        .collect();
    if !missing.is_empty() && known.grants.is_empty() {
        bail!(
            "--others: the record names {} that may still be paid, and their lines count too: give the notes that \
             `wiregrant batch notes` prints, or say with --grant which grants you fund",
            missing.iter().map(BatchId::as_str).collect::<Vec<_>>().join(", ")
        );
    }
    let mut sums: BTreeMap<(OperatorId, GrantId, u64), Sats> = BTreeMap::new();
    for other in given.values().filter(|other| !replaced.contains(&other.batch)) {
        for line in &other.lines {
            let sum = sums.entry((line.operator.clone(), line.grant.clone(), line.epoch)).or_default();
            *sum = sum.plus(line.sats)?;
        }
    }
    public.unknown = missing;
    Ok(Others { sums })
}
