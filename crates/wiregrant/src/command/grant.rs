//! `wiregrant grant`: pots of sats with terms, and the nodes admitted to them.

use anyhow::Result;
use clap::{Args, Subcommand};
use wiregrant_core::api::{
    AdjustmentState, Admit, Application, Apply, Grant, GrantState, List, Membership, NewAdjustment,
    NewContribution, NewGrant, NewNodeFinding, NewTerms, StatementLine, TermsVersion,
};
use wiregrant_core::quantity::Moment;
use wiregrant_core::terms::{RULE_WATER_FILLED, Terms};
use wiregrant_core::{GrantId, NodeId, OperatorId, Sats};

use super::terms::TermsFlags;
use super::{Everywhere, line, terms};
use crate::clock;
use crate::table::{Column, facts, table, thousands};

#[derive(Debug, Subcommand)]
pub enum Grants {
    /// Create a grant; its terms are logged, unless it is to be a draft (administrator)
    Create(Box<Create>),
    /// List drafts (administrator)
    Drafts,
    /// Open a draft: its terms are signed and logged, for good (administrator)
    Open(One),
    /// Throw a draft away (administrator)
    Discard(One),
    /// Change terms from the next epoch that begins (administrator)
    Change(Box<Change>),
    /// Make the next epoch that begins the last one (administrator)
    Close(One),
    /// List every version of a grant's terms
    Terms(One),
    /// Apply to a grant (that operator, administrator)
    Apply(OfOperator),
    /// Let an operator admit their nodes (administrator)
    Approve(OfOperator),
    /// Let an operator admit no nodes (administrator)
    Reject(OfOperator),
    /// List who applied (administrator; an operator sees their own)
    Operators(One),
    /// Contribute sats, acting from the next epoch that begins (administrator)
    Contribute {
        /// The grant's id
        grant: GrantId,
        /// How many sats
        sats: Sats,
    },
    /// Admit a node from the next epoch that begins (administrator, an approved operator)
    Admit(OfNode),
    /// Let a node leave from the next epoch that begins (administrator, its operator)
    Leave(OfNode),
    /// Log a finding about a node, which holds its operator's unpaid lines (administrator)
    Find {
        /// The grant's id
        grant: GrantId,
        /// The node's id
        node: NodeId,
        /// One word of a-z, 0-9 and '-', for the record
        reason: String,
        /// More of it; never in the record
        #[arg(long, value_name = "TEXT", default_value = "")]
        detail: String,
    },
    /// Correct an earlier epoch by a line of the next statement (administrator)
    Adjust {
        /// The grant's id
        grant: GrantId,
        /// The operator's id
        operator: OperatorId,
        /// How many sats, signed
        #[arg(allow_negative_numbers = true)]
        sats: i64,
        /// The epoch that is corrected
        #[arg(long, value_name = "N")]
        epoch: u64,
        /// One word of a-z, 0-9 and '-', for the statement
        #[arg(long, value_name = "WORD")]
        reason: String,
    },
    /// List all grants
    List,
    /// Show one grant
    Show(One),
}

#[derive(Debug, Args)]
pub struct One {
    /// The grant's id
    grant: GrantId,
}

#[derive(Debug, Args)]
pub struct OfOperator {
    /// The grant's id
    grant: GrantId,
    /// The operator's id
    operator: OperatorId,
}

#[derive(Debug, Args)]
pub struct OfNode {
    /// The grant's id
    grant: GrantId,
    /// The node's id
    node: NodeId,
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
    /// Sign and log nothing yet: it can be created again with other terms until it is opened
    #[arg(long)]
    draft: bool,
    #[command(flatten)]
    terms: TermsFlags,
}

#[derive(Debug, Args)]
pub struct Change {
    /// The grant's id
    grant: GrantId,
    /// How many epochs it has
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    #[command(flatten)]
    terms: TermsFlags,
}

