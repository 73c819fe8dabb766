//! Cargo's own tools: installed from source under the target folder, each at the version that this repository is written for.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::checkout::Checkout;
use crate::child;
use crate::failure::Failure;

/// A binary of crates.io that is called `cargo-<something>`.
pub struct Tool {
    /// Of crate and binary.
    pub name: &'static str,
    /// The version.
    pub version: &'static str,
}

impl Tool {
    /// Where it lies; installed first if it is not there, or there in another version.
    pub fn have(&self, checkout: &Checkout) -> Result<PathBuf, Failure> {
        let Self { name, version } = self;
        let tools = checkout.target.join("tools");
        let binary = tools.join("bin").join(name);
        if self.is_right_version(&binary) {
            return Ok(binary);
        }
        eprintln!("{name} {version} is missing; compiling it takes about 2 minutes, once");
        // Unoptimised: it compiles in half the time, and does its work within seconds.
        let build = tools.join("build").join(name);
        let mut install = checkout.cargo(&["install", name, "--version", version]);
        install.args(["--locked", "--debug", "--force", "--root"]).arg(&tools);
        child::run(install.env("CARGO_TARGET_DIR", &build))?;
        // What it was compiled from is not needed again.
        std::fs::remove_dir_all(&build)
            .map_err(|error| Failure::failed(format!("{}: {error}", build.display())))?;
        Ok(binary)
    }

    fn is_right_version(&self, binary: &Path) -> bool {
        child::output(Command::new(binary).arg("--version").stdin(Stdio::null()))
            .is_ok_and(|version| version.trim() == format!("{} {}", self.name, self.version))
    }
}
