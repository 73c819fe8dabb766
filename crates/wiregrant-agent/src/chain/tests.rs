//! What the chain keeps and drops.

use super::*;
use wiregrant_core::Bytes;
use wiregrant_core::usage_report::{Class, Service, Usage};

fn cut(epoch: u64, bytes: u64) -> Cut {
    let bytes = Bytes::new(bytes).unwrap();
    let usage = Usage { received: bytes, sent: Bytes::ZERO, creditable: bytes };
    Cut {
        epoch: Some(EpochLabel { grant: "g".parse().unwrap(), number: epoch }),
        end: Timestamp::from_unix_seconds(i64::try_from(bytes.get()).unwrap()).unwrap(),
        peers: PeersBucket::Zero,
        usage: UsageTable::from([((Service::WireGuard, Class::Assigned), usage)]),
    }
}

#[test]
fn when_too_many_reports_wait_the_last_of_each_epoch_stays() {
    let mut chain = Chain::default();
    let epochs = 5;
    for n in 0..2 * MAX_CUTS as u64 {
        chain.push(cut(1 + n * epochs / (2 * MAX_CUTS as u64), n));
    }
    assert_eq!(chain.unacknowledged().unwrap(), MAX_CUTS);
    for epoch in 1..=epochs {
        let of_epoch = chain.cuts.iter().filter(|cut| cut.epoch.as_ref().unwrap().number == epoch);
        let last = of_epoch.map(|cut| cut.usage.values().next().unwrap().received.get()).max();
        assert_eq!(
            last,
            Some(epoch * 2 * MAX_CUTS as u64 / epochs - 1),
            "the closing report of epoch {epoch}"
        );
    }
}

#[test]
fn the_state_reads_back_from_json() {
    let mut chain = Chain::default();
    chain.push(cut(1, 5));
    chain.acknowledged(Acknowledged { sequence: 3, time: None });
    let json = serde_json::to_string(&chain).unwrap();
    assert_eq!(serde_json::from_str::<Chain>(&json).unwrap(), chain);
}
