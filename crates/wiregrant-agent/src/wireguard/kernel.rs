//! WireGuard in the Linux kernel, through `defguard_wireguard_rs`.
//!
//! Of that library only the calls are used that concern one peer, the dump, and, on an interface this module has just
//! made, the configuration of the interface: that one replaces all peers, which zeroes every counter and drops every session.
//! The library prints what it reads at `trace` level of the `log` crate; the agent must not install a logger for it.

use defguard_wireguard_rs::error::WireguardInterfaceError;
use defguard_wireguard_rs::host::Host;
use defguard_wireguard_rs::key::Key;
use defguard_wireguard_rs::net::IpAddrMask;
use defguard_wireguard_rs::peer::Peer;
use defguard_wireguard_rs::{InterfaceConfiguration, WGApi, WireguardInterfaceApi};
use ipnet::IpNet;
use wiregrant_core::counter::Reading;
use wiregrant_core::usage_report::Backend;
use wiregrant_core::{WireGuardPrivateKey, WireGuardPublicKey};
use zeroize::Zeroize;

use super::{Ensured, Interface, InterfaceName, InterfaceSettings, LivePeer, WireGuardError, link, same_key};

/// An interface of the kernel's.
pub struct Kernel {
    name: InterfaceName,
    api: WGApi<defguard_wireguard_rs::Kernel>,
}

impl Kernel {
    /// The interface of this name, which need not exist yet.
    ///
    /// # Errors
    /// When the library finds itself unable to work here.
    pub fn new(name: InterfaceName) -> Result<Self, WireGuardError> {
        let api = WGApi::new(name.as_str()).map_err(|error| refused(&name, &error))?;
        Ok(Self { name, api })
    }

    fn dump(&self) -> Result<Host, WireGuardError> {
        self.api.read_interface_data().map_err(|error| refused(&self.name, &error))
    }

    /// Sets key and port of an interface without peers. On any other it would drop them.
    fn configure_new(&self, settings: &InterfaceSettings) -> Result<(), WireGuardError> {
        let mut configuration = InterfaceConfiguration {
            name: self.name.to_string(),
            prvkey: settings.private_key.to_base64(),
            addresses: Vec::new(),
            port: settings.listen_port,
            peers: Vec::new(),
            mtu: None,
            fwmark: None,
        };
        let result = self.api.configure_interface(&configuration);
        configuration.prvkey.zeroize();
        result.map_err(|error| refused(&self.name, &error))
    }

    /// Takes over a WireGuard link that is there.
    fn adopt(&self, settings: &InterfaceSettings) -> Result<Ensured, WireGuardError> {
        let host = self.dump()?;
        match &host.private_key {
            Some(key) if same_key(&WireGuardPrivateKey::from(key.as_array()), &settings.private_key) => {
                if settings.listen_port != 0 && host.listen_port != settings.listen_port {
                    return Err(WireGuardError::Port {
                        name: self.name.to_string(),
                        expected: settings.listen_port,
                        found: host.listen_port,
                    });
                }
                Ok(Ensured::Adopted)
            }
            // Made and never configured: an agent was stopped between the two. Nobody is on it.
            None if host.peers.is_empty() => self.configure_new(settings).map(|()| Ensured::Created),
            _ => Err(WireGuardError::OtherKey { name: self.name.to_string() }),
        }
    }
}

impl Interface for Kernel {
    fn kind(&self) -> Backend {
        Backend::Kernel
    }

    fn ensure_interface(&mut self, settings: &InterfaceSettings) -> Result<Ensured, WireGuardError> {
        let ensured = match link::find(&self.name)? {
            None => {
                link::add_wireguard(self.name.as_str())?;
                self.configure_new(settings)?;
                Ensured::Created
            }
            Some(link) if link.kind == "wireguard" => self.adopt(settings)?,
            Some(link) => {
                return Err(WireGuardError::OtherKind { name: self.name.to_string(), kind: link.kind });
            }
        };
        link::converge(&self.name, settings)?;
        Ok(ensured)
    }

    fn peers(&mut self) -> Result<Vec<LivePeer>, WireGuardError> {
        let mut peers = Vec::new();
        for peer in self.dump()?.peers.into_values() {
            let public_key = WireGuardPublicKey::from(peer.public_key.as_array());
            let mut allowed_ips = Vec::with_capacity(peer.allowed_ips.len());
            for ip in &peer.allowed_ips {
                allowed_ips.push(IpNet::new(ip.address, ip.cidr).map_err(|_| WireGuardError::AllowedIp {
                    name: self.name.to_string(),
                    peer: public_key,
                    prefix: ip.cidr,
                })?);
            }
            allowed_ips.sort_unstable();
            let reading = Reading { received: peer.rx_bytes, sent: peer.tx_bytes };
            peers.push(LivePeer { public_key, allowed_ips, reading });
        }
        peers.sort_unstable_by_key(|peer| peer.public_key);
        Ok(peers)
    }

    fn set_peer(&mut self, peer: &WireGuardPublicKey, allowed_ips: &[IpNet]) -> Result<(), WireGuardError> {
        let mut wanted = Peer::new(Key::new(*peer.as_bytes()));
        wanted.allowed_ips =
            allowed_ips.iter().map(|ip| IpAddrMask::new(ip.addr(), ip.prefix_len())).collect();
        self.api.configure_peer(&wanted).map_err(|error| refused(&self.name, &error))
    }

    fn remove_peer(&mut self, peer: &WireGuardPublicKey) -> Result<(), WireGuardError> {
        let key = Key::new(*peer.as_bytes());
        self.api.remove_peer(&key).map_err(|error| refused(&self.name, &error))
    }
}

fn refused(name: &InterfaceName, error: &WireguardInterfaceError) -> WireGuardError {
    WireGuardError::Kernel { name: name.to_string(), message: error.to_string() }
}
