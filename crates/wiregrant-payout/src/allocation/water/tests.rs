//! Sentences about the split under bounds.

use proptest::prelude::*;
use transparency_log::Hash;

use super::*;

fn sats(n: u64) -> Sats {
    Sats::new(n).unwrap()
}

fn grant() -> GrantId {
    "spring".parse().unwrap()
}

fn id(n: usize) -> OperatorId {
    format!("op-{n}").parse().unwrap()
}

const FREE: Bounds = Bounds { ceiling: None, operator: None, site: None };

/// Nodes as (operator, site, units); sats by operator.
fn split(pot: u64, bounds: Bounds, nodes: &[(usize, u64, u64)]) -> Vec<u64> {
    let ids: Vec<OperatorId> = nodes.iter().map(|(operator, ..)| id(*operator)).collect();
    let nodes_of =
        ids.iter().zip(nodes).map(|(id, (_, site, units))| (id, *site, Units::new(*units).unwrap()));
    let earned = earn(sats(pot), &grant(), 1, bounds, nodes_of);
    let operators = nodes.iter().map(|(operator, ..)| operator + 1).max().unwrap_or_default();
    (0..operators).map(|n| earned.get(&id(n)).map_or(0, |sats| sats.get())).collect()
}

#[test]
fn what_one_operator_may_not_have_goes_to_the_others() {
    let half = Bounds { operator: Some(50), ..FREE };
    assert_eq!(split(100, half, &[(0, 0, 80), (1, 1, 10), (2, 2, 10)]), [50, 25, 25]);
    let third = Bounds { operator: Some(30), ..FREE };
    assert_eq!(split(100, third, &[(0, 0, 80), (1, 1, 10), (2, 2, 10)]), [30, 30, 30]);
}

#[test]
fn a_site_is_one_bound_for_all_who_stand_there() {
    let site = Bounds { site: Some(40), ..FREE };
    // Operators 0 and 1 share site 7; 2 stands alone and has what they leave, up to its own site's bound.
    assert_eq!(split(100, site, &[(0, 7, 30), (1, 7, 10), (2, 8, 10)]), [30, 10, 40]);
    // An operator bound at one site still rises at the other.
    assert_eq!(split(100, site, &[(0, 7, 50), (0, 8, 10), (1, 9, 10)]), [70, 30]);
}

#[test]
fn a_ceiling_leaves_the_rest_in_the_grant() {
    let ceiling = Bounds { ceiling: Some(3), ..FREE };
    assert_eq!(split(100, ceiling, &[(0, 0, 20), (1, 0, 5)]), [60, 15]);
    assert_eq!(split(60, ceiling, &[(0, 0, 20), (1, 0, 5)]), [48, 12]);
}

#[test]
fn numbers_at_the_edge_of_their_range_are_compared_exactly() {
    let most = u128::MAX;
    assert_eq!(compare((most, most - 1), (most - 1, most - 2)), Ordering::Less);
    assert_eq!(compare((most - 1, 2), ((most - 1) / 2, 1)), Ordering::Equal);
    assert_eq!(compare((0, most), (1, most)), Ordering::Less);
    let huge = i64::MAX.unsigned_abs();
    let third = Bounds { operator: Some(Sats::MAX.get() / 3), ..FREE };
    let earned = split(Sats::MAX.get(), third, &[(0, 0, huge), (1, 1, huge - 1), (2, 2, 1)]);
    assert_eq!(earned, [Sats::MAX.get() / 3, Sats::MAX.get() / 3, Sats::MAX.get() / 3]);
}

