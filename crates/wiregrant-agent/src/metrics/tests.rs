//! The figures, read back by a parser of their own.

use std::collections::BTreeMap;

use super::*;
use wiregrant_core::Bytes;
use wiregrant_core::usage_report::{Class, Service};

/// Reads the text exposition format as strictly as Prometheus does, and what a good exporter keeps besides: every metric has
/// one head before its samples, every sample belongs to the head above it, and none comes twice.
fn parsed(text: &str) -> BTreeMap<String, String> {
    let (mut samples, mut heads) = (BTreeMap::new(), BTreeMap::new());
    let (mut helped, mut current) = (String::new(), (String::new(), String::new()));
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            helped = help.split_once(' ').expect("a name and words").0.to_owned();
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a kind");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(name, helped, "help comes first");
            assert_eq!(heads.insert(name.to_owned(), ()), None, "{name} twice");
            current = (name.to_owned(), kind.to_owned());
            continue;
        }
        let (name_and_labels, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = name_and_labels.split_once('{').unwrap_or((name_and_labels, "}"));
        let labels = labels.strip_suffix('}').expect("braces are closed");
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (key, value) = label.split_once("=\"").expect("a value in quotes");
            assert!(key.bytes().all(|b| b.is_ascii_lowercase()), "{label}");
            assert!(value.ends_with('"') && !value[..value.len() - 1].contains(['"', '\\']), "{label}");
        }
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        let (metric, kind) = (&current.0, current.1.as_str());
        let of_histogram = ["_bucket", "_sum", "_count"].iter().any(|end| name == format!("{metric}{end}"));
        assert!(if kind == "histogram" { of_histogram } else { name == metric }, "{line} under {metric}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        assert_eq!(samples.insert(name_and_labels.to_owned(), value.to_owned()), None, "{line} twice");
    }
    samples
}

fn usage(service: Service, class: Class, received: u64, sent: u64) -> UsageLine {
    let (received, sent) = (Bytes::new(received).unwrap(), Bytes::new(sent).unwrap());
    UsageLine { service, class, received, sent, creditable: Bytes::ZERO }
}

#[test]
fn what_is_told_is_what_prometheus_reads() {
    let figures = Figures {
        usage: vec![
            usage(Service::WireGuard, Class::Assigned, 10, 20),
            usage(Service::Socks5, Class::Invited, 30, 1 << 60),
        ],
        peers_live: 3,
        peers_desired: Some(4),
        journal_bytes: 5117,
        last_contact: Some(Timestamp::from_unix_seconds(1_700_000_000).unwrap()),
        clock: ClockState::Off,
        frozen: true,
        ..Figures::default()
    };
    let samples = parsed(&figures.text());
    let value = |name: &str| samples.get(&format!("wiregrant_agent_{name}")).map(String::as_str);
    let traffic = |service, class, direction| {
        value(&format!(
            "traffic_bytes_total{{service=\"{service}\",class=\"{class}\",direction=\"{direction}\"}}"
        ))
    };
    assert_eq!(traffic("wireguard", "assigned", "sent"), Some("20"));
    assert_eq!(traffic("socks5", "invited", "sent"), Some("1152921504606846976"), "exact, whatever its size");
    assert_eq!((value("peers_live"), value("peers_desired")), (Some("3"), Some("4")));
    assert_eq!(value("last_contact_timestamp_seconds"), Some("1700000000"));
    assert_eq!(value("last_acknowledged_timestamp_seconds"), None, "what never was has no time");
    assert_eq!(value("clock_state{state=\"off\"}"), Some("1"));
    assert_eq!(value("clock_state{state=\"good\"}"), Some("0"));
    assert_eq!((value("frozen"), value("journal_failing")), (Some("1"), Some("0")));
}

#[test]
fn a_histogram_counts_what_is_at_most_as_long_as_each_edge() {
    let mut figures = Figures::default();
    for microseconds in [1_000, 1_001, 400_000, 99_000_000] {
        figures.turns.add(Duration::from_micros(microseconds));
    }
    let samples = parsed(&figures.text());
    let value = |name: &str| samples[&format!("wiregrant_agent_sample_duration_seconds_{name}")].as_str();
    assert_eq!(value("bucket{le=\"0.001\"}"), "1");
    assert_eq!(value("bucket{le=\"0.005\"}"), "2");
    assert_eq!(value("bucket{le=\"0.5\"}"), "3");
    assert_eq!(value("bucket{le=\"10\"}"), "3");
    assert_eq!((value("bucket{le=\"+Inf\"}"), value("count")), ("4", "4"));
    assert_eq!(value("sum"), "99.402001");
}
