//! The text protocol that userspace WireGuard implementations speak on their socket.
//!
//! Format: <https://www.wireguard.com/xplatform/>. A request is `get=1` or `set=1`, lines `key=value`, and an empty
//! line; a reply ends with `errno=<number>` and an empty line.
//!
//! The reader takes exactly what it knows. A counter that is missing, or stands twice, is an error rather than a zero: a
//! false zero looks like a reset, and the next true reading would then be counted from the start again. Lines that tell
//! where and when a person connected are checked for their place and thrown away. No message repeats a value, since
//! a value may be a private key or a client's address.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, Read as _};

use data_encoding::HEXLOWER;
use ipnet::IpNet;
use thiserror::Error;
use wiregrant_core::counter::Reading;
use wiregrant_core::{WireGuardPrivateKey, WireGuardPublicKey};
use zeroize::{Zeroize, Zeroizing};

use super::{Device, LivePeer, PeerChange};

/// The longest line that is read, in bytes without its end; the longest real one is a key of 77.
pub const MAX_LINE_BYTES: usize = 256;
/// The longest reply that is read: room for 100,000 peers.
pub const MAX_REPLY_BYTES: u64 = 64 << 20;

/// The request for everything.
pub const GET: &str = "get=1\n\n";

/// What was wrong with a conversation.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UapiError {
    /// The device refused the request.
    #[error("the device refused the request with errno {0}")]
    Refused(i64),
    /// A line does not stand where it may, or does not have its form. The value is not repeated.
    #[error("reply line {line} ({key:?}): expected {expected}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What stands before the `=`, at most 32 characters of it; empty when there is none.
        key: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A peer lacks a line that it must have.
    #[error("reply line {line}: the peer that ends before it has no {key}")]
    Missing {
        /// Counted from 1.
        line: u64,
        /// What is missing.
        key: &'static str,
    },
    /// The reply stopped before its end; what came before is not to be trusted.
    #[error("the reply stops after {lines} lines, without errno and an empty line")]
    Cut {
        /// Whole lines read.
        lines: u64,
    },
    /// A line is too long to be one.
    #[error("reply line {line} is longer than {MAX_LINE_BYTES} bytes")]
    LineTooLong {
        /// Counted from 1.
        line: u64,
    },
    /// The socket failed, or gave no answer in time.
    #[error("its control socket: {0}")]
    Io(#[from] io::Error),
}

/// The request that sets what is the interface's own; peers are not touched. A port of `None` is left as it is.
#[must_use]
pub fn set_interface(
    private_key: Option<&WireGuardPrivateKey>,
    listen_port: Option<u16>,
) -> Zeroizing<String> {
    // Large enough from the start: a growing string would leave copies of the key behind.
    let mut request = Zeroizing::new(String::with_capacity(256));
    request.push_str("set=1\n");
    if let Some(key) = private_key {
        request.push_str("private_key=");
        HEXLOWER.encode_append(key.as_bytes(), &mut request);
        request.push('\n');
    }
    if let Some(port) = listen_port {
        let _ = writeln!(request, "listen_port={port}");
    }
    request.push('\n');
    request
}

/// The request that makes the changes, in their order, as one transaction.
#[must_use]
pub fn change_peers<'a>(changes: impl IntoIterator<Item = PeerChange<'a>>) -> String {
    let mut request = String::from("set=1\n");
    for change in changes {
        let (PeerChange::Set { peer, .. } | PeerChange::Update { peer, .. } | PeerChange::Remove { peer }) =
            change;
        request.push_str("public_key=");
        HEXLOWER.encode_append(peer.as_bytes(), &mut request);
        request.push('\n');
        let allowed_ips = match change {
            PeerChange::Remove { .. } => {
                request.push_str("remove=true\n");
                continue;
            }
            PeerChange::Set { allowed_ips, .. } if !allowed_ips.is_empty() => allowed_ips,
            PeerChange::Set { allowed_ips, .. } | PeerChange::Update { allowed_ips, .. } => {
                request.push_str("update_only=true\n");
                allowed_ips
            }
        };
        request.push_str("replace_allowed_ips=true\n");
        for ip in allowed_ips {
            let _ = writeln!(request, "allowed_ip={ip}");
        }
    }
    request.push('\n');
    request
}

/// Reads the reply to a `set`.
///
/// # Errors
/// When the device refused, or the reply is not whole.
pub fn read_acknowledgement(reader: impl BufRead) -> Result<(), UapiError> {
    let mut lines = Lines::new(reader);
    match lines.next()? {
        Some(("errno", value)) => {
            let errno = errno(value);
            lines.end(errno)
        }
        _ => Err(lines.wrong("errno")),
    }
}