/// The rule as its text says it, over all bounds at every step and with no more memory than what each cell has.
fn naively(pot: u64, bounds: Bounds, nodes: &[(usize, u64, u64)]) -> Vec<u64> {
    let site_of = |site: u64| bounds.site.map_or(0, |_| site);
    let mut cells: BTreeMap<(usize, u64), u128> = BTreeMap::new();
    for (operator, site, units) in nodes {
        *cells.entry((*operator, site_of(*site))).or_default() += u128::from(*units);
    }
    let most = |bound: Option<u64>| u128::from(bound.unwrap_or(pot));
    let mut groups: Vec<(u128, Vec<(usize, u64)>)> = vec![(u128::from(pot), cells.keys().copied().collect())];
    for operator in cells.keys().map(|(operator, _)| *operator).collect::<std::collections::BTreeSet<_>>() {
        let held = cells.keys().filter(|(o, _)| *o == operator).copied().collect();
        groups.push((most(bounds.operator), held));
    }
    for site in cells.keys().map(|(_, site)| *site).collect::<std::collections::BTreeSet<_>>() {
        groups.push((most(bounds.site), cells.keys().filter(|(_, s)| *s == site).copied().collect()));
    }
    let mut has: BTreeMap<(usize, u64), (u128, u128, u128)> = BTreeMap::new();
    while has.len() < cells.len() {
        // The level at which each group is full, as sats over units.
        let level = |(most, held): &(u128, Vec<(usize, u64)>)| {
            let taken: u128 = held.iter().filter_map(|cell| has.get(cell)).map(|(sats, ..)| sats).sum();
            let rising: u128 =
                held.iter().filter(|cell| !has.contains_key(*cell)).map(|cell| cells[cell]).sum();
            (rising > 0).then(|| (most - taken, rising))
        };
        let levels: Vec<_> = groups.iter().map(level).collect();
        let Some(mut lowest) =
            levels.iter().flatten().copied().reduce(|a, b| if a.0 * b.1 <= b.0 * a.1 { a } else { b })
        else {
            has.extend(
                cells
                    .keys()
                    .filter(|cell| !has.contains_key(*cell))
                    .map(|cell| (*cell, (0, 0, 1)))
                    .collect::<Vec<_>>(),
            );
            break;
        };
        let ceiling = bounds.ceiling.map(u128::from).filter(|ceiling| ceiling * lowest.1 <= lowest.0);
        let stops: Vec<(usize, u64)> = if let Some(ceiling) = ceiling {
            lowest = (ceiling, 1);
            cells.keys().copied().collect()
        } else {
            let full = groups
                .iter()
                .zip(&levels)
                .filter(|(_, level)| level.is_some_and(|l| l.0 * lowest.1 == lowest.0 * l.1));
            full.flat_map(|((_, held), _)| held.iter().copied()).collect()
        };
        for cell in stops {
            let product = cells[&cell] * lowest.0;
            has.entry(cell).or_insert((product / lowest.1, product % lowest.1, lowest.1));
        }
    }
    let mut order: Vec<(usize, u64)> = cells.keys().copied().filter(|cell| has[cell].1 > 0).collect();
    order.sort_by(|a, b| {
        let ((_, ra, da), (_, rb, db)) = (has[a], has[b]);
        let hash =
            |cell: &(usize, u64)| (Hash::of(format!("spring\n1\n{}", id(cell.0)).as_bytes()).0, cell.1);
        (rb * da).cmp(&(ra * db)).then_with(|| hash(a).cmp(&hash(b)))
    });
    for cell in order {
        let room = |(most, held): &(u128, Vec<(usize, u64)>)| {
            !held.contains(&cell) || held.iter().map(|cell| has[cell].0).sum::<u128>() < *most
        };
        if groups.iter().all(room) {
            has.get_mut(&cell).unwrap().0 += 1;
        }
    }
    let operators = nodes.iter().map(|(operator, ..)| operator + 1).max().unwrap_or_default();
    let sum =
        |n| has.iter().filter(|((operator, _), _)| *operator == n).map(|(_, (sats, ..))| sats).sum::<u128>();
    (0..operators).map(|n| u64::try_from(sum(n)).unwrap()).collect()
}

fn some_nodes() -> impl Strategy<Value = Vec<(usize, u64, u64)>> {
    let units = prop_oneof![0u64..4, 0u64..1_000, 0u64..1 << 40];
    prop::collection::vec((0usize..6, 0u64..5, units), 1..14)
}

fn some_pot() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..20, 0u64..1_000_000, 0u64..1 << 45]
}

fn some_bounds() -> impl Strategy<Value = (Option<u64>, u64, u64)> {
    (
        prop_oneof![Just(None), (1u64..5).prop_map(Some), (1u64..1 << 30).prop_map(Some)],
        1u64..=100,
        1u64..=100,
    )
}

