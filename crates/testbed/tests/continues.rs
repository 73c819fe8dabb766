//! The tail of the log lost for good: a control plane goes on under another origin from an old backup, the agent follows by itself
//! and sends what the backup lacks, and the money goes on, each byte counted once.

#![allow(clippy::unwrap_used, reason = "what cannot be had in a test fails it, in its helpers too")]

#[allow(dead_code, reason = "its grant withholds numbers, and this test has one of its own")]
mod support;

use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::{LIMIT, Traffic, programs, turn};
use testbed::control_plane::ORIGIN;
use testbed::node::Pace;
use testbed::process;
use testbed::wait::eventually;
use testbed::world::{GRANT, OPERATOR, World};
use wiregrant_core::api::{Batch, Grant, LineStanding, StatementLine};

const NEW_ORIGIN: &str = "grants.example/record-2";
/// A coin of nobody: the transaction that spends it is not signed here.
const COIN: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a:0:2000000000:\
                    bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080\n";
const CHANGE: &str = "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6";

/// A world whose statements show what two people moved: elsewhere a number is withheld while so few stand behind it.
fn world() -> World {
    let pace = Pace { sample_seconds: 1, report_seconds: 1 };
    let mut world = World::new(programs(), 2, pace, None, &|_| {}).unwrap();
    let words = "--start now+10s --epochs 10000 --epoch-seconds 7 --unit-bytes 1MB --floor 0 --minimum-payout-sats 1000 \
                 --close-delay-seconds 0 --challenge-seconds 0";
    let words: Vec<&str> =
        ["grant", "create", GRANT, "--title", "Spring"].into_iter().chain(words.split_whitespace()).collect();
    process::run(&mut world.admin(&words)).unwrap();
    process::run(&mut world.admin(&["grant", "contribute", GRANT, "100000000"])).unwrap();
    process::run(&mut world.admin(&["grant", "admit", GRANT, &world.node_id])).unwrap();
    let grant: Grant = world.ask(&["grant", "show", GRANT]).unwrap();
    world.connect_people().unwrap();
    world.await_first_epoch(&grant.terms.schedule()).unwrap();
    world
}

/// A command of the control plane's program, on this world's configuration.
fn control(world: &World, words: &[&str]) -> anyhow::Result<String> {
    let mut command = world.network.control.command(&world.programs.control);
    let config = world.folder().join("control/wiregrant-control.toml");
    process::run(command.args(words).arg("--config").arg(config))
}

fn reach(world: &mut World, traffic: &mut Traffic, sequence: u64) {
    let (agent, control) = (world.node.log(), world.control_plane.log());
    eventually("more reports", LIMIT, &[&agent, &control], || {
        traffic.go_on(world);
        world.still_runs()?;
        Ok((world.node_shown()?.sequence >= sequence).then_some(()))
    })
    .unwrap();
}

fn statements(world: &World) -> u64 {
    let verify = world.verify().unwrap();
    assert_eq!(verify["result"], "ok", "{verify}");
    verify["statements"].as_u64().unwrap()
}

/// Waits until the public record has more statements than `before`, every one of which verifies.
fn more_statements(world: &mut World, traffic: &mut Traffic, before: u64) -> u64 {
    let (agent, control) = (world.node.log(), world.control_plane.log());
    eventually("one more statement", LIMIT, &[&agent, &control], || {
        traffic.go_on(world);
        world.still_runs()?;
        thread::sleep(Duration::from_millis(200));
        Ok(Some(statements(world)).filter(|now| *now > before))
    })
    .unwrap()
}

