//! `wiregrant destination`: where an operator is paid, in a note signed by their own key.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use transparency_log::Hash;
use wiregrant_core::OperatorId;
use wiregrant_core::api::{self, NewDestination, Operator};
use wiregrant_core::note::{Network, NoteText as _, Origin, Salt, Signed};
use wiregrant_payout::{Destination, Pay, ownership};

use super::Everywhere;
use crate::failure::Usage;
use crate::operator_key::OperatorKey;
use crate::private_file::read_text;
use crate::table::facts;

/// The longest signature that is read.
const MAX_PROOF_BYTES: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub enum Destinations {
    /// Sign a destination with the operator's own key, offline; the note is printed
    ///
    /// Where it follows another destination, its sequence and the last note's hash are asked from the control plane when
    /// --url is given, or given by --sequence and --previous.
    Sign(Sign),
    /// Put a destination in force (administrator, that operator)
    Set(Set),
    /// Print the line that the wallet of an address signs, to prove that it is yours (BIP 322)
    Message(Message),
}

#[derive(Debug, Args)]
pub struct Sign {
    /// The operator's secret key, as `operator key make` wrote it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Whose destination it is
    #[arg(long)]
    operator: OperatorId,
    /// The origin of the record log, the first line of /log/checkpoint
    #[arg(long, value_name = "ORIGIN")]
    log: Origin,
    /// bitcoin, testnet4, signet or regtest
    #[arg(long)]
    network: Network,
    /// Where to be paid: an address; a public descriptor that ends in /*, for a fresh address each time; a bitcoin: link; or
    /// a name such as name@example.org (BIP 353)
    #[arg(long, value_name = "ADDRESS|DESCRIPTOR|LINK|NAME")]
    pay: String,
    /// The number of this destination, from 1; 1 when there is no control plane to ask
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sequence: Option<u64>,
    /// The hash of the last destination's note, for every sequence but 1
    #[arg(long, value_name = "HASH", requires = "sequence")]
    previous: Option<Hash>,
}

#[derive(Debug, Args)]
pub struct Set {
    /// Whose destination it is
    #[arg(long)]
    operator: OperatorId,
    #[command(flatten)]
    to: To,
    /// A file with the signature that the wallet of the address made of what `destination message` prints
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Message {
    /// Whose destination it is
    #[arg(long)]
    operator: OperatorId,
    /// The origin of the record log, the first line of /log/checkpoint
    #[arg(long, value_name = "ORIGIN")]
    log: Origin,
    /// bitcoin, testnet4, signet or regtest
    #[arg(long)]
    network: Network,
    /// As for `destination sign`; of a descriptor its address at index 0 signs
    #[arg(long, value_name = "ADDRESS|DESCRIPTOR|LINK")]
    pay: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct To {
    /// A note made by `destination sign`, or - for standard input
    #[arg(long, value_name = "FILE")]
    note: Option<PathBuf>,
    /// An address, descriptor, link or name, for an operator without a key: the control plane signs, and every check says so
    #[arg(long, value_name = "ADDRESS|DESCRIPTOR|LINK|NAME")]
    pay: Option<String>,
}

impl Destinations {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        match self {
            Self::Sign(sign) => sign.run(everywhere),
            Self::Set(set) => set.run(everywhere),
            Self::Message(message) => message.run(everywhere),
        }
    }
}

impl Message {
    fn run(self, everywhere: &Everywhere) -> Result<()> {
        let pay = Pay::parse(&self.pay, self.network).context("--pay")?;
        let address = pay.first_address().context("--pay")?;
        let address = address.context("--pay: a name has no address of its own to sign with")?;
        let text = ownership::message(&self.log, &self.operator, &address);
        let json = json!({ "address": address.to_string(), "message": text });
        everywhere.terminal().answer(&json, || text)
    }
}

impl Sign {
    fn run(self, everywhere: &Everywhere) -> Result<()> {
        let key = OperatorKey::read(&self.key, &self.operator)?;
        let pay = Pay::parse(&self.pay, self.network).context("--pay")?;
        pay.first_address().context("--pay")?;
        let (sequence, previous) = self.place(everywhere)?;
        let destination = Destination {
            log: self.log,
            network: self.network,
            operator: self.operator,
            sequence,
            previous,
            salt: Salt(super::random()?),
            pay: pay.to_string(),
        };
        let signed = Signed::sign(destination.checked()?, &key.key)?;
        if everywhere.json {
            let (note, hash) = (signed.note(), signed.hash().to_string());
            return everywhere
                .terminal()
                .answer(&json!({ "note": note, "hash": hash, "sequence": sequence }), String::new);
        }
        everywhere.terminal().exact(signed.note())
    }

    /// The destination's number, and the hash of the one before.
    fn place(&self, everywhere: &Everywhere) -> Result<(u64, Option<Hash>)> {
        match (self.sequence, &everywhere.url) {
            (Some(1), _) if self.previous.is_some() => {
                Err(Usage("--previous: the first destination (--sequence 1) has none; leave it out".into()).into())
            }
            (Some(sequence), _) if sequence > 1 && self.previous.is_none() => Err(Usage(format!(
                "--previous: destination {sequence} needs the hash of destination {}; give it, or give --url instead of both",
                sequence.saturating_sub(1)
            ))
            .into()),
            (Some(sequence), _) => Ok((sequence, self.previous)),
            (None, None) => Ok((1, None)),
            (None, Some(_)) => {
                let operator: Operator =
                    everywhere.control_plane()?.get(&format!("/operators/{}", self.operator))?;
                let Some(last) = operator.destination else { return Ok((1, None)) };
                let note: Signed<Destination> =
                    Signed::parse(&last.note).context("the control plane's last destination cannot be read")?;
                if note.content().operator != self.operator || note.content().log != self.log {
                    bail!(
                        "--log: the control plane's last destination is of {} in log {}, and not of {} in log {}",
                        note.content().operator,
                        note.content().log,
                        self.operator,
                        self.log
                    );
                }
                Ok((note.content().sequence.saturating_add(1), Some(note.hash())))
            }
        }
    }
}

impl Set {
    fn run(self, everywhere: &Everywhere) -> Result<()> {
        let proof = self.proof.as_deref().map(|path| read_text(path, MAX_PROOF_BYTES)).transpose();
        let new = NewDestination {
            note: self.to.note.as_deref().map(read_note).transpose()?,
            pay: self.to.pay,
            proof: proof.context("--proof")?.map(|text| text.trim().to_owned()),
        };
        let path = format!("/operators/{}/destination", self.operator);
        let set: api::Destination = everywhere.control_plane()?.post(&path, &new)?;
        everywhere.terminal().answer(&set, || {
            let signed = if set.signed_by_operator { "the operator" } else { "not signed by the operator" };
            facts(&[
                ("operator", self.operator.to_string()),
                ("paid to", set.pay.clone()),
                ("destination", set.sequence.to_string()),
                ("signed by", signed.to_owned()),
                ("ownership", if set.ownership_proven { "proven" } else { "not proven" }.to_owned()),
                ("in force from", set.in_force_from.to_string()),
            ])
        })
    }
}

/// Reads the note so that a wrong file is refused here, where its owner sees it, and not sent anywhere.
fn read_note(path: &Path) -> Result<String> {
    let text = read_text(path, Destination::MAX_BYTES as u64)?;
    let note: Signed<Destination> = Signed::parse(&text).context("--note")?;
    Ok(note.note().to_owned())
}
