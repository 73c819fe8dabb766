//! The messages of RFC 1928 (SOCKS 5) and RFC 1929 (username and password): what a client's bytes say, and what is answered.
//!
//! Each parser takes what has arrived so far and gives the message with its length, or `None` while it is not whole. What
//! follows a message belongs to the next.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// The longest message of a client before it is answered: RFC 1929's, with a name and a password of 255 bytes.
pub const MAX_MESSAGE_BYTES: usize = 3 + 255 + 255;
/// The longest header of a datagram without a domain name: an IPv6 address.
pub const MAX_ADDRESS_HEADER_BYTES: usize = 3 + 1 + 16 + 2;

/// "Method selection": username and password, and the refusal of all offered.
pub const METHOD_USERNAME_PASSWORD: u8 = 0x02;
/// None of the offered methods is acceptable.
pub const METHOD_NONE: u8 = 0xff;

const VERSION: u8 = 0x05;
const NEGOTIATION_VERSION: u8 = 0x01;
const ATYP_IPV4: u8 = 0x01;
const ATYP_DOMAIN: u8 = 0x03;
const ATYP_IPV6: u8 = 0x04;

/// Why a client's bytes were not understood. It repeats none of them: they may be credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Another protocol, or another version of this one.
    #[error("not version 5 of SOCKS, or not version 1 of its username and password")]
    Version,
    /// No authentication method was offered, or an empty name or password was sent.
    #[error("an empty field where the RFC asks for at least one byte")]
    Empty,
    /// Neither CONNECT nor UDP ASSOCIATE.
    #[error("a command other than CONNECT and UDP ASSOCIATE")]
    Command,
    /// An unknown type of address.
    #[error("an address that is neither IPv4, IPv6 nor a domain name")]
    AddressType,
    /// A domain name with other characters than host names have.
    #[error("a domain name with characters that host names do not have")]
    DomainName,
    /// A datagram that ends in its header.
    #[error("a datagram that ends in its header")]
    Short,
    /// A part of a datagram; reassembly is optional and not done.
    #[error("a fragment of a datagram")]
    Fragment,
}

impl MessageError {
    /// What a client that asked so is told; nothing where it does not speak the protocol.
    #[must_use]
    pub fn reply(self) -> Option<Reply> {
        match self {
            Self::Command => Some(Reply::CommandNotSupported),
            Self::AddressType => Some(Reply::AddressTypeNotSupported),
            Self::DomainName => Some(Reply::HostUnreachable),
            Self::Version | Self::Empty | Self::Short | Self::Fragment => None,
        }
    }
}

/// A whole message and how many bytes it takes, or `None` while it is not whole.
pub type Parsed<T> = Result<Option<(T, usize)>, MessageError>;

/// RFC 1929's request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The username.
    pub username: &'a [u8],
    /// The password.
    pub password: &'a [u8],
}

/// Where a client wants to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address.
    Address(SocketAddr),
    /// A name, resolved on the node, and a port.
    Domain(String, u16),
}

/// What a client wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// CONNECT.
    Connect,
    /// UDP ASSOCIATE.
    Associate,
}

/// RFC 1928's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub command: Command,
    /// To where; of UDP ASSOCIATE, where the client will send from, if it knows.
    pub target: Target,
}

/// RFC 1928's reply codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reply {
    /// Done.
    Succeeded = 0x00,
    /// Another failure.
    GeneralFailure = 0x01,
    /// Not allowed by the rules.
    NotAllowed = 0x02,
    /// No way to the network.
    NetworkUnreachable = 0x03,
    /// No way to the host, or no such name.
    HostUnreachable = 0x04,
    /// The host refuses.
    ConnectionRefused = 0x05,
    /// Another command than those known.
    CommandNotSupported = 0x07,
    /// Another address type than those known.
    AddressTypeNotSupported = 0x08,
}

impl Reply {
    /// The message. `bound` is where the node's side of the connection or association is.
    #[must_use]
    pub fn to_bytes(self, bound: SocketAddr) -> Vec<u8> {
        let mut bytes = vec![VERSION, self as u8, 0];
        push_address(&mut bytes, bound);
        bytes
    }
}

/// The answer to a greeting.
#[must_use]
pub fn method_selection(method: u8) -> [u8; 2] {
    [VERSION, method]
}

/// The answer to credentials.
#[must_use]
pub fn negotiation_status(accepted: bool) -> [u8; 2] {
    [NEGOTIATION_VERSION, u8::from(!accepted)]
}

/// Reads a greeting: whether it offers username and password.
///
/// # Errors
/// Another version, or no method.
pub fn greeting(bytes: &[u8]) -> Parsed<bool> {
    version_is(bytes, VERSION)?;
    let Some((methods, end)) = field(bytes, 1)? else { return Ok(None) };
    Ok(Some((methods.contains(&METHOD_USERNAME_PASSWORD), end)))
}

