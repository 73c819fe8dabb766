//! `wiregrant batch`: the payouts of one transaction, frozen, with its unsigned PSBT.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use wiregrant_core::api::{
    Batch, BatchStage, BatchState, BatchTransaction, CancelBatch, CoinInput, DeclareTransaction, List,
    NewBatch, Payout,
};
use wiregrant_core::note::{Network, Signed};
use wiregrant_core::{BatchId, GrantId};
use wiregrant_payout::export::{Form, export};
use wiregrant_payout::{Pay, PayoutError, parse_coins};

use super::Everywhere;
use crate::private_file::read_text;
use crate::table::{Column, facts, or_dash, table, thousands};

/// The longest list of coins that is read.
const MAX_COINS_BYTES: u64 = 16 * 1024 * 1024;
/// The longest transaction or PSBT that is sent: what the control plane takes as a body, with room for its JSON.
const MAX_TRANSACTION_BYTES: u64 = 4 * 1024 * 1024 - 1_024;

#[derive(Debug, Subcommand)]
pub enum Batches {
    /// Freeze all payable lines of a grant into a batch and build its unsigned transaction (administrator, funder)
    Create(Create),
    /// List all batches (administrator, funder)
    List,
    /// Show one batch (administrator, funder)
    Show {
        /// The batch's id
        batch: BatchId,
    },
    /// Freeze a draft: what is due now, to the destinations in force now (administrator, funder)
    Freeze {
        /// The batch's id
        batch: BatchId,
    },
    /// Print the notes of all batches that may still be paid, for `payout check --others` (administrator, funder)
    Notes,
    /// Hand out a batch's unsigned transaction, a PSBT in base64 (administrator, funder)
    Psbt {
        /// The batch's id
        batch: BatchId,
    },
    /// Print a batch's note as it was signed, for `payout check` (administrator, funder)
    Note {
        /// The batch's id
        batch: BatchId,
    },
    /// Print the destination notes that a batch's addresses follow from, for `payout check` (administrator, funder)
    Destinations {
        /// The batch's id
        batch: BatchId,
    },
    /// Hand out a batch as a wallet imports it that chooses the coins itself; declare its transaction (administrator, funder)
    Export {
        /// The batch's id
        batch: BatchId,
        /// csv, bip21, sendmany or walletcreatefundedpsbt
        #[arg(long = "as", value_name = "FORM", value_parser = form)]
        form: Form,
    },
    /// Say which transaction pays a batch, where it is not its own PSBT's (administrator, funder)
    Declare(Declare),
    /// Cancel a batch: it is void once one of its coins is spent elsewhere, six blocks deep (administrator, funder)
    Cancel {
        /// The batch's id
        batch: BatchId,
        /// A short public reason, such as wrong-fee
        #[arg(long, value_name = "WORD", value_parser = super::node::reason)]
        reason: String,
        /// Nobody has signed it: it is void at once
        #[arg(long)]
        unsigned: bool,
    },
}

