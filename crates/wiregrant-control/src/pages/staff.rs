//! What the pages for operators, funders and administrators have in common: English, a navigation of their own, and status in words.

use wiregrant_core::api::{BatchState, LineDecision, LineStanding, NodeState, Pause, StatementLine};
use wiregrant_core::{OperatorId, Timestamp};
use wiregrant_store::NodeOverview;

use super::admin;
use super::frame::Frame;
use super::language::Language;
use super::show;
use super::words::FrameWords;
use crate::placement::RECENT_SECONDS;
use crate::sign_in::Caller;

/// A mark and words.
pub type Status = (&'static str, String);

/// A link of the navigation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it leads.
    pub href: String,
    /// What it says.
    pub name: &'static str,
}

/// A token that was just made: it is shown this once.
#[derive(Debug)]
pub struct Made {
    /// Whose it is.
    pub what: String,
    /// The token itself.
    pub token: String,
}

/// The frame of a page for staff.
#[must_use]
pub fn frame(site: &str, links: Vec<Link>, here: &'static str) -> Frame {
    let language = Language::English;
    Frame { language, words: FrameWords::of(language), links, here, ..Frame::public(site, "/") }
}

/// The frame of an operator's page.
#[must_use]
pub fn operators_frame(site: &str, operator: &OperatorId, here: &'static str) -> Frame {
    let link = |name, path: &str| Link { href: format!("/operators/{operator}{path}"), name };
    let links = vec![
        link("Nodes", ""),
        link("Traffic", "/traffic"),
        link("Enrol a node", "/enrol"),
        link("Grants", "/grants"),
        link("Credit", "/credit"),
        link("Payouts", "/payouts"),
        link("Where you are paid", "/destination"),
        Link { href: TOKENS.to_owned(), name: TOKENS_NAME },
    ];
    frame(site, links, here)
}

/// Where the people of one's organisation are.
const TOKENS: &str = "/tokens";
const TOKENS_NAME: &str = "Your people";

/// The navigation of whoever is signed in.
#[must_use]
pub fn links_of(caller: &Caller) -> Vec<Link> {
    let link = |href: &str, name| Link { href: href.to_owned(), name };
    let mut links = match caller {
        Caller::Administrator => return admin::links(),
        Caller::Operator(operator) => return operators_frame("", operator, "").links,
        Caller::Distributor(_) => vec![link("/codes", "Access codes")],
        Caller::Funder(_) => vec![link("/funder", "Grants and batches")],
        _ => Vec::new(),
    };
    links.push(link(TOKENS, TOKENS_NAME));
    links
}

/// How a node stands, in words: the one place where that is decided.
#[must_use]
pub fn node_status(node: &NodeOverview, now: Timestamp) -> Status {
    let silent = node.last_seen.map(|seen| now.seconds_since(seen));
    match (node.state, node.paused, silent) {
        (NodeState::Frozen, _, _) => ("bad", "Frozen until the administrator decides".to_owned()),
        (NodeState::Retired, _, _) => ("idle", "Retired".to_owned()),
        (NodeState::Active, _, None) => ("idle", "Enrolled, its agent has not started yet".to_owned()),
        (NodeState::Active, _, Some(seconds)) if seconds > RECENT_SECONDS => {
            ("warn", format!("Silent for {}", duration(seconds)))
        }
        (NodeState::Active, Some(Pause::Budget), _) => {
            ("idle", "Paused: this month's budget is used up".to_owned())
        }
        (NodeState::Active, Some(Pause::Hours), _) => ("idle", "Paused: it works at other hours".to_owned()),
        (NodeState::Active, None, Some(_)) => ("good", "Serving".to_owned()),
    }
}

/// Where a line of a statement stands on its way to a batch, in words.
#[must_use]
pub fn line_status(line: &StatementLine) -> Status {
    match line.standing {
        LineStanding::Nothing => ("idle", "nothing to pay".to_owned()),
        LineStanding::Held => ("bad", "held until it is released or forfeited".to_owned()),
        LineStanding::Forfeited => ("bad", "forfeited".to_owned()),
        LineStanding::Challengeable => {
            ("warn", format!("may be challenged until {}", show::time(&line.payable_from)))
        }
        LineStanding::Unapproved => {
            ("warn", format!("{} more people must approve the statement", line.approvals_missing))
        }
        LineStanding::Payable | LineStanding::Reserved => ("warn", "payable".to_owned()),
    }
}

/// Where a batch stands, in words.
#[must_use]
pub fn batch_status(state: BatchState) -> Status {
    let (mark, says) = match state {
        BatchState::Draft => ("idle", "a draft: it holds no line yet"),
        BatchState::Frozen => ("warn", "frozen: nothing that could be paid has left here"),
        BatchState::Exported => ("warn", "exported: a signed copy may exist anywhere"),
        BatchState::Verified => ("warn", "verified: a wallet's transaction pays exactly this"),
        BatchState::Seen => ("warn", "seen: the network knows what pays it"),
        BatchState::Confirmed => ("good", "confirmed: all of it is in blocks"),
        BatchState::Settled => ("good", "settled: all of it is six blocks deep"),
        BatchState::Replaced => ("idle", "replaced: another batch holds its lines"),
        BatchState::Partial => ("bad", "partial: something of it is paid, and something is missing"),
        BatchState::Disputed => ("bad", "disputed: the record and the chain contradict each other"),
        BatchState::CancelPending => {
            ("warn", "to be cancelled: void once one of its coins is spent elsewhere, six blocks deep")
        }
        BatchState::Void => ("idle", "void: its lines are payable again"),
    };
    (mark, says.to_owned())
}

/// Whether a decision or an objection could still change what becomes of a line.
#[must_use]
pub fn is_open(line: &StatementLine) -> bool {
    matches!(
        line.standing,
        LineStanding::Challengeable | LineStanding::Held | LineStanding::Unapproved | LineStanding::Payable
    )
}

/// A decision or objection in a line of text.
#[must_use]
pub fn said(decision: &LineDecision) -> String {
    match decision.detail.as_str() {
        "" => format!("{}: {}", decision.kind, decision.reason),
        detail => format!("{}: {} ({detail})", decision.kind, decision.reason),
    }
}

/// A stretch of time in its largest unit, rounded down.
#[must_use]
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: NodeState, paused: Option<Pause>, seen: Option<&str>) -> Status {
        let node = NodeOverview {
            node: "node-3kq8".parse().unwrap(),
            operator: "nordlicht".parse().unwrap(),
            location: "de-fra".parse().unwrap(),
            endpoint: "198.51.100.7:51820".to_owned(),
            socks5_endpoint: None,
            agent: "0.1.0".to_owned(),
            backend: wiregrant_core::usage_report::Backend::Kernel,
            paused,
            megabits_per_second: None,
            gigabytes_per_month: None,
            reached_endpoint: None,
            state,
            last_seen: seen.map(|seen| seen.parse().unwrap()),
            devices: 0,
            sequence: 0,
            head_note: None,
            reported_until: None,
        };
        node_status(&node, "2026-07-06T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_node_is_what_matters_most_about_it() {
        let now = Some("2026-07-06T11:59:00Z");
        assert_eq!(status(NodeState::Active, None, now).1, "Serving");
        assert_eq!(status(NodeState::Active, Some(Pause::Budget), now).0, "idle");
        assert_eq!(
            status(NodeState::Active, Some(Pause::Hours), Some("2026-07-06T09:00:00Z")).1,
            "Silent for 3 h"
        );
        assert_eq!(status(NodeState::Frozen, None, now).0, "bad");
        assert!(status(NodeState::Active, None, None).1.contains("not started"));
    }
}
