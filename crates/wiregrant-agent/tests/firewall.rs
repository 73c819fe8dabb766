//! The firewall around a real tunnel, with real traffic: what passes, what does not, and what is left alone.

mod support;
#[path = "support/traffic.rs"]
mod traffic;

use wiregrant_agent::wireguard::{Choice, Interface, InterfaceName, open as open_chosen};

fn open(name: InterfaceName) -> Box<dyn Interface> {
    open_chosen(Choice::WireGuardGo, name).expect("wireguard-go needs no preparation")
}

#[test]
fn allowed_traffic_flows_and_comes_from_the_node() {
    traffic::allowed_traffic_flows_and_comes_from_the_node(open, "A");
}

#[test]
fn what_must_not_be_reached_is_refused_and_the_node_itself_reaches_it() {
    traffic::what_must_not_be_reached_is_refused_and_the_node_itself_reaches_it(open, "B");
}

#[test]
fn clients_reach_neither_each_other_nor_the_host() {
    traffic::clients_reach_neither_each_other_nor_the_host(open, "C");
}

#[test]
fn the_segment_size_is_clamped_to_what_fits_the_tunnel() {
    traffic::the_segment_size_is_clamped_to_what_fits_the_tunnel(open, "D");
}

#[test]
fn ipv6_never_leaks_from_a_node_that_has_none() {
    traffic::ipv6_never_leaks_from_a_node_that_has_none(open, "E");
}

#[test]
fn a_firewall_that_is_turned_off_leaves_nothing() {
    traffic::a_firewall_that_is_turned_off_leaves_nothing(open, "F");
}

#[test]
fn only_our_own_table_is_written_and_only_when_it_must_be() {
    traffic::only_our_own_table_is_written_and_only_when_it_must_be(open, "G");
}

#[test]
fn without_a_way_out_the_firewall_does_not_stand_and_says_why() {
    traffic::without_a_way_out_the_firewall_does_not_stand_and_says_why(open, "H");
}

#[test]
fn nftables_own_count_agrees_with_true_counters_and_not_with_doubled_ones() {
    traffic::nftables_own_count_agrees_with_true_counters_and_not_with_doubled_ones(open, "I");
}

#[test]
fn a_device_moves_no_more_than_its_rate_each_way() {
    traffic::a_device_moves_no_more_than_its_rate_each_way(open, "J");
}

#[test]
fn all_devices_together_move_no_more_than_the_nodes_rate() {
    traffic::all_devices_together_move_no_more_than_the_nodes_rate(open, "K");
}
