//! A statement of 10,000 nodes, and everything that is made of it for the public.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use askama::Template as _;
use transparency_log::{Hash, SigningKey};
use wiregrant_control::pages::frame::Frame;
use wiregrant_control::pages::{EpochPage, GrantReport};
use wiregrant_core::note::{Network, Signed};
use wiregrant_core::statement::{NodeLine, OperatorLine, Statement};
use wiregrant_core::terms::Terms;
use wiregrant_core::{Sats, Units};

const NODES: u64 = 10_000;
/// Each node has its own operator, which is the most that a statement can have.
const SATS_EACH: u64 = 12_345;

/// From the stored note to the epoch's page, its JSON and CSV, and those of the grant's report with this one epoch.
pub fn rendered() -> Duration {
    let note = statement();
    let started = Instant::now();
    let signed = Signed::<Statement>::parse(note.note()).expect("it was signed");
    let hash = note.hash().to_hex();
    let frame = Frame::public("Grants", "../../../");
    let epoch = EpochPage::of(frame, "Year".to_owned(), signed.content(), hash.clone()).expect("sums fit");
    let mut bytes = epoch.render().expect("a page").len() + epoch.csv().len();
    bytes += serde_json::to_string_pretty(&epoch).expect("JSON").len();
    let line = GrantReport::epoch(signed.content(), hash, &BTreeMap::new()).expect("sums fit");
    let report = GrantReport { epochs: vec![line], ..GrantReport::sample() };
    bytes += report.render().expect("a page").len() + report.csv().len();
    bytes += serde_json::to_string_pretty(&report).expect("JSON").len();
    let took = started.elapsed();
    assert!(bytes > 5_000_000, "every node and every operator has a line in each: {bytes} bytes");
    took
}

fn statement() -> Signed<Statement> {
    let key = SigningKey::new("grants.example/statement", [3; 32]).expect("a key");
    let terms = Terms::defaults("2026-07-06T00:00:00Z".parse().expect("a time"), 52);
    let (start, end) = terms.schedule().bounds(1).expect("the first epoch");
    let sats = |n| Sats::new(n).expect("few");
    let name = |kind: &str, n: u64| format!("{kind}-{n:05}");
    let nodes = (0..NODES).map(|n| {
        let line = NodeLine {
            operator: name("operator", n).parse().expect("an id"),
            location: format!("place-{}", n % 40).parse().expect("an id"),
            site: n % 100,
            units: (n % 7 != 0).then(|| Units::new(1_000 + n).expect("few")),
        };
        (name("node", n).parse().expect("an id"), line)
    });
    let line = OperatorLine {
        earned: sats(SATS_EACH),
        brought: sats(0),
        payable: sats(SATS_EACH),
        carried: sats(0),
    };
    let operators = (0..NODES).map(|n| (name("operator", n).parse().expect("an id"), line));
    let statement = Statement {
        log: "grants.example/record".parse().expect("an origin"),
        network: Network::Regtest,
        grant: "year".parse().expect("an id"),
        epoch: 1,
        start,
        end,
        previous: None,
        reports_size: NODES,
        reports_root: Hash::of(b"reports"),
        inputs: Hash::of(b"inputs"),
        contributed: sats(52 * NODES * SATS_EACH),
        allotted: Sats::ZERO,
        epochs_left: 52,
        pot: sats(NODES * SATS_EACH),
        issued: Units::new(1_000_000_000).expect("few"),
        nodes: nodes.collect(),
        adjustments: BTreeSet::new(),
        operators: operators.collect(),
        unspent: Sats::ZERO,
        terms,
    };
    Signed::sign(statement, &key).expect("a statement")
}
