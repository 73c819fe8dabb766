//! Which backend a node uses: the configuration's word, or what the machine has.

use std::str::FromStr;

use wiregrant_core::WireGuardPrivateKey;

use super::{Interface, InterfaceName, Kernel, Starter, WireGuardError, WireGuardGo, link};

/// The configuration's `backend`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choice {
    /// What the interface that is there needs; else the kernel if it has WireGuard; else `wireguard-go`.
    #[default]
    Auto,
    /// The kernel or nothing.
    Kernel,
    /// `wireguard-go` or nothing.
    WireGuardGo,
}

impl FromStr for Choice {
    type Err = WireGuardError;

    fn from_str(text: &str) -> Result<Self, WireGuardError> {
        match text {
            "auto" => Ok(Self::Auto),
            "kernel" => Ok(Self::Kernel),
            "wireguard-go" => Ok(Self::WireGuardGo),
            _ => Err(WireGuardError::Choice { value: text.to_owned() }),
        }
    }
}

/// The backend for this interface. Nothing is made yet but, with [`Choice::Auto`], a link for a moment to see
/// whether the kernel can.
///
/// # Errors
/// When nothing on the machine can move WireGuard packets, or the machine cannot be asked.
pub fn open(choice: Choice, name: InterfaceName) -> Result<Box<dyn Interface>, WireGuardError> {
    open_with(choice, name, Starter::default())
}

/// [`open`], where a `wireguard-go` is started by somebody.
///
/// # Errors
/// As [`open`].
pub fn open_with(
    choice: Choice,
    name: InterfaceName,
    starter: Starter,
) -> Result<Box<dyn Interface>, WireGuardError> {
    let wireguard_go = |name| Box::new(WireGuardGo::new(name).started_by(starter));
    Ok(match choice {
        Choice::Kernel => Box::new(Kernel::new(name)?),
        Choice::WireGuardGo => wireguard_go(name),
        Choice::Auto => match link::find(&name)?.as_ref().map(|link| link.kind.as_str()) {
            // A live interface keeps its backend, also when the other one has become available: its counters live there.
            Some("wireguard") => Box::new(Kernel::new(name)?),
            Some("tun") => wireguard_go(name),
            _ if link::kernel_has_wireguard()? => Box::new(Kernel::new(name)?),
            _ if WireGuardGo::is_installed() => wireguard_go(name),
            _ => return Err(WireGuardError::NoBackend),
        },
    })
}

/// The interface as it is, for whoever only looks: nothing is made or tried. `None` when there is none of WireGuard's kinds.
///
/// # Errors
/// When the machine cannot be asked.
pub fn open_live(name: InterfaceName) -> Result<Option<Box<dyn Interface>>, WireGuardError> {
    Ok(match link::find(&name)?.as_ref().map(|link| link.kind.as_str()) {
        Some("wireguard") => Some(Box::new(Kernel::new(name)?)),
        Some("tun") => Some(Box::new(WireGuardGo::new(name))),
        _ => None,
    })
}

/// Deletes the node's interface with all its peers, whatever moves its packets; no error when it is not there.
/// Who was on it loses the connection, and what was not read from its counters before is lost.
///
/// # Errors
/// When a link of this name is something else or has another private key, and when the system refuses.
pub fn delete_interface(
    name: &InterfaceName,
    private_key: &WireGuardPrivateKey,
) -> Result<(), WireGuardError> {
    match link::find(name)?.map(|link| link.kind) {
        None => Ok(()),
        Some(kind) if kind == "wireguard" => Kernel::new(name.clone())?.delete(private_key),
        Some(kind) if kind == "tun" => WireGuardGo::new(name.clone()).delete(private_key),
        Some(kind) => Err(WireGuardError::OtherKind { name: name.to_string(), kind }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_the_configuration_is_one_of_three() {
        assert_eq!("auto".parse::<Choice>().unwrap(), Choice::Auto);
        assert_eq!("kernel".parse::<Choice>().unwrap(), Choice::Kernel);
        assert_eq!("wireguard-go".parse::<Choice>().unwrap(), Choice::WireGuardGo);
        let error = "boringtun".parse::<Choice>().unwrap_err().to_string();
        assert_eq!(error, "backend: \"boringtun\" is not `auto`, `kernel` or `wireguard-go`");
    }
}
