//! `wireguard-go` between two real hosts: what it counts, what resets it, and what it outlives.

#[path = "support/batches.rs"]
mod batches;
#[path = "support/life.rs"]
mod life;
#[path = "support/story.rs"]
mod story;
mod support;

use std::fs;

use support::{Wire, run};
use wiregrant_agent::wireguard::{
    Choice, Ensured, Interface, InterfaceName, WireGuardError, WireGuardGo, open as open_chosen,
};
use wiregrant_core::usage_report::Backend;

fn open(name: InterfaceName) -> Box<dyn Interface> {
    open_chosen(Choice::WireGuardGo, name).expect("wireguard-go needs no preparation")
}

#[test]
fn a_live_peer_is_counted_to_the_byte_and_never_reset() {
    story::a_live_peer_is_counted_to_the_byte_and_never_reset(open, "a");
}

#[test]
fn adopting_adds_what_is_missing_and_nothing_else() {
    story::adopting_adds_what_is_missing_and_nothing_else(open, "b");
}

#[test]
fn an_interface_of_somebody_else_is_refused_and_left_alone() {
    story::an_interface_of_somebody_else_is_refused_and_left_alone(open, "c");
}

#[test]
fn a_thousand_peers_come_change_and_go_in_batches() {
    batches::a_thousand_peers_come_change_and_go_in_batches(open, "i");
}

#[test]
fn a_batch_keeps_the_session_and_counters_of_a_live_peer() {
    batches::a_batch_keeps_the_session_and_counters_of_a_live_peer(open, "j");
}

#[test]
fn an_update_never_brings_a_removed_peer_back() {
    batches::an_update_never_brings_a_removed_peer_back(open, "k");
}

#[test]
fn a_populated_interface_is_deleted_by_who_has_its_key_and_by_nobody_else() {
    batches::a_populated_interface_is_deleted_by_who_has_its_key_and_by_nobody_else(open, "l");
}

#[test]
fn a_silent_peer_is_forgotten_and_comes_back_counted_once() {
    life::a_silent_peer_is_forgotten_and_comes_back_counted_once(open, "q");
}

#[test]
fn forgetting_survives_kills_between_all_of_its_steps() {
    life::forgetting_survives_kills_between_all_of_its_steps(open, "r");
}

#[test]
fn an_exhausted_device_leaves_and_comes_back_with_the_month() {
    life::an_exhausted_device_leaves_and_comes_back_with_the_month(open, "s");
}

/// The session of every process whose command line is this one.
fn sessions(command: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("procfs").filter_map(Result::ok);
    let of_command = processes.filter(|process| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").trim_end() == command
    });
    // The fields after the name in parentheses: state, parent, process group, session.
    let stat = of_command.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
    stat.filter_map(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(3).map(str::to_owned)).collect()
}

#[test]
fn the_process_lives_in_a_session_of_its_own() {
    let wire = Wire::new("d");
    let host = &wire.node;
    host.inside(|| open(host.interface.clone()).ensure_interface(&wire.node_settings())).expect("made");
    let of_process = sessions(&format!("wireguard-go {}", host.interface));
    assert_eq!(of_process.len(), 1, "one process");
    let own = fs::read_to_string("/proc/self/stat").expect("procfs");
    let own = own.rsplit_once(") ").expect("a name").1.split(' ').nth(3).expect("a session").to_owned();
    assert_ne!(of_process[0], own);
}

#[test]
fn a_process_that_was_killed_is_started_anew() {
    let wire = Wire::new("e");
    let host = &wire.node;
    host.inside(|| {
        let mut backend = open(host.interface.clone());
        backend.ensure_interface(&wire.node_settings()).expect("made");
        backend.set_peer(&wire.client_public_key(), &wire.client_allowed_ips()).expect("added");
        // Deleting the link ends the process, as a crash would; its socket file may stay behind.
        run(&format!("ip link delete dev {}", host.interface));
        while backend.peers().is_ok() {
            std::thread::yield_now();
        }
        assert_eq!(backend.ensure_interface(&wire.node_settings()).expect("made anew"), Ensured::Created);
        assert_eq!(backend.peers().expect("the peers"), []);
    });
}

#[test]
fn a_changed_port_is_set_without_touching_a_peer() {
    let wire = Wire::new("f");
    let host = &wire.node;
    host.inside(|| {
        let mut backend = open(host.interface.clone());
        let mut settings = wire.node_settings();
        backend.ensure_interface(&settings).expect("made");
        backend.set_peer(&wire.client_public_key(), &wire.client_allowed_ips()).expect("added");
        settings.listen_port = 51999;
        assert_eq!(backend.ensure_interface(&settings).expect("adopted"), Ensured::Adopted);
        assert_eq!(run(&format!("wg show {} listen-port", host.interface)).trim(), "51999");
        assert_eq!(backend.peers().expect("the peers").len(), 1);
    });
}

#[test]
fn the_same_name_in_another_namespace_is_told_from_an_interface_here() {
    let wire = Wire::new("g");
    let (node, client) = (&wire.node, &wire.client);
    node.inside(|| open(node.interface.clone()).ensure_interface(&wire.node_settings())).expect("made");
    let error = client
        .inside(|| WireGuardGo::new(node.interface.clone()).ensure_interface(&wire.node_settings()))
        .expect_err("it serves the node");
    assert!(matches!(error, WireGuardError::Elsewhere { .. }), "{error}");
}

#[test]
fn the_choice_keeps_the_backend_of_a_live_interface() {
    let wire = Wire::new("h");
    let host = &wire.node;
    host.inside(|| {
        open(host.interface.clone()).ensure_interface(&wire.node_settings()).expect("made");
        let chosen = open_chosen(Choice::Auto, host.interface.clone()).expect("chosen");
        assert_eq!(chosen.kind(), Backend::WireGuardGo);
    });
}
