//! `wiregrant payout check`: what a funder runs before signing. It passes only if all was checked; where something could not
//! be, it says plainly what, and ends with 2.

mod destinations;
mod lines;
mod passed;
mod replaced;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use transparency_log::Verifier;
use wiregrant_core::note::{Network, NoteText as _, Signed};
use wiregrant_core::{BatchId, GrantId};
use wiregrant_payout::psbt::MAX_ORIGINS;
use wiregrant_payout::{Batch, PaidOutput, Pay, PayoutAddress, PsbtCheck, check_psbt};

use destinations::Followed;
use passed::PassedLines;

use super::Everywhere;
use crate::private_file::{MAX_SECRET_BYTES, read_text};
use crate::table::{Column, facts, or_dash, table, thousands};
use crate::verify::{Carried, Memory, TrustedKeys};

/// The longest PSBT file that is read.
const MAX_PSBT_BYTES: u64 = 16 * 1024 * 1024;
/// The most bytes of destination notes: 4 KiB for each line that a batch may have, and as much for proofs of names.
const MAX_DESTINATIONS_BYTES: u64 = 8 * 1024 * Batch::MAX_LINES as u64;
/// The most bytes of the notes of other batches.
const MAX_OTHERS_BYTES: u64 = 64 * 1024 * 1024;

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
    /// The funder's own address or public descriptor for the change; may be given more than once
    #[arg(long, value_name = "ADDRESS|DESCRIPTOR", required = true)]
    change: Vec<String>,
    #[command(flatten)]
    by: By,
    /// The destination notes of the batch, as `batch destinations` prints them, with --public: each address must follow
    #[arg(long, value_name = "FILE", requires = "public")]
    destinations: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustedKeys,
    /// Hours for which a destination, other than an operator's first, must have been logged
    #[arg(long, value_name = "HOURS", default_value_t = 72)]
    destination_delay: u64,
    /// The notes of the other batches that are neither paid nor void, as `batch notes` prints them
    #[arg(long, value_name = "FILE", requires = "public")]
    others: Option<PathBuf>,
    /// A grant that you fund: then every line must be of one of these, and open batches whose notes you cannot have, because
    /// others fund them, are shown as exceptions; may be given more than once
    #[arg(long = "grant", value_name = "GRANT", requires = "public")]
    grants: Vec<GrantId>,
    /// The PSBT of the batch that this one replaces, where it did not pass here
    #[arg(long, value_name = "FILE")]
    replaced_psbt: Option<PathBuf>,
    /// Where `verify` keeps checkpoints and keys, and this command the lines that passed
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct By {
    /// A file with the statement key, which signs batches, where the public record is out of reach: it is not looked at, so the
    /// check is not a whole one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["log_key", "witnesses"])]
    statement_key: Option<PathBuf>,
    /// The public record, an address or a folder: it is verified, and the lines are compared with its statements
    #[arg(long, value_name = "URL|FOLDER")]
    public: Option<String>,
}

impl Payouts {
    /// The exit code: 0 when all was checked and holds, 2 when something could not be checked.
    pub fn run(self, everywhere: &Everywhere) -> Result<u8> {
        let Self::Check(check) = self;
        check.run(everywhere)
    }
}

