//! WireGuard in the Linux kernel: the interface through `defguard_wireguard_rs`, peers and counters through [`super::netlink`].
//!
//! The library makes the link and gives it key, port, MTU and addresses. It sets peers one by one on sockets of their own and takes a
//! torn dump for a whole one. It is used on an interface without peers only: its call that configures an interface replaces all
//! peers, which zeroes every counter and drops every session, and takes all addresses away first. On a live one, what is missing is
//! added by [`link::converge`]. The library prints what it reads at `trace` level of the `log` crate; the agent must not install a logger for it.

use defguard_wireguard_rs::error::WireguardInterfaceError;
use defguard_wireguard_rs::net::IpAddrMask;
use defguard_wireguard_rs::{InterfaceConfiguration, WGApi, WireguardInterfaceApi};
use ipnet::IpNet;
use rustix::io::Errno;
use wiregrant_core::usage_report::Backend;
use wiregrant_core::{WireGuardPrivateKey, WireGuardPublicKey};
use zeroize::Zeroize;

use super::netlink::{Netlink, NetlinkError};
use super::{
    Device, Ensured, Interface, InterfaceName, InterfaceSettings, LivePeer, PeerChange, Routed, Statistics,
    WireGuardError, link, same_key, statistics,
};

/// How often an interface that is to be deleted is emptied, should somebody add peers meanwhile.
const MAX_EMPTYINGS: usize = 3;

/// An interface of the kernel's.
pub struct Kernel {
    name: InterfaceName,
    api: WGApi<defguard_wireguard_rs::Kernel>,
    netlink: Netlink,
}

impl Kernel {
    /// The interface of this name, which need not exist yet.
    ///
    /// # Errors
    /// When the library finds itself unable to work here.
    pub fn new(name: InterfaceName) -> Result<Self, WireGuardError> {
        let api = WGApi::new(name.as_str()).map_err(|error| refused(&name, &error))?;
        Ok(Self { name, api, netlink: Netlink::default() })
    }

    fn device(&mut self) -> Result<Device, WireGuardError> {
        self.netlink.device(&self.name).map_err(|source| self.failed(source))
    }

    fn change<'a>(
        &mut self,
        changes: impl IntoIterator<Item = PeerChange<'a>>,
    ) -> Result<(), WireGuardError> {
        self.netlink.change_peers(&self.name, changes).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: NetlinkError) -> WireGuardError {
        let name = self.name.to_string();
        match source {
            NetlinkError::Refused(Errno::NODEV) => WireGuardError::Gone { name },
            source => WireGuardError::Netlink { name, source },
        }
    }

    fn port_refused(&self, port: u16, source: NetlinkError) -> WireGuardError {
        match source {
            NetlinkError::Refused(Errno::ADDRINUSE) => {
                WireGuardError::PortTaken { name: self.name.to_string(), port }
            }
            source => self.failed(source),
        }
    }

    /// Deletes the link if it has this key, or none and no peers.
    ///
    /// The peers are removed in batches first: deleting a link removes its peers under the lock of all network configuration,
    /// and takes far longer for each than a batch does.
    pub(super) fn delete(&mut self, private_key: &WireGuardPrivateKey) -> Result<(), WireGuardError> {
        let mut device = self.device()?;
        match &device.private_key {
            Some(key) if same_key(key, private_key) => {}
            None if device.peers.is_empty() => {}
            _ => return Err(WireGuardError::OtherKey { name: self.name.to_string() }),
        }
        for _ in 0..MAX_EMPTYINGS {
            if device.peers.is_empty() {
                break;
            }
            let peers: Vec<_> = device.peers.iter().map(|peer| peer.public_key).collect();
            self.remove_peers(&peers)?;
            device = self.device()?;
        }
        link::delete(self.name.as_str())
    }

    /// Sets key, port, MTU and addresses of an interface without peers. On any other it would drop them.
    fn configure_new(&self, settings: &InterfaceSettings) -> Result<(), WireGuardError> {
        let mut configuration = InterfaceConfiguration {
            name: self.name.to_string(),
            prvkey: settings.private_key.to_base64(),
            addresses: settings
                .addresses
                .iter()
                .map(|address| IpAddrMask::new(address.addr(), address.prefix_len()))
                .collect(),
            port: settings.listen_port,
            peers: Vec::new(),
            mtu: Some(settings.mtu.into()),
            fwmark: None,
        };
        let result = self.api.configure_interface(&configuration);
        configuration.prvkey.zeroize();
        result.map_err(|error| refused(&self.name, &error))
    }

    /// Takes over a WireGuard link that is there.
    fn adopt(&mut self, settings: &InterfaceSettings) -> Result<Ensured, WireGuardError> {
        let device = self.device()?;
        match &device.private_key {
            Some(key) if same_key(key, &settings.private_key) => {
                if settings.listen_port != 0 && device.listen_port != settings.listen_port {
                    let set = self.netlink.set_listen_port(&self.name, settings.listen_port);
                    set.map_err(|source| self.port_refused(settings.listen_port, source))?;
                }
                Ok(Ensured::Adopted)
            }
            // Made and never configured: an agent was stopped between the two. Nobody is on it.
            None if device.peers.is_empty() => self.configure_new(settings).map(|()| Ensured::Created),
            _ => Err(WireGuardError::OtherKey { name: self.name.to_string() }),
        }
    }
}

