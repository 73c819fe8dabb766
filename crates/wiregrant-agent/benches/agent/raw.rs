//! Batched netlink with nothing around it: as many peers as fit into a message, and nothing done to an answer but a look at its
//! error number.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use ipnet::IpNet;
use rustix::net::netlink::{GENERIC, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use wiregrant_core::WireGuardPublicKey;

/// As long as the agent's own messages.
const MESSAGE_BYTES: usize = 32 << 10;
/// More than a peer with two addresses takes.
const PEER_BYTES: usize = 160;

/// A socket to the kernel's WireGuard.
pub struct Raw {
    socket: OwnedFd,
    family: u16,
    name: String,
}

impl Raw {
    pub fn new(name: &str) -> Self {
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(GENERIC))
                .expect("a socket");
        connect(&socket, &SocketAddrNetlink::new(0, 0)).expect("the kernel");
        let mut raw = Self { socket, family: 0x10, name: name.to_owned() };
        // CTRL_CMD_GETFAMILY by CTRL_ATTR_FAMILY_NAME; its answer has CTRL_ATTR_FAMILY_ID.
        let mut message = raw.message(1, 3);
        put(&mut message, 2, b"wireguard\0");
        let answer = raw.ask(message);
        let mut rest = &answer[20..];
        while let [low, high, kind, _, ..] = *rest {
            let length = usize::from(u16::from_ne_bytes([low, high]));
            if kind == 1 {
                raw.family = u16::from_ne_bytes([rest[4], rest[5]]);
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        raw
    }

    /// Adds the peers.
    pub fn add(&self, peers: &[(WireGuardPublicKey, Vec<IpNet>)]) {
        for batch in peers.chunks(MESSAGE_BYTES / PEER_BYTES) {
            // NLM_F_REQUEST | NLM_F_ACK; WG_CMD_SET_DEVICE by WGDEVICE_A_IFNAME, WGDEVICE_A_PEERS.
            let mut message = self.message(5, 1);
            put(&mut message, 2, format!("{}\0", self.name).as_bytes());
            let list = open(&mut message, 8);
            for (key, ips) in batch {
                let peer = open(&mut message, 0);
                put(&mut message, 1, key.as_bytes());
                put(&mut message, 3, &2_u32.to_ne_bytes());
                let allowed = open(&mut message, 9);
                for ip in ips {
                    let one = open(&mut message, 0);
                    let (family, address): (u16, &[u8]) = match &ip.addr() {
                        IpAddr::V4(address) => (2, &address.octets()),
                        IpAddr::V6(address) => (10, &address.octets()),
                    };
                    put(&mut message, 1, &family.to_ne_bytes());
                    put(&mut message, 2, address);
                    put(&mut message, 3, &[ip.prefix_len()]);
                    close(&mut message, one);
                }
                close(&mut message, allowed);
                close(&mut message, peer);
            }
            close(&mut message, list);
            let answer = self.ask(message);
            assert_eq!(answer[16..20], [0; 4], "the kernel refused");
        }
    }

    fn message(&self, flags: u16, command: u8) -> Vec<u8> {
        let mut message = vec![0; 4];
        message.extend_from_slice(&self.family.to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(&[command, 1, 0, 0]);
        message
    }

    fn ask(&self, mut message: Vec<u8>) -> Vec<u8> {
        let length = u32::try_from(message.len()).expect("short");
        message[..4].copy_from_slice(&length.to_ne_bytes());
        send(&self.socket, &message, SendFlags::empty()).expect("sent");
        let mut answer = vec![0; 64 << 10];
        let (length, _) = recv(&self.socket, answer.as_mut_slice(), RecvFlags::empty()).expect("answered");
        answer.truncate(length);
        answer
    }
}

fn put(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let start = begin(message, kind);
    message.extend_from_slice(value);
    close(message, start);
}

/// `NLA_F_NESTED`, without which the kernel refuses the list.
fn open(message: &mut Vec<u8>, kind: u16) -> usize {
    begin(message, kind | 0x8000)
}

fn begin(message: &mut Vec<u8>, kind: u16) -> usize {
    message.extend_from_slice(&[0; 2]);
    message.extend_from_slice(&kind.to_ne_bytes());
    message.len() - 4
}

fn close(message: &mut Vec<u8>, start: usize) {
    let length = u16::try_from(message.len() - start).expect("short");
    message[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    message.resize(message.len().next_multiple_of(4), 0);
}
