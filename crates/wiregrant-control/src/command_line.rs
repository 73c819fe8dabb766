//! The command line of `wiregrant-control`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use wiregrant_core::NodeId;
use wiregrant_core::note::Origin;

use crate::config::{self, Config, ConfigError, ConfigFile, FILE_NAME};
use crate::witness::WitnessArguments;

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
    /// Make a token for a first administrator again, which signs in once; for when all others are lost.
    Bootstrap(Configured),
    /// Check the configuration and print what it amounts to.
    CheckConfig(Configured),
    /// Copy the database (SQLite) to a new file, while the control plane serves.
    Backup {
        /// The file to write, which must not exist.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// Which control plane.
        #[command(flatten)]
        configured: Configured,
    },
    /// Put a backup (SQLite) where the database was. The control plane is stopped, and the old file moved away.
    Restore {
        /// The backup.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Which control plane.
        #[command(flatten)]
        configured: Configured,
    },
    /// After a restore: import what was published of both logs since the backup, and learn what is still waited for. Nothing is
    /// signed before. Stop every replica first.
    CatchUp {
        /// A copy of the public folder: a folder or an address, such as a mirror's; several are compared, and the newest one is
        /// taken [default: public_dir].
        #[arg(long, value_name = "URL|FOLDER")]
        from: Vec<String>,
        /// A node that will never say what it holds; go on without it. If it comes after all with an acknowledgement that nobody
        /// else has shown, that convicts the log.
        #[arg(long, value_name = "NODE")]
        without: Vec<NodeId>,
        /// Which control plane.
        #[command(flatten)]
        configured: Configured,
    },
    /// After a restore, where nobody has the tail of the log any more: end this origin and go on under another one, whose record
    /// begins with `continues`. There is no way back. Try `catch-up` first; stop every replica.
    NewOrigin {
        /// The new origin: a name you own, never used for a log before.
        #[arg(value_name = "ORIGIN")]
        new: Origin,
        /// A signed checkpoint of the record that is newer than the database, in a file; whoever saw one follows only a log that
        /// knows of it. That in public_dir is looked at by itself.
        #[arg(long, value_name = "FILE")]
        seen: Vec<PathBuf>,
        /// Which control plane.
        #[command(flatten)]
        configured: Configured,
    },
    /// Make a log key to follow the present one. It comes into use at the next start, with an entry in the record under the present one's
    /// signature; stop all replicas first, and give each the new keys folder. Agents and `verify` follow by themselves.
    NextLogKey(Configured),
    /// Make a statement key to follow the present one. It comes into use, and into the record, at the next start; stop all replicas
    /// first, and give each the new keys folder.
    NextStatementKey(Configured),
    /// Cosign the checkpoints of other control planes' logs, as a C2SP witness. It needs none of the above.
    Witness(WitnessArguments),
}

/// A configuration file, and flags that go before it.
#[derive(Debug, Args)]
pub struct Configured {
    /// The configuration file; without one, the flags below must suffice.
    #[arg(long, env = config::CONFIG_VARIABLE)]
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
        let environment = config::from_environment(std::env::vars())?;
        self.flags.or(environment).or(file).checked()
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
