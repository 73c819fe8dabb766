//! Two agents with one node's keys: the fork is kept as evidence, the node is frozen, and goes on once a person has decided.

mod support;

use support::{LIMIT, Traffic, turn, world};
use testbed::process::{self, Process};
use testbed::wait::eventually;
use wiregrant_core::api::{Evidence, Node, NodeState};

#[test]
fn two_agents_with_one_key_freeze_the_node_until_a_person_decides() {
    let _turn = turn();
    let mut world = world();
    let mut traffic = Traffic::start(&world);
    let (agent, control) = (world.node.log(), world.control_plane.log());
    eventually("a first report", LIMIT, &[&agent, &control], || {
        Ok((world.node_shown()?.sequence > 0).then_some(()))
    })
    .unwrap();

    // Somebody restores a backup of the node onto a second machine and leaves the first one running.
    world.node.stop();
    let copy = world.folder().join("agent-copy");
    let mut cp = std::process::Command::new("cp");
    process::run(cp.arg("-a").arg(world.node.state()).arg(&copy)).unwrap();
    let host = &world.network.node;
    world.node.start(host).unwrap();
    let second = Process::spawn("agent-copy", &mut world.node.run_command(host, &copy), &world.logs).unwrap();
    let second_log = second.log().to_owned();
    let logs = [agent.as_path(), &second_log, &control];
    eventually("a frozen node", LIMIT, &logs, || {
        traffic.go_on(&world);
        Ok((world.node_shown()?.state == NodeState::Frozen).then_some(()))
    })
    .unwrap();

    let id = world.node_id.clone();
    let evidence: Vec<Evidence> = world.ask(&["node", "evidence", &id]).unwrap();
    let fork = evidence.first().expect("evidence of the fork");
    assert_ne!(fork.accepted, fork.other);
    for text in [&fork.accepted, &fork.other] {
        assert!(text.contains(&format!("\nsequence {}\n", fork.sequence)), "{text}");
        assert!(text.contains(&format!("\nnode {id}\n")), "{text}");
    }

    // The person ends the second agent and lets the node in again: it goes on from what was accepted.
    let frozen_at = world.node_shown().unwrap().sequence;
    second.stop();
    let thawed: Node = world.ask(&["node", "unfreeze", &id]).unwrap();
    assert_eq!(thawed.state, NodeState::Active);
    traffic.finish();
    eventually("reports of the thawed node", LIMIT, &logs, || {
        Ok((world.node_shown()?.sequence >= frozen_at + 2).then_some(()))
    })
    .unwrap();
    let (reported, counted) = (world.reported().unwrap(), world.node_counters().unwrap());
    assert!(
        reported.received <= counted.received && reported.sent <= counted.sent,
        "{reported:?} of {counted:?}"
    );
    assert_eq!(world.verify().unwrap()["result"], "ok");
}
