//! Sites: which nodes stand behind one network, told without telling which network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::random;

/// Nodes of one /24 are one site.
const SITE_PREFIX_V4: u8 = 24;
/// Nodes of one /48 are one site.
const SITE_PREFIX_V6: u8 = 48;

/// The site of an endpoint `host:port`: its network, or its name where it has no address of its own.
#[must_use]
pub fn of(endpoint: &str) -> String {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let network = host.parse::<IpAddr>().ok().and_then(|address| {
        let prefix = if address.is_ipv4() { SITE_PREFIX_V4 } else { SITE_PREFIX_V6 };
        IpNet::new(address, prefix).ok()
    });
    network.map_or_else(|| host.to_ascii_lowercase(), |network| network.trunc().to_string())
}

/// Numbers for the sites of these endpoints, from 1, in an order drawn anew each time, so that a number in one statement
/// says nothing about the same number in another.
#[must_use]
pub fn numbers<'a>(endpoints: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let sites: BTreeSet<String> = endpoints.into_iter().map(of).collect();
    let mut sites: Vec<String> = sites.into_iter().collect();
    random::shuffle(&mut sites);
    sites.into_iter().zip(1..).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_site_and_strangers_do_not() {
        assert_eq!(of("198.51.100.7:51820"), of("198.51.100.200:1"));
        assert_eq!(of("[2001:db8:7::1]:1"), of("[2001:db8:7:ffff::2]:2"));
        assert_eq!(of("VPN.example.org:1"), of("vpn.example.org:2"));
        let all = ["198.51.100.7:1", "198.51.101.7:1", "[2001:db8:7::1]:1", "[2001:db8:8::1]:1", "a:1"];
        let numbers = numbers(all.into_iter().chain(["198.51.100.9:1"]));
        assert_eq!(numbers.values().copied().collect::<BTreeSet<_>>(), (1..=5).collect());
    }
}
