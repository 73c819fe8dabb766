//! Flags for a grant's terms, and how people read them.

use anyhow::Result;
use clap::{Args, ValueEnum};
use wiregrant_core::quantity;
use wiregrant_core::terms::{ADMISSION_BY_APPLICATION, Terms};
use wiregrant_core::{Bytes, FactError, Sats};

use crate::failure::Usage;
use crate::table::thousands;

/// Terms that may change while a grant is open. What is not given stays, or is what it is by default.
#[derive(Debug, Args)]
#[command(next_help_heading = "Terms")]
pub struct TermsFlags {
    /// The credit unit: bytes, or such as 1GB [default: 1GB]
    #[arg(long, value_name = "BYTES", value_parser = quantity::bytes)]
    unit_bytes: Option<Bytes>,
    /// How many people must stand behind a node's number before it is published [default: 10]
    #[arg(long, value_name = "N")]
    floor: Option<u64>,
    /// Less than this is brought to the next epoch [default: 10000]
    #[arg(long, value_name = "SATS")]
    minimum_payout_sats: Option<Sats>,
    /// How long after an epoch's end its statement may be signed [default: 48 hours]
    #[arg(long, value_name = "N")]
    close_delay_seconds: Option<u64>,
    /// How long after a statement its sats may be paid [default: 72 hours]
    #[arg(long, value_name = "N")]
    challenge_seconds: Option<u64>,
    /// A unit earns at most so much; 0 for no ceiling [default: 0]
    #[arg(long, value_name = "SATS")]
    ceiling_sats_per_unit: Option<Sats>,
    /// One peer adds at most so much to a node's credit in an epoch; 0 for no cap [default: 0]
    #[arg(long, value_name = "BYTES", value_parser = quantity::bytes)]
    peer_cap_bytes: Option<Bytes>,
    /// An operator earns at most this part of a pot [default: 100]
    #[arg(long, value_name = "PERCENT")]
    operator_share_percent: Option<u64>,
    /// The nodes of one network (/24, /48) earn at most this part of a pot together [default: 100]
    #[arg(long, value_name = "PERCENT")]
    site_share_percent: Option<u64>,
    /// What a byte counts that served an operator's own codes [default: 0]
    #[arg(long, value_name = "PERCENT")]
    invited_percent: Option<u64>,
    /// No node is believed to carry more; 0 for no bound [default: 0]
    #[arg(long, value_name = "MBIT")]
    capacity_mbit_per_second: Option<u64>,
    /// How many different people must approve a statement before it is paid [default: 0]
    #[arg(long, value_name = "N")]
    approvals: Option<u64>,
    /// Who admits nodes [default: administrator]
    #[arg(long, value_enum, value_name = "WHO")]
    admission: Option<Admission>,
}

/// How operators come in.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Admission {
    /// Whoever administers admits nodes
    Administrator,
    /// Operators apply, and once they are approved admit their own nodes
    Application,
}

impl TermsFlags {
    /// Other terms with what was given.
    pub fn onto(self, terms: Terms) -> Result<Terms> {
        let admission = self.admission.map(|admission| match admission {
            Admission::Administrator => 0,
            Admission::Application => ADMISSION_BY_APPLICATION,
        });
        let terms = Terms {
            admission: admission.unwrap_or(terms.admission),
            approvals: self.approvals.unwrap_or(terms.approvals),
            capacity_mbit_per_second: self.capacity_mbit_per_second.unwrap_or(terms.capacity_mbit_per_second),
            ceiling_sats_per_unit: self.ceiling_sats_per_unit.unwrap_or(terms.ceiling_sats_per_unit),
            challenge_seconds: self.challenge_seconds.unwrap_or(terms.challenge_seconds),
            close_delay_seconds: self.close_delay_seconds.unwrap_or(terms.close_delay_seconds),
            floor: self.floor.unwrap_or(terms.floor),
            invited_percent: self.invited_percent.unwrap_or(terms.invited_percent),
            minimum_payout_sats: self.minimum_payout_sats.unwrap_or(terms.minimum_payout_sats),
            operator_share_percent: self.operator_share_percent.unwrap_or(terms.operator_share_percent),
            peer_cap_bytes: self.peer_cap_bytes.unwrap_or(terms.peer_cap_bytes),
            site_share_percent: self.site_share_percent.unwrap_or(terms.site_share_percent),
            unit_bytes: self.unit_bytes.unwrap_or(terms.unit_bytes),
            ..terms
        };
        Ok(terms.checked().map_err(|e: FactError| Usage(format!("--{e}")))?)
    }
}

/// The terms as facts for people; bounds that bind nothing are left out.
pub fn facts(terms: &Terms) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("unit", format!("{} bytes", thousands(terms.unit_bytes.as_i64()))),
        ("floor", format!("{} people", thousands(terms.floor))),
        ("minimum payout", format!("{} sats", thousands(terms.minimum_payout_sats.as_i64()))),
        ("close delay", format!("{} s", terms.close_delay_seconds)),
        ("challenge", format!("{} s", terms.challenge_seconds)),
    ];
    let mut bound = |name, binds: bool, text: String| {
        if binds {
            facts.push((name, text));
        }
    };
    let ceiling = terms.ceiling_sats_per_unit.as_i64();
    bound("ceiling", ceiling > 0, format!("{} sats a unit", thousands(ceiling)));
    let cap = terms.peer_cap_bytes.as_i64();
    bound("peer cap", cap > 0, format!("{} bytes a peer and epoch", thousands(cap)));
    let operators = terms.operator_share_percent;
    bound("operator share", operators < 100, format!("{operators} % of a pot at most"));
    bound(
        "site share",
        terms.site_share_percent < 100,
        format!("{} % of a pot at most", terms.site_share_percent),
    );
    bound("invited traffic", terms.invited_percent > 0, format!("counts {} %", terms.invited_percent));
    let capacity = terms.capacity_mbit_per_second;
    bound("capacity", capacity > 0, format!("{} Mbit/s a node", thousands(capacity)));
    bound("approvals", terms.approvals > 0, format!("{} people", terms.approvals));
    bound("admission", terms.admission == ADMISSION_BY_APPLICATION, "operators apply".to_owned());
    facts
}
