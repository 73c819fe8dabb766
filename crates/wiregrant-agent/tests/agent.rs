//! The whole agent as a process, on a real wire: it joins, serves, counts, reports, and is killed.

#[path = "support/control_plane.rs"]
mod control_plane;
#[path = "support/node.rs"]
mod node;
#[path = "support/socks5.rs"]
mod socks5;
mod support;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use control_plane::{Script, Version};
use node::{Node, desired, reported};
use support::run;
use wiregrant_agent::clock;
use wiregrant_core::Bytes;
use wiregrant_core::allotment::Level;
use wiregrant_core::api::{Membership, Pause};
use wiregrant_core::counter::Reading;
use wiregrant_core::epoch::Schedule;
use wiregrant_core::note::Signed;
use wiregrant_core::peer::DesiredPeer;
use wiregrant_core::usage_report::{Class, Service};

#[test]
fn a_reload_asked_for_while_the_agent_still_starts_does_not_end_it() {
    let folder = tempfile::tempdir().unwrap();
    // Reading a pipe as its configuration holds the start up until something is written.
    let config = folder.path().join("agent.toml");
    run(&format!("mkfifo {}", config.display()));
    let mut agent = Command::new(env!("CARGO_BIN_EXE_wiregrant-agent"));
    agent.args(["run", "--state-dir"]).arg(folder.path()).arg("--config").arg(&config);
    let agent = agent.stderr(Stdio::piped()).spawn().unwrap();
    // Returns when the agent has opened the other end.
    let held_up = OpenOptions::new().write(true).open(&config).unwrap();
    run(&format!("kill -HUP {}", agent.id()));
    drop(held_up);
    let output = agent.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("has not joined"), "{said}");
}

#[test]
fn every_byte_is_reported_once_through_kills_and_a_removal() {
    let mut node = Node::start("k");
    node.admit_client();
    node.wire.echo(100, "10.9.0.1");
    node.reported_equals_wg(Reading::default());

    for round in 0..3 {
        node.kill();
        // The tunnel carries on while nobody looks.
        node.wire.echo(50 + round, "fd09::1");
        node.run();
        node.wire.echo(50, "10.9.0.1");
        node.reported_equals_wg(Reading::default());
    }

    // Removed and admitted again: the peer begins at zero, the node's totals do not.
    let before = node.wire.seen_by_wg(node.host());
    node.control_plane.change(|script| script.peers.clear());
    while !node.peers().is_empty() {
        std::thread::yield_now();
    }
    run(&format!("ip -n {} link delete dev {}", node.wire.client.namespace, node.wire.client.interface));
    node.admit_client();
    node.wire.echo(40, "10.9.0.1");
    node.reported_equals_wg(before);

    node.stop();
    assert_eq!(
        node.peers().trim(),
        node.wire.client_public_key().to_string(),
        "the tunnel outlives the agent"
    );
    node.wire.echo(5, "10.9.0.1");
}

#[test]
fn a_control_plane_of_the_minor_version_before_or_after_is_served_and_reported_to() {
    for (label, version) in [("x", Version::Before), ("y", Version::After)] {
        let mut node = Node::start_under(label, version, |_| ());
        let start = clock::now().wall.plus_seconds(3_600);
        node.control_plane.change(|script| {
            script.membership = Some(Membership {
                grant: "g".parse().expect("an id"),
                node: "node-1".parse().expect("an id"),
                schedule: Schedule { start, epoch_seconds: 3_600, epochs: 3 },
                first_epoch: 1,
                end_epoch: None,
                peer_caps: std::collections::BTreeMap::new(),
            });
        });
        node.admit_client();
        node.wire.echo(30, "10.9.0.1");
        node.reported_equals_wg(Reading::default());
        // It asks for its head when it starts, and says how it is.
        node.kill();
        node.run();
        node.wire.echo(20, "10.9.0.1");
        node.reported_equals_wg(Reading::default());
        node.control_plane.until("its condition was told", |script| !script.conditions.is_empty());
        let before = node.wire.seen_by_wg(node.host());
        node.control_plane.change(|script| script.peers.clear());
        while !node.peers().is_empty() {
            std::thread::yield_now();
        }
        node.control_plane.until("what it served stays reported", |script| reported(script) == before);
    }
}

