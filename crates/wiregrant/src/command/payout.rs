//! `wiregrant payout check`: what a funder runs before signing. It says plainly what it does not check.

mod destinations;
mod passed;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use transparency_log::Verifier;
use wiregrant_core::BatchId;
use wiregrant_core::note::{NoteText as _, Signed};
use wiregrant_payout::{Batch, PaidOutput, PayoutAddress, PsbtCheck, check_psbt};

use passed::PassedLines;

use super::Everywhere;
use crate::private_file::{MAX_SECRET_BYTES, read_text};
use crate::table::{Column, facts, or_dash, table, thousands};
use crate::verify::{self, Memory, Record};

/// The longest PSBT file that is read.
const MAX_PSBT_BYTES: u64 = 16 * 1024 * 1024;
/// The most bytes of destination notes: 4 KiB for each line that a batch may have.
const MAX_DESTINATIONS_BYTES: u64 = 4 * 1024 * Batch::MAX_LINES as u64;

#[derive(Debug, Subcommand)]
pub enum Payouts {
    /// Check that a PSBT pays exactly a signed batch, and nothing else but change and a bounded fee
    Check(Check),
}

#[derive(Debug, Args)]
pub struct Check {
    /// The PSBT in base64, or - for standard input
    #[arg(value_name = "PSBT-FILE")]
    psbt: PathBuf,
    /// The batch's note, as `batch note` prints it
    #[arg(long, value_name = "FILE")]
    batch_note: PathBuf,
    /// The funder's own address for the change; may be given more than once
    #[arg(long, value_name = "ADDRESS", required = true)]
    change: Vec<String>,
    #[command(flatten)]
    by: By,
    /// The destination notes of the batch, as `batch destinations` prints them, with --public: each address must follow
    #[arg(long, value_name = "FILE", requires = "public")]
    destinations: Option<PathBuf>,
    /// Where `verify` keeps checkpoints and keys, and this command the lines that passed
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct By {
    /// A file with the statement key, which signs batches; then the public record is not looked at
    #[arg(long, value_name = "FILE")]
    statement_key: Option<PathBuf>,
    /// The public record, an address or a folder: it is verified, and the lines are compared with its statements
    #[arg(long, value_name = "URL|FOLDER")]
    public: Option<String>,
}

impl Payouts {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        let Self::Check(check) = self;
        check.run(everywhere)
    }
}

impl Check {
    fn run(self, everywhere: &Everywhere) -> Result<()> {
        let note = read_text(&self.batch_note, Batch::MAX_BYTES as u64).context("--batch-note")?;
        let signed: Signed<Batch> = Signed::parse(&note).context("--batch-note")?;
        let batch = signed.content();
        let memory = Memory::open(self.state_dir.clone())?;
        let mut not_checked = vec!["whether the challenge window has passed"];
        let mut record = None;
        match (&self.by.statement_key, &self.by.public) {
            (Some(path), _) => {
                signed.verified_by(&read_key(path)?).context("--batch-note")?;
                not_checked
                    .push("the public record: whether the batch is logged, and its lines against statements");
            }
            (None, Some(public)) => record = Some(against_record(&signed, public, self.state_dir)?),
            (None, None) => bail!("give --statement-key or --public"),
        }
        let mut exceptions = Vec::new();
        match (&self.destinations, &record) {
            (Some(path), Some(record)) => {
                let notes = read_text(path, MAX_DESTINATIONS_BYTES).context("--destinations")?;
                let unsigned = destinations::check(batch, &notes, record)?;
                exceptions.extend(
                    unsigned.iter().map(|o| format!("the destination of {o} is not signed by the operator")),
                );
                not_checked.push("whether a destination is old enough");
            }
            _ => not_checked
                .push("whether each address is the operator's newest destination: give --destinations"),
        }
        let change: Vec<PayoutAddress> = self
            .change
            .iter()
            .map(|address| PayoutAddress::parse(address, batch.network).context("--change"))
            .collect::<Result<_>>()?;
        let psbt = read_text(&self.psbt, MAX_PSBT_BYTES)?;
        let checked = check_psbt(psbt.trim(), batch, &change)?;
        let passed = PassedLines::open(memory.passed_lines(batch.log.as_str()))?;
        let is_void = |batch: &BatchId| record.as_ref().is_some_and(|record| record.is_void(batch));
        passed.check(batch, &checked, is_void)?;
        passed.keep(batch, &checked)?;
        let answer = answer(batch, &checked, &exceptions, &not_checked);
        everywhere.terminal().answer(&answer, || shown(batch, &checked, &exceptions, &not_checked))
    }
}

