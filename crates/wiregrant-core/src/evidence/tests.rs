//! Sentences about evidence: what convicts, what convicts nobody, and how it is written.

use proptest::prelude::*;
use transparency_log::{MemoryTree, SigningKey, leaf_hash};

use super::*;
use crate::note::Salt;
use crate::record::report_entry;
use crate::usage_report::{Backend, PeersBucket, UsageTable};

fn record() -> SigningKey {
    SigningKey::new("grants.example/record", [7; 32]).unwrap()
}

fn node() -> SigningKey {
    SigningKey::new("node-3kq8", [8; 32]).unwrap()
}

fn report(sequence: u64, salt: u8) -> Signed<UsageReport> {
    let content = UsageReport {
        log: "grants.example/record".parse().unwrap(),
        node: "node-3kq8".parse().unwrap(),
        operator: "nordlicht".parse().unwrap(),
        sequence,
        previous: Some(Hash::of(b"six")),
        salt: Salt([salt; 16]),
        start: "2026-07-06T12:00:00Z".parse().unwrap(),
        end: "2026-07-06T13:00:00Z".parse().unwrap(),
        epoch: None,
        agent: "0.1.0".to_owned(),
        backend: Backend::Kernel,
        peers: PeersBucket::TenTo24,
        tree: None,
        usage: UsageTable::new(),
    };
    Signed::sign(content, &node()).unwrap()
}

fn tree(entries: &[String]) -> MemoryTree {
    let mut tree = MemoryTree::new();
    entries.iter().for_each(|entry| tree.push(leaf_hash(entry.as_bytes())));
    tree
}

fn checkpoint(tree: &MemoryTree, size: u64) -> String {
    let root = tree.root_at(size).unwrap();
    Checkpoint { origin: record().name().to_owned(), size, root }.sign(&record()).unwrap()
}

fn proof(tree: &MemoryTree, index: u64) -> String {
    let hashes = tree.inclusion_proof(index, tree.size()).unwrap();
    LogProof { index, hashes, checkpoint: checkpoint(tree, tree.size()), extra: None }.to_string()
}

fn naming() -> String {
    format!("enrol node-3kq8 nordlicht {}", node().verifier())
}

fn two_reports() -> Evidence {
    let named = proof(&tree(&["key log".to_owned(), naming()]), 1);
    let reports = [report(7, 1), report(7, 2)].map(|report| report.note().to_owned());
    Evidence::TwoReports { log: record().verifier(), naming: naming(), named, reports }
}

/// Entries of a history, whose own begin at index `common`.
fn history(common: u64, name: &str, size: u64) -> Vec<String> {
    let of = |index| if index < common { "common" } else { name };
    (0..size).map(|index| report_entry(Hash::of(format!("{index} {}", of(index)).as_bytes()))).collect()
}

fn two_histories(common: u64, first: u64, second: u64) -> Evidence {
    let (one, other) = (tree(&history(common, "one", first)), tree(&history(common, "two", second)));
    Evidence::TwoHistories {
        log: record().verifier(),
        checkpoints: [checkpoint(&one, first), checkpoint(&other, second)],
        root: other.root_at(first).unwrap(),
        proof: other.consistency_proof(first, second).unwrap(),
    }
}

fn two_entries(common: u64, index: u64) -> Evidence {
    let (one, other) = (history(common, "one", 9), history(common, "two", 12));
    let at = usize::try_from(index).unwrap();
    Evidence::TwoEntries {
        log: record().verifier(),
        entries: [one[at].clone(), other[at].clone()],
        proofs: [proof(&tree(&one), index), proof(&tree(&other), index)],
    }
}

#[test]
fn each_kind_convicts_and_reads_back() {
    for (evidence, against, of) in [
        (two_reports(), "node node-3kq8 of operator nordlicht", "two reports under sequence 7"),
        (two_histories(3, 5, 5), "log grants.example/record", "two histories: of the first 5 entries"),
        (two_histories(3, 5, 11), "log grants.example/record", "under the other, of 11 entries"),
        (two_entries(3, 4), "log grants.example/record", "two entries at index 4"),
    ] {
        let read: Evidence = evidence.to_string().parse().unwrap();
        assert_eq!(read, evidence);
        let proven = read.check().unwrap();
        assert_eq!(proven.against, against);
        assert!(proven.of.contains(of), "{}", proven.of);
        assert_eq!(proven.log_key, record().verifier());
    }
}

