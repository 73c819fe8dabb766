//! `wiregrant device`: the devices of an access code, for whoever holds it.

use anyhow::Result;
use clap::{Args, Subcommand};
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::allotment::Level;
use wiregrant_core::api::{CodeDevices, Device, Socks5Access};

use super::Everywhere;
use super::redeem::{Code, Redeem};
use crate::table::{Column, facts, or_dash, table, traffic};

#[derive(Debug, Subcommand)]
pub enum Devices {
    /// List the devices of an access code
    List(Code),
    /// Get a new SOCKS5 login for a device; the old one stops. What goes through it is NOT encrypted
    Socks5(One),
    /// Go to another node, twice an epoch, and at any time when the node is gone: a new key, a new file, and the old device is
    /// removed for good. Of its traffic the new one has the least that is surely left: half while over half is
    Switch(Switch),
    /// Remove a device for good
    Remove(One),
    /// Delete the access code and all its devices, for good
    ForgetCode(Code),
}

/// Another device in the place of one.
#[derive(Debug, Args)]
pub struct Switch {
    /// The public key of the device to leave, as `device list` shows it
    public_key: WireGuardPublicKey,
    #[command(flatten)]
    redeem: Redeem,
}

/// One device of a code.
#[derive(Debug, Args)]
pub struct One {
    /// The device's public key, as `device list` shows it
    public_key: WireGuardPublicKey,
    #[command(flatten)]
    code: Code,
}

impl Devices {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        match self {
            Self::List(code) => {
                let devices: CodeDevices = code.control_plane(everywhere)?.get("/devices")?;
                everywhere.terminal().answer(&devices, || listed(&devices))
            }
            Self::Socks5(One { public_key, code }) => {
                let path = format!("{}/socks5", path(&public_key));
                let nothing = serde_json::Map::new();
                let access: Socks5Access = code.control_plane(everywhere)?.post(&path, &nothing)?;
                everywhere.terminal().answer(&access, || login(&access))
            }
            Self::Switch(Switch { public_key, redeem }) => redeem.switch(everywhere, &public_key),
            Self::ForgetCode(code) => {
                code.control_plane(everywhere)?.remove("/code")?;
                let said = || "the access code and its devices are deleted\n".to_owned();
                everywhere.terminal().answer(&json!({ "deleted": true }), said)
            }
            Self::Remove(One { public_key, code }) => {
                code.control_plane(everywhere)?.remove(&path(&public_key))?;
                everywhere
                    .terminal()
                    .answer(&json!({ "removed": public_key }), || format!("removed {public_key}"))
            }
        }
    }
}

/// A device's address.
pub fn path(public_key: &WireGuardPublicKey) -> String {
    format!("/devices/{}", BASE64URL_NOPAD.encode(public_key.as_bytes()))
}

/// A SOCKS5 login for people, with what they must know before they use it.
pub fn login(access: &Socks5Access) -> String {
    let Socks5Access { host, port, username, password, link } = access;
    let facts = facts(&[
        ("SOCKS5 host", host.clone()),
        ("port", port.to_string()),
        ("username", username.to_string()),
        ("password", password.clone()),
        ("for Telegram", link.clone()),
    ]);
    format!(
        "{facts}SOCKS5 is NOT encrypted: whoever watches the line sees where you go. Use WireGuard where you can. The password \
         is shown this once; `wiregrant device socks5` makes a new one.\n"
    )
}

/// How much is left, in words, and whether the node serves at all now.
fn left(device: &Device) -> String {
    let left = match device.level {
        None => "-",
        Some(Level::OverHalf) => "over half",
        Some(Level::UnderHalf) => "under half",
        Some(Level::UnderATenth) => "under a tenth",
        Some(Level::Exhausted) => "nothing",
    };
    if device.gone {
        return format!("{left}; the node is gone: `wiregrant device switch`");
    }
    device.paused.map_or_else(|| left.to_owned(), |why| format!("{left}; the node pauses ({why})"))
}

fn listed(devices: &CodeDevices) -> String {
    let row = |device: &Device| {
        let configuration = &device.configuration;
        [
            device.public_key.to_string(),
            device.location.to_string(),
            format!("{}, {}", configuration.address_v4, configuration.address_v6),
            configuration.endpoint.clone(),
            traffic(device.allotment, device.period),
            left(device),
            or_dash(device.socks5.as_ref().map(|place| &place.endpoint)),
        ]
    };
    let rows: Vec<_> = devices.devices.iter().map(row).collect();
    let columns = [
        Column::Left("device"),
        Column::Left("location"),
        Column::Left("addresses"),
        Column::Left("node"),
        Column::Right("traffic"),
        Column::Left("left"),
        Column::Left("SOCKS5"),
    ];
    let listed = table(columns, &rows, "no devices");
    format!("{listed}{} of {} devices, until {}\n", rows.len(), devices.devices_allowed, devices.expires)
}
