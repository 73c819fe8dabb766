//! A node whose operator demands a witness, and what the node can show to others over the web.

use std::process::{Command, Output};

use serde_json::Value;
use testbed::process::Process;
use testbed::wait::eventually;
use testbed::world::World;
use testbed::{control_plane, network};

use crate::support::{LIMIT, Traffic, turn, world};

const WITNESS: &str = "127.0.0.1:8090";

/// A witness of both logs in the control plane's host; its key.
fn start_witness(world: &World) -> (Process, String) {
    let host = &world.network.control;
    let mut command = host.command(&world.programs.control);
    command.args(["witness", "--name", "witness.example/w1", "--listen", WITNESS, "--data-dir"]);
    command.arg(world.folder().join("witness"));
    for log in ["log", "reports"] {
        let vkey = std::fs::read_to_string(world.control_plane.public().join(log).join("vkey")).unwrap();
        command.args(["--log", vkey.trim()]);
    }
    let mut process = Process::spawn("witness", &mut command, &world.logs).unwrap();
    let log = process.log().to_owned();
    let vkey = eventually("the witness's key", LIMIT, &[&log], || {
        process.still_runs()?;
        let said = std::fs::read_to_string(&log)?;
        let vkey = said.lines().find_map(|line| line.split_once(" vkey=")).map(|(_, rest)| rest);
        Ok(vkey.and_then(|rest| rest.split(' ').next()).map(str::to_owned))
    });
    (process, vkey.unwrap())
}

fn agent(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.network.node.command(&world.programs.agent);
    command.args(arguments);
    command
}

/// The running agent's own word on the public logs, once it is of this kind.
fn wait_for(world: &mut World, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let logs = [world.node.log(), world.control_plane.log()];
    eventually(what, LIMIT, &[&logs[0], &logs[1]], || {
        world.still_runs()?;
        let status = world.node.status(&world.network.node)?;
        Ok(is(&status["witnessing"]).then(|| status.clone()))
    })
    .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn a_running_node_demands_a_witness_and_shows_anybody_that_its_reports_are_in_the_log() {
    let _turn = turn();
    let mut world = world();
    let mut traffic = Traffic::start(&world);
    let (witness, vkey) = start_witness(&world);
    assert!(world.node.status(&world.network.node).unwrap()["witnessing"].is_null());

    // The control plane asks no witness yet. Who demands one is told, and reports all the same.
    world.node.choose(&format!("[witnesses]\nkeys = [\"{vkey}\"]\n")).unwrap();
    world.node.stop();
    world.node.start(&world.network.node).unwrap();
    let status = wait_for(&mut world, "a missing cosignature", |seen| seen["error"].is_string());
    assert!(status["witnessing"]["error"].as_str().unwrap().contains("witness.example/w1"), "{status}");
    let reported = world.node_shown().unwrap().sequence;
    let logs = [world.node.log(), world.control_plane.log()];
    eventually("reports without a witness", LIMIT, &[&logs[0], &logs[1]], || {
        Ok((world.node_shown()?.sequence > reported).then_some(()))
    })
    .unwrap();

    // Nobody joins a log that lacks it either, and the invitation is not spent by that.
    let invitation = world.invite().unwrap();
    let state = world.folder().join("second-node").display().to_string();
    let endpoint = format!("{}:51821", network::NODE);
    let join = ["join", &invitation, "--endpoint", &endpoint, "--state-dir", &state, "--witness", &vkey];
    let refused = agent(&world, &join).output().unwrap();
    assert!(!refused.status.success() && said(&refused).contains("witness.example/w1"), "{}", said(&refused));

    world.control_plane.ask_witness(&world.network.control, &vkey, &format!("http://{WITNESS}")).unwrap();
    let status =
        wait_for(&mut world, "a cosigned log", |seen| seen["at"].is_string() && seen["error"].is_null());
    assert_eq!(status["evidence"], Value::Array(Vec::new()), "{status}");
    let joined = agent(&world, &join).output().unwrap();
    assert!(joined.status.success(), "{}", said(&joined));

    // Over the web, from the control plane itself: the node's reports are where they were acknowledged, and more of them later.
    let state = world.node.state().display().to_string();
    let url = control_plane::url();
    let prove = |world: &World, more: &[&str]| {
        let fixed = ["prove", &url, "--json", "--state-dir", &state];
        agent(world, &[&fixed, more].concat()).output().unwrap()
    };
    eventually("proven reports", LIMIT, &[&logs[0], &logs[1]], || {
        traffic.go_on(&world);
        let proved = prove(&world, &["--witness", &vkey]);
        if !proved.status.success() {
            // A statement was published a moment ago, and the witness is about to be asked.
            assert!(said(&proved).contains("witness.example/w1"), "{}", said(&proved));
            return Ok(None);
        }
        let proved: Value = serde_json::from_slice(&proved.stdout)?;
        assert_eq!(proved["missing"], Value::Array(Vec::new()), "{proved}");
        Ok((proved["proven"].as_u64() > Some(2)).then_some(()))
    })
    .unwrap();

    traffic.finish();

    // The witness is gone: what is published from then on is not as demanded, and the node says so.
    witness.stop();
    wait_for(&mut world, "a witness that is gone", |seen| seen["error"].is_string());
    assert!(prove(&world, &[]).status.success());
}