#[test]
fn what_may_well_be_convicts_nobody() {
    let innocent = |evidence: Evidence| evidence.check().unwrap_err().to_string();
    assert!(innocent(two_histories(5, 5, 11)).contains("another history"));
    assert!(innocent(two_entries(5, 4)).contains("another entry"));
    let with_reports = |reports: [Signed<UsageReport>; 2]| match two_reports() {
        Evidence::TwoReports { log, naming, named, .. } => {
            let reports = reports.map(|report| report.note().to_owned());
            Evidence::TwoReports { log, naming, named, reports }
        }
        _ => unreachable!(),
    };
    assert!(innocent(with_reports([report(7, 1), report(8, 2)])).contains("sequence"));
    assert!(innocent(with_reports([report(7, 1), report(7, 1)])).contains("the same text"));
    let Evidence::TwoEntries { log, entries, proofs: [first, _] } = two_entries(3, 4) else { unreachable!() };
    let elsewhere = proof(&tree(&history(3, "two", 12)), 5);
    let entries = [entries[0].clone(), history(3, "two", 12)[5].clone()];
    let moved = Evidence::TwoEntries { log, entries, proofs: [first, elsewhere] };
    assert!(innocent(moved).contains("index"));
}

#[test]
fn nobody_can_frame_a_node_or_a_log() {
    let stranger = SigningKey::new("node-3kq8", [9; 32]).unwrap();
    let Evidence::TwoReports { log, naming, named, reports } = two_reports() else { unreachable!() };
    let forged = Signed::sign(report(7, 3).into_content(), &stranger).unwrap().note().to_owned();
    let with = |reports| Evidence::TwoReports {
        log: log.clone(),
        naming: naming.clone(),
        named: named.clone(),
        reports,
    };
    assert!(with([reports[0].clone(), forged.clone()]).check().is_err());

    // A key that no log names is nobody's, whoever made the entry up.
    let made_up = format!("enrol node-3kq8 nordlicht {}", stranger.verifier());
    let forged_two =
        [forged, Signed::sign(report(7, 4).into_content(), &stranger).unwrap().note().to_owned()];
    let framed = Evidence::TwoReports { log: log.clone(), naming: made_up, named, reports: forged_two };
    assert!(framed.check().is_err());

    let other_log = SigningKey::new("grants.example/record", [1; 32]).unwrap().verifier();
    let Evidence::TwoHistories { checkpoints, root, proof, .. } = two_histories(3, 5, 11) else {
        unreachable!()
    };
    assert!(Evidence::TwoHistories { log: other_log, checkpoints, root, proof }.check().is_err());
}

#[test]
fn what_is_no_evidence_is_refused_with_its_line() {
    let good = two_histories(3, 5, 11).to_string();
    for (text, hint) in [
        (String::new(), "line 1"),
        (good.replace("proof/v1", "proof/v2"), "wiregrant/proof/v1"),
        (good.replace("two-histories", "two-opinions"), "two-opinions"),
        (good.replace("key ", "keys "), "\"key\""),
        (good.replacen("root ", "root  ", 1), "root"),
        (good.replacen("text ", "text 0", 1), "leading zeros"),
        (good.replacen("text ", "text 9", 1), "bytes belongs here"),
        (format!("{good}\n"), "ends here"),
        (good[..good.len() - 1].to_owned(), "bytes belongs here"),
        (good.replacen("\nproof ", &format!("\nproof {}", "A".repeat(42)), 1), "proof"),
        (format!("{good}{}", "x".repeat(MAX_EVIDENCE_BYTES)), "at most"),
    ] {
        let error = text.parse::<Evidence>().unwrap_err().to_string();
        assert!(error.contains(hint), "{hint}: {error}");
    }
}

proptest! {
    #[test]
    fn a_fork_convicts_from_any_two_sizes_beyond_it(common in 0_u64..8, first in 1_u64..12, more in 0_u64..12) {
        let evidence = two_histories(common, first, first + more);
        prop_assert_eq!(evidence.check().is_ok(), first > common);
    }

    #[test]
    fn no_changed_byte_of_evidence_convicts_of_something_else(at in 0_usize..2_000, by in 1_u8..128) {
        for good in [two_reports(), two_histories(3, 5, 11), two_entries(3, 4)] {
            let mut bytes = good.to_string().into_bytes();
            let at = at % bytes.len();
            bytes[at] = bytes[at].wrapping_add(by);
            let changed = String::from_utf8(bytes).ok().and_then(|text| text.parse::<Evidence>().ok());
            if let Some(Ok(proven)) = changed.map(|changed| changed.check()) {
                // What nothing signs may change: other signature lines, and the data of a proof's `extra` line.
                prop_assert_eq!(proven, good.check().unwrap());
            }
        }
    }

    #[test]
    fn what_reads_as_evidence_prints_the_same(
        text in "wiregrant/proof/v1\nkind two-(entries|histories|reports)\nkey a\\+[0-9a-f]{8}\\+AX[a-z]{0,3}\n(entry [a-z]{1,3}\n){0,2}(text [0-9]\n[a-z]{0,9}){0,3}|(?s).{0,60}",
    ) {
        if let Ok(evidence) = text.parse::<Evidence>() {
            prop_assert_eq!(evidence.to_string(), text);
        }
    }
}
