//! Copies of a node's state directory. Two agents on them fork: that is kept as evidence, and the node is frozen until a person
//! decides. One agent on yesterday's backup forks nothing: it takes its own later head over.

mod support;

use support::{LIMIT, Traffic, turn, world};
use testbed::process::{self, Process};
use testbed::wait::eventually;
use testbed::world::World;
use wiregrant_core::api::{Evidence, InvitationCreated, Node, NodeState};

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

    // The same as files that convict the node before anybody who has nothing else.
    let files = world.folder().join("evidence");
    let save = ["node", "evidence", &id, "--save", files.to_str().unwrap()];
    process::run(&mut world.admin(&save)).unwrap();
    let saved: Vec<_> = std::fs::read_dir(&files).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!saved.is_empty(), "no file for {evidence:?}");
    let log_key = std::fs::read_to_string(world.control_plane.public().join("log/vkey")).unwrap();
    let verify = |arguments: &[&str]| {
        let mut verify = std::process::Command::new(&world.programs.cli);
        verify.args(["verify", "proof", saved[0].to_str().unwrap()]).args(arguments).output().unwrap()
    };
    let checked = verify(&["--log-key", log_key.trim()]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.contains(&format!("node {id}")), "{said}");
    let text = std::fs::read_to_string(&saved[0]).unwrap();
    std::fs::write(&saved[0], text.replacen("\npeers ", "\npeers 1", 1)).unwrap();
    assert_eq!(verify(&[]).status.code(), Some(1));

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

#[test]
fn a_node_restored_from_yesterdays_backup_adopts_its_own_head_and_is_not_taken_for_a_fraud() {
    let _turn = turn();
    let mut world = world();
    let mut traffic = Traffic::start(&world);
    let (agent, control) = (world.node.log(), world.control_plane.log());
    let logs = [agent.as_path(), &control];
    let mut reach = |world: &mut World, sequence: u64| {
        eventually("more reports", LIMIT, &logs, || {
            traffic.go_on(world);
            world.still_runs()?;
            Ok((world.node_shown()?.sequence >= sequence).then_some(()))
        })
        .unwrap();
    };
    reach(&mut world, 2);

    let (state, backup) = (world.node.state().to_owned(), world.folder().join("backup"));
    world.node.stop();
    process::run(std::process::Command::new("cp").arg("-a").arg(&state).arg(&backup)).unwrap();
    let backed_up_at = world.node_shown().unwrap().sequence;
    world.node.start(&world.network.node).unwrap();
    reach(&mut world, backed_up_at + 3);

    // The disk died; the machine runs on with yesterday's directory and today's counters.
    world.node.kill_9().unwrap();
    std::fs::remove_dir_all(&state).unwrap();
    process::run(std::process::Command::new("cp").arg("-a").arg(&backup).arg(&state)).unwrap();
    let restored_at = world.node_shown().unwrap().sequence;
    world.node.start(&world.network.node).unwrap();
    reach(&mut world, restored_at + 2);

    let shown = world.node_shown().unwrap();
    assert_eq!(shown.state, NodeState::Active);
    assert!(world.ask::<Vec<Evidence>>(&["node", "evidence", &world.node_id.clone()]).unwrap().is_empty());
    traffic.finish();
    // What moved between the last reading and the restoration may be lost. From there on every byte is counted.
    let missing = |world: &World| -> anyhow::Result<u64> {
        let (reported, counted) = (world.reported()?, world.node_counters()?);
        assert!(
            reported.received <= counted.received && reported.sent <= counted.sent,
            "{reported:?}, {counted:?}"
        );
        Ok(counted.total() - reported.total())
    };
    world.network.pull_peoples_cables().unwrap();
    let settled = world.node_shown().unwrap().sequence + 2;
    eventually("the last reports", LIMIT, &logs, || {
        world.still_runs()?;
        Ok((world.node_shown()?.sequence >= settled).then_some(()))
    })
    .unwrap();
    let lost = missing(&world).unwrap();
    let total = world.node_counters().unwrap().total();
    assert!(lost < total / 2, "{lost} of {total} bytes are missing");
    assert_eq!(world.verify().unwrap()["result"], "ok");
}

#[test]
fn a_node_that_changes_its_key_or_loses_it_goes_on_as_the_same_node() {
    let _turn = turn();
    let mut world = world();
    let mut traffic = Traffic::start(&world);
    let (agent, control) = (world.node.log(), world.control_plane.log());
    let logs = [agent.as_path(), &control];
    let mut two_more_reports = |world: &mut World| {
        let now_at = world.node_shown().unwrap().sequence;
        eventually("two more reports", LIMIT, &logs, || {
            traffic.go_on(world);
            world.still_runs()?;
            Ok((world.node_shown()?.sequence >= now_at + 2).then_some(()))
        })
        .unwrap();
    };
    two_more_reports(&mut world);

    let state = world.node.state().to_owned();
    let vkey = |world: &World| -> anyhow::Result<String> {
        let mut rekey = world.network.node.command(&world.programs.agent);
        process::run(rekey.arg("rekey").arg("--state-dir").arg(&state))
    };
    let running = vkey(&world).unwrap_err().to_string();
    assert!(running.contains("another wiregrant-agent"), "{running}");
    // A report that was just on its way has to arrive first, and an agent that is stopped in its first moments sends none.
    let mut rekeyed = None;
    for _ in 0..10 {
        world.node.stop();
        let said = vkey(&world);
        world.node.start(&world.network.node).unwrap();
        match said {
            Ok(said) => {
                rekeyed = Some(said);
                break;
            }
            Err(error) => assert!(error.to_string().contains("not acknowledged yet"), "{error:#}"),
        }
        two_more_reports(&mut world);
    }
    let rekeyed = rekeyed.expect("a moment in which every report is acknowledged");
    assert!(rekeyed.contains(&world.node_id), "{rekeyed}");
    two_more_reports(&mut world);

    // The disk died. People's files name the WireGuard key, of which there was a copy.
    world.node.kill_9().unwrap();
    let wireguard_key = std::fs::read(state.join("wireguard.key")).unwrap();
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("wireguard.key"), wireguard_key).unwrap();
    let invited: InvitationCreated = world.ask(&["node", "invite", &world.node_id.clone()]).unwrap();
    let endpoint = world.node_shown().unwrap().endpoint;
    let mut join = world.network.node.command(&world.programs.agent);
    join.args(["join", &invited.invitation, "--endpoint", &endpoint]);
    join.args(["--interface", world.network.node.name(), "--state-dir"]).arg(&state);
    let joined = process::run(&mut join).unwrap();
    assert!(joined.contains(&world.node_id), "{joined}");
    world.node.start(&world.network.node).unwrap();
    two_more_reports(&mut world);

    let shown = world.node_shown().unwrap();
    assert_eq!(shown.state, NodeState::Active);
    traffic.finish();
    let (reported, counted) = (world.reported().unwrap(), world.node_counters().unwrap());
    assert!(
        reported.received <= counted.received && reported.sent <= counted.sent,
        "{reported:?} of {counted:?}"
    );
    assert_eq!(world.verify().unwrap()["result"], "ok");
}