#[derive(Debug, Args)]
pub struct Declare {
    /// The batch's id
    batch: BatchId,
    #[command(flatten)]
    what: What,
    /// With --psbt for which the wallet chose the coins: where its change goes; may be given more than once
    #[arg(long, value_name = "ADDRESS", requires = "psbt")]
    change: Vec<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct What {
    /// The transaction's id; it is looked for in the last hundred blocks and those to come
    #[arg(long, value_name = "TXID")]
    txid: Option<String>,
    /// A file with the whole transaction in hexadecimal; - for standard input
    #[arg(long, value_name = "FILE")]
    transaction: Option<PathBuf>,
    /// A file with an unsigned PSBT that a wallet made, in base64; it must pay just this batch; - for standard input
    #[arg(long, value_name = "FILE")]
    psbt: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Create {
    /// Its id, for good
    batch: BatchId,
    /// The grant that pays
    #[arg(long)]
    grant: GrantId,
    /// The funder's coins: what `bitcoin-cli listunspent` prints, or lines txid:vout:sats:address; - for standard input.
    /// Without them there is no PSBT: see `batch export`
    #[arg(long, value_name = "FILE", requires_all = ["change", "fee_rate"])]
    coins: Option<PathBuf>,
    /// The transactions that made P2PKH coins, as `getrawtransaction` prints them, one a line
    #[arg(long, value_name = "FILE", requires = "coins")]
    previous: Option<PathBuf>,
    /// The funder's own address for the change, or a public descriptor that gives each batch a fresh one
    #[arg(long, value_name = "ADDRESS|DESCRIPTOR", requires = "coins")]
    change: Option<String>,
    /// The fee rate in sat/vB, 1 to 1000
    #[arg(long, value_name = "N", requires = "coins", value_parser = clap::value_parser!(u64).range(1..=1000))]
    fee_rate: Option<u64>,
    /// The batch it stands in for: it takes over the lines, and spends one of the coins
    #[arg(long, value_name = "BATCH", requires = "coins")]
    replaces: Option<BatchId>,
    /// draft, frozen or exported
    #[arg(long, value_name = "STAGE", default_value = "exported", value_parser = stage)]
    stage: BatchStage,
    /// Write the PSBT into this file
    #[arg(long, value_name = "FILE")]
    psbt_out: Option<PathBuf>,
}

impl Batches {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        let terminal = everywhere.terminal();
        let get = |batch: &BatchId| everywhere.control_plane()?.get::<Batch>(&format!("/batches/{batch}"));
        match self {
            Self::Create(create) => create.run(everywhere),
            Self::List => {
                let batches: List<Batch> = everywhere.control_plane()?.list("/batches")?;
                terminal.answer(&batches.items, || listed(&batches.items))
            }
            Self::Show { batch } => {
                let batch = get(&batch)?;
                terminal.answer(&batch, || shown(&batch))
            }
            Self::Freeze { batch } => {
                let batch: Batch =
                    everywhere.control_plane()?.post(&format!("/batches/{batch}/freeze"), &NOTHING)?;
                terminal.answer(&batch, || shown(&batch))
            }
            Self::Notes => {
                let batches: List<Batch> = everywhere.control_plane()?.list("/batches")?;
                let open = batches.items.into_iter().filter(may_be_paid);
                let notes: Vec<String> = open.map(|batch| batch.note).collect();
                if everywhere.json {
                    return terminal.answer(&serde_json::json!({ "notes": notes }), String::new);
                }
                terminal.exact(&notes.concat())
            }
            Self::Psbt { batch } => {
                let batch = hand_out(everywhere, &batch)?;
                if batch.psbt.is_empty() {
                    bail!("batch {}: it was made without coins; see `wiregrant batch export`", batch.batch);
                }
                let json = serde_json::json!({ "batch": batch.batch, "psbt": batch.psbt });
                terminal.answer(&json, || batch.psbt.clone())
            }
            Self::Note { batch } => {
                let batch = get(&batch)?;
                if everywhere.json {
                    let json = serde_json::json!({ "batch": batch.batch, "note": batch.note });
                    return terminal.answer(&json, String::new);
                }
                terminal.exact(&batch.note)
            }
            Self::Destinations { batch } => {
                let batch = get(&batch)?;
                if everywhere.json {
                    let json =
                        serde_json::json!({ "batch": batch.batch, "destinations": batch.destinations });
                    return terminal.answer(&json, String::new);
                }
                terminal.exact(&batch.destinations.concat())
            }
            Self::Export { batch, form } => {
                let signed: Signed<wiregrant_payout::Batch> =
                    Signed::parse(&hand_out(everywhere, &batch)?.note).context("the batch's note")?;
                terminal.exact(&export(signed.content(), form)?)
            }
            Self::Declare(declare) => declare.run(everywhere),
            Self::Cancel { batch, reason, unsigned } => {
                let asked = CancelBatch { reason, unsigned };
                let batch: Batch =
                    everywhere.control_plane()?.post(&format!("/batches/{batch}/cancel"), &asked)?;
                terminal.answer(&batch, || shown(&batch))
            }
        }
    }
}

impl Create {
    fn run(self, everywhere: &Everywhere) -> Result<()> {
        let (mut change, mut coins) = (None, Vec::new());
        if let (Some(path), Some(named)) = (&self.coins, &self.change) {
            let text = read_text(path, MAX_COINS_BYTES).context("--coins")?;
            let previous = self.previous.as_ref().map(|path| read_text(path, MAX_COINS_BYTES)).transpose();
            let read = read_coins(named, &text, &previous.context("--previous")?.unwrap_or_default())?;
            (change, coins) = (Some(read.0), read.1);
        }
        let new = NewBatch {
            batch: self.batch,
            grant: self.grant,
            coins,
            change,
            fee_rate_sat_per_vb: self.fee_rate,
            replaces: self.replaces,
            stage: self.stage,
        };
        let batch: Batch = everywhere.control_plane()?.post("/batches", &new)?;
        if let Some(path) = self.psbt_out.as_ref().filter(|_| !batch.psbt.is_empty()) {
            write(path, &batch.psbt).with_context(|| {
                format!("the batch was made; `wiregrant batch psbt {}` prints its PSBT", batch.batch)
            })?;
        }
        everywhere.terminal().answer(&batch, || shown(&batch))
    }
}

impl Declare {
    fn run(self, everywhere: &Everywhere) -> Result<()> {
        let read = |path: Option<PathBuf>, flag: &'static str| -> Result<Option<String>> {
            let text = path.map(|path| read_text(&path, MAX_TRANSACTION_BYTES)).transpose().context(flag)?;
            Ok(text.map(|text| text.trim().to_owned()))
        };
        let given = DeclareTransaction {
            txid: self.what.txid,
            transaction: read(self.what.transaction, "--transaction")?,
            psbt: read(self.what.psbt, "--psbt")?,
            change: self.change,
        };
        let path = format!("/batches/{}/transaction", self.batch);
        let batch: Batch = everywhere.control_plane()?.post(&path, &given)?;
        everywhere.terminal().answer(&batch, || shown(&batch))
    }
}

