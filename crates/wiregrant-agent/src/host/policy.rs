//! The policy: what may pass between the tunnel and the world, written as one nftables table.
//!
//! Rules name interfaces by their names, so they stand before the tunnel is made and after it was made again. They speak of
//! packets that come out of the tunnel or go into it and of no others. Another table's `drop` is not undone by an `accept`
//! here: `doctor` looks for one.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use wiregrant_core::socks5::metering::Rates;

use super::default_route::Egress;
use super::rates::{self, Direction};
use crate::config::Firewall;
use crate::wireguard::InterfaceName;

/// Where nobody may go through the tunnel: what the IANA special-purpose registries (RFC 6890) keep off the Internet, multicast
/// and, of the Internet's own, the address that is a metadata service inside Azure.
const BLOCKED_V4: [&str; 17] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
];

/// The same for IPv6: all that is not global unicast (2000::/3), with link-local, ULA, multicast, metadata (fd00:ec2::254) and
/// translated IPv4 in it; and of that what carries IPv4 inside or is for documentation.
const BLOCKED_V6: [&str; 8] =
    ["::/3", "4000::/2", "8000::/1", "2001::/32", "2001:10::/28", "2001:db8::/32", "2002::/16", "3fff::/20"];

/// What the table is made of.
#[derive(Debug)]
pub struct Policy<'a> {
    /// The tunnel.
    pub tunnel: &'a InterfaceName,
    /// The node's addresses inside it, with the length of their network.
    pub addresses: &'a [IpNet],
    /// The way out.
    pub egress: &'a Egress,
    /// The operator's word.
    pub firewall: &'a Firewall,
    /// Its rates.
    pub rates: Rates,
}

/// The name of an interface's policy table.
#[must_use]
pub fn table(tunnel: &InterfaceName) -> String {
    format!("wiregrant_{tunnel}")
}

