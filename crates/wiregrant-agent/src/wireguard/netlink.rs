//! The conversation with the kernel's WireGuard over generic netlink: one socket that is kept, peers changed many to
//! a message, and everything read as it comes.
//!
//! Format: the kernel's `include/uapi/linux/wireguard.h` and `Documentation/userspace-api/netlink/intro.rst`.
//!
//! Own code rather than the `netlink-packet-*` crates, because those read every attribute, the clients' addresses with them,
//! into trees of vectors; that is also where most of the time of reading ten thousand peers would go.

mod attribute;
pub mod dump;
mod error;
mod message;
mod request;

use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::Duration;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::{GENERIC, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, getsockname, recv, send,
    socket_with,
};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Device, InterfaceName, PeerChange};
use attribute::Attributes;
use dump::{Dump, Step};
pub use error::NetlinkError;
use message::{Body, Conversation, Request, messages};

/// How long the kernel may take for one answer, in seconds.
pub const ANSWER_TIMEOUT_SECONDS: u64 = 10;
/// How often a dump is begun, when it is interrupted each time, before that is an error.
pub const MAX_READINGS: u32 = 10;
/// The first pause between two readings, in which a burst of changes may end. Each is twice as long as the one before, in all
/// half a second.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// Room for one answer. The kernel fills up to 32 KiB of a dump at once when it is offered as much, and repeats a refused
/// request, which is no longer than [`request::MAX_REQUEST_BYTES`].
const ANSWER_BYTES: usize = 64 << 10;

/// `GENL_ID_CTRL`: the family that knows the other families.
const CONTROL_FAMILY: u16 = 0x10;
const CTRL_CMD_NEWFAMILY: u8 = 1;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const WIREGUARD_FAMILY_NAME: &[u8] = b"wireguard\0";

/// The way to the WireGuard of the network namespace in which it is first used.
///
/// A conversation that fails in any way takes its socket with it, so what the kernel may still say to it is never taken
/// for the answer to something else.
#[derive(Default)]
pub struct Netlink {
    connection: Option<Connection>,
}

impl Netlink {
    /// The interface and all its peers.
    ///
    /// # Errors
    /// When the kernel refuses or does not answer in time, when its answer has not its form, and when the peers changed
    /// during each of [`MAX_READINGS`] readings.
    pub fn device(&mut self, name: &InterfaceName) -> Result<Device, NetlinkError> {
        for pause in 0..MAX_READINGS - 1 {
            match self.converse(|connection| connection.device(name)) {
                Err(NetlinkError::Interrupted) => sleep(FIRST_PAUSE * 2_u32.pow(pause)),
                result => return result,
            }
        }
        self.converse(|connection| connection.device(name))
    }

    /// Makes the changes in their order, in as few messages as they fit into. After an error some are made and some not.
    ///
    /// # Errors
    /// When the kernel refuses or does not answer in time.
    pub fn change_peers<'a>(
        &mut self,
        name: &InterfaceName,
        changes: impl IntoIterator<Item = PeerChange<'a>>,
    ) -> Result<(), NetlinkError> {
        self.converse(|connection| {
            request::in_batches(connection.family, name, changes, |request| connection.order(request))
        })
    }

    /// Makes the interface listen on another UDP port; its peers keep sessions and counters.
    ///
    /// # Errors
    /// When the kernel refuses, for instance because the port is taken, or does not answer in time.
    pub fn set_listen_port(&mut self, name: &InterfaceName, port: u16) -> Result<(), NetlinkError> {
        self.converse(|connection| {
            let mut request = request::listen_port(connection.family, name, port);
            connection.order(&mut request)
        })
    }

    fn converse<T>(
        &mut self,
        talk: impl FnOnce(&mut Connection) -> Result<T, NetlinkError>,
    ) -> Result<T, NetlinkError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open()?,
        };
        let result = talk(&mut connection)?;
        self.connection = Some(connection);
        Ok(result)
    }
}

/// A socket that only the kernel can send to, and what the kernel calls things on it.
struct Connection {
    socket: OwnedFd,
    /// The socket's own address, which every answer carries.
    port: u32,
    /// The number of the last request.
    sequence: u32,
    /// What the kernel calls WireGuard until it is started again or its module is loaded again.
    family: u16,
    answer: Zeroizing<Vec<u8>>,
}

