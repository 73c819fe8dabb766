//! Bytes that a peer takes with it when somebody removes it by hand, on a real kernel: the interface's statistics give them
//! back, to the byte and once.

use wiregrant_core::counter::Reading;
use wiregrant_core::usage_report::{Class, Service};

use crate::life::{Node, device, settle};
use crate::support::{Open, Wire, run};

/// One more than after a removal may account for bytes that no peer does.
const TURNS: usize = 7;

/// What moved by the client's own WireGuard, told from the node's side. It begins anew when the client reconnects.
fn by_client(wire: &Wire) -> Reading {
    let seen = wire.seen_by_wg(&wire.client);
    Reading { received: seen.sent, sent: seen.received }
}

fn plus(one: Reading, other: Reading) -> Reading {
    Reading { received: one.received + other.received, sent: one.sent + other.sent }
}

impl Node<'_> {
    /// The client's echoes, and then silence.
    fn echo(&self, rounds: usize) {
        self.wire.echo(rounds, "10.9.0.1");
        settle(self, &self.wire.client, &self.wire.client_public_key());
    }

    fn counted_as(&self, class: Class) -> Reading {
        let usage = self.usage().get(&(Service::WireGuard, class)).copied();
        usage.map_or(Reading::default(), |usage| Reading {
            received: usage.received.get(),
            sent: usage.sent.get(),
        })
    }

    fn statistics(&self) -> Reading {
        let mut interface = (self.open)(self.wire.node.interface.clone());
        let statistics = self.wire.node.inside(|| interface.statistics());
        statistics.expect("they are read").expect("the kernel keeps them").reading
    }

    fn remove_by_hand(&self) {
        let (name, peer) = (&self.wire.node.interface, self.wire.client_public_key());
        self.wire.node.inside(|| run(&format!("wg set {name} peer {peer} remove")));
    }

    fn add_by_hand(&self) {
        let (name, peer) = (&self.wire.node.interface, self.wire.client_public_key());
        let set = format!("wg set {name} peer {peer} allowed-ips 10.9.0.2/32,fd09::2/128");
        self.wire.node.inside(|| run(&set));
    }

    fn nothing_more_is_counted(&mut self) {
        let before = self.usage();
        for _ in 0..TURNS {
            self.turn_after(10);
            assert_eq!(self.usage(), before);
        }
    }
}

/// What no reading has seen of a peer that is removed by hand counts as nobody's device's, and never again: not at the reading that
/// lacks it, which may be torn, but at the one after.
pub fn what_a_peer_removed_by_hand_moved_is_counted_once(open: Open, label: &str) {
    let wire = Wire::new(label);
    let mut node = Node::start(&wire, open);
    node.want(vec![device(wire.client_public_key(), wire.client_allowed_ips())]);
    wire.connect_client(open);
    node.echo(20);
    node.turn_after(10);
    let sampled = by_client(&wire);
    assert_eq!(node.counted_as(Class::Assigned), sampled);
    assert_eq!(
        node.statistics(),
        sampled,
        "a handshake, data and keepalives, by the interface and by the client"
    );

    node.echo(30);
    let first_life = by_client(&wire);
    let unseen = first_life.moved_since(sampled);
    node.remove_by_hand();
    assert_eq!(node.statistics(), first_life, "the statistics outlive the peer");
    // One turn reads twice: it is wanted, so it is added again, and read at once.
    node.turn_after(10);
    assert_eq!(wire.seen_by_wg(&wire.node), Reading::default(), "it is back");
    assert_eq!(node.counted_as(Class::Invited), unseen);
    assert_eq!(node.counted_as(Class::Assigned), sampled);
    node.nothing_more_is_counted();
    println!("kernel: {unseen:?} of a removed peer were counted, as the client's own WireGuard has them");

    wire.reconnect();
    node.echo(20);
    node.turn_after(10);
    assert_eq!(node.counted_as(Class::Assigned), plus(sampled, by_client(&wire)));
    assert_eq!(node.counted_as(Class::Invited), unseen);
    added_again_by_hand_it_counts_nothing_twice(&mut node, first_life);
}

/// The client moved `before` in sessions that it has forgotten, and all that it moved so far is counted.
fn added_again_by_hand_it_counts_nothing_twice(node: &mut Node<'_>, before: Reading) {
    let wire = node.wire;
    node.echo(10);
    let before = plus(before, by_client(wire));
    node.remove_by_hand();
    node.add_by_hand();
    wire.reconnect();
    // Its counters come not as far as they were when they were read last.
    node.echo(5);
    let truth = plus(before, by_client(wire));
    // What one reading shows may be of somebody whom it lacks, so it counts at the second.
    node.turn_after(10);
    node.turn_after(10);
    let counted = plus(node.counted_as(Class::Assigned), node.counted_as(Class::Invited));
    assert_eq!(counted, truth);
    assert_eq!(node.statistics(), truth);
    node.nothing_more_is_counted();

    // And where every byte was read before.
    node.remove_by_hand();
    node.add_by_hand();
    node.nothing_more_is_counted();
}