/// What is sent where nothing is to be said.
const NOTHING: [(); 0] = [];

/// A batch whose export is noted, with what it pays.
fn hand_out(everywhere: &Everywhere, batch: &BatchId) -> Result<Batch> {
    everywhere.control_plane()?.post(&format!("/batches/{batch}/export"), &NOTHING)
}

/// Whether lines of the batch may still be paid by it.
fn may_be_paid(batch: &Batch) -> bool {
    !matches!(batch.state, BatchState::Draft | BatchState::Void) && batch.paid_by.is_none()
}

fn stage(word: &str) -> Result<BatchStage, String> {
    match word {
        "draft" => Ok(BatchStage::Draft),
        "frozen" => Ok(BatchStage::Frozen),
        "exported" => Ok(BatchStage::Exported),
        _ => Err("choose draft, frozen or exported".to_owned()),
    }
}

fn form(word: &str) -> Result<Form, String> {
    let known = Form::ALL.iter().find(|(name, _)| *name == word);
    known.map(|(_, form)| *form).ok_or_else(|| {
        let names: Vec<&str> = Form::ALL.iter().map(|(name, _)| *name).collect();
        format!("choose one of {}", names.join(", "))
    })
}

fn write(path: &Path, psbt: &str) -> Result<()> {
    std::fs::write(path, format!("{psbt}\n"))
        .with_context(|| format!("--psbt-out: {} cannot be written", path.display()))
}

