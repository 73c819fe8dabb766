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
    /// They came after the grant's last statement, so that no statement counts them; only the node's operator is told.
    Late = "late",
    /// The grant does not pay for the service.
    Service = "service",
    /// They pass a peer's cap, or what the assigned codes placed on the node could use.
    Quota = "quota",
    /// They pass what a node can carry by the terms.
    Capacity = "capacity",
    /// They served the operator's own codes, of which the terms count a part or nothing.
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
    /// How long the bytes were moved for, in seconds: from the end of the baseline report to that of the closing report.
    pub moved_seconds: u64,
    /// A finding that acts on this epoch stands against the node.
    pub is_found: bool,
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
    /// Those of them that served assigned codes, and so use up what these were allotted.
    pub eligible_assigned: Bytes,
    /// Bytes that do not, by reason; no zero entries.
    pub disallowed: BTreeMap<Reason, Bytes>,
    /// Whole units; `None` while too few people stand behind the number, when all of it is carried.
    pub units: Option<Units>,
    /// Bytes brought to the next statement.
    pub carried: Bytes,
    /// People who stand behind the number, summed over the epochs since it was last published.
    pub peers: u64,
}

/// Bytes a second that one megabit a second carries.
const BYTES_PER_MBIT: u128 = 125_000;

/// Bytes that do not count, by reason.
#[derive(Default)]
struct Disallowed(BTreeMap<Reason, Bytes>);

impl Disallowed {
    fn add(&mut self, reason: Reason, bytes: Bytes) -> Result<(), FactError> {
        if bytes > Bytes::ZERO {
            let sum = self.0.entry(reason).or_default();
            *sum = sum.plus(bytes)?;
        }
        Ok(())
    }

    /// Lets at most `most` of `bytes` pass; the rest is disallowed.
    fn limit(&mut self, reason: Reason, bytes: Bytes, most: Bytes) -> Result<Bytes, FactError> {
        self.add(reason, bytes.minus_or_zero(most))?;
        Ok(bytes.min(most))
    }
}

/// Credits one node for one epoch.
///
/// # Errors
/// [`FactError::Overflow`] when bytes pass 2^63-1.
pub fn credit(node: &NodeEpoch, terms: &Terms) -> Result<NodeCredit, FactError> {
    let mut disallowed = Disallowed::default();
    let (mut assigned, mut invited) = (Bytes::ZERO, Bytes::ZERO);
    for ((service, class), usage) in &node.moved {
        let served = usage.served()?;
        if *service != Service::WireGuard {
            disallowed.add(Reason::Service, served)?;
            continue;
        }
        let creditable = disallowed.limit(Reason::Quota, served, usage.creditable)?;
        match class {
            Class::Assigned => assigned = assigned.plus(creditable)?,
            Class::Invited => invited = invited.plus(creditable)?,
        }
    }
    let assigned = disallowed.limit(Reason::Quota, assigned, node.allotted)?;
    // What a link cannot have carried is taken from the invited bytes first: they weigh less.
    let capacity = capacity(terms, node.moved_seconds)?;
    let assigned = disallowed.limit(Reason::Capacity, assigned, capacity)?;
    let invited = disallowed.limit(Reason::Capacity, invited, capacity.minus_or_zero(assigned))?;
    let counted = u128::from(invited.get()).saturating_mul(u128::from(terms.invited_percent)).div_euclid(100);
    let counted = Bytes::new(u64::try_from(counted).unwrap_or(u64::MAX))?;
    let invited = disallowed.limit(Reason::Invited, invited, counted)?;
    let most = if node.is_found { Bytes::ZERO } else { Bytes::MAX };
    let assigned = disallowed.limit(Reason::Finding, assigned, most)?;
    let invited = disallowed.limit(Reason::Finding, invited, most)?;
    settle(node, terms, assigned, invited, disallowed.0)
}

/// What a node can have carried in so many seconds by the terms.
fn capacity(terms: &Terms, seconds: u64) -> Result<Bytes, FactError> {
    if terms.capacity_mbit_per_second == 0 {
        return Ok(Bytes::MAX);
    }
    let bytes = u128::from(terms.capacity_mbit_per_second)
        .saturating_mul(BYTES_PER_MBIT)
        .saturating_mul(u128::from(seconds));
    Bytes::new(u64::try_from(bytes).unwrap_or(u64::MAX).min(Bytes::MAX.get()))
}

