//! schemathesis, which asks the API everything that its description allows, and much that it does not.
//!
//! Debian has no package of it. It comes from PyPI into a folder of its own beside the build; nothing is installed in the
//! system.

use std::path::PathBuf;
use std::process::Command;

use crate::checkout::Checkout;
use crate::child;
use crate::failure::Failure;

/// Below the target folder; the tests look there too.
const FOLDER: &str = "tools/schemathesis";
/// The release that the tests' options are those of.
const VERSION: &str = "4.32.5";

fn folder(checkout: &Checkout) -> PathBuf {
    checkout.target.join(FOLDER)
}

/// Finds it, or installs it.
pub fn install(checkout: &Checkout) -> Result<(), Failure> {
    let folder = folder(checkout);
    let program = folder.join("bin/schemathesis");
    let mut version = Command::new(&program);
    if child::output(version.arg("--version")).is_ok_and(|said| is_known(&said)) {
        eprintln!("schemathesis: {}", program.display());
        return Ok(());
    }
    eprintln!("schemathesis: none here; release {VERSION} comes from PyPI to {}", folder.display());
    child::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    child::run(pip.arg(format!("schemathesis=={VERSION}")))
}

/// Whether `--version` names the release that is known.
fn is_known(said: &str) -> bool {
    said.split(|c: char| c.is_whitespace() || c == ',').any(|word| word == VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_known_release_is_taken() {
        assert!(is_known("Schemathesis, version 4.32.5\n") && is_known("4.32.5"));
        assert!(!is_known("Schemathesis, version 4.32.50\n") && !is_known(""));
    }
}
