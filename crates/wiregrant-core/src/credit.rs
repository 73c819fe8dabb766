//! From a node's closing report to the units it is paid for: which bytes count, which do not and why, which are carried.
//!
//! Per node and epoch (`docs/formats.md`, "Credit and statement"):
//!
//! ```text
//! brought + eligible = units x unit + carried          eligible + disallowed = received + sent
//! ```
//!
//! Everything is integers, and every byte that a node reported stands in exactly one place.

use std::collections::BTreeMap;

use crate::terms::Terms;
use crate::usage_report::{Class, PeersBucket, Service, Usage, UsageTable};
use crate::word::word;
use crate::{Bytes, FactError, Units};

word! {
    /// Why bytes do not count, in the order in which the reasons are applied.
    Reason, "reason",
    /// They came after the grant's last statement.
    Late = "late",
    /// The grant does not pay for the service.
    Service = "service",
    /// They pass a peer's cap, or what the assigned codes placed on the node could use.
    Quota = "quota",
    /// They pass what the node's link can carry.
    Capacity = "capacity",
    /// They served the operator's own codes.
    Invited = "invited",
    /// A finding stands against the node.
    Finding = "finding",
}

/// What a node brings into the closing of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEpoch {
    /// What was moved since the last closing report, by service and class; empty without a report of the epoch.
    pub moved: UsageTable,
    /// The closing report's count of people; `0` without a report.
    pub peers: PeersBucket,
    /// Assigned devices placed on the node up to the epoch's end.
    pub devices_placed: u64,
    /// What the assigned devices placed here may use, less what was eligible in earlier statements.
    pub allotted: Bytes,
    /// Bytes carried by the last statement.
    pub brought: Bytes,
    /// People who stand behind the brought bytes: the sum of earlier lower edges that were not yet published.
    pub brought_peers: u64,
}

/// What follows for the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCredit {
    /// Bytes that count.
    pub eligible: Bytes,
    /// Bytes that do not, by reason; no zero entries.
    pub disallowed: BTreeMap<Reason, Bytes>,
    /// Whole units; `None` while too few people stand behind the number, when all of it is carried.
    pub units: Option<Units>,
    /// Bytes brought to the next statement.
    pub carried: Bytes,
    /// People who stand behind the number, summed over the epochs since it was last published.
    pub peers: u64,
}

/// Credits one node for one epoch.
///
/// # Errors
/// [`FactError::Overflow`] when bytes pass 2^63-1.
pub fn credit(node: &NodeEpoch, terms: &Terms) -> Result<NodeCredit, FactError> {
    let mut disallowed = BTreeMap::new();
    let mut disallow = |reason, bytes: Bytes| -> Result<(), FactError> {
        if bytes > Bytes::ZERO {
            let sum = disallowed.get(&reason).copied().unwrap_or(Bytes::ZERO);
            disallowed.insert(reason, bytes.plus(sum)?);
        }
        Ok(())
    };

    let mut assigned = Bytes::ZERO;
    for ((service, class), usage) in &node.moved {
        let served = usage.served()?;
        if *service != Service::WireGuard {
            disallow(Reason::Service, served)?;
            continue;
        }
        disallow(Reason::Quota, served.minus_or_zero(usage.creditable))?;
        let creditable = usage.creditable.min(served);
        match class {
            Class::Assigned => assigned = assigned.plus(creditable)?,
            Class::Invited => disallow(Reason::Invited, creditable)?,
        }
    }
    let eligible = assigned.min(node.allotted);
    disallow(Reason::Quota, assigned.minus_or_zero(eligible))?;

    let people = node.peers.lower_edge().min(node.devices_placed);
    let peers = node.brought_peers.saturating_add(people);
    let held = node.brought.plus(eligible)?;
    if peers < terms.floor {
        return Ok(NodeCredit { eligible, disallowed, units: None, carried: held, peers });
    }
    let unit = terms.unit_bytes.get();
    let units = held.get().checked_div(unit).ok_or(FactError::Overflow { what: "units", limit: unit })?;
    let carried = held.get().checked_rem(unit).unwrap_or_default();
    Ok(NodeCredit {
        eligible,
        disallowed,
        units: Some(Units::new(units)?),
        carried: Bytes::new(carried)?,
        peers,
    })
}