/// The change and the coins, on the one network where both are good: an address names its network only in part, and the
/// control plane, which knows the network, checks again.
fn read_coins(change: &str, text: &str, previous: &str) -> Result<(String, Vec<CoinInput>)> {
    let networks = [Network::Bitcoin, Network::Regtest, Network::Signet, Network::Testnet4];
    let mut refusal: Option<anyhow::Error> = None;
    for network in networks {
        let pay = match Pay::parse(change, network) {
            Ok(pay @ (Pay::Address(_) | Pay::Descriptor(_))) => pay,
            Ok(_) => bail!("--change: give your own address or descriptor, no link or name"),
            // Of all networks' refusals, that of the network the address is for says most.
            Err(e @ PayoutError::WrongNetwork { .. }) => {
                refusal.get_or_insert(anyhow::Error::from(e).context("--change"));
                continue;
            }
            Err(e @ PayoutError::Pay { .. }) => {
                refusal = Some(anyhow::Error::from(e).context("--change"));
                continue;
            }
            Err(e) => return Err(anyhow::Error::from(e).context("--change")),
        };
        match parse_coins(text, network) {
            Ok(coins) if coins.is_empty() => {
                bail!("--coins: no coins in it; list the funder's unspent outputs")
            }
            Ok(coins) => {
                let made: Vec<&str> = previous.split_whitespace().collect();
                let inputs = coins.iter().map(|coin| coin.as_input(network, &made));
                let inputs = inputs.collect::<Result<_, _>>().context("--coins, --previous")?;
                return Ok((pay.to_string(), inputs));
            }
            Err(e) => refusal = Some(anyhow::Error::from(e).context("--coins")),
        }
    }
    Err(refusal.expect("every network was refused, with its reason"))
}

fn listed(batches: &[Batch]) -> String {
    let row = |batch: &Batch| {
        [
            batch.batch.to_string(),
            batch.grant.to_string(),
            thousands(batch.payouts.len() as u64),
            thousands(batch.total.as_i64()),
            thousands(batch.fee.as_i64()),
            batch.state.to_string(),
        ]
    };
    let rows: Vec<_> = batches.iter().map(row).collect();
    let columns = [
        Column::Left("batch"),
        Column::Left("grant"),
        Column::Right("lines"),
        Column::Right("sats"),
        Column::Right("fee"),
        Column::Left("state"),
    ];
    table(columns, &rows, "no batches")
}

fn shown(batch: &Batch) -> String {
    let row = |payout: &Payout| {
        let signed = if payout.destination_signed_by_operator { "the operator" } else { "not the operator" };
        [
            payout.operator.to_string(),
            payout.epoch.to_string(),
            thousands(payout.sats.as_i64()),
            payout.address.clone(),
            signed.to_owned(),
            payout.state.to_string(),
        ]
    };
    let rows: Vec<_> = batch.payouts.iter().map(row).collect();
    let columns = [
        Column::Left("operator"),
        Column::Right("epoch"),
        Column::Right("sats"),
        Column::Left("address"),
        Column::Left("signed by"),
        Column::Left("state"),
    ];
    let change =
        batch.change.map_or_else(|| "none".to_owned(), |sats| format!("{} sats", thousands(sats.as_i64())));
    let state = match &batch.cancel_reason {
        Some(reason) => format!("{} (cancelled: {reason})", batch.state),
        None => match (&batch.replaced_by, &batch.replaces) {
            (Some(by), _) => format!("{} (by {by})", batch.state),
            (None, Some(old)) => format!("{} (replaces {old})", batch.state),
            (None, None) => batch.state.to_string(),
        },
    };
    let sums = facts(&[
        ("batch", format!("{} of {}", batch.batch, batch.grant)),
        ("state", state),
        ("total", format!("{} sats", thousands(batch.total.as_i64()))),
        ("fee", format!("{} sats, on top", thousands(batch.fee.as_i64()))),
        ("change", change),
        ("missing", format!("{} sats", thousands(batch.missing.as_i64()))),
        ("in excess", format!("{} sats", thousands(batch.excess.as_i64()))),
    ]);
    let left_out: String = batch.left_out.iter().map(|line| format!("left out: {line}\n")).collect();
    let lines = table(columns, &rows, "no lines");
    format!("{lines}\n{sums}{left_out}\n{}", transactions(&batch.transactions))
}

fn transactions(all: &[BatchTransaction]) -> String {
    let row = |tx: &BatchTransaction| {
        let height = or_dash(tx.height.map(thousands));
        [tx.txid.clone(), tx.role.to_string(), height, thousands(tx.depth), thousands(tx.sats.as_i64())]
    };
    let columns = [
        Column::Left("transaction"),
        Column::Left("does"),
        Column::Right("block"),
        Column::Right("deep"),
        Column::Right("sats"),
    ];
    table(columns, &all.iter().map(row).collect::<Vec<_>>(), "no transaction seen")
}
