//! WireGuard on this machine: one interface, its live peers and their counters, behind one narrow trait.
//!
//! Architecture Invariant: no type of this module holds an endpoint, a handshake time or a preshared key. What WireGuard
//! tells about where and when a person connected is dropped where it is read, so nothing above can keep it.
//!
//! Architecture Invariant: the interface belongs to the kernel or to a `wireguard-go` process of its own, never to
//! the agent's process, and taking over a live interface changes nothing for its peers. An embedded userspace device
//! would take the tunnel down with the agent.

mod choice;
mod error;
mod kernel;
mod link;
mod name;
pub mod netlink;
pub mod statistics;
pub mod uapi;
mod wireguard_go;

use std::collections::BTreeSet;

use ipnet::IpNet;
use wiregrant_core::counter::Reading;
use wiregrant_core::usage_report::Backend;
use wiregrant_core::{WireGuardPrivateKey, WireGuardPublicKey};
use x25519_dalek::{PublicKey, StaticSecret};

pub use choice::{Choice, delete_interface, open, open_live, open_with};
pub use error::WireGuardError;
pub use kernel::Kernel;
pub use name::InterfaceName;
pub use statistics::Statistics;
pub use wireguard_go::{Starter, WireGuardGo};

/// What the node's interface should be.
#[derive(Debug, Clone)]
pub struct InterfaceSettings {
    /// The node's own key; an interface with another one is not ours.
    pub private_key: WireGuardPrivateKey,
    /// The UDP port; 0 takes any, and keeps the one a live interface has.
    pub listen_port: u16,
    /// The node's addresses inside the tunnel, with the length of their network.
    pub addresses: Vec<IpNet>,
    /// The greatest inner packet, in bytes.
    pub mtu: u16,
}

/// How an interface came into the agent's hands. It says nothing about the counters: those are judged by their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    /// Made now, without peers.
    Created,
    /// It was there; its peers, sessions and counters go on.
    Adopted,
}

/// A peer as the interface has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePeer {
    /// Who it is.
    pub public_key: WireGuardPublicKey,
    /// The addresses it may use inside the tunnel, sorted.
    pub allowed_ips: Vec<IpNet>,
    /// WireGuard message bytes since the peer was added, as seen from the node.
    pub reading: Reading,
}

/// An interface as its backend tells it.
#[derive(Debug, Default)]
pub struct Device {
    /// Absent while none was set.
    pub private_key: Option<WireGuardPrivateKey>,
    /// 0 when none was chosen yet.
    pub listen_port: u16,
    /// Sorted by key.
    pub peers: Vec<LivePeer>,
}

impl Device {
    /// The peers of an interface that can move something. One without a key has none worth speaking of, and whoever
    /// added some to it would wait for them in vain.
    fn into_peers(self, name: &InterfaceName) -> Result<Vec<LivePeer>, WireGuardError> {
        match self.private_key {
            Some(_) => Ok(self.peers),
            None => Err(WireGuardError::NotConfigured { name: name.to_string() }),
        }
    }
}

/// What is to be done to one peer, in the words of both backends.
#[derive(Debug, Clone, Copy)]
pub enum PeerChange<'a> {
    /// Add it, or replace the allowed IPs of a live one. With none it is never added.
    Set {
        /// Who.
        peer: &'a WireGuardPublicKey,
        /// What it may use.
        allowed_ips: &'a [IpNet],
    },
    /// Replace the allowed IPs of a live one; nothing if it is not there.
    Update {
        /// Who.
        peer: &'a WireGuardPublicKey,
        /// What it may use.
        allowed_ips: &'a [IpNet],
    },
    /// Remove it; nothing if it is not there.
    Remove {
        /// Who.
        peer: &'a WireGuardPublicKey,
    },
}

/// A peer and its allowed IPs.
pub type Routed<'a> = (WireGuardPublicKey, &'a [IpNet]);

/// Peers as [`Interface`] takes them.
#[must_use]
pub fn routed(peers: &[(WireGuardPublicKey, Vec<IpNet>)]) -> Vec<Routed<'_>> {
    peers.iter().map(|(peer, allowed_ips)| (*peer, allowed_ips.as_slice())).collect()
}

/// One WireGuard interface. Every call blocks, for seconds when the machine is unwell.
pub trait Interface: Send {
    /// What moves the packets, as a usage report names it.
    fn kind(&self) -> Backend;

