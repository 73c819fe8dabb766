//! What a person with an access code sends and gets.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::node::Pause;
use crate::allotment::{Level, Period};
use crate::client_file::ClientConfiguration;
use crate::socks5::Socks5Username;
use crate::{Bytes, LocationId, Timestamp, WireGuardPublicKey};

/// A header on a request for a device or for a SOCKS5 login: who sends the same request again, with the same text here, gets
/// the same password again, so that an answer lost on the way costs nothing.
pub const HEADER_IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Asks for a device. The private key stays where it was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// The device's key.
    pub public_key: WireGuardPublicKey,
    /// Where the node should stand; any place when absent.
    #[serde(default)]
    pub location: Option<LocationId>,
    /// Whether it shall have a login at its node's SOCKS5 service besides; it is placed on a node that has one.
    #[serde(default)]
    pub socks5: bool,
}

/// The most switches of each device of a code within an epoch, while its node is there.
pub const MAX_SWITCHES: u64 = 2;

/// A device was placed on a node. The same code and key get the same answer again, but for the SOCKS5 login: see
/// [`Socks5Access`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceCreated {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// Its login, shown this once, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socks5_access: Option<Socks5Access>,
}

/// A device of a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Device {
    /// Its key.
    pub public_key: WireGuardPublicKey,
    /// Where its node stands.
    pub location: LocationId,
    /// What belongs into the client's file.
    pub configuration: ClientConfiguration,
    /// What it may move in a `period`.
    pub allotment: Bytes,
    /// What the allotment is for.
    #[serde(default)]
    pub period: Period,
    /// How much of that is left, as its node said last; absent before it has said so.
    #[serde(default)]
    pub level: Option<Level>,
    /// When it stops working.
    pub expires: Timestamp,
    /// Why its node serves nobody for now; absent when it serves.
    #[serde(default)]
    pub paused: Option<Pause>,
    /// Whether its node has retired, is frozen, or was not heard of for long: the device may be switched to another at any time.
    #[serde(default)]
    pub gone: bool,
    /// Its login at the node's SOCKS5 service, without the password; absent when it has none, or the node no such service.
    #[serde(default)]
    pub socks5: Option<Socks5Place>,
}

/// Where a device's SOCKS5 login is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Socks5Place {
    /// `host:port`, IPv6 hosts in brackets.
    pub endpoint: String,
    /// The username.
    pub username: Socks5Username,
}

/// A SOCKS5 login. What goes through it is NOT encrypted: whoever watches the line sees where its user goes. Asking again
/// gives a new password, and the old one stops.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Socks5Access {
    /// The host, IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The username.
    pub username: Socks5Username,
    /// The password; only its hash is kept.
    pub password: String,
    /// The same for Telegram: `tg://socks?server=…&port=…&user=…&pass=…`.
    pub link: String,
}

impl Socks5Access {
    /// A login at a place. Username and password are letters and digits, which a link takes as they are.
    #[must_use]
    pub fn new(host: &str, port: u16, username: Socks5Username, password: String) -> Self {
        let server = host.replace(':', "%3A");
        let link = format!("tg://socks?server={server}&port={port}&user={username}&pass={password}");
        Self { host: host.to_owned(), port, username, password, link }
    }
}

impl fmt::Debug for Socks5Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, username, .. } = self;
        f.debug_struct("Socks5Access")
            .field("host", host)
            .field("port", port)
            .field("username", username)
            .finish_non_exhaustive()
    }
}

/// The devices of a code.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CodeDevices {
    /// Devices it has.
    pub devices: Vec<Device>,
    /// Devices it may have.
    pub devices_allowed: u64,
    /// When it stops working.
    pub expires: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_makes_a_link_and_shows_its_password_nowhere_else() {
        let access = Socks5Access::new("2001:db8::7", 1080, "k7d2m9".parse().unwrap(), "correct".to_owned());
        assert_eq!(access.link, "tg://socks?server=2001%3Adb8%3A%3A7&port=1080&user=k7d2m9&pass=correct");
        let shown = format!("{access:?}");
        assert!(shown.contains("k7d2m9") && !shown.contains("correct"), "{shown}");
    }

    #[test]
    fn a_created_device_is_a_device_with_a_login_at_most() {
        let json = r#"{"public_key": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "location": "de-fra",
            "configuration": {"address_v4": "10.64.0.2", "address_v6": "fd00::2", "dns": [], "endpoint": "a:1",
            "node_public_key": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}, "allotment": "5",
            "expires": "2026-08-01T00:00:00Z"}"#;
        let created: DeviceCreated = serde_json::from_str(json).unwrap();
        assert_eq!((created.device.period, created.device.level), (Period::Total, None));
        assert!(created.socks5_access.is_none());
        let back = serde_json::to_string(&created).unwrap();
        assert_eq!(serde_json::from_str::<Device>(&back).unwrap(), created.device);
    }
}
