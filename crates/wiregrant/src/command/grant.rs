//! `wiregrant grant`: pots of sats with terms, and the nodes admitted to them.

use anyhow::Result;
use clap::{Args, Subcommand};
use wiregrant_core::api::{Admit, Grant, List, Membership, NewContribution, NewGrant};
use wiregrant_core::terms::{RULE_LARGEST_REMAINDER, Terms};
use wiregrant_core::{Bytes, FactError, GrantId, NodeId, Sats};

use super::Everywhere;
use crate::clock;
use crate::failure::Usage;
use crate::quantity::{self, Moment};
use crate::table::{Column, facts, table, thousands};

#[derive(Debug, Subcommand)]
pub enum Grants {
    /// Create a grant; its terms are logged and hold for good (administrator)
    Create(Box<Create>),
    /// Contribute sats, acting from the next epoch that begins (administrator)
    Contribute {
        /// The grant's id
        grant: GrantId,
        /// How many sats
        sats: Sats,
    },
    /// Admit a node from the next epoch that begins (administrator)
    Admit {
        /// The grant's id
        grant: GrantId,
        /// The node's id
        node: NodeId,
    },
    /// Let a node leave from the next epoch that begins (administrator)
    Leave {
        /// The grant's id
        grant: GrantId,
        /// The node's id
        node: NodeId,
    },
    /// List all grants
    List,
    /// Show one grant
    Show {
        /// The grant's id
        grant: GrantId,
    },
}

#[derive(Debug, Args)]
pub struct Create {
    /// Its id, for good; it is in the address of its public report
    grant: GrantId,
    /// Its name for people
    #[arg(long)]
    title: String,
    /// When epoch 1 begins: 2026-07-06T00:00:00Z, or now+60s
    #[arg(long, value_name = "TIME")]
    start: Moment,
    /// How many epochs it has
    #[arg(long, value_name = "N")]
    epochs: u64,
    /// The length of an epoch
    #[arg(long, value_name = "N", default_value_t = Terms::DEFAULT_EPOCH_SECONDS)]
    epoch_seconds: u64,
    /// The credit unit: bytes, or such as 1GB
    #[arg(long, value_name = "BYTES", value_parser = quantity::bytes, default_value = "1GB")]
    unit_bytes: Bytes,
    /// How many people must stand behind a node's number before it is published
    #[arg(long, value_name = "N", default_value_t = Terms::DEFAULT_FLOOR)]
    floor: u64,
    /// Less than this is brought to the next epoch
    #[arg(long, value_name = "SATS", default_value_t = Terms::DEFAULT_MINIMUM_PAYOUT_SATS)]
    minimum_payout_sats: u64,
    /// How long after an epoch's end its statement may be signed
    #[arg(long, value_name = "N", default_value_t = Terms::DEFAULT_CLOSE_DELAY_SECONDS)]
    close_delay_seconds: u64,
    /// How long after a statement its sats may be paid
    #[arg(long, value_name = "N", default_value_t = Terms::DEFAULT_CHALLENGE_SECONDS)]
    challenge_seconds: u64,
}

impl Grants {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        let terminal = everywhere.terminal();
        match self {
            Self::Create(create) => {
                let new = create.new_grant()?;
                let grant: Grant = everywhere.control_plane()?.post("/grants", &new)?;
                terminal.answer(&grant, || shown(&grant))
            }
            Self::Contribute { grant, sats } => {
                let path = format!("/grants/{grant}/contributions");
                let grant: Grant = everywhere.control_plane()?.post(&path, &NewContribution { sats })?;
                terminal.answer(&grant, || shown(&grant))
            }
            Self::Admit { grant, node } => {
                let path = format!("/grants/{grant}/nodes");
                let membership: Membership = everywhere.control_plane()?.post(&path, &Admit { node })?;
                terminal.answer(&membership, || takes_part(&membership))
            }
            Self::Leave { grant, node } => {
                let path = format!("/grants/{grant}/nodes/{node}");
                let membership: Membership = everywhere.control_plane()?.delete(&path)?;
                terminal.answer(&membership, || takes_part(&membership))
            }
            Self::List => {
                let grants: List<Grant> = everywhere.control_plane()?.get("/grants")?;
                terminal.answer(&grants.items, || listed(&grants.items))
            }
            Self::Show { grant } => {
                let grant: Grant = everywhere.control_plane()?.get(&format!("/grants/{grant}"))?;
                terminal.answer(&grant, || shown(&grant))
            }
        }
    }
}

impl Create {
    fn new_grant(self) -> Result<NewGrant> {
        let usage = |e: FactError| Usage(format!("--{e}"));
        let terms = Terms {
            challenge_seconds: self.challenge_seconds,
            close_delay_seconds: self.close_delay_seconds,
            epoch_seconds: self.epoch_seconds,
            epochs: self.epochs,
            floor: self.floor,
            minimum_payout_sats: Sats::new(self.minimum_payout_sats).map_err(usage)?,
            rule: RULE_LARGEST_REMAINDER,
            start: self.start.resolve(clock::now()?),
            unit_bytes: self.unit_bytes,
        };
        Ok(NewGrant { grant: self.grant, title: self.title, terms: terms.checked().map_err(usage)? })
    }
}

fn takes_part(membership: &Membership) -> String {
    let Membership { grant, node, first_epoch, .. } = membership;
    match membership.end_epoch {
        Some(end) if end <= *first_epoch => format!("{node} takes no part in {grant}"),
        Some(end) => {
            format!("{node} takes part in {grant} from epoch {first_epoch} to {}", end.saturating_sub(1))
        }
        None => format!("{node} takes part in {grant} from epoch {first_epoch}"),
    }
}

fn listed(grants: &[Grant]) -> String {
    let row = |grant: &Grant| {
        [
            grant.grant.to_string(),
            grant.title.clone(),
            grant.terms.start.to_string(),
            format!("{} of {}", thousands(grant.epochs_closed), thousands(grant.terms.epochs)),
            thousands(grant.contributed.as_i64()),
        ]
    };
    let rows: Vec<_> = grants.iter().map(row).collect();
    let columns = [
        Column::Left("grant"),
        Column::Left("title"),
        Column::Left("start"),
        Column::Right("epochs closed"),
        Column::Right("sats"),
    ];
    table(columns, &rows, "no grants")
}

fn shown(grant: &Grant) -> String {
    let terms = &grant.terms;
    let known = facts(&[
        ("grant", grant.grant.to_string()),
        ("title", grant.title.clone()),
        ("contributed", format!("{} sats", thousands(grant.contributed.as_i64()))),
        ("start", terms.start.to_string()),
        ("epochs", format!("{} of {} s, {} closed", terms.epochs, terms.epoch_seconds, grant.epochs_closed)),
        ("unit", format!("{} bytes", thousands(terms.unit_bytes.as_i64()))),
        ("floor", format!("{} people", thousands(terms.floor))),
        ("minimum payout", format!("{} sats", thousands(terms.minimum_payout_sats.as_i64()))),
        ("close delay", format!("{} s", terms.close_delay_seconds)),
        ("challenge", format!("{} s", terms.challenge_seconds)),
    ]);
    let nodes: String = grant.members.iter().map(|member| format!("{}\n", takes_part(member))).collect();
    format!("{known}{}", if nodes.is_empty() { "no nodes\n".to_owned() } else { nodes })
}
