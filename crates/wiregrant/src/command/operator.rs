//! `wiregrant operator`: who runs nodes and is paid.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::json;
use transparency_log::Verifier;
use wiregrant_core::OperatorId;
use wiregrant_core::api::{Created, List, NewOperator, Operator};
use zeroize::Zeroizing;

use super::Everywhere;
use crate::operator_key::OperatorKey;
use crate::private_file::{MAX_SECRET_BYTES, PrivateFile, made_into, read_text};
use crate::table::{Column, facts, or_dash, table};

#[derive(Debug, Subcommand)]
pub enum Operators {
    /// Add an operator; their token is shown this once (administrator)
    Add(Add),
    /// List all operators (administrator)
    List,
    /// Show one operator (administrator, that operator)
    Show {
        /// The operator's id
        operator: OperatorId,
    },
    /// The operator's own key, with which they sign where they are paid
    #[command(subcommand)]
    Key(Keys),
}

#[derive(Debug, Args)]
pub struct Add {
    /// The operator's id, for good
    operator: OperatorId,
    /// A file with their public key, as `operator key make` prints it; without one the control plane signs for them
    #[arg(long, value_name = "FILE")]
    vkey_file: Option<PathBuf>,
    /// Write the token into this new file (0600) instead of printing it
    #[arg(long, value_name = "FILE")]
    token_out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key: the secret goes into a new file (0600), the public key is printed
    Make {
        /// Whose key it is
        #[arg(long)]
        operator: OperatorId,
        /// The new file for the secret key
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

impl Operators {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        let terminal = everywhere.terminal();
        match self {
            Self::Add(add) => add.run(everywhere),
            Self::List => {
                let operators: List<Operator> = everywhere.control_plane()?.list("/operators")?;
                terminal.answer(&operators.items, || listed(&operators.items))
            }
            Self::Show { operator } => {
                let operator: Operator =
                    everywhere.control_plane()?.get(&format!("/operators/{operator}"))?;
                terminal.answer(&operator, || shown(&operator))
            }
            Self::Key(Keys::Make { operator, out }) => {
                let seed = Zeroizing::new(super::random::<32>()?);
                let file = PrivateFile::reserve(&out)?;
                let text = OperatorKey::file_text(&operator, &seed)?;
                let vkey = text.parse::<OperatorKey>()?.key.verifier().to_string();
                file.keep(&text)?;
                terminal.answer(&json!({ "operator": operator, "vkey": vkey }), || vkey.clone())
            }
        }
    }
}

impl Add {
    fn run(self, everywhere: &Everywhere) -> Result<()> {
        let vkey = self.vkey_file.as_deref().map(|path| {
            let text = read_text(path, MAX_SECRET_BYTES)?;
            let vkey: Verifier = text
                .trim()
                .parse()
                .with_context(|| format!("--vkey-file: {} holds no public key", path.display()))?;
            anyhow::Ok(vkey.to_string())
        });
        let new = NewOperator { operator: self.operator, vkey: vkey.transpose()? };
        let add = || everywhere.control_plane()?.post::<_, Created>("/operators", &new);
        let created = made_into(self.token_out.as_deref(), add, |created| format!("{}\n", created.token))?;
        tell_created(everywhere, &created, self.token_out.is_some())
    }
}

/// Shows a party's token, unless it went into a file.
pub fn tell_created(everywhere: &Everywhere, created: &Created, in_file: bool) -> Result<()> {
    if in_file {
        let id = &created.id;
        return everywhere.terminal().answer(&json!({ "id": id }), || format!("added {id}"));
    }
    everywhere.terminal().answer(created, || created.token.clone())
}

fn listed(operators: &[Operator]) -> String {
    let rows: Vec<_> = operators
        .iter()
        .map(|operator| {
            let pay = operator.destination.as_ref().map(|destination| destination.pay.clone());
            [operator.operator.to_string(), signs(operator).to_owned(), or_dash(pay)]
        })
        .collect();
    table([Column::Left("operator"), Column::Left("key"), Column::Left("paid to")], &rows, "no operators")
}

fn signs(operator: &Operator) -> &'static str {
    if operator.vkey.is_some() { "own" } else { "none" }
}

fn shown(operator: &Operator) -> String {
    let mut known = vec![
        ("operator", operator.operator.to_string()),
        ("key", operator.vkey.clone().unwrap_or_else(|| "none: the control plane signs for them".to_owned())),
    ];
    if let Some(destination) = &operator.destination {
        let signed =
            if destination.signed_by_operator { "the operator" } else { "not signed by the operator" };
        known.extend([
            ("paid to", destination.pay.clone()),
            ("destination", destination.sequence.to_string()),
            ("signed by", signed.to_owned()),
        ]);
    } else {
        known.push(("paid to", "nowhere yet: wiregrant destination set".to_owned()));
    }
    facts(&known)
}