impl Check {
    fn run(self, everywhere: &Everywhere) -> Result<u8> {
        let note = read_text(&self.batch_note, Batch::MAX_BYTES as u64).context("--batch-note")?;
        let signed: Signed<Batch> = Signed::parse(&note).context("--batch-note")?;
        let batch = signed.content();
        let memory = Memory::open(self.state_dir.clone())?;
        let mut not_checked = Vec::new();
        let mut public = None;
        match (&self.by.statement_key, &self.by.public) {
            (Some(path), _) => {
                signed.verified_by(&read_key(path)?).context("--batch-note")?;
                not_checked.push(
                    "the public record: whether the batch is logged, its lines against statements and other batches, \
                     challenge windows and holds",
                );
            }
            (None, Some(place)) => {
                let others = read_optional(self.others.as_deref(), MAX_OTHERS_BYTES).context("--others")?;
                let known = lines::Known { others: &others, grants: &self.grants };
                public = Some(lines::check(&signed, place, self.state_dir, &self.trust, known)?);
            }
            (None, None) => bail!("give --statement-key or --public"),
        }
        let mut followed = Followed::default();
        match (&self.destinations, &public) {
            (Some(path), Some(public)) => {
                let notes = read_text(path, MAX_DESTINATIONS_BYTES).context("--destinations")?;
                let delay_seconds = self.destination_delay.saturating_mul(3_600);
                followed = destinations::check(batch, &notes, public, delay_seconds)?;
            }
            _ => not_checked
                .push("whether each address is the operator's newest destination: give --destinations"),
        }
        let mut exceptions = followed.exceptions;
        exceptions.extend(public.iter().flat_map(|public| public.unknown.iter().map(not_seen)));
        let change = own_addresses(&self.change, batch.network)?;
        let psbt = read_text(&self.psbt, MAX_PSBT_BYTES)?;
        let checked = check_psbt(psbt.trim(), batch, &change)?;
        let passed = PassedLines::open(memory.passed_lines(batch.log.as_str()))?;
        if let Some(old) = &batch.replaces {
            let psbt =
                read_optional(self.replaced_psbt.as_deref(), MAX_PSBT_BYTES).context("--replaced-psbt")?;
            replaced::check(old, &checked, passed.coins_of(old), &psbt)?;
        }
        let is_void = |batch: &BatchId| public.as_ref().is_some_and(|public| public.record.is_void(batch));
        passed.check(batch, &checked, &followed.derived, is_void)?;
        // What passed under a log that this one continues, and may be in what that has lost, is paid no second time.
        let before = public.as_ref().and_then(|public| public.record.log_keys().before());
        for log in before.into_iter().flat_map(Carried::logs) {
            let passed = PassedLines::open(memory.passed_lines(log))?;
            passed.check(batch, &checked, &followed.derived, is_void)?;
        }
        passed.keep(batch, &checked, followed.derived)?;
        let answer = answer(batch, &checked, &exceptions, &not_checked);
        everywhere.terminal().answer(&answer, || shown(batch, &checked, &exceptions, &not_checked))?;
        Ok(if not_checked.is_empty() { 0 } else { 2 })
    }
}

fn not_seen(batch: &BatchId) -> String {
    format!(
        "batch {batch} may still be paid, and its note was not given: whether it pays one of these lines too is not known"
    )
}

fn read_key(path: &Path) -> Result<Verifier> {
    let text = read_text(path, MAX_SECRET_BYTES)?;
    text.trim().parse().with_context(|| format!("--statement-key: {} holds no public key", path.display()))
}

/// A file that need not be given; empty without it.
fn read_optional(path: Option<&Path>, most: u64) -> Result<String> {
    path.map_or(Ok(String::new()), |path| read_text(path, most))
}

/// The funder's addresses: those that were named, and the first of each descriptor, to receive and for change.
fn own_addresses(named: &[String], network: Network) -> Result<Vec<PayoutAddress>> {
    let mut own = Vec::new();
    for text in named {
        match Pay::parse(text, network).context("--change")? {
            Pay::Address(address) => own.push(address),
            Pay::Descriptor(descriptor) => {
                for index in 0..MAX_ORIGINS {
                    own.push(descriptor.change_address(index)?);
                    own.push(descriptor.address(index)?);
                }
            }
            Pay::Uri(_) | Pay::Name(_) => {
                bail!("--change: give your own address or descriptor, no link or name")
            }
        }
    }
    own.sort_by_key(ToString::to_string);
    own.dedup();
    Ok(own)
}

fn answer(batch: &Batch, checked: &PsbtCheck, exceptions: &[String], not_checked: &[&str]) -> Value {
    let output = |output: &PaidOutput| json!({ "address": output.address.to_string(), "sats": output.sats });
    json!({
        "result": if not_checked.is_empty() { "ok" } else { "not-all-checked" },
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
    let result = match not_checked {
        [] => "ok: the PSBT pays exactly this batch",
        _ => "not all was checked: what was looked at holds, and that is not enough to sign",
    };
    format!("{}\n{sums}{excepted}{skipped}result  {result}\n", table(columns, &rows, "no outputs"))
}
