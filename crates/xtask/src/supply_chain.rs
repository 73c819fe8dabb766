//! The supply chain: licences, bans, sources and advisories of everything that is compiled in, by cargo-deny.

use std::process::Command;

use crate::checkout::Checkout;
use crate::child;
use crate::failure::Failure;
use crate::tool::Tool;

/// The cargo-deny that `deny.toml` is written for.
const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };

/// How long fetching the advisory database may take before it counts as out of reach.
const FETCH_SECONDS: &str = "60";

pub fn check(checkout: &Checkout) -> Result<(), Failure> {
    let cargo_deny = CARGO_DENY.have(checkout)?;
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
