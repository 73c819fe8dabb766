//! `wiregrant token`: what people sign in with, one each.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use wiregrant_core::api::{
    List, Me, NewRecovery, NewToken, Organisation, Recovered, Role, Token, TokenCreated,
};
use wiregrant_core::note::{Origin, Salt, Signed};
use wiregrant_core::recovery::Recovery;
use wiregrant_core::{OperatorId, Timestamp, TokenId};
use wiregrant_payout::ownership::recovery_message;

use super::Everywhere;
use crate::clock;
use crate::operator_key::OperatorKey;
use crate::private_file::{made_into, read_text};
use crate::table::{Column, facts, table};

/// The longest signature of a wallet, in bytes: one of the largest script there can be, and its line feed.
const MAX_PROOF_BYTES: u64 = 64 * 1024 + 2;

#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// Make a token for one more person; it is shown this once (whoever has a token, the bootstrap token too)
    Make(Make),
    /// List the tokens of your organisation, with who holds them
    List {
        /// Of another organisation than your own (administrator): its role
        #[arg(long, requires = "organisation", value_name = "ROLE")]
        role: Option<Role>,
        /// Of another organisation than your own (administrator): its id
        #[arg(long, requires = "role", value_name = "ID")]
        organisation: Option<String>,
    },
    /// End a token, and every session opened with it, at once
    Revoke {
        /// What the token is called, as `token list` shows it
        token: TokenId,
    },
    /// Show whose token this is
    Whoami,
    /// Recover the tokens that an operator lost, by the operator's own key or the wallet they are paid at; the new one is valid after
    /// 72 hours. With neither --key nor --proof it shows what the wallet has to sign
    Recover(Recover),
}

#[derive(Debug, Args)]
pub struct Make {
    /// The person who will hold it
    #[arg(long, value_name = "NAME")]
    holder: String,
    /// For another organisation than your own (administrator): its role
    #[arg(long, requires = "organisation", value_name = "ROLE")]
    role: Option<Role>,
    /// For another organisation than your own (administrator): its id
    #[arg(long, requires = "role", value_name = "ID")]
    organisation: Option<String>,
    /// Write the token into this new file (0600) instead of printing it
    #[arg(long, value_name = "FILE")]
    token_out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Recover {
    /// Whose tokens were lost
    #[arg(long)]
    operator: OperatorId,
    /// The operator's secret key, as `operator key make` wrote it
    #[arg(long, value_name = "FILE", conflicts_with = "proof")]
    key: Option<PathBuf>,
    /// A file with what the wallet has signed (BIP 322), by the address that the operator is paid at
    #[arg(long, value_name = "FILE", requires = "signed_at")]
    proof: Option<PathBuf>,
    /// The time in the message that the wallet has signed
    #[arg(long, value_name = "TIME", requires = "proof")]
    signed_at: Option<Timestamp>,
    /// The origin of the record log, the first line of /log/checkpoint
    #[arg(long, value_name = "ORIGIN")]
    log: Origin,
    /// The person who will hold the token
    #[arg(long, value_name = "NAME")]
    holder: String,
    /// Write the token into this new file (0600) instead of printing it
    #[arg(long, value_name = "FILE")]
    token_out: Option<PathBuf>,
}

impl Tokens {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        let terminal = everywhere.terminal();
        match self {
            Self::Make(make) => make.run(everywhere),
            Self::Recover(recover) => recover.run(everywhere),
            Self::List { role, organisation } => {
                let path = match (role, organisation) {
                    (Some(role), Some(id)) => format!("/organisations/{role}/{id}/tokens"),
                    _ => "/tokens".to_owned(),
                };
                let tokens: List<Token> = everywhere.control_plane()?.list(&path)?;
                terminal.answer(&tokens.items, || listed(&tokens.items))
            }
            Self::Revoke { token } => {
                let token: Token = everywhere.control_plane()?.delete(&format!("/tokens/{token}"))?;
                terminal.answer(&token, || format!("{} of {} is revoked", token.id, token.holder))
            }
            Self::Whoami => {
                let me: Me = everywhere.control_plane()?.get("/me")?;
                terminal.answer(&me, || {
                    facts(&[
                        ("organisation", called(&me.organisation)),
                        ("holder", me.holder.clone()),
                        ("token", me.id.to_string()),
                    ])
                })
            }
        }
    }
}

impl Make {
    fn run(self, everywhere: &Everywhere) -> Result<()> {
        let organisation = self.role.map(|role| Organisation { role, id: self.organisation });
        let new = NewToken { holder: self.holder, organisation };
        let make = || everywhere.control_plane()?.post::<_, TokenCreated>("/tokens", &new);
        let made = made_into(self.token_out.as_deref(), make, |made| format!("{}\n", made.token))?;
        if self.token_out.is_some() {
            let id = &made.id;
            return everywhere.terminal().answer(&json!({ "id": id }), || format!("made {id}"));
        }
        everywhere.terminal().answer(&made, || made.token.clone())
    }
}

impl Recover {
    fn run(self, everywhere: &Everywhere) -> Result<()> {
        let Self { operator, key, proof, signed_at, log, holder, token_out } = self;
        let path = format!("/operators/{operator}/recovery");
        let new = match (key, proof) {
            (Some(key), _) => {
                let key = OperatorKey::read(&key, &operator)?;
                let note = Recovery { log, operator, time: clock::now()?, salt: Salt(super::random()?) };
                let note = Signed::sign(note, &key.key)?.note().to_owned();
                NewRecovery { note: Some(note), proof: None, signed_at: None, holder }
            }
            (None, Some(proof)) => {
                let proof = read_text(&proof, MAX_PROOF_BYTES)?.trim().to_owned();
                NewRecovery { note: None, proof: Some(proof), signed_at, holder }
            }
            (None, None) => {
                let time = clock::now()?;
                let message = recovery_message(&log, &operator, time);
                let shown = json!({ "message": message, "signed_at": time });
                return everywhere.terminal().answer(&shown, || {
                    format!(
                        "have the wallet sign this, and send it within an hour with --signed-at {time} and --proof <file>:\n{message}"
                    )
                });
            }
        };
        let ask = || everywhere.control_plane()?.post::<_, Recovered>(&path, &new);
        let made = made_into(token_out.as_deref(), ask, |made| format!("{}\n", made.token))?;
        let valid = format!("{} is valid from {} on, unless it is revoked before", made.id, made.valid_from);
        if token_out.is_some() {
            let shown = json!({ "id": made.id, "valid_from": made.valid_from });
            return everywhere.terminal().answer(&shown, || valid);
        }
        everywhere.terminal().answer(&made, || format!("{}\n{valid}", made.token))
    }
}

fn called(organisation: &Organisation) -> String {
    let Organisation { role, id } = organisation;
    id.as_ref().map_or_else(|| role.to_string(), |id| format!("{role} {id}"))
}

fn listed(tokens: &[Token]) -> String {
    let state = |token: &Token| match (token.revoked, token.spent) {
        (Some(revoked), _) => format!("revoked {revoked}"),
        (None, Some(spent)) => format!("signed in once, {spent}"),
        (None, None) if token.one_time => "signs in once".to_owned(),
        (None, None) => format!("valid from {}", token.valid_from),
    };
    let rows: Vec<_> =
        tokens.iter().map(|token| [token.id.to_string(), token.holder.clone(), state(token)]).collect();
    table([Column::Left("token"), Column::Left("holder"), Column::Left("state")], &rows, "no tokens")
}
