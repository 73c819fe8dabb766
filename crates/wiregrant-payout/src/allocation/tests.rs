//! Sentences about allocation.

use std::collections::BTreeSet;

use proptest::prelude::*;
use transparency_log::Hash;
use wiregrant_core::note::Network;
use wiregrant_core::statement::{Adjustment, NodeLine};
use wiregrant_core::terms::Terms;
use wiregrant_core::{Bytes, Timestamp};

use super::*;

/// How many cases each law is held for; `cargo xtask soak allocation` holds each for 100,000.
pub(super) fn cases() -> u32 {
    if option_env!("WIREGRANT_SOAK").is_some() { 100_000 } else { 2_000 }
}

fn sats(n: u64) -> Sats {
    Sats::new(n).unwrap()
}

fn id(n: usize) -> OperatorId {
    format!("op-{n}").parse().unwrap()
}

fn grant() -> GrantId {
    "spring".parse().unwrap()
}

fn shares(units: &[u64]) -> BTreeMap<OperatorId, Share> {
    let share = |units: &u64| Share { units: Units::new(*units).unwrap(), ..Share::default() };
    units.iter().enumerate().map(|(n, units)| (id(n), share(units))).collect()
}

pub(super) fn earned(pot: u64, units: &[u64]) -> Vec<u64> {
    let split = allocate(sats(pot), &grant(), 1, Sats::ZERO, &shares(units)).unwrap();
    (0..units.len()).map(|n| split.operators[&id(n)].earned.get()).collect()
}

/// The rule as its text says it, one sat at a time: the next sat goes to the largest remainder not yet served, and
/// among equals to the least hash of `grant "\n" epoch "\n" operator`.
fn naively_earned(pot: u64, units: &[u64]) -> Vec<u64> {
    let total: u128 = units.iter().map(|u| u128::from(*u)).sum();
    if total == 0 {
        return vec![0; units.len()];
    }
    let part = |u: &u64| u128::from(pot) * u128::from(*u);
    let mut earned: Vec<u64> = units.iter().map(|u| u64::try_from(part(u) / total).unwrap()).collect();
    let mut served = vec![false; units.len()];
    while earned.iter().sum::<u64>() < pot {
        let next = (0..units.len())
            .filter(|n| !served[*n])
            .max_by_key(|n| {
                let hash = Hash::of(format!("spring\n1\n{}", id(*n)).as_bytes()).0;
                (part(&units[*n]) % total, std::cmp::Reverse(hash))
            })
            .unwrap();
        served[next] = true;
        earned[next] += 1;
    }
    earned
}

#[test]
fn a_pot_is_split_by_units_with_the_last_sat_to_the_largest_remainder() {
    assert_eq!(earned(100, &[1, 1, 2]), [25, 25, 50]);
    assert_eq!(earned(10, &[6, 3, 2]), [5, 3, 2]);
}

#[test]
fn equal_remainders_are_served_in_the_order_of_their_published_hash() {
    // `printf 'spring\n1\nop-0' | sha256sum` begins 1b4a, op-1's c81d, op-2's 93e6.
    assert_eq!(earned(1, &[1, 1, 1]), [1, 0, 0]);
    assert_eq!(earned(2, &[1, 1, 1]), [1, 0, 1]);
}

#[test]
fn without_units_all_is_unspent_and_what_was_brought_stays() {
    let mut operators = shares(&[0, 0]);
    operators.get_mut(&id(0)).unwrap().brought = sats(70);
    let split = allocate(sats(500), &grant(), 1, sats(100), &operators).unwrap();
    assert_eq!(split.unspent, sats(500));
    assert_eq!(
        split.operators[&id(0)],
        OperatorLine { brought: sats(70), carried: sats(70), ..OperatorLine::default() }
    );
}

#[test]
fn invariant_12_a_sum_that_reaches_the_minimum_is_paid_and_one_sat_less_is_carried() {
    let pay = |minimum, adjusted| {
        let share = Share { units: Units::new(1).unwrap(), brought: sats(20), adjusted };
        let line = allocate(sats(100), &grant(), 1, sats(minimum), &[(id(0), share)].into())
            .unwrap()
            .operators[&id(0)];
        (line.payable.get(), line.carried.get())
    };
    assert_eq!(pay(120, 0), (120, 0));
    assert_eq!(pay(120, -1), (0, 119));
    assert_eq!(pay(120, 5), (125, 0));
    assert_eq!(pay(120, -120), (0, 0));
}

#[test]
fn an_adjustment_below_zero_names_the_operator() {
    let share = Share { adjusted: -1, ..Share::default() };
    let error = allocate(sats(0), &grant(), 1, sats(546), &[(id(3), share)].into()).unwrap_err();
    assert!(error.to_string().contains("op-3") && error.to_string().contains("-1"), "{error}");
}

#[test]
fn the_largest_numbers_a_note_can_carry_still_add_up() {
    let most = i64::MAX.unsigned_abs();
    let split = earned(Sats::MAX.get(), &[most, most, most - 1, 1]);
    assert_eq!(split.iter().sum::<u64>(), Sats::MAX.get());
}