#[test]
fn a_tail_that_nobody_has_ends_the_origin_and_its_nodes_go_on_under_the_next_one() {
    let _turn = turn();
    let mut world = world();
    let mut traffic = Traffic::start(&world);
    let first = more_statements(&mut world, &mut traffic, 0);
    // The log key that the agent pinned is another one by now: it follows both ways, from key to key and from origin to origin.
    world.control_plane.change_log_key(&world.network.control).unwrap();
    let first = more_statements(&mut world, &mut traffic, first);
    let backup = world.folder().join("backup.db");
    let backup = backup.to_str().unwrap().to_owned();
    control(&world, &["backup", "--to", &backup]).unwrap();
    let backed_up_at = world.node_shown().unwrap().sequence;
    // What comes now is acknowledged, published and seen by others, and then the disk is gone with all of it.
    reach(&mut world, &mut traffic, backed_up_at + 3);
    let lost = more_statements(&mut world, &mut traffic, first);
    let checkpoint = std::fs::read(world.control_plane.public().join("log/checkpoint")).unwrap();
    world.control_plane.kill_9().unwrap();
    let status = world.node.status(&world.network.node).unwrap();
    let acknowledged = status["last_acknowledged"]["sequence"].as_u64().unwrap();
    let data = world.folder().join("control");
    for file in ["wiregrant.db", "wiregrant.db-wal", "wiregrant.db-shm"] {
        let _ = std::fs::remove_file(data.join(file));
    }
    std::fs::remove_dir_all(world.control_plane.public()).unwrap();

    control(&world, &["restore", "--from", &backup]).unwrap();
    let refused = format!("{:#}", control(&world, &["catch-up"]).unwrap_err());
    assert!(refused.contains("new-origin"), "{refused}");
    // Somebody has a checkpoint, and nobody what it speaks of.
    let seen = world.folder().join("seen");
    std::fs::write(&seen, checkpoint).unwrap();
    let told = control(&world, &["new-origin", NEW_ORIGIN, "--seen", seen.to_str().unwrap()]).unwrap();
    assert!(told.contains(&format!("opened        {NEW_ORIGIN}")), "{told}");
    let config = data.join("wiregrant-control.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(&format!("\"{ORIGIN}\""), &format!("\"{NEW_ORIGIN}\""))).unwrap();
    world.control_plane.start(&world.network.control).unwrap();

    // The agent was never stopped. It follows, sends again what was lost, and goes on.
    reach(&mut world, &mut traffic, acknowledged + 2);
    let node = std::fs::read_to_string(world.node.state().join("node.json")).unwrap();
    let node: Value = serde_json::from_str(&node).unwrap();
    assert_eq!((node["log"].as_str(), node["former_logs"][0].as_str()), (Some(NEW_ORIGIN), Some(ORIGIN)));
    let verify = world.verify().unwrap();
    let not_checked = verify["not_checked"].to_string();
    assert!(
        verify["result"] == "ok" && not_checked.contains(ORIGIN),
        "who saw more of the old log: {verify}"
    );
    more_statements(&mut world, &mut traffic, lost);

    let transfers = traffic.finish();
    world.network.pull_peoples_cables().unwrap();
    let (counted, reported) = world.wait_until_reported(LIMIT).unwrap();
    assert_eq!(counted, reported, "every byte, also what was acknowledged and lost");
    let people = world.clients_counters().unwrap();
    assert!(
        people.received <= counted.sent && counted.received <= people.sent,
        "{people:?} and {counted:?} after {transfers} transfers"
    );
    pays(&mut world);
    let credited: u64 = world
        .statements()
        .unwrap()
        .iter()
        .flat_map(|statement| statement.nodes.values())
        .map(|line| line.units.map_or(0, |units| units.get() * 1_000_000))
        .sum();
    assert!(credited > 0 && credited <= counted.total(), "{credited} of {counted:?}");
    assert_eq!(statements(&world), world.statements().unwrap().len() as u64);
}

/// What may have been paid in what was lost is held until somebody releases it; then all is in one batch, once.
fn pays(world: &mut World) {
    let lines: Vec<StatementLine> = world.ask(&["line", "list", GRANT]).unwrap();
    let held: Vec<_> = lines.iter().filter(|line| line.standing == LineStanding::Held).collect();
    assert!(!held.is_empty() && held[0].decisions[0].reason == "new-origin", "{lines:?}");
    let (coins, psbt) = (world.folder().join("coins"), world.folder().join("batch.psbt"));
    std::fs::write(&coins, COIN).unwrap();
    let create = |world: &World, batch: &str| {
        let files = [coins.to_str().unwrap(), psbt.to_str().unwrap()];
        let words = ["batch", "create", batch, "--grant", GRANT, "--coins", files[0], "--change", CHANGE];
        world.ask::<Batch>(&[&words[..], &["--fee-rate", "5", "--psbt-out", files[1]]].concat())
    };
    let first = create(world, "after").unwrap();
    assert!(held.iter().all(|held| first.payouts.iter().all(|line| line.epoch != held.epoch)));
    let epoch = held[0].epoch.to_string();
    process::run(&mut world.admin(&["line", "release", GRANT, &epoch, OPERATOR, "not-paid"])).unwrap();
    let _ = std::fs::remove_file(&psbt);
    let second = create(world, "released").unwrap();
    assert!(second.payouts.iter().any(|line| line.epoch == held[0].epoch), "{second:?}");
    let both = first.payouts.iter().chain(&second.payouts).map(|line| line.epoch);
    let mut epochs: Vec<u64> = both.collect();
    let all = epochs.len();
    epochs.sort_unstable();
    epochs.dedup();
    assert_eq!(epochs.len(), all, "no line is in two batches");
    // The funder finds the address that was signed for the origin before.
    let note = world.folder().join("batch.note");
    std::fs::write(&note, &second.note).unwrap();
    let destinations = world.folder().join("destinations");
    std::fs::write(&destinations, second.destinations.concat()).unwrap();
    let others = world.folder().join("others");
    std::fs::write(&others, &first.note).unwrap();
    let public = testbed::control_plane::url();
    let mut check = world.admin(&["payout", "check", psbt.to_str().unwrap(), "--change", CHANGE]);
    check.args(["--public", &public, "--batch-note"]).arg(&note);
    check.arg("--state-dir").arg(world.folder().join("funder"));
    check.arg("--destinations").arg(&destinations).arg("--others").arg(&others);
    eventually("the batch in the public record", LIMIT, &[], || {
        let output: std::process::Output = Command::output(&mut check)?;
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        if said.contains("found none of this id") {
            return Ok(None);
        }
        anyhow::ensure!(output.status.success(), "{said}");
        Ok(Some(()))
    })
    .unwrap();
}
