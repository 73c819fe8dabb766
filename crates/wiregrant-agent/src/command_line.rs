//! The command line: what can be asked of the agent.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use thiserror::Error;
use transparency_log::WitnessPolicy;
use wiregrant_core::FactError;

use crate::config::{self, Config, Source};
use crate::enrolment::Choices;
use crate::host::{doctor, down};
use crate::state_dir::{self, StateDir};
use crate::watch::{self, Form};
use crate::wireguard::{InterfaceName, Starter};
use crate::witnesses::Witnesses;
use crate::{clock, endpoint, join, prove, rekey, run, status};

/// The node agent of wiregrant: manages WireGuard peers, counts what they move, and reports it signed.
#[derive(Debug, Parser)]
#[command(name = "wiregrant-agent", version)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make this machine's keys and redeem an invitation.
    Join(JoinArguments),
    /// Serve until stopped; the tunnel stays up afterwards. SIGHUP takes the configuration anew.
    Run(RunArguments),
    /// Say whether the configuration can be used, and what is wrong with it.
    CheckConfig(CheckConfigArguments),
    /// Show how the node stands.
    Status(StatusArguments),
    /// Show that every acknowledged report is in the log, as a mirror, a folder or a web server has it. Exit code 1 when one is
    /// not, and then evidence for anybody; 2 when the log cannot be read or is not this node's.
    Prove(ProveArguments),
    /// Replace this node's identity key by a new one, which the present one announces. The agent has to be stopped first. Where the
    /// key is lost or in wrong hands, `wiregrant node invite` makes an invitation with which the node goes on.
    Rekey(RekeyArguments),
    /// Say what this host has and what it lacks for a node, and how to get it. Nothing is changed; exit code 1 when something is
    /// missing.
    Doctor(DoctorArguments),
    /// Take peers, interface, firewall and forwarding away, with every byte counted; keys and journal stay. The agent has to be
    /// stopped first.
    Down(DownArguments),
}

#[derive(Debug, Args)]
struct State {
    /// Where keys, enrolment and journal lie.
    #[arg(long, value_name = "FOLDER", default_value = state_dir::DEFAULT)]
    state_dir: PathBuf,
}

#[derive(Debug, Args)]
struct JoinArguments {
    /// The invitation, `wiregrant1.` and what follows, whole.
    // Read later: an error of the parser here would repeat it, and it is a secret.
    invitation: String,
    /// Where clients reach this node; without it, this machine's own address if the whole Internet can reach it.
    #[arg(long, value_name = "HOST:PORT", value_parser = endpoint::parse)]
    endpoint: Option<String>,
    #[command(flatten)]
    state: State,
    #[command(flatten)]
    witnesses: Witnesses,
    /// The WireGuard interface to make.
    #[arg(long, value_name = "NAME", default_value = "wg-grant0")]
    interface: InterfaceName,
    /// Which WireGuard to use.
    #[arg(long, value_name = "WHICH", default_value = "auto", value_parser = ["auto", "kernel", "wireguard-go"])]
    backend: String,
}

#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    state: State,
    /// The operator's choices; without it the file at its usual place, if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seconds between two readings of the counters, instead of the file's.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    sample_seconds: Option<u64>,
    /// Seconds between two reports, instead of the file's; each epoch's end has one besides.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    report_seconds: Option<u64>,
    /// Where clients reach this node, instead of the file's; WireGuard listens on that port. Another one than before moves the
    /// node.
    #[arg(long, value_name = "HOST:PORT", value_parser = endpoint::parse)]
    endpoint: Option<String>,
    /// Where wireguard-go is needed, wait for the one that a service manager starts, instead of starting one.
    #[arg(long)]
    await_wireguard_go: bool,
}

#[derive(Debug, Args)]
struct CheckConfigArguments {
    /// The file; without it the one at its usual place, if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct StatusArguments {
    #[command(flatten)]
    state: State,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
    /// Again each second with what moves, until Ctrl-C; with --json one object a line.
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, Args)]
struct ProveArguments {
    /// The public files: a folder, or the address of a control plane or of a mirror.
    #[arg(value_name = "URL|FOLDER")]
    place: String,
    #[command(flatten)]
    state: State,
    #[command(flatten)]
    witnesses: Witnesses,
    /// Where evidence goes, should there be any.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    evidence: PathBuf,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RekeyArguments {
    #[command(flatten)]
    state: State,
}