fn statement() -> Statement {
    let terms = Terms {
        challenge_seconds: 0,
        close_delay_seconds: 0,
        epoch_seconds: 60,
        floor: 1,
        minimum_payout_sats: sats(1_000),
        rule: RULE_LARGEST_REMAINDER,
        unit_bytes: Bytes::new(1_000_000).unwrap(),
        ..Terms::defaults(Timestamp::from_unix_seconds(1_783_339_200).unwrap(), 4)
    };
    let (start, end) = terms.schedule().bounds(1).unwrap();
    let node = |operator, units| NodeLine {
        operator: id(operator),
        location: "de-fra".parse().unwrap(),
        site: 1,
        units: Some(Units::new(units).unwrap()),
    };
    let mut statement = Statement {
        log: "grants.example/record".parse().unwrap(),
        network: Network::Regtest,
        grant: grant(),
        epoch: 1,
        start,
        end,
        previous: None,
        reports_size: 12,
        reports_root: Hash::of(b"root"),
        inputs: Hash::of(b"inputs"),
        terms,
        contributed: sats(400_000),
        allotted: Sats::ZERO,
        epochs_left: 4,
        pot: sats(100_000),
        issued: Units::new(10).unwrap(),
        nodes: [("node-1", node(1, 3)), ("node-2", node(2, 4)), ("node-3", node(1, 2))]
            .map(|(name, line)| (name.parse().unwrap(), line))
            .into(),
        adjustments: BTreeSet::from([Adjustment {
            operator: id(4),
            sats: 5,
            reason: "recount".into(),
            epoch: 1,
        }]),
        operators: BTreeMap::new(),
        unspent: Sats::ZERO,
    };
    let split = split(&statement, &BTreeMap::from([(id(3), sats(7))])).unwrap();
    (statement.operators, statement.unspent) = (split.operators, split.unspent);
    statement
}

#[test]
fn invariant_1_a_statement_whose_sums_follow_from_its_lines_passes() {
    let statement = statement();
    assert_eq!(statement.operators.len(), 4);
    check_statement(&statement).unwrap();
}

#[test]
fn invariant_3_each_line_that_does_not_follow_is_found_by_name() {
    let found = |change: &dyn Fn(&mut Statement)| {
        let mut statement = statement();
        change(&mut statement);
        check_statement(&statement).unwrap_err().to_string()
    };
    let line = |s: &mut Statement, n| *s.operators.get(&id(n)).unwrap();
    let moved = found(&|s| {
        let one = line(s, 1);
        let less =
            OperatorLine { earned: sats(one.earned.get() - 1), payable: sats(one.payable.get() - 1), ..one };
        s.operators.insert(id(1), less);
    });
    assert!(
        moved.contains("operator op-1: expected earned 55556") && moved.contains("found earned 55555"),
        "{moved}"
    );
    let unspent = found(&|s| s.unspent = sats(1));
    assert!(unspent.contains("unspent: expected 0, found 1"), "{unspent}");
    let missing = found(&|s| assert!(s.operators.remove(&id(4)).is_some()));
    assert!(missing.contains("operator op-4") && missing.contains("no line"), "{missing}");
    let extra = found(&|s| assert_eq!(s.operators.insert(id(9), OperatorLine::default()), None));
    assert!(extra.contains("operator op-9: expected no line"), "{extra}");
    let rule = found(&|s| s.terms.rule = 3);
    assert!(rule.contains("rule"), "{rule}");
}

fn some_units() -> impl Strategy<Value = Vec<u64>> {
    let one = prop_oneof![0u64..4, 0u64..1_000, 0..=i64::MAX.unsigned_abs()];
    prop::collection::vec(one, 1..12)
}

fn some_pot() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..20, 0u64..1_000_000, 0..=Sats::MAX.get()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn invariant_2_the_split_is_exact_and_is_what_the_naive_rule_says(pot in some_pot(), units in some_units()) {
        let split = allocate(sats(pot), &grant(), 1, sats(546), &shares(&units)).unwrap();
        let total = Sats::total(split.operators.values().map(|line| line.earned)).unwrap();
        prop_assert_eq!(total.plus(split.unspent).unwrap(), sats(pot));
        prop_assert_eq!(earned(pot, &units), naively_earned(pot, &units));
        for line in split.operators.values() {
            prop_assert_eq!(line.brought.plus(line.earned), line.payable.plus(line.carried));
        }
    }

    #[test]
    fn invariant_2_nobody_gets_more_than_one_sat_over_the_floor_and_none_less(pot in some_pot(), units in some_units()) {
        let total: u128 = units.iter().map(|u| u128::from(*u)).sum();
        if total == 0 {
            return Ok(()); // nobody gets anything, which is another law
        }
        for (units, earned) in units.iter().zip(earned(pot, &units)) {
            let floor = u128::from(pot) * u128::from(*units) / total;
            prop_assert!((floor..=floor + 1).contains(&u128::from(earned)));
        }
    }

    #[test]
    fn invariant_2_more_units_never_earn_less(
        pot in some_pot(), units in some_units(), who in any::<prop::sample::Index>(), more in 1u64..1_000_000,
    ) {
        let before = earned(pot, &units);
        for a in 0..units.len() {
            for b in 0..units.len() {
                prop_assert!(units[a] <= units[b] || before[a] >= before[b]);
            }
        }
        let who = who.index(units.len());
        let mut raised = units.clone();
        raised[who] = raised[who].saturating_add(more).min(i64::MAX.unsigned_abs());
        prop_assert!(earned(pot, &raised)[who] >= before[who]);
    }

    #[test]
    fn who_is_paid_does_not_depend_on_who_else_is_listed_without_units(pot in some_pot(), units in some_units()) {
        let mut longer = units.clone();
        longer.extend([0, 0]);
        let split = earned(pot, &longer);
        prop_assert_eq!(&split[..units.len()], &earned(pot, &units)[..]);
    }
}
