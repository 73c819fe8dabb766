//! The command line: this file is the index of every command, one file per noun has its verbs.

mod access_code;
mod auditor;
mod batch;
mod destination;
mod device;
mod distributor;
mod epoch;
mod funder;
mod grant;
mod invitation;
mod ledger;
mod line;
mod location;
mod manual;
mod node;
mod operator;
mod payout;
mod redeem;
mod report;
mod statement;
mod terms;
mod token;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::control_plane::{ControlPlane, base_url};
use crate::mirror::Mirror;
use crate::terminal::Terminal;
use crate::verify::Verify;

pub use manual::manual;

/// Administer a wiregrant, redeem an access code, read reports, check payouts, verify the public record.
#[derive(Debug, Parser)]
#[command(name = "wiregrant", version, max_term_width = 110)]
pub struct CommandLine {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Everywhere {
    /// The control plane, such as `https://grants.example`
    #[arg(long, global = true, env = "WIREGRANT_URL", value_name = "URL", value_parser = base_url)]
    pub url: Option<String>,
    /// A file that holds your token; a token is never an argument
    #[arg(long, global = true, env = "WIREGRANT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Answer with one JSON object or array
    #[arg(long, global = true)]
    pub json: bool,
}

impl Everywhere {
    fn control_plane(&self) -> Result<ControlPlane> {
        ControlPlane::open(self.url.as_deref(), self.token_file.as_deref())
    }

    fn terminal(&self) -> Terminal {
        Terminal { json: self.json }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tokens, which people sign in with
    #[command(subcommand)]
    Token(token::Tokens),
    /// Funders, who put up grants
    #[command(subcommand)]
    Funder(funder::Funders),
    /// Auditors, who look behind the statements of a grant
    #[command(subcommand)]
    Auditor(auditor::Auditors),
    /// Operators, who run nodes and are paid
    #[command(subcommand)]
    Operator(operator::Operators),
    /// Where an operator is paid
    #[command(subcommand)]
    Destination(destination::Destinations),
    /// Places where nodes stand
    #[command(subcommand)]
    Location(location::Locations),
    /// Permissions to enrol one node
    #[command(subcommand)]
    Invitation(invitation::Invitations),
    /// Distributors, who hand out access codes
    #[command(subcommand)]
    Distributor(distributor::Distributors),
    /// Access codes, which people redeem
    #[command(subcommand)]
    Code(access_code::AccessCodes),
    /// Turn an access code into a WireGuard file; the private key is made here and stays here
    Redeem(redeem::Redeem),
    /// The devices of an access code
    #[command(subcommand)]
    Device(device::Devices),
    /// Nodes and their reports
    #[command(subcommand)]
    Node(node::Nodes),
    /// Grants: pots of sats with terms
    #[command(subcommand)]
    Grant(grant::Grants),
    /// The epochs of a grant
    #[command(subcommand)]
    Epoch(epoch::Epochs),
    /// Statements, the signed notes that close epochs
    #[command(subcommand)]
    Statement(statement::Statements),
    /// Operators' lines of statements: held, released, forfeited, objected to
    #[command(subcommand)]
    Line(line::Lines),
    /// The ledger of sats
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// What each operator earned in each closed epoch of a grant
    Report(report::Report),
    /// Batches, the payouts of one transaction
    #[command(subcommand)]
    Batch(batch::Batches),
    /// Check a payment before signing it
    #[command(subcommand)]
    Payout(payout::Payouts),
    /// Check everything that is public: both logs, every statement, every paid batch
    Verify(Box<Verify>),
    /// Keep a verified copy of everything that is public, for any web server to host
    Mirror(Mirror),
}

impl CommandLine {
    /// Does what the line asks for; the result is the exit code.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal.
    pub fn run(self) -> Result<u8> {
        let everywhere = &self.everywhere;
        match self.command {
            Command::Token(command) => command.run(everywhere),
            Command::Funder(command) => command.run(everywhere),
            Command::Auditor(command) => command.run(everywhere),
            Command::Operator(command) => command.run(everywhere),
            Command::Destination(command) => command.run(everywhere),
            Command::Location(command) => command.run(everywhere),
            Command::Invitation(command) => command.run(everywhere),
            Command::Distributor(command) => command.run(everywhere),
            Command::Code(command) => command.run(everywhere),
            Command::Redeem(command) => command.run(everywhere),
            Command::Device(command) => command.run(everywhere),
            Command::Node(command) => command.run(everywhere),
            Command::Grant(command) => command.run(everywhere),
            Command::Epoch(command) => command.run(everywhere),
            Command::Statement(command) => command.run(everywhere),
            Command::Line(command) => command.run(everywhere),
            Command::Ledger(command) => command.run(everywhere),
            Command::Report(command) => command.run(everywhere),
            Command::Batch(command) => command.run(everywhere),
            Command::Payout(command) => return command.run(everywhere),
            Command::Verify(command) => return command.run(everywhere.url.as_deref(), everywhere.terminal()),
            Command::Mirror(command) => return command.run(everywhere.terminal()),
        }?;
        Ok(0)
    }
}

/// Random bytes of the operating system.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| anyhow::anyhow!("the operating system gives no randomness: {e}"))?;
    Ok(bytes)
}
