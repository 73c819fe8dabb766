//! What people decided about operators' lines and statements after they were logged: holds, releases, forfeits, approvals.

use std::collections::{BTreeMap, BTreeSet};

use wiregrant_core::{GrantId, NodeId, OperatorId, Sats};

use super::difference::Difference;

/// An operator's sats of an epoch.
pub type LineId = (GrantId, u64, OperatorId);

/// Where a line stands; one that is not kept may be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    Forfeited,
}

/// Of a statement: how many people its terms ask for, and how many have approved it.
#[derive(Debug)]
struct Approvals {
    wanted: u64,
    given: u64,
}

/// All decisions of the record so far.
#[derive(Debug, Default)]
pub struct Decisions {
    lines: BTreeMap<LineId, State>,
    approvals: BTreeMap<(GrantId, u64), Approvals>,
    /// Sats of lines that were forfeited since the grant's last statement.
    forfeited: BTreeMap<GrantId, Sats>,
    /// Nodes about which something was found since the grant's last statement.
    found: BTreeMap<GrantId, BTreeSet<NodeId>>,
}

impl Decisions {
    /// A line is held; one that is held already, or forfeited, is not.
    pub fn hold(&mut self, line: LineId) -> Option<Difference> {
        match self.lines.insert(line.clone(), State::Held) {
            None => None,
            Some(before) => {
                self.lines.insert(line, before);
                Some(Difference::new("hold", "a line that is neither held nor forfeited", "one that is"))
            }
        }
    }

    /// A held line may be paid.
    pub fn release(&mut self, line: &LineId) -> Option<Difference> {
        match self.lines.get(line) {
            Some(State::Held) => {
                self.lines.remove(line);
                None
            }
            _ => Some(not_held("release")),
        }
    }

    /// A held line of so many sats goes back to the grant.
    pub fn forfeit(&mut self, line: &LineId, payable: Sats) -> Option<Difference> {
        match self.lines.get_mut(line) {
            Some(state @ State::Held) => *state = State::Forfeited,
            _ => return Some(not_held("forfeit")),
        }
        let sum = self.forfeited.entry(line.0.clone()).or_default();
        match sum.plus(payable) {
            Ok(more) => {
                *sum = more;
                None
            }
            Err(e) => Some(e.into()),
        }
    }

    /// Something was found about a node, which the grant's next statement counts.
    pub fn find(&mut self, grant: &GrantId, node: &NodeId) {
        self.found.entry(grant.clone()).or_default().insert(node.clone());
    }

    /// Nodes about which something was found since the grant's last statement.
    pub fn found(&self, grant: &GrantId) -> BTreeSet<NodeId> {
        self.found.get(grant).cloned().unwrap_or_default()
    }

    /// Sats forfeited since the grant's last statement, which the next one counts.
    pub fn forfeited(&self, grant: &GrantId) -> Sats {
        self.forfeited.get(grant).copied().unwrap_or_default()
    }

    /// A statement was logged: it counted what was forfeited, and asks for so many approvals.
    pub fn closed(&mut self, grant: &GrantId, epoch: u64, approvals: u64) {
        self.forfeited.remove(grant);
        self.found.remove(grant);
        self.approvals.entry((grant.clone(), epoch)).or_insert(Approvals { wanted: approvals, given: 0 });
    }

    /// A statement was approved by so many people; whether there is one.
    pub fn approve(&mut self, grant: &GrantId, epoch: u64, people: u64) -> bool {
        match self.approvals.get_mut(&(grant.clone(), epoch)) {
            Some(approvals) => {
                approvals.given = approvals.given.max(people);
                true
            }
            None => false,
        }
    }

    /// How many people must still approve a statement.
    pub fn approvals_missing(&self, grant: &GrantId, epoch: u64) -> u64 {
        let approvals = self.approvals.get(&(grant.clone(), epoch));
        approvals.map_or(0, |approvals| approvals.wanted.saturating_sub(approvals.given))
    }

    /// Whether a line must not be paid now, or never.
    pub fn is_held(&self, line: &LineId) -> bool {
        self.lines.contains_key(line)
    }
}

fn not_held(what: &str) -> Difference {
    Difference::new(what, "a line that is held", "one that is not")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_held_before_it_is_released_or_forfeited() {
        let line: LineId = ("spring".parse().unwrap(), 1, "nordlicht".parse().unwrap());
        let (mut decisions, sats) = (Decisions::default(), Sats::new(5).unwrap());
        assert!(decisions.release(&line).is_some() && decisions.forfeit(&line, sats).is_some());
        assert_eq!(decisions.hold(line.clone()), None);
        assert!(decisions.hold(line.clone()).is_some() && decisions.is_held(&line));
        assert_eq!(decisions.release(&line), None);
        assert!(!decisions.is_held(&line));
        assert_eq!(decisions.hold(line.clone()), None);
        assert_eq!(decisions.forfeit(&line, sats), None);
        assert!(decisions.release(&line).is_some() && decisions.hold(line.clone()).is_some());
        assert_eq!((decisions.is_held(&line), decisions.forfeited(&line.0)), (true, sats));
        decisions.closed(&line.0, 2, 2);
        assert!(!decisions.approve(&line.0, 3, 2) && decisions.approve(&line.0, 2, 1));
        assert_eq!(decisions.approvals_missing(&line.0, 2), 1);
        assert_eq!(decisions.forfeited(&line.0), Sats::ZERO);
    }
}