impl Connection {
    fn open() -> Result<Self, NetlinkError> {
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(GENERIC))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_secs(ANSWER_TIMEOUT_SECONDS)))?;
        // Connected to the kernel, whose port is 0: the socket takes nothing from other processes, and has got a port.
        connect(&socket, &SocketAddrNetlink::new(0, 0))?;
        let port = SocketAddrNetlink::try_from(getsockname(&socket)?)?.pid();
        let answer = Zeroizing::new(vec![0; ANSWER_BYTES]);
        let mut connection = Self { socket, port, sequence: 0, family: CONTROL_FAMILY, answer };
        connection.family = connection.wireguard_family()?;
        Ok(connection)
    }

    fn wireguard_family(&mut self) -> Result<u16, NetlinkError> {
        let mut request = Request::get(CONTROL_FAMILY, CTRL_CMD_GETFAMILY);
        request.put(CTRL_ATTR_FAMILY_NAME, WIREGUARD_FAMILY_NAME);
        let conversation = self.ask(&mut request)?;
        let found = self.receive().and_then(|answer| {
            let mut messages = messages(answer, &conversation);
            match messages.next().transpose()?.map(|message| message.body) {
                Some(Body::Family { command: CTRL_CMD_NEWFAMILY, attributes }) => family_id(attributes),
                _ => Err(NetlinkError::Form { expected: "a generic-netlink family" }),
            }
        });
        match found {
            Err(NetlinkError::Refused(errno)) if errno == Errno::NOENT => Err(NetlinkError::NoFamily),
            found => found,
        }
    }

    fn device(&mut self, name: &InterfaceName) -> Result<Device, NetlinkError> {
        let conversation = self.ask(&mut request::device_dump(self.family, name))?;
        let mut dump = Dump::begin(conversation);
        let mut longest = 0;
        let device = loop {
            let step = self.receive().and_then(|answer| {
                longest = longest.max(answer.len());
                dump.take(answer)
            });
            match step {
                Ok(Step::More(more)) => dump = more,
                Ok(Step::Whole(device)) => break Ok(device),
                Err(error) => break Err(error),
            }
        };
        // It held the node's private key and the clients' addresses.
        self.answer[..longest].zeroize();
        device
    }

    /// Sends a request and waits until the kernel says that it is done.
    fn order(&mut self, request: &mut Request) -> Result<(), NetlinkError> {
        let conversation = self.ask(request)?;
        let answer = self.receive()?;
        let mut messages = messages(answer, &conversation);
        match (messages.next().transpose()?.map(|message| message.body), messages.next()) {
            (Some(Body::Acknowledged), None) => Ok(()),
            _ => Err(NetlinkError::Form { expected: "an acknowledgement" }),
        }
    }

    fn ask(&mut self, request: &mut Request) -> Result<Conversation, NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let conversation = Conversation { family: self.family, sequence: self.sequence, port: self.port };
        let bytes = request.sealed(self.sequence, self.port);
        // Netlink takes a message whole or not at all.
        retry_on_intr(|| send(&self.socket, bytes, SendFlags::empty()))?;
        Ok(conversation)
    }

    fn receive(&mut self) -> Result<&[u8], NetlinkError> {
        let room = self.answer.as_mut_slice();
        match retry_on_intr(|| recv(&self.socket, &mut *room, RecvFlags::TRUNC)) {
            // With `TRUNC` the second is the length of the whole answer, also of one that did not fit.
            Ok((_, length)) => room.get(..length).ok_or(NetlinkError::AnswerTooLong { bytes: length }),
            Err(Errno::AGAIN) => Err(NetlinkError::TimedOut),
            Err(error) => Err(error.into()),
        }
    }
}

fn family_id(attributes: &[u8]) -> Result<u16, NetlinkError> {
    for attribute in Attributes::new(attributes) {
        if let (CTRL_ATTR_FAMILY_ID, value) = attribute? {
            let id = value.try_into().map(u16::from_ne_bytes);
            return id.map_err(|_| NetlinkError::Form { expected: "a family's number of 2 bytes" });
        }
    }
    Err(NetlinkError::Form { expected: "a family with its number" })
}
