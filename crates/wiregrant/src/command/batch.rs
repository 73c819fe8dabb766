//! `wiregrant batch`: the payouts of one transaction, frozen, with its unsigned PSBT.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use wiregrant_core::api::{Batch, CoinInput, List, NewBatch, Payout};
use wiregrant_core::note::Network;
use wiregrant_core::{BatchId, GrantId};
use wiregrant_payout::{Coin, PayoutAddress, PayoutError, parse_coins};

use super::Everywhere;
use crate::private_file::read_text;
use crate::table::{Column, facts, table, thousands};

/// The longest list of coins that is read.
const MAX_COINS_BYTES: u64 = 16 * 1024 * 1024;

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
        ]
    };
    let rows: Vec<_> = batches.iter().map(row).collect();
    let columns = [
        Column::Left("batch"),
        Column::Left("grant"),
        Column::Right("lines"),
        Column::Right("sats"),
        Column::Right("fee"),
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
        ]
    };
    let rows: Vec<_> = batch.payouts.iter().map(row).collect();
    let columns = [
        Column::Left("operator"),
        Column::Right("epoch"),
        Column::Right("sats"),
        Column::Left("address"),
        Column::Left("signed by"),
    ];
    let change =
        batch.change.map_or_else(|| "none".to_owned(), |sats| format!("{} sats", thousands(sats.as_i64())));
    let sums = facts(&[
        ("batch", format!("{} of {}", batch.batch, batch.grant)),
        ("total", format!("{} sats", thousands(batch.total.as_i64()))),
        ("fee", format!("{} sats, on top", thousands(batch.fee.as_i64()))),
        ("change", change),
    ]);
    let left_out: String = batch.left_out.iter().map(|line| format!("left out: {line}\n")).collect();
    format!("{}\n{sums}{left_out}", table(columns, &rows, "no lines"))
}
