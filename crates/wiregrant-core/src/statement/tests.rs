//! Sentences about statements.

use super::*;
use proptest::prelude::*;

fn sats(n: u64) -> Sats {
    Sats::new(n).unwrap()
}

pub(crate) fn first() -> Statement {
    let terms = crate::terms::sample();
    let (start, end) = terms.schedule().bounds(1).unwrap();
    let node = |operator: &str, units| NodeLine {
        operator: operator.parse().unwrap(),
        location: "de-fra".parse().unwrap(),
        site: 1,
        units,
    };
    Statement {
        log: "grants.example/record".parse().unwrap(),
        network: Network::Regtest,
        grant: "spring".parse().unwrap(),
        epoch: 1,
        start,
        end,
        previous: None,
        reports_size: 12,
        reports_root: Hash::of(b"root"),
        inputs: Hash::of(b"inputs"),
        terms,
        contributed: sats(400_003),
        allotted: Sats::ZERO,
        epochs_left: 4,
        pot: sats(100_000),
        issued: Units::new(10).unwrap(),
        nodes: BTreeMap::from([
            ("node-1".parse().unwrap(), node("nordlicht", Some(Units::new(3).unwrap()))),
            ("node-2".parse().unwrap(), node("polaris", None)),
        ]),
        adjustments: BTreeSet::new(),
        operators: BTreeMap::from([
            (
                "nordlicht".parse().unwrap(),
                OperatorLine { earned: sats(100_000), payable: sats(100_000), ..OperatorLine::default() },
            ),
            ("polaris".parse().unwrap(), OperatorLine::default()),
        ]),
        unspent: Sats::ZERO,
    }
}

pub(crate) fn second() -> Statement {
    let last = first();
    let (start, end) = last.terms.schedule().bounds(2).unwrap();
    let adjustment =
        Adjustment { operator: "polaris".parse().unwrap(), sats: -100, reason: "recount".into(), epoch: 1 };
    Statement {
        epoch: 2,
        start,
        end,
        previous: Some(Hash::of(b"first")),
        allotted: sats(100_000),
        epochs_left: 3,
        pot: sats(100_001),
        adjustments: BTreeSet::from([adjustment]),
        operators: BTreeMap::from([
            (
                "nordlicht".parse().unwrap(),
                OperatorLine { earned: sats(99_000), payable: sats(99_000), ..OperatorLine::default() },
            ),
            (
                "polaris".parse().unwrap(),
                OperatorLine { earned: sats(1_001), carried: sats(901), ..OperatorLine::default() },
            ),
        ]),
        ..last
    }
}

#[test]
fn a_statement_reads_as_it_is_written() {
    for statement in [first(), second()] {
        let text = statement.text();
        assert_eq!(Statement::from_text(&text).unwrap(), statement);
    }
    assert!(first().text().contains("\nnode node-2 polaris de-fra 1 -\n"));
    assert!(second().text().contains("\nadjust polaris -100 recount 1\n"));
}

#[test]
fn sats_add_up_within_and_across_statements() {
    assert_eq!(first().check_sums(None, Sats::ZERO), Ok(()));
    assert_eq!(second().check_sums(Some(&first()), Sats::ZERO), Ok(()));
    assert_eq!(second().allotted_after().unwrap(), sats(100_000 + 100_001 - 100));
}

#[test]
fn what_was_forfeited_goes_back_to_the_pot() {
    let mut next = second();
    // floor((400,003 - 70,000) / 3)
    (next.allotted, next.pot, next.unspent) = (sats(70_000), sats(110_001), sats(10_000));
    assert_eq!(next.check_sums(Some(&first()), sats(30_000)), Ok(()));
    assert!(next.check_sums(Some(&first()), sats(29_999)).unwrap_err().to_string().contains("allotted"));
    assert!(
        second().check_sums(Some(&first()), sats(100_001)).unwrap_err().to_string().contains("forfeited")
    );
}

#[test]
fn a_correction_that_nobody_contributed_is_found() {
    let mut last = first();
    (last.epoch, last.epochs_left, last.terms.epochs) = (1, 1, 1);
    (last.contributed, last.pot) = (sats(100_000), sats(100_000));
    assert_eq!(last.check_sums(None, Sats::ZERO), Ok(()));
    last.adjustments.insert(Adjustment {
        operator: "polaris".parse().unwrap(),
        sats: 1,
        reason: "recount".into(),
        epoch: 1,
    });
    last.operators.get_mut(&"polaris".parse().unwrap()).unwrap().carried = sats(1);
    assert!(last.check_sums(None, Sats::ZERO).unwrap_err().to_string().contains("contributed"));
}

#[test]
fn a_satoshi_moved_anywhere_is_found_and_named() {
    type Change = fn(&mut Statement);
    let changes: [(&str, Change); 8] = [
        ("pot", |s| s.pot = sats(100_002)),
        ("allotted", |s| (s.allotted, s.pot) = (sats(99_997), sats(100_002))),
        ("unspent", |s| s.unspent = sats(1)),
        ("epochs-left", |s| s.epochs_left = 2),
        ("start", |s| s.start = s.end),
        ("polaris: payable", |s| {
            s.operators.get_mut(&"polaris".parse().unwrap()).unwrap().carried = sats(902);
        }),
        ("polaris: brought", |s| {
            let line = s.operators.get_mut(&"polaris".parse().unwrap()).unwrap();
            (line.brought, line.carried) = (sats(1), sats(902));
        }),
        ("payable", |s| s.adjustments.clear()),
    ];
    for (what, change) in changes {
        let mut statement = second();
        change(&mut statement);
        let error = statement.check_sums(Some(&first()), Sats::ZERO).unwrap_err().to_string();
        assert!(error.contains(what), "{what}: {error}");
    }
}

#[test]
fn carried_sats_cannot_be_dropped_by_leaving_out_their_line() {
    let mut last = first();
    last.operators.get_mut(&"polaris".parse().unwrap()).unwrap().carried = sats(5);
    let mut next = second();
    next.operators.remove(&"polaris".parse().unwrap());
    next.adjustments.clear();
    next.unspent = sats(1_001);
    let error = next.check_sums(Some(&last), Sats::ZERO).unwrap_err().to_string();
    assert!(error.contains("operator polaris: brought"), "{error}");
}

proptest! {
    #[test]
    fn whatever_parses_prints_back_the_same(at in 0usize..2_000, byte in 0x20u8..0x7f) {
        let mut text = second().text().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        let text = String::from_utf8(text).unwrap();
        if let Ok(read) = Statement::from_text(&text) {
            prop_assert_eq!(read.text(), text);
        }
    }
}
