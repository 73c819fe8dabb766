//! What can go wrong in a conversation with the kernel.

use rustix::io::Errno;
use thiserror::Error;
use wiregrant_core::WireGuardPublicKey;

use super::dump::MAX_DUMP_BYTES;
use super::{ANSWER_TIMEOUT_SECONDS, MAX_READINGS};

/// Why the kernel could not be asked, or its answer not be trusted. No message repeats a value: it may be a key or an address.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetlinkError {
    /// The kernel answered with an error number.
    #[error("the kernel refused: {0}{hint}", hint = hint(*.0))]
    Refused(Errno),
    /// Nothing in this kernel is called WireGuard now.
    #[error("this kernel has no WireGuard loaded; `modprobe wireguard` loads it where it is installed")]
    NoFamily,
    /// The socket failed.
    #[error("netlink socket: {0}")]
    Socket(#[from] Errno),
    /// There was no answer, or no more of it.
    #[error("the kernel did not answer within {ANSWER_TIMEOUT_SECONDS} s")]
    TimedOut,
    /// The peers changed while they were read, so peers that are alive may be missing.
    #[error(
        "the peers changed during each of {MAX_READINGS} readings; stop what else changes this interface"
    )]
    Interrupted,
    /// An answer has not its form.
    #[error("the kernel's answer has something else where {expected} should be")]
    Form {
        /// What should stand there.
        expected: &'static str,
    },
    /// An answer belongs to another request.
    #[error(
        "an answer to request {found_sequence} at port {found_port} came where \
         request {sequence} at port {port} was asked"
    )]
    Stray {
        /// The number of the request.
        sequence: u32,
        /// The number the answer names.
        found_sequence: u32,
        /// The socket's port.
        port: u32,
        /// The port the answer names.
        found_port: u32,
    },
    /// A peer lacks a counter. Read as a zero it would look like a reset.
    #[error("peer {peer} came without both counters")]
    NoCounters {
        /// The peer.
        peer: WireGuardPublicKey,
    },
    /// One answer did not fit into the room for it.
    #[error("one answer of {bytes} bytes is more than there is room for")]
    AnswerTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A dump did not end.
    #[error("the interface's peers take more than {MAX_DUMP_BYTES} bytes")]
    DumpTooLong,
}

fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM => " (run the agent as root or with CAP_NET_ADMIN)",
        Errno::OPNOTSUPP => " (the link of this name is no WireGuard interface)",
        _ => "",
    }
}
