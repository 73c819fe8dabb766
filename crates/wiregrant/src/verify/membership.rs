//! Which nodes take part in which epochs of a grant, as `admit` and `leave` entries say.

use std::collections::{BTreeMap, BTreeSet};

use wiregrant_core::NodeId;

use super::difference::Difference;

/// From the first epoch to the one before the end.
#[derive(Debug, Clone, Copy)]
struct Stay {
    first: u64,
    end: Option<u64>,
}

/// Each node's stays, in the order of the log.
#[derive(Debug, Default)]
pub struct Members(BTreeMap<NodeId, Vec<Stay>>);

impl Members {
    /// A node takes part from `first` on.
    pub fn admit(&mut self, node: &NodeId, first: u64) -> Option<Difference> {
        let stays = self.0.entry(node.clone()).or_default();
        if let Some(Stay { first, end: None }) = stays.last() {
            return Some(Difference::new(
                "admit",
                "a node that is not a member",
                format!("{node}, a member since epoch {first}"),
            ));
        }
        stays.push(Stay { first, end: None });
        None
    }

    /// A node takes no part from `end` on.
    pub fn leave(&mut self, node: &NodeId, end: u64) -> Option<Difference> {
        match self.0.get_mut(node).and_then(|stays| stays.last_mut()) {
            Some(stay) if stay.end.is_none() => {
                stay.end = Some(end);
                None
            }
            _ => Some(Difference::new("leave", "a member of the grant", node)),
        }
    }

    /// Whether a node took part in an epoch before this one: what it reported late still counts.
    pub fn were_there_before(&self, node: &NodeId, epoch: u64) -> bool {
        let took_part = |stay: &Stay| stay.first < epoch && stay.end.is_none_or(|end| stay.first < end);
        self.0.get(node).is_some_and(|stays| stays.iter().any(took_part))
    }

    /// The nodes that take part in an epoch.
    pub fn in_epoch(&self, epoch: u64) -> BTreeSet<NodeId> {
        let takes_part = |stay: &Stay| stay.first <= epoch && stay.end.is_none_or(|end| epoch < end);
        self.0
            .iter()
            .filter(|(_, stays)| stays.iter().any(takes_part))
            .map(|(node, _)| node.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_takes_part_from_its_admission_until_it_leaves() {
        let (mut members, node): (_, NodeId) = (Members::default(), "node-1".parse().unwrap());
        assert!(members.leave(&node, 1).is_some());
        assert_eq!(members.admit(&node, 2), None);
        assert!(members.admit(&node, 3).is_some());
        assert_eq!(members.leave(&node, 4), None);
        assert_eq!(members.admit(&node, 6), None);
        let epochs: Vec<_> = (1..=7).filter(|epoch| members.in_epoch(*epoch).contains(&node)).collect();
        assert_eq!(epochs, [2, 3, 6, 7]);
        let before: Vec<_> = (1..=7).filter(|epoch| members.were_there_before(&node, *epoch)).collect();
        assert_eq!(before, [3, 4, 5, 6, 7]);
    }
}
