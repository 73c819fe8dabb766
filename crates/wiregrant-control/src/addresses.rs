//! Inner addresses: which part of the pools a node has, and which address a device has on it.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::{NODE_PREFIX_V4, NODE_PREFIX_V6};

/// The node's own host number.
pub const NODE_HOST: u32 = 1;
/// The first host number of a device.
pub const FIRST_DEVICE_HOST: u32 = 2;
/// The last host number of a device: a /22 has 1,024 addresses, and the last is its broadcast address.
pub const LAST_DEVICE_HOST: u32 = 1_022;

/// A node's part of both pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeAddresses {
    v4: Ipv4Net,
    v6: Ipv6Net,
}

impl NodeAddresses {
    /// The part of node number `number`, counted from 0: the number-th /22 and the number-th /64. `None` where a pool has
    /// no such part.
    #[must_use]
    pub fn of(number: u32, pool_v4: Ipv4Net, pool_v6: Ipv6Net) -> Option<Self> {
        let v4 = u32::from(pool_v4.network()).checked_add(number.checked_mul(1 << (32 - NODE_PREFIX_V4))?)?;
        let v6 = u128::from(pool_v6.network())
            .checked_add(u128::from(number).checked_mul(1 << (128 - NODE_PREFIX_V6))?)?;
        let v4 = Ipv4Net::new(Ipv4Addr::from(v4), NODE_PREFIX_V4).ok()?;
        let v6 = Ipv6Net::new(Ipv6Addr::from(v6), NODE_PREFIX_V6).ok()?;
        (pool_v4.contains(&v4) && pool_v6.contains(&v6)).then_some(Self { v4, v6 })
    }

    /// The IPv4 address of a host.
    ///
    /// # Panics
    /// Never for host numbers up to [`LAST_DEVICE_HOST`].
    #[must_use]
    pub fn host_v4(&self, host: u32) -> Ipv4Addr {
        let address = u32::from(self.v4.network()).checked_add(host);
        Ipv4Addr::from(address.expect("a host number lies within its /22"))
    }

    /// The IPv6 address of a host.
    ///
    /// # Panics
    /// Never: a host number lies within its /64.
    #[must_use]
    pub fn host_v6(&self, host: u32) -> Ipv6Addr {
        let address = u128::from(self.v6.network()).checked_add(u128::from(host));
        Ipv6Addr::from(address.expect("a host number lies within its /64"))
    }

    /// The interface's own addresses with the prefixes of the node's parts, v4 then v6.
    ///
    /// # Panics
    /// Never: the prefixes are fixed.
    #[must_use]
    pub fn interface(&self) -> Vec<IpNet> {
        let v4 = Ipv4Net::new(self.host_v4(NODE_HOST), NODE_PREFIX_V4).expect("22 is a prefix length");
        let v6 = Ipv6Net::new(self.host_v6(NODE_HOST), NODE_PREFIX_V6).expect("64 is a prefix length");
        vec![v4.into(), v6.into()]
    }

    /// What a device may send from: its two addresses and no other.
    #[must_use]
    pub fn allowed_ips(&self, host: u32) -> Vec<IpNet> {
        vec![Ipv4Net::from(self.host_v4(host)).into(), Ipv6Net::from(self.host_v6(host)).into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u32) -> Option<NodeAddresses> {
        NodeAddresses::of(number, "10.64.0.0/10".parse().unwrap(), "fd77:6772::/32".parse().unwrap())
    }

    #[test]
    fn nodes_take_their_parts_one_after_the_other() {
        let shown =
            |node: NodeAddresses| node.interface().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(of(0).unwrap()), ["10.64.0.1/22", "fd77:6772::1/64"]);
        assert_eq!(shown(of(1).unwrap()), ["10.64.4.1/22", "fd77:6772:0:1::1/64"]);
        assert_eq!(shown(of(4_095).unwrap()), ["10.127.252.1/22", "fd77:6772:0:fff::1/64"]);
        assert_eq!(of(4_096), None);
    }

    #[test]
    fn a_device_has_one_address_of_each_kind_within_its_nodes_part() {
        let node = of(3).unwrap();
        for host in [FIRST_DEVICE_HOST, 255, 256, LAST_DEVICE_HOST] {
            let ips = node.allowed_ips(host);
            assert!(node.v4.contains(&node.host_v4(host)) && node.host_v4(host) != node.v4.broadcast());
            assert!(node.v6.contains(&node.host_v6(host)));
            assert_eq!(ips.iter().map(IpNet::prefix_len).collect::<Vec<_>>(), [32, 128]);
        }
    }
}
