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
        // `cargo run` describes this crate to this process. Handed on, that would look like a changed environment to
        // build scripts that watch it (ring's does), and every switch between `cargo xtask` and `cargo` would rebuild.
        for (name, _) in env::vars_os() {
            if is_of_this_crate(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        if env::var_os("CARGO_TARGET_DIR").is_some() {
            command.env("CARGO_TARGET_DIR", &self.target);
        }
        command
    }
}

/// Whether cargo sets the variable to describe the one crate that it runs.
fn is_of_this_crate(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_cargo_is_not_told_of_this_crate() {
        let checkout = Checkout::here().unwrap();
        let command = checkout.cargo(&["build"]);
        // `cargo test` describes the crate under test in the same way.
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).collect();
        assert!(removed.iter().any(|(name, _)| *name == "CARGO_MANIFEST_DIR"), "{removed:?}");
        assert!(removed.iter().any(|(name, _)| *name == "CARGO_PKG_NAME"), "{removed:?}");
        assert!(!is_of_this_crate("CARGO_TARGET_DIR") && !is_of_this_crate("CARGO_HOME"));
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(Checkout::here().unwrap().root.join("crates/xtask/Cargo.toml").is_file());
    }
}
