//! The requests to the kernel's WireGuard: for a dump, and for changes of peers, many to a message.

use std::net::IpAddr;

use ipnet::IpNet;
use wiregrant_core::WireGuardPublicKey;

use super::NetlinkError;
use super::attribute;
use super::message::Request;
use crate::wireguard::{InterfaceName, PeerChange};

/// The longest message of changes. The kernel holds the lock of all network configuration while it carries one out; this is
/// some 270 peers. It must stay below 64 KiB, where the length of an attribute ends.
pub const MAX_REQUEST_BYTES: usize = 32 << 10;

pub(super) const WG_CMD_GET_DEVICE: u8 = 0;
pub(super) const WG_CMD_SET_DEVICE: u8 = 1;

pub(super) const WGDEVICE_A_IFNAME: u16 = 2;
pub(super) const WGDEVICE_A_LISTEN_PORT: u16 = 6;
pub(super) const WGDEVICE_A_PEERS: u16 = 8;

pub(super) const WGPEER_A_PUBLIC_KEY: u16 = 1;
pub(super) const WGPEER_A_FLAGS: u16 = 3;
pub(super) const WGPEER_A_ALLOWEDIPS: u16 = 9;

pub(super) const WGALLOWEDIP_A_FAMILY: u16 = 1;
pub(super) const WGALLOWEDIP_A_IPADDR: u16 = 2;
pub(super) const WGALLOWEDIP_A_CIDR_MASK: u16 = 3;

pub(super) const WGPEER_F_REMOVE_ME: u32 = 1;
pub(super) const WGPEER_F_REPLACE_ALLOWEDIPS: u32 = 2;
pub(super) const WGPEER_F_UPDATE_ONLY: u32 = 4;

pub(super) const AF_INET: u16 = 2;
pub(super) const AF_INET6: u16 = 10;

/// A peer up to its allowed IPs: the nest, the key, the flags.
const PEER_BYTES: usize = 4 + 36 + 8;
/// One allowed IP at its longest: the nest, the family, an IPv6 address, the prefix length.
const ALLOWED_IP_BYTES: usize = 4 + 8 + 20 + 8;

/// The request for everything about an interface.
pub fn device_dump(family: u16, name: &InterfaceName) -> Request {
    let mut request = Request::dump(family, WG_CMD_GET_DEVICE);
    put_name(&mut request, name);
    request
}

/// The request to listen on another UDP port. It says nothing of peers, so they keep sessions and counters.
pub fn listen_port(family: u16, name: &InterfaceName, port: u16) -> Request {
    let mut request = Request::set(family, WG_CMD_SET_DEVICE);
    put_name(&mut request, name);
    request.put(WGDEVICE_A_LISTEN_PORT, &port.to_ne_bytes());
    request
}

/// Writes the changes into messages of at most [`MAX_REQUEST_BYTES`] and gives each to `send`.
///
/// A peer whose allowed IPs do not fit into one is continued in the next: there it is only updated, so that it does
/// not come back if somebody removed it in between, and nothing is replaced.
///
/// # Errors
/// What `send` says; the rest of the changes is not sent then.
pub fn in_batches<'a>(
    family: u16,
    name: &InterfaceName,
    changes: impl IntoIterator<Item = PeerChange<'a>>,
    send: impl FnMut(&mut Request) -> Result<(), NetlinkError>,
) -> Result<(), NetlinkError> {
    let mut request = Request::set(family, WG_CMD_SET_DEVICE);
    put_name(&mut request, name);
    let empty = request.len();
    let peers = request.open(WGDEVICE_A_PEERS);
    let mut batch = Batch { request, empty, peers, send };
    for change in changes {
        batch.add(change)?;
    }
    batch.send_what_there_is()
}

struct Batch<S> {
    request: Request,
    /// The length up to the peers.
    empty: usize,
    /// Where the nest of the peers begins.
    peers: usize,
    send: S,
}

impl<S: FnMut(&mut Request) -> Result<(), NetlinkError>> Batch<S> {
    fn add(&mut self, change: PeerChange<'_>) -> Result<(), NetlinkError> {
        let replace = WGPEER_F_REPLACE_ALLOWEDIPS;
        let (peer, mut flags, mut left) = match change {
            PeerChange::Set { peer, allowed_ips } if !allowed_ips.is_empty() => (peer, replace, allowed_ips),
            PeerChange::Set { peer, allowed_ips } | PeerChange::Update { peer, allowed_ips } => {
                (peer, replace | WGPEER_F_UPDATE_ONLY, allowed_ips)
            }
            PeerChange::Remove { peer } => (peer, WGPEER_F_REMOVE_ME | WGPEER_F_UPDATE_ONLY, [].as_slice()),
        };
        loop {
            let needed = match left {
                [] => PEER_BYTES,
                _ => PEER_BYTES + attribute::HEADER_BYTES + ALLOWED_IP_BYTES,
            };
            if self.request.len() + needed > MAX_REQUEST_BYTES {
                self.send_what_there_is()?;
            }
            let room = MAX_REQUEST_BYTES - self.request.len() - PEER_BYTES;
            let fit = room.saturating_sub(attribute::HEADER_BYTES) / ALLOWED_IP_BYTES;
            let (now, later) = left.split_at(fit.min(left.len()));
            put_peer(&mut self.request, peer, flags, now);
            if later.is_empty() {
                return Ok(());
            }
            (flags, left) = (WGPEER_F_UPDATE_ONLY, later);
        }
    }

    fn send_what_there_is(&mut self) -> Result<(), NetlinkError> {
        if self.request.len() == self.peers + attribute::HEADER_BYTES {
            return Ok(());
        }
        self.request.close(self.peers);
        (self.send)(&mut self.request)?;
        self.request.truncate(self.empty);
        self.peers = self.request.open(WGDEVICE_A_PEERS);
        Ok(())
    }
}

fn put_name(request: &mut Request, name: &InterfaceName) {
    let mut text = name.as_str().as_bytes().to_vec();
    text.push(0);
    request.put(WGDEVICE_A_IFNAME, &text);
}

fn put_peer(request: &mut Request, peer: &WireGuardPublicKey, flags: u32, allowed_ips: &[IpNet]) {
    // The kernel reads a list: the kinds of its elements say nothing.
    let nest = request.open(0);
    request.put(WGPEER_A_PUBLIC_KEY, peer.as_bytes());
    request.put(WGPEER_A_FLAGS, &flags.to_ne_bytes());
    if !allowed_ips.is_empty() {
        let list = request.open(WGPEER_A_ALLOWEDIPS);
        for ip in allowed_ips {
            put_allowed_ip(request, ip);
        }
        request.close(list);
    }
    request.close(nest);
}

fn put_allowed_ip(request: &mut Request, ip: &IpNet) {
    let nest = request.open(0);
    match ip.addr() {
        IpAddr::V4(address) => {
            request.put(WGALLOWEDIP_A_FAMILY, &AF_INET.to_ne_bytes());
            request.put(WGALLOWEDIP_A_IPADDR, &address.octets());
        }
        IpAddr::V6(address) => {
            request.put(WGALLOWEDIP_A_FAMILY, &AF_INET6.to_ne_bytes());
            request.put(WGALLOWEDIP_A_IPADDR, &address.octets());
        }
    }
    request.put(WGALLOWEDIP_A_CIDR_MASK, &[ip.prefix_len()]);
    request.close(nest);
}

#[cfg(test)]
mod tests;
