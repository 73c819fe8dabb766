//! What can go wrong with an interface, each with the way out.

use std::io;

use thiserror::Error;

use super::netlink::NetlinkError;
use super::uapi::UapiError;

/// Why an interface could not be made, taken over, read or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WireGuardError {
    /// The name would not do as an interface, a path and an argument.
    #[error(
        "interface: {value:?} is not 1 to 15 letters, digits, `_` or `-`, beginning with a letter or digit"
    )]
    Name {
        /// What was given.
        value: String,
    },
    /// The configuration's `backend` is not one of the three words.
    #[error("backend: {value:?} is not `auto`, `kernel` or `wireguard-go`")]
    Choice {
        /// What was given.
        value: String,
    },
    /// Nothing on this machine can move WireGuard packets.
    #[error(
        "this kernel has no WireGuard and `wireguard-go` is not on PATH: \
         install a kernel of 5.6 or later with its modules, or `apt-get install wireguard-go`"
    )]
    NoBackend,
    /// A program the agent calls is not installed.
    #[error("`{program}` is not on PATH: `apt-get install {package}`")]
    MissingProgram {
        /// What was called.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A program the agent called said no.
    #[error("`{command}` failed: {message}")]
    Command {
        /// The whole command line.
        command: String,
        /// What it printed, or how it ended.
        message: String,
    },
    /// The name is taken by a link that is no WireGuard.
    #[error(
        "interface {name}: a link of kind {kind:?} has this name and is not wiregrant's; \
         choose another `interface` in the configuration, or `ip link delete dev {name}`"
    )]
    OtherKind {
        /// The interface.
        name: String,
        /// What the link is, as `ip` calls it.
        kind: String,
    },
    /// The name is taken by somebody else's WireGuard.
    #[error(
        "interface {name}: it is a live WireGuard interface with another private key, and is left as it is; \
         choose another `interface` in the configuration, or `ip link delete dev {name}` if nobody needs it"
    )]
    OtherKey {
        /// The interface.
        name: String,
    },
    /// `/var/run/wireguard` is one for the whole machine, network namespaces are not.
    #[error(
        "interface {name}: a wireguard-go of this name serves another network namespace of this machine; \
         choose another `interface` in the configuration"
    )]
    Elsewhere {
        /// The interface.
        name: String,
    },
    /// The link vanished while it was being worked on.
    #[error("interface {name}: the link is gone; somebody deleted it meanwhile")]
    Gone {
        /// The interface.
        name: String,
    },
    /// The interface has no private key, so it moves nothing: it was made anew since the agent had made it the node's.
    #[error("interface {name}: it has no private key; it was made anew meanwhile")]
    NotConfigured {
        /// The interface.
        name: String,
    },
    /// Something else listens on the port that the interface should have.
    #[error(
        "interface {name}: UDP port {port} is taken; `ss -ulnp sport = :{port}` shows by whom: end that or choose another port"
    )]
    PortTaken {
        /// The interface.
        name: String,
        /// The port.
        port: u16,
    },
    /// `wireguard-go` started and did not open its socket.
    #[error("wireguard-go {name}: it was started but nothing answers at {socket} after {seconds} s")]
    NotListening {
        /// The interface.
        name: String,
        /// The path of its socket.
        socket: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The agent was told that somebody else starts `wireguard-go`, and nobody did.
    #[error(
        "wireguard-go {name}: nobody has started it after {seconds} s; `systemctl enable --now wiregrant-wireguard-go@{name}`"
    )]
    NotStarted {
        /// The interface.
        name: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The link of a `wireguard-go` was deleted and the process did not end.
    #[error(
        "wireguard-go {name}: its link is deleted and it still answers at {socket} after {seconds} s; end it by hand"
    )]
    StillListening {
        /// The interface.
        name: String,
        /// The path of its socket.
        socket: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A conversation with a userspace implementation failed.
    #[error("interface {name}: {source}")]
    Uapi {
        /// The interface.
        name: String,
        /// What was wrong with it.
        source: UapiError,
    },
    /// A conversation with the kernel's WireGuard failed.
    #[error("interface {name}: {source}")]
    Netlink {
        /// The interface.
        name: String,
        /// What was wrong with it.
        source: NetlinkError,
    },
    /// The kernel refused to configure a new interface, or could not be asked.
    #[error("interface {name}: {message}")]
    Kernel {
        /// The interface.
        name: String,
        /// As the netlink library says it.
        message: String,
    },
    /// `ip` printed something else than its JSON.
    #[error("`{command}` printed something that is not understood: {source}")]
    LinkReport {
        /// The whole command line.
        command: String,
        /// Where it failed.
        source: serde_json::Error,
    },
    /// The operating system refused something else.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}
