//! `ControlPlane`: the real `wiregrant-control` in its host, with SQLite, and the CLI that talks to it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;

use crate::host::Host;
use crate::network;
use crate::process::{self, Process};
use crate::programs::Programs;
use crate::wait::eventually;

/// The record log's name.
pub const ORIGIN: &str = "grants.example/record";
/// Everything is paid on Bitcoin's network for tests.
pub const NETWORK: &str = "regtest";
/// Where it listens in its host.
pub const PORT: u16 = 8080;
/// It opens its database, signs its first checkpoint and answers within a moment, also on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A control plane that may be killed and started again on the same data.
pub struct ControlPlane {
    programs: Programs,
    data: PathBuf,
    logs: PathBuf,
    /// Where it looks for payments, and whom it asks for cosignatures.
    arguments: Vec<OsString>,
    process: Option<Process>,
}

impl ControlPlane {
    /// `wiregrant-control init`, then `serve`.
    ///
    /// # Errors
    /// What either says.
    pub fn new(programs: &Programs, host: &Host, folder: &Path, logs: &Path) -> Result<Self> {
        let data = folder.join("control");
        let mut init = host.command(&programs.control);
        init.args(["init", "--origin", ORIGIN, "--network", NETWORK, "--title", "wiregrant testbed"]);
        init.args(["--listen", &address(), "--public-url", &url(), "--data-dir"]).arg(&data);
        process::run(&mut init).context("the control plane's configuration")?;
        let mut control_plane = Self {
            programs: programs.clone(),
            data,
            logs: logs.to_owned(),
            arguments: Vec::new(),
            process: None,
        };
        control_plane.start(host)?;
        Ok(control_plane)
    }

    /// `wiregrant-control serve`, until it answers.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub fn start(&mut self, host: &Host) -> Result<()> {
        let mut serve = host.command(&self.programs.control);
        serve
            .arg("serve")
            .arg("--config")
            .arg(self.data.join("wiregrant-control.toml"))
            .args(&self.arguments);
        let process = self.process.insert(Process::spawn("control", &mut serve, &self.logs)?);
        let log = process.log().to_owned();
        let mut question = cli(&self.programs, host, None);
        question.args(["location", "list"]);
        eventually("the control plane's first answer", START_LIMIT, &[&log], || {
            process.still_runs()?;
            Ok(process::run(&mut question).ok())
        })?;
        self.claim(host)
    }

    /// Exchanges the token that signs in once for one that stays, the first time.
    fn claim(&self, host: &Host) -> Result<()> {
        if self.admin_token().exists() {
            return Ok(());
        }
        let mut make = cli(&self.programs, host, Some(&self.data.join("bootstrap.token")));
        make.args(["token", "make", "--holder", "Ada", "--token-out"]).arg(self.admin_token());
        process::run(&mut make).context("the administrator's token")?;
        Ok(())
    }

    /// Starts it again, to look for payments with the Bitcoin node of its own host that listens at `url`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn look_at_chain(&mut self, host: &Host, url: &str, cookie_file: &Path) -> Result<()> {
        let words = ["--chain-source", "core-rpc", "--chain-poll-seconds", "1", "--chain-url", url];
        self.arguments.extend(words.iter().map(OsString::from));
        self.arguments.extend(["--chain-cookie-file".into(), cookie_file.into()]);
        self.restart(host)
    }

    /// Starts it again, to have its checkpoints cosigned by the witness with this key at this address.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn ask_witness(&mut self, host: &Host, vkey: &str, url: &str) -> Result<()> {
        self.arguments.extend(["--witness".into(), format!("{vkey} {url}").into()]);
        self.restart(host)
    }

    /// Kills it in the midst of what it does, makes the next log key, and starts it again, from when on that key signs; gives the key.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn change_log_key(&mut self, host: &Host) -> Result<String> {
        self.kill_9()?;
        let mut next = host.command(&self.programs.control);
        next.arg("next-log-key").arg("--config").arg(self.data.join("wiregrant-control.toml"));
        let told = process::run(&mut next)?;
        let vkey = told.lines().find_map(|line| line.strip_prefix("next "));
        let vkey = vkey.with_context(|| format!("next-log-key printed {told:?}"))?.trim().to_owned();
        self.start(host)?;
        Ok(vkey)
    }

    fn restart(&mut self, host: &Host) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.stop();
        }
        self.start(host)
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it was gone already.
    pub fn kill_9(&mut self) -> Result<()> {
        self.process.take().context("the control plane is not running")?.kill_9()
    }

    /// Fails when it has ended by itself.
    ///
    /// # Errors
    /// Its exit status and log.
    pub fn still_runs(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::still_runs)
    }

    /// The folder with all that is public.
    #[must_use]
    pub fn public(&self) -> PathBuf {
        self.data.join("public")
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.logs.join("control.log")
    }

    /// The file with the administrator's own token.
    #[must_use]
    pub fn admin_token(&self) -> PathBuf {
        self.data.join("admin.token")
    }
}

/// Its address on the network.
#[must_use]
pub fn address() -> String {
    format!("{}:{PORT}", network::CONTROL)
}

/// Where nodes and people reach it.
#[must_use]
pub fn url() -> String {
    format!("http://{}", address())
}

/// The CLI in a host, signed in with the token in a file or not at all.
#[must_use]
pub fn cli(programs: &Programs, host: &Host, token: Option<&Path>) -> Command {
    let mut command = host.command(&programs.cli);
    command.args(["--url", &url()]);
    if let Some(token) = token {
        command.arg("--token-file").arg(token);
    }
    command
}

/// Runs a CLI command with `--json` and reads its answer.
///
/// # Errors
/// What the CLI says, or an answer of another shape.
pub fn answer<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let printed = process::run(command.arg("--json"))?;
    serde_json::from_str(&printed)
        .with_context(|| format!("`{}` printed {printed:?}", process::shown(command)))
}
