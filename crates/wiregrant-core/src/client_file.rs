//! The configuration a person loads into WireGuard: a `wg-quick` file.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{WireGuardPrivateKey, WireGuardPublicKey};

/// 1280 passes every path that IPv6 may take (RFC 8200, section 5), so no client depends on path MTU discovery.
pub const CLIENT_MTU: u16 = 1280;

/// Stands where the private key belongs, in a file from whoever does not have it.
pub const PRIVATE_KEY_HOLE: &str = "PUT-YOUR-PRIVATE-KEY-HERE";

/// What the control plane answers to a device's public key. The private key is not in it, and never reaches the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClientConfiguration {
    /// The device's inner IPv4 address.
    pub address_v4: Ipv4Addr,
    /// The device's inner IPv6 address.
    pub address_v6: Ipv6Addr,
    /// The resolvers the client uses inside the tunnel.
    pub dns: Vec<std::net::IpAddr>,
    /// The node's key.
    pub node_public_key: WireGuardPublicKey,
    /// The node's address, `host:port`.
    pub endpoint: String,
}

impl ClientConfiguration {
    /// The file, complete with the private key that was made where this is called. IPv6 is routed into the tunnel also on
    /// nodes without it, so that nothing leaks past it; there is no `PersistentKeepalive`, which would keep the client's
    /// address known to the node for ever.
    #[must_use]
    pub fn to_wg_quick(&self, private_key: &WireGuardPrivateKey) -> String {
        self.with_private_key(&private_key.to_base64())
    }

    /// The same file with [`PRIVATE_KEY_HOLE`] where the private key belongs, for whoever keeps theirs to themselves.
    #[must_use]
    pub fn to_wg_quick_with_hole(&self) -> String {
        self.with_private_key(PRIVATE_KEY_HOLE)
    }

    fn with_private_key(&self, private_key: &str) -> String {
        let dns: Vec<String> = self.dns.iter().map(ToString::to_string).collect();
        format!(
            "[Interface]\nPrivateKey = {}\nAddress = {}/32, {}/128\nDNS = {}\nMTU = {CLIENT_MTU}\n\n\
             [Peer]\nPublicKey = {}\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = {}\n",
            private_key,
            self.address_v4,
            self.address_v6,
            dns.join(", "),
            self.node_public_key,
            self.endpoint,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_wg_quick_takes() {
        let configuration = ClientConfiguration {
            address_v4: "10.64.0.2".parse().unwrap(),
            address_v6: "fd00::2".parse().unwrap(),
            dns: vec!["10.64.0.1".parse().unwrap()],
            node_public_key: [1; 32].into(),
            endpoint: "198.51.100.7:51820".into(),
        };
        assert_eq!(
            configuration.to_wg_quick(&[2; 32].into()),
            "[Interface]\nPrivateKey = AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\nAddress = 10.64.0.2/32, fd00::2/128\n\
             DNS = 10.64.0.1\nMTU = 1280\n\n[Peer]\nPublicKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n\
             AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 198.51.100.7:51820\n"
        );
        let with_hole = configuration.to_wg_quick_with_hole();
        assert_eq!(
            with_hole.replace(PRIVATE_KEY_HOLE, "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="),
            configuration.to_wg_quick(&[2; 32].into())
        );
    }
}
