//! Netlink messages: requests with their number, and answers that must carry the same number.
//!
//! A message is a header of 16 bytes (length, kind, flags, sequence number, port), in generic netlink 4 bytes more (command,
//! version, two of padding), and attributes.

use rustix::io::Errno;

use super::NetlinkError;
use super::attribute;

const HEADER_BYTES: usize = 16;
const GENERIC_HEADER_BYTES: usize = 4;
/// The version that both families that are spoken here take.
const VERSION: u8 = 1;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// A request that is being written.
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// A question with one answer.
    pub fn get(family: u16, command: u8) -> Self {
        Self::new(family, command, NLM_F_REQUEST)
    }

    /// A question with an answer of many messages.
    pub fn dump(family: u16, command: u8) -> Self {
        Self::new(family, command, NLM_F_REQUEST | NLM_F_DUMP)
    }

    /// An order, which is acknowledged.
    pub fn set(family: u16, command: u8) -> Self {
        Self::new(family, command, NLM_F_REQUEST | NLM_F_ACK)
    }

    fn new(family: u16, command: u8, flags: u16) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&family.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend_from_slice(&[command, VERSION, 0, 0]);
        Self { bytes }
    }

    pub fn put(&mut self, kind: u16, value: &[u8]) {
        attribute::put(&mut self.bytes, kind, value);
    }

    pub fn open(&mut self, kind: u16) -> usize {
        attribute::open(&mut self.bytes, kind)
    }

    pub fn close(&mut self, start: usize) {
        attribute::close(&mut self.bytes, start);
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets what was written after the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// The whole message under its number.
    pub fn sealed(&mut self, sequence: u32, port: u32) -> &[u8] {
        let length = u32::try_from(self.bytes.len()).expect("a message is shorter than 64 KiB");
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes[12..16].copy_from_slice(&port.to_ne_bytes());
        &self.bytes
    }
}

/// What the answers to one request must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversation {
    /// The family that was asked, which is the kind of its messages.
    pub family: u16,
    /// The request's number.
    pub sequence: u32,
    /// The socket's port.
    pub port: u32,
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What is dumped has changed since the dump began.
    pub interrupted: bool,
    pub body: Body<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Content.
    Family { command: u8, attributes: &'a [u8] },
    /// An order was carried out.
    Acknowledged,
    /// A dump has come to its end.
    Done,
}

/// The answers in one datagram. A refusal, whether of the request or at a dump's end, is an error.
pub fn messages<'a>(datagram: &'a [u8], conversation: &Conversation) -> Messages<'a> {
    Messages { rest: datagram, conversation: *conversation }
}

pub struct Messages<'a> {
    rest: &'a [u8],
    conversation: Conversation,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, NetlinkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.rest);
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Some(Err(NetlinkError::Form { expected: "a message of at least 16 bytes" }));
        };
        let length = usize::try_from(number(header, 0)).unwrap_or(usize::MAX);
        let Some(payload) = bytes.get(HEADER_BYTES..length) else {
            return Some(Err(NetlinkError::Form { expected: "a message within its datagram" }));
        };
        self.rest = bytes.get(attribute::padded(length)..).unwrap_or_default();
        Some(self.understood(header, payload))
    }
}

impl<'a> Messages<'a> {
    fn understood(
        &self,
        header: &[u8; HEADER_BYTES],
        payload: &'a [u8],
    ) -> Result<Message<'a>, NetlinkError> {
        let Conversation { family, sequence, port } = self.conversation;
        let (found_sequence, found_port) = (number(header, 8), number(header, 12));
        if (found_sequence, found_port) != (sequence, port) {
            return Err(NetlinkError::Stray { sequence, found_sequence, port, found_port });
        }
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let flags = u16::from_ne_bytes([header[6], header[7]]);
        let body = match kind {
            NLMSG_ERROR => accepted(payload).map(|()| Body::Acknowledged)?,
            NLMSG_DONE => accepted(payload).map(|()| Body::Done)?,
            kind if kind == family => match payload.split_at_checked(GENERIC_HEADER_BYTES) {
                Some((generic, attributes)) => Body::Family { command: generic[0], attributes },
                None => return Err(NetlinkError::Form { expected: "a generic-netlink header" }),
            },
            _ => return Err(NetlinkError::Form { expected: "a message of the family that was asked" }),
        };
        Ok(Message { interrupted: flags & NLM_F_DUMP_INTR != 0, body })
    }
}

/// The error number at the beginning of an `NLMSG_ERROR` or `NLMSG_DONE`: 0, or an `errno` below 0.
fn accepted(payload: &[u8]) -> Result<(), NetlinkError> {
    let code = payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
    match code {
        Some(0) => Ok(()),
        // 4095 is the kernel's MAX_ERRNO.
        Some(code @ -4095..0) => Err(NetlinkError::Refused(Errno::from_raw_os_error(-code))),
        _ => Err(NetlinkError::Form { expected: "an error number from 0 down to -4095" }),
    }
}

fn number(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_ne_bytes(header[at..at + 4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests;