/// Turns eligible bytes into whole units, or carries all of them while too few people stand behind the number.
fn settle(
    node: &NodeEpoch,
    terms: &Terms,
    assigned: Bytes,
    invited: Bytes,
    disallowed: BTreeMap<Reason, Bytes>,
) -> Result<NodeCredit, FactError> {
    let eligible = assigned.plus(invited)?;
    let people = node.peers.lower_edge().min(node.devices_placed);
    let peers = node.brought_peers.saturating_add(people);
    let held = node.brought.plus(eligible)?;
    let mut credit =
        NodeCredit { eligible, eligible_assigned: assigned, disallowed, units: None, carried: held, peers };
    if peers >= terms.floor {
        let unit = terms.unit_bytes.get();
        let units = held.get().checked_div(unit).ok_or(FactError::Overflow { what: "units", limit: unit })?;
        credit.units = Some(Units::new(units)?);
        credit.carried = Bytes::new(held.get().checked_rem(unit).unwrap_or_default())?;
    }
    Ok(credit)
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
            moved_seconds: 60,
            is_found: false,
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

    fn reasons(credit: &NodeCredit) -> Vec<(&'static str, u64)> {
        credit.disallowed.iter().map(|(reason, bytes)| (reason.as_str(), bytes.get())).collect()
    }

    #[test]
    fn invited_bytes_count_by_their_weight_and_use_up_no_allotment() {
        let moved = UsageTable::from([
            ((Service::WireGuard, Class::Assigned), usage(0, 1_000, 1_000)),
            ((Service::WireGuard, Class::Invited), usage(0, 999, 999)),
        ]);
        let terms = Terms { rule: 2, invited_percent: 25, ..terms::sample() };
        let credit = credit(&node(moved), &terms).unwrap();
        assert_eq!((credit.eligible.get(), credit.eligible_assigned.get()), (1_249, 1_000));
        assert_eq!(reasons(&credit), [("invited", 750)]);
    }

    #[test]
    fn what_no_link_carries_is_taken_from_invited_bytes_first() {
        let moved = UsageTable::from([
            ((Service::WireGuard, Class::Assigned), usage(0, 6_000_000, 6_000_000)),
            ((Service::WireGuard, Class::Invited), usage(0, 5_000_000, 5_000_000)),
        ]);
        let terms = Terms { rule: 2, invited_percent: 100, capacity_mbit_per_second: 1, ..terms::sample() };
        let found = credit(&node(moved.clone()), &terms).unwrap();
        assert_eq!((found.eligible_assigned.get(), found.eligible.get()), (6_000_000, 7_500_000));
        assert_eq!(reasons(&found), [("capacity", 3_500_000)]);
        let short = credit(&NodeEpoch { moved_seconds: 40, ..node(moved) }, &terms).unwrap();
        assert_eq!((short.eligible.get(), reasons(&short)), (5_000_000, vec![("capacity", 6_000_000)]));
    }

    #[test]
    fn a_finding_takes_what_would_have_counted_and_leaves_what_was_carried() {
        let found = credit(&NodeEpoch { is_found: true, ..node(assigned(0, 9_000_000)) }, &terms::sample());
        let found = found.unwrap();
        assert_eq!((found.eligible.get(), found.carried.get()), (0, 600_000));
        assert_eq!(reasons(&found), [("finding", 9_000_000)]);
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

    fn lives() -> impl Strategy<Value = (NodeEpoch, Terms)> {
        let node = (
            (tables(), 0..1u64 << 42, 0..1u64 << 40, 0..20u64, 0..9u64),
            (prop_oneof![0..4u64, 0..1u64 << 20], any::<bool>(), 0..PeersBucket::ALL.len()),
        );
        let terms = (0..=100u64, prop_oneof![Just(0u64), 1..1_000u64], 1..1u64 << 30, 0..20u64);
        (node, terms).prop_map(
            |(((moved, allotted, brought, devices, people), (seconds, is_found, bucket)), terms)| {
                let (invited_percent, capacity_mbit_per_second, unit, floor) = terms;
                let node = NodeEpoch {
                    moved,
                    peers: PeersBucket::ALL[bucket],
                    devices_placed: devices,
                    allotted: Bytes::new(allotted).unwrap(),
                    moved_seconds: seconds,
                    is_found,
                    brought: Bytes::new(brought).unwrap(),
                    brought_peers: people,
                };
                let terms = Terms {
                    rule: 2,
                    invited_percent,
                    capacity_mbit_per_second,
                    unit_bytes: Bytes::new(unit).unwrap(),
                    floor,
                    ..terms::sample()
                };
                (node, terms)
            },
        )
    }

    /// The rule as `docs/formats.md` says it, one reason after the other over plain numbers.
    fn naively_eligible(node: &NodeEpoch, terms: &Terms) -> (u128, BTreeMap<Reason, u128>) {
        let mut left: BTreeMap<Class, u128> = BTreeMap::new();
        let mut reasons: BTreeMap<Reason, u128> = BTreeMap::new();
        for ((service, class), usage) in &node.moved {
            let served = u128::from(usage.received.get()) + u128::from(usage.sent.get());
            if *service == Service::Socks5 {
                *reasons.entry(Reason::Service).or_default() += served;
                continue;
            }
            let creditable = u128::from(usage.creditable.get()).min(served);
            *reasons.entry(Reason::Quota).or_default() += served - creditable;
            *left.entry(*class).or_default() += creditable;
        }
        let mut cut = |class: Class, reason: Reason, most: u128| {
            let bytes = left.entry(class).or_default();
            *reasons.entry(reason).or_default() += bytes.saturating_sub(most);
            *bytes = (*bytes).min(most);
            *bytes
        };
        cut(Class::Assigned, Reason::Quota, node.allotted.get().into());
        if terms.capacity_mbit_per_second > 0 {
            let capacity =
                u128::from(terms.capacity_mbit_per_second) * 125_000 * u128::from(node.moved_seconds);
            let assigned = cut(Class::Assigned, Reason::Capacity, capacity);
            cut(Class::Invited, Reason::Capacity, capacity - assigned);
        }
        let invited = cut(Class::Invited, Reason::Invited, u128::MAX);
        cut(Class::Invited, Reason::Invited, invited * u128::from(terms.invited_percent) / 100);
        if node.is_found {
            cut(Class::Assigned, Reason::Finding, 0);
            cut(Class::Invited, Reason::Finding, 0);
        }
        reasons.retain(|_, bytes| *bytes > 0);
        (left.values().sum(), reasons)
    }

    /// How many histories each law is held for; `cargo xtask soak allocation` takes 100,000.
    fn cases() -> u32 {
        if option_env!("WIREGRANT_SOAK").is_some() { 100_000 } else { 1_000 }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases()))]

        #[test]
        fn both_equations_hold_for_every_history((node, terms) in lives()) {
            let credit = credit(&node, &terms).unwrap();
            let served: u128 = node.moved.values().map(|usage| usage.served().unwrap()).sum();
            let disallowed: u128 = credit.disallowed.values().copied().sum();
            prop_assert_eq!(u128::from(credit.eligible.get()) + disallowed, served);
            let units = u128::from(credit.units.unwrap_or_default().get());
            let paid = units * u128::from(terms.unit_bytes.get()) + u128::from(credit.carried.get());
            prop_assert_eq!(u128::from(node.brought.get()) + u128::from(credit.eligible.get()), paid);
            prop_assert!(credit.eligible_assigned <= node.allotted);
            prop_assert_eq!(credit.units.is_none(), credit.peers < terms.floor);
        }

        #[test]
        fn every_byte_has_the_reason_that_the_naive_rule_gives_it((node, terms) in lives()) {
            let credit = credit(&node, &terms).unwrap();
            let (eligible, reasons) = naively_eligible(&node, &terms);
            prop_assert_eq!(u128::from(credit.eligible.get()), eligible);
            let found: BTreeMap<Reason, u128> =
                credit.disallowed.iter().map(|(reason, bytes)| (*reason, u128::from(bytes.get()))).collect();
            prop_assert_eq!(found, reasons);
        }
    }
}
