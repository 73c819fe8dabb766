//! `wiregrant device`: the devices of an access code, for whoever holds it.

use anyhow::Result;
use clap::{Args, Subcommand};
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::api::{CodeDevices, Device};

use super::Everywhere;
use super::redeem::Code;
use crate::table::{Column, table};

#[derive(Debug, Subcommand)]
pub enum Devices {
    /// List the devices of an access code
    List(Code),
    /// Remove a device, so that the code can have another
    Remove(Remove),
}

#[derive(Debug, Args)]
pub struct Remove {
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
            Self::Remove(Remove { public_key, code }) => {
                let path = format!("/devices/{}", BASE64URL_NOPAD.encode(public_key.as_bytes()));
                code.control_plane(everywhere)?.remove(&path)?;
                everywhere
                    .terminal()
                    .answer(&json!({ "removed": public_key }), || format!("removed {public_key}"))
            }
        }
    }
}

fn listed(devices: &CodeDevices) -> String {
    let row = |device: &Device| {
        let configuration = &device.configuration;
        [
            device.public_key.to_string(),
            device.location.to_string(),
            format!("{}, {}", configuration.address_v4, configuration.address_v6),
            configuration.endpoint.clone(),
        ]
    };
    let rows: Vec<_> = devices.devices.iter().map(row).collect();
    let columns =
        [Column::Left("device"), Column::Left("location"), Column::Left("addresses"), Column::Left("node")];
    let listed = table(columns, &rows, "no devices");
    format!("{listed}{} of {} devices, until {}\n", rows.len(), devices.devices_allowed, devices.expires)
}
