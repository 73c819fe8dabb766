//! The supply chain: licences, bans, sources and advisories of everything that is compiled in, by cargo-deny.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::checkout::Checkout;
use crate::child;
use crate::failure::Failure;

/// The cargo-deny that `deny.toml` is written for.
const VERSION: &str = "0.20.2";

/// How long fetching the advisory database may take before it counts as out of reach.
const FETCH_SECONDS: &str = "60";

pub fn check(checkout: &Checkout) -> Result<(), Failure> {
    let cargo_deny = cargo_deny(checkout)?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&cargo_deny);
        command.args(["--locked", "--workspace"]).args(arguments).current_dir(&checkout.root);
        command
    };
    child::run(&mut deny(&["check", "licenses", "bans", "sources"]))?;

    // `timeout` bounds a network that swallows packets instead of refusing them.
    let mut fetch = Command::new("timeout");
    fetch.arg(FETCH_SECONDS).arg(&cargo_deny).args(["fetch", "db"]).current_dir(&checkout.root);
    if child::succeeds(&mut fetch) {
        child::run(&mut deny(&["check", "--disable-fetch", "advisories"]))
    } else {
        eprintln!(
            "NOT CHECKED: advisories; https://github.com/RustSec/advisory-db cannot be reached from here"
        );
        Ok(())
    }
}

/// The right version of cargo-deny under the target folder, installed from source when it is not there.
fn cargo_deny(checkout: &Checkout) -> Result<PathBuf, Failure> {
    let tools = checkout.target.join("tools");
    let binary = tools.join("bin/cargo-deny");
    if is_right_version(&binary) {
        return Ok(binary);
    }
    eprintln!("cargo-deny {VERSION} is missing; compiling it takes about 2 minutes, once");
    // Unoptimised: it compiles in half the time and still checks this workspace within seconds.
    let mut install = checkout.cargo(&[
        "install",
        "cargo-deny",
        "--version",
        VERSION,
        "--locked",
        "--debug",
        "--force",
        "--root",
    ]);
    install.arg(&tools).env("CARGO_TARGET_DIR", tools.join("build"));
    child::run(&mut install)?;
    // What it was compiled from is not needed again.
    std::fs::remove_dir_all(tools.join("build"))
        .map_err(|error| Failure::failed(format!("{}: {error}", tools.join("build").display())))?;
    Ok(binary)
}

fn is_right_version(binary: &Path) -> bool {
    child::output(Command::new(binary).arg("--version").stdin(Stdio::null()))
        .is_ok_and(|version| version.trim() == format!("cargo-deny {VERSION}"))
}