impl Policy<'_> {
    /// The text that puts the table in place of what has its name, in one transaction.
    #[must_use]
    pub fn text(&self) -> String {
        let (table, tunnel) = (table(self.tunnel), self.tunnel);
        let mut text = format!("table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n");
        let mut line = |line: &str| {
            let _ = writeln!(text, "{line}");
        };
        line("comment \"made by wiregrant-agent; removed by wiregrant-agent down\"");
        line(rates::sets(self.rates).trim_end());
        line("chain early {\ntype filter hook prerouting priority raw; policy accept;");
        line(&format!("iifname \"{tunnel}\" goto arriving\n}}\nchain arriving {{"));
        self.arriving().iter().for_each(|rule| line(rule));
        line("}\nchain forward {\ntype filter hook forward priority filter; policy accept;");
        line(&format!("iifname \"{tunnel}\" goto out_of_tunnel\noifname \"{tunnel}\" goto into_tunnel\n}}"));
        line("chain out_of_tunnel {");
        self.out_of_tunnel().iter().for_each(|rule| line(rule));
        line("}\nchain into_tunnel {");
        line("ct state established,related goto answers\ndrop\n}\nchain answers {");
        rates::rules(self.rates, Direction::Down).iter().for_each(|rule| line(rule));
        line("tcp flags syn tcp option maxseg size set rt mtu\naccept\n}");
        line("chain input {\ntype filter hook input priority filter; policy accept;");
        line(&format!("iifname \"{tunnel}\" goto to_host\n}}\nchain to_host {{"));
        self.to_host().iter().for_each(|rule| line(rule));
        line("}\nchain leaving {\ntype nat hook postrouting priority srcnat; policy accept;");
        for (version, interface) in self.ways_out() {
            let way = format!("iifname \"{tunnel}\" oifname \"{interface}\"");
            line(&format!("meta nfproto {version} {way} masquerade"));
        }
        line("}\n}");
        text
    }

    fn ways_out(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let v4 = self.egress.v4.as_deref().map(|interface| ("ipv4", interface));
        let v6 = self.egress.v6.as_deref().map(|interface| ("ipv6", interface));
        v4.into_iter().chain(v6)
    }

    /// Before routing, so that a machine that does not forward an IP version at all still answers at once: who waits for
    /// IPv6 on a node that has none would wait for seconds, or go around the tunnel.
    fn arriving(&self) -> Vec<String> {
        let (v4, v6) = versions(self.addresses);
        let of_clients = |word, set: Option<String>| match set {
            // WireGuard's allowed IPs see to this already; a rule costs little, and says so where an operator looks.
            Some(set) => format!("{word} saddr != {set} drop"),
            None => format!("meta nfproto {} drop", if word == "ip" { "ipv4" } else { "ipv6" }),
        };
        let mut rules = vec![
            of_clients("ip", set(v4.iter().map(Ipv4Net::trunc))),
            of_clients("ip6", set(v6.iter().map(Ipv6Net::trunc))),
        ];
        let own = |own: Option<String>| own.unwrap_or_default();
        if self.egress.v4.is_none() && !v4.is_empty() {
            let own = own(set(v4.iter().map(Ipv4Net::addr)));
            rules.push(format!("ip daddr != {own} reject with icmp type net-unreachable"));
        }
        if self.egress.v6.is_none() && !v6.is_empty() {
            let own = own(set(v6.iter().map(Ipv6Net::addr)));
            rules.push(format!("ip6 daddr != {own} reject with icmpv6 type no-route"));
        }
        rules
    }

    /// No rule here asks whether a connection is established: a network that is blocked today is blocked for who is in it.
    fn out_of_tunnel(&self) -> Vec<String> {
        let refuse = "reject with icmpx type admin-prohibited";
        let mut rules = rates::rules(self.rates, Direction::Up);
        rules.push(format!("oifname \"{}\" drop", self.tunnel));
        rules.push("tcp flags syn tcp option maxseg size set rt mtu".to_owned());
        let ports: BTreeSet<u16> = self.firewall.blocked_ports.iter().copied().collect();
        if let Some(ports) = set(ports) {
            rules.push(format!("meta l4proto {{ tcp, udp }} th dport {ports} {refuse}"));
        }
        rules.extend(to_networks(&self.firewall.blocked_networks, refuse));
        let mut accept = |networks: &[IpNet]| {
            for (version, interface) in self.ways_out() {
                let word = if version == "ipv4" { "ip" } else { "ip6" };
                let out = format!("oifname \"{interface}\" accept");
                rules.extend(
                    to_networks(networks, &out)
                        .into_iter()
                        .filter(|rule| rule.starts_with(&format!("{word} "))),
                );
            }
        };
        accept(&self.firewall.allowed_networks);
        rules.extend(to_networks(&special(), refuse));
        for (version, interface) in self.ways_out() {
            rules.push(format!("meta nfproto {version} oifname \"{interface}\" accept"));
        }
        rules.push(refuse.to_owned());
        rules
    }

    /// The tunnel needs nothing of the host; an echo from the tunnel's own address tells a person that they are connected.
    fn to_host(&self) -> Vec<String> {
        let (v4, v6) = versions(self.addresses);
        let mut rules = vec!["ct state established,related accept".to_owned()];
        if let Some(own) = set(v4.iter().map(Ipv4Net::addr)) {
            rules.push(format!("ip daddr {own} icmp type echo-request accept"));
        }
        if let Some(own) = set(v6.iter().map(Ipv6Net::addr)) {
            rules.push(format!("ip6 daddr {own} icmpv6 type echo-request accept"));
        }
        rules.push("drop".to_owned());
        rules
    }
}

fn special() -> Vec<IpNet> {
    let networks = BLOCKED_V4.iter().chain(&BLOCKED_V6);
    networks.map(|network| network.parse().expect("a constant network")).collect()
}

fn versions(networks: &[IpNet]) -> (Vec<Ipv4Net>, Vec<Ipv6Net>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for network in networks {
        match network {
            IpNet::V4(network) => v4.push(*network),
            IpNet::V6(network) => v6.push(*network),
        }
    }
    (v4, v6)
}

/// One rule for each IP version that has networks, which are joined first: `nft` refuses a set whose parts overlap.
fn to_networks(networks: &[IpNet], verdict: &str) -> Vec<String> {
    let (v4, v6) = versions(networks);
    let v4 = set(Ipv4Net::aggregate(&v4)).map(|set| format!("ip daddr {set} {verdict}"));
    let v6 = set(Ipv6Net::aggregate(&v6)).map(|set| format!("ip6 daddr {set} {verdict}"));
    v4.into_iter().chain(v6).collect()
}

