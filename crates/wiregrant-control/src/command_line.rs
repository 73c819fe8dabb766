//! The command line of `wiregrant-control`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, ConfigFile, FILE_NAME};

/// The control plane of wiregrant: enrols nodes, takes their reports, closes epochs, prepares payments.
#[derive(Debug, Parser)]
#[command(name = "wiregrant-control", version)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a configuration file and make the keys. Nothing that exists is overwritten.
    Init(ConfigFile),
    /// Serve until told to stop (SIGTERM or Ctrl-C).
    Serve(Configured),
    /// Check the configuration and print what it amounts to.
    CheckConfig(Configured),
}

/// A configuration file, and flags that go before it.
#[derive(Debug, Args)]
pub struct Configured {
    /// The configuration file; without one, the flags below must suffice.
    #[arg(long, env = "WIREGRANT_CONTROL_CONFIG")]
    pub config: Option<PathBuf>,
    /// What goes before the file.
    #[command(flatten)]
    pub flags: ConfigFile,
}

impl Configured {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// Names the field, its value and the way out.
    pub fn load(self) -> Result<Config, ConfigError> {
        let file = self.config.map(|path| ConfigFile::read(&path)).transpose()?.unwrap_or_default();
        self.flags.or(file).checked()
    }
}

/// Where `init` writes the configuration.
#[must_use]
pub fn config_path(config: &Config) -> PathBuf {
    config.data_dir.join(FILE_NAME)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn several_public_urls_and_resolvers_may_be_given() {
        let line = [
            "wiregrant-control",
            "init",
            "--public-url",
            "http://a",
            "--public-url",
            "http://b",
            "--dns",
            "::1",
        ];
        let Command::Init(flags) = CommandLine::try_parse_from(line).unwrap().command else {
            panic!("init was read as another command");
        };
        assert_eq!(flags.public_urls.unwrap(), ["http://a", "http://b"]);
        assert_eq!(flags.dns.unwrap(), ["::1"]);
    }
}