#[derive(Debug, Args)]
struct DoctorArguments {
    #[command(flatten)]
    state: State,
    /// The operator's choices; without it the file at its usual place, if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// As one JSON array.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct DownArguments {
    #[command(flatten)]
    state: State,
    /// The operator's choices, for the SOCKS5 service's socket; without it the file at its usual place, if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A command line that is wrong in a way only its execution finds.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct UsageError(FactError);

impl CommandLine {
    /// Does what was asked.
    ///
    /// # Errors
    /// When it cannot be done, with the way out; a [`UsageError`] when the command line is at fault.
    pub fn execute(self) -> anyhow::Result<()> {
        match self.command {
            Command::Join(arguments) => {
                let dir = StateDir::new(&arguments.state.state_dir);
                let invitation = arguments.invitation.parse().map_err(UsageError)?;
                let interface = arguments.interface.to_string();
                let choices = Choices { interface, backend: arguments.backend };
                let policy = demanded(&arguments.witnesses)?;
                let enrolment = join::join(&dir, &invitation, arguments.endpoint, choices, policy.as_ref())?;
                print(&format!(
                    "joined as {} of operator {}, reached at {}\nnext: wiregrant-agent run --state-dir {}\n",
                    enrolment.node,
                    enrolment.operator,
                    enrolment.endpoint,
                    arguments.state.state_dir.display()
                ))
            }
            Command::Run(arguments) => {
                let RunArguments {
                    state,
                    config: file,
                    sample_seconds,
                    report_seconds,
                    endpoint,
                    await_wireguard_go,
                } = arguments;
                let source = Source { file, sample_seconds, report_seconds, endpoint };
                let starter = if await_wireguard_go { Starter::ServiceManager } else { Starter::Agent };
                run::run(StateDir::new(&state.state_dir), source, starter)
            }
            Command::CheckConfig(arguments) => {
                let file = arguments.config.as_deref();
                Config::read(file)?;
                let file = file.unwrap_or(Path::new(config::DEFAULT));
                let verdict =
                    if file.exists() { "can be used" } else { "not there, so everything has its default" };
                print(&format!("{}: {verdict}\n", file.display()))
            }
            Command::Prove(arguments) => {
                let policy = demanded(&arguments.witnesses)?;
                let dir = StateDir::new(&arguments.state.state_dir);
                let proved = prove::prove(&dir, &arguments.place, policy.as_ref(), &arguments.evidence)?;
                if arguments.json {
                    print(&(serde_json::to_string_pretty(&proved)? + "\n"))?;
                } else {
                    print(&proved.text())?;
                }
                anyhow::ensure!(proved.holds(), "not every acknowledged report is in the log that was shown");
                Ok(())
            }
            Command::Rekey(arguments) => {
                let vkey = rekey::rekey(&StateDir::new(&arguments.state.state_dir))?;
                let folder = arguments.state.state_dir.display();
                print(&format!(
                    "the node's key is now {vkey}\nnext: wiregrant-agent run --state-dir {folder}\n"
                ))
            }
            Command::Doctor(arguments) => {
                let config = Config::read(arguments.config.as_deref())?;
                let checks = doctor::examine(&StateDir::new(&arguments.state.state_dir), &config)?;
                if arguments.json {
                    print(&(serde_json::to_string_pretty(&checks)? + "\n"))?;
                } else {
                    print(&doctor::text(&checks))?;
                }
                doctor::verdict(&checks)
            }
            Command::Down(arguments) => {
                let config = Config::read(arguments.config.as_deref())?;
                let done = down::down(&StateDir::new(&arguments.state.state_dir), config)?;
                let folder = arguments.state.state_dir.display();
                let done: String = done.iter().map(|line| format!("{line}\n")).collect();
                print(&format!("{done}down; keys and journal stay in {folder}\n"))
            }
            Command::Status(arguments) => {
                let dir = StateDir::new(&arguments.state.state_dir);
                let form = if arguments.json { Form::Json } else { Form::Text };
                if arguments.watch {
                    return watch::watch(&dir, form);
                }
                let (status, _) = status::status(&dir)?;
                match form {
                    Form::Json => print(&(serde_json::to_string_pretty(&status)? + "\n")),
                    Form::Text => print(&status.text(clock::now().wall)),
                }
            }
        }
    }
}

fn demanded(witnesses: &Witnesses) -> Result<Option<WitnessPolicy>, UsageError> {
    witnesses.policy().map_err(|error| UsageError(FactError::Signature(format!("--witness: {error}"))))
}

/// Standard output, where a closed pipe is an error and not a panic.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_wrong_word_is_an_error_that_names_it_and_the_way_out() {
        for (arguments, named) in [
            (vec!["run", "--sample-seconds", "0"], "1..=3600"),
            (vec!["join", "x", "--backend", "boringtun"], "wireguard-go"),
            (vec!["join", "x", "--endpoint", "host:0"], "203.0.113.7:51820"),
            (vec!["join", "x", "--interface", "../wg0"], "1 to 15"),
        ] {
            let error =
                CommandLine::try_parse_from([&["wiregrant-agent"], &arguments[..]].concat()).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn a_damaged_invitation_is_a_usage_error_that_does_not_repeat_it() {
        let line = CommandLine::try_parse_from(["wiregrant-agent", "join", "wiregrant1.s3cret"]).unwrap();
        let error = line.execute().unwrap_err();
        assert!(error.is::<UsageError>());
        assert!(
            !format!("{error:?}").contains("s3cret") && error.to_string().contains("invitation"),
            "{error:?}"
        );
    }
}
