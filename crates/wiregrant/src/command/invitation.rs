//! `wiregrant invitation`: single-use permissions to enrol a node.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use wiregrant_core::api::{InvitationCreated, NewInvitation};
use wiregrant_core::{LocationId, OperatorId};

use super::Everywhere;
use crate::private_file::made_into;

#[derive(Debug, Subcommand)]
pub enum Invitations {
    /// Create an invitation, shown this once (administrator, that operator)
    Create(Create),
}

#[derive(Debug, Args)]
pub struct Create {
    /// Whose node it will be
    #[arg(long)]
    operator: OperatorId,
    /// Where the node stands
    #[arg(long)]
    location: LocationId,
    /// Write the invitation into this new file (0600) instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Invitations {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        let Self::Create(Create { operator, location, out }) = self;
        let new = NewInvitation { operator, location };
        let create = || everywhere.control_plane()?.post::<_, InvitationCreated>("/invitations", &new);
        hand_over(everywhere, out.as_deref(), create)
    }
}

/// Makes an invitation, and writes it into a new file or shows the line to paste on the node.
pub(super) fn hand_over(
    everywhere: &Everywhere,
    out: Option<&Path>,
    create: impl FnOnce() -> Result<InvitationCreated>,
) -> Result<()> {
    let created = made_into(out, create, |created| format!("{}\n", created.invitation))?;
    if out.is_some() {
        let expires = created.expires;
        return everywhere
            .terminal()
            .answer(&json!({ "expires": expires }), || format!("valid until {expires}"));
    }
    everywhere.terminal().answer(&created, || {
        let InvitationCreated { invitation, expires } = &created;
        format!(
            "once, until {expires}, on the node as root:\n\
             wiregrant-agent join {invitation} && systemctl enable --now wiregrant-agent"
        )
    })
}
