//! axe-core, which judges whether pages can be used by everybody. Debian does not pack it; npm does, and it is used by tests alone.

use std::io;
use std::process::Stdio;

use crate::checkout::Checkout;
use crate::child;
use crate::failure::Failure;
use crate::packages;

/// Held at one release, so that a page that passed keeps passing.
const VERSION: &str = "4.10.3";

/// Brings it into the target folder, where the tests look for it.
pub fn install(checkout: &Checkout) -> Result<(), Failure> {
    let folder = checkout.target.join("axe");
    let manifest = folder.join("node_modules/axe-core/package.json");
    let wanted = format!("\"version\": \"{VERSION}\"");
    if std::fs::read_to_string(&manifest).is_ok_and(|manifest| manifest.contains(&wanted)) {
        eprintln!("axe-core {VERSION}: it is there");
        return Ok(());
    }
    eprintln!("axe-core {VERSION}: fetched from npm into {}", folder.display());
    packages::install(&[packages::NPM])?;
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::failed(format!("{}: {error}", folder.display())))?;
    let mut npm = packages::command("npm");
    npm.args(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]);
    npm.arg(&folder).arg(format!("axe-core@{VERSION}")).stdin(Stdio::null()).stdout(io::stderr());
    child::run(&mut npm)
}