#[test]
fn a_report_whose_answer_was_lost_is_sent_again_unchanged() {
    let node = Node::start("l");
    node.admit_client();
    node.control_plane.until("a report came", |script| !script.reports.is_empty());
    // `accept` ends the test when a sequence number comes with another text.
    node.control_plane.change(|script| script.lost_answers = 2);
    node.wire.echo(20, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
    node.control_plane.until("all answers were lost and made good", |script| script.lost_answers == 0);
}

#[test]
fn each_epoch_ends_with_a_report_at_its_boundary() {
    let node = Node::start("m");
    let start = clock::now().wall.plus_seconds(2);
    node.control_plane.change(|script| {
        script.membership = Some(Membership {
            grant: "g".parse().expect("an id"),
            node: "node-1".parse().expect("an id"),
            schedule: Schedule { start, epoch_seconds: 3, epochs: 3 },
            first_epoch: 1,
            end_epoch: None,
            peer_caps: std::collections::BTreeMap::new(),
        });
    });
    node.control_plane.until("the grant is over", |script| {
        let labels = script.reports.iter().map(|report| report.content().epoch.as_ref().map(|e| e.number));
        labels.skip_while(Option::is_none).any(|label| label.is_none())
    });
    let closings = node.control_plane.change(|script| {
        let closing = |number| {
            let reports = script.reports.iter().map(Signed::content);
            let of_epoch = reports.filter(|report| report.epoch.as_ref().is_some_and(|e| e.number == number));
            of_epoch.map(|report| report.end).max()
        };
        [closing(1), closing(2), closing(3)]
    });
    assert_eq!(closings, [3, 6, 9].map(|seconds| Some(start.plus_seconds(seconds))));
}

#[test]
fn a_state_directory_older_than_the_nodes_reports_takes_their_totals_over() {
    let mut node = Node::start("n");
    node.admit_client();
    node.wire.echo(30, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
    node.kill();
    // As after the restoration of a snapshot from before the first report.
    std::fs::remove_file(node.state().join("journal")).expect("it is there");
    let before = node.control_plane.change(|script| reported(script));
    node.run();
    let reports = node.control_plane.change(|script| script.reports.len());
    node.control_plane.until("it reports again", |script| script.reports.len() > reports + 1);
    assert_eq!(node.control_plane.change(|script| reported(script)), before, "nothing moved since");
    node.wire.echo(30, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
}

#[test]
fn a_frozen_node_or_one_whose_clock_is_off_counts_on_and_reports_when_it_may() {
    let node = Node::start("o");
    node.admit_client();
    node.control_plane.until("a report came", |script| !script.reports.is_empty());
    for (disturb, mend) in [
        (
            (|script| script.frozen = true) as fn(&mut Script),
            (|script| script.frozen = false) as fn(&mut Script),
        ),
        (|script| script.ahead_seconds = 86_400, |script| script.ahead_seconds = 0),
    ] {
        node.control_plane.change(disturb);
        let mut status = node.status();
        while status["frozen"] == false && status["clock"] != "off" {
            status = node.status();
        }
        let reports = node.control_plane.change(|script| script.reports.len());
        node.wire.echo(20, "10.9.0.1");
        assert_eq!(node.control_plane.change(|script| script.reports.len()), reports);
        assert_eq!((&status["running"], &status["peers_live"]), (&true.into(), &1.into()));
        node.control_plane.change(mend);
        node.reported_equals_wg(Reading::default());
    }
}

#[test]
fn the_control_plane_is_told_levels_and_pauses() {
    let node = Node::start("p");
    node.admit_client_with(Bytes::new(100_000).expect("bytes"));
    let level = |script: &Script| {
        let told = script.conditions.iter().flat_map(|condition| &condition.levels);
        told.last().map(|device| device.level)
    };
    node.control_plane.until("everything is left", |script| level(script) == Some(Level::OverHalf));
    node.wire.echo(30, "10.9.0.1");
    node.control_plane.until("less than half is left", |script| level(script) == Some(Level::UnderHalf));
    assert_eq!(node.status()["levels"], serde_json::json!({ "under-half": 1 }));

    // The hours of the budget are others than this one.
    let hour = clock::now().wall.second_of_day() / 3600;
    node.reconfigure(&format!("budget.hours = \"{:02}:00-{:02}:00\"\n", (hour + 2) % 24, (hour + 3) % 24));
    let paused = |script: &Script| script.conditions.last().and_then(|condition| condition.paused);
    node.control_plane.until("it pauses", |script| paused(script) == Some(Pause::Hours));
    assert_eq!(node.peers(), "");
    assert_eq!(node.status()["paused"], "hours");
    node.reconfigure("");
    node.control_plane.until("it serves again", |script| paused(script).is_none());
    assert_eq!(node.peers().trim(), node.wire.client_public_key().to_string());
    let told = node.control_plane.change(|script| script.conditions.clone());
    assert!(told.windows(2).all(|two| two[0] != two[1]), "nothing is told twice: {told:?}");
}

/// All files under a folder.
fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
}

#[test]
fn nothing_that_the_agent_keeps_says_or_sends_tells_where_a_client_was_or_when_it_came() {
    let mut node = Node::start("q");
    node.kill();
    node.run_with_a_log();
    node.admit_client();
    node.wire.echo(30, "10.9.0.1");
    let column = |node: &Node, what: &str| {
        let shown = node.host().inside(|| run(&format!("wg show {} {what}", node.host().interface)));
        // While it is made anew there is no peer.
        shown.split_whitespace().nth(1).unwrap_or_default().to_owned()
    };
    let (endpoint, handshake) = (column(&node, "endpoints"), column(&node, "latest-handshakes"));
    assert!(endpoint.starts_with("192.0.2.2:") && handshake.len() == 10, "{endpoint} {handshake}");
    node.control_plane.until("it is reported", |script| reported(script).received > 30_000);
    node.reconfigure("idle_seconds = 1\n");
    while column(&node, "endpoints") != "(none)" {
        std::thread::yield_now();
    }
    node.kill();
    node.run_with_a_log();
    let reports = node.control_plane.change(|script| script.reports.len());
    node.control_plane.until("it reports again", |script| script.reports.len() > reports);
    let status = node.host().inside(|| node.command("status").output()).expect("it runs").stdout;
    let status_json = node.status().to_string();
    node.stop();

    let mut artefacts: Vec<(String, Vec<u8>)> = files_under(node.folder.path())
        .into_iter()
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("read")))
        .collect();
    artefacts.push(("status".into(), status));
    artefacts.push(("status --json".into(), status_json.into()));
    let asked = node.control_plane.change(|script| script.asked.join(""));
    artefacts.push(("what was sent".into(), asked.into()));
    let found = |needle: &[u8]| {
        let having = artefacts.iter().filter(|(_, bytes)| bytes.windows(needle.len()).any(|at| at == needle));
        having.map(|(name, _)| name.as_str()).collect::<Vec<_>>()
    };
    assert!(found(b"192.0.2.1:51820").len() >= 3, "the search finds what is there");
    assert!(found(b"sample").iter().any(|name| name.ends_with("journal")), "the journal is searched");
    for needle in ["192.0.2.2", "192, 0, 2, 2", "192,0,2,2", "c0000202", &endpoint, &handshake] {
        assert_eq!(found(needle.as_bytes()), [""; 0], "{needle}");
    }
}

