//! A dump of an interface: what it is, and its peers, read message by message as they come.
//!
//! Only what the agent may know is read: keys, allowed IPs and counters. A client's address, the time of its handshake and
//! its preshared key are skipped unread. Attributes that this code does not know are skipped too, as netlink asks for.

use std::net::IpAddr;

use ipnet::IpNet;
use wiregrant_core::counter::Reading;
use wiregrant_core::{WireGuardPrivateKey, WireGuardPublicKey};
use zeroize::Zeroize as _;

use super::NetlinkError;
use super::attribute::Attributes;
pub use super::message::Conversation;
use super::message::{Body, messages};
use super::request::{
    AF_INET, AF_INET6, WG_CMD_GET_DEVICE, WGALLOWEDIP_A_CIDR_MASK, WGALLOWEDIP_A_FAMILY,
    WGALLOWEDIP_A_IPADDR, WGDEVICE_A_PEERS, WGPEER_A_ALLOWEDIPS, WGPEER_A_PUBLIC_KEY,
};
use crate::wireguard::{Device, LivePeer};

/// The longest dump that is read: room for 65,536 peers with dozens of allowed IPs each.
pub const MAX_DUMP_BYTES: usize = 256 << 20;

pub(super) const WGDEVICE_A_PRIVATE_KEY: u16 = 3;
pub(super) const WGDEVICE_A_LISTEN_PORT: u16 = 6;
pub(super) const WGPEER_A_RX_BYTES: u16 = 7;
pub(super) const WGPEER_A_TX_BYTES: u16 = 8;

/// A dump whose end has not come.
#[derive(Debug)]
pub struct Dump {
    conversation: Conversation,
    device: Device,
    /// Messages of content so far.
    messages: u64,
    bytes: usize,
}

/// What a datagram has brought.
#[derive(Debug)]
pub enum Step {
    /// Not yet the end.
    More(Dump),
    /// The end, and with it everything.
    Whole(Device),
}

impl Dump {
    /// Nothing was received yet.
    #[must_use]
    pub fn begin(conversation: Conversation) -> Self {
        Self { conversation, device: Device::default(), messages: 0, bytes: 0 }
    }

    /// Takes what was received next.
    ///
    /// # Errors
    /// When the peers changed meanwhile, the kernel refused, or something has not its form. Nothing of a dump with an error
    /// is to be trusted.
    pub fn take(mut self, datagram: &[u8]) -> Result<Step, NetlinkError> {
        self.bytes = self.bytes.saturating_add(datagram.len());
        if self.bytes > MAX_DUMP_BYTES {
            return Err(NetlinkError::DumpTooLong);
        }
        let conversation = self.conversation;
        let mut messages = messages(datagram, &conversation);
        while let Some(message) = messages.next() {
            let message = message?;
            if message.interrupted {
                return Err(NetlinkError::Interrupted);
            }
            match message.body {
                Body::Family { command: WG_CMD_GET_DEVICE, attributes } => self.take_message(attributes)?,
                Body::Done if messages.next().is_none() => return self.whole().map(Step::Whole),
                _ => return Err(NetlinkError::Form { expected: "an interface, or the end of the dump" }),
            }
        }
        Ok(Step::More(self))
    }

    fn whole(mut self) -> Result<Device, NetlinkError> {
        if self.messages == 0 {
            return Err(NetlinkError::Form { expected: "an interface before the end of the dump" });
        }
        let peers = &mut self.device.peers;
        for peer in peers.iter_mut() {
            peer.allowed_ips.sort_unstable();
        }
        // The kernel tells peers in the order in which they were added, which often is that of their keys.
        if !peers.is_sorted_by(|one, next| one.public_key < next.public_key) {
            peers.sort_unstable_by_key(|peer| peer.public_key);
            // A peer that is removed and added again while the list is walked stands in it twice.
            if peers.windows(2).any(|pair| pair[0].public_key == pair[1].public_key) {
                return Err(NetlinkError::Interrupted);
            }
        }
        Ok(self.device)
    }