/// `{ a, b }`; `None` of nothing, which `nft` refuses.
fn set<T: ToString>(elements: impl IntoIterator<Item = T>) -> Option<String> {
    let elements: Vec<String> = elements.into_iter().map(|element| element.to_string()).collect();
    (!elements.is_empty()).then(|| format!("{{ {} }}", elements.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn text(egress: &Egress, firewall: &Firewall) -> String {
        let addresses = ["10.64.0.1/22", "fd77:6772::1/64"].map(|address| address.parse().unwrap());
        let tunnel = "wg-grant0".parse().unwrap();
        let rates = Rates { all: NonZeroU64::new(12_500_000), device: NonZeroU64::new(1_250_000) };
        Policy { tunnel: &tunnel, addresses: &addresses, egress, firewall, rates }.text()
    }

    fn egress(v4: Option<&str>, v6: Option<&str>) -> Egress {
        Egress { v4: v4.map(str::to_owned), v6: v6.map(str::to_owned), v6_by_advertisement: false }
    }

    #[test]
    fn an_operators_blocked_network_stands_before_an_allowed_one_and_that_before_the_special_ranges() {
        let firewall = Firewall {
            blocked_networks: vec!["8.8.8.0/24".parse().unwrap()],
            allowed_networks: vec!["10.1.0.0/16".parse().unwrap(), "fd00::/64".parse().unwrap()],
            ..Firewall::default()
        };
        let text = text(&egress(Some("eth0"), Some("eth1")), &firewall);
        let at = |rule: &str| text.find(rule).unwrap_or_else(|| panic!("{rule} is not in\n{text}"));
        let port = at("meta l4proto { tcp, udp } th dport { 25 } reject");
        let blocked = at("ip daddr { 8.8.8.0/24 } reject");
        let allowed = at("ip daddr { 10.1.0.0/16 } oifname \"eth0\" accept");
        let allowed_v6 = at("ip6 daddr { fd00::/64 } oifname \"eth1\" accept");
        let special = at("ip daddr { 0.0.0.0/8");
        let out = at("meta nfproto ipv4 oifname \"eth0\" accept");
        assert!(port < blocked && blocked < allowed && allowed < allowed_v6, "{text}");
        assert!(allowed_v6 < special && special < out, "{text}");
    }

    #[test]
    fn a_version_without_a_way_out_is_refused_before_routing_and_never_accepted() {
        let text = text(&egress(Some("eth0"), None), &Firewall::default());
        assert!(text.contains("ip6 daddr != { fd77:6772::1 } reject with icmpv6 type no-route"), "{text}");
        assert!(!text.contains("meta nfproto ipv6 oifname"), "{text}");
        let text = self::text(&egress(None, Some("eth0")), &Firewall::default());
        assert!(text.contains("ip daddr != { 10.64.0.1 } reject with icmp type net-unreachable"), "{text}");
    }

    #[test]
    fn an_operator_may_block_no_port_at_all() {
        let firewall = Firewall { blocked_ports: Vec::new(), ..Firewall::default() };
        assert!(!text(&egress(Some("eth0"), None), &firewall).contains("dport"));
    }

    #[test]
    fn what_is_blocked_is_every_address_off_the_internet_and_none_on_it() {
        let blocked = |address: &str| {
            let address: std::net::IpAddr = address.parse().unwrap();
            special().iter().any(|network| network.contains(&address))
        };
        for off in [
            "10.1.2.3",
            "100.64.1.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.168.1.1",
            "224.0.0.251",
            "255.255.255.255",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "64:ff9b::a00:1",
            "::ffff:10.0.0.1",
            "2002:a00:1::1",
            "2001:db8::1",
            "203.0.113.9",
        ] {
            assert!(blocked(off), "{off}");
        }
        for on in [
            "1.1.1.1",
            "9.9.9.9",
            "100.128.0.1",
            "172.32.0.1",
            "2620:fe::fe",
            "2a01:4f8::1",
            "2001:4860::8888",
        ] {
            assert!(!blocked(on), "{on}");
        }
    }
}
