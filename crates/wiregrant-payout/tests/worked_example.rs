//! The worked example of `docs/payouts.md`, computed: each row that it shows must be what the code says.

#[cfg(test)]
mod example {
    use std::collections::{BTreeMap, BTreeSet};

    use transparency_log::Hash;
    use wiregrant_core::credit::{NodeEpoch, credit};
    use wiregrant_core::note::Network;
    use wiregrant_core::statement::{NodeLine, Statement, pot};
    use wiregrant_core::terms::Terms;
    use wiregrant_core::usage_report::{Class, PeersBucket, Service, Usage, UsageTable};
    use wiregrant_core::{Bytes, Sats, Timestamp, Units};
    use wiregrant_payout::split;

    fn bytes(tenths_of_gb: u64) -> Bytes {
        Bytes::new(tenths_of_gb * 100_000_000).unwrap()
    }

    fn sats(n: u64) -> Sats {
        Sats::new(n).unwrap()
    }

    fn terms() -> Terms {
        Terms {
            ceiling_sats_per_unit: sats(500),
            operator_share_percent: 50,
            invited_percent: 25,
            ..Terms::defaults(Timestamp::from_unix_seconds(1_783_296_000).unwrap(), 10)
        }
    }

    #[track_caller]
    fn shows(row: &str) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/payouts.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, example) = text.split_once("## A worked example\n").unwrap();
        let example = example.split("\n## ").next().unwrap();
        assert!(example.contains(row), "docs/payouts.md shows no {row:?}");
    }

    #[test]
    fn the_bytes_of_the_example_are_credited_as_it_says() {
        let usage = |received, sent, creditable| Usage {
            received: bytes(received),
            sent: bytes(sent),
            creditable: bytes(creditable),
        };
        let moved = UsageTable::from([
            ((Service::WireGuard, Class::Assigned), usage(200, 1_000, 1_180)),
            ((Service::WireGuard, Class::Invited), usage(10, 30, 40)),
            ((Service::Socks5, Class::Assigned), usage(2, 8, 10)),
        ]);
        for ((service, class), usage) in &moved {
            let (received, sent) = (usage.received.to_gb(), usage.sent.to_gb());
            shows(&format!("| {service} {class} | {received} | {sent} | {} |", usage.creditable.to_gb()));
        }
        let node = NodeEpoch {
            moved,
            peers: PeersBucket::TwentyFiveTo49,
            devices_placed: 40,
            allotted: bytes(1_100),
            moved_seconds: 604_800,
            is_found: false,
            brought: bytes(6),
            brought_peers: 0,
        };
        let credit = credit(&node, &terms()).unwrap();
        for (reason, bytes) in &credit.disallowed {
            shows(&format!("| {reason} | {} |", bytes.to_gb()));
        }
        assert_eq!(credit.disallowed.len(), 3);
        shows(&format!("| eligible | {} |", credit.eligible.to_gb()));
        shows(&format!("| units | {} |", credit.units.unwrap()));
        shows(&format!("| carried | {} |", credit.carried.to_gb()));
    }

    #[test]
    fn the_pot_of_the_example_is_split_as_it_says() {
        let node = |operator: &str, site, units| NodeLine {
            operator: operator.parse().unwrap(),
            location: "de-fra".parse().unwrap(),
            site,
            units: Some(Units::new(units).unwrap()),
        };
        let nodes = [
            ("node-a", node("nordlicht", 1, 111)),
            ("node-b", node("polaris", 2, 60)),
            ("node-c", node("aurora", 3, 19)),
        ];
        let (terms, epoch) = (terms(), 2);
        let (start, end) = terms.schedule().bounds(epoch).unwrap();
        let (contributed, allotted, epochs_left) = (sats(1_000_000), sats(100_000), 9);
        let statement = Statement {
            log: "grants.example/record".parse().unwrap(),
            network: Network::Bitcoin,
            grant: "spring".parse().unwrap(),
            epoch,
            start,
            end,
            previous: None,
            reports_size: 0,
            reports_root: Hash::of(b""),
            inputs: Hash::of(b""),
            terms,
            contributed,
            allotted,
            epochs_left,
            pot: pot(contributed, allotted, epochs_left).unwrap(),
            issued: Units::ZERO,
            nodes: nodes.map(|(id, line)| (id.parse().unwrap(), line)).into(),
            adjustments: BTreeSet::new(),
            operators: BTreeMap::new(),
            unspent: Sats::ZERO,
        };
        shows(&format!("floor((1,000,000 - 100,000) / 9) = {}", thousands(statement.pot.get())));
        let split = split(&statement, &BTreeMap::new()).unwrap();
        let units = statement.units_by_operator().unwrap();
        for (operator, line) in &split.operators {
            let [earned, payable, carried] =
                [line.earned, line.payable, line.carried].map(|sats| thousands(sats.get()));
            shows(&format!("| {operator} | {} | {earned} | {payable} | {carried} |", units[operator]));
        }
        shows(&format!("unspent {}", thousands(split.unspent.get())));
        let earned: u64 = split.operators.values().map(|line| line.earned.get()).sum();
        let next = pot(contributed, sats(100_000 + earned), 8).unwrap();
        shows(&format!("/ 8) = {}", thousands(next.get())));
    }

    fn thousands(number: u64) -> String {
        let digits = number.to_string();
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    }
}