/// The totals of the last accepted report for assigned devices at the SOCKS5 service.
fn reported_of_socks5(script: &Script) -> Option<Reading> {
    let usage = script.reports.last()?.content().usage.get(&(Service::Socks5, Class::Assigned)).copied()?;
    assert_eq!(usage.creditable.get(), usage.received.get() + usage.sent.get());
    Some(Reading { received: usage.received.get(), sent: usage.sent.get() })
}

#[test]
fn the_socks5_service_is_metered_to_the_byte_through_its_kill_a_removal_and_its_end() {
    let node = Node::start("q");
    let socket = socks5::Service::socket(node.folder.path());
    // It listens to signals by then.
    node.control_plane.until("a report came", |script| !script.reports.is_empty());
    node.reconfigure(&format!("socks5.socket = \"{}\"\n", socket.display()));
    let client = desired(node.wire.client_public_key(), node.wire.client_allowed_ips());
    let peer = DesiredPeer { socks5: Some(socks5::login()), ..client };
    node.control_plane.change(|script| script.peers = vec![peer.clone()]);
    let reports = |node: &Node, received: u64, sent: u64| {
        node.control_plane.until("the reports say what the client moved through SOCKS5", |script| {
            reported_of_socks5(script) == Some(Reading { received, sent })
        });
    };
    let service = socks5::Service::start(&node.wire, node.folder.path());
    let mut connection = socks5::Connection::open(&node.wire);
    connection.talk(100_003, 2_000_005);
    reports(&node, 100_003, 2_000_005);

    // Another run's counters begin at zero, and more moves than before.
    service.kill_9();
    let service = socks5::Service::start(&node.wire, node.folder.path());
    let mut connection = socks5::Connection::open(&node.wire);
    connection.talk(200_000, 2_000_005);
    reports(&node, 300_003, 4_000_010);

    // Who is removed is cut, and what moved until then is counted.
    connection.talk(11, 13);
    node.control_plane.change(|script| script.peers.clear());
    connection.until_cut();
    reports(&node, 300_014, 4_000_023);

    node.control_plane.change(|script| script.peers = vec![peer]);
    let mut connection = socks5::Connection::open(&node.wire);
    connection.talk(17, 19);
    service.end();
    connection.until_cut();
    reports(&node, 300_031, 4_000_042);

    taken_down_it_serves_nobody_and_what_it_counted_is_kept(
        node,
        &format!("socks5.socket = \"{}\"\n", socket.display()),
    );
}

