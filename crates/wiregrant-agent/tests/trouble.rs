//! What befalls a machine: a full disk, a wrong clock, a restart, hands on the interface, yesterday's backup. The real agent
//! goes through it on a real wire; nothing is invented, and what is lost is bounded.

#[path = "support/control_plane.rs"]
mod control_plane;
#[path = "support/node.rs"]
mod node;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use node::{Node, desired, reported};
use support::run;
use wiregrant_core::counter::Reading;

/// Between two looks at what does not announce itself.
const LOOK: Duration = Duration::from_millis(50);
/// No state is waited for longer.
const PATIENCE: u32 = 1_200;

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..PATIENCE {
        if condition() {
            return;
        }
        thread::sleep(LOOK);
    }
    panic!("waited in vain until {what}");
}

fn sum(one: Reading, other: Reading) -> Reading {
    Reading { received: one.received + other.received, sent: one.sent + other.sent }
}

fn reported_now(node: &Node) -> Reading {
    node.control_plane.change(|script| reported(script))
}

/// A small disk of its own under a state directory; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Self {
        std::fs::create_dir_all(at).expect("a folder");
        run(&format!("mount -t tmpfs -o size=256k,mode=700 wiregrant-test {}", at.display()));
        Self(at.to_owned())
    }

    /// Takes every byte there is.
    fn fill(&self) {
        let ballast = std::fs::File::create(self.0.join("ballast")).expect("a file");
        let chunk = [0x5a; 1024];
        let mut ballast = std::io::BufWriter::with_capacity(0, ballast);
        while std::io::Write::write_all(&mut ballast, &chunk).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).expect("it is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: an agent of a failed test may still work there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_stops_neither_tunnel_nor_count_and_all_is_written_once_there_is_room() {
    let mut disk = None;
    let mut node = Node::start_on("f", |state| disk = Some(Disk::mount(state)));
    let disk = disk.expect("it was mounted");
    node.admit_client();
    node.wire.echo(50, "10.9.0.1");
    node.reported_equals_wg(Reading::default());

    disk.fill();
    // Something to write comes every second, until the last page is full.
    eventually("status says that the journal cannot be written", || {
        node.wire.echo(3, "10.9.0.1");
        node.status()["journal_error"].is_string()
    });
    let stuck = node.control_plane.change(|script| script.reports.len());
    let device = desired([9; 32].into(), vec!["10.9.0.9/32".parse().expect("an address")]);
    let key = device.public_key.to_string();
    node.control_plane.change(|script| script.peers.push(device));
    node.wire.echo(50, "10.9.0.1");
    // A kill and a start change nothing of that.
    node.kill();
    node.run();
    node.wire.echo(50, "10.9.0.1");
    eventually("the new agent says so too", || {
        node.wire.echo(3, "10.9.0.1");
        node.status()["journal_error"].is_string()
    });
    assert!(!node.peers().contains(&key), "who is new waits for the journal");
    let reports = node.control_plane.change(|script| script.reports.len());
    assert!(reports <= stuck + 1, "a report left that is not in the journal: {stuck} to {reports}");

    disk.free();
    eventually("the new peer is there", || node.peers().contains(&key));
    node.control_plane.change(|script| drop(script.peers.pop()));
    eventually("and gone again", || !node.peers().contains(&key));
    node.wire.echo(5, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
    eventually("all is well", || node.status()["journal_error"].is_null());
    node.kill();
}

#[test]
fn an_agent_whose_clock_is_off_from_its_start_counts_and_signs_nothing_until_it_is_right() {
    let mut node = Node::start("g");
    node.admit_client();
    node.wire.echo(20, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
    node.kill();
    node.control_plane.change(|script| script.ahead_seconds = 150);
    let reports = node.control_plane.change(|script| script.reports.len());
    node.run();
    eventually("status says that the clock is off", || node.status()["clock"] == "off");
    node.wire.echo(20, "10.9.0.1");
    let read = node.wire.seen_by_wg(node.host());
    eventually("the bytes are counted", || {
        let usage = &node.status()["usage"][0];
        let number = |name: &str| usage[name].as_str().map(|n| n.parse::<u64>().expect("a number"));
        number("received") == Some(read.received) && number("sent") == Some(read.sent)
    });
    assert_eq!(node.control_plane.change(|script| script.reports.len()), reports, "nothing is signed");
    node.control_plane.change(|script| script.ahead_seconds = 0);
    node.reported_equals_wg(Reading::default());
    assert_eq!(node.status()["clock"], "good");
}

#[test]
fn a_restart_of_the_machine_costs_what_was_not_read_and_not_a_byte_more() {
    let mut node = Node::start("h");
    node.admit_client();
    node.wire.echo(60, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
    let before = reported_now(&node);
    node.kill();
    // Nobody reads this any more.
    node.wire.echo(7, "10.9.0.1");
    let host = node.host().namespace.clone();
    run(&format!("ip -n {host} link delete dev {}", node.host().interface));

    // Another boot, by the one file that tells it: laid over for the agent alone.
    let boot = node.folder.path().join("boot_id");
    std::fs::write(&boot, "00000000-0000-4000-8000-000000000001\n").expect("written");
    let agent = node.run_command();
    let mut command = Command::new("unshare");
    let script = format!("mount --bind {} /proc/sys/kernel/random/boot_id && exec \"$@\"", boot.display());
    command.args(["--mount", "sh", "-ec", &script, "sh"]).arg(agent.get_program()).args(agent.get_args());
    node.agent = Some(node.host().inside(|| command.spawn()).expect("unshare runs"));
    eventually("the peer is back", || node.peers().contains(&node.wire.client_public_key().to_string()));
    node.reconnect_client();
    // More than before, too: nothing is taken off as if these counters were the old ones.
    node.wire.echo(90, "10.9.0.1");
    node.reported_equals_wg(before);
}

/// Does something to the node's interface while the agent runs, and checks what the count made of it.
fn by_hand(node: &Node, hand: impl FnOnce(&Node)) {
    let read = reported_now(node);
    hand(node);
    let back = || {
        // A deleted interface comes back with the next reading.
        let key = node.wire.client_public_key().to_string();
        eventually("the peer is there", || node.peers().contains(&key));
    };
    back();
    node.reconnect_client();
    let counter = node.wire.seen_by_wg(node.host());
    node.wire.echo(40, "10.9.0.1");
    let moved = node.wire.seen_by_wg(node.host());
    assert!(moved.sent > counter.sent && moved.received > counter.received);
    let reports = node.control_plane.change(|script| script.reports.len());
    node.control_plane.until("two more reports", |script| script.reports.len() > reports + 2);
    let told = reported_now(node);
    let most = sum(read, moved);
    assert!(told.received <= most.received && told.sent <= most.sent, "{told:?} of {most:?}");
    assert!(told.received >= read.received && told.sent >= read.sent, "{told:?} after {read:?}");
    // From the first reading on the count is exact again.
    node.wire.echo(30, "10.9.0.1");
    let later = node.wire.seen_by_wg(node.host());
    let exact = Reading {
        received: told.received + later.received - moved.received,
        sent: told.sent + later.sent - moved.sent,
    };
    node.control_plane.until("what moved since is reported", |script| reported(script) == exact);
}

#[test]
fn hands_on_the_interface_cost_at_most_one_interval_and_invent_nothing() {
    let node = Node::start("i");
    node.admit_client();
    node.wire.echo(60, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
    let interface = node.host().interface.to_string();
    by_hand(&node, |node| {
        let settings = node.folder.path().join("by-hand.conf");
        let text = node.host().inside(|| run(&format!("wg showconf {interface}")));
        std::fs::write(&settings, text).expect("written");
        node.host().inside(|| run(&format!("wg setconf {interface} {}", settings.display())));
    });
    by_hand(&node, |node| {
        let key = node.wire.client_public_key();
        node.host().inside(|| run(&format!("wg set {interface} peer {key} remove")));
    });
    by_hand(&node, |node| {
        run(&format!("ip -n {} link delete dev {interface}", node.host().namespace));
        eventually("the agent has made it anew", || !node.peers().is_empty());
    });
}

#[test]
fn yesterdays_state_directory_takes_over_the_nodes_own_later_head_and_counts_on_exactly() {
    let mut node = Node::start("j");
    node.admit_client();
    node.wire.echo(30, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
    node.stop();
    let (state, backup) = (node.state(), node.folder.path().join("backup"));
    run(&format!("cp -a {} {}", state.display(), backup.display()));
    node.run();
    node.wire.echo(40, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
    // What moves while nobody looks may be lost with the state that knew the counters, and is not counted twice.
    node.stop();
    run(&format!("rm -r {}", state.display()));
    run(&format!("cp -a {} {}", backup.display(), state.display()));
    let (reports, before) = node.control_plane.change(|script| (script.reports.len(), reported(script)));
    node.run();
    node.control_plane.until("it reports again", |script| script.reports.len() > reports + 1);
    assert_eq!(reported_now(&node), before, "nothing moved since");
    node.wire.echo(25, "10.9.0.1");
    // The stand-in ends the test if a number comes with a second text.
    node.reported_equals_wg(Reading::default());
    assert_eq!(node.status()["frozen"], false);
}

#[test]
fn a_journal_of_which_the_disk_lost_the_last_record_is_gone_on_from_and_said_so() {
    let mut node = Node::start("p");
    node.admit_client();
    node.wire.echo(30, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
    node.stop();
    let journal = node.state().join("journal");
    let mut bytes = std::fs::read(&journal).expect("it is there");
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    std::fs::write(&journal, bytes).expect("written");
    node.run();
    node.wire.echo(30, "10.9.0.1");
    node.reported_equals_wg(Reading::default());
    let kept = node.status()["damaged_journals"].as_array().expect("a list").clone();
    assert_eq!(kept.len(), 1, "{kept:?}");
}