impl Grants {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        let (terminal, plane) = (everywhere.terminal(), || everywhere.control_plane());
        let nothing = serde_json::Map::new();
        match self {
            Self::Create(create) => {
                let new = create.new_grant()?;
                let grant: Grant = plane()?.post("/grants", &new)?;
                terminal.answer(&grant, || shown(&grant))
            }
            Self::Drafts => {
                let drafts: List<Grant> = plane()?.list("/drafts")?;
                terminal.answer(&drafts.items, || listed(&drafts.items))
            }
            Self::Open(One { grant }) => {
                let grant: Grant = plane()?.post(&format!("/drafts/{grant}/open"), &nothing)?;
                terminal.answer(&grant, || shown(&grant))
            }
            Self::Discard(One { grant }) => {
                plane()?.remove(&format!("/drafts/{grant}"))?;
                terminal.answer(&nothing, || format!("{grant} is discarded\n"))
            }
            Self::Change(change) => {
                let path = format!("/grants/{}", change.grant);
                let terms = change.new_terms(plane()?.get(&path)?)?;
                version(everywhere, &plane()?.post(&format!("{path}/terms"), &terms)?)
            }
            Self::Close(One { grant }) => {
                version(everywhere, &plane()?.post(&format!("/grants/{grant}/close"), &nothing)?)
            }
            Self::Terms(One { grant }) => {
                let versions: List<TermsVersion> = plane()?.get(&format!("/grants/{grant}/terms"))?;
                terminal.answer(&versions.items, || versions.items.iter().map(of_version).collect())
            }
            Self::Apply(OfOperator { grant, operator }) => {
                let path = format!("/grants/{grant}/operators");
                let applied: Application = plane()?.post(&path, &Apply { operator })?;
                terminal.answer(&applied, || applications(std::slice::from_ref(&applied)))
            }
            Self::Approve(of) => decide(everywhere, &of, "approve"),
            Self::Reject(of) => decide(everywhere, &of, "reject"),
            Self::Operators(One { grant }) => {
                let all: List<Application> = plane()?.get(&format!("/grants/{grant}/operators"))?;
                terminal.answer(&all.items, || applications(&all.items))
            }
            Self::Contribute { grant, sats } => {
                let path = format!("/grants/{grant}/contributions");
                let grant: Grant = plane()?.post(&path, &NewContribution { sats })?;
                terminal.answer(&grant, || shown(&grant))
            }
            Self::Admit(OfNode { grant, node }) => {
                let path = format!("/grants/{grant}/nodes");
                let membership: Membership = plane()?.post(&path, &Admit { node })?;
                terminal.answer(&membership, || takes_part(&membership))
            }
            Self::Leave(OfNode { grant, node }) => {
                let membership: Membership = plane()?.delete(&format!("/grants/{grant}/nodes/{node}"))?;
                terminal.answer(&membership, || takes_part(&membership))
            }
            Self::Find { grant, node, reason, detail } => {
                let path = format!("/grants/{grant}/findings");
                let held: List<StatementLine> =
                    plane()?.post(&path, &NewNodeFinding { node, reason, detail })?;
                terminal.answer(&held.items, || line::listed(&held.items, "it is logged; no line was held"))
            }
            Self::Adjust { grant, operator, sats, epoch, reason } => {
                let path = format!("/grants/{grant}/adjustments");
                let new = NewAdjustment { operator, sats, reason, epoch };
                let kept: AdjustmentState = plane()?.post(&path, &new)?;
                terminal.answer(&kept, || waits(&kept))
            }
            Self::List => {
                let grants: List<Grant> = plane()?.list("/grants")?;
                terminal.answer(&grants.items, || listed(&grants.items))
            }
            Self::Show(One { grant }) => {
                let grant: Grant = plane()?.get(&format!("/grants/{grant}"))?;
                terminal.answer(&grant, || shown(&grant))
            }
        }
    }
}

fn decide(everywhere: &Everywhere, of: &OfOperator, what: &str) -> Result<()> {
    let path = format!("/grants/{}/operators/{}/{what}", of.grant, of.operator);
    let decided: Application = everywhere.control_plane()?.post(&path, &serde_json::Map::new())?;
    everywhere.terminal().answer(&decided, || applications(std::slice::from_ref(&decided)))
}

fn version(everywhere: &Everywhere, version: &TermsVersion) -> Result<()> {
    everywhere.terminal().answer(version, || of_version(version))
}

impl Create {
    fn new_grant(self) -> Result<NewGrant> {
        let terms = Terms {
            epoch_seconds: self.epoch_seconds,
            ..Terms::defaults(self.start.resolve(clock::now()?), self.epochs)
        };
        let state = if self.draft { GrantState::Draft } else { GrantState::Open };
        Ok(NewGrant { grant: self.grant, title: self.title, terms: self.terms.onto(terms)?, state })
    }
}

impl Change {
    fn new_terms(self, grant: Grant) -> Result<NewTerms> {
        let epochs = self.epochs.unwrap_or(grant.terms.epochs);
        // Bounds are known to the second rule only.
        let terms = Terms { epochs, rule: RULE_WATER_FILLED, ..grant.terms };
        Ok(NewTerms { terms: self.terms.onto(terms)? })
    }
}

fn of_version(version: &TermsVersion) -> String {
    let mut known = vec![
        ("version", version.version.to_string()),
        ("acts from epoch", version.first_epoch.to_string()),
        ("epochs", version.terms.epochs.to_string()),
        ("note", version.hash.clone()),
    ];
    known.extend(terms::facts(&version.terms));
    format!("{}\n", facts(&known))
}

fn applications(all: &[Application]) -> String {
    let row =
        |one: &Application| [one.operator.to_string(), one.state.to_string(), one.applied_at.to_string()];
    let rows: Vec<_> = all.iter().map(row).collect();
    let columns = [Column::Left("operator"), Column::Left("state"), Column::Left("applied")];
    table(columns, &rows, "nobody has applied")
}

fn waits(kept: &AdjustmentState) -> String {
    let AdjustmentState { operator, sats, epoch, .. } = kept;
    match kept.statement_epoch {
        Some(by) => format!("{operator}, epoch {epoch}, {sats} sats: in the statement of epoch {by}\n"),
        None => format!("{operator}, epoch {epoch}, {sats} sats: waits for the next statement\n"),
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
            grant.state.to_string(),
            grant.terms.start.to_string(),
            format!("{} of {}", thousands(grant.epochs_closed), thousands(grant.terms.epochs)),
            thousands(grant.contributed.as_i64()),
        ]
    };
    let rows: Vec<_> = grants.iter().map(row).collect();
    let columns = [
        Column::Left("grant"),
        Column::Left("title"),
        Column::Left("state"),
        Column::Left("start"),
        Column::Right("epochs closed"),
        Column::Right("sats"),
    ];
    table(columns, &rows, "no grants")
}

fn shown(grant: &Grant) -> String {
    let schedule = &grant.terms;
    let mut known = vec![
        ("grant", grant.grant.to_string()),
        ("title", grant.title.clone()),
        ("state", grant.state.to_string()),
        ("contributed", format!("{} sats", thousands(grant.contributed.as_i64()))),
        ("start", schedule.start.to_string()),
        (
            "epochs",
            format!("{} of {} s, {} closed", schedule.epochs, schedule.epoch_seconds, grant.epochs_closed),
        ),
    ];
    known.extend(terms::facts(schedule));
    let known = facts(&known);
    let nodes: String = grant.members.iter().map(|member| format!("{}\n", takes_part(member))).collect();
    format!("{known}{}", if nodes.is_empty() { "no nodes\n".to_owned() } else { nodes })
}
