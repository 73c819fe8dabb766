//! Devices that are added become live peers, also several at a time, and go again when they are removed.

use std::path::Path;

use testbed::bench::live;
use testbed::programs::Programs;
use testbed::world::World;

/// As many as show that changes which come together are all applied.
const ADDITIONS: usize = 24;

#[test]
fn every_device_that_is_added_becomes_a_live_peer_and_goes_when_it_is_removed() {
    let programs = Programs::beside(Path::new(env!("CARGO_BIN_EXE_testbed"))).unwrap();
    let world = World::new(programs, 1, live::PACE, None, &|_| {}).unwrap();
    for workers in [1, 4] {
        let moments = live::measure(&world, ADDITIONS, workers).unwrap();
        assert_eq!(moments.len(), ADDITIONS);
    }
}