/// Reads the reply to a `get`.
///
/// # Errors
/// When the device refused, a line has not its form or place, a peer lacks a counter or stands twice, or the
/// reply is not whole.
pub fn read_device(reader: impl BufRead) -> Result<Device, UapiError> {
    let mut lines = Lines::new(reader);
    let mut device = Device::default();
    let mut peers = BTreeMap::new();
    let mut open: Option<OpenPeer> = None;
    let mut port_seen = false;
    loop {
        let line = lines.number + 1;
        let Some((key, value)) = lines.next()? else {
            return Err(lines.wrong("errno before the empty line"));
        };
        let expected = match (key, &mut open) {
            ("errno", _) => {
                let errno = errno(value);
                if let Some(peer) = open.take() {
                    lines.close(peer, line, &mut peers)?;
                }
                lines.end(errno)?;
                device.peers = peers.into_values().collect();
                return Ok(device);
            }
            ("public_key", _) => match key_bytes(value) {
                Some(bytes) => {
                    if let Some(peer) = open.replace(OpenPeer::new(bytes.into())) {
                        lines.close(peer, line, &mut peers)?;
                    }
                    continue;
                }
                None => "64 hexadecimal digits",
            },
            (_, Some(peer)) => match peer.take(key, value) {
                Ok(()) => continue,
                Err(expected) => expected,
            },
            ("private_key", None) => match key_bytes(value) {
                Some(mut bytes) if device.private_key.is_none() => {
                    device.private_key = Some(bytes.into());
                    bytes.zeroize();
                    continue;
                }
                _ => "one private key of 64 hexadecimal digits",
            },
            ("listen_port", None) => match number(value).and_then(|port| u16::try_from(port).ok()) {
                Some(port) if !port_seen => {
                    device.listen_port = port;
                    port_seen = true;
                    continue;
                }
                _ => "one port of 0 to 65535",
            },
            ("fwmark", None) => continue,
            _ => "a line that a device's reply has here",
        };
        return Err(lines.wrong(expected));
    }
}

/// A peer whose lines are still coming.
struct OpenPeer {
    public_key: WireGuardPublicKey,
    allowed_ips: Vec<IpNet>,
    received: Option<u64>,
    sent: Option<u64>,
}

impl OpenPeer {
    fn new(public_key: WireGuardPublicKey) -> Self {
        Self { public_key, allowed_ips: Vec::new(), received: None, sent: None }
    }

    /// Takes one line; what was expected instead is the error.
    fn take(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        let counter = |slot: &mut Option<u64>| match (number(value), *slot) {
            (Some(bytes), None) => {
                *slot = Some(bytes);
                Ok(())
            }
            _ => Err("one counter of 0 to 2^64-1"),
        };
        match key {
            "rx_bytes" => counter(&mut self.received),
            "tx_bytes" => counter(&mut self.sent),
            "allowed_ip" => {
                self.allowed_ips.push(value.parse().map_err(|_| "an address with its prefix length")?);
                Ok(())
            }
            "endpoint"
            | "last_handshake_time_sec"
            | "last_handshake_time_nsec"
            | "preshared_key"
            | "persistent_keepalive_interval"
            | "protocol_version" => Ok(()),
            _ => Err("a line that a peer has"),
        }
    }
}

/// The lines of one reply, bounded in length and number.
struct Lines<R> {
    reader: io::Take<R>,
    buffer: Zeroizing<Vec<u8>>,
    /// Lines read so far.
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(reader: R) -> Self {
        Self {
            reader: reader.take(MAX_REPLY_BYTES),
            buffer: Zeroizing::new(Vec::with_capacity(MAX_LINE_BYTES + 1)),
            number: 0,
        }
    }

    /// The next line's two halves; `None` for the empty line that ends a reply.
    fn next(&mut self) -> Result<Option<(&str, &str)>, UapiError> {
        self.buffer.clear();
        let limit = MAX_LINE_BYTES as u64 + 1;
        self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buffer)?;
        if self.buffer.pop_if(|end| *end == b'\n').is_none() {
            return Err(if self.buffer.len() > MAX_LINE_BYTES {
                UapiError::LineTooLong { line: self.number + 1 }
            } else {
                UapiError::Cut { lines: self.number }
            });
        }
        self.number += 1;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let halves = str::from_utf8(&self.buffer).ok().filter(|line| line.is_ascii());
        match halves.and_then(|line| line.split_once('=')) {
            Some(halves) => Ok(Some(halves)),
            None => {
                Err(UapiError::Line { line: self.number, key: String::new(), expected: "ASCII `key=value`" })
            }
        }
    }

    /// Judges the number after `errno=` and takes the empty line after it.
    fn end(&mut self, errno: Option<i64>) -> Result<(), UapiError> {
        match errno {
            Some(0) => match self.next()? {
                None => Ok(()),
                Some(_) => Err(self.wrong("an empty line after errno")),
            },
            Some(errno) => Err(UapiError::Refused(errno)),
            None => Err(self.wrong("a number")),
        }
    }

    /// Puts a peer whose lines are complete among the others.
    fn close(
        &self,
        peer: OpenPeer,
        line: u64,
        peers: &mut BTreeMap<WireGuardPublicKey, LivePeer>,
    ) -> Result<(), UapiError> {
        let OpenPeer { public_key, mut allowed_ips, received, sent } = peer;
        let received = received.ok_or(UapiError::Missing { line, key: "rx_bytes" })?;
        let sent = sent.ok_or(UapiError::Missing { line, key: "tx_bytes" })?;
        allowed_ips.sort_unstable();
        let live = LivePeer { public_key, allowed_ips, reading: Reading { received, sent } };
        match peers.insert(public_key, live) {
            None => Ok(()),
            Some(_) => Err(self.wrong("every peer once")),
        }
    }

    /// The refusal of the line that was read last.
    fn wrong(&self, expected: &'static str) -> UapiError {
        let key = self.buffer.split(|b| *b == b'=').next().unwrap_or_default();
        let key = key.iter().take(32).map(|b| char::from(*b)).collect();
        UapiError::Line { line: self.number, key, expected }
    }
}

/// A decimal number as the protocol prints it: digits, no sign, no leading zero.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// The number of an error. Implementations differ in its sign.
fn errno(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    number(digits)?;
    text.parse().ok()
}

fn key_bytes(text: &str) -> Option<[u8; 32]> {
    let bytes = Zeroizing::new(HEXLOWER.decode(text.as_bytes()).ok()?);
    bytes.as_slice().try_into().ok()
}

#[cfg(test)]
mod tests;
