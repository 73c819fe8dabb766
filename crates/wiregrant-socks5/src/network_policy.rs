//! Which addresses people may reach through the service: what the whole Internet can, and nothing of the host, its networks or
//! the tunnel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{PoisonError, RwLock};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(start: [u16; 2], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(start[0], start[1], 0, 0, 0, 0, 0, 0), prefix)
}

/// IANA's special-purpose IPv4 addresses that are not globally reachable, and multicast.
const CLOSED_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    // Metadata of most clouds lies here.
    v4(169, 254, 0, 0, 16),
    // Azure's metadata, in a range that is otherwise public.
    v4(168, 63, 129, 16, 32),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];

/// The global unicast addresses of IPv6: whatever is not in here (loopback, unique local, link-local, multicast, IPv4 in one
/// of its IPv6 dresses) is closed without being listed.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0], 3);
/// What of [`GLOBAL_V6`] is closed: IETF assignments with Teredo, documentation, 6to4.
const CLOSED_V6: [Ipv6Net; 4] =
    [v6([0x2001, 0], 23), v6([0x2001, 0xdb8], 32), v6([0x2002, 0], 16), v6([0x3fff, 0], 20)];
/// RFC 6052's prefix: on a host without IPv4 it leads to the IPv4 address in the last 32 bits, which is judged in its place.
const NAT64: Ipv6Net = v6([0x64, 0xff9b], 96);

/// The rules.
#[derive(Debug, Default)]
pub struct NetworkPolicy {
    blocked: Vec<IpNet>,
    allowed: Vec<IpNet>,
    blocked_ports: Vec<u16>,
    /// What the agent closes besides: the tunnel's own networks.
    refused: RwLock<Vec<IpNet>>,
}

impl NetworkPolicy {
    /// `blocked` networks are closed besides those that are always; `allowed` ones are open although they are closed by default.
    #[must_use]
    pub fn new(blocked: Vec<IpNet>, allowed: Vec<IpNet>, blocked_ports: Vec<u16>) -> Self {
        Self { blocked, allowed, blocked_ports, refused: RwLock::default() }
    }

    /// Replaces the networks that the agent closes.
    pub fn refuse(&self, networks: Vec<IpNet>) {
        *self.refused.write().unwrap_or_else(PoisonError::into_inner) = networks;
    }

    /// The address to connect to if this one may be reached: itself, or the IPv4 address that it means. Whether it is one of
    /// the host's own is another question.
    #[must_use]
    pub fn permitted(&self, address: SocketAddr) -> Option<SocketAddr> {
        let ip = address.ip().to_canonical();
        let closed = address.port() == 0
            || self.blocked_ports.contains(&address.port())
            || within(&self.blocked, ip)
            || within(&self.refused.read().unwrap_or_else(PoisonError::into_inner), ip)
            || never(ip)
            || !(within(&self.allowed, ip) || is_global(ip));
        (!closed).then_some(SocketAddr::new(ip, address.port()))
    }
}

fn within(networks: &[IpNet], ip: IpAddr) -> bool {
    let embedded = embedded(ip).map(IpAddr::V4);
    networks.iter().any(|network| network.contains(&ip) || embedded.is_some_and(|ip| network.contains(&ip)))
}

/// What no option opens: the host itself under its general names, and more than one host at once.
fn never(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || broadcast
}

/// The IPv4 address that a NAT64 would go to.
fn embedded(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let [.., a, b, c, d] = ip.octets();
    NAT64.contains(&ip).then_some(Ipv4Addr::new(a, b, c, d))
}

fn is_global(ip: IpAddr) -> bool {
    if let Some(embedded) = embedded(ip) {
        return is_global(embedded.into());
    }
    match ip {
        IpAddr::V4(ip) => !CLOSED_V4.iter().any(|network| network.contains(&ip)),
        IpAddr::V6(ip) => GLOBAL_V6.contains(&ip) && !CLOSED_V6.iter().any(|network| network.contains(&ip)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opened(policy: &NetworkPolicy, address: &str) -> bool {
        let ip: IpAddr = address.parse().unwrap();
        policy.permitted(SocketAddr::new(ip, 443)).is_some()
    }

    /// One address of each kind that is closed, and the Internet's beside it.
    const CLOSED: [&str; 40] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
    ];

    #[test]
    fn what_only_the_host_or_its_networks_reach_is_closed() {
        let policy = NetworkPolicy::default();
        for address in CLOSED {
            assert!(!opened(&policy, address), "{address}");
        }
        for address in [
            "1.1.1.1",
            "100.63.255.255",
            "172.32.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "64:ff9b::808:808",
        ] {
            assert!(opened(&policy, address), "{address}");
        }
    }

    #[test]
    fn an_option_opens_a_network_but_neither_the_host_nor_the_tunnel() {
        let any = ["0.0.0.0/0", "::/0"].map(|network| network.parse().unwrap());
        let policy = NetworkPolicy::new(vec!["1.1.1.0/24".parse().unwrap()], any.to_vec(), vec![25]);
        policy.refuse(vec!["10.64.0.0/10".parse().unwrap(), "fd77:6772::/32".parse().unwrap()]);
        assert!(opened(&policy, "10.0.0.1") && opened(&policy, "fd00::1"));
        for address in
            ["127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "10.64.0.1"]
        {
            assert!(!opened(&policy, address), "{address}");
        }
        for address in ["fd77:6772::1", "1.1.1.1", "::ffff:10.64.0.1", "64:ff9b::a40:1", "64:ff9b::101:101"] {
            assert!(!opened(&policy, address), "{address}");
        }
    }

    #[test]
    fn mail_and_port_0_are_closed() {
        let policy = NetworkPolicy::new(Vec::new(), Vec::new(), vec![25]);
        let permitted = |port| policy.permitted(SocketAddr::from(([1, 1, 1, 1], port))).is_some();
        assert_eq!([0, 25, 26].map(permitted), [false, false, true]);
    }

    #[test]
    fn a_mapped_address_is_reached_as_the_ipv4_address_that_was_judged() {
        let policy = NetworkPolicy::default();
        let mapped = "[::ffff:1.1.1.1]:80".parse().unwrap();
        assert_eq!(policy.permitted(mapped), Some("1.1.1.1:80".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn no_dress_opens_an_ipv4_address_that_is_closed(octets in any::<[u8; 4]>()) {
            let policy = NetworkPolicy::default();
            let ip = Ipv4Addr::from(octets);
            let [a, b, c, d] = octets;
            let low = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
            let plain = opened(&policy, &ip.to_string());
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, low[0], low[1]);
            prop_assert_eq!(opened(&policy, &ip.to_ipv6_mapped().to_string()), plain);
            prop_assert_eq!(opened(&policy, &nat64.to_string()), plain);
            let compatible = Ipv6Addr::new(0, 0, 0, 0, 0, 0, low[0], low[1]);
            let sixtofour = Ipv6Addr::new(0x2002, low[0], low[1], 0, 0, 0, 0, 1);
            prop_assert!(!opened(&policy, &compatible.to_string()) && !opened(&policy, &sixtofour.to_string()));
        }
    }
}
