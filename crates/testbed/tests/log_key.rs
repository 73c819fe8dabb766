//! Another log key, with the real binaries: a running agent follows it, one that was away over two changes follows both, what was
//! acknowledged under former keys stays proven, and whoever verified before verifies on.

mod support;

use std::process::Command;

use serde_json::Value;
use support::{LIMIT, Traffic, turn, world};
use testbed::control_plane;
use testbed::network::NODE;
use testbed::process;
use testbed::wait::eventually;
use testbed::world::World;

fn agent(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.network.node.command(&world.programs.agent);
    command.args(arguments);
    command
}

fn published_key(world: &World) -> String {
    std::fs::read_to_string(world.control_plane.public().join("log/vkey")).expect("a key").trim().to_owned()
}

#[test]
fn an_agent_follows_the_log_key_also_over_two_changes_and_proves_what_was_acknowledged_before() {
    let _turn = turn();
    let mut world = world();
    let mut traffic = Traffic::start(&world);
    let (agent_log, control_log) = (world.node.log(), world.control_plane.log());
    let logs = [agent_log.as_path(), &control_log];
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
    assert_eq!(world.verify().unwrap()["result"], "ok");
    let state = world.node.state().to_owned();
    let kept = |world: &World| -> Vec<Value> {
        let path = world.node.state().join("log-keys.json");
        std::fs::read(path).map_or_else(|_| Vec::new(), |bytes| serde_json::from_slice(&bytes).unwrap())
    };
    assert!(kept(&world).is_empty());
    let first = published_key(&world);
    let invited_before = world.invite().unwrap();

    let second = world.control_plane.change_log_key(&world.network.control).unwrap();
    assert_ne!(first, second);
    assert_eq!(published_key(&world), second);
    two_more_reports(&mut world);
    assert_eq!(kept(&world).len(), 1);

    // Away over two changes, the first of which nobody but public files has seen.
    world.node.kill_9().unwrap();
    world.control_plane.change_log_key(&world.network.control).unwrap();
    let newest = world.control_plane.change_log_key(&world.network.control).unwrap();
    world.node.start(&world.network.node).unwrap();
    two_more_reports(&mut world);
    assert_eq!(kept(&world).len(), 3);
    assert_eq!(published_key(&world), newest);

    // Reports of before the first change are in the log that the newest key signs.
    let (url, state) = (control_plane::url(), state.display().to_string());
    let proved = eventually("proven reports", LIMIT, &logs, || {
        world.still_runs()?;
        let output = agent(&world, &["prove", &url, "--json", "--state-dir", &state]).output()?;
        let proved: Value = serde_json::from_slice(&output.stdout)?;
        Ok((proved["proven"].as_u64() > Some(4)).then_some(proved))
    })
    .unwrap();
    assert_eq!(proved["missing"], Value::Array(Vec::new()), "{proved}");
    traffic.finish();
    assert_eq!(world.verify().unwrap()["result"], "ok", "whoever saw it under the first key");

    // Who was invited before all of it joins under the key that the first one led to.
    let state = world.folder().join("late");
    let mut join = agent(&world, &["join", &invited_before, "--endpoint", &format!("{NODE}:51999")]);
    process::run(join.args(["--interface", "wglate0", "--state-dir"]).arg(&state)).unwrap();
    let joined = std::fs::read_to_string(state.join("node.json")).unwrap();
    let joined: Value = serde_json::from_str(&joined).unwrap();
    assert_eq!(joined["log_vkey"], Value::String(newest));
}
