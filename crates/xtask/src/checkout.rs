//! `Checkout`: the repository's root, its target folder, and cargo started in it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;

pub struct Checkout {
    /// Where the workspace's `Cargo.toml` lies.
    pub root: PathBuf,
    /// Where cargo builds: `CARGO_TARGET_DIR`, or `target/` under the root.
    pub target: PathBuf,
}

impl Checkout {
    /// The checkout this binary was built from; the caller may stand in any folder.
    pub fn here() -> Result<Self, Failure> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root =
            manifest.ancestors().nth(2).expect("this crate lies two folders below the root").to_owned();
        let target = match env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty()) {
            // Cargo reads a relative folder from where it was called; the children are started in the root.
            Some(folder) => std::path::absolute(PathBuf::from(folder))
                .map_err(|error| Failure::failed(format!("CARGO_TARGET_DIR: {error}")))?,
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// A cargo command in the root, of the toolchain that runs this.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments).current_dir(&self.root);
        if env::var_os("CARGO_TARGET_DIR").is_some() {
            command.env("CARGO_TARGET_DIR", &self.target);
        }
        command
    }
}