/// What moved after the agent's end is counted when a node is taken down, also where its interface is gone already.
fn taken_down_it_serves_nobody_and_what_it_counted_is_kept(mut node: Node, with_socks5: &str) {
    let taken_down = |node: &Node| {
        let config = node.configure(with_socks5);
        let mut down = node.command("down");
        let output = node.host().inside(|| down.arg("--config").arg(config).output()).expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).contains("serves nobody any more")
    };
    let mut all = Reading { received: 300_031, sent: 4_000_042 };
    for (deleted, up, down) in [(false, 23, 29), (true, 31, 37)] {
        let service = socks5::Service::start(&node.wire, node.folder.path());
        let mut connection = socks5::Connection::open(&node.wire);
        node.stop();
        connection.talk(up, down);
        all = Reading { received: all.received + up as u64, sent: all.sent + down as u64 };
        if deleted {
            let host = node.host();
            run(&format!("ip -n {} link delete dev {}", host.namespace, host.interface));
        }
        assert!(taken_down(&node), "interface deleted before: {deleted}");
        connection.until_cut();
        // Nothing is left to wait for, and nothing to be done once more.
        service.end();
        assert!(!taken_down(&node));
        node.run();
        node.control_plane.until("what was counted when it was taken down is reported", |script| {
            reported_of_socks5(script) == Some(all)
        });
        node.reconfigure(with_socks5);
    }
}