    fn take_message(&mut self, attributes: &[u8]) -> Result<(), NetlinkError> {
        self.messages += 1;
        let mut peers_here = 0_u64;
        for attribute in Attributes::new(attributes) {
            match attribute? {
                (WGDEVICE_A_PRIVATE_KEY, value) => {
                    let mut bytes: [u8; 32] = exactly(value, "a private key of 32 bytes")?;
                    self.device.private_key = Some(WireGuardPrivateKey::from(bytes));
                    bytes.zeroize();
                }
                (WGDEVICE_A_LISTEN_PORT, value) => {
                    self.device.listen_port = u16::from_ne_bytes(exactly(value, "a port of 2 bytes")?);
                }
                (WGDEVICE_A_PEERS, list) => {
                    for peer in Attributes::new(list) {
                        let peer = PeerPart::read(peer?.1)?;
                        self.take_peer(peer, peers_here == 0)?;
                        peers_here += 1;
                    }
                }
                _ => {}
            }
        }
        // There is a second message only if not all peers fitted into those before. The kernel ends the dump with an
        // empty one when the peer was removed at which it wanted to go on: all after it are missing.
        if self.messages > 1 && peers_here == 0 {
            return Err(NetlinkError::Interrupted);
        }
        Ok(())
    }

    /// Takes a peer, or the rest of the allowed IPs of the one before: only the first part has counters.
    fn take_peer(&mut self, part: PeerPart, first_of_message: bool) -> Result<(), NetlinkError> {
        let PeerPart { public_key, allowed_ips, received, sent } = part;
        match (received, sent, self.device.peers.last_mut()) {
            (Some(received), Some(sent), _) => {
                let reading = Reading { received, sent };
                self.device.peers.push(LivePeer { public_key, allowed_ips, reading });
                Ok(())
            }
            (None, None, Some(last)) if first_of_message && last.public_key == public_key => {
                last.allowed_ips.extend(allowed_ips);
                Ok(())
            }
            _ => Err(NetlinkError::NoCounters { peer: public_key }),
        }
    }
}

/// A peer as one message has it.
struct PeerPart {
    public_key: WireGuardPublicKey,
    allowed_ips: Vec<IpNet>,
    received: Option<u64>,
    sent: Option<u64>,
}

impl PeerPart {
    fn read(attributes: &[u8]) -> Result<Self, NetlinkError> {
        let (mut public_key, mut received, mut sent) = (None, None, None);
        let mut allowed_ips = Vec::new();
        for attribute in Attributes::new(attributes) {
            match attribute? {
                (WGPEER_A_PUBLIC_KEY, value) => {
                    once(&mut public_key, exactly::<32>(value, "a public key of 32 bytes")?)?;
                }
                (WGPEER_A_RX_BYTES, value) => once(&mut received, counter(value)?)?,
                (WGPEER_A_TX_BYTES, value) => once(&mut sent, counter(value)?)?,
                (WGPEER_A_ALLOWEDIPS, list) => {
                    // One allowed IP takes 28 bytes at least.
                    allowed_ips.reserve_exact(list.len() / 28);
                    for ip in Attributes::new(list) {
                        allowed_ips.push(allowed_ip(ip?.1)?);
                    }
                }
                _ => {}
            }
        }
        let public_key = public_key.ok_or(NetlinkError::Form { expected: "a peer with its public key" })?;
        Ok(Self { public_key: public_key.into(), allowed_ips, received, sent })
    }
}

fn allowed_ip(attributes: &[u8]) -> Result<IpNet, NetlinkError> {
    let (mut family, mut address, mut prefix) = (None, None, None);
    for attribute in Attributes::new(attributes) {
        match attribute? {
            (WGALLOWEDIP_A_FAMILY, value) => {
                family = Some(u16::from_ne_bytes(exactly(value, "an address family of 2 bytes")?));
            }
            (WGALLOWEDIP_A_IPADDR, value) => address = Some(value),
            (WGALLOWEDIP_A_CIDR_MASK, value) => {
                prefix = Some(exactly::<1>(value, "a prefix length of 1 byte")?[0]);
            }
            _ => {}
        }
    }
    let expected = "an allowed IP with family, address and a possible prefix length";
    let address: IpAddr = match (family, address) {
        (Some(AF_INET), Some(bytes)) => exactly::<4>(bytes, expected)?.into(),
        (Some(AF_INET6), Some(bytes)) => exactly::<16>(bytes, expected)?.into(),
        _ => return Err(NetlinkError::Form { expected }),
    };
    let ip = prefix.and_then(|prefix| IpNet::new(address, prefix).ok());
    ip.ok_or(NetlinkError::Form { expected })
}

fn counter(value: &[u8]) -> Result<u64, NetlinkError> {
    exactly(value, "a counter of 8 bytes").map(u64::from_ne_bytes)
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), NetlinkError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(NetlinkError::Form { expected: "a peer's attribute once" }),
    }
}

fn exactly<const N: usize>(value: &[u8], expected: &'static str) -> Result<[u8; N], NetlinkError> {
    value.try_into().map_err(|_| NetlinkError::Form { expected })
}

#[cfg(test)]
mod tests;
