//! `kill -9` in the middle of everything: no byte is lost and none is invented, and the tunnel carries on.

mod support;

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::{LIMIT, Traffic, turn, world};
use testbed::counters::{self, Counters};
use testbed::wait::eventually;
use testbed::world::World;

/// Debian's own interpreter: its `python3-cryptography` is what the tests install.
const PYTHON: &str = "/usr/bin/python3";

/// The longest between two kills: a few reports, and now and then the end of an epoch.
const MILLISECONDS_BETWEEN_KILLS: u64 = 2000;
/// How often an agent is killed: many times within one stretch of traffic.
const AGENT_KILLS: u64 = 50;
/// How often a control plane is killed, which takes longer to come up.
const CONTROL_PLANE_KILLS: u64 = 5;

/// A random number below `limit`.
fn below(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("randomness");
    u64::from_le_bytes(bytes) % limit
}

/// How often things are killed: often enough to see that it holds, or as often as the environment says.
fn kills(in_short: u64) -> u64 {
    if std::env::var_os("WIREGRANT_SOAK").is_some() {
        return 1000;
    }
    std::env::var("WIREGRANT_KILLS")
        .map_or(in_short, |kills| kills.parse().expect("WIREGRANT_KILLS is a number"))
}

/// Fails unless no counter of `now` is below `before`.
fn never_falls(before: Counters, now: Counters) -> Counters {
    assert!(now.received >= before.received && now.sent >= before.sent, "{before:?} fell to {now:?}");
    now
}

/// Lets the traffic go on for a random time: the next kill falls anywhere.
fn some_time(world: &World, traffic: &mut Traffic) {
    for _ in 0..below(MILLISECONDS_BETWEEN_KILLS) / 100 {
        traffic.go_on(world);
        thread::sleep(Duration::from_millis(100));
    }
}

/// Whether the verifier that was written a second time, from the documents alone, finds the record of this world whole. It reads
/// the folder as it lies there: in a moment in which the log grows it may find that a file is gone.
fn second_implementation_holds(world: &World) -> anyhow::Result<bool> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wiregrant/tests/second_implementation.py");
    let mut command = Command::new(PYTHON);
    let output = command.arg("-B").arg(script).arg(world.control_plane.public()).output()?;
    let said = [output.stdout, output.stderr].concat();
    eprintln!("the second implementation: {}", String::from_utf8_lossy(&said));
    Ok(output.status.success())
}

/// After the last byte: everything counted is reported exactly, and the public record holds together.
fn all_is_reported(world: &mut World, traffic: Traffic) {
    let transfers = traffic.finish();
    world.network.pull_peoples_cables().expect("the cables");
    let (node, _) = world.wait_until_reported(LIMIT).expect("all is reported");
    let people = world.clients_counters().expect("the counters");
    // A datagram may be lost on a machine that does much else; one that nobody sent may not be counted.
    assert!(
        people.received <= node.sent && node.received <= people.sent,
        "{people:?} and {node:?} after {transfers} transfers"
    );
    eventually("an epoch's statement in the public folder", LIMIT, &[], || {
        let verify = world.verify()?;
        assert_eq!(verify["result"], "ok", "{verify}");
        Ok(verify["statements"].as_u64().filter(|statements| *statements > 0))
    })
    .expect("epochs have ended meanwhile");
    eventually("a record that the second implementation reads too", LIMIT, &[], || {
        Ok(second_implementation_holds(world)?.then_some(()))
    })
    .expect("what one verifier finds whole, the other does");
}

#[test]
fn an_agent_killed_at_any_moment_loses_no_byte_and_invents_none() {
    let _turn = turn();
    let mut world = world();
    let mut traffic = Traffic::start(&world);
    let mut counted = Counters::default();
    for _ in 0..kills(AGENT_KILLS) {
        // Mostly a moment after the start, in which most is written; now and then after some reports.
        traffic.go_on(&world);
        let longest = 1 + below(MILLISECONDS_BETWEEN_KILLS);
        thread::sleep(Duration::from_millis(below(longest)));
        world.node.kill_9().unwrap();
        counted = never_falls(counted, world.node_counters().unwrap());
        world.node.start(&world.network.node).unwrap();
    }
    all_is_reported(&mut world, traffic);
}

#[test]
fn a_control_plane_killed_under_reports_keeps_every_one_it_acknowledged() {
    let _turn = turn();
    let mut world = world();
    let mut traffic = Traffic::start(&world);
    let mut acknowledged_before_a_kill = 0;
    for _ in 0..kills(CONTROL_PLANE_KILLS) {
        some_time(&world, &mut traffic);
        world.control_plane.kill_9().unwrap();
        let status = world.node.status(&world.network.node).unwrap();
        let acknowledged = status["last_acknowledged"]["sequence"].as_u64().unwrap_or_default();
        world.control_plane.start(&world.network.control).unwrap();
        let kept = world.node_shown().unwrap().sequence;
        assert!(kept >= acknowledged, "{acknowledged} reports were acknowledged, {kept} are there");
        acknowledged_before_a_kill += acknowledged;
        traffic.go_on(&world);
    }
    assert!(acknowledged_before_a_kill > 0, "no report was acknowledged before any kill");
    all_is_reported(&mut world, traffic);
}

/// Bytes that have come over the people's cables: an upper limit of what the node can have sent them.
fn delivered(world: &World) -> u64 {
    let bytes = world.network.people.iter().map(|host| {
        let text = host.exec("cat /sys/class/net/eth0/statistics/rx_bytes").expect("a cable");
        text.trim().parse::<u64>().expect("a number")
    });
    bytes.sum()
}

#[test]
fn an_interface_that_is_reset_or_made_anew_by_hand_invents_nothing() {
    let _turn = turn();
    let mut world = world();
    let node = world.network.node.name().to_owned();
    let traffic = Traffic::start(&world);
    let some = |world: &World, bytes: u64| {
        eventually("some traffic", LIMIT, &[], || Ok((world.node_counters()?.total() >= bytes).then_some(())))
    };
    some(&world, 1_000_000).unwrap();

    // Somebody loads the configuration again: WireGuard drops all peers and begins their counters at zero.
    let settings = world.folder().join("by-hand.conf");
    std::fs::write(&settings, world.network.node.exec(&format!("wg showconf {node}")).unwrap()).unwrap();
    world.network.node.exec(&format!("wg setconf {node} {}", settings.display())).unwrap();
    traffic.finish();

    // Somebody deletes the interface while the agent is away; the next agent makes it anew.
    let traffic = Traffic::start(&world);
    some(&world, 1_000_000).unwrap();
    world.node.stop();
    world.network.node.ip(&format!("link delete dev {node}")).unwrap();
    world.node.start(&world.network.node).unwrap();
    traffic.finish();
    world.network.pull_peoples_cables().unwrap();

    let last = world.node_shown().unwrap().sequence + 2;
    let (agent, control) = (world.node.log(), world.control_plane.log());
    eventually("two more reports", LIMIT, &[&agent, &control], || {
        world.still_runs()?;
        Ok((world.node_shown()?.sequence >= last).then_some(()))
    })
    .unwrap();
    let (reported, people) = (world.reported().unwrap(), counters::read_all(&world.network.people).unwrap());
    assert!(reported.received <= people.sent, "reported {reported:?}, the people's own {people:?}");
    assert!(reported.sent <= delivered(&world), "reported {reported:?}, the people's own {people:?}");
    assert!(reported.total() >= people.total() / 2, "reported {reported:?}, the people's own {people:?}");
    assert_eq!(world.verify().unwrap()["result"], "ok");
}