/// What moved between two reports of a node: line by line `closing - baseline`; a line that is new counts whole.
///
/// # Errors
/// [`FactError::Mismatch`] where a total fell, which accepted reports never show.
pub fn moved_between(baseline: &UsageTable, closing: &UsageTable) -> Result<UsageTable, FactError> {
    closing
        .iter()
        .map(|(key, after)| {
            let before = baseline.get(key).copied().unwrap_or_default();
            let moved: Usage = after.since(&before).ok_or_else(|| {
                FactError::mismatch(
                    format!("usage {} {}", key.0, key.1),
                    "totals that only rise",
                    "a total that fell",
                )
            })?;
            Ok((*key, moved))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms;
    use proptest::prelude::*;

    fn usage(received: u64, sent: u64, creditable: u64) -> Usage {
        Usage {
            received: Bytes::new(received).unwrap(),
            sent: Bytes::new(sent).unwrap(),
            creditable: Bytes::new(creditable).unwrap(),
        }
    }

    fn node(moved: UsageTable) -> NodeEpoch {
        NodeEpoch {
            moved,
            peers: PeersBucket::FiveToNine,
            devices_placed: 7,
            allotted: Bytes::new(1_000_000_000).unwrap(),
            brought: Bytes::new(600_000).unwrap(),
            brought_peers: 0,
        }
    }

    fn assigned(received: u64, sent: u64) -> UsageTable {
        UsageTable::from([((Service::WireGuard, Class::Assigned), usage(received, sent, received + sent))])
    }

    #[test]
    fn whole_units_are_paid_and_the_rest_is_carried() {
        let credit = credit(&node(assigned(500_000, 2_000_000)), &terms::sample()).unwrap();
        assert_eq!(credit.units, Some(Units::new(3).unwrap()));
        assert_eq!(credit.carried.get(), 100_000);
        assert!(credit.disallowed.is_empty());
    }

    #[test]
    fn a_number_with_too_few_people_behind_it_is_carried_whole() {
        let few =
            NodeEpoch { peers: PeersBucket::OneToFour, brought_peers: 4, ..node(assigned(0, 9_000_000)) };
        let credit_of_few = credit(&few, &terms::sample()).unwrap();
        assert_eq!(
            (credit_of_few.units, credit_of_few.carried.get(), credit_of_few.peers),
            (None, 9_600_000, 4)
        );

        let next = NodeEpoch {
            brought: credit_of_few.carried,
            brought_peers: credit_of_few.peers,
            ..node(assigned(0, 0))
        };
        assert_eq!(credit(&next, &terms::sample()).unwrap().units, Some(Units::new(9).unwrap()));
    }

    #[test]
    fn people_count_no_higher_than_the_devices_placed() {
        let node =
            NodeEpoch { peers: PeersBucket::Hundred, devices_placed: 4, ..node(assigned(0, 9_000_000)) };
        assert_eq!(credit(&node, &terms::sample()).unwrap().peers, 4);
    }

    #[test]
    fn every_byte_that_does_not_count_has_its_reason() {
        let moved = UsageTable::from([
            ((Service::WireGuard, Class::Assigned), usage(1_000, 2_000, 2_500)),
            ((Service::WireGuard, Class::Invited), usage(10, 20, 25)),
            ((Service::Socks5, Class::Assigned), usage(7, 8, 15)),
        ]);
        let node = NodeEpoch { allotted: Bytes::new(2_100).unwrap(), ..node(moved) };
        let credit = credit(&node, &terms::sample()).unwrap();
        assert_eq!(credit.eligible.get(), 2_100);
        let reasons: Vec<_> =
            credit.disallowed.iter().map(|(reason, bytes)| (reason.as_str(), bytes.get())).collect();
        assert_eq!(reasons, [("service", 15), ("quota", 500 + 5 + 400), ("invited", 25)]);
    }

    fn tables() -> impl Strategy<Value = UsageTable> {
        let line = (0..1u64 << 40, 0..1u64 << 40, 0..=100u64)
            .prop_map(|(received, sent, percent)| usage(received, sent, (received + sent) / 100 * percent));
        proptest::collection::btree_map(
            (
                prop_oneof![Just(Service::WireGuard), Just(Service::Socks5)],
                prop_oneof![Just(Class::Assigned), Just(Class::Invited)],
            ),
            line,
            0..4,
        )
    }

    proptest! {
        #[test]
        fn both_equations_hold_for_every_history(
            moved in tables(), allotted in 0..1u64 << 42, brought in 0..1u64 << 40, devices in 0..20u64, peers in 0..9u64,
        ) {
            let node = NodeEpoch {
                moved,
                peers: PeersBucket::FiveToNine,
                devices_placed: devices,
                allotted: Bytes::new(allotted).unwrap(),
                brought: Bytes::new(brought).unwrap(),
                brought_peers: peers,
            };
            let terms = terms::sample();
            let credit = credit(&node, &terms).unwrap();
            let served: u128 = node.moved.values().map(|usage| usage.served().unwrap()).sum();
            let disallowed: u128 = credit.disallowed.values().copied().sum();
            prop_assert_eq!(u128::from(credit.eligible.get()) + disallowed, served);
            let units = u128::from(credit.units.unwrap_or_default().get());
            let paid = units * u128::from(terms.unit_bytes.get()) + u128::from(credit.carried.get());
            prop_assert_eq!(u128::from(brought) + u128::from(credit.eligible.get()), paid);
            prop_assert!(credit.eligible <= node.allotted);
        }
    }
}
