//! `wiregrant redeem`: an access code becomes a `wg-quick` file. The private key is made here and sent nowhere.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use wiregrant_core::access_code::AccessCode;
use wiregrant_core::api::{DeviceCreated, NewDevice};
use wiregrant_core::{LocationId, WireGuardPrivateKey, WireGuardPublicKey};
use zeroize::Zeroizing;

use super::{Everywhere, device};
use crate::control_plane::ControlPlane;
use crate::failure::Usage;
use crate::private_file::{MAX_SECRET_BYTES, PrivateFile, read_text};
use crate::table::{facts, traffic};

#[derive(Debug, Args)]
pub struct Redeem {
    #[command(flatten)]
    code: Code,
    /// Where the node should stand; any place when left out
    #[arg(long)]
    location: Option<LocationId>,
    /// A login at the node's SOCKS5 service besides, shown this once. What goes through it is NOT encrypted
    #[arg(long)]
    socks5: bool,
    /// The new file for WireGuard (0600), or - to print it
    #[arg(long, value_name = "FILE", default_value = "wiregrant.conf")]
    out: PathBuf,
}

/// An access code signs its holder in; it is read from a file or from standard input.
#[derive(Debug, Args)]
pub struct Code {
    /// A file with the access code; standard input when left out
    #[arg(long, value_name = "FILE", default_value = "-", hide_default_value = true)]
    code_file: PathBuf,
}

impl Code {
    /// The control plane, signed in with the code.
    pub fn control_plane(&self, everywhere: &Everywhere) -> Result<ControlPlane> {
        let text = Zeroizing::new(read_text(&self.code_file, MAX_SECRET_BYTES)?);
        let code: AccessCode = text.parse().context("--code-file")?;
        let credential = Zeroizing::new(code.reveal().to_owned());
        ControlPlane::with_credential(everywhere.url.as_deref(), Some(credential))
    }
}

impl Redeem {
    pub fn run(self, everywhere: &Everywhere) -> Result<()> {
        self.ask(everywhere, "/devices")
    }

    /// Asks for another device in the place of one.
    pub fn switch(self, everywhere: &Everywhere, before: &WireGuardPublicKey) -> Result<()> {
        self.ask(everywhere, &format!("{}/switch", device::path(before)))
    }

    /// Asks for a device at this address, and keeps or prints its file.
    fn ask(self, everywhere: &Everywhere, path: &str) -> Result<()> {
        let printed = self.out == Path::new("-");
        if printed && self.socks5 {
            let why = "--socks5: with --out - the file is all that is printed; give --out a file, or ask afterwards with \
                       `wiregrant device socks5`";
            return Err(Usage(why.to_owned()).into());
        }
        let control_plane = self.code.control_plane(everywhere)?;
        // The file is taken first: a device whose key could not be kept would be spent for nothing.
        let file = if printed { None } else { Some(PrivateFile::reserve(&self.out)?) };
        let (private_key, public_key) = make_key()?;
        let new = NewDevice { public_key, location: self.location, socks5: self.socks5 };
        let DeviceCreated { device, socks5_access } = control_plane.post(path, &new)?;
        let client_file = Zeroizing::new(device.configuration.to_wg_quick(&private_key));
        let Some(file) = file else { return everywhere.terminal().exact(&client_file) };
        file.keep(&client_file)?;
        let answer = json!({
            "file": self.out,
            "public_key": public_key,
            "location": device.location,
            "allotment_bytes": device.allotment,
            "period": device.period,
            "expires": device.expires,
            "socks5": socks5_access,
        });
        everywhere.terminal().answer(&answer, || {
            let shown = facts(&[
                ("file", self.out.display().to_string()),
                ("device", public_key.to_string()),
                ("location", device.location.to_string()),
                ("traffic", traffic(device.allotment, device.period)),
                ("expires", device.expires.to_string()),
            ]);
            socks5_access.iter().fold(shown, |shown, access| shown + "\n" + &device::login(access))
        })
    }
}

fn make_key() -> Result<(WireGuardPrivateKey, WireGuardPublicKey)> {
    let secret = x25519_dalek::StaticSecret::from(super::random::<32>()?);
    let public = x25519_dalek::PublicKey::from(&secret);
    // Kept as X25519 uses it, clamped (RFC 7748, section 5), as `wg genkey` prints it.
    let mut clamped = secret.to_bytes();
    clamped[0] &= 248;
    clamped[31] = (clamped[31] & 127) | 64;
    Ok((WireGuardPrivateKey::from(clamped), WireGuardPublicKey::from(*public.as_bytes())))
}