fn read_key(path: &Path) -> Result<Verifier> {
    let text = read_text(path, MAX_SECRET_BYTES)?;
    text.trim().parse().with_context(|| format!("--statement-key: {} holds no public key", path.display()))
}

/// The batch is signed by the statement key in force and logged as it is, neither paid nor void; it pays no line more than
/// its statement says, and none that is held.
fn against_record(signed: &Signed<Batch>, public: &str, state_dir: Option<PathBuf>) -> Result<Record> {
    let checked = verify::check(public, state_dir, None)?;
    let findings = checked.findings();
    let record = match checked.record {
        Some(record) if findings.is_empty() => record,
        _ => bail!("--public: the record does not hold: {}", findings.join("; ")),
    };
    let key = record.statement_key().context("--public: the record names no statement key")?;
    signed.verified_by(key).context("--batch-note")?;
    let (batch, hash) = (signed.content(), signed.hash());
    match record.batch(&batch.batch) {
        Some(logged) if logged == hash => {}
        Some(logged) => bail!("batch {}: expected the logged note {logged}, found {hash}", batch.batch),
        None => bail!("batch {}: expected a logged batch, found none of this id in the record", batch.batch),
    }
    if !record.is_open(&batch.batch) {
        bail!("batch {}: expected one to be paid, found it paid or void in the record", batch.batch);
    }
    for line in &batch.lines {
        if record.is_held(&line.grant, line.epoch, &line.operator) {
            bail!("line {} {} {}: it is held; release it first", line.operator, line.grant, line.epoch);
        }
        let payable = record.payable(&line.grant, line.epoch, &line.operator);
        if line.sats > payable {
            bail!(
                "line {} {} {}: expected at most {payable} sats as its statement says, found {}",
                line.operator,
                line.grant,
                line.epoch,
                line.sats
            );
        }
    }
    Ok(record)
}

fn answer(batch: &Batch, checked: &PsbtCheck, exceptions: &[String], not_checked: &[&str]) -> Value {
    let output = |output: &PaidOutput| json!({ "address": output.address.to_string(), "sats": output.sats });
    json!({
        "result": "ok",
        "batch": batch.batch,
        "total": batch.total,
        "fee": checked.fee,
        "outputs": checked.outputs.iter().map(output).collect::<Vec<_>>(),
        "change": checked.change.iter().map(output).collect::<Vec<_>>(),
        "txid": checked.txid.map(|txid| txid.to_string()),
        "exceptions": exceptions,
        "not_checked": not_checked,
    })
}

fn shown(batch: &Batch, checked: &PsbtCheck, exceptions: &[String], not_checked: &[&str]) -> String {
    let row = |kind: &str, output: &PaidOutput| {
        [kind.to_owned(), output.address.to_string(), thousands(output.sats.as_i64())]
    };
    let payouts = checked.outputs.iter().map(|output| row("payout", output));
    let rows: Vec<_> = payouts.chain(checked.change.iter().map(|output| row("change", output))).collect();
    let columns = [Column::Left("output"), Column::Left("address"), Column::Right("sats")];
    let sums = facts(&[
        ("batch", batch.batch.to_string()),
        ("total", format!("{} sats", thousands(batch.total.as_i64()))),
        ("fee", format!("{} sats", thousands(checked.fee.as_i64()))),
        ("txid", or_dash(checked.txid)),
    ]);
    let excepted: String = exceptions.iter().map(|what| format!("exception: {what}\n")).collect();
    let skipped: String = not_checked.iter().map(|what| format!("not checked: {what}\n")).collect();
    format!(
        "{}\n{sums}{excepted}{skipped}result  ok: the PSBT pays exactly this batch\n",
        table(columns, &rows, "no outputs")
    )
}