impl Interface for Kernel {
    fn kind(&self) -> Backend {
        Backend::Kernel
    }

    fn ensure_interface(&mut self, settings: &InterfaceSettings) -> Result<Ensured, WireGuardError> {
        if link::find(&self.name)?.is_none() {
            // To the library a link of this name that appeared meanwhile is as good as a new one: it is looked at again.
            self.api.create_interface().map_err(|error| WireGuardError::Kernel {
                name: self.name.to_string(),
                message: format!(
                    "the link cannot be made ({error}): that needs root or CAP_NET_ADMIN, and a kernel with WireGuard"
                ),
            })?;
        }
        let name = self.name.to_string();
        let ensured = match link::find(&self.name)?.map(|link| link.kind) {
            Some(kind) if kind == "wireguard" => self.adopt(settings)?,
            Some(kind) => return Err(WireGuardError::OtherKind { name, kind }),
            None => return Err(WireGuardError::Gone { name }),
        };
        link::converge(&self.name, settings)?;
        Ok(ensured)
    }

    fn peers(&mut self) -> Result<Vec<LivePeer>, WireGuardError> {
        self.device()?.into_peers(&self.name)
    }

    fn statistics(&mut self) -> Result<Option<Statistics>, WireGuardError> {
        statistics::read(&self.name).map(Some)
    }

    fn set_peer(&mut self, peer: &WireGuardPublicKey, allowed_ips: &[IpNet]) -> Result<(), WireGuardError> {
        self.change([PeerChange::Set { peer, allowed_ips }])
    }

    fn remove_peer(&mut self, peer: &WireGuardPublicKey) -> Result<(), WireGuardError> {
        self.change([PeerChange::Remove { peer }])
    }

    fn set_peers(&mut self, peers: &[Routed<'_>]) -> Result<(), WireGuardError> {
        self.change(peers.iter().map(|(peer, allowed_ips)| PeerChange::Set { peer, allowed_ips }))
    }

    fn update_peers(&mut self, peers: &[Routed<'_>]) -> Result<(), WireGuardError> {
        self.change(peers.iter().map(|(peer, allowed_ips)| PeerChange::Update { peer, allowed_ips }))
    }

    fn remove_peers(&mut self, peers: &[WireGuardPublicKey]) -> Result<(), WireGuardError> {
        self.change(peers.iter().map(|peer| PeerChange::Remove { peer }))
    }
}

fn refused(name: &InterfaceName, error: &WireguardInterfaceError) -> WireGuardError {
    WireGuardError::Kernel { name: name.to_string(), message: error.to_string() }
}
