//! The firewall around a real tunnel, with real traffic: what passes, what does not, and what is left alone.

mod support;
#[path = "support/traffic.rs"]
mod traffic;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use support::{Host, run};
use traffic::{PORT, PUBLIC, SILENCE, World};
use wiregrant_agent::config::{Budget, Firewall as Choices};
use wiregrant_agent::host::firewall;
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
fn nftables_own_count_agrees_with_true_counters_and_not_with_doubled_ones() {
    traffic::nftables_own_count_agrees_with_true_counters_and_not_with_doubled_ones(open, "I");
}

#[test]
fn a_firewall_that_is_turned_off_leaves_nothing() {
    let world = World::new(open, "F", true);
    let node = &world.wire.node;
    let before = (world.ruleset(), forwarding(node));
    assert_eq!(before, (String::new(), "0\n0\n".to_owned()));
    let mut firewall = world.firewall(Choices { enabled: false, ..Choices::default() }, Budget::default());
    node.inside(|| firewall.ensure()).expect("nothing to do");
    assert!(firewall.stands(), "the operator sees to it");
    assert_eq!((world.ruleset(), forwarding(node)), before);
}

fn forwarding(host: &Host) -> String {
    host.inside(|| {
        let mut text = String::new();
        for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            let value = std::fs::read_to_string(format!("/proc/sys/net/{name}")).expect("a setting");
            let _ = write!(text, "{value}");
        }
        text
    })
}

/// Somebody else's table, with counters that a reload would zero.
const FOREIGN: &str = "table inet foreign { counter kept { packets 7 bytes 700 }; chain c { counter packets 5 bytes 500 accept; }; }";

#[test]
fn only_our_own_table_is_written_and_only_when_it_must_be() {
    let world = World::new(open, "G", true);
    let node = &world.wire.node;
    let file = world.folder.path().join("foreign.nft");
    std::fs::write(&file, FOREIGN).expect("written");
    node.inside(|| run(&format!("nft -f {}", file.display())));
    let foreign = || node.inside(|| run("nft -a list table inet foreign"));
    let before = foreign();
    let mut firewall = world.protect();
    let loaded = world.ruleset();
    node.inside(|| firewall.ensure()).expect("it stands");
    assert_eq!(world.ruleset(), loaded, "not one handle is new: nothing was loaded again");

    let table = format!("wiregrant_{}", node.interface);
    for by_hand in [format!("nft flush table inet {table}"), format!("nft delete table inet {table}")] {
        node.inside(|| run(&by_hand));
        assert_ne!(world.ruleset(), loaded);
        node.inside(|| firewall.ensure()).expect("it stands again");
        let again = node.inside(|| run(&format!("nft list table inet {table}")));
        assert!(again.contains("masquerade") && again.contains("goto out_of_tunnel"), "{again}");
    }
    assert_eq!(foreign(), before, "somebody else's table is untouched");
    node.inside(|| firewall::remove(&node.interface)).expect("removed");
    node.inside(|| firewall::remove(&node.interface)).expect("again is the same");
    assert_eq!(node.inside(|| run("nft list tables")), "table inet foreign\n");
    assert_eq!(foreign(), before);
}

#[test]
fn without_a_way_out_the_firewall_does_not_stand_and_says_why() {
    let world = World::new(open, "H", false);
    let node = &world.wire.node;
    run(&format!("ip -n {} route delete default", node.namespace));
    let mut firewall = world.firewall(Choices::default(), Budget::default());
    let error = node.inside(|| firewall.ensure()).expect_err("no default route");
    assert!(error.to_string().contains("firewall.egress"), "{error}");
    assert!(!firewall.stands());
    run(&format!("ip -n {} route add default via 5.5.5.1", node.namespace));
    node.inside(|| firewall.ensure()).expect("the network came up");
    run(&format!("ip -n {} route delete default", node.namespace));
    node.inside(|| firewall.ensure()).expect("a route that is away for a moment takes no rule with it");
    assert!(firewall.stands() && world.ruleset().contains("masquerade"));
}

#[test]
fn a_device_moves_no_more_than_its_rate_each_way() {
    a_rate_holds("J", Budget { device_megabits_per_second: Some(1), ..Budget::default() });
}

#[test]
fn all_devices_together_move_no_more_than_the_nodes_rate() {
    a_rate_holds("K", Budget { megabits_per_second: Some(1), ..Budget::default() });
}

/// A megabit a second is 125,000 bytes; what may be made up for is one second's and 64 KiB.
fn a_rate_holds(label: &str, budget: Budget) {
    const RATE: u128 = 125_000;
    const AT_ONCE: u128 = RATE + (64 << 10);
    const DATAGRAMS: u64 = 600;
    let world = World::new(open, label, true);
    let client = &world.wire.client;
    let mut firewall = world.firewall(World::operator(), budget);
    world.wire.node.inside(|| firewall.ensure()).expect("the firewall stands");
    for address in PUBLIC {
        let target = SocketAddr::new(address.parse().expect("an address"), PORT);
        let any: IpAddr = if target.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let server = world.internet.inside(|| UdpSocket::bind(target).expect("the Internet's address"));
        let socket = client.inside(|| UdpSocket::bind((any, 0))).expect("a socket");
        for socket in [&server, &socket] {
            socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
        }
        socket.connect(target).expect("a route");
        let mut buffer = [0; 2048];
        let (mut from, mut total) = (None, [0_u128; 2]);
        for (way, total) in total.iter_mut().enumerate() {
            let begun = wiregrant_agent::clock::now().monotonic;
            for _ in 0..DATAGRAMS {
                match from {
                    Some(from) if way == 1 => server.send_to(&[0x5a; 1000], from).map(drop).expect("sent"),
                    _ => socket.send(&[0x5a; 1000]).map(drop).expect("sent"),
                }
                // One packet at a time, so that none is lost but by the rate.
                let receiver = if way == 0 { &server } else { &socket };
                receiver.set_nonblocking(true).expect("a socket");
                while let Ok((length, sender)) = receiver.recv_from(&mut buffer) {
                    *total += length as u128;
                    from = from.or(Some(sender));
                }
                receiver.set_nonblocking(false).expect("a socket");
            }
            let receiver = if way == 0 { &server } else { &socket };
            while let Ok((length, sender)) = receiver.recv_from(&mut buffer) {
                *total += length as u128;
                from = from.or(Some(sender));
            }
            let took = (wiregrant_agent::clock::now().monotonic - begun).as_millis();
            // A socket's buffer holds about 90 datagrams that come at once; the rate lets through twice as many.
            assert!(*total > 50_000, "{address}: what is within the rate passes, not {total} bytes");
            let most = AT_ONCE + RATE * took / 1000;
            assert!(*total <= most, "{address}: {total} bytes passed in {took} ms, at most {most} may");
        }
    }
}
