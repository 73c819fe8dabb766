//! `wiregrant batch`: the payouts of one transaction, frozen, with its unsigned PSBT.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use wiregrant_core::api::{
    Batch, BatchTransaction, CancelBatch, CoinInput, DeclareTransaction, List, NewBatch, Payout,
};
use wiregrant_core::note::{Network, Signed};
use wiregrant_core::{BatchId, GrantId};
use wiregrant_payout::export::{Form, export};
use wiregrant_payout::{Coin, PayoutAddress, PayoutError, parse_coins};

use super::Everywhere;
use crate::private_file::read_text;
use crate::table::{Column, facts, or_dash, table, thousands};

/// The longest list of coins that is read.
const MAX_COINS_BYTES: u64 = 16 * 1024 * 1024;
/// The longest transaction or PSBT that is sent: what the control plane takes as a body, with room for its JSON.
const MAX_TRANSACTION_BYTES: u64 = 4 * 1024 * 1024 - 1_024;

#[derive(Debug, Subcommand)]
pub enum Batches {
    /// Freeze all payable lines of a grant into a batch and build its unsigned transaction (administrator)
    Create(Create),
    /// List all batches (administrator)
    List,
    /// Show one batch (administrator)
    Show {
        /// The batch's id
        batch: BatchId,
    },
    /// Print a batch's unsigned transaction, a PSBT in base64 (administrator)
    Psbt {
        /// The batch's id
        batch: BatchId,
    },
    /// Print a batch's note as it was signed, for `payout check` (administrator)
    Note {
        /// The batch's id
        batch: BatchId,
    },
    /// Print the destination notes that a batch's addresses follow from, for `payout check` (administrator)
    Destinations {
        /// The batch's id
        batch: BatchId,
    },
    /// Print a batch as a wallet imports it that chooses the coins itself; declare its transaction (administrator)
    Export {
        /// The batch's id
        batch: BatchId,
        /// csv, bip21, sendmany or walletcreatefundedpsbt
        #[arg(long = "as", value_name = "FORM", value_parser = form)]
        form: Form,
    },
    /// Say which transaction pays a batch, where it is not its own PSBT's (administrator)
    Declare(Declare),
    /// Cancel a batch: it is void once one of its coins is spent elsewhere, six blocks deep (administrator)
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
    /// The funder's coins: what `bitcoin-cli listunspent` prints, or lines txid:vout:sats:address; - for standard input
    #[arg(long, value_name = "FILE")]
    coins: PathBuf,
    /// The funder's own address for the change
    #[arg(long, value_name = "ADDRESS")]
    change: String,
    /// The fee rate in sat/vB, 1 to 1000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    fee_rate: u64,
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
                let batches: List<Batch> = everywhere.control_plane()?.get("/batches")?;
                terminal.answer(&batches.items, || listed(&batches.items))
            }
            Self::Show { batch } => {
                let batch = get(&batch)?;
                terminal.answer(&batch, || shown(&batch))
            }
            Self::Psbt { batch } => {
                let batch = get(&batch)?;
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
                    Signed::parse(&get(&batch)?.note).context("the batch's note")?;
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
        let text = read_text(&self.coins, MAX_COINS_BYTES).context("--coins")?;
        let (change, coins) = read_coins(&self.change, &text)?;
        let new = NewBatch {
            batch: self.batch,
            grant: self.grant,
            coins,
            change,
            fee_rate_sat_per_vb: self.fee_rate,
        };
        let batch: Batch = everywhere.control_plane()?.post("/batches", &new)?;
        if let Some(path) = &self.psbt_out {
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
        };
        let path = format!("/batches/{}/transaction", self.batch);
        let batch: Batch = everywhere.control_plane()?.post(&path, &given)?;
        everywhere.terminal().answer(&batch, || shown(&batch))
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

/// The change address and the coins, on the one network where both are good: an address names its network only in part,
/// and the control plane, which knows the network, checks again.
fn read_coins(change: &str, text: &str) -> Result<(String, Vec<CoinInput>)> {
    let networks = [Network::Bitcoin, Network::Regtest, Network::Signet, Network::Testnet4];
    let mut refusal: Option<anyhow::Error> = None;
    for network in networks {
        let address = match PayoutAddress::parse(change, network) {
            Ok(address) => address,
            // Of all networks' refusals, that of the network the address is for says most.
            Err(e @ PayoutError::WrongNetwork { .. }) => {
                refusal.get_or_insert(anyhow::Error::from(e).context("--change"));
                continue;
            }
            Err(e) => return Err(anyhow::Error::from(e).context("--change")),
        };
        match parse_coins(text, network) {
            Ok(coins) if coins.is_empty() => {
                bail!("--coins: no coins in it; list the funder's unspent outputs")
            }
            Ok(coins) => {
                let coins =
                    coins.into_iter().map(|coin| coin_input(&coin, network)).collect::<Result<_>>()?;
                return Ok((address.to_string(), coins));
            }
            Err(e) => refusal = Some(anyhow::Error::from(e).context("--coins")),
        }
    }
    Err(refusal.expect("every network was refused, with its reason"))
}

fn coin_input(coin: &Coin, network: Network) -> Result<CoinInput> {
    let address = PayoutAddress::from_script(&coin.script_pubkey, network).with_context(|| {
        format!("--coins: {} is held by a script without an address; leave it out", coin.outpoint)
    })?;
    Ok(CoinInput {
        outpoint: coin.outpoint.to_string(),
        sats: coin.sats,
        address: address.to_string(),
        previous_tx: None,
    })
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
        None => batch.state.to_string(),
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