/// Reads RFC 1929's request.
///
/// # Errors
/// Another version, or an empty field.
pub fn credentials(bytes: &[u8]) -> Parsed<Credentials<'_>> {
    version_is(bytes, NEGOTIATION_VERSION)?;
    let Some((username, end)) = field(bytes, 1)? else { return Ok(None) };
    let Some((password, end)) = field(bytes, end)? else { return Ok(None) };
    Ok(Some((Credentials { username, password }, end)))
}

/// Reads RFC 1928's request.
///
/// # Errors
/// Another version, command, address type, or a name that no host can have.
pub fn request(bytes: &[u8]) -> Parsed<Request> {
    version_is(bytes, VERSION)?;
    let command = match bytes.get(1) {
        None => return Ok(None),
        Some(0x01) => Command::Connect,
        Some(0x03) => Command::Associate,
        Some(_) => return Err(MessageError::Command),
    };
    Ok(address(bytes, 3)?.map(|(target, end)| (Request { command, target }, end)))
}

/// Reads the header of a client's datagram: where it is to go, and where its payload begins.
///
/// # Errors
/// A fragment, a cut header, or what [`request`] refuses of an address.
pub fn datagram(bytes: &[u8]) -> Result<(Target, usize), MessageError> {
    match bytes.get(2) {
        None => Err(MessageError::Short),
        Some(0) => address(bytes, 3)?.ok_or(MessageError::Short),
        Some(_) => Err(MessageError::Fragment),
    }
}

/// The header of a datagram to the client that came from `from`.
#[must_use]
pub fn datagram_header(from: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0];
    push_address(&mut bytes, from);
    bytes
}

fn version_is(bytes: &[u8], version: u8) -> Result<(), MessageError> {
    if bytes.first().is_none_or(|first| *first == version) { Ok(()) } else { Err(MessageError::Version) }
}

/// A field that begins with its length at `start`, and where it ends.
fn field(bytes: &[u8], start: usize) -> Parsed<&[u8]> {
    let Some(length) = bytes.get(start) else { return Ok(None) };
    let begin = start + 1;
    let end = begin + usize::from(*length);
    match bytes.get(begin..end) {
        Some([]) => Err(MessageError::Empty),
        found => Ok(found.map(|field| (field, end))),
    }
}

/// An address type, address and port at `start`, and where they end.
fn address(bytes: &[u8], start: usize) -> Parsed<Target> {
    let begin = start + 1;
    let of_ip = |length: usize| Some((bytes.get(begin..begin + length)?, begin + length));
    let (host, end) = match bytes.get(start) {
        None => return Ok(None),
        Some(&ATYP_IPV4) => {
            let Some((octets, end)) = of_ip(4) else { return Ok(None) };
            (Ok(IpAddr::from(<[u8; 4]>::try_from(octets).expect("four bytes were taken"))), end)
        }
        Some(&ATYP_IPV6) => {
            let Some((octets, end)) = of_ip(16) else { return Ok(None) };
            (Ok(IpAddr::from(<[u8; 16]>::try_from(octets).expect("sixteen bytes were taken"))), end)
        }
        Some(&ATYP_DOMAIN) => {
            let Some((name, end)) = field(bytes, begin)? else { return Ok(None) };
            (Err(name), end)
        }
        Some(_) => return Err(MessageError::AddressType),
    };
    let Some(port) = bytes.get(end..end + 2) else { return Ok(None) };
    let port = u16::from_be_bytes(port.try_into().expect("two bytes were taken"));
    let target = match host {
        Ok(ip) => Target::Address(SocketAddr::new(ip, port)),
        Err(name) => Target::Domain(domain(name)?, port),
    };
    Ok(Some((target, end + 2)))
}

/// A host name as DNS has it; `_` occurs in the wild.
fn domain(name: &[u8]) -> Result<String, MessageError> {
    let known = |letter: &u8| letter.is_ascii_alphanumeric() || b"-._".contains(letter);
    if !name.iter().all(known) {
        return Err(MessageError::DomainName);
    }
    String::from_utf8(name.to_vec()).map_err(|_| MessageError::DomainName)
}

fn push_address(bytes: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes.push(ATYP_IPV4);
            bytes.extend(Ipv4Addr::octets(&ip));
        }
        IpAddr::V6(ip) => {
            bytes.push(ATYP_IPV6);
            bytes.extend(Ipv6Addr::octets(&ip));
        }
    }
    bytes.extend(address.port().to_be_bytes());
}

#[cfg(test)]
mod tests;
