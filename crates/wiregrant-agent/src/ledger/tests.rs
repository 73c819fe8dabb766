//! The ledger over a long outage of the control plane, and over a disk that refuses.

use wiregrant_core::usage_report::{Class, Service};

use super::*;
use crate::chain::MAX_CUTS;
use crate::journal::fault;
use crate::meter::SampledPeer;

/// What seven days without the control plane may take on the disk, in bytes.
const BOUND: u64 = 4 << 20;
const PEERS: u16 = 1_000;
const HOURS: u64 = 7 * 24;

fn key(n: u16) -> WireGuardPublicKey {
    let mut bytes = [0xab; 32];
    bytes[..2].copy_from_slice(&n.to_le_bytes());
    bytes.into()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000).unwrap().plus_seconds(seconds)
}

fn epoch() -> Option<EpochLabel> {
    Some(EpochLabel { grant: "spring".parse().unwrap(), number: 1 })
}

/// Everybody moves something: the longest sample there is.
fn sample(seconds: u64) -> Record {
    let reading = |n: u16| Reading {
        received: (seconds + 1) * 1_234_567 + u64::from(n),
        sent: (seconds + 1) * 12_345_678 + u64::from(n),
    };
    let peers = (0..PEERS).map(|n| SampledPeer {
        peer: key(n),
        service: Service::WireGuard,
        class: Class::Assigned,
        reading: reading(n),
    });
    Record::Sample(Sample {
        time: Some(at(seconds)),
        epoch: epoch(),
        peer_cap: None,
        peers: peers.collect(),
        statistics: None,
    })
}

fn opened() -> (tempfile::TempDir, std::path::PathBuf, Ledger) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = folder.path().join("journal");
    let ledger = Ledger::open(&path).unwrap();
    (folder, path, ledger)
}

/// Commits, and gives the most that the journal and the file that replaces it took meanwhile.
fn commit(ledger: &mut Ledger, record: Record) -> u64 {
    let before = ledger.journal_bytes();
    let appended = before + 8 + encoded(&Commit { records: vec![record.clone()] }).len() as u64;
    ledger.commit(vec![record]).unwrap();
    let after = ledger.journal_bytes();
    if after == appended { after } else { appended + after }
}

#[test]
fn seven_days_of_a_thousand_active_peers_without_the_control_plane_fit_into_four_mebibytes() {
    let (_folder, path, mut ledger) = opened();
    // All samples of the week in the long run. In this one fewer: the file is compacted each time it has taken in a
    // few, so it is at its greatest with the last ones whatever their number.
    let interval = if std::env::var_os("WIREGRANT_SOAK").is_some() { 10 } else { 1_800 };
    ledger.commit(vec![Record::Added { peers: (0..PEERS).map(key).collect() }]).unwrap();
    let (mut most, mut compacted) = (0, 0);
    for hour in 0..HOURS {
        for second in (0..3600).step_by(interval) {
            let bytes = commit(&mut ledger, sample(hour * 3600 + second));
            compacted += u64::from(bytes > ledger.journal_bytes());
            most = most.max(bytes);
        }
        most = most.max(commit(&mut ledger, Record::Cut { end: at((hour + 1) * 3600) }));
    }
    println!("at most {most} bytes, {} in the end, compacted {compacted} times", ledger.journal_bytes());
    assert!(compacted > 10 && most <= BOUND, "{most} bytes, compacted {compacted} times");
    assert_eq!(ledger.state().chain.unacknowledged().unwrap() as u64, HOURS);
    // Six weeks: as many cuts as are ever kept.
    for hour in HOURS..2 * MAX_CUTS as u64 {
        most = most.max(commit(&mut ledger, Record::Cut { end: at((hour + 1) * 3600) }));
    }
    most = most.max(commit(&mut ledger, sample(2 * MAX_CUTS as u64 * 3600)));
    assert_eq!(ledger.state().chain.unacknowledged().unwrap(), MAX_CUTS);
    assert!(most <= BOUND, "{most} bytes with {MAX_CUTS} cuts");
    assert_eq!(load(&path).unwrap().0, *ledger.state());
}

#[test]
fn what_was_counted_while_the_disk_refused_is_in_the_file_after_the_first_write_that_succeeds() {
    let (_folder, path, mut ledger) = opened();
    ledger.commit(vec![Record::Added { peers: vec![key(0)] }]).unwrap();
    let durable = ledger.state().clone();
    fault::refuse(1_000);
    ledger.count(vec![sample(10)]);
    ledger.count(vec![sample(20), Record::Cut { end: at(20) }]);
    assert!(ledger.behind().is_some_and(|why| why.contains("journal")), "{:?}", ledger.behind());
    let refused = Record::Removing { peers: vec![key(0)] };
    assert!(ledger.commit(vec![refused]).is_err(), "what others act upon waits");
    assert!(ledger.state().removing.is_empty());
    assert_eq!(load(&path).unwrap().0, durable, "a start now goes on from what was durable");
    fault::clear();
    ledger.settle().unwrap();
    assert_eq!((ledger.behind(), &load(&path).unwrap().0), (None, ledger.state()));
    assert_eq!(ledger.state().chain.unacknowledged().unwrap(), 1);
}
