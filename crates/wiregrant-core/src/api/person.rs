//! What a person with an access code sends and gets.

use serde::{Deserialize, Serialize};

use crate::client_file::ClientConfiguration;
use crate::{Bytes, LocationId, Timestamp, WireGuardPublicKey};

/// Asks for a device. The private key stays where it was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// The device's key.
    pub public_key: WireGuardPublicKey,
    /// Where the node should stand; any place when absent.
    #[serde(default)]
    pub location: Option<LocationId>,
}

/// A device was placed on a node. The same code and key get the same answer again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceCreated {
    /// What belongs into the client's file.
    pub configuration: ClientConfiguration,
    /// Where the node stands.
    pub location: LocationId,
    /// What the device may move in total.
    pub allotment: Bytes,
    /// When it stops working.
    pub expires: Timestamp,
}

/// A device of a code.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Device {
    /// Its key.
    pub public_key: WireGuardPublicKey,
    /// Where its node stands.
    pub location: LocationId,
    /// What belongs into the client's file.
    pub configuration: ClientConfiguration,
}

/// The devices of a code.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CodeDevices {
    /// Devices it has.
    pub devices: Vec<Device>,
    /// Devices it may have.
    pub devices_allowed: u64,
    /// When it stops working.
    pub expires: Timestamp,
}