    /// Makes the interface, or takes over the one that is there without touching a peer: only what is missing or differs
    /// in addresses, MTU and (where it can be done without touching peers) port is set.
    ///
    /// # Errors
    /// When a link of this name is something else or has another private key, and when the system refuses.
    fn ensure_interface(&mut self, settings: &InterfaceSettings) -> Result<Ensured, WireGuardError>;

    /// All peers, sorted by key.
    ///
    /// A kernel's dump may be torn while somebody else changes the interface, and then lacks peers that are alive. So
    /// absence in one answer must never be taken for a removal: a counter that was declared reset but went on would be
    /// counted twice.
    ///
    /// # Errors
    /// When the interface is gone, was made anew and has no key, cannot be read, or answers with something that is not to be
    /// trusted.
    fn peers(&mut self) -> Result<Vec<LivePeer>, WireGuardError>;

    /// What the interface says of all its peers together, those that are gone included, in the same bytes as
    /// [`LivePeer::reading`]; `None` where it says no such thing.
    ///
    /// # Errors
    /// When the interface is gone or cannot be read.
    fn statistics(&mut self) -> Result<Option<Statistics>, WireGuardError> {
        Ok(None)
    }

    /// Adds the peer, or replaces the allowed IPs of a live one, which keeps its session and counters.
    ///
    /// With no allowed IPs a live peer stays but may send nothing: the step before the last reading of a peer
    /// that is to be removed.
    ///
    /// # Errors
    /// When the interface is gone or refuses.
    fn set_peer(&mut self, peer: &WireGuardPublicKey, allowed_ips: &[IpNet]) -> Result<(), WireGuardError>;

    /// Removes the peer and with it its counters; no error when it is not there. `Ok` means the interface confirmed it.
    ///
    /// # Errors
    /// When the interface is gone or refuses.
    fn remove_peer(&mut self, peer: &WireGuardPublicKey) -> Result<(), WireGuardError>;

    /// [`Self::set_peer`] for many, in their order. After an error some are set and some not.
    ///
    /// # Errors
    /// When the interface is gone or refuses.
    fn set_peers(&mut self, peers: &[Routed<'_>]) -> Result<(), WireGuardError> {
        peers.iter().try_for_each(|(peer, allowed_ips)| self.set_peer(peer, allowed_ips))
    }

    /// Replaces the allowed IPs of live peers, which keep their sessions and counters. Who is not there is not added: a peer
    /// that somebody removed meanwhile does not come back with counters at zero. After an error some are updated
    /// and some not.
    ///
    /// # Errors
    /// When the interface is gone or refuses.
    fn update_peers(&mut self, peers: &[Routed<'_>]) -> Result<(), WireGuardError> {
        let live: BTreeSet<_> = self.peers()?.into_iter().map(|peer| peer.public_key).collect();
        let mut known = peers.iter().filter(|(peer, _)| live.contains(peer));
        known.try_for_each(|(peer, allowed_ips)| self.set_peer(peer, allowed_ips))
    }

    /// [`Self::remove_peer`] for many. `Ok` means the interface confirmed all; after an error some are removed and some not.
    ///
    /// # Errors
    /// When the interface is gone or refuses.
    fn remove_peers(&mut self, peers: &[WireGuardPublicKey]) -> Result<(), WireGuardError> {
        peers.iter().try_for_each(|peer| self.remove_peer(peer))
    }
}

/// Whether two private keys are one. They are compared by their public keys, because a backend stores a key clamped
/// (RFC 7748, section 5) and the key file may hold it as it was drawn.
fn same_key(one: &WireGuardPrivateKey, other: &WireGuardPrivateKey) -> bool {
    let public = |key: &WireGuardPrivateKey| PublicKey::from(&StaticSecret::from(*key.as_bytes())).to_bytes();
    public(one) == public(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_equals_itself_after_clamping_and_no_other() {
        let drawn = WireGuardPrivateKey::from([0x11; 32]);
        let mut clamped = [0x11; 32];
        clamped[0] &= 248;
        clamped[31] = clamped[31] & 127 | 64;
        assert!(same_key(&drawn, &WireGuardPrivateKey::from(clamped)));
        assert!(!same_key(&drawn, &WireGuardPrivateKey::from([0x12; 32])));
    }
}
