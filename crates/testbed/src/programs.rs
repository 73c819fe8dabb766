//! The real binaries, found beside the testbed's own.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Where each is.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `wiregrant-control`.
    pub control: PathBuf,
    /// `wiregrant-agent`.
    pub agent: PathBuf,
    /// `wiregrant`.
    pub cli: PathBuf,
    /// This crate's own, for its hidden subcommands.
    pub testbed: PathBuf,
}

impl Programs {
    /// Those beside `testbed`.
    ///
    /// # Errors
    /// Names what is not there.
    pub fn beside(testbed: &Path) -> Result<Self> {
        let folder = testbed.parent().context("a binary lies in a folder")?;
        let found = |name: &str| -> Result<PathBuf> {
            let path = folder.join(name);
            ensure!(path.is_file(), "{} is not there: cargo build --workspace --bins", path.display());
            Ok(path)
        };
        Ok(Self {
            control: found("wiregrant-control")?,
            agent: found("wiregrant-agent")?,
            cli: found("wiregrant")?,
            testbed: testbed.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_was_not_built_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Programs::beside(&folder.path().join("testbed")).unwrap_err().to_string();
        assert!(error.contains("/wiregrant-control is not there: cargo build"), "{error}");
    }
}
