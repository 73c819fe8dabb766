//! Stories of the keeper, on an interface of the tests' own.

mod node;

use std::time::Duration;

use wiregrant_core::api::Desired;
use wiregrant_core::counter::Reading;
use wiregrant_core::peer::PeerChanges;

pub use node::{TestNode, at, key, membership, peer, report_of};

#[test]
fn the_reading_at_a_boundary_belongs_to_the_epoch_that_ended() {
    let mut node = TestNode::new();
    node.desired(&[0], Some(membership())).unwrap();
    node.converge_at(2_095);
    node.traffic(0, 10, 0);
    node.converge_at(2_101);
    node.traffic(0, 7, 0);
    node.converge_at(2_110);
    assert_eq!(node.cuts(), [(2_100, Some(1), 10)]);
    assert_eq!(node.keeper().ledger.state().meter.epoch().unwrap().number, 2);
    assert_eq!(node.counted(), 17);
}

#[test]
fn after_an_outage_bytes_belong_to_the_epoch_of_the_reading() {
    let mut node = TestNode::new();
    node.desired(&[0], Some(membership())).unwrap();
    node.traffic(0, 10, 0);
    node.converge_at(2_040);
    node.traffic(0, 7, 0);
    node.restart();
    node.converge_at(2_230);
    node.seconds = 2_240;
    let now = node.moment();
    node.keeper().cut(now).unwrap();
    assert_eq!(node.cuts(), [(2_040, Some(1), 10), (2_240, Some(3), 17)]);
}

#[test]
fn while_the_clock_is_off_bytes_count_and_wait_for_their_epoch() {
    let mut node = TestNode::new();
    node.desired(&[0], Some(membership())).unwrap();
    node.traffic(0, 10, 0);
    node.converge_at(2_040);
    // Somebody sets the clock a day ahead.
    let mut wrong = at(2_050 + 86_400);
    wrong.monotonic = Duration::from_secs(2_050);
    node.traffic(0, 7, 0);
    node.keeper().converge(wrong).unwrap();
    node.keeper().cut(wrong).unwrap();
    assert_eq!((node.counted(), node.cuts()), (17, vec![(2_040, Some(1), 10)]));
    node.converge_at(2_060);
    node.traffic(0, 3, 0);
    node.converge_at(2_070);
    let now = node.moment();
    node.keeper().cut(now).unwrap();
    assert_eq!(node.cuts()[1..], [(2_070, Some(1), 20)]);
}

#[test]
fn by_a_clock_that_is_off_nobody_expires() {
    let mut node = TestNode::new();
    node.desired(&[0], None).unwrap();
    let mut wrong = at(5_000_000);
    wrong.monotonic = Duration::from_secs(2_010);
    node.keeper().converge(wrong).unwrap();
    assert_eq!(node.world().peers.len(), 1);
    let mut right = at(1_000_001);
    right.monotonic = Duration::from_secs(1_000_001);
    node.keeper().converge(right).unwrap();
    assert_eq!(node.world().peers.len(), 0);
}

#[test]
fn a_peer_with_an_address_outside_the_pools_is_not_served() {
    let node = TestNode::new();
    let mut everything = peer(0);
    everything.allowed_ips = vec!["0.0.0.0/0".parse().unwrap()];
    let desired = Desired {
        revision: 1,
        peers: Some(vec![everything, peer(1)]),
        changes: None,
        membership: None,
        time: node.moment().wall,
        frozen: false,
    };
    let now = node.moment();
    node.keeper().receive(desired, now).unwrap();
    assert_eq!(node.world().peers.keys().copied().collect::<Vec<_>>(), [key(1)]);
}

#[test]
fn what_changed_is_applied_as_if_everything_had_been_told() {
    let mut node = TestNode::new();
    node.desired(&[0, 1], None).unwrap();
    let mut outside = peer(3);
    outside.allowed_ips = vec!["0.0.0.0/0".parse().unwrap()];
    let changes = PeerChanges { set: vec![peer(2), outside].into(), remove: vec![key(0)] };
    let now = node.moment();
    let desired = |revision, changes| Desired {
        revision,
        peers: None,
        changes: Some(changes),
        membership: None,
        time: now.wall,
        frozen: false,
    };
    node.keeper().receive(desired(2, changes), now).unwrap();
    assert_eq!(node.live(), [key(1), key(2)]);
    // One that is only new is added at once, and is wanted after a start too.
    let changes = PeerChanges { set: vec![peer(4)].into(), remove: Vec::new() };
    node.keeper().receive(desired(3, changes), now).unwrap();
    assert_eq!(node.live(), [key(1), key(2), key(4)]);
    node.restart();
    node.world().peers.clear();
    node.converge_at(2_010);
    assert_eq!(node.live(), [key(1), key(2), key(4)]);
}

#[test]
fn before_the_control_plane_was_heard_no_peer_is_touched() {
    let mut node = TestNode::new();
    node.world().peers.insert(key(9), (vec![], Reading { received: 5, sent: 5 }));
    node.converge_at(2_010);
    assert_eq!(node.world().peers.len(), 1);
    // Started without it, the node goes by what it heard last.
    node.desired(&[0], None).unwrap();
    node.restart();
    node.world().peers.clear();
    node.converge_at(2_020);
    assert_eq!(node.world().peers.keys().copied().collect::<Vec<_>>(), [key(0)]);
}

#[test]
fn a_journal_that_lost_any_byte_is_told_apart_and_gone_on_from_without_a_wrong_total() {
    let mut node = TestNode::new();
    // Every total that was ever true, in order.
    let mut truths = vec![0];
    node.desired(&[0, 2], Some(membership())).unwrap();
    for n in 0..3 {
        node.traffic(n % 2 * 2, 100, 11);
        node.seconds += 10;
        let now = node.moment();
        node.keeper().cut(now).unwrap();
        truths.push(node.counted());
    }
    node.desired(&[], None).unwrap();
    let path = node.folder.path().join("journal");
    let bytes = std::fs::read(&path).unwrap();
    let moved = node.world().moved;
    // Each agent that is started anew takes a while: all of them in the long run, in this one a few of each kind.
    let every = if std::env::var_os("WIREGRANT_SOAK").is_some() { 1 } else { 199 };
    let mut started = 0;
    let mut judge = |damaged: &[u8], what: &str, number: usize| {
        let contents = crate::journal::read(damaged);
        assert!(contents.damage.is_some() || !contents.header_whole, "{what} went unseen");
        std::fs::write(&path, damaged).unwrap();
        let (state, _) = crate::ledger::load(&path).unwrap();
        let total = state.meter.totals().values().map(|usage| usage.creditable.get()).sum::<u64>();
        assert!(truths.contains(&total), "{what}: {total}");
        if number.is_multiple_of(every) {
            node.restart();
            node.seconds += 10;
            let now = node.moment();
            node.keeper().converge(now).unwrap();
            assert!(node.counted() <= moved, "{what}: {} of {moved}", node.counted());
            let kept = crate::journal::kept(&path).unwrap();
            assert_eq!(kept.is_empty(), contents.damage.is_none(), "{what}");
            kept.into_iter().for_each(|file| std::fs::remove_file(file).unwrap());
            started += 1;
        }
    };
    for end in 0..bytes.len() {
        judge(&bytes[..end], &format!("a cut at {end}"), end);
    }
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1 << bit;
            // Behind the header, where there are marks and records, one bit of each byte is enough in the short run.
            if every == 1 || bit == position % 8 {
                judge(&flipped, &format!("bit {bit} of byte {position} flipped"), position);
            }
        }
    }
    assert!(started > 20, "{started}");
}