fn bounds(pot: u64, (ceiling, operator, site): (Option<u64>, u64, u64)) -> Bounds {
    let share = |percent: u64| (percent < 100).then(|| share_of(sats(pot), percent));
    Bounds { ceiling, operator: share(operator), site: share(site) }
}

fn by_site(nodes: &[(usize, u64, u64)]) -> BTreeMap<u64, Vec<(usize, u64, u64)>> {
    let mut sites: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    nodes.iter().for_each(|node| sites.entry(node.1).or_default().push(*node));
    sites
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::allocation::tests::cases()))]

    #[test]
    fn invariant_2_the_split_is_what_the_naive_rule_says(pot in some_pot(), nodes in some_nodes(), which in some_bounds()) {
        prop_assert_eq!(split(pot, bounds(pot, which), &nodes), naively(pot, bounds(pot, which), &nodes));
    }

    #[test]
    fn invariant_2_nobody_passes_a_bound(pot in some_pot(), nodes in some_nodes(), which in some_bounds()) {
        let bounds = bounds(pot, which);
        let earned = split(pot, bounds, &nodes);
        prop_assert!(earned.iter().sum::<u64>() <= pot);
        for (operator, sats) in earned.iter().enumerate() {
            prop_assert!(bounds.operator.is_none_or(|most| *sats <= most));
            let units: u64 = nodes.iter().filter(|node| node.0 == operator).map(|node| node.2).sum();
            prop_assert!(bounds.ceiling.is_none_or(|most| u128::from(*sats) <= u128::from(most) * u128::from(units)));
            prop_assert!(units > 0 || *sats == 0);
        }
        // Where each operator stands at one site only, what they have shows what the site has.
        let alone: Vec<_> = nodes.iter().map(|(operator, _, units)| (*operator, *operator as u64 / 2, *units)).collect();
        let earned = split(pot, bounds, &alone);
        for (_, there) in by_site(&alone) {
            let operators: std::collections::BTreeSet<_> = there.iter().map(|node| node.0).collect();
            let sum: u64 = operators.iter().map(|operator| earned[*operator]).sum();
            prop_assert!(bounds.site.is_none_or(|most| sum <= most));
        }
    }

    #[test]
    fn invariant_2_it_does_not_matter_in_which_order_nodes_are_listed(
        pot in some_pot(), (nodes, shuffled) in some_nodes().prop_flat_map(|n| (Just(n.clone()), Just(n).prop_shuffle())), which in some_bounds(),
    ) {
        let found = split(pot, bounds(pot, which), &nodes);
        let mut other = split(pot, bounds(pot, which), &shuffled);
        other.resize(found.len(), 0);
        prop_assert_eq!(found, other);
    }

    #[test]
    fn what_is_left_unspent_nobody_could_have_had(pot in some_pot(), nodes in some_nodes(), which in some_bounds()) {
        let bounds = Bounds { site: None, ..bounds(pot, which) };
        let earned = split(pot, bounds, &nodes);
        if earned.iter().sum::<u64>() == pot {
            return Ok(());
        }
        for (operator, sats) in earned.iter().enumerate() {
            let units: u64 = nodes.iter().filter(|node| node.0 == operator).map(|node| node.2).sum();
            let most = bounds.ceiling.map_or(u128::MAX, |most| u128::from(most) * u128::from(units));
            let most = bounds.operator.map_or(most, |bound| most.min(u128::from(bound)));
            prop_assert!(units == 0 || u128::from(*sats) == most, "operator {} has {} of {}", operator, sats, most);
        }
    }

    #[test]
    fn without_bounds_it_is_rule_1_to_the_sat(pot in some_pot(), nodes in some_nodes()) {
        let mut units = vec![0; split(pot, FREE, &nodes).len()];
        nodes.iter().for_each(|(operator, _, more)| units[*operator] += more);
        prop_assert_eq!(split(pot, FREE, &nodes), crate::allocation::tests::earned(pot, &units));
        // Bounds that no split can reach change nothing either.
        let wide = Bounds { ceiling: Some(pot.max(1)), operator: Some(pot), site: None };
        prop_assert_eq!(split(pot, wide, &nodes), split(pot, FREE, &nodes));
    }
}
