//! Sentences about usage reports, and the property that a parser accepts exactly what the printer prints.

use proptest::prelude::*;

use super::*;

fn report() -> UsageReport {
    let usage = Usage {
        received: Bytes::new(120_034).unwrap(),
        sent: Bytes::new(9_912_034).unwrap(),
        creditable: Bytes::new(10_032_068).unwrap(),
    };
    UsageReport {
        log: "grants.example/record".parse().unwrap(),
        node: "node-3kq8".parse().unwrap(),
        operator: "nordlicht".parse().unwrap(),
        sequence: 7,
        previous: Some(Hash::of(b"six")),
        salt: Salt([7; 16]),
        start: "2026-07-06T12:00:00Z".parse().unwrap(),
        end: "2026-07-06T13:00:00Z".parse().unwrap(),
        epoch: Some(EpochLabel::parse("spring", "3").unwrap()),
        agent: "0.1.0".to_owned(),
        backend: Backend::Kernel,
        peers: PeersBucket::TenTo24,
        tree: None,
        usage: UsageTable::from([((Service::WireGuard, Class::Assigned), usage)]),
    }
}

fn successor(of: &UsageReport, hash: Hash) -> UsageReport {
    UsageReport { sequence: of.sequence + 1, previous: Some(hash), start: of.end, ..of.clone() }
}

#[test]
fn a_report_reads_as_the_format_shows_it() {
    let text = report().text();
    assert!(text.starts_with(
        "wiregrant/usage-report/v1\nlog grants.example/record\nnode node-3kq8\noperator nordlicht\nsequence 7\n"
    ));
    assert!(text.ends_with(
        "epoch spring 3\nagent 0.1.0 kernel\npeers 10-24\ntree -\nusage wireguard assigned 120034 9912034 10032068\n"
    ));
    assert_eq!(UsageReport::from_text(&text).unwrap(), report());
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    for (from, to, hint) in [
        ("sequence 7", "sequence 0", "sequence"),
        ("epoch spring 3", "epoch spring 0", "epoch"),
        ("epoch spring 3", "epoch spring", "epoch"),
        ("peers 10-24", "peers 11", "peers"),
        ("end 2026-07-06T13", "end 2026-07-06T11", "end"),
        ("10032068\n", "10032069\n", "creditable"),
        ("agent 0.1.0 kernel", "agent 0.1.0 boringtun", "backend"),
    ] {
        let error = UsageReport::from_text(&report().text().replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(hint), "{to}: {error}");
    }
}

#[test]
fn a_report_follows_the_one_before_and_no_other() {
    let last = report();
    let hash = Hash::of(b"seven");
    let next = successor(&last, hash);
    assert_eq!(next.follows(Some((&last, hash))), Ok(()));

    let gap = UsageReport { sequence: 9, ..next.clone() };
    assert!(matches!(gap.follows(Some((&last, hash))), Err(SuccessionError::Gap { expected: 8, found: 9 })));
    let stranger = UsageReport { previous: None, ..next.clone() };
    assert!(matches!(stranger.follows(Some((&last, hash))), Err(SuccessionError::Previous { .. })));
    let overlap = UsageReport { start: last.start, ..next.clone() };
    assert!(matches!(overlap.follows(Some((&last, hash))), Err(SuccessionError::Overlap { .. })));
    let back = UsageReport { epoch: Some(EpochLabel::parse("spring", "2").unwrap()), ..next.clone() };
    assert!(matches!(back.follows(Some((&last, hash))), Err(SuccessionError::EpochWentBack { .. })));
    assert!(matches!(next.follows(None), Err(SuccessionError::Gap { expected: 1, .. })));
}

#[test]
fn a_total_that_falls_or_vanishes_is_refused() {
    let last = report();
    let hash = Hash::of(b"seven");
    let mut next = successor(&last, hash);
    next.usage.clear();
    let error = next.follows(Some((&last, hash))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "usage wireguard assigned: totals only rise, received fell from 120034 to 0"
    );
}

#[test]
fn few_people_or_one_that_dominates_count_as_none() {
    let mb = PEER_COUNTS_FROM_BYTES;
    assert_eq!(PeersBucket::of([]), PeersBucket::Zero);
    assert_eq!(PeersBucket::of([mb - 1; 30]), PeersBucket::Zero);
    assert_eq!(PeersBucket::of([mb; 4]), PeersBucket::OneToFour);
    assert_eq!(PeersBucket::of([mb; 5]), PeersBucket::FiveToNine);
    assert_eq!(PeersBucket::of([mb, mb, mb, mb, 4 * mb]), PeersBucket::FiveToNine);
    assert_eq!(PeersBucket::of([mb, mb, mb, mb, 4 * mb + 1]), PeersBucket::OneToFour);
    assert_eq!(PeersBucket::of([mb; 100]), PeersBucket::Hundred);
    assert_eq!(PeersBucket::OneToFour.lower_edge(), 0);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*|(wiregrant/usage-report/v1\n)?([a-z]{1,9}( [ -~]{0,9}){0,5}\n){0,16}") {
        let _ = UsageReport::from_text(&text);
    }

    #[test]
    fn whatever_parses_prints_back_the_same(at in 0usize..400, byte in 0x20u8..0x7f) {
        let mut text = report().text().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        let text = String::from_utf8(text).unwrap();
        if let Ok(read) = UsageReport::from_text(&text) {
            prop_assert_eq!(read.text(), text);
        }
    }
}
