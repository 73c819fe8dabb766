//! The kernel's WireGuard between two real hosts, run where the kernel has one: `cargo xtask kernel-test`.
//!
//! Without a harness, because whether there is anything to run is known only when it runs: the machine that builds this
//! may have no kernel WireGuard, and a test that passes there without having run would be a lie.

#![expect(clippy::print_stdout, reason = "a test without a harness tells its results itself")]

#[path = "support/batches.rs"]
mod batches;
#[path = "support/conservation.rs"]
mod conservation;
#[path = "support/life.rs"]
mod life;
#[path = "support/scale.rs"]
mod scale;
#[path = "support/story.rs"]
mod story;
mod support;
#[path = "support/traffic.rs"]
mod traffic;

use support::{Wire, run};
use wiregrant_agent::wireguard::{
    Choice, Ensured, Interface, InterfaceName, WireGuardError, open as open_chosen,
};
use wiregrant_core::usage_report::Backend;

fn open(name: InterfaceName) -> Box<dyn Interface> {
    open_chosen(Choice::Kernel, name).expect("the kernel needs no preparation")
}

fn main() {
    if std::env::var_os("WIREGRANT_KERNEL_WIREGUARD").is_none() {
        println!("kernel: not run here; `cargo xtask kernel-test` runs it on a kernel with WireGuard");
        return;
    }
    through_the_firewall();
    story("a live peer is counted to the byte and never reset", &|| {
        story::a_live_peer_is_counted_to_the_byte_and_never_reset(open, "a");
    });
    story("adopting adds what is missing and nothing else", &|| {
        story::adopting_adds_what_is_missing_and_nothing_else(open, "b");
    });
    story("an interface of somebody else is refused and left alone", &|| {
        story::an_interface_of_somebody_else_is_refused_and_left_alone(open, "c");
    });
    story("a link that was made and never configured is taken", &a_link_without_a_key_is_taken);
    story("a changed port is set without touching a peer", &a_changed_port_is_set_without_touching_a_peer);
    story("the choice takes the kernel", &the_choice_takes_the_kernel);
    story("a thousand peers come, change and go in batches", &|| {
        batches::a_thousand_peers_come_change_and_go_in_batches(open, "g");
    });
    story("a batch keeps the session and counters of a live peer", &|| {
        batches::a_batch_keeps_the_session_and_counters_of_a_live_peer(open, "h");
    });
    story("an update never brings a removed peer back", &|| {
        batches::an_update_never_brings_a_removed_peer_back(open, "i");
    });
    story("a populated interface is deleted by who has its key and by nobody else", &|| {
        batches::a_populated_interface_is_deleted_by_who_has_its_key_and_by_nobody_else(open, "j");
    });
    story("a silent peer is forgotten and comes back counted once", &|| {
        life::a_silent_peer_is_forgotten_and_comes_back_counted_once(open, "q");
    });
    story("forgetting survives kills between all of its steps", &|| {
        life::forgetting_survives_kills_between_all_of_its_steps(open, "r");
    });
    story("an exhausted device leaves and comes back with the month", &|| {
        life::an_exhausted_device_leaves_and_comes_back_with_the_month(open, "s");
    });
    story("what a peer removed by hand moved is counted once", &|| {
        conservation::what_a_peer_removed_by_hand_moved_is_counted_once(open, "t");
    });
    story("a dump under churn lacks nobody who stayed", &|| {
        scale::a_dump_under_churn_lacks_nobody_who_stayed(open, "k");
    });
}

/// Tells how long it took: the machine is slow, and which story makes it so is worth knowing.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock where it measures")]
fn story(name: &str, test: &dyn Fn()) {
    println!("kernel: {name} ...");
    let start = std::time::Instant::now();
    test();
    println!("kernel: {name} ok after {:.1?}", start.elapsed());
}

/// The rules with traffic through the kernel's own WireGuard; what is no matter of the backend is left to the test `firewall`.
fn through_the_firewall() {
    story("traffic flows and comes from the node", &|| {
        traffic::allowed_traffic_flows_and_comes_from_the_node(open, "A");
    });
    story("what must not be reached is refused", &|| {
        traffic::what_must_not_be_reached_is_refused_and_the_node_itself_reaches_it(open, "B");
    });
    story("clients reach neither each other nor the host", &|| {
        traffic::clients_reach_neither_each_other_nor_the_host(open, "C");
    });
    story("the segment size is clamped", &|| {
        traffic::the_segment_size_is_clamped_to_what_fits_the_tunnel(open, "D");
    });
    story("IPv6 never leaks from a node that has none", &|| {
        traffic::ipv6_never_leaks_from_a_node_that_has_none(open, "E");
    });
    story("nftables' own count agrees", &|| {
        traffic::nftables_own_count_agrees_with_true_counters_and_not_with_doubled_ones(open, "G");
    });
}

fn a_link_without_a_key_is_taken() {
    let wire = Wire::new("d");
    let host = &wire.node;
    host.inside(|| {
        run(&format!("ip link add dev {} type wireguard", host.interface));
        let mut backend = open(host.interface.clone());
        backend.ensure_interface(&wire.node_settings()).expect("configured");
        backend.set_peer(&wire.client_public_key(), &wire.client_allowed_ips()).expect("added");
        assert_eq!(backend.peers().expect("the peers").len(), 1);
    });
}

/// Sessions and counters of a live peer go on when the node listens elsewhere.
fn a_changed_port_is_set_without_touching_a_peer() {
    let wire = Wire::new("e");
    let (host, peer) = (&wire.node, wire.client_public_key());
    let mut backend = open(host.interface.clone());
    let mut settings = wire.node_settings();
    host.inside(|| {
        backend.ensure_interface(&settings).expect("made");
        backend.set_peer(&peer, &wire.client_allowed_ips()).expect("added");
    });
    wire.connect_client(open);
    wire.echo(10, "10.9.0.1");
    host.inside(|| {
        let before = backend.peers().expect("the peers");
        settings.listen_port = 51999;
        assert_eq!(backend.ensure_interface(&settings).expect("moved"), Ensured::Adopted);
        assert_eq!(backend.peers().expect("the peers"), before);
        assert_eq!(run(&format!("wg show {} listen-port", host.interface)).trim(), "51999");
        // The other one is taken: the interface stays where it is.
        let _taken = std::net::UdpSocket::bind(("0.0.0.0", 52000)).expect("free");
        settings.listen_port = 52000;
        let error = backend.ensure_interface(&settings).expect_err("taken");
        assert!(matches!(error, WireGuardError::PortTaken { port: 52000, .. }), "{error}");
        assert_eq!(run(&format!("wg show {} listen-port", host.interface)).trim(), "51999");
    });
}

fn the_choice_takes_the_kernel() {
    let wire = Wire::new("f");
    let host = &wire.node;
    host.inside(|| {
        let chosen = open_chosen(Choice::Auto, host.interface.clone()).expect("chosen");
        assert_eq!(chosen.kind(), Backend::Kernel);
        assert!(
            run("ip -brief link show").lines().all(|line| !line.starts_with("wgprobe")),
            "the probe is gone"
        );
    });
}
